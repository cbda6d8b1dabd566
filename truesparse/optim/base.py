"""What the training loop asks of an optimizer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from truesparse.sparse import Arena


class DensityRates(NamedTuple):
    r"""Learning rates that let one `lr` serve all densities: :math:`\eta d^{-\alpha}` for density d.

    Of a sparse matrix only the fraction d of the weights moves, each by the gradient that it would have in
    the dense one; first weights are larger by :math:`1 / \sqrt d`. The same change of what the layer computes
    takes steps that are up to 1 / d as long.

    Attributes
    ----------
    exponent : float
        :math:`\alpha`; 0 for one rate for all.
    apart : collection of str
        Matrices that keep `lr`, as biases do: those that are looked up, each row of which is read by itself.

    References
    ----------
    N. Dey, S. Bergsma and J. Hestness, "Sparse maximal update parameterization: a holistic approach to sparse
    training dynamics", 2024, table 1 (exponent 1, Adam).
    """

    exponent: float = 0.0
    apart: Collection[str] = ()

    def stretches(self, arena: Arena) -> Iterator[tuple[slice, float]]:
        """Stretches of the flat arrays, which together are all but what is frozen, and the factor of the rate
        of each."""
        if not self.exponent and not arena.frozen:
            yield slice(0, arena.size), 1.0
            return
        starts = [*(where.start for where in arena.layout.values()), arena.size]
        for name, start, end in zip(arena.layout, starts[:-1], starts[1:], strict=True):
            if name in arena.frozen:
                continue
            yield slice(start, end), self.factor(arena, name)

    def factor(self, arena: Arena, name: str) -> float:
        """What the rate of a matrix or a bias is multiplied by."""
        own = name in arena.matrices and name not in self.apart
        return arena.matrices[name].density ** -self.exponent if own else 1.0


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

    Attributes
    ----------
    rates : DensityRates
        What learning rate a matrix has by its density; the same for all at first.
    """

    __slots__ = ("arena", "lr", "weight_decay", "rates")

    def __init__(self, arena: Arena, lr: float, weight_decay: float = 0.0) -> None:
        self.arena = arena
        self.lr = lr
        self.weight_decay = weight_decay
        self.rates = DensityRates()

    def step(self, scale: float = 1.0) -> None:
        """Update every weight and bias from `arena.grads`, each multiplied by `scale` first."""
        raise NotImplementedError

    def _stretches(self) -> Iterator[tuple[slice, float]]:
        """Stretches of the flat arrays, which together are all but what is frozen, and the learning rate of
        each."""
        for stretch, factor in self.rates.stretches(self.arena):
            yield stretch, self.lr * factor

    def lasting_rate(self, name: str) -> float:
        """How far a gradient of 1 that lasts moves the weights of a matrix or a bias at each step, where the
        step is in proportion to gradients."""
        return self.lr * self.rates.factor(self.arena, name)

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

    def later_states(self, counters: Mapping[str, Any]) -> Collection[str]:
        """The states that it has, besides those it begins with, when its counters are these."""
        return ()

    def restore(self, counters: Mapping[str, Any]) -> None:
        """Take back what `counters` gave. The arena has the states already."""

    def _need(self, *states: str) -> None:
        """Make the states in the arena that are not there already, as they are after a checkpoint."""
        for state in states:
            if state not in self.arena.states:
                self.arena.add_state(state)
