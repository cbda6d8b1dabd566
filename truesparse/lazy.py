"""Packages whose names are imported when they are used, so that commands start fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy(
    package: str, names: Mapping[str, Sequence[str] | Mapping[str, str]]
) -> tuple[list[str], Callable[[str], Any]]:
    """Return ``__all__`` and ``__getattr__`` of a package.

    Parameters
    ----------
    package : str
        Its name.
    names : mapping of str to sequence of str or mapping of str to str
        For modules, named within the package or from the top, what they have; or its name here and there.
    """
    where = {
        name: (module, mine[name] if isinstance(mine, Mapping) else name)
        for module, mine in names.items()
        for name in mine
    }

    def find(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, own = where[name]
        return getattr(import_module(module if "." in module else f"{package}.{module}"), own)

    return sorted(where), find
