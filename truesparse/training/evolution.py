"""When and how the topology of a model changes while it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import UsageError
from truesparse.topology import Changed, DenseMomentum, Update, get_method, initial_counts, parts_of
from truesparse.topology.positions import PositionsUsed
from truesparse.topology.update import Scores
from truesparse.training.build import wanted_density
from truesparse.training.config import Config

if TYPE_CHECKING:
    from truesparse.model import Model


Gradients = Callable[[], Mapping[str, Scores]]


class Evolution:
    """The topology updates of a run.

    Parameters
    ----------
    config : Config
        Filled in (`Config.filled`).
    model : Model
        Gets the state that the method needs, unless it is there already, as it is after a checkpoint.
    rng : numpy.random.Generator
    steps_per_epoch : int

    Attributes
    ----------
    method : Method
    interval : int
        Steps between updates.
    positions : PositionsUsed or None
        If the configuration asks for it.

    Raises
    ------
    UsageError
        A matrix would be left without a weight in the end.
    """

    def __init__(self, config: Config, model: Model, rng: np.random.Generator, steps_per_epoch: int) -> None:
        self.method = get_method(config.method)
        self.interval = config.update_interval or steps_per_epoch
        self._config = config
        self._arena = model.arena
        self._rng = rng
        self._memory: dict[str, float] = {}
        self._targets = self._final_counts(model) if self.method.shrinks else {}
        self.positions = PositionsUsed(model.matrices) if config.track_positions else None
        self._momentum: DenseMomentum | None = None
        if self.method.scores == "momentum":
            self._momentum = DenseMomentum({name: m.shape for name, m in model.matrices.items()})
        self._signed = config.l1 is not None
        if self._signed and "sign" not in self._arena.states:
            self._arena.add_state("sign")
            for matrix in self._arena.matrices.values():
                matrix.state("sign")[...] = np.copysign(np.float32(1), matrix.data)

    def check(self, planned_steps: int) -> None:
        """Raise UsageError if a run of so many steps is too short to come down to its density."""
        if self.method.shrinks and self._last(planned_steps) < self.interval:
            raise UsageError(
                f"--method {self.method.name} needs an update before its run of {planned_steps:,} steps ends,"
                f" but --update-interval is {self.interval:,}; lower it, or train for longer"
            )

    def due(self, step: int, planned_steps: int) -> bool:
        """Whether there is an update at a step, counted from 1, of a run of so many steps."""
        return self.method.updates and step % self.interval == 0 and step <= self._last(planned_steps)

    def last_update(self, step: int, planned_steps: int) -> int:
        """The step of the last update up to a step of a run of so many; 0 if there was none."""
        return min(step, self._last(planned_steps)) // self.interval * self.interval

    def fraction(self, step: int, planned_steps: int) -> float:
        """The fraction of the entries that an update at a step replaces; how far pruning has come."""
        method, first = self.method, self._config.drop_fraction or 0.0
        end = self._last(planned_steps) if method.shrinks else round(self._end * planned_steps)
        return method.schedule(first, method.final_fraction, step, end)

    def replaces(self, step: int, planned_steps: int) -> bool:
        """Whether there is an update at a step that takes the place of the optimizer's step."""
        return self.method.scores == "gradient" and self.due(step, planned_steps)

    def dense(self, step: int, planned_steps: int) -> bool:
        """Whether a step computes the gradients of all positions."""
        return self._momentum is not None or self.replaces(step, planned_steps)

    def observe(self, gradients: Gradients, scale: float) -> None:
        """Remember of a step's gradients what the method has to.

        Parameters
        ----------
        gradients : callable
            `Learning.dense_gradients` of the step.
        scale : float
            That of the clipping.
        """
        if self._momentum is not None:
            self._momentum.add(gradients(), scale)

    def update(self, fraction: float, gradients: Gradients) -> dict[str, Changed]:
        """Change the topology once; see `Method.update`.

        `gradients` are those of the step that was just made, for a method that goes by them.
        """
        scores: Mapping[str, Scores] = {}
        if self._momentum is not None:
            scores = self._momentum.scores
        elif self.method.scores == "gradient":
            scores = gradients()
        importance = self._config.importance
        update = Update(fraction, self._rng, scores, self._targets, self._memory, importance)
        changed = self.method.update(self._arena, update, self._config.gates)
        if self.positions is not None:
            self.positions.mark(changed)
        return changed

    def disturb(self, lr: float) -> None:
        """Do what the method does after each step of the optimizer."""
        if not self._signed:
            return
        from truesparse.kernels.noise import signed_noise

        keys = self._rng.integers(0, 2**64, size=4, dtype=np.uint64)
        arena = self._arena
        penalty, noise = np.float32(lr * self._config.l1), np.float32(lr * self._config.noise)
        signed_noise(arena.values, arena.states["sign"], keys, penalty, noise)
        arena.touch()

    def counters(self) -> dict[str, Any]:
        """What JSON can hold and a checkpoint has to, besides the states in the arena."""
        return dict(self._memory)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that a checkpoint has to hold besides the arena, by the tensors' names."""
        momentum = {} if self._momentum is None else self._momentum.arrays
        positions = {} if self.positions is None else self.positions.bits
        return {
            **{f"method.{name}": array for name, array in momentum.items()},
            **{f"positions.{name}": bits for name, bits in positions.items()},
        }

    def restore(self, counters: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `counters` and `arrays` gave."""
        self._memory = dict(counters)
        if self._momentum is not None:
            for name, array in self._momentum.arrays.items():
                array[...] = arrays[f"method.{name}"]
        if self.positions is not None:
            self.positions.load({name: arrays.get(f"positions.{name}") for name in self.positions.bits})

    def measures(self) -> dict[str, Any]:
        """What records tell of the past of the topology, if the configuration asks for it."""
        if self.positions is None:
            return {}
        return {
            "positions_used": self.positions.share,
            "positions_used_per_matrix": self.positions.shares(),
        }

    @property
    def _end(self) -> float:
        return 1.0 if self._config.update_end is None else self._config.update_end

    def _last(self, planned_steps: int) -> int:
        """No update comes after this step; with pruning, the last one comes at it."""
        last = min(round(self._end * planned_steps), planned_steps - 1)
        return last // self.interval * self.interval if self.method.shrinks else last

    def _final_counts(self, model: Model) -> dict[str, int]:
        """For each part the entries it has when pruning has ended."""
        config = self._config
        density = wanted_density(config, model.chain)
        counts = initial_counts(model.chain.shapes, density, config.distribution, config.gates)
        targets = {}
        for name, matrix in model.matrices.items():
            parts = parts_of(matrix, config.gates)
            mine = counts[name] if len(parts) > 1 else [counts[name].sum()]
            for part, count in zip(parts, mine, strict=True):
                targets[part.name] = max(round(int(count) / part.group), 1)
        return targets
