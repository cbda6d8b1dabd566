"""Packages whose names are imported when they are used, so that commands start fast."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy(package: str) -> tuple[list[str], Callable[[str], Any]]:
    """Return ``__all__`` and ``__getattr__`` of a package from its source, so that each name is there once.

    Parameters
    ----------
    package : str
        Its name. Type checkers and this function read what its ``if TYPE_CHECKING:`` says:
        ``from module import name as name`` gives it a name, as does ``other = name`` below, for what is
        called otherwise in its module.
    """
    module: Any = sys.modules[package]
    # Where only compiled files are installed there is no source: modules can be imported, names cannot.
    source = module.__loader__.get_source(package) or "if TYPE_CHECKING:\n    pass"
    tree = ast.parse(source)
    imported: dict[str, tuple[str, str]] = {}
    public: dict[str, tuple[str, str]] = {}
    for node in next(node for node in tree.body if isinstance(node, ast.If)).body:
        match node:
            case ast.ImportFrom(module=str(where), names=names):
                imported |= {alias.asname or alias.name: (where, alias.name) for alias in names}
                public |= {name: imported[name] for name in (a.name for a in names if a.name == a.asname)}
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=own)):
                public[name] = imported[own]

    def find(name: str) -> Any:
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        where, own = public[name]
        return getattr(import_module(where), own)

    return sorted(public), find
