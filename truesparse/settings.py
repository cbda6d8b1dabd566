"""How a field of the configuration is declared, read from text and checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from truesparse.errors import UsageError


def setting(
    default: Any,
    help: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    choices: Sequence[str] = (),
    shown: str | None = None,
    group: str = "",
) -> Any:
    """A field with its help text and its range.

    `open_low` and `open_high` exclude the ends; `shown` words a default of None. `group` is where help shows
    its flag (Data, Model, Sparsity, Training, Output), if not where `truesparse.cli.help` would put it.
    """
    metadata = {
        "help": help,
        "low": low,
        "high": high,
        "open_low": open_low,
        "open_high": open_high,
        "choices": choices,
        "shown": shown,
        "group": group,
    }
    return dataclasses.field(default=default, metadata=metadata)


def fraction(
    default: float | None, help: str, *, none: bool = False, all: bool = False, shown: str | None = None
) -> Any:
    """A field for a fraction; `none` and `all` say whether it may be 0 and 1."""
    return setting(default, help, low=0, high=1, open_low=not none, open_high=not all, shown=shown)


def seed_setting() -> Any:
    """A field for what decides all random numbers, such as the entropy of one of NumPy's seeds."""
    return setting(1, "Seed of all random numbers.", low=0, high=(1 << 128) - 1)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Values that belong to one thing, such as an optimizer or a method.

    A subclass is a frozen dataclass whose fields are made with `setting`.

    Raises
    ------
    UsageError
        A value is of the wrong type, out of range or not one of the choices.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, checked(field, getattr(self, field.name), field.name))


def kind_of(field: dataclasses.Field[Any]) -> type:
    """Type of a field's values, without the None of "decide for me"."""
    kinds: dict[str, type] = {"int": int, "float": float, "bool": bool, "tuple[float, ...]": tuple}
    return kinds.get(str(field.type).removesuffix(" | None"), str)


def flag(name: str) -> str:
    """The flag of a field."""
    return "--" + name.replace("_", "-")


def parse(variable: str, kind: type, text: str) -> Any:
    """Read a value of a type from the text of an environment variable.

    Raises
    ------
    UsageError
        The text does not read as one; the message names the variable.
    """
    if kind is bool:
        words = {True: ("1", "true", "yes", "on"), False: ("0", "false", "no", "off")}
        truth = {word: value for value, every in words.items() for word in every}
        if text.lower() not in truth:
            raise UsageError(f"{variable} is {text!r}; it must be true or false")
        return truth[text.lower()]
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{variable} is {shown(text)}; it must be {_KIND_WORDS[kind]}") from None


def shown(value: Any) -> str:
    """A value for a message, whatever its size: Python does not write a number of thousands of digits."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # as of an integer that TOML has in hexadecimal
        return "a number of thousands of digits" if isinstance(value, int) else "a value beyond all sizes"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 20]}... ({len(text):,} characters)"


_LONGEST = 100
_KIND_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
# Where a field sets no bound: beyond all sizes, and what float32 can hold.
_HIGHEST: dict[type, float] = {int: 1e9, float: 3e38}


def checked(field: dataclasses.Field[Any], value: Any, name: str) -> Any:
    """Return a value, which may be one of NumPy's, in the field's own type.

    Raises
    ------
    UsageError
        The field cannot have it; the message begins with `name`, which says where it came from.
    """
    rule, kind = field.metadata, kind_of(field)
    if kind is tuple:
        items = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(items, (list, tuple)):
            raise UsageError(f"{name} is {shown(value)}; it must be a list of numbers")
        return tuple(_checked(rule, float, item, f"{name}, number {k},") for k, item in enumerate(items))
    if value is None and field.default is None:
        return None
    return _checked(rule, kind, value, name)


def _checked(rule: Mapping[str, Any], kind: type, value: Any, name: str) -> Any:
    if getattr(value, "shape", None) == ():  # NumPy's; --help cannot wait for its import
        value = value.item()
    if kind is float and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            value = math.inf if value > 0 else -math.inf
    if type(value) is not kind:
        raise UsageError(f"{name} is {shown(value)}; it must be {_KIND_WORDS[kind]}")
    if rule["choices"] and value not in rule["choices"]:
        raise UsageError(f"{name} is {shown(value)}; it must be {listed(rule['choices'])}")
    if kind in _HIGHEST:
        _check_range(value, name, rule, _HIGHEST[kind])
    return value


def check_kind(name: str, value: object, kind: Any, wanted: str) -> None:
    """Raise UsageError if an argument is of another kind, such as a class where one made of it is wanted.

    Parameters
    ----------
    name : str
    value : object
    kind : type, or protocol, or several
    wanted : str
        What it must be, for the message.
    """
    if isinstance(value, type):
        raise UsageError(f"{name} is the class {value.__name__}; it must be {wanted}")
    if not isinstance(value, kind):
        plain = value is None or isinstance(value, (str, int, float))
        what = shown(value) if plain else f"of the type {type(value).__name__}"
        raise UsageError(f"{name} is {what}; it must be {wanted}")


def check_whole(name: str, value: Any, low: int = 1) -> int:
    """Return a whole number that is an argument, and may be one of NumPy's.

    Raises
    ------
    UsageError
        It is none, or below `low`.
    """
    if getattr(value, "shape", None) == ():
        value = value.item()
    if type(value) is not int or value < low:
        raise UsageError(f"{name} is {shown(value)}; it must be a whole number, at least {low}")
    return value


def _check_range(value: Any, name: str, rule: Mapping[str, Any], highest: float) -> None:
    low, high = rule["low"], rule["high"] if rule["high"] < math.inf else highest
    above = value > low if rule["open_low"] else value >= low
    below = value < high if rule["open_high"] else value <= high
    if not (above and below):  # as with nan
        words = [f"{'above' if rule['open_low'] else 'at least'} {low:g}"]
        if high < highest or value > high:
            bound = str(high) if isinstance(high, int) else f"{high:g}"
            words.append(f"{'below' if rule['open_high'] else 'at most'} {bound}")
        raise UsageError(f"{name} is {shown(value)}; it must be {' and '.join(words)}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise UsageError if the argument `name` is none of the choices."""
    if value not in choices:
        raise UsageError(f"{name} is {value!r}; it must be {listed(map(repr, choices))}")


def listed(names: Iterable[str]) -> str:
    """One or more names as "a, b or c"."""
    return joined(names, "or")


def joined(names: Iterable[str], word: str) -> str:
    """One or more names with commas, and a word before the last."""
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last
