"""How the reference reads this package: public names of stubs, examples of docstrings."""

import ast
from typing import Any

import griffe


class Public(griffe.Extension):
    """Names of a stub are public, as `lazy_loader` has it; `Example:` is read as `Examples:`."""

    def on_module(self, *, mod: griffe.Module, **_: Any) -> None:
        if isinstance(mod.filepath, list):
            return
        stub = mod.filepath.with_name("__init__.pyi")
        if mod.filepath.stem == "__init__" and stub.exists():
            imports = ast.parse(stub.read_text()).body
            mod.exports = [
                alias.name
                for each in imports
                if isinstance(each, ast.ImportFrom)
                for alias in each.names
            ]

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = text.replace("\nExample:\n", "\nExamples:\n")
