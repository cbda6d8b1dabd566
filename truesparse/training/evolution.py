"""When the topology of a model changes while it trains; what then happens is the method's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from truesparse.errors import UsageError
from truesparse.topology import Beginning, Changed, Method
from truesparse.topology.hooks import Gradients
from truesparse.topology.positions import PositionsUsed
from truesparse.topology.snapshots import Snapshot, kept_updates


class TopologyChange(NamedTuple):
    """What an update of the topology came to.

    Attributes
    ----------
    fraction : float
        Of the entries that were to be replaced, or how far gradual pruning has come.
    changed : dict of str to Changed
        For each matrix how many weights were dropped and grown.
    seconds : float
    """

    fraction: float
    changed: dict[str, Changed]
    seconds: float


def _forget(snapshot: Snapshot) -> None:
    """Keep nothing."""


class Evolution:
    """The topology updates of a run.

    Parameters
    ----------
    method : Method
    beginning : Beginning
        Its model gets the state that the method needs, unless it is there already, as it is after a
        checkpoint.
    planned, steps_per_epoch : int
        See `replan`.
    track_positions : bool
        Whether to keep which positions have ever held a weight.
    keep_topologies : int, optional
        How many snapshots of the topology are kept; see `truesparse.topology.snapshots.kept_updates`.

    Attributes
    ----------
    method, planned
        As given.
    kept : callable
        Is given each snapshot that is kept; does nothing until it is set.
    interval : int
        Steps between updates.
    hooks : Hooks
        The method at work.
    positions : PositionsUsed or None

    Raises
    ------
    UsageError
        A matrix would be left without a weight in the end.
    """

    def __init__(
        self,
        method: Method,
        beginning: Beginning,
        planned: int,
        steps_per_epoch: int,
        track_positions: bool = False,
        keep_topologies: int | None = None,
    ) -> None:
        self.method = method
        self.kept: Callable[[Snapshot], object] = _forget  # estimators are pickled: no lambda
        self._arena = beginning.arena
        self._keep = keep_topologies
        self._settings = beginning.settings
        self._first = self._settings.get("drop_fraction", 0.0)
        self._end = self._settings.get("update_end", 1.0)
        self.replan(planned, steps_per_epoch)
        self.hooks = method.begin(beginning)
        self.positions = PositionsUsed(beginning.arena.matrices) if track_positions else None

    def replan(self, planned: int, steps_per_epoch: int) -> None:
        """Plan for so many steps, over which the drop fraction falls, in epochs of so many."""
        self.planned = planned
        self._steps_per_epoch = steps_per_epoch
        self.interval = self._settings.get("update_interval") or steps_per_epoch

    def check(self) -> None:
        """Raise UsageError if the run is too short to come down to its density."""
        if self.method.shrinks and self._last < self.interval:
            raise UsageError(
                f"--method {self.method.name} needs an update before its run of {self.planned:,} steps ends,"
                f" but --update-interval is {self.interval:,}; lower it, or train for longer"
            )

    def due(self, step: int) -> bool:
        """Whether there is an update at a step, counted from 1."""
        return self.method.updates and step % self.interval == 0 and step <= self._last

    def takes_away(self, step: int) -> bool:
        """Whether there is an update at a step or after it that takes weights away for good."""
        return self.method.shrinks and step <= self._last

    def last_update(self, step: int) -> int:
        """The step of the last update up to a step; 0 if there was none."""
        return min(step, self._last) // self.interval * self.interval

    def fraction(self, step: int) -> float:
        """The fraction of the entries that an update at a step replaces; how far pruning has come."""
        method = self.method
        end = self._last if method.shrinks else round(self._end * self.planned)
        return method.fraction(self._first, step, end)

    def replaces(self, step: int) -> bool:
        """Whether there is an update at a step that takes the place of the optimizer's step."""
        return self.hooks.REPLACES and self.due(step)

    def dense(self, step: int) -> bool:
        """Whether a step computes the gradients of all positions."""
        return self.hooks.OBSERVES or self.replaces(step)

    def update(self, step: int, gradients: Gradients) -> dict[str, Changed]:
        """Change the topology after a step that was just made, of which `gradients` are."""
        changed = self.hooks.rewire(self.fraction(step), gradients, min(step / max(self._last, 1), 1.0))
        if self.positions is not None:
            self.positions.mark(changed)
        if self._keeps(step):
            self.keep(step)
        return changed

    def keep(self, step: int) -> None:
        """Keep the topology after a step, if any are kept."""
        if self._keep is not None:
            self.kept(Snapshot.of(step, step / self._steps_per_epoch, self._arena.matrices))

    def keep_last(self, step: int) -> None:
        """Keep the topology after the last step of a run, unless it was after the last update."""
        if not self._keeps(self.last_update(step)):
            self.keep(step)

    def _keeps(self, step: int) -> bool:
        """Whether the topology is kept after the update at a step."""
        if self._keep is None:
            return False
        updates = self._last // self.interval if self.method.updates else 0
        return step // self.interval in kept_updates(updates, self._keep)

    def counters(self) -> dict[str, Any]:
        """What JSON can hold and a checkpoint has to, besides the states in the arena."""
        return dict(self.hooks.memory)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that a checkpoint has to hold besides the arena, by the tensors' names."""
        positions = {} if self.positions is None else self.positions.bits
        return {**self.hooks.arrays(), **{f"positions.{name}": bits for name, bits in positions.items()}}

    def restore(self, counters: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `counters` and `arrays` gave."""
        self.hooks.restore(counters, arrays)
        if self.positions is not None:
            self.positions.load({name: arrays.get(f"positions.{name}") for name in self.positions.bits})

    def measures(self) -> dict[str, Any]:
        """What records tell of the past of the topology, if it is tracked."""
        if self.positions is None:
            return {}
        return {
            "positions_used": self.positions.share,
            "positions_used_per_matrix": self.positions.shares(),
        }

    @property
    def _last(self) -> int:
        """No update comes after this step; with pruning, the last one comes at it."""
        last = min(round(self._end * self.planned), self.planned - 1)
        return last // self.interval * self.interval if self.method.shrinks else last
