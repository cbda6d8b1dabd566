"""What a study file asks for: a run for each point of a grid and each seed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

from truesparse.errors import UsageError, unknown_name
from truesparse.files import replacing
from truesparse.settings import kind_of, listed, parse, shown
from truesparse.tasks.registry import TASKS
from truesparse.tasks.sources import resolve
from truesparse.training.config import Config
from truesparse.training.reporter import MEASURES
from truesparse.training.toml import map_paths, read_toml, to_toml

STUDY = "study.toml"
# What a key of the file must be, and how that is said.
_KEYS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "task": (str, listed(TASKS)),
    "seeds": ((int, list), "a number of seeds, or a list of them"),
    "measure": (str, listed([*MEASURES, "loss"])),
    "test": (bool, "true or false"),
    "settings": (dict, "a table of settings"),
    "grid": (dict, "a table of settings, each with a list of values"),
    "cases": (list, 'tables [[cases]], each with a name, such as name = "adam"'),
}
# What a run's results do not depend on.
_FREE = frozenset({"threads", "tune", "log_interval"})
_MOST_SEEDS = 1000
_LONGEST = 120  # characters of a file's name, of the 255 that file systems allow


@dataclass(frozen=True)
class Run:
    """A run of a study.

    Attributes
    ----------
    point : dict
        The settings that vary and their values; ``case`` is the name of one.
    config : Config
        The whole configuration, filled in.
    """

    point: Mapping[str, Any]
    config: Config

    @property
    def name(self) -> str:
        """What people read, such as "lr 1, seed 2"."""
        return words({**self.point, "seed": self.config.seed})

    @property
    def key(self) -> str:
        """What distinguishes it from runs that have other results."""
        return key_of(self.config)

    @property
    def folder(self) -> str:
        """The name of its folder, of which no other run has the same."""
        name = re.sub(r"[^\w.+-]+", "-", self.name)[:_LONGEST]
        return f"{name}-{hashlib.sha256(self.key.encode()).hexdigest()[:8]}"


def words(values: Mapping[str, Any]) -> str:
    """Settings and their values for people, such as "lr 1, seed 2"."""
    return ", ".join(f"{name} {word(value)}" for name, value in values.items())


def word(value: Any) -> str:
    """One value for people."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def key_of(config: Config) -> str:
    """A text that two configurations share if they give the same results.

    Data are known by `data_name`.
    """
    values = {name: getattr(config, name) for name in sorted(config.fields()) if name not in _FREE}
    return json.dumps({**values, "data": data_name(values["data"])})


def data_name(path: str | None) -> str | None:
    """What distinguishes data: the last part of their path, as they may have moved."""
    return None if path is None else Path(path).name


