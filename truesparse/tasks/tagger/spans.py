"""Spans of tokens that labels of the schemes IOB, IOB2 (BIO), BIOES or BILOU mark, and how many are found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.data.weights import mean_f1

_LABEL = re.compile(r"O|([BIESLU])(?:-(.*))?", re.DOTALL)
_OUTSIDE, _BEGIN, _INSIDE, _END, _SINGLE = range(5)
_KINDS = {"B": _BEGIN, "I": _INSIDE, "E": _END, "L": _END, "S": _SINGLE, "U": _SINGLE}


class LabelCounts(NamedTuple):
    """How many there are, were told, and both: of each name, int64 of shape (names,)."""

    names: tuple[str, ...]
    there: NDArray[np.int64]
    told: NDArray[np.int64]
    right: NDArray[np.int64]

    def rates(self, chosen: slice | int = slice(None)) -> dict[str, float]:
        """Precision, recall and F1 of all together (micro average), or of one; 0 where there is nothing."""
        there, told, right = (int(np.sum(array[chosen])) for array in (self.there, self.told, self.right))
        return {
            "precision": right / told if told else 0.0,
            "recall": right / there if there else 0.0,
            "f1": 2 * right / (there + told) if there + told else 0.0,
        }

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the names that are there or were predicted; 0 if there is none."""
        return mean_f1(self.right, self.there + self.told)


def count_labels(names: Sequence[str], labels: NDArray[np.int32], told: NDArray[np.int32]) -> LabelCounts:
    """Counts of the tokens that have or were given each label."""
    counts = (np.bincount(array, minlength=len(names)) for array in (labels, told, labels[labels == told]))
    return LabelCounts(tuple(names), *counts)


class Scheme:
    """How labels mark spans.

    Parameters
    ----------
    labels : sequence of str
        By their numbers: ``O``, and ``B-X``, ``I-X``, ``E-X`` (or ``L-X``) and ``S-X`` (or ``U-X``) for a
        type X, which all or none have.

    Notes
    -----
    As ``conlleval`` of CoNLL-2000 (and seqeval) has it, a span begins at B and S, and at any other label
    behind O, E, S or a label of another type; it ends before O and where another begins. So an I without a B
    begins one.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        matches = [_LABEL.fullmatch(label) for label in labels]
        marks = [(match[1], match[2]) if match else ("", None) for match in matches]
        of = [name or "" for mark, name in marks]
        self.types = tuple(sorted({name for (mark, _), name in zip(marks, of, strict=True) if mark}))
        self._kinds = np.array([_KINDS.get(mark or "O", _OUTSIDE) for mark, _ in marks])
        self._types = np.array([self.types.index(name) if name in self.types else -1 for name in of])

    @staticmethod
    def of(labels: Sequence[str]) -> Scheme | None:
        """The scheme of labels; None if they mark no spans."""
        matches = [_LABEL.fullmatch(label) for label in labels]
        marks = [match for match in matches if match is not None and match[1]]
        typed = {match[2] is not None for match in marks}
        if None in matches or len(typed) != 1 or not any(match[1] in "BI" for match in marks):
            return None
        return Scheme(labels)

    def spans(self, numbers: NDArray[np.int32], starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where spans are.

        Parameters
        ----------
        numbers : ndarray of int32, shape (tokens,)
            Labels of all sentences.
        starts : ndarray of int64, shape (sentences + 1,)
            Where each sentence begins; see `truesparse.data.Sequences`.

        Returns
        -------
        ndarray of int64, shape (3, spans)
            First token, the token after the last, and the number of the type of each.
        """
        first = np.zeros(len(numbers), bool)
        first[starts[:-1]] = True
        kinds, types = self._kinds[numbers], self._types[numbers]
        before = np.where(first, _OUTSIDE, np.roll(kinds, 1))
        other = types != np.roll(types, 1)
        begins = np.isin(kinds, (_BEGIN, _SINGLE)) | np.isin(before, (_OUTSIDE, _END, _SINGLE)) | other
        begins &= kinds != _OUTSIDE
        bounds = np.append(np.flatnonzero(begins | first | (kinds == _OUTSIDE)), len(numbers))
        where = np.flatnonzero(begins)
        return np.stack([where, bounds[np.searchsorted(bounds, where, side="right")], types[where]])

    def count(
        self, labels: NDArray[np.int32], told: NDArray[np.int32], starts: NDArray[np.int64]
    ) -> LabelCounts:
        """Counts of the spans of each type; one is right if its tokens and its type are."""
        there, said = self.spans(labels, starts), self.spans(told, starts)
        at = np.full((2, len(labels)), -1)
        at[:, there[0]] = there[1:]
        right = said[:, (at[:, said[0]] == said[1:]).all(axis=0)]
        counts = (np.bincount(spans[2], minlength=len(self.types)) for spans in (there, said, right))
        return LabelCounts(self.types, *counts)
