"""Labelled data in files: where the parts lie, what is taken out of the training part for those that are
missing, and all of them in the numbers of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from truesparse.data.encoder import TextEncoder, TokenEncoder
from truesparse.data.files import find_file, without_packing
from truesparse.data.sequences import Sequences
from truesparse.data.series_encoder import SeriesEncoder
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


class Examples(NamedTuple):
    """Labelled examples in the numbers of a model.

    Attributes
    ----------
    inputs : Sequences
        Numbers of tokens, or features.
    labels : ndarray of int32, shape (n,), or of float32, shape (outputs, n); or Sequences
        The number of a label or several numbers to be estimated, for each example or each of its steps.
    weights : ndarray of float64, shape (n,), or None
        How much each counts, 0 or more.
    """

    inputs: Sequences
    labels: Any
    weights: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Kind(Generic[P]):
    """A kind of labelled data: what its files are called and how they are read.

    Attributes
    ----------
    endings : sequence of str
        Of the names of files; the first one is named in messages.
    file : str
        What such a file is, such as "CSV file".
    examples : str
        What an example is, such as "rows".
    counted : str
        Put behind that where there are too few, such as " of each label".
    inputs : str
        What is labelled, such as "texts".
    read : callable
        Reads a file, given its columns.
    read_part : callable
        The same of a file that is to be a part, given which.
    take : callable
        Draws a fraction of a part: numbers of examples, ascending.
    encode : callable
        Makes numbers of a part, given the labels and the encoder of a model.
    is_folder : callable
        Whether a folder is a part that `read` reads.
    built_in : Path or None
        What `read` takes for the data that are used if none are named.
    """

    endings: Sequence[str]
    file: str
    examples: str
    counted: str
    inputs: str
    read: Callable[[Path, Any], P]
    read_part: Callable[[Path, Any, str], P]
    take: Callable[[P, float, np.random.Generator], NDArray[np.int64]]
    encode: Callable[[P, Sequence[str], Any], Examples]
    is_folder: Callable[[Path], bool] = lambda folder: False
    built_in: Path | None = None

    def read_parts(
        self, path: Path, columns: Any, valid_fraction: float, test_fraction: float, seed: int
    ) -> dict[str, P]:
        """Read what to train on, to choose by and to test on.

        A folder has the file ``train``, with an ending, and it may have ``valid`` (or ``val`` or ``dev``) and
        ``test``; each may be packed, with ``.gz``, ``.bz2`` or ``.xz`` behind its name. What it lacks, and
        for a single file both parts, is taken out of the training part at random.

        Parameters
        ----------
        path : Path
        columns
            As `read` takes them.
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
            A folder has no file to train on, a part would be empty, or as `read_part`.
        """
        ending = self.endings[0]
        if path.is_dir():
            found = {part: file for part in _FILES if (file := self._find(path, part)) is not None}
            if "train" not in found:
                raise UsageError(
                    f"the folder {path} has no train{ending} or train{ending}.gz; give --data another, or one"
                    f" {self.file}"
                )
        else:
            found = {"train": path}
        parts = {part: self.read_part(file, columns, part) for part, file in found.items()}
        rng = np.random.default_rng(seed)
        for part, fraction in {"test": test_fraction, "valid": valid_fraction}.items():
            if part not in parts:
                parts["train"], parts[part] = self.divide(parts["train"], fraction, rng)
                if not len(parts[part]):
                    raise TruesparseError(
                        f"{parts['train'].name} has too few {self.examples}{self.counted} to take"
                        f" {fraction:g} of them for the {part} set; give more {self.examples}, a larger"
                        f" --{part}-fraction, or a {part}{ending} as well"
                    )
                if not len(parts["train"]):
                    raise TruesparseError(
                        f"the other parts leave no {self.examples} of {parts['train'].name} to train on; give"
                        f" a smaller --valid-fraction or --test-fraction, or more {self.examples}"
                    )
        return {part: parts[part] for part in _FILES}

    def divide(self, train: P, fraction: float, rng: np.random.Generator) -> tuple[P, P]:
        """Take a fraction out of the training part: what stays there, and what is taken."""
        taken = self.take(train, fraction, rng)
        return train.select(np.setdiff1d(np.arange(len(train)), taken)), train.select(taken)

    def read_one(self, data: Path, columns: Any, split: str) -> P:
        """Read a file, or one part of a folder.

        Raises
        ------
        UsageError, TruesparseError
            The folder has no such part, or as `read`.
        """
        file = self._find(data, split) if data.is_dir() else data
        if file is None:
            name = f"{split}{self.endings[0]}"
            raise UsageError(f"the folder {data} has no {name} or {name}.gz; give --data one {self.file}")
        return self.read(file, columns)

    def _find(self, folder: Path, part: str) -> Path | None:
        """The file of a part in a folder; None if there is none."""
        file = find_file(folder, [stem + ending for stem in _FILES[part] for ending in self.endings])
        folders = (folder / stem for stem in _FILES[part])
        return file or next((one for one in folders if one.is_dir() and self.is_folder(one)), None)


@dataclass(frozen=True)
class LabelledData:
    """Data to train a model on that tells labels.

    Attributes
    ----------
    name : str
        Short, fit for a file name.
    description : str
        One line for people.
    labels : tuple of str
        By their numbers.
    encoder : TextEncoder, TokenEncoder or SeriesEncoder
    parts : dict of str to Examples
        train, valid and test.
    """

    name: str
    description: str
    labels: tuple[str, ...]
    encoder: TextEncoder | TokenEncoder | SeriesEncoder
    parts: dict[str, Examples]

    @classmethod
    def of(
        cls,
        path: Path,
        kind: Kind[P],
        parts: Mapping[str, P],
        labels: tuple[str, ...],
        encoder: TextEncoder | TokenEncoder | SeriesEncoder,
        **more: Any,
    ) -> Self:
        """Data from parts that have been read from `path`; raises as `Kind.encode`."""
        encoded = {part: kind.encode(some, labels, encoder) for part, some in parts.items()}
        name = without_packing(path.resolve().name)
        ending = next((ending for ending in kind.endings if ending and name.lower().endswith(ending)), "")
        sizes = " / ".join(f"{len(some):,}" for some in parts.values())
        details = [f"{path}: {sizes} {kind.inputs} to train / validate / test"]
        details += [f"{len(labels)} labels"] if labels else []
        if encoder.vocabulary is not None:
            details.append(f"vocabulary {len(encoder.vocabulary):,}")
        else:
            features = len(encoder.features)
            step = "" if kind.inputs == "rows" else " a step"
            details.append(f"{features} feature{'' if features == 1 else 's'}{step}")
        return cls(
            name[: len(name) - len(ending)] or kind.inputs,
            ", ".join(details),
            labels,
            encoder,
            encoded,
            **more,
        )
