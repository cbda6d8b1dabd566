"""Settings that several methods have; those of one method are in its file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from truesparse.errors import UsageError
from truesparse.settings import Settings, fraction, setting

# Of what the topology updates of all methods are told; a method has those of them that its defaults name.
_COMMON: dict[str, tuple[type, Any]] = {
    "drop_fraction": (
        float,
        lambda default: fraction(
            default,
            "Fraction of the weights replaced at a topology update, at first; what it becomes depends on the"
            " method.",
            none=True,
        ),
    ),
    "update_interval": (
        int,
        lambda default: setting(default, "Steps between topology updates; 0 for once per epoch.", low=0),
    ),
    "update_end": (
        float,
        lambda default: fraction(
            default, "Fraction of the run in which there are topology updates.", all=True
        ),
    ),
}


def method_settings(defaults: Mapping[str, Any]) -> type[Settings]:
    """The class of the settings of a method that has only common ones, with their defaults.

    Raises
    ------
    UsageError
        One is none of `drop_fraction`, `update_interval` and `update_end`.
    """
    for name in defaults:
        if name not in _COMMON:
            raise UsageError(
                f"a method cannot have the default {name!r}; the names are {', '.join(_COMMON)}, and others"
                f" need a class of settings"
            )
    fields = [
        (name, _COMMON[name][0].__name__, _COMMON[name][1](default)) for name, default in defaults.items()
    ]
    return dataclasses.make_dataclass("MethodSettings", fields, bases=(Settings,), frozen=True, kw_only=True)
