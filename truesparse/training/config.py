"""What all training runs have in their configurations; `truesparse.training.task_configs` has the rest.

The fields are declared once: the command line makes its flags, its help and its environment variables from
them.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from truesparse.errors import UsageError
from truesparse.layers.models import DropoutRates
from truesparse.layers.registry import cells
from truesparse.settings import checked, flag, setting, toml_value

DENSITY = 0.2
AS_DROPOUT = "--dropout for rhn"

# The cells, and for each the fields that it alone has, with their defaults; None is the value of `dropout`.
CELL_SETTINGS: dict[str, dict[str, Any]] = {
    name: {
        **{field.name: field.default for field in cell.own_fields() if field.name != "dropout"},
        **({f"dropout_{kind}": None for kind in DropoutRates._fields} if cell.LOCKED else {}),
    }
    for name, cell in cells().items()
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """What decides how a run trains, whatever it trains. A subclass for each task has fields of its own.

    Fields are named like the flags, with underscores; each one's help text is in its metadata. None means
    "decide for me".

    Raises
    ------
    UsageError
        A value is of the wrong type, out of range or not one of the choices, or two values do not fit each
        other.

    Attributes
    ----------
    TASK : str
        What is trained: the name of the command after ``truesparse train``.
    PRESETS : dict of str to dict
        Named sets of values; the first one is the default.
    """

    TASK: ClassVar[str]
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]]

    cell: str = setting(
        "lstm", "What the recurrent layers are: LSTM, GRU or recurrent highway.", choices=tuple(CELL_SETTINGS)
    )
    hidden_size: int = setting(256, "Units of each recurrent layer, H.", low=1)
    layers: int = setting(1, "Recurrent layers, L.", low=1)
    depth: int | None = setting(
        None, "Recurrence depth of an RHN: its micro-steps in a time step.", low=1, shown="10 for rhn"
    )
    reset_gate: str | None = setting(
        None,
        "Whether a GRU's reset gate multiplies the state after its product with the candidate's weights, or"
        " before.",
        choices=("after", "before"),
        shown="after for gru",
    )
    embedding_size: int | None = setting(None, "Size of a word vector, E.", low=1, shown="as --hidden-size")
    density: float = setting(
        None, "Fraction of the weights that exist.", low=0, high=1, open_low=True, shown="0.2; 1 for dense"
    )
    distribution: str = setting(
        "uniform",
        "How the density is spread over the matrices at the start.",
        choices=("uniform", "erdos-renyi"),
    )
    er_epsilon: float | None = setting(
        None,
        "Instead of --density, with erdos-renyi: weights of a matrix per row and column.",
        low=0,
        open_low=True,
        shown="what --density makes it",
    )
    gates: str = setting(
        "fused",
        "Count the gates of a cell as one matrix, or each one by itself.",
        choices=("fused", "separate"),
    )
    pattern: str = setting(
        "weight",
        "What exists or not: each weight, or each connection of two units, with a weight for each gate.",
        choices=("weight", "unit"),
    )
    importance: str = setting(
        "l1",
        "What a connection of several weights counts when the least are dropped: the sum of their absolute"
        " values, the root of the sum of their squares, or the largest absolute value.",
        choices=("l1", "l2", "max"),
    )
    method: str = setting("st-rnn", "Sparse training method; truesparse methods lists them.")
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
        None,
        "Also divide it after every epoch from this one on; 0 for only when the loss stalls.",
        low=0,
        shown="0",
    )
    epochs: int = setting(8, "Passes over the training text.", low=1)
    max_steps: int = setting(0, "End after this many steps; 0 for no limit.", low=0)
    batch_size: int = setting(20, "Texts read side by side, B.", low=1)
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
        None,
        "Fraction of the weights replaced at a topology update, at first; what it becomes depends on the"
        " method.",
        low=0,
        high=1,
        open_high=True,
        shown="0.5 for st-rnn, selfish and snfs, 0.3 for set and rigl, 0.05 for dsr",
    )
    update_interval: int = setting(
        None,
        "Steps between topology updates; 0 for once per epoch.",
        low=0,
        shown="0; 1 for deepr, 100 for gmp and rigl, 200 for dsr",
    )
    update_end: float = setting(
        None,
        "Fraction of the run in which there are topology updates.",
        low=0,
        high=1,
        open_low=True,
        shown="1; 0.75 for dsr, gmp and rigl",
    )
    l1: float = setting(None, "What deepr takes off each weight in a step, per lr.", low=0, shown="1e-5")
    noise: float = setting(
        None, "Standard deviation of the noise that deepr adds in a step, per lr.", low=0, shown="1e-5"
    )
    saliency_windows: int = setting(
        None, "Windows of text from which snip tells how much a weight matters.", low=1, shown="100"
    )
    eval_interval: int = setting(0, "Steps between evaluations; 0 for once per epoch.", low=0)
    log_interval: int = setting(50, "Steps between records of the training loss.", low=1)
    track_positions: bool = setting(
        False, "Keep a bit for every position, and tell which share of them has ever held a weight."
    )
    seed: int = setting(1, "Seed of all random numbers.", low=0, high=1e18)
    threads: int = setting(0, "Threads; 0 for one per core. The result does not depend on it.", low=0)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = checked(field, getattr(self, field.name), flag(field.name))
            object.__setattr__(self, field.name, value)
        for choice, settings in choices().items():
            name = getattr(self, choice)
            if name in settings:
                self._refuse_others(choice, name, settings)
        self._check_method()

    def _refuse_others(self, choice: str, chosen: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise UsageError if a setting is given that other optimizers, methods or cells have."""
        every = {name for taken in settings.values() for name in taken}
        for name in sorted(every - settings[chosen].keys()):
            if getattr(self, name) is not None:
                raise UsageError(f"{flag(name)} does not go with {flag(choice)} {chosen}; leave it out")

    def _check_method(self) -> None:
        """Raise UsageError if the optimizer or the method is unknown or does not fit."""
        from truesparse.optim.table import get_optimizer  # here: a list of flags needs no NumPy
        from truesparse.topology.methods import get_method

        get_optimizer(self.optimizer)
        method = get_method(self.method)
        for name in ("density", "er_epsilon"):
            if method.density is not None and getattr(self, name) not in (None, method.density):
                raise UsageError(
                    f"{flag(name)} {getattr(self, name):g} does not go with --method {method.name}, whose"
                    f" density is {method.density:g}; leave one of the two out"
                )
        if self.er_epsilon is not None and self.density is not None:
            raise UsageError(
                "--er-epsilon does not go with --density, as each says how many weights there are"
                "; leave one of the two out"
            )
        if self.er_epsilon is not None and self.distribution != "erdos-renyi":
            raise UsageError(
                f"--er-epsilon does not go with --distribution {self.distribution}; use --density, or"
                f" --distribution erdos-renyi"
            )
        if method.fused and self.gates == "separate":
            raise UsageError(
                f"--gates separate does not go with --method {method.name}, which {method.fused}"
                f"; leave it out, or use another method"
            )
        if method.single and self.groups:
            raise UsageError(
                f"{self.groups} does not go with --method {method.name}, which {method.single}"
                f"; leave it out, or use another method"
            )
        if self.importance != "l1" and not self.groups:
            raise UsageError(
                f"--importance {self.importance} is for connections of several weights; add --pattern unit,"
                f" or leave it out"
            )
        if method.initial == "salient" and self.distribution != "uniform":
            raise UsageError(
                f"--distribution {self.distribution} does not go with --method {method.name}, which"
                f" {method.fused}; leave it out, or use another method"
            )

    @property
    def groups(self) -> str:
        """The flag that lets rows of matrices share their positions; empty if none does."""
        return "--pattern unit" if self.pattern == "unit" else ""

    def filled(self) -> Self:
        """The configuration with the defaults of its optimizer, method and cell in the place of None."""
        from truesparse.topology.methods import get_method

        defaults: dict[str, Any] = {}
        for choice, settings in choices().items():
            defaults |= settings[getattr(self, choice)]
        missing: dict[str, Any] = {
            name: self.dropout if value is None else value
            for name, value in defaults.items()
            if getattr(self, name) is None
        }
        if self.density is None and self.er_epsilon is None:
            missing["density"] = get_method(self.method).density or DENSITY
        return dataclasses.replace(self, **missing)

    def to_toml(self) -> str:
        """The task and the configuration as TOML; fields that are None are left out."""
        values = {"task": self.TASK, **{name: getattr(self, name) for name in self.fields()}}
        return "".join(
            f"{name} = {toml_value(value)}\n" for name, value in values.items() if value is not None
        )

    @classmethod
    def fields(cls) -> dict[str, dataclasses.Field[Any]]:
        """The fields by name, those of the task first."""
        own = [vars(kind).get("__annotations__", {}) for kind in cls.__mro__]
        rank = {name: place for place, names in reversed(list(enumerate(own))) for name in names}
        return {field.name: field for field in sorted(dataclasses.fields(cls), key=lambda f: rank[f.name])}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A configuration from field names and values.

        Raises
        ------
        UsageError
            As the class; also for a name that is no field.
        """
        cls.check_names(values, "the configuration")
        return cls(**values)

    @classmethod
    def check_names(cls, values: Iterable[str], source: str) -> None:
        """Raise UsageError, with the nearest name, if one of `values` is no field."""
        fields = cls.fields()
        for name in values:
            if name not in fields:
                near = difflib.get_close_matches(name.replace("-", "_"), fields, n=1)
                hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(fields)}"
                raise UsageError(f"{source} has the unknown key {name!r}; {hint}")


def choices() -> dict[str, dict[str, Mapping[str, Any]]]:
    """The fields that choose an optimizer, a method or a cell, and what settings each of those has.

    Returns
    -------
    dict of str to dict
        For the field the names, and for each name the settings that it has and others do not, with their
        defaults.
    """
    from truesparse.optim.table import OPTIMIZERS
    from truesparse.topology.methods import METHODS

    return {
        "cell": {**CELL_SETTINGS},
        "optimizer": {name: optimizer.defaults for name, optimizer in OPTIMIZERS.items()},
        "method": {name: method.defaults for name, method in METHODS.items()},
    }
