"""GraNet: pruning little by little from a sparse start, while dropped connections are replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from truesparse.settings import Settings, fraction
from truesparse.topology.hooks import Gradients, Hooks
from truesparse.topology.schedules import cubic

if TYPE_CHECKING:
    from truesparse.topology.drop import Keep
    from truesparse.topology.update import Changed, Part, Update


@dataclass(frozen=True, kw_only=True)
class GraNetSettings(Settings):
    """Settings of GraNet."""

    initial_density: float = fraction(0.5, "Density to begin with; at least --density.", all=True)


class GraNetHooks(Hooks):
    """An update leaves each part as many entries as the cubic schedule says by then.

    References
    ----------
    S. Liu, T. Chen, X. Chen et al., "Sparse training via boosting pruning plasticity with neuroregeneration",
    2021: algorithm 1, with random growth.
    """

    def start(self) -> None:
        """Remember what there is at the start, unless a checkpoint does."""
        from truesparse.topology.update import parts_of

        self._last = self.targets
        parts = [p for m in self.arena.matrices.values() for p in parts_of(m, self._beginning.gates)]
        self.memory = {part.name: float(part.nnz) for part in parts}

    def rewire(self, fraction: float, gradients: Gradients, progress: float) -> dict[str, Changed]:
        """See `Hooks.rewire`."""
        share = cubic(0.0, 1.0, round(progress * 1e6), 1_000_000)
        self.targets = {
            name: round(first - share * (first - self._last[name])) for name, first in self.memory.items()
        }
        return super().rewire(fraction, gradients, progress)


def smallest_beyond_target(part: Part, update: Update) -> Keep:
    """Drop the smallest entries beyond a part's target, and of the rest the fraction that is replaced."""
    from truesparse.topology.drop import smallest

    wanted = min(update.targets[part.name], part.nnz)
    return ~smallest(part.data, part.nnz - wanted + int(update.fraction * wanted))


def up_to_target(parts: Sequence[Part], keeps: Sequence[Keep], update: Update) -> list[int]:
    """As many as a part lacks of its target."""
    import numpy as np

    return [
        max(min(update.targets[part.name], part.nnz) - int(np.count_nonzero(keep)), 0)
        for part, keep in zip(parts, keeps, strict=True)
    ]
