"""What the training loop asks of an optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truesparse.sparse import Arena


class Optimizer:
    """Changes weights and biases by their gradients.

    What it knows of each weight lies in `arena.states`, so that `Arena.apply` moves it along with the weight
    and gives 0 to one that is grown. What it knows besides is in `counters`.

    Parameters
    ----------
    arena : Arena
    lr : float
        Learning rate; may be set between steps.
    weight_decay : float
    """

    __slots__ = ("arena", "lr", "weight_decay")

    def __init__(self, arena: Arena, lr: float, weight_decay: float = 0.0) -> None:
        self.arena = arena
        self.lr = lr
        self.weight_decay = weight_decay

    def step(self, scale: float = 1.0) -> None:
        """Update every weight and bias from `arena.grads`, each multiplied by `scale` first."""
        raise NotImplementedError

    @property
    def averaging(self) -> bool:
        """Whether it averages the weights; the learning rate stays what it is then."""
        return False

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averages, where there are any, in the place of the weights while the context lasts."""
        yield

    def evaluated(self, loss: float) -> None:
        """Take note of a validation loss."""

    def counters(self) -> dict[str, Any]:
        """What JSON can hold and a checkpoint has to, besides the states in the arena."""
        return {}

    def restore(self, counters: Mapping[str, Any]) -> None:
        """Take back what `counters` gave. The arena has the states already."""

    def _need(self, *states: str) -> None:
        """Make the states in the arena that are not there already, as they are after a checkpoint."""
        for state in states:
            if state not in self.arena.states:
                self.arena.add_state(state)
