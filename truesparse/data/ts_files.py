"""Files of the UCR/UEA archive (.ts): a sequence in each line, dimensions and label parted by colons.

Bagnall et al., "The UEA multivariate time series classification archive, 2018"; the form is that of sktime
and aeon.
"""

from __future__ import annotations

import numpy as np

from truesparse.data.files import TextFile
from truesparse.data.frames import MEND, fits
from truesparse.data.sequences import Sequences
from truesparse.data.series import Series, Targets
from truesparse.data.series_encoder import CLASSIFY, REGRESS, numbered
from truesparse.data.tables import read_lines
from truesparse.errors import TruesparseError
from truesparse.settings import shown


def read_ts(file: TextFile, labelled: bool) -> Series:
    """Read a .ts file; with `labelled`, labels or numbers to predict must be there.

    Raises
    ------
    TruesparseError
        A line is not as it must be.
    """
    name, goal, data = file.name, "", False
    sequences, targets, rows = [], [], []
    for lines in read_lines(file):
        for number, line in lines:
            text = line.strip()
            if not text or text.startswith(("#", "%")):
                continue
            where = f"line {number:,} of {name}"
            if not data:
                goal, data = _header(text, where, goal)
                continue
            dimensions = text.split(":")
            if goal:
                targets.append(dimensions.pop().strip())
                if labelled and targets[-1] in ("", "?"):
                    raise TruesparseError(f"{where} has no label or number to predict; {MEND}")
            sequences.append(_steps(dimensions, where))
            rows.append(number)
            if sequences[-1].shape[1] != sequences[0].shape[1]:
                raise TruesparseError(
                    f"{where} has {sequences[-1].shape[1]} dimensions, but line {rows[0]:,} has"
                    f" {sequences[0].shape[1]}; give all as many"
                )
    if not sequences:
        raise TruesparseError(f"{name} has no sequences behind a line @data; get it anew")
    size = sequences[0].shape[1]
    features = numbered("dim", size, "value")
    told = None
    if labelled and goal:
        told = Targets(
            ("label" if goal == CLASSIFY else "target",),
            np.array(targets, object)[:, None],
            False,
            np.array(rows),
            goal,
        )
    return Series(name, features, Sequences.of(sequences), np.array(rows), told)


def _header(text: str, where: str, goal: str) -> tuple[str, bool]:
    """What the file is for, as far as it is known, and whether data begin."""
    words = text.lower().split()
    if words[0] == "@data":
        return goal, True
    if not words[0].startswith("@"):
        raise TruesparseError(f"{where} is {shown(text)}, before @data; a .ts file begins with lines of @")
    if words[0] == "@timestamps" and words[1:2] == ["true"]:
        raise TruesparseError(f"{where} says that steps have time stamps; write them without, or as CSV")
    if words[0] in ("@classlabel", "@targetlabel") and words[1:2] == ["true"]:
        goal = CLASSIFY if words[0] == "@classlabel" else REGRESS
    return goal, False


def _steps(dimensions: list[str], where: str) -> np.ndarray:
    """The numbers of a sequence, shape (steps, dimensions)."""
    columns = []
    for number, text in enumerate(dimensions, 1):
        cells = text.split(",")
        try:
            values = np.array(cells, np.float64)
        except ValueError:
            values = np.array([np.nan])
        if not fits(values).all():
            place = next(k for k, cell in enumerate(cells) if not _finite(cell))
            raise TruesparseError(
                f"{where} has {shown(cells[place].strip())} at step {place + 1:,} of dimension {number},"
                f" which is no finite number of float32; {MEND}"
            )
        columns.append(values)
    if len({len(column) for column in columns}) != 1:
        raise TruesparseError(
            f"{where} has dimensions of {' and '.join(map(str, sorted({len(c) for c in columns})))} steps; a"
            " sequence must have as many in all"
        )
    return np.stack(columns, axis=1)


def _finite(cell: str) -> bool:
    try:
        return bool(fits(np.array(float(cell))))
    except ValueError:
        return False