class Study:
    """A grid of runs.

    Parameters
    ----------
    path : Path
        The study file; messages name it.
    changes : mapping of str to sequence of str, optional
        Settings that have other values than in the file. Several values are part of the grid.
    values : mapping, optional
        What the file says; read from it if not given.

    Attributes
    ----------
    path
        As given.
    task : type
        The configuration of what is trained.
    runs : list of Run
        All points with the first seed come before those with the second.
    measure : str
        What the runs are compared by; empty for what their models are chosen by.
    test : bool
        Whether the best model of each run is measured on the test data.

    Raises
    ------
    UsageError, TruesparseError
        The file cannot be read, or a run that it asks for cannot be.
    """

    def __init__(
        self,
        path: Path,
        changes: Mapping[str, Sequence[str]] = MappingProxyType({}),
        values: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self._values = self._checked(read_toml(path) if values is None else dict(values))
        self.task = TASKS[self._values["task"]]
        for name, texts in changes.items():
            self._change(name, texts)
        self._values = map_paths(self._values, lambda data: str(Path(data).absolute()))
        self.measure: str = self._values.get("measure", "")
        self.test: bool = self._values.get("test", False)
        self.runs = list(self._runs())
        self._check_different()

    def save(self, folder: Path) -> None:
        """Write the study file, as it was changed, to a folder, from which `Study` reads it again.

        Raises
        ------
        OSError
        """
        with replacing(folder / STUDY) as partial:
            partial.write_text(to_toml(self._values), encoding="utf-8", newline="\n")

    def _checked(self, values: dict[str, Any]) -> dict[str, Any]:
        for name, value in values.items():
            if name not in _KEYS:
                raise UsageError(f"{self.path}: {unknown_name('key', name, _KEYS)}")
            kind, meant = _KEYS[name]
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise UsageError(f"{name} in {self.path} is {shown(value)}; it must be {meant}")
        for name, known in (("task", TASKS), ("measure", [*MEASURES, "loss"])):
            if name in values and values[name] not in known:
                raise UsageError(
                    f"{name} in {self.path} is {shown(values[name])}; it must be {listed(known)}"
                )
        if isinstance(seeds := values.get("seeds"), int) and seeds > _MOST_SEEDS:
            raise UsageError(f"seeds in {self.path} is {shown(seeds)}; a list has the seeds themselves")
        if "task" not in values:
            raise UsageError(f'{self.path} does not say what is trained; add a line such as task = "lm"')
        names = [case.get("name") if isinstance(case, dict) else None for case in values.get("cases", [])]
        if not all(isinstance(name, str) and name for name in names) or len({*names}) < len(names):
            raise UsageError(f"cases in {self.path} must be {_KEYS['cases'][1]}, which no other has")
        return values

    def _change(self, name: str, texts: Sequence[str]) -> None:
        """Give a setting other values than the file does."""
        self.task.check_names([name], "--set")
        kind = kind_of(self.task.fields()[name])
        values = [parse(f"--set {name}", kind, text) for text in texts]
        if name == "seed":
            self._values["seeds"] = values
            return
        if any(name in case for case in self._values.get("cases", [])):
            raise UsageError(f"{self.path} has {name} in its cases; change it there, not with --set")
        for table in ("settings", "grid"):
            self._values.setdefault(table, {}).pop(name, None)
        if len(values) == 1:
            self._values["settings"][name] = values[0]
        else:
            self._values["grid"][name] = values

    def _runs(self) -> Iterator[Run]:
        settings, grid = self._values.get("settings", {}), self._values.get("grid", {})
        cases = {case["name"]: {**case} for case in self._values.get("cases", [])}
        for case in cases.values():
            del case["name"]
        for table in (settings, grid, *cases.values()):
            self.task.check_names(table, str(self.path))
            if "seed" in table:
                raise UsageError(
                    f"{self.path} has a seed among its settings; write seeds = [1, 2] above them"
                )
        for name, values in grid.items():
            if not isinstance(values, list) or not values:
                raise UsageError(
                    f"{name} in [grid] of {self.path} is {shown(values)}; it must be a list of values"
                )
            if name in settings or any(name in case for case in cases.values()):
                raise UsageError(f"{self.path} has {name} in [grid] and elsewhere too; leave it out of one")
        for seed in self._seeds():
            for name, case in cases.items() or [("", {})]:
                for values in product(*grid.values()):
                    varied = dict(zip(grid, values, strict=True))
                    yield self._run(
                        {"case": name} if name else {}, {**settings, **case, "seed": seed}, varied
                    )

    def _run(self, case: dict[str, Any], settings: Mapping[str, Any], varied: Mapping[str, Any]) -> Run:
        try:
            config = resolve({**settings, **varied}, environment={}, task=self.task).filled()
        except UsageError as error:
            where = ", ".join(f"{name} {shown(value)}" for name, value in {**case, **varied}.items())
            raise UsageError(f"{where}: {error}" if where else str(error)) from None
        point = case | {name: getattr(config, name) for name in varied}
        if "data" in point:
            point["data"] = data_name(point["data"])
        return Run(point, config)

    def _seeds(self) -> Sequence[int]:
        seeds: int | list[int] = self._values.get("seeds", 1)
        return range(1, seeds + 1) if isinstance(seeds, int) else seeds

    def _check_different(self) -> None:
        """Raise UsageError for a study without runs, or with one twice."""
        if not self.runs:
            raise UsageError(f"seeds in {self.path} leave no run; give one seed or more")
        seen: dict[str, Run] = {}
        for run in self.runs:
            if (other := seen.setdefault(run.key, run)) is not run:
                raise UsageError(
                    f"{self.path} has the same run twice, as {other.name} and as {run.name}"
                    "; give each value once, and data names of their own"
                )
