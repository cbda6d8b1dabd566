"""The configuration of a training run: one flat dataclass, read from and written to TOML.

A value is looked up in the flags, then in the environment (``TRUESPARSE_`` and the name in capitals), then in
the configuration file, then in the preset; what is in none of them has its default. The fields are declared
once, here: the command line makes its flags, its help and its environment variables from them.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from truesparse.errors import UsageError
from truesparse.training.settings import checked, flag, kind_of, listed, parse, setting, toml_value

ENVIRONMENT_PREFIX = "TRUESPARSE_"

AS_DROPOUT = "--dropout for rhn"

# The cells, and for each the fields that it alone has, with their defaults; None is the value of `dropout`.
CELL_SETTINGS: dict[str, dict[str, Any]] = {
    "lstm": {},
    "rhn": {
        "depth": 10,
        "transform_bias": -2.0,
        "dropout_embedding": None,
        "dropout_input": None,
        "dropout_hidden": None,
        "dropout_output": None,
    },
}


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

    data: str | None = setting(
        None,
        "Folder with train, valid and test text, or one text file.",
        shown="the Python documentation that comes with Python",
    )
    level: Literal["word", "char"] = setting("word", "Predict words or characters.", choices=("word", "char"))
    preset: str = setting("demo", "Named set of values that the other flags change.")
    cell: str = setting(
        "lstm", "What the recurrent layers are: LSTM or recurrent highway.", choices=tuple(CELL_SETTINGS)
    )
    hidden_size: int = setting(256, "Units of each recurrent layer, H.", low=1)
    layers: int = setting(1, "Recurrent layers, L.", low=1)
    depth: int | None = setting(
        None, "Recurrence depth of an RHN: its micro-steps in a time step.", low=1, shown="10 for rhn"
    )
    embedding_size: int | None = setting(None, "Size of a word vector, E.", low=1, shown="as --hidden-size")
    density: float = setting(0.2, "Fraction of the weights that exist.", low=0, high=1, open_low=True)
    distribution: str = setting(
        "uniform",
        "How the density is spread over the matrices at the start.",
        choices=("uniform", "erdos-renyi"),
    )
    gates: str = setting(
        "fused",
        "Count the gates of a cell as one matrix, or each one by itself.",
        choices=("fused", "separate"),
    )
    method: str = setting(
        "st-rnn", "Sparse training method: st-rnn, static (the first connections stay) or dense."
    )
    optimizer: str = setting("sgd", "Optimizer: sgd, adam, asgd, nt-asgd or snt-asgd.")
    lr: float = setting(
        None,
        "Learning rate at the start.",
        low=0,
        open_low=True,
        shown="2 for sgd, 0.002 for adam, 20 for the others",
    )
    momentum: float = setting(
        None, "Momentum of sgd.", low=0, high=1, open_high=True, shown="0.9 for sgd, which alone has it"
    )
    weight_decay: float = setting(0.0, "L2 penalty added to the gradient.", low=0)
    decoupled_decay: bool = setting(
        None, "Let adam take the weight decay off the weights, not add it to the gradient.", shown="no"
    )
    beta1: float = setting(
        None, "Decay of adam's mean gradient.", low=0, high=1, open_high=True, shown="0.9 for adam"
    )
    beta2: float = setting(
        None, "Decay of adam's mean square.", low=0, high=1, open_high=True, shown="0.999 for adam"
    )
    epsilon: float = setting(
        None, "Added to the root of adam's mean square.", low=0, open_low=True, shown="1e-8 for adam"
    )
    nonmonotone: int = setting(
        None,
        "Let nt-asgd and snt-asgd begin to average when the validation loss is above the best of those more"
        " than this many evaluations ago.",
        low=1,
        shown="5",
    )
    clip: float = setting(
        None,
        "Largest norm of the whole gradient; 0 for no limit.",
        low=0,
        shown="10 for sgd and adam, 0.25 for the others",
    )
    lr_decay: float = setting(
        None,
        "Divide the learning rate by this after each evaluation whose loss is no new best, until weights are"
        " averaged.",
        low=1,
        shown="1.33 for sgd and adam, 1 for nt-asgd and snt-asgd",
    )
    lr_decay_start: int = setting(
        0, "Also divide it after every epoch from this one on; 0 for only when the loss stalls.", low=0
    )
    epochs: int = setting(8, "Passes over the training text.", low=1)
    max_steps: int = setting(0, "End after this many steps; 0 for no limit.", low=0)
    batch_size: int = setting(20, "Texts read side by side, B.", low=1)
    bptt: int = setting(35, "Time steps of a window of backpropagation, T.", low=1)
    dropout: float = setting(
        0.0, "Fraction of the units dropped between layers.", low=0, high=1, open_high=True
    )
    dropout_embedding: float | None = setting(
        None,
        "Fraction of the words dropped from a sequence, RHN.",
        low=0,
        high=1,
        open_high=True,
        shown=AS_DROPOUT,
    )
    dropout_input: float | None = setting(
        None, "Fraction of a layer's inputs dropped, RHN.", low=0, high=1, open_high=True, shown=AS_DROPOUT
    )
    dropout_hidden: float | None = setting(
        None,
        "Fraction of the state dropped from recurrent products, RHN.",
        low=0,
        high=1,
        open_high=True,
        shown=AS_DROPOUT,
    )
    dropout_output: float | None = setting(
        None,
        "Fraction of the output layer's inputs dropped, RHN.",
        low=0,
        high=1,
        open_high=True,
        shown=AS_DROPOUT,
    )
    tied: bool = setting(False, "Use the embedding as the output layer too.")
    init_scale: float | None = setting(
        None,
        "First weights are uniform in plus or minus this, divided by the root of their matrix's density.",
        low=0,
        open_low=True,
        shown="1 / sqrt(hidden size)",
    )
    transform_bias: float | None = setting(
        None,
        "First bias of an RHN's transform gates; below 0 they let most of the state pass.",
        low=-100,
        high=100,
        shown="-2 for rhn",
    )
    drop_fraction: float = setting(
        0.5,
        "Fraction of the weights replaced at a topology update, at first; it falls to 0 on a cosine.",
        low=0,
        high=1,
    )
    update_interval: int = setting(0, "Steps between topology updates; 0 for once per epoch.", low=0)
    eval_interval: int = setting(0, "Steps between evaluations; 0 for once per epoch.", low=0)
    log_interval: int = setting(50, "Steps between records of the training loss.", low=1)
    seed: int = setting(1, "Seed of all random numbers.", low=0, high=1e18)
    threads: int = setting(0, "Threads; 0 for one per core. The result does not depend on it.", low=0)

    def __post_init__(self) -> None:
        from truesparse.optim.table import SETTINGS, get_optimizer  # here: a list of flags needs no NumPy
        from truesparse.topology.methods import get_method

        for field in dataclasses.fields(self):
            value = checked(field, getattr(self, field.name), flag(field.name))
            object.__setattr__(self, field.name, value)
        if self.preset not in PRESETS:
            raise UsageError(f"--preset is {self.preset!r}; it must be {listed(PRESETS)}")
        method = get_method(self.method)
        if method.density is not None:
            object.__setattr__(self, "density", method.density)
        taken = get_optimizer(self.optimizer).defaults
        for name in sorted(SETTINGS - taken.keys()):
            if getattr(self, name) is not None:
                raise UsageError(f"{flag(name)} does not go with --optimizer {self.optimizer}; leave it out")
        if self.lr_decay_start and "lr_decay" not in taken:
            raise UsageError(
                f"--lr-decay-start does not go with --optimizer {self.optimizer}, whose rate is constant"
                f"; leave it out"
            )
        if self.tied and self.embedding_size not in (None, self.hidden_size):
            raise UsageError(
                f"--tied needs --embedding-size {self.embedding_size} to be --hidden-size {self.hidden_size}"
                f"; leave one of the three out"
            )

        of_cells = {name for settings in CELL_SETTINGS.values() for name in settings}
        for name in sorted(of_cells - CELL_SETTINGS[self.cell].keys()):
            if getattr(self, name) is not None:
                raise UsageError(f"{flag(name)} does not go with --cell {self.cell}; leave it out")

    def filled(self) -> Config:
        """The configuration with the defaults of its optimizer and its cell in the place of None."""
        from truesparse.optim.table import get_optimizer

        defaults: dict[str, Any] = {**get_optimizer(self.optimizer).defaults}
        for name, default in CELL_SETTINGS[self.cell].items():
            defaults[name] = self.dropout if default is None else default
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **missing)

    def to_toml(self) -> str:
        """The configuration as TOML; fields that are None are left out."""
        values = dataclasses.asdict(self)
        return "".join(
            f"{name} = {toml_value(value)}\n" for name, value in values.items() if value is not None
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
        "dropout": 0.2,
        "clip": 0.25,
        "init_scale": 0.1,
        "lr_decay_start": 6,
    },
    "ptb-medium": {  # benchmarks/results/ptb-medium
        "hidden_size": 650,
        "layers": 2,
        "epochs": 22,
        "dropout": 0.35,
        "clip": 0.25,
        "init_scale": 0.1,
        "lr_decay": 1.3,
        "lr_decay_start": 9,
    },
    "ptb-large": {
        "hidden_size": 1500,
        "layers": 2,
        "density": 0.33,
        "epochs": 100,
        "dropout": 0.65,
        "drop_fraction": 0.8,
    },
    "ptb-rhn": {
        "cell": "rhn",
        "hidden_size": 830,
        "layers": 1,
        "depth": 10,
        "tied": True,
        "density": 0.472,
        "epochs": 200,
        "dropout_embedding": 0.2,
        "dropout_input": 0.65,
        "dropout_hidden": 0.25,
        "dropout_output": 0.65,
        "lr_decay": 1.11,
        "drop_fraction": 0.5,
    },
}


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
    return {name: checked(FIELDS[name], value, f"{name} in {path}") for name, value in values.items()}


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
            value = parse(variable, kind_of(field), environment[variable])
            values[name] = checked(field, value, variable)
    return values


def check_names(values: Iterable[str], source: str) -> None:
    """Raise UsageError, with the nearest name, if one of `values` is no field."""
    for name in values:
        if name not in FIELDS:
            near = difflib.get_close_matches(name.replace("-", "_"), FIELDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(FIELDS)}"
            raise UsageError(f"{source} has the unknown key {name!r}; {hint}")
