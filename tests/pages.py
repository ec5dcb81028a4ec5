"""The programs of pages of the documentation, for tests that run them."""

import re
from pathlib import Path


def programs(page: Path) -> list[str]:
    """The Python blocks of a page, in their order."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
