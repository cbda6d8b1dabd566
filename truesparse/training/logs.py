"""Where else records of training go: a CSV file, and TensorBoard."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

from truesparse.errors import TruesparseError, UsageError, need
from truesparse.files import path_of
from truesparse.settings import listed, setting, shown
from truesparse.training.reporter import Record, Reporter, Reporters, RunInfo


def log_setting() -> Any:
    """The field for where records go besides ``metrics.jsonl``."""
    return setting(
        None,
        f"Also write the measurements as {listed(LOGS)}, or several with commas: metrics.csv, and TensorBoard"
        " events, in the folder of the run.",
        shown="metrics.jsonl alone",
    )


def with_logs(reporter: Reporter, wanted: str | None) -> Reporter:
    """A reporter and the logs of `log_setting`.

    Raises
    ------
    UsageError, TruesparseError
        There is no such log, or what it needs is not installed.
    """
    if wanted is None:
        return reporter
    names = [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in LOGS:
            raise UsageError(f"--log is {shown(wanted)}; it must be {listed(LOGS)}, or several with commas")
    return Reporters([reporter, *(LOGS[name]() for name in dict.fromkeys(names))])


class CsvLog(Reporter):
    """Writes a row of a CSV file for each evaluation, or where there are no validation data, for each epoch.

    The columns are the numbers of the record, and `train_loss`, the last training loss that was recorded.

    Parameters
    ----------
    path : path-like, optional
        Of the file. A new run replaces it, a resumed run continues it. If not given: ``metrics.csv`` in the
        run's folder.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = _path_of(path)

    def start(self, info: RunInfo) -> None:
        """See `Reporter.start`."""
        self._file = _place(self._path, info, "metrics.csv", "CsvLog")
        self._rows: list[dict[str, Any]] = []
        self._loss: float | None = None
        self._evaluated = info.path is not None
        if info.step and self._file.is_file():
            with self._file.open(encoding="utf-8", newline="") as file:
                self._rows = [row for row in csv.DictReader(file) if _step(row) <= info.step]
        self._write()

    def train(self, record: Record) -> None:
        """See `Reporter.train`."""
        self._loss = record["loss"]

    def eval(self, record: Record) -> None:
        """See `Reporter.eval`."""
        self._evaluated = True
        self._add(record)

    def epoch(self, record: Record) -> None:
        """See `Reporter.epoch`."""
        if not self._evaluated:
            self._add(record)

    def _add(self, record: Record) -> None:
        row = {"step": record["step"], "epoch": record["epoch"], "train_loss": self._loss}
        row |= {name: value for name, value in record.items() if isinstance(value, Real)}
        if self._rows and _step(self._rows[-1]) >= record["step"]:  # measured before it was interrupted
            self._rows = [old for old in self._rows if _step(old) < record["step"]]
        self._rows.append(row)
        self._write()

    def _write(self) -> None:
        """Write all rows; there are as many as evaluations."""
        columns = dict.fromkeys(name for row in self._rows for name in row)
        try:
            with self._file.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(columns))
                writer.writeheader()
                writer.writerows(self._rows)
        except OSError as error:
            raise TruesparseError(
                f"cannot write {self._file}: {error.strerror}; check its permissions and the room left"
            ) from None


class TensorBoardLog(Reporter):
    """Writes events that TensorBoard shows, with tensorboardX.

    Parameters
    ----------
    folder : path-like, optional
        Of the events; ``tensorboard`` in the folder of the run if not given.

    Raises
    ------
    TruesparseError
        tensorboardX is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._make = need("tensorboardX", "tensorboardX").SummaryWriter
        self._folder = _path_of(folder)
        self._writer: Any = None

    def start(self, info: RunInfo) -> None:
        """See `Reporter.start`."""
        folder = _place(self._folder, info, "tensorboard", "TensorBoardLog")
        try:
            self._writer = self._make(str(folder), purge_step=info.step + 1 if info.step else None)
        except OSError as error:
            raise TruesparseError(f"cannot write to {folder}: {error.strerror}; choose another") from None

    def train(self, record: Record) -> None:
        """See `Reporter.train`."""
        self._write(record, "train")

    def eval(self, record: Record) -> None:
        """See `Reporter.eval`."""
        self._write(record, "valid")
        self._writer.flush()

    def epoch(self, record: Record) -> None:
        """See `Reporter.epoch`."""
        self._write(record, "epoch")
        self._writer.flush()

    def close(self) -> None:
        """See `Reporter.close`."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, record: Record, kind: str) -> None:
        """Write the numbers of a record, such as ``valid/loss``; the densities of matrices by name."""
        for name, value in record.items():
            if isinstance(value, Real) and name not in ("step", "epoch"):
                self._writer.add_scalar(f"{kind}/{name}", float(value), record["step"])
        for name, density in record.get("density", {}).items():
            self._writer.add_scalar(f"density/{name}", density, record["step"])


LOGS: dict[str, Callable[[], Reporter]] = {"csv": CsvLog, "tensorboard": TensorBoardLog}


def _path_of(path: str | os.PathLike[str] | None) -> Path | None:
    return None if path is None else path_of(path)


def _place(own: Path | None, info: RunInfo, name: str, log: str) -> Path:
    if own is not None:
        return own
    if info.path is None:
        raise UsageError(f"{log} does not know where to write: there is no folder of a run; give it a path")
    return info.path / name


def _step(row: dict[str, Any]) -> float:
    """The step of a row; of one that is none, beyond all."""
    try:
        return float(row["step"])
    except (KeyError, TypeError, ValueError):
        return float("inf")
