"""Spans as conlleval has them; every expected value is counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from truesparse.tasks.tagger.spans import Scheme, count_labels


def spans(sentences: list[str], labels: list[str] | None = None) -> list[tuple[int, int, str]]:
    rows = [row.split() for row in sentences]
    known = labels or sorted({label for row in rows for label in row})
    scheme = Scheme(known)
    numbers = np.array([known.index(label) for row in rows for label in row], np.int32)
    starts = np.cumsum([0, *map(len, rows)])
    return [(a, b, scheme.types[kind]) for a, b, kind in scheme.spans(numbers, starts).T.tolist()]


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        (["O O O"], []),
        (["B-X"], [(0, 1, "X")]),
        (["B-X I-X O B-X"], [(0, 2, "X"), (3, 4, "X")]),
        (["B-X B-X I-X"], [(0, 1, "X"), (1, 3, "X")]),
        (["I-X I-X O"], [(0, 2, "X")]),  # IOB1: an I begins a span
        (["O I-X O I-Y"], [(1, 2, "X"), (3, 4, "Y")]),
        (["B-X I-Y I-Y"], [(0, 1, "X"), (1, 3, "Y")]),  # another type begins another span
        (["I-X I-Y I-X"], [(0, 1, "X"), (1, 2, "Y"), (2, 3, "X")]),
        (["O B-X", "I-X O"], [(1, 2, "X"), (2, 3, "X")]),  # no span goes from one sentence to the next
        (["O", "I-X", "I-X I-X"], [(1, 2, "X"), (2, 4, "X")]),
        (["B-X I-X E-X O S-Y S-Y"], [(0, 3, "X"), (4, 5, "Y"), (5, 6, "Y")]),
        (["B-X E-X E-X I-X"], [(0, 2, "X"), (2, 3, "X"), (3, 4, "X")]),
        (["S-X I-X E-X"], [(0, 1, "X"), (1, 3, "X")]),
        (["E-X E-X"], [(0, 1, "X"), (1, 2, "X")]),
        (["B-X L-X U-X O"], [(0, 2, "X"), (2, 3, "X")]),  # BILOU
        (["B I O B B"], [(0, 2, ""), (3, 4, ""), (4, 5, "")]),
        (["B-a-b I-a-b B-a"], [(0, 2, "a-b"), (2, 3, "a")]),
    ],
)
def test_where_spans_are(sentences: list[str], expected: list[tuple[int, int, str]]) -> None:
    assert spans(sentences) == expected


def test_counts_and_rates() -> None:
    """Of X there are 3 spans, 4 are told and 2 right; of Y 2, 1 and 0; of Z 1, 1 and 1."""
    there = ["B-X", "I-X", "O", "B-X", "O", "I-Y", "I-Y", "O", "B-X", "O", "B-Y", "B-Z"]
    told_ = ["B-X", "I-X", "O", "B-X", "O", "B-Y", "O", "B-X", "I-X", "O", "B-X", "I-Z"]
    labels = sorted({*there, *told_})
    scheme = Scheme.of(labels)
    assert scheme is not None
    assert scheme.types == ("X", "Y", "Z")
    there_numbers, told = (np.array([labels.index(x) for x in row], np.int32) for row in (there, told_))
    counts = scheme.count(there_numbers, told, np.array([0, 12]))
    assert counts.there.tolist() == [3, 2, 1]
    assert counts.told.tolist() == [4, 1, 1]
    assert counts.right.tolist() == [2, 0, 1]
    assert counts.rates() == {"precision": 3 / 6, "recall": 3 / 6, "f1": 6 / 12}
    assert counts.rates(0) == {"precision": 2 / 4, "recall": 2 / 3, "f1": 4 / 7}
    assert counts.rates(1) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    # with a sentence's end between tokens 7 and 8 the span that was told of both is two
    counts = scheme.count(there_numbers, told, np.array([0, 8, 12]))
    assert counts.told.tolist() == [5, 1, 1]
    assert counts.right.tolist() == [3, 0, 1]


def test_no_spans_at_all() -> None:
    scheme = Scheme(["B-X", "O"])
    outside = np.ones(4, np.int32)
    counts = scheme.count(outside, outside, np.array([0, 4]))
    assert counts.rates() == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


@pytest.mark.parametrize(
    ("labels", "marks"),
    [
        ("O B-X I-X", True),
        ("I-X O", True),
        ("B-X B-Y I-Y", True),  # without O
        ("O B-X I-X E-X S-X", True),
        ("O B-X I-X L-X U-X", True),
        ("B I O", True),
        ("NOUN VERB DET", False),
        ("O B-X NOUN", False),
        ("O B B-X", False),
        ("O S-X", False),
        ("O", False),
        ("B M E S", False),
        ("O B-X M-X", False),
    ],
)
def test_labels_that_mark_spans(labels: str, marks: bool) -> None:
    assert (Scheme.of(labels.split()) is not None) == marks


def test_labels_that_mark_none_are_counted_by_themselves() -> None:
    counts = count_labels(["A", "B", "C"], np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    assert (counts.there.tolist(), counts.told.tolist(), counts.right.tolist()) == (
        [2, 2, 0],
        [1, 3, 0],
        [1, 2, 0],
    )
    assert counts.rates(1) == {"precision": 2 / 3, "recall": 1.0, "f1": 4 / 5}
