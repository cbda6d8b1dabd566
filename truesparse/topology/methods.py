"""The table of named training methods: each a choice of rules, no code of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from truesparse.errors import UsageError, unknown_name
from truesparse.sparse.matrix import SparseMatrix
from truesparse.sparse.rewiring import Rewiring
from truesparse.topology.drop import DropRule, smallest_magnitude
from truesparse.topology.grow import GrowRule, random_positions
from truesparse.topology.schedules import Schedule, cosine


@dataclass(frozen=True)
class Method:
    """How the topology of a model begins and evolves.

    Parameters
    ----------
    name : str
        What the user calls it.
    density : float or None
        The initial density the method insists on; None leaves it to the user.
    drop, grow : function or None
        Rules of a topology update, as in `truesparse.topology.drop` and `.grow`; None for a topology that
        stays.
    schedule : function
        How the fraction of entries that an update replaces decays, as in `truesparse.topology.schedules`.
    """

    name: str
    density: float | None = None
    drop: DropRule | None = None
    grow: GrowRule | None = None
    schedule: Schedule = cosine

    @property
    def updates(self) -> bool:
        """Whether the topology evolves."""
        return self.drop is not None

    def rewire(self, matrix: SparseMatrix, fraction: float, rng: np.random.Generator) -> Rewiring | None:
        """Work out a topology update of one matrix, for `Arena.apply`.

        Parameters
        ----------
        matrix : SparseMatrix
            Not modified.
        fraction : float
            Fraction of its entries to replace, in [0, 1]; rounded down to whole entries.
        rng : numpy.random.Generator
            The result is a function of its state, whatever the number of threads.

        Returns
        -------
        Rewiring or None
            As many entries grown as dropped; None if nothing changes, as in a matrix without empty positions.

        Raises
        ------
        UsageError
            If the fraction lies outside [0, 1].

        Notes
        -----
        Up to 7 bytes per entry of this matrix, of which 6 belong to the result.
        """
        if not 0 <= fraction <= 1:
            raise UsageError(f"the drop fraction must lie between 0 and 1, not {fraction}")
        count = int(fraction * matrix.nnz)
        if self.drop is None or self.grow is None or count == 0 or matrix.density == 1:
            return None
        keep = self.drop(matrix, count, rng)
        return Rewiring({matrix.name: self.grow(matrix, keep, count, rng)})


METHODS = {
    method.name: method
    for method in (
        Method("st-rnn", drop=smallest_magnitude, grow=random_positions),
        Method("static"),
        Method("dense", density=1.0),
    )
}


def get_method(name: str) -> Method:
    """Look up a method.

    Parameters
    ----------
    name : str
        A key of `METHODS`.

    Returns
    -------
    Method

    Raises
    ------
    UsageError
        If there is none of that name; the message names the nearest ones, or else all.
    """
    if name in METHODS:
        return METHODS[name]
    raise unknown_name("method", name, METHODS)
