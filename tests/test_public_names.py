"""Every public name explains itself, with an example that the doctests run."""

import importlib
import inspect

import pytest

PACKAGES = ("admm", "layers", "quant")


def public_names():
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            thing = getattr(module, name)
            # Not aliases of types and constants.
            jitted = hasattr(thing, "__wrapped__")
            if inspect.isclass(thing) or inspect.isfunction(thing) or jitted:
                yield package, name, thing


@pytest.mark.parametrize(("package", "name", "thing"), [*public_names()])
def test_it_has_an_example(package, name, thing):
    assert ">>>" in (thing.__doc__ or ""), f"{package}.{name}"
