"""The configuration of a training run: one flat dataclass, read from and written to TOML.

A value is looked up in the flags, then in the environment (``TRUESPARSE_`` and the name in capitals), then in
the configuration file, then in the preset; what is in none of them has its default. The fields are declared
once, here: the command line makes its flags, its help and its environment variables from them.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from truesparse.errors import UsageError

ENVIRONMENT_PREFIX = "TRUESPARSE_"


def _setting(
    default: Any,
    help: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    choices: tuple[str, ...] = (),
    shown: str | None = None,
) -> Any:
    """A field with its help text and its range.

    `open_low` and `open_high` exclude the ends; `shown` words a default of None.
    """
    metadata = {
        "help": help,
        "low": low,
        "high": high,
        "open_low": open_low,
        "open_high": open_high,
        "choices": choices,
        "shown": shown,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides how a run trains. The defaults are the preset ``demo``.

    Fields are named like the flags, with underscores; each one's help text is in its metadata. None means
    "decide for me".

    Raises
    ------
    UsageError
        A value is of the wrong type, out of range or not one of the choices, or two values do not fit each
        other.
    """

    data: str | None = _setting(
        None,
        "Folder with train, valid and test text, or one text file.",
        shown="the Python documentation that comes with Python",
    )
    level: Literal["word", "char"] = _setting(
        "word", "Predict words or characters.", choices=("word", "char")
    )
    preset: str = _setting("demo", "Named set of values that the other flags change.")
    hidden_size: int = _setting(256, "Units of each LSTM layer, H.", low=1)
    layers: int = _setting(1, "LSTM layers, L.", low=1)
    embedding_size: int | None = _setting(None, "Size of a word vector, E.", low=1, shown="as --hidden-size")
    density: float = _setting(0.2, "Fraction of the weights that exist.", low=0, high=1, open_low=True)
    distribution: str = _setting(
        "uniform",
        "How the density is spread over the matrices at the start.",
        choices=("uniform", "erdos-renyi"),
    )
    gates: str = _setting(
        "fused",
        "Count the four gates of an LSTM as one matrix, or each one by itself.",
        choices=("fused", "separate"),
    )
    method: str = _setting(
        "st-rnn", "Sparse training method: st-rnn, static (the first connections stay) or dense."
    )
    optimizer: str = _setting("sgd", "Optimizer.", choices=("sgd",))
    lr: float = _setting(2.0, "Learning rate at the start.", low=0, open_low=True)
    momentum: float = _setting(0.9, "Momentum of SGD.", low=0, high=1, open_high=True)
    weight_decay: float = _setting(0.0, "L2 penalty added to the gradient.", low=0)
    clip: float = _setting(10.0, "Largest norm of the whole gradient; 0 for no limit.", low=0)
    lr_decay: float = _setting(
        1.33, "Divide the learning rate by this after each evaluation whose loss is no new best.", low=1
    )
    lr_decay_start: int = _setting(
        0, "Also divide it after every epoch from this one on; 0 for only when the loss stalls.", low=0
    )
    epochs: int = _setting(8, "Passes over the training text.", low=1)
    max_steps: int = _setting(0, "End after this many steps; 0 for no limit.", low=0)
    batch_size: int = _setting(20, "Texts read side by side, B.", low=1)
    bptt: int = _setting(35, "Time steps of a window of backpropagation, T.", low=1)
    dropout: float = _setting(
        0.0, "Fraction of the units dropped between layers.", low=0, high=1, open_high=True
    )
    tied: bool = _setting(False, "Use the embedding as the output layer too.")
    init_scale: float | None = _setting(
        None,
        "First weights are uniform in plus or minus this, divided by the root of their matrix's density.",
        low=0,
        open_low=True,
        shown="1 / sqrt(hidden size)",
    )
    drop_fraction: float = _setting(
        0.5,
        "Fraction of the weights replaced at a topology update, at first; it falls to 0 on a cosine.",
        low=0,
        high=1,
    )
    update_interval: int = _setting(0, "Steps between topology updates; 0 for once per epoch.", low=0)
    eval_interval: int = _setting(0, "Steps between evaluations; 0 for once per epoch.", low=0)
    log_interval: int = _setting(50, "Steps between records of the training loss.", low=1)
    seed: int = _setting(1, "Seed of all random numbers.", low=0, high=1e18)
    threads: int = _setting(0, "Threads; 0 for one per core. The result does not depend on it.", low=0)

    def __post_init__(self) -> None:
        from truesparse.topology.methods import get_method  # here, so that a list of flags needs no NumPy

        for field in dataclasses.fields(self):
            value = _checked(field, getattr(self, field.name), flag(field.name))
            object.__setattr__(self, field.name, value)
        if self.preset not in PRESETS:
            raise UsageError(f"--preset is {self.preset!r}; it must be {_list(PRESETS)}")
        method = get_method(self.method)
        if method.density is not None:
            object.__setattr__(self, "density", method.density)
        if self.tied and self.embedding_size not in (None, self.hidden_size):
            raise UsageError(
                f"--tied needs --embedding-size {self.embedding_size} to be --hidden-size {self.hidden_size}"
                f"; leave one of the three out"
            )

    def to_toml(self) -> str:
        """The configuration as TOML; fields that are None are left out."""
        values = dataclasses.asdict(self)
        return "".join(
            f"{name} = {_toml_value(value)}\n" for name, value in values.items() if value is not None
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """A configuration from field names and values.

        Raises
        ------
        UsageError
            As the class; also for a name that is no field.
        """
        check_names(values, "the configuration")
        return cls(**values)


FIELDS: dict[str, dataclasses.Field[Any]] = {field.name: field for field in dataclasses.fields(Config)}

PRESETS: dict[str, dict[str, Any]] = {
    "demo": {},
    "ptb-small": {
        "hidden_size": 200,
        "layers": 2,
        "epochs": 13,
        "dropout": 0.0,
    },
    "ptb-medium": {
        "hidden_size": 650,
        "layers": 2,
        "epochs": 39,
        "dropout": 0.5,
    },
    "ptb-large": {
        "hidden_size": 1500,
        "layers": 2,
        "density": 0.33,
        "epochs": 100,
        "dropout": 0.65,
        "lr": 2.0,
        "momentum": 0.9,
        "clip": 10.0,
        "lr_decay": 1.33,
        "drop_fraction": 0.8,
    },
}


def kind_of(field: dataclasses.Field[Any]) -> type:
    """Type of a field's values, without the None of "decide for me"."""
    kinds: dict[str, type] = {"int": int, "float": float, "bool": bool}
    return kinds.get(str(field.type).removesuffix(" | None"), str)


def resolve(
    flags: Mapping[str, Any], config_file: Path | None = None, environment: Mapping[str, str] | None = None
) -> Config:
    """Merge flags, environment, configuration file, preset and defaults, the first that has a value counting.

    Parameters
    ----------
    flags : mapping
        Field names and values; None where the flag was not given.
    config_file : Path, optional
    environment : mapping, optional
        ``os.environ`` if not given.

    Returns
    -------
    Config

    Raises
    ------
    UsageError
        A value that cannot be right, wherever it came from.
    """
    given = {
        **(load_toml(config_file) if config_file is not None else {}),
        **from_environment(os.environ if environment is None else environment),
        **{name: value for name, value in flags.items() if value is not None},
    }
    preset = given.get("preset", FIELDS["preset"].default)
    if preset in PRESETS:  # else Config says which there are
        given = {**PRESETS[preset], **given}
    return Config.from_dict(given)


def load_toml(path: Path) -> dict[str, Any]:
    """Read field names and values from a TOML file.

    Raises
    ------
    UsageError
        The file does not exist, is not TOML, or has a key that is no field or a value that its field cannot
        have.
    """
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(
            f"{path} is not TOML, which is UTF-8 text; write lines such as density = 0.2"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}; write lines such as density = 0.2") from None
    check_names(values, str(path))
    return {name: _checked(FIELDS[name], value, f"{name} in {path}") for name, value in values.items()}


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Field names and values that the environment gives.

    Raises
    ------
    UsageError
        A value does not read as the field's type, or the field cannot have it.
    """
    values = {}
    for name, field in FIELDS.items():
        variable = ENVIRONMENT_PREFIX + name.upper()
        if variable in environment:
            value = _parse(variable, kind_of(field), environment[variable])
            values[name] = _checked(field, value, variable)
    return values


def check_names(values: Iterable[str], source: str) -> None:
    """Raise UsageError, with the nearest name, if one of `values` is no field."""
    for name in values:
        if name not in FIELDS:
            near = difflib.get_close_matches(name.replace("-", "_"), FIELDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(FIELDS)}"
            raise UsageError(f"{source} has the unknown key {name!r}; {hint}")


def flag(name: str) -> str:
    """The flag of a field."""
    return "--" + name.replace("_", "-")


def _parse(variable: str, kind: type, text: str) -> Any:
    if kind is bool:
        truth = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        if text.lower() not in truth:
            raise UsageError(f"{variable} is {text!r}; it must be true or false")
        return truth[text.lower()]
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{variable} is {text!r}; it must be {_KIND_WORDS[kind]}") from None


_KIND_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
# Where a field sets no bound: beyond all sizes, and what float32 can hold.
_HIGHEST: dict[type, float] = {int: 1e9, float: 3e38}


def _checked(field: dataclasses.Field[Any], value: Any, name: str) -> Any:
    """The value in the field's own type, if it may have it; `name` says where it came from."""
    rule, kind = field.metadata, kind_of(field)
    if value is None and field.default is None:
        return None
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise UsageError(f"{name} is {value!r}; it must be {_KIND_WORDS[kind]}")
    if rule["choices"] and value not in rule["choices"]:
        raise UsageError(f"{name} is {value!r}; it must be {_list(rule['choices'])}")
    if kind in _HIGHEST:
        _check_range(value, name, rule, _HIGHEST[kind])
    return value


def _check_range(value: Any, name: str, rule: Mapping[str, Any], highest: float) -> None:
    low, high = rule["low"], rule["high"] if rule["high"] < math.inf else highest
    above = value > low if rule["open_low"] else value >= low
    below = value < high if rule["open_high"] else value <= high
    if not (above and below):  # as with nan
        words = [f"{'above' if rule['open_low'] else 'at least'} {low:g}"]
        if rule["high"] < math.inf or value > high:
            words.append(f"{'below' if rule['open_high'] else 'at most'} {high:g}")
        raise UsageError(f"{name} is {value}; it must be {' and '.join(words)}")


def _list(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _toml_value(value: str | int | float | bool) -> str:
    """A value in TOML, whose strings escape as JSON's do and whose floats need a point or an exponent."""
    if isinstance(value, (str, bool)):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
