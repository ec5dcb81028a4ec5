"""The program of docs/federated.md."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[4] / "docs" / "federated.md"


def test_the_program_runs():
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(program, names)
    assert 0 < names["best"]["test_mae"] < 1.5
    assert names["alone"]["test_mae"] > 0
