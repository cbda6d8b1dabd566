"""The folder of a run: configuration, environment, metrics, checkpoint and best model."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from truesparse.errors import TruesparseError, UsageError, typed
from truesparse.files import is_unfinished, locked, remove_unfinished, replacing, synchronise
from truesparse.modelfile import CHECKPOINT, MODEL
from truesparse.training.config import Config
from truesparse.training.reporter import Record, to_json

CONFIG = "config.toml"
ENVIRONMENT = "environment.json"
METRICS = "metrics.jsonl"


def make_default(name: str) -> Path:
    """Make a folder ``runs/<date>-<time>-<name>`` under the working directory.

    Of runs that begin in the same second, as in a sweep, the second one gets ``-2`` behind it, and so on.

    Raises
    ------
    TruesparseError
        It cannot be made.
    """
    path = first = Path("runs", f"{datetime.now():%Y-%m-%d-%H%M%S}-{name}")
    number = 1
    while True:
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
            path = first.with_name(f"{first.name}-{number}")
        except OSError as error:
            raise _cannot_make(path, error) from None


def check_free(path: Path) -> None:
    """Check that a new run may use a folder.

    Raises
    ------
    UsageError
        The folder has something in it, other than what a run leaves that was killed before it began, or the
        path is a file.
    """
    try:
        taken = path.exists() and not (path.is_dir() and all(map(_is_nothing, path.iterdir())))
        of_run = any((path / name).is_file() for name in (CONFIG, CHECKPOINT))
    except OSError as error:
        raise UsageError(f"cannot use {path} for the run: {error.strerror}; choose another --out") from None
    if taken:
        hint = f", or continue its run with --resume {typed(path)}" if of_run else ""
        raise UsageError(f"{path} is not an empty folder; choose another --out{hint}")


def _is_nothing(path: Path) -> bool:
    """Whether a file is what there is before the configuration: no records yet, or something half written."""
    return is_unfinished(path) or (path.name == METRICS and path.is_file() and path.stat().st_size == 0)


def read_metrics(path: Path) -> list[Record]:
    """The records of a run, without a last one that is still being written.

    Raises
    ------
    UsageError
        The folder is not that of a run.
    TruesparseError
        A line is no record.
    """
    if not (path / METRICS).is_file():
        raise UsageError(f"{path} is not the folder of a run: it has no {METRICS}; give a run's folder")
    lines = (path / METRICS).read_bytes().split(b"\n")[:-1]
    try:
        records = [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        raise TruesparseError(f"{path / METRICS} is not as it was written: a line is no JSON") from None
    if not all(isinstance(record, dict) and "kind" in record for record in records):
        raise TruesparseError(f"{path / METRICS} is not as it was written: a line is no record")
    return records


class RunDirectory:
    """A run's folder, open for writing metrics, and closed to other processes that would write there.

    Parameters
    ----------
    path : Path
        An existing folder, from which files are removed that a killed process has left half written; `create`
        makes a new one.

    Attributes
    ----------
    path, checkpoint, model : Path
        The folder, its latest checkpoint and its best model.
    writes : bool
        Whether anything is to be written there.

    Raises
    ------
    UsageError
        Another process has it open.
    TruesparseError
        It cannot be written.
    """

    __slots__ = ("_lock", "_metrics", "checkpoint", "model", "path")

    writes: ClassVar[bool] = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / CHECKPOINT
        self.model = path / MODEL
        try:
            self._metrics = (path / METRICS).open("a+b")
            self._lock = contextlib.ExitStack()
            self._lock.enter_context(locked(path / METRICS))
            remove_unfinished(path)
        except BlockingIOError:
            self._metrics.close()
            raise UsageError(
                f"another process is writing to {path}; wait until it ends, or choose another folder"
            ) from None
        except OSError as error:
            raise self._cannot_write(METRICS, error) from None

    @classmethod
    def create(cls, path: Path, config: Config) -> RunDirectory:
        """Make the folder of a new run and write its configuration.

        Raises
        ------
        UsageError
            The folder is in use.
        TruesparseError
            It cannot be written.
        """
        check_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            synchronise(path.absolute().parent)
        except OSError as error:
            raise _cannot_make(path, error) from None
        run = cls(path)
        run.write_config(config)
        return run

    @staticmethod
    def read_config(path: Path, kind: type[Config]) -> dict[str, Any]:
        """Field names and values of the configuration of a run.

        Raises
        ------
        UsageError
            The folder is not that of a run, the run is of another task, or its checkpoint is lost.
        """
        if not (path / CONFIG).is_file():
            raise UsageError(
                f"{path} is not the folder of a run: it has no {CONFIG}; give --resume a run's folder"
            )
        if not (path / CHECKPOINT).is_file() and _has_saved(path):
            raise UsageError(
                f"{path} has no {CHECKPOINT} to continue from, though it has trained for long enough to have"
                f" had one; put it back, or start a new run"
            )
        return kind.load_toml(path / CONFIG)

    def write_config(self, config: Config) -> None:
        """Write the configuration."""
        self._write(CONFIG, config.to_toml())

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Write what machine and what versions the run uses."""
        self._write(ENVIRONMENT, json.dumps(environment, indent=2) + "\n")

    def record(self, values: Record) -> None:
        """Append one record to the metrics; numbers that are not finite become null.

        Raises
        ------
        TruesparseError
            The file cannot be written.
        """
        try:
            self._metrics.write(to_json(values).encode() + b"\n")
            self._metrics.flush()
        except OSError as error:
            raise self._cannot_write(METRICS, error) from None

    def keep_records(self, count: int) -> int:
        """Keep the first `count` records and drop what was written after them.

        Returns
        -------
        int
            How many there are: fewer if somebody has cut the file. What is no record, and the results of a
            run that goes on, are none of them.
        """
        try:
            self._metrics.seek(0)
            lines = self._metrics.readlines()
            kept = [line for line in lines[:count] if _is_record(line)]
            if kept == lines[: len(kept)]:
                self._metrics.truncate(sum(map(len, kept)))
            else:
                self._metrics.truncate(0)
                self._metrics.write(b"".join(kept))  # opened to append
            self.keep()
        except OSError as error:
            raise self._cannot_write(METRICS, error) from None
        return len(kept)

    def keep(self) -> None:
        """Wait until all records are on the disk, where a power cut does not reach them.

        Raises
        ------
        TruesparseError
            The file cannot be written.
        """
        try:
            self._metrics.flush()
            os.fsync(self._metrics.fileno())
        except OSError as error:
            raise self._cannot_write(METRICS, error) from None

    def close(self) -> None:
        """Close the metrics file, and let other processes write."""
        with contextlib.suppress(OSError):  # that a record cannot be written has been said
            self._metrics.close()
        self._lock.close()

    def _write(self, name: str, text: str) -> None:
        try:
            with replacing(self.path / name) as partial:
                partial.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise self._cannot_write(name, error) from None

    def _cannot_write(self, name: str, error: OSError) -> TruesparseError:
        return TruesparseError(
            f"cannot write {self.path / name}: {error.strerror}; check its permissions and the room left"
        )


