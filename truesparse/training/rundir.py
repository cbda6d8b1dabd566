"""The folder of a run: configuration, environment, metrics, checkpoint and best model."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from truesparse.errors import TruesparseError, UsageError
from truesparse.modelfile import CHECKPOINT, MODEL
from truesparse.modelfile.files import remove_unfinished, replacing
from truesparse.training.config import Config
from truesparse.training.reporter import Record, to_json
from truesparse.training.sources import load_toml

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
        The folder has something in it, or the path is a file.
    """
    try:
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise UsageError(f"cannot use {path} for the run: {error.strerror}; choose another --out") from None
    if taken:
        hint = f", or continue its run with --resume {path}" if (path / CHECKPOINT).is_file() else ""
        raise UsageError(f"{path} is not an empty folder; choose another --out{hint}")


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
        return [json.loads(line) for line in lines]
    except ValueError:
        raise TruesparseError(f"{path / METRICS} is not as it was written: a line is no JSON") from None


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

    Raises
    ------
    UsageError
        Another process has it open.
    TruesparseError
        It cannot be written.
    """

    __slots__ = ("_metrics", "checkpoint", "model", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / CHECKPOINT
        self.model = path / MODEL
        try:
            self._metrics = (path / METRICS).open("a+b")
            self._lock()
            remove_unfinished(path)
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
            The folder is not that of a run, the run is of another task, or it has no checkpoint yet.
        """
        if not (path / CONFIG).is_file():
            raise UsageError(
                f"{path} is not the folder of a run: it has no {CONFIG}; give --resume a run's folder"
            )
        if not (path / CHECKPOINT).is_file():
            raise UsageError(f"{path} has no {CHECKPOINT} to continue from; start the run again")
        return load_toml(path / CONFIG, kind)

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

    def keep_records(self, count: int) -> None:
        """Keep the first `count` records and drop what was written after them."""
        try:
            self._metrics.seek(0)
            whole = [line for line in self._metrics.readlines()[:count] if line.endswith(b"\n")]
            self._metrics.truncate(sum(map(len, whole)))
        except OSError as error:
            raise self._cannot_write(METRICS, error) from None

    def close(self) -> None:
        """Close the metrics file."""
        self._metrics.close()

    def _lock(self) -> None:
        """Keep other processes out until the file is closed, where the file system knows locks."""
        try:
            fcntl.flock(self._metrics, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._metrics.close()
            raise UsageError(
                f"another process is writing to {self.path}; wait until it ends, or choose another folder"
            ) from None
        except OSError:
            pass

    def _write(self, name: str, text: str) -> None:
        try:
            with replacing(self.path / name) as partial:
                # TOML has no way to write the name of a file that is no UTF-8
                partial.write_text(text, encoding="utf-8", errors="replace")
        except OSError as error:
            raise self._cannot_write(name, error) from None

    def _cannot_write(self, name: str, error: OSError) -> TruesparseError:
        return TruesparseError(
            f"cannot write {self.path / name}: {error.strerror}; check its permissions and the room left"
        )


def _cannot_make(path: Path, error: OSError) -> TruesparseError:
    return TruesparseError(f"cannot make the folder {path}: {error.strerror}; choose another --out")
