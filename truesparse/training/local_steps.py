"""Steps that ranks make by themselves, and the step that brings them together again."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

from truesparse.training.communicator import Communicator

if TYPE_CHECKING:
    from truesparse.sparse import Arena

LR, MOMENTUM = np.float32(0.7), 0.9  # of DiLoCo
FIRST = 10  # most steps of a phase while the learning rate is the first one
_START, _VELOCITY = "outer_start", "outer_momentum"


class OuterStep:
    r"""A step down the mean of what local steps have come to.

    .. math::
        g = \frac1R \sum_r (w_0 - w_r), \quad u = \mu u + g, \quad w = w_0 - 0.7 (g + \mu u)

    for R ranks that have gone from the same weights :math:`w_0` to their own, or :math:`w = w_0 - g`, their
    mean, without momentum.

    Parameters
    ----------
    communicator : Communicator
    arena : Arena
        Gets the states "outer_start", :math:`w_0`, and with momentum "outer_momentum", u, unless it has them.
        They move with the weights: one that is grown begins with 0 in both.
    every : int
        Local steps between two of these at most. See `count`.
    momentum : float
        :math:`\mu`. An arena that has its state from before has had 0.9, if this is 0.

    Attributes
    ----------
    pending : int
        Local steps since the last one.

    Notes
    -----
    4 bytes a weight, and 4 for momentum. The states of the optimizer are averaged too, where DiLoCo lets each
    rank keep its own: so all ranks are the same after each outer step, and one checkpoint has all that there
    is.

    References
    ----------
    A. Douillard, Q. Feng, A. A. Rusu et al., "DiLoCo: distributed low-communication training of language
    models", 2023, algorithm 1; step lengths as in its section 3.

    X. Gu, K. Lyu, S. Arora, J. Zhang, L. Huang, "A quadratic synchronization rule for distributed deep
    learning", 2023: phases grow as the learning rate falls; theirs as one over its square, these as one over
    it.

    T. Lin, S. U. Stich, K. K. Patel, M. Jaggi, "Don't use large mini-batches, use local SGD", 2020: ranks
    that take their first steps together learn as well as one rank.
    """

    def __init__(self, communicator: Communicator, arena: Arena, every: int, momentum: float = 0.0) -> None:
        self._communicator = communicator
        self._arena = arena
        self._every = every
        self.pending = 0
        if _VELOCITY in arena.states:
            momentum = momentum or MOMENTUM  # version 0.2.0 had no other
        self._momentum = np.float32(momentum)
        for state in (_START, _VELOCITY) if momentum else (_START,):
            if state not in arena.states:
                arena.add_state(state)

    def begin(self) -> None:
        """Remember where the ranks are, unless they have gone on already."""
        if not self.pending:
            self._arena.states[_START][...] = self._arena.values

    def count(self, steps: int, rate: float = 1.0) -> None:
        """A local step was made; bring the ranks together if it is time.

        Weights that move fast drift apart, and their mean is worth little. So the first phase has one step,
        and each later one a step more than the one before, up to `longest`.

        Parameters
        ----------
        steps : int
            Steps made since training began, with this one.
        rate : float
            The learning rate, as a part of the first one.
        """
        self.pending += 1
        if self.pending >= min(self.longest(rate), isqrt(2 * steps)):  # after 1, 3, 6, 10, ... steps
            self.step()

    def longest(self, rate: float) -> int:
        """Most steps of a phase: `FIRST` over `rate`, up to `every`; see `count`."""
        return self._every if self._every * rate <= FIRST else int(FIRST / rate)

    def step(self) -> None:
        """Bring the ranks together, if they have gone on."""
        if not self.pending:
            return
        self.pending = 0
        arena, ranks = self._arena, np.float32(self._communicator.size)
        values, start, momentum = arena.values, arena.states[_START], self._momentum
        np.subtract(start, values, out=values)
        self._communicator.all_reduce(values)
        values /= ranks  # whole numbers that are equal everywhere stay as they are
        if momentum:
            velocity = arena.states[_VELOCITY]
            velocity *= momentum
            velocity += values
            values += momentum * velocity
            values *= LR
        np.subtract(start, values, out=values)
        for name, state in arena.states.items():
            if name not in (_START, _VELOCITY):
                self._communicator.all_reduce(state, exact=True)
                state /= ranks
        arena.touch()
