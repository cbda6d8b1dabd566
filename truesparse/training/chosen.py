"""Settings that belong to a choice, of a cell, an optimizer or a method, as fields of one configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from truesparse.layers.dropout.spec import OF_WORDS
from truesparse.layers.models import DropoutRates
from truesparse.layers.registry import cells
from truesparse.optim.table import OPTIMIZERS
from truesparse.settings import fraction, joined, setting
from truesparse.topology.methods import METHODS

K = TypeVar("K", bound=type)
Fields = Mapping[str, dataclasses.Field[Any]]

# What is not given is as `dropout`.
_RATES = {
    "embedding": OF_WORDS,
    "input": "Fraction of a layer's inputs dropped.",
    "hidden": "Fraction of the state dropped from recurrent products.",
    "output": "Fraction of the output layer's inputs dropped.",
}


def choices() -> dict[str, dict[str, Fields]]:
    """The settings that each option of each choice has.

    Returns
    -------
    dict of str to dict
        For ``cell``, ``optimizer`` and ``method`` the options' names, and for each the fields with their
        defaults; a default of None stands for the value of ``dropout``.
    """
    return {
        "cell": {name: _of_cell(spec) for name, spec in cells().items()},
        "optimizer": {name: _fields(kind) for name, kind in OPTIMIZERS.items()},
        "method": {name: method.fields for name, method in METHODS.items()},
    }


def defaults(choice: str, option: str) -> dict[str, Any]:
    """The settings that an option has, with their defaults; none of an option that nobody knows."""
    return {name: field.default for name, field in choices()[choice].get(option, {}).items()}


def with_choices(kind: K) -> K:
    """Give a class, before it becomes a dataclass, the settings of all options as fields.

    Each comes after the field that chooses. None stands for "as the option has it".
    """
    annotations: dict[str, Any] = {}
    options = choices()
    for name, annotation in kind.__annotations__.items():
        annotations[name] = annotation
        for own, field in _merged(options.get(name, {})).items():
            annotations[own] = field.type
            setattr(kind, own, field)
    kind.__annotations__ = annotations
    return kind


def _of_cell(spec: Any) -> Fields:
    own = {field.name: field for field in spec.own_fields() if field.name != "dropout"}
    kinds = [kind for kind in DropoutRates._fields if kind != "hidden" or spec.LOCKED]
    return own | {f"dropout_{kind}": _rate(kind, kind == "embedding" and not spec.LOCKED) for kind in kinds}


def _rate(kind: str, off: bool) -> dataclasses.Field[Any]:
    shown = f"as --dropout{' for rhn, 0 for the others' if kind == 'embedding' else ''}"
    field = fraction(0.0 if off else None, _RATES[kind], none=True, shown=shown)
    field.type = "float"
    return field


def _fields(kind: type[Any]) -> Fields:
    return {field.name: field for field in dataclasses.fields(kind)}


def _merged(options: Mapping[str, Fields]) -> dict[str, dataclasses.Field[Any]]:
    """One field for each name that an option has: with the default of all, or with None for theirs."""
    merged = {}
    for name in dict.fromkeys(name for fields in options.values() for name in fields):
        own = {option: fields[name] for option, fields in options.items() if name in fields}
        first = next(iter(own.values()))
        values = {option: field.default for option, field in own.items()}
        same = len(values) == len(options) and len(set(values.values())) == 1
        rule = dict(first.metadata)
        if not same and rule["shown"] is None:
            rule["shown"] = _words(values, len(options))
        merged[name] = setting(first.default if same else None, rule.pop("help"), **rule)
        merged[name].type = str(first.type)
    return merged


def _words(values: Mapping[str, Any], options: int) -> str:
    """Defaults and the options that have them, such as "2 for sgd, 20 for the others"."""
    holders: dict[Any, list[str]] = {}
    for option, value in values.items():
        holders.setdefault(value, []).append(option)
    parts = []
    for value, names in holders.items():
        others = len(values) == options and len(names) > 2 and value == [*holders][-1]
        word = ("no", "yes")[value] if isinstance(value, bool) else value
        word = f"{word:g}" if isinstance(word, float) else word
        parts.append(f"{word} for {'the others' if others else joined(names, 'and')}")
    return ", ".join(parts)
