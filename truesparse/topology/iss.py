"""Intrinsic sparse structures: hidden units whose weights a penalty makes small go as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from truesparse.errors import UsageError
from truesparse.settings import Settings, setting
from truesparse.topology.hooks import Gradients, Hooks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from truesparse.sparse.matrix import SparseMatrix
    from truesparse.topology.drop import Keep
    from truesparse.topology.update import Changed, Part, Update


@dataclass(frozen=True, kw_only=True)
class ISSSettings(Settings):
    """Settings of pruning units."""

    group_lasso: float = setting(
        7e-5, "How much the norm of the weights of each hidden unit counts in the loss.", low=0, high=1e6
    )


class UnitHooks(Hooks):
    r"""A penalty :math:`\lambda \sum_u \|w_u\|` on the weights of each hidden unit, and updates that take
    away the units of the smallest norm.

    A unit's weights are its rows in the matrices of its layer, those of all gates, and its columns wherever
    it is read: in the recurrent matrices, and by the layer behind. A weight between units belongs to both.

    References
    ----------
    W. Wen, Y. He, S. Rajbhandari et al., "Learning intrinsic sparse structures within long short-term
    memory", 2018.
    """

    def start(self) -> None:
        """Check that the model has units that can go, and as many as are to go.

        Raises
        ------
        UsageError
            It has not.
        """
        import numpy as np

        self._units = self._beginning.units
        if not self._units:
            raise UsageError(
                "the model has no hidden units that --method iss could take away; use another method"
            )
        self._wanted = sum(
            self.targets[name] * self.arena.matrices[name.partition("[")[0]].group for name in self.targets
        )
        one_each = self._left([np.arange(layer.size) == 0 for layer in self._units])
        if one_each > self._wanted:
            raise UsageError(
                f"--method iss takes hidden units away, and a single one in each layer leaves {one_each:,}"
                f" weights, more than the {self._wanted:,} that --density asks for; raise it"
            )

    def penalize(self, rate_of: Callable[[str], float]) -> None:
        """See `Hooks.penalize`."""
        import numpy as np

        from truesparse.kernels.lasso import shrink

        lasso = self._beginning.settings["group_lasso"]
        if not lasso:
            return
        pulls = [lasso / np.maximum(norm, 1e-30) for norm in self._norms()]
        for matrix, rows, columns in self._matrices():
            rate = rate_of(matrix.name)
            row_pull, column_pull = (np.zeros(size) for size in matrix.pattern.shape)
            if rows is not None:
                row_pull.reshape(-1, self._units[rows].size)[...] = rate * pulls[rows]
            if columns:
                column_pull[...] = rate * np.concatenate([pulls[layer] for layer in columns])
            shrink(_by_entry(matrix), matrix.indptr, matrix.indices, row_pull, column_pull)
        self.arena.touch()

    def rewire(self, fraction: float, gradients: Gradients, progress: float) -> dict[str, Changed]:
        """See `Hooks.rewire`."""
        positions = sum(rows * columns for rows, columns in (m.shape for m in self.arena.matrices.values()))
        stays = self._staying(positions - round(fraction * (positions - self._wanted)))
        for matrix, rows, columns in self._matrices():
            _clear(matrix, None if rows is None else stays[rows], [stays[layer] for layer in columns])
        self.arena.touch()
        return super().rewire(fraction, gradients, progress)

    def _staying(self, wanted: int) -> list[NDArray[np.bool_]]:
        """For each layer which units stay if so many weights may: those of the largest norm, at least one."""
        import numpy as np

        norms = self._norms()
        stays = [norm > 0 for norm in norms]
        if not all(mine.any() for mine in stays):
            lasso = self._beginning.settings["group_lasso"]
            raise UsageError(f"--group-lasso {lasso:g} has left a layer without a unit; lower it")
        layers = np.repeat(np.arange(len(norms)), [norm.size for norm in norms])
        units = np.concatenate([np.arange(norm.size) for norm in norms])
        for place in np.argsort(np.concatenate(norms), kind="stable"):
            if self._left(stays) <= wanted:
                break
            mine = stays[layers[place]]
            if np.count_nonzero(mine) > 1:
                mine[units[place]] = False
        return stays

    def _left(self, stays: list[NDArray[np.bool_]]) -> int:
        """How many weights there are with these units."""
        total, alive = 0, [int(mine.sum()) for mine in stays]
        for matrix, rows, columns in self._matrices():
            high, wide = matrix.shape
            high = high if rows is None else high // self._units[rows].size * alive[rows]
            total += high * (sum(alive[layer] for layer in columns) if columns else wide)
        return total

    def _norms(self) -> list[NDArray[np.float64]]:
        """For each layer the norm of the weights of each unit."""
        import numpy as np

        from truesparse.kernels.lasso import add_squares

        squares = [np.zeros(layer.size) for layer in self._units]
        for matrix, rows, columns in self._matrices():
            row_sums, column_sums = (np.zeros(size) for size in matrix.pattern.shape)
            add_squares(row_sums, column_sums, _by_entry(matrix), matrix.indptr, matrix.indices)
            if rows is not None:
                squares[rows] += row_sums.reshape(-1, self._units[rows].size).sum(axis=0)
            ends = np.cumsum([squares[layer].size for layer in columns])
            for layer, own in zip(columns, np.split(column_sums, ends[:-1]), strict=False):
                squares[layer] += own
        return [np.sqrt(square) for square in squares]

    def _matrices(self) -> Iterator[tuple[SparseMatrix, int | None, list[int]]]:
        """The matrices, and the layers whose units their rows and their columns are: none, one, or both
        directions of one, whose units come one after the other."""
        for name, matrix in self.arena.matrices.items():
            rows = [number for number, layer in enumerate(self._units) if name in layer.rows]
            columns = [number for number, layer in enumerate(self._units) if name in layer.columns]
            yield matrix, rows[0] if rows else None, columns


def all_zero(part: Part, update: Update) -> Keep:
    """Drop the entries that are 0, as `UnitHooks` has left the weights of units that go."""
    keep: Keep = part.data != 0
    return keep


def _by_entry(matrix: SparseMatrix) -> NDArray[np.float32]:
    return matrix.data.reshape(-1, matrix.group)


def _clear(matrix: SparseMatrix, rows: NDArray[Any] | None, columns: list[NDArray[Any]]) -> None:
    """Set to 0 what belongs to a unit that does not stay."""
    import numpy as np

    weights = _by_entry(matrix)
    if columns:
        weights[~np.concatenate(columns)[matrix.indices]] = 0
    if rows is not None:
        every = np.tile(rows, matrix.pattern.shape[0] // rows.size)
        weights[np.repeat(~every, np.diff(matrix.indptr))] = 0
