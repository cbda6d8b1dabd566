"""The results of a study, a line for each run, and what the runs of each point come to together."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from truesparse.errors import TruesparseError, UsageError
from truesparse.files import locked
from truesparse.study.plan import Study, key_of
from truesparse.training.config import Config
from truesparse.training.reporter import MEASURES

RESULTS = "results.jsonl"
_COSTS = ("epochs", "seconds", "tokens_per_second", "nnz", "relative_flops")

Line = Mapping[str, Any]


def add_result(folder: Path, line: Line) -> None:
    """Append a line to the results of a study; see `append`."""
    append(folder / RESULTS, line)


def append(path: Path, line: Line) -> None:
    """Append a line to a file of JSON objects, and wait until it is on the disk.

    One that a killed process has left half written is removed; other processes may add lines, too.

    Raises
    ------
    OSError
        It cannot be written.
    """
    with path.open("a+b") as file, locked(path.parent, wait=True):
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def end_of_results(folder: Path) -> int:
    """How many bytes the results of a study have, without a last line that is half written."""
    file = folder / RESULTS
    return file.read_bytes().rfind(b"\n") + 1 if file.is_file() else 0


def read_results(study: Study, folder: Path, side: str = "", since: int = 0) -> dict[str, Line]:
    """The lines of those runs of a study that have ended or failed, by the keys of the runs.

    Lines of other runs are passed over, such as those of values that the study does not have any more, of
    runs that were not tested, of a study that tests, or of another side of a race.

    Parameters
    ----------
    study : Study
    folder : Path
    side : str
        That of a race.
    since : int
        In bytes: runs that failed in lines before it are passed over, too. See `end_of_results`.

    Raises
    ------
    TruesparseError
        A line is none that a study has written.
    """
    file = folder / RESULTS
    if not file.is_file():
        return {}
    keys = {run.key for run in study.runs}
    lines: dict[str, Line] = {}
    end = 0
    for text in file.read_bytes().split(b"\n")[:-1]:
        begin, end = end, end + len(text) + 1
        try:
            line = json.loads(text)
            key = _key(study.task, line["config"])
        except (ValueError, RecursionError, TypeError, KeyError):
            raise TruesparseError(f"{file} is not as it was written: a line is no result of a run") from None
        if "failed" in line:  # of a study an earlier result is better; in a race it has lost its model
            passed = begin < since or (not side and "failed" not in lines.get(key, line))
        else:
            passed = study.test and "test" not in line and "diverged" not in line
        if key in keys and line.get("side", "") == side and not passed:
            lines[key] = line
    return lines


def _key(task: type[Config], config: Mapping[str, Any]) -> str:
    """The key of a configuration; empty if this version has no such run."""
    try:
        return key_of(task.from_dict(config).filled())
    except UsageError:
        return ""


def lost(line: Line) -> str:
    """How a run came to have no result, and why: "diverged: ..." or "failed: ..."; nothing if it did not."""
    return next((f"{how}: {line[how]}" for how in ("diverged", "failed") if how in line), "")


def check_failed(study: Study, lines: Mapping[str, Line]) -> None:
    """Raise TruesparseError if runs have failed, with the reason of the first."""
    failed = {run.name: line["failed"] for run in study.runs if "failed" in (line := lines.get(run.key, {}))}
    for name, reason in failed.items():
        raise TruesparseError(f"{len(failed):,} of {len(study.runs):,} runs failed; {name}: {reason}")


class Spread(NamedTuple):
    """Mean and standard deviation of the seeds of a point; the latter is None for one seed."""

    mean: float
    std: float | None

    def words(self, style: str = ".2f") -> str:
        """For people, each number in a style of `format`."""
        return f"{self.mean:{style}}" + ("" if self.std is None else f" ± {self.std:{style}}")


class Row(NamedTuple):
    """What the runs of a point came to.

    Attributes
    ----------
    point : dict
        The settings that vary.
    runs : int
        How many there are to be.
    done, diverged, failed : int
        How many have ended; how many of them without a finite loss; and how many failed otherwise, or cannot
        win a race. What follows is of those that were measured.
    valid, test : Spread or None
        The measure that the study is compared by; None without a run that has it.
    costs : dict of str to float
        Means over the runs of epochs, seconds, tokens a second, weights, and FLOPs relative to a dense model.
    """

    point: Mapping[str, Any]
    runs: int
    done: int
    diverged: int
    failed: int
    valid: Spread | None
    test: Spread | None
    costs: Mapping[str, float]

    def values(self) -> dict[str, Any]:
        """In numbers and names that JSON can hold."""
        counts = {name: getattr(self, name) for name in ("runs", "done", "diverged", "failed")}
        spreads = {
            name: None if spread is None or not math.isfinite(spread.mean) else spread._asdict()
            for name, spread in (("valid", self.valid), ("test", self.test))
        }
        return {"point": self.point, **counts, **spreads, **self.costs}


class Table(NamedTuple):
    """The rows of a study, one for each point.

    Attributes
    ----------
    measure : str
        Empty if no run has ended with one.
    rows : list of Row
    best : int or None
        Which row has the best mean on the validation data, of those in which no run diverged or failed.
    """

    measure: str
    rows: list[Row]
    best: int | None

    def values(self) -> dict[str, Any]:
        """In numbers and names that JSON can hold."""
        rows = [{**row.values(), "best": number == self.best} for number, row in enumerate(self.rows)]
        return {"measure": self.measure, "rows": rows}


def make_table(study: Study, lines: Mapping[str, Line]) -> Table:
    """Put the runs of each point together.

    Raises
    ------
    UsageError
        The study is compared by a measure that its runs do not have.
    """
    ended = [line for line in lines.values() if "valid" in line]
    measure = study.measure or next((name for name in MEASURES if ended and name in ended[0]["valid"]), "")
    if ended and measure not in ended[0]["valid"]:
        raise UsageError(
            f"measure in {study.path} is {measure!r}, which its runs do not have"
            f"; it must be one of {', '.join(ended[0]['valid'])}"
        )
    points: dict[str, list[Line | None]] = {}
    shown = {}
    for run in study.runs:
        name = json.dumps(run.point)
        shown[name] = run.point
        points.setdefault(name, []).append(lines.get(run.key))
    rows = [_row(shown[name], measure, of) for name, of in points.items()]
    sign = -1 if lower_is_better(measure) else 1
    whole = {n: row.valid.mean for n, row in enumerate(rows) if row.valid and not row.diverged + row.failed}
    ranked = {n: sign * mean for n, mean in whole.items() if math.isfinite(mean)}
    return Table(measure, rows, max(ranked, key=ranked.__getitem__) if ranked else None)


def lower_is_better(measure: str) -> bool:
    """Whether a measure is a loss, and not a share of what was right."""
    return measure in ("perplexity", "loss")


def _row(point: Mapping[str, Any], measure: str, lines: Sequence[Line | None]) -> Row:
    done = [line for line in lines if line is not None]
    ended = [line for line in done if "valid" in line]
    costs = {name: fmean(line[name] for line in ended) for name in _COSTS} if ended else {}
    return Row(
        point,
        runs=len(lines),
        done=len(done),
        diverged=sum("diverged" in line for line in done),
        failed=sum("failed" in line for line in done),
        valid=_spread([line["valid"][measure] for line in ended]),
        test=_spread([line["test"][measure] for line in ended if measure in line.get("test", {})]),
        costs=costs,
    )


def _spread(values: Sequence[float | None]) -> Spread | None:
    """Of values of which one that is too large for JSON is None."""
    if not values:
        return None
    numbers = [math.inf if value is None else value for value in values]
    if math.inf in numbers:
        return Spread(math.inf, None)
    return Spread(fmean(numbers), stdev(numbers) if len(numbers) > 1 else None)
