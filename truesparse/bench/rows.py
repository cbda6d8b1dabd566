"""What a comparison of feed-forward nets trains on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from truesparse.bench.workload import Workload
from truesparse.layers.chain import ChainSpec
from truesparse.layers.models import feed_forward
from truesparse.tasks.mlp.settings import read_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WINDOWS = 8


@dataclass(frozen=True)
class Rows(Workload):
    """A feed-forward net with ReLU on random rows; see `Workload`.

    Parameters
    ----------
    hidden_sizes : str
        Units of the hidden layers, with commas.
    features : int
    """

    kind: str = "rows"
    classes: int = 10
    batch_size: int = 128
    bptt: int = 1
    hidden_sizes: str = "300,100"
    features: int = 784

    @property
    def chain(self) -> ChainSpec:
        """The output layer is dense."""
        return feed_forward(self.features, read_sizes(self.hidden_sizes), self.classes)

    @property
    def tiny(self) -> Workload:
        """See `Workload.tiny`."""
        return replace(self, features=32, hidden_sizes="16,16", density=0.5)

    def dense_bytes(self) -> int:
        """See `Workload.dense_bytes`."""
        units = sum(place.output.size for place in self.chain.places)
        return 16 * self.dense_parameters + 8 * self.batch_size * (self.features + units)

    def windows(self) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """Rows of numbers from 0 to 1, float32 of shape (1, features, batch_size), and their classes."""
        import numpy as np  # not to read the flags

        rng = np.random.default_rng(self.seed + 1)
        return [
            (
                rng.random((self.batch_size, self.features), np.float32).T[None],
                rng.integers(self.classes, size=self.batch_size, dtype=np.int32),
            )
            for _ in range(_WINDOWS)
        ]
