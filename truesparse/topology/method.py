"""A training method: how the topology of a model begins and how an update changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, Literal

import numpy as np

from truesparse.errors import UsageError
from truesparse.sparse.arena import Arena
from truesparse.sparse.rewiring import Rewired, Rewiring
from truesparse.topology.drop import DropRule, Keep
from truesparse.topology.first_values import FirstValues
from truesparse.topology.grow import GrowRule, join, random_positions
from truesparse.topology.hooks import Hooks
from truesparse.topology.redistribute import Fractions, Redistribution, as_dropped, none_grown
from truesparse.topology.schedules import Schedule, constant
from truesparse.topology.update import Changed, Part, Update, parts_of


@dataclass(frozen=True)
class Method:
    """A choice of rules; no code of its own.

    Parameters
    ----------
    name : str
        What the user calls it.
    summary : str
        What it does, in a few words.
    drop : function or None
        Which entries go; see `truesparse.topology.drop`. None for a topology that stays.
    grow : function
        Where new ones come; see `truesparse.topology.grow`.
    redistribute : function
        How many come in each part; see `truesparse.topology.redistribute`.
    first_values : function or None
        What they begin with; see `truesparse.topology.first_values`. None for 0.
    fractions : function or None
        What fraction each part drops; see `truesparse.topology.redistribute`. None for that of the update.
    adapt : function or None
        Called with what every part keeps, before anything is grown, to remember something for later updates.
    schedule : function
        How the fraction of entries that an update replaces goes from the setting `drop_fraction` to
        `final_fraction`; see `truesparse.topology.schedules`.
    final_fraction : float
    initial : {"sparse", "dense", "small", "salient"}
        Begin with random positions at the density asked for; with all positions; with all positions of a
        model so much smaller that it has as many weights; or with the positions that matter most to the loss.
    hooks : type of Hooks
        What it does besides these rules in the course of training, such as what `Update.scores` are: with
        `GradientHooks` the gradient of all positions, for which the update takes the place of the optimizer's
        step; see `truesparse.topology.hooks`.
    defaults : mapping of str to number
        The settings that it takes, with their defaults: `drop_fraction`; `update_interval`, in steps, 0 for
        once an epoch; `update_end`, the fraction of the run in which there are updates; others of `hooks`.
    fused : str
        Why it cannot keep a number of entries for each gate; empty if it can.
    single : str
        Why it cannot have connections of several weights; empty if it can.
    stores, work : str
        What it stores besides the weights that exist, and its training FLOPs, for the table of methods.
    """

    name: str
    summary: str
    drop: DropRule | None = None
    grow: GrowRule = random_positions
    redistribute: Redistribution = as_dropped
    first_values: FirstValues | None = None
    fractions: Fractions | None = None
    adapt: Callable[[Sequence[Keep], Update], None] | None = None
    schedule: Schedule = constant
    final_fraction: float = 0.0
    initial: Literal["sparse", "dense", "small", "salient"] = "sparse"
    hooks: type[Hooks] = Hooks
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fused: str = ""
    single: str = ""
    stores: str = "nothing"
    work: str = "3 f_S"

    @property
    def updates(self) -> bool:
        """Whether the topology changes."""
        return self.drop is not None

    @property
    def shrinks(self) -> bool:
        """Whether it drops without growing."""
        return self.redistribute is none_grown

    @property
    def density(self) -> float | None:
        """The density it insists on; None leaves it to the user."""
        return 1.0 if self.initial == "dense" and not self.updates else None

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
        if not (0 <= update.fraction < 1 or (self.shrinks and update.fraction == 1)):
            raise UsageError(f"the drop fraction is {update.fraction}; it must be at least 0 and below 1")
        if self.drop is None:
            return {}
        parts = {name: parts_of(matrix, gates, update.importance) for name, matrix in arena.matrices.items()}
        all_parts = [part for mine in parts.values() for part in mine]
        fractions = self._fractions(all_parts, update)
        keeps = {
            name: [self._keep(part, replace(update, fraction=next(fractions))) for part in mine]
            for name, mine in parts.items()
        }
        every = [keep for mine in keeps.values() for keep in mine]
        if self.adapt is not None:
            self.adapt(every, update)
        grow = iter(self.redistribute(all_parts, every, update))
        counts = {name: [next(grow) for _ in mine] for name, mine in parts.items()}
        del every, all_parts
        in_place = all(sum(counts[name]) == sum(map(_dropped, keeps[name])) for name in parts)
        changes: dict[str, Rewired] = {}
        changed: dict[str, Changed] = {}
        for name, matrix in arena.matrices.items():
            mine, kept, new = parts.pop(name), keeps.pop(name), counts.pop(name)
            if not any(new) and not any(map(_dropped, kept)):
                continue
            grown = [self.grow(*choice, update) for choice in zip(mine, kept, new, strict=True)]
            changes[name] = join(matrix, grown)
            grew = changes[name].grown
            lost = matrix.connections + grew - changes[name].pattern.nnz
            changed[name] = Changed(lost * matrix.group, grew * matrix.group)
            if in_place:
                self._apply(arena, changes, update)
        self._apply(arena, changes, update)
        return changed

    def _fractions(self, parts: Sequence[Part], update: Update) -> Iterator[float]:
        """What fraction each part drops."""
        return repeat(update.fraction) if self.fractions is None else iter(self.fractions(parts, update))

    def _keep(self, part: Part, update: Update) -> Keep:
        """Which entries stay: all of a part that could only grow again what it dropped."""
        assert self.drop is not None
        if self.redistribute is as_dropped and part.nnz == part.positions:
            return np.ones(part.nnz, dtype=bool)
        return self.drop(part, update)

    def _apply(self, arena: Arena, changes: dict[str, Rewired], update: Update) -> None:
        """Carry out changes, and forget them."""
        if not changes:
            return
        arena.apply(Rewiring(changes))
        if self.first_values is not None:
            for name, change in changes.items():
                self.first_values(arena.matrices[name], change.source < 0, update.rng)
            arena.touch()
        changes.clear()


def _dropped(keep: Keep) -> int:
    return keep.size - int(np.count_nonzero(keep))
