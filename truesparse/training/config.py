"""What all training runs have in their configurations; `truesparse.tasks` has the rest.

The fields are declared once: the command line makes its flags, its help and its environment variables from
them, the estimators their parameters.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from truesparse.errors import UsageError
from truesparse.layers.models import DropoutRates
from truesparse.layers.registry import CELLS
from truesparse.layers.spec import pattern
from truesparse.optim.settings import OptimizerSettings
from truesparse.optim.table import OPTIMIZERS, get_optimizer
from truesparse.settings import checked, flag, fraction, listed, setting, shown
from truesparse.topology.methods import get_method
from truesparse.topology.settings import DISTRIBUTIONS, GATES, IMPORTANCES
from truesparse.training.chosen import Fields, choices, defaults, with_choices
from truesparse.training.logs import log_setting
from truesparse.training.stopping import minutes_setting, patience_setting
from truesparse.training.tokens import check_token_rows
from truesparse.training.toml import read_toml, to_toml
from truesparse.training.vectors import check_vectors

if TYPE_CHECKING:
    from truesparse.model.loading import SavedModel
    from truesparse.modelfile import StoredModel
    from truesparse.training.task import Predictor, Task

DENSITY = 0.2
VALUES = ("fresh", "last", "first")


def preset_of(presets: Iterable[str]) -> Any:
    """A field for the preset; the first one is the default."""
    return setting(next(iter(presets)), "Named set of values that the other flags change.")


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)  # a subclass has these
@with_choices
class Config:
    """What decides how a run trains, whatever it trains. A subclass for each task has fields of its own.

    The settings that belong to a cell, an optimizer or a method are fields too, declared where these are; see
    `truesparse.training.chosen`. Fields are named like the flags, with underscores; each one's help text is
    in its metadata. None means "decide for me".

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
    RECIPES : dict of str to dict
        Named sets of values that beat those of the preset; a task that has any has a field `recipe`.
    HELP : str
        What the command prints of itself.
    EXAMPLES : str
        Commands that its help ends with, one a line.
    KIND : str
        What its models are; see `truesparse.modelfile.model_kind`.
    LAYOUTS : sequence of str
        What files may have that ``truesparse predict`` reads for a model of the task.
    READ_COLUMNS : sequence of str
        The fields that say which columns it reads there.
    UNUSED : frozenset of str
        Fields of other tasks that mean nothing here: there are no flags for them.
    """

    TASK: ClassVar[str]
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]]
    RECIPES: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    HELP: ClassVar[str]
    EXAMPLES: ClassVar[str] = ""
    KIND: ClassVar[str]
    LAYOUTS: ClassVar[Sequence[str]] = ()
    READ_COLUMNS: ClassVar[Sequence[str]] = ()
    UNUSED: ClassVar[frozenset[str]] = frozenset()

    cell: str = setting("lstm", "Kind of the recurrent layers.", choices=CELLS)
    hidden_size: int = setting(256, "Units of each recurrent layer, H.", low=1)
    layers: int = setting(1, "Recurrent layers, L.", low=1)
    bidirectional: bool = setting(
        False, "Read a sequence from both ends: two layers of --hidden-size units in the place of each."
    )
    embedding_size: int | None = setting(None, "Size of a word vector, E.", low=1, shown="as --hidden-size")
    density: float = fraction(None, "Fraction of the weights that exist.", all=True, shown="0.2; 1 for dense")
    distribution: str = setting(
        "uniform",
        "How the density is spread over the matrices at the start.",
        choices=DISTRIBUTIONS,
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
        choices=GATES,
    )
    pattern: str = pattern()
    importance: str = setting(
        "l1",
        "Size of a connection of several weights, when the smallest are dropped: the sum of their absolute"
        " values, the root of the sum of their squares, or the largest absolute value.",
        choices=IMPORTANCES,
    )
    start_topology: str | None = setting(
        None, "Run or model file whose connections the run begins with.", shown="random connections"
    )
    start_values: str | None = setting(
        None,
        "With --start-topology: draw the weights, or take those of the model, or those that its run began"
        " with.",
        choices=VALUES,
        shown="fresh",
    )
    method: str = setting("st-rnn", "Sparse training method; truesparse methods lists them.")
    optimizer: str = setting("sgd", f"Optimizer: {listed(OPTIMIZERS)}.")
    epochs: int = setting(8, "Passes over the training data.", low=1)
    max_steps: int = setting(0, "End after this many steps; 0 for no limit.", low=0)
    patience: int | None = patience_setting()
    max_minutes: float | None = minutes_setting()
    batch_size: int = setting(20, "Texts or sequences read side by side, B.", low=1)
    dropout: float = fraction(0.0, "Fraction of the units dropped between layers.", none=True)
    locked_dropout: bool | None = setting(
        None, "Drop the same units of a sequence at every step.", shown="yes for rhn, no for the others"
    )
    dropout_weights: float = fraction(
        0.0, "Fraction of the recurrent weights dropped from a window.", none=True
    )
    init_scale: float | None = setting(
        None,
        "First weights are uniform in plus or minus this, divided by the root of their matrix's density.",
        low=0,
        open_low=True,
        shown="1 / sqrt(hidden size)",
    )
    eval_interval: int = setting(0, "Steps between evaluations; 0 for once per epoch.", low=0)
    log_interval: int = setting(50, "Steps between records of the training loss.", low=1)
    log: str | None = log_setting()
    track_positions: bool = setting(
        False, "Keep a bit for every position, to report which share of them has ever held a weight."
    )
    keep_topologies: int | None = setting(
        None,
        "Number of snapshots of the connections to keep, evenly over their updates, for truesparse distance.",
        low=2,
        shown="none",
    )
    local_steps: int = setting(
        1, "Most steps of each rank before all average weights; 10 until the learning rate falls.", low=1
    )
    outer_momentum: float = fraction(0.0, "Nesterov momentum of the averages; 0 for none.", none=True)
    comm_dtype: str = setting(
        "float32", "What ranks send; bf16 halves the traffic.", choices=("float32", "bf16")
    )
    seed: int = setting(1, "Seed of all random numbers.", low=0, high=1e18)
    threads: int = setting(0, "Threads; 0 for one per core. The result does not depend on it.", low=0)
    tune: bool | None = setting(
        None,
        "Find out what is fastest on this processor, and remember it: at most about a second for each new"
        " kind of product, of which a model has about a dozen. The result does not depend on it.",
        shown="yes",
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = checked(field, getattr(self, field.name), flag(field.name))
            object.__setattr__(self, field.name, value)
        for choice, options in choices().items():
            chosen = getattr(self, choice)
            if chosen in options:
                self._refuse_others(choice, chosen, options)
        self._check_method()
        check_vectors(self)
        check_token_rows(self)
        preset = getattr(self, "preset", None)
        if preset is not None and preset not in self.PRESETS:
            raise UsageError(f"--preset is {preset!r}; it must be {listed(self.PRESETS)}")

    def make_task(self, **reading: Any) -> Task:
        """Read the data; of a task that has a command.

        Parameters
        ----------
        **reading
            `word_rule`, the version of the rule that says what a word is; the newest if not given. `like`, of
            which vocabulary and labels are taken (`truesparse.training.task.ReadsAs`); those of the training
            data if not given.

        Raises
        ------
        UsageError, TruesparseError
            The data are missing or cannot be read or learned from.
        """
        raise NotImplementedError

    @staticmethod
    def describe(results: Mapping[str, Any]) -> list[str]:
        """Lines that say what a run came to; `results` are those of `truesparse.tasks.run.train_model`."""
        raise NotImplementedError

    @classmethod
    def made(cls, saved: SavedModel | StoredModel) -> bool:
        """Whether this task made a saved model."""
        return saved.kind == cls.KIND and not saved.chain.features

    @staticmethod
    def predictor(saved: SavedModel) -> Predictor:
        """What ``truesparse predict`` asks.

        Raises
        ------
        UsageError, TruesparseError
            A model of the task does something else, or this one cannot be used.
        """
        raise NotImplementedError

    def _refuse_others(self, choice: str, chosen: str, options: Mapping[str, Fields]) -> None:
        """Raise UsageError if a setting is given that other optimizers, methods or cells have."""
        every = {name for fields in options.values() for name in fields} & self.fields().keys()
        for name in sorted(every - options[chosen].keys()):
            if getattr(self, name) is not None:
                raise UsageError(f"{flag(name)} does not go with {flag(choice)} {chosen}; leave it out")

    def _check_method(self) -> None:
        """Raise UsageError if the optimizer or the method is unknown or does not fit."""
        momentum = self.optimizer_settings.momentum_state
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
        if self.start_topology is None and self.start_values is not None:
            raise UsageError("--start-values needs --start-topology, a run or a model file; give it too")
        if self.start_topology is not None and (method.initial != "sparse" or method.initial_setting):
            raise UsageError(
                f"--start-topology does not go with --method {method.name}, which begins with connections of"
                " its own; use a method that keeps its density, such as static"
            )
        redistribute = self.settings_of("method").get("redistribute")
        told = {"redistribute": redistribute} if redistribute else {}
        method.with_settings(**told).check(self.gates, self.groups, self.distribution, momentum)
        if self.max_minutes is not None and method.shrinks:
            raise UsageError(
                f"--max-minutes does not go with --method {method.name}, which has to know how many steps it"
                " has to take weights away; use --epochs or --max-steps"
            )
        if self.importance != "l1" and not self.groups:
            raise UsageError(
                f"--importance {self.importance} is for connections of several weights; add --pattern unit,"
                f" or leave it out"
            )

    @property
    def groups(self) -> str:
        """The flag that lets rows of matrices share their positions; empty if none does."""
        return "--pattern unit" if self.pattern == "unit" else ""

    def filled(self) -> Self:
        """The configuration with the defaults of its optimizer, method and cell in the place of None."""
        fields = self.fields()
        missing: dict[str, Any] = {
            name: self.dropout if value is None else value
            for choice in choices()
            for name, value in defaults(choice, getattr(self, choice)).items()
            if name in fields and getattr(self, name) is None
        }
        if self.start_topology is not None:
            missing["start_values"] = self.start_values or VALUES[0]
        elif self.density is None and self.er_epsilon is None:
            missing["density"] = get_method(self.method).density or DENSITY
        return dataclasses.replace(self, **missing)

    def settings_of(self, choice: str) -> dict[str, Any]:
        """What a choice's own settings are: those of ``cell``, ``optimizer`` or ``method``.

        One that was registered after this module was imported has its defaults where no field has its name.
        """
        own = defaults(choice, getattr(self, choice))
        return {name: getattr(self, name, default) for name, default in own.items()}

    @property
    def optimizer_settings(self) -> OptimizerSettings:
        """The optimizer, as it was told."""
        told = {name: value for name, value in self.settings_of("optimizer").items() if value is not None}
        return get_optimizer(self.optimizer)(**told)

    def cell_settings(self) -> dict[str, Any]:
        """What is said of the recurrent layers, as `truesparse.layers.models` takes it."""
        own = self.settings_of("cell")
        kinds = [kind for kind in DropoutRates._fields if f"dropout_{kind}" in own]
        rates = {kind: own.pop(f"dropout_{kind}") for kind in kinds}
        return {
            "hidden_size": self.hidden_size,
            "layers": self.layers,
            "bidirectional": self.bidirectional,
            "cell": self.cell,
            "pattern": self.pattern,
            "dropout": self.dropout if None in rates.values() else DropoutRates(**rates),
            "locked": self.locked_dropout,
            "dropout_weights": self.dropout_weights,
            **own,
        }

    def to_toml(self) -> str:
        """The task and the configuration as TOML; fields that are None are left out."""
        return to_toml({"task": self.TASK, **{name: getattr(self, name) for name in self.fields()}})

    @classmethod
    def fields(cls) -> dict[str, dataclasses.Field[Any]]:
        """The fields by name, those of the task first, without those that it does not use."""
        own = [vars(kind).get("__annotations__", {}) for kind in cls.__mro__]
        rank = {name: place for place, names in reversed(list(enumerate(own))) for name in names}
        every = sorted(dataclasses.fields(cls), key=lambda f: rank[f.name])
        return {field.name: field for field in every if field.name not in cls.UNUSED}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A configuration from field names and values.

        Raises
        ------
        UsageError
            As the class; also for a name that is no field.
        """
        cls.check_names((name for name in values if name not in cls.UNUSED), "the configuration")
        return cls(**values)

    @classmethod
    def load_toml(cls, path: Path) -> dict[str, Any]:
        """Read field names and values from a TOML file.

        A file may say what task it is for; what says nothing is for this one.

        Raises
        ------
        UsageError
            The file does not exist, is not TOML or for another task, or has a key that is no field or a value
            that its field cannot have.
        """
        values = read_toml(path)
        meant = values.pop("task", cls.TASK)
        if meant != cls.TASK:
            word = meant if isinstance(meant, str) else shown(meant)
            raise UsageError(
                f"{path} is for truesparse train {word}, not for truesparse train {cls.TASK}"
                "; use that command"
            )
        cls.check_names(values, str(path))
        return {name: cls.value_of(values, name, path) for name in values}

    @classmethod
    def value_of(cls, values: Mapping[str, Any], name: str, path: Path) -> Any:
        """One value of what `read_toml` made of a file, or the default, whatever else is in there.

        Raises
        ------
        UsageError
            The field cannot have it.
        """
        field = cls.fields()[name]
        return checked(field, values[name], f"{name} in {path}") if name in values else field.default

    @classmethod
    def check_names(cls, values: Iterable[str], source: str) -> None:
        """Raise UsageError, with the nearest name, if one of `values` is no field."""
        fields = cls.fields()
        for name in values:
            if name not in fields:
                near = difflib.get_close_matches(name.replace("-", "_"), fields, n=1)
                hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(fields)}"
                raise UsageError(f"{source} has the unknown key {name!r}; {hint}")
