"""A training method: how the topology of a model begins and how an update changes it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, get_args

from truesparse.errors import UsageError, unknown_name
from truesparse.settings import Settings, checked, flag, shown
from truesparse.topology.schedules import Schedule, constant
from truesparse.topology.settings import COMMON

if TYPE_CHECKING:
    from truesparse.sparse.arena import Arena
    from truesparse.topology.drop import DropRule
    from truesparse.topology.first_values import FirstValues
    from truesparse.topology.grow import GrowRule
    from truesparse.topology.hooks import Beginning, Hooks
    from truesparse.topology.redistribute import Fractions, Redistribution
    from truesparse.topology.rewire import Adaptation
    from truesparse.topology.snip import Preparation
    from truesparse.topology.update import Changed, Update

# Where rules that are named have their functions, if the name does not say it.
_MODULES = {
    "drop": "drop",
    "grow": "grow",
    "redistribute": "redistribute",
    "first_values": "first_values",
    "fractions": "redistribute",
    "adapt": "drop",
    "schedule": "schedules",
    "prepare": "snip",
    "hooks": "hooks",
}
# The rules of a method whose setting is to redistribute weights by their momentum.
_BY_MOMENTUM = {"redistribute": "by_momentum", "fractions": "less_of_nearly_full_by_momentum"}
Initial = Literal["sparse", "dense", "small"]


@dataclass(frozen=True)
class Method:
    """A choice of rules, each a function or the name of one that its module has.

    Parameters
    ----------
    name : str
        The name that users give.
    summary : str
        What it does, in a few words.
    drop : function, str or None
        Which entries go; see `truesparse.topology.drop`. None for a topology that stays.
    grow : function or str
        Where new ones come; see `truesparse.topology.grow`.
    redistribute : function or str
        How many come in each part; see `truesparse.topology.redistribute`.
    first_values : function, str or None
        What they begin with; see `truesparse.topology.first_values`. None for 0.
    fractions : function, str or None
        What fraction each part drops; see `truesparse.topology.redistribute`. None for that of the update.
    adapt : function, str or None
        Called with what every part keeps, before anything is grown, to remember something for later updates.
    schedule : function or str
        How the fraction of entries that an update replaces goes from the setting `drop_fraction` to
        `final_fraction`; see `truesparse.topology.schedules`.
    final_fraction : float
    initial : {"sparse", "dense", "small"}
        Begin with random positions at the density asked for; with all positions; or with all positions of a
        model so much smaller that it has as many weights.
    initial_setting : str
        The setting that says with what density to begin; empty if that is the one asked for.
    prepare : function, str or None
        What chooses, before training, which weights a model keeps; see `truesparse.topology.snip`.
    shrinks : bool
        Whether updates leave fewer and fewer weights; if not given, whether `redistribute` is `none_grown`.
    hooks : type of Hooks or str
        What it does besides these rules in the course of training, such as what `Update.scores` are: with
        `GradientHooks` the gradient of all positions, for which the update takes the place of the optimizer's
        step; see `truesparse.topology.hooks`.
    defaults : mapping
        The settings that it takes, with their defaults: `drop_fraction`; `update_interval`, in steps, 0 for
        once an epoch; `update_end`, the fraction of the run in which there are updates; `redistribute`,
        "method" or "momentum", for one that grows as many weights as it drops; and those of `settings`.
    settings : type of Settings
        The class of its other settings.
    fused : str
        Why it cannot keep a number of entries for each gate; empty if it can.
    single : str
        Why it cannot have connections of several weights; empty if it can.
    spread : str
        Why it cannot spread the density over the matrices as the user asks; empty if it can.
    units : bool
        Whether it takes away whole hidden units, so that a model must have some.
    stores, work : str
        What it stores besides the weights that exist, and its training FLOPs, for the table of methods.

    Raises
    ------
    UsageError
        There is no rule or no setting of a name, or a default is out of range.
    """

    name: str
    summary: str
    drop: DropRule | str | None = None
    grow: GrowRule | str = "random_positions"
    redistribute: Redistribution | str = "as_dropped"
    first_values: FirstValues | str | None = None
    fractions: Fractions | str | None = None
    adapt: Adaptation | str | None = None
    schedule: Schedule | str = constant
    final_fraction: float = 0.0
    initial: Initial = "sparse"
    initial_setting: str = ""
    prepare: Preparation | str | None = None
    shrinks: bool = None  # type: ignore[assignment]
    hooks: type[Hooks] | str = "hooks.Hooks"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    settings: type[Settings] = Settings
    fused: str = ""
    single: str = ""
    spread: str = ""
    units: bool = False
    stores: str = "nothing"
    work: str = "3 f_S"

    def __post_init__(self) -> None:
        if self.initial not in get_args(Initial):
            raise unknown_name("initial state", self.initial, get_args(Initial))
        self._check_rules()
        if self.shrinks is None:
            rule = self.redistribute
            self._set("shrinks", getattr(rule, "__name__", rule) == "none_grown")
        own = {one.name for one in dataclasses.fields(self.settings)}
        for name in self.defaults.keys() - own - COMMON.keys():
            raise unknown_name("setting", name, [*COMMON, *own])
        others = {
            name: checked(COMMON[name], self.defaults[name], name)
            for name in self.defaults
            if name not in own
        }
        settings = self.settings(**{name: value for name, value in self.defaults.items() if name in own})
        self._set("defaults", others | dataclasses.asdict(settings))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_rules(self) -> None:
        """Raise UsageError if there is no rule of a name."""
        for name in _MODULES:
            self._rule(name)

    @property
    def fields(self) -> dict[str, dataclasses.Field[Any]]:
        """The settings that it takes, by their names, with its defaults."""
        fields = COMMON | {one.name: one for one in dataclasses.fields(self.settings)}
        found = {}
        for name, default in self.defaults.items():
            found[name] = copy.copy(fields[name])
            found[name].default = default
        return found

    @property
    def updates(self) -> bool:
        """Whether the topology changes."""
        return self.drop is not None

    @property
    def ends_sparser(self) -> bool:
        """Whether a model ends with fewer weights than it is made with."""
        return self.shrinks or self.prepare is not None

    @property
    def sparse_from_the_start(self) -> bool:
        """Whether already the first step of training is that of a sparse model."""
        return self.initial == "sparse" or self.prepare is not None

    @property
    def by_momentum(self) -> bool:
        """Whether weights move between matrices by their momentum, which the optimizer has to keep."""
        rule = self.redistribute
        told = self.defaults.get("redistribute") == "momentum"
        return told or getattr(rule, "__name__", rule) == "by_momentum"

    @property
    def dense_gradients(self) -> tuple[bool, bool]:
        """Whether each step computes the gradients of all positions, and whether an update does."""
        hooks: type[Hooks] = self._rule("hooks")
        return hooks.OBSERVES, hooks.REPLACES

    @property
    def density(self) -> float | None:
        """The density it insists on; None leaves it to the user."""
        keeps_all = self.initial == "dense" and not self.updates and self.prepare is None
        return 1.0 if keeps_all else None

    def with_settings(self, **values: Any) -> Method:
        """The same method with other defaults of its settings.

        Raises
        ------
        UsageError
            It has no such setting, or one is out of range.
        """
        for name in values:
            if name not in self.defaults:
                has = f"it has {', '.join(self.defaults)}" if self.defaults else "it has none"
                raise UsageError(f"the method {self.name} has no setting {name!r}; {has}")
        return dataclasses.replace(self, defaults={**self.defaults, **values})

    def first_density(self, settings: Mapping[str, Any], last: float) -> float:
        """The density that a model is made with.

        Parameters
        ----------
        settings : mapping
            A value for each of its settings.
        last : float
            The density that the model has in the end.

        Raises
        ------
        UsageError
            It would begin with fewer weights than there are in the end.
        """
        if self.initial != "sparse":
            return 1.0
        first: float = settings[self.initial_setting] if self.initial_setting else last
        if first < last:
            raise UsageError(
                f"{flag(self.initial_setting)} {first:g} is below the density {last:g} that the model is to"
                f" come down to; raise it, or ask for fewer weights"
            )
        return first

    def check(self, gates: str, shared: str, distribution: str = "uniform", momentum: str = "") -> None:
        """Check that it goes with how a model counts, shares and spreads its positions.

        Parameters
        ----------
        gates : {"fused", "separate"}
            As in `update`.
        shared : str
            The flag that lets rows share positions; empty if none do.
        distribution : {"uniform", "erdos-renyi"}
            How the density is spread over the matrices.
        momentum : str
            As of `Beginning`.

        Raises
        ------
        UsageError
            It does not.
        """
        if self.by_momentum and gates == "separate":
            raise UsageError(
                "--gates separate does not go with --redistribute momentum, which moves weights between whole"
                " matrices; leave one of the two out"
            )
        if self.by_momentum and not momentum:
            raise UsageError(
                "--redistribute momentum goes by the momentum of the weights, and the optimizer keeps none"
                "; use --optimizer sgd with a --momentum above 0, or adam with a --beta1 above 0"
            )
        for given, reason in (
            ("--gates separate" * (gates == "separate"), self.fused),
            (shared, self.single),
            (f"--distribution {distribution}" * (distribution != "uniform"), self.spread),
        ):
            if given and reason:
                raise UsageError(
                    f"{given} does not go with --method {self.name}, which {reason}; leave it out, or use"
                    f" another method"
                )

    def fraction(self, initial: float, step: int, total: int) -> float:
        """What the schedule says; see `truesparse.topology.schedules`."""
        fraction: float = self._rule("schedule")(initial, self.final_fraction, step, total)
        return fraction

    def begin(self, beginning: Beginning) -> Hooks:
        """Put the method to work on a model."""
        hooks: type[Hooks] = self._rule("hooks")
        told = {name: beginning.settings[name] for name in ("redistribute",) if name in beginning.settings}
        return hooks(self.with_settings(**told), beginning)

    def choose(self, beginning: Beginning, density: float, gradients: Callable[[int], float]) -> float:
        """Choose which weights a model keeps; see `truesparse.topology.snip.Preparation`."""
        prepare: Preparation = self._rule("prepare")
        return prepare(beginning, density, gradients)

    def update(self, arena: Arena, update: Update, gates: str = "fused") -> dict[str, Changed]:
        """Change the topology of all matrices of an arena once.

        Parameters
        ----------
        arena : Arena
            Modified in place. A weight that stays keeps its value and states bit for bit.
        update : Update
        gates : {"fused", "separate"}
            Whether a stacked matrix keeps its number of entries, or each of its row blocks its own.

        Returns
        -------
        dict of str to Changed
            For the matrices that have changed. One that is full is left alone where numbers of entries stay.

        Raises
        ------
        UsageError
            If the fraction lies outside [0, 1), or there is no momentum to go by.

        Notes
        -----
        One byte for each entry of the model and, one matrix at a time, up to 6 for each of its entries; of
        all matrices at once where numbers of entries change.
        """
        from truesparse.topology.rewire import Rules, rewire

        if not (0 <= update.fraction < 1 or (self.shrinks and update.fraction == 1)):
            raise UsageError(f"the drop fraction is {update.fraction}; it must be at least 0 and below 1")
        if self.drop is None:
            return {}
        if self.by_momentum and update.momentum not in arena.states:
            raise UsageError(
                "weights that go by their momentum need an update that says which of the arena's states that"
                f" is; give it momentum, one of {list(arena.states)}"
            )
        names = [one.name for one in dataclasses.fields(Rules)]
        return rewire(arena, Rules(**{name: self._rule(name) for name in names}), update, gates)

    def _rule(self, name: str) -> Any:
        told = _BY_MOMENTUM if self.by_momentum else {}
        return _found(told.get(name, getattr(self, name)), name, _MODULES[name])


def _found(rule: Any, kind: str, place: str) -> Any:
    """The value of a name in a module of this package, imported only now: flags need no NumPy."""
    if not isinstance(rule, str):
        if rule is None or callable(rule):
            return rule
        raise UsageError(f"{kind} is {shown(rule)}; it must be a function or the name of one")
    module, _, name = (rule if "." in rule else f"{place}.{rule}").rpartition(".")
    try:
        return getattr(import_module(f"truesparse.topology.{module}"), name)
    except (ImportError, AttributeError) as error:
        where = place if isinstance(error, ImportError) else module
        home = vars(import_module(f"truesparse.topology.{where}"))
        known = [name for name, own in home.items() if getattr(own, "__module__", "") == home["__name__"]]
        prefix = "" if where == place else f"{where}."
        public = [prefix + name for name in known if not name.startswith("_")]
        raise unknown_name(f"{kind} rule", rule, public) from None