class OtherRunDirectory(RunDirectory):
    """The folder of a run that another process writes to: nothing is done with it."""

    __slots__ = ()

    writes: ClassVar[bool] = False

    def __init__(self, path: Path) -> None:
        self.path, self.checkpoint, self.model = path, path / CHECKPOINT, path / MODEL

    def record(self, values: Record) -> None:
        """Nothing."""

    def keep_records(self, count: int) -> int:
        """See `RunDirectory.keep_records`; `count`."""
        return count

    def keep(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def _write(self, name: str, text: str) -> None:
        pass


def _is_record(line: bytes) -> bool:
    """Whether a line of metrics is whole and belongs to training; the results come after it."""
    return line.startswith(b"{") and line.endswith(b"}\n") and not line.startswith(b'{"kind": "end"')


def _has_saved(path: Path) -> bool:
    """Whether a run has trained beyond its first evaluation, after which it writes its first checkpoint.

    One that has not is begun again to the same bits.
    """
    if not (path / METRICS).is_file():
        return (path / MODEL).is_file()
    records = read_metrics(path)
    steps = [record.get("step") for record in records if record["kind"] == "eval"]
    return bool(steps) and (records[-1]["kind"] == "end" or records[-1].get("step") != steps[0])


def _cannot_make(path: Path, error: OSError) -> TruesparseError:
    return TruesparseError(f"cannot make the folder {path}: {error.strerror}; choose another --out")
