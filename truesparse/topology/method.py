"""A training method: how the topology of a model begins and how an update changes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from truesparse.errors import UsageError
from truesparse.settings import Settings
from truesparse.topology.schedules import Schedule, constant
from truesparse.topology.settings import method_settings

if TYPE_CHECKING:
    from truesparse.sparse.arena import Arena
    from truesparse.topology.drop import DropRule
    from truesparse.topology.first_values import FirstValues
    from truesparse.topology.grow import GrowRule
    from truesparse.topology.hooks import Beginning, Hooks
    from truesparse.topology.redistribute import Fractions, Redistribution
    from truesparse.topology.rewire import Adaptation
    from truesparse.topology.update import Changed, Update


@dataclass(frozen=True)
class Method:
    """A choice of rules, each a function or the name of one that its module has.

    Parameters
    ----------
    name : str
        What the user calls it.
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
    schedule : function
        How the fraction of entries that an update replaces goes from the setting `drop_fraction` to
        `final_fraction`; see `truesparse.topology.schedules`.
    final_fraction : float
    initial : {"sparse", "dense", "small", "salient"}
        Begin with random positions at the density asked for; with all positions; with all positions of a
        model so much smaller that it has as many weights; or with the positions that matter most to the loss.
    hooks : type of Hooks or str
        What it does besides these rules in the course of training, such as what `Update.scores` are: with
        `GradientHooks` the gradient of all positions, for which the update takes the place of the optimizer's
        step; see `truesparse.topology.hooks`.
    defaults : mapping of str to number
        The settings that it takes, with their defaults: `drop_fraction`; `update_interval`, in steps, 0 for
        once an epoch; `update_end`, the fraction of the run in which there are updates. Of a method that has
        a class of settings they are its own.
    settings : type of Settings
        The class of its settings, for a method that has others; derived from `defaults` if not given.
    fused : str
        Why it cannot keep a number of entries for each gate; empty if it can.
    single : str
        Why it cannot have connections of several weights; empty if it can.
    stores, work : str
        What it stores besides the weights that exist, and its training FLOPs, for the table of methods.
    """

    name: str
    summary: str
    drop: DropRule | str | None = None
    grow: GrowRule | str = "random_positions"
    redistribute: Redistribution | str = "as_dropped"
    first_values: FirstValues | str | None = None
    fractions: Fractions | str | None = None
    adapt: Adaptation | str | None = None
    schedule: Schedule = constant
    final_fraction: float = 0.0
    initial: Literal["sparse", "dense", "small", "salient"] = "sparse"
    hooks: type[Hooks] | str = "hooks.Hooks"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    settings: type[Settings] = Settings
    fused: str = ""
    single: str = ""
    stores: str = "nothing"
    work: str = "3 f_S"

    def __post_init__(self) -> None:
        if self.settings is Settings:
            object.__setattr__(self, "settings", method_settings(self.defaults))
        elif not self.defaults:
            defaults = {field.name: field.default for field in dataclasses.fields(self.settings)}
            object.__setattr__(self, "defaults", defaults)

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies and pickles, which cannot have a class that is derived."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.settings.__module__ == "types":
            values["settings"] = Settings
        return type(self), tuple(values.values())

    @property
    def updates(self) -> bool:
        """Whether the topology changes."""
        return self.drop is not None

    @property
    def shrinks(self) -> bool:
        """Whether it ends with fewer weights than it begins with."""
        if "initial_density" in self.defaults:
            return True
        return getattr(self.redistribute, "__name__", self.redistribute) == "none_grown"

    @property
    def density(self) -> float | None:
        """The density it insists on; None leaves it to the user."""
        return 1.0 if self.initial == "dense" and not self.updates else None

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
        settings = self.settings(**{**self.defaults, **values})
        return dataclasses.replace(self, defaults=dataclasses.asdict(settings))

    def check(self, gates: str, shared: str) -> None:
        """Check that it goes with how a model counts and shares its positions.

        Parameters
        ----------
        gates : {"fused", "separate"}
            As in `update`.
        shared : str
            The flag that lets rows share positions; empty if none do.

        Raises
        ------
        UsageError
            It does not.
        """
        for flag, reason in (("--gates separate" * (gates == "separate"), self.fused), (shared, self.single)):
            if flag and reason:
                raise UsageError(
                    f"{flag} does not go with --method {self.name}, which {reason}; leave it out, or use"
                    f" another method"
                )

    def begin(self, beginning: Beginning) -> Hooks:
        """Put the method to work on a model."""
        hooks: type[Hooks] = _found(self.hooks, "")
        return hooks(self, beginning)

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
            If the fraction lies outside [0, 1).

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
        rules = Rules(
            _found(self.drop, "drop"),
            _found(self.grow, "grow"),
            _found(self.redistribute, "redistribute"),
            _found(self.first_values, "first_values"),
            _found(self.fractions, "redistribute"),
            _found(self.adapt, "drop"),
        )
        return rewire(arena, rules, update, gates)


def _found(rule: Any, module: str) -> Any:
    """What a name stands for in a module of this package, imported only now: flags need no NumPy."""
    if not isinstance(rule, str):
        return rule
    module, _, name = (rule if "." in rule else f"{module}.{rule}").rpartition(".")
    return getattr(import_module(f"truesparse.topology.{module}"), name)
