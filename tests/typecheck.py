"""The run-time type checker of the tests: beartype, with ints accepted where floats are."""

from typing import Any, Self

from beartype import BeartypeConf, beartype

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check(function: Any) -> Any:
    """The function, checked, with two exceptions.

    Options read values as people write them, and check what they have read themselves; estimators
    store any, as scikit-learn wants it. `Self` is known to beartype in whole classes only, and here
    it sees functions.
    """
    if function.__qualname__.endswith(
        ("Options.__init__", "Estimator.__init__", "Classifier.__init__")
    ):
        return function
    hints = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in hints.items() if hint is not Self}
    return _check(function)
