"""Labelled data in files: where the parts lie, and what is taken out of the training part for those that are
missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from truesparse.data.files import find_file, without_packing
from truesparse.errors import TruesparseError, UsageError

_FILES = {"train": ("train",), "valid": ("valid", "val", "dev"), "test": ("test",)}


class DataPart(Protocol):
    """Labelled examples of one file."""

    @property
    def name(self) -> str:
        """That of the file."""

    def __len__(self) -> int:
        """How many examples."""

    def select(self, chosen: NDArray[np.int64]) -> Self:
        """Some of the examples."""


P = TypeVar("P", bound=DataPart)


class Kind(NamedTuple):
    """What files of examples are called, and what an example is.

    Attributes
    ----------
    endings : sequence of str
        Of the names of files; the first one is named in messages.
    file : str
        What such a file is, such as "CSV file".
    examples : str
        Such as "rows".
    counted : str
        Put behind that where there are too few, such as " of each label".
    """

    endings: Sequence[str]
    file: str
    examples: str
    counted: str = ""


def read_parts(
    path: Path,
    kind: Kind,
    read: Callable[[Path, str], P],
    take: Callable[[P, float, np.random.Generator], NDArray[np.int64]],
    valid_fraction: float,
    test_fraction: float,
    seed: int,
) -> dict[str, P]:
    """Read what to train on, to choose by and to test on.

    A folder has the file ``train``, with an ending, and it may have ``valid`` (or ``val`` or ``dev``) and
    ``test``; each may be packed, with ``.gz``, ``.bz2`` or ``.xz`` behind its name. What it lacks, and for a
    single file both parts, is taken out of the training part at random.

    Parameters
    ----------
    path : Path
    kind : Kind
    read : callable
        Reads a file that is to be a part.
    take : callable
        Draws a fraction of a part: numbers of examples, ascending.
    valid_fraction, test_fraction : float
        Fractions of the training part that are taken out where there is no file.
    seed : int
        Decides which.

    Returns
    -------
    dict of str to DataPart
        train, valid and test.

    Raises
    ------
    UsageError, TruesparseError
        A folder has no file to train on, a part would be empty, or as `read`.
    """
    ending = kind.endings[0]
    if path.is_dir():
        found = {part: file for part in _FILES if (file := find_part(path, part, kind)) is not None}
        if "train" not in found:
            raise UsageError(
                f"the folder {path} has no train{ending} or train{ending}.gz; give --data another, or one"
                f" {kind.file}"
            )
    else:
        found = {"train": path}
    parts = {part: read(file, part) for part, file in found.items()}
    rng = np.random.default_rng(seed)
    for part, fraction in {"test": test_fraction, "valid": valid_fraction}.items():
        if part not in parts:
            taken = take(parts["train"], fraction, rng)
            parts[part] = parts["train"].select(taken)
            parts["train"] = parts["train"].select(np.setdiff1d(np.arange(len(parts["train"])), taken))
            if not len(parts[part]):
                raise TruesparseError(
                    f"{parts['train'].name} has too few {kind.examples}{kind.counted} to take {fraction:g} of"
                    f" them for the {part} set; give more {kind.examples}, a larger --{part}-fraction, or a"
                    f" {part}{ending} as well"
                )
            if not len(parts["train"]):
                raise TruesparseError(
                    f"the other parts leave no {kind.examples} of {parts['train'].name} to train on; give a"
                    f" smaller --valid-fraction or --test-fraction, or more {kind.examples}"
                )
    return {part: parts[part] for part in _FILES}


def find_part(folder: Path, part: str, kind: Kind) -> Path | None:
    """The file of a part in a folder; None if there is none."""
    return find_file(folder, [stem + ending for stem in _FILES[part] for ending in kind.endings])


def read_part(data: Path, split: str, kind: Kind, read: Callable[[Path], P]) -> P:
    """Read a file, or one part of a folder.

    Raises
    ------
    UsageError, TruesparseError
        The folder has no such part, or as `read`.
    """
    if not data.is_dir():
        return read(data)
    file = find_part(data, split, kind)
    if file is None:
        name = f"{split}{kind.endings[0]}"
        raise UsageError(f"the folder {data} has no {name} or {name}.gz; give --data one {kind.file}")
    return read(file)


def short_name(path: Path, kind: Kind, default: str) -> str:
    """A name for data, fit for a file: that of their file or folder without endings."""
    name = without_packing(path.resolve().name)
    ending = next((ending for ending in kind.endings if ending and name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)] or default
