"""Some cases of `tests/fuzz.py`, which runs as many as one likes."""

import pytest
from hypothesis import HealthCheck, settings

from tests.fuzz import TARGETS


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_any_file_is_refused_or_right(target):
    settings(max_examples=15, suppress_health_check=list(HealthCheck))(target)()
