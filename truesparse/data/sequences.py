"""Sequences of different lengths, and batches of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from truesparse.data.batches import MOST, Batch
from truesparse.errors import UsageError
from truesparse.settings import check_kind, check_whole

# Batches that are sorted by length together: more save more padding, fewer leave more to chance.
_SORTED_TOGETHER = 32
_WANTED = "whole numbers of tokens (steps,) or finite features (steps, D)"


class Sequences:
    """Sequences one after another in one array.

    Parameters
    ----------
    values : ndarray of int32, shape (steps,), or of float32, shape (steps, D)
        Token numbers, or features, of all sequences.
    starts : ndarray of int64, shape (n + 1,)
        Where each sequence begins; the last is the number of steps.

    Raises
    ------
    UsageError
        The values are neither, are not finite or too large, or `starts` does not cut them into sequences of
        one step or more.
    """

    __slots__ = ("values", "starts")

    def __init__(self, values: NDArray[Any], starts: NDArray[np.int64]) -> None:
        values, self.starts = np.asarray(values), np.asarray(starts, np.int64)
        tokens = values.ndim == 1
        if values.ndim not in (1, 2) or values.dtype.kind not in ("biu" if tokens else "biuf"):
            raise UsageError(f"the sequences are {values.dtype} of {values.ndim} dimensions; give {_WANTED}")
        if self.starts.ndim != 1 or not len(self) or (self.starts[0], self.starts[-1]) != (0, len(values)):
            raise UsageError(f"the starts of sequences must go from 0 to their {len(values):,} steps")
        if self.lengths.min() < 1:
            raise UsageError(f"sequence {self.lengths.argmin()} has no steps; leave it out")
        with np.errstate(over="ignore"):  # what is infinite is refused later
            self.values: NDArray[Any] = values.astype(np.int32 if tokens else np.float32, copy=False)
        right = (values >= -1) & (values <= MOST) if tokens else np.isfinite(self.values).all(axis=1)
        if not right.all():
            step = int(right.argmin())
            number = np.searchsorted(self.starts, step, side="right") - 1
            what = f"the token {values[step]}" if tokens else "NaN or infinity"
            raise UsageError(
                f"sequence {number} has {what} at step {step - self.starts[number]}; give {_WANTED}"
            )

    @classmethod
    def of(cls, sequences: Sequence[NDArray[Any]]) -> Sequences:
        """Sequences from arrays of one step or more, of the same type.

        Raises
        ------
        UsageError
            There is none, or they do not go together; see the class.
        """
        check_kind("sequences", sequences, Collection, "a list of arrays")
        if not len(sequences):
            raise UsageError("there are no sequences; give at least one")
        try:
            arrays = [np.asarray(sequence) for sequence in sequences]
            values = np.concatenate(arrays)
        except ValueError:  # of NumPy, who says which axis
            raise UsageError(f"the sequences do not go together; give all as {_WANTED}") from None
        starts = np.zeros(len(arrays) + 1, np.int64)
        np.cumsum([len(array) for array in arrays], out=starts[1:])
        return cls(values, starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each sequence, shape (n,)."""
        return np.diff(self.starts)

    @property
    def longest(self) -> int:
        """Steps of the longest one."""
        return int(self.lengths.max())

    def select(self, chosen: NDArray[np.int64]) -> Sequences:
        """Some of the sequences, by their numbers; one or more."""
        starts = self.starts
        return Sequences.of([self.values[starts[number] : starts[number + 1]] for number in chosen])

    def batch(self, chosen: NDArray[np.int64], batch_size: int) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Put sequences side by side.

        Parameters
        ----------
        chosen : ndarray of int64, shape (at most batch_size,)
            Their numbers.
        batch_size : int
            Places, B; those after the last sequence are empty.

        Returns
        -------
        inputs : ndarray of int32, shape (steps, B), or of float32, shape (steps, D, B)
            As long as the longest of them; -1 or 0 after the end of a sequence.
        lengths : ndarray of int32, shape (B,)
            0 for an empty place.
        """
        lengths, firsts = np.zeros(batch_size, np.int32), self.starts[chosen]
        lengths[: len(chosen)] = self.starts[chosen + 1] - firsts
        tokens = self.values.ndim == 1
        shape = (int(lengths.max()), *self.values.shape[1:], batch_size)
        if not tokens and shape[0] == 1:  # rows of a table: no loop, and no copy in another order
            rows = np.empty((batch_size, shape[1]), np.float32)
            np.take(self.values, firsts, axis=0, out=rows[: len(chosen)], mode="clip")  # no second copy
            rows[len(chosen) :] = 0
            return rows.T[None], lengths
        inputs = np.full(shape, -1, np.int32) if tokens else np.zeros(shape, np.float32)
        for place, number in enumerate(chosen):
            inputs[: lengths[place], ..., place] = self.values[self.starts[number] : self.starts[number + 1]]
        return inputs, lengths


class SequenceBatches:
    """Batches of sequences with their targets, in an order that is a function of a seed and the epoch.

    Sequences of similar length share a batch, which saves steps. Which of them, and when the batch comes, is
    left to chance.

    Parameters
    ----------
    sequences : Sequences
    targets : ndarray of int, shape (n,), or of float, shape (outputs, n); or Sequences
        Classes or numbers of each sequence; or of each of its steps, as int32 of shape (steps,) or float32 of
        shape (steps, outputs).
    batch_size : int
        Places of a batch, B. The last batch of an epoch may have empty ones.
    seed : int
    weights : ndarray of float64, shape (n,), optional
        How much each sequence counts in the loss, above 0; or each step, of shape (steps,), where each has a
        target. Without, all count the same.

    Attributes
    ----------
    sequences, targets, batch_size, weights
        As given.
    """

    __slots__ = ("sequences", "targets", "batch_size", "weights", "_seed", "_epoch", "_order")
    carries: ClassVar[bool] = False

    def __init__(
        self,
        sequences: Sequences,
        targets: NDArray[Any] | Sequences,
        batch_size: int,
        seed: int = 0,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        check_kind("sequences", sequences, Sequences, "what Sequences.of(arrays) returns")
        if sequences.values.ndim == 1 and sequences.values.min() < 0:
            raise UsageError("the sequences have a token below 0; tokens are numbered from 0 on")
        self.batch_size = check_whole("batch_size", batch_size)
        self._seed = check_whole("seed", seed, 0)
        self.sequences = sequences
        self.targets: Any = self._checked(targets)
        if weights is not None:
            weights = np.asarray(weights)
            each = isinstance(targets, Sequences)
            count, unit = (len(sequences.values), "step") if each else (len(sequences), "sequence")
            numbers = weights.shape == (count,) and weights.dtype.kind in "biuf"
            if not numbers or not np.all((weights > 0) & np.isfinite(weights)):
                raise UsageError(f"weights must be {count:,} finite numbers above 0, one a {unit}")
        self.weights = None if weights is None else weights.astype(np.float64, copy=False)
        self._epoch = -1
        self._order: list[NDArray[np.int64]] = []

    def _checked(self, targets: Any) -> Any:
        """The targets in the type that a model takes."""
        count = len(self.sequences)
        if isinstance(targets, Sequences):
            if not np.array_equal(targets.starts, self.sequences.starts):
                raise UsageError("targets for each step need as many steps as each of the sequences has")
            return targets
        targets = np.asarray(targets)
        if targets.shape[-1:] != (count,):
            raise UsageError(
                f"there are {count:,} sequences, but targets of shape {targets.shape}"
                f"; the last axis must have one for each"
            )
        whole = targets.dtype.kind in "biu"
        if not whole and targets.dtype.kind != "f":
            raise UsageError(f"the targets are {targets.dtype}; give whole numbers of classes, or numbers")
        with np.errstate(over="ignore"):  # what is infinite is refused later
            kept = targets.astype(np.int32 if whole else np.float32, copy=False)
        if not np.all((targets >= 0) & (targets <= MOST) if whole else np.isfinite(kept)):
            raise UsageError("the targets must be classes from 0 on, or finite numbers")
        return kept

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.sequences) // self.batch_size)

    @property
    def longest(self) -> int:
        """The most steps of a sequence."""
        return self.sequences.longest

    def batch(self, epoch: int, k: int) -> Batch:
        """Batch number `k` of an epoch, both from 0; targets are -1 or NaN where there is nothing to say."""
        if epoch != self._epoch:
            self._order = self._shuffled(epoch)
            self._epoch = epoch
        chosen = self._order[k]
        inputs, lengths = self.sequences.batch(chosen, self.batch_size)
        tokens = int(lengths.sum())
        weights: NDArray[np.float64] | None = None
        counted: float = len(chosen)
        if isinstance(self.targets, Sequences):
            targets, _ = self.targets.batch(chosen, self.batch_size)
            if targets.ndim == 3:
                targets.swapaxes(1, 2)[np.arange(len(targets))[:, None] >= lengths] = np.nan
            counted = tokens
        else:
            classes = self.targets.dtype == np.int32
            shape = (*self.targets.shape[:-1], self.batch_size)
            targets = np.full(shape, -1 if classes else np.nan, self.targets.dtype)
            targets[..., : len(chosen)] = self.targets[..., chosen]
        if self.weights is not None:
            if isinstance(self.targets, Sequences):
                weights = np.zeros((len(inputs), self.batch_size))
                starts = self.sequences.starts
                for place, number in enumerate(chosen):
                    weights[: lengths[place], place] = self.weights[starts[number] : starts[number + 1]]
            else:
                weights = np.zeros(self.batch_size)
                weights[: len(chosen)] = self.weights[chosen]
            counted = float(weights.sum())
        return Batch(inputs, targets, lengths, weights, counted=counted, tokens=tokens, chosen=chosen)

    def _shuffled(self, epoch: int) -> list[NDArray[np.int64]]:
        rng = np.random.default_rng([self._seed, epoch])
        size, lengths = self.batch_size, self.sequences.lengths
        order = rng.permutation(len(self.sequences))
        together = _SORTED_TOGETHER * size
        for start in range(0, len(order), together):
            part = order[start : start + together]
            part[...] = part[np.argsort(lengths[part], kind="stable")]
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        return [batches[k] for k in rng.permutation(len(batches))]
