"""What there is of a run: its configuration, its records, its machine and its best model."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.errors import TruesparseError, UsageError
from truesparse.modelfile import Reader, StoredModel, find_model, read_model
from truesparse.runtime.loading import as_model
from truesparse.tasks.registry import TASKS
from truesparse.tasks.sources import resolve
from truesparse.training.config import Config
from truesparse.training.reporter import Record, common_measure
from truesparse.training.rundir import CONFIG, ENVIRONMENT, read_metrics
from truesparse.training.toml import read_toml

# Of the configuration what does not change results, or is said elsewhere.
_ASIDE = ("data", "threads", "log_interval", "tune", "preset")


@dataclass(frozen=True)
class Run:
    """The folder of a run.

    Attributes
    ----------
    path : Path
    config : Config
        Filled in.
    records : list of mapping
        Its metrics.
    environment : mapping
        Empty if nobody wrote it.
    model : StoredModel
        The best one so far.
    """

    path: Path
    config: Config
    records: list[Record]
    environment: Mapping[str, Any]
    model: StoredModel

    @property
    def name(self) -> str:
        """That of its folder."""
        return self.path.resolve().name

    def of_kind(self, *kinds: str) -> list[Record]:
        """Its records of these kinds."""
        return [record for record in self.records if record["kind"] in kinds]

    @property
    def end(self) -> Record | None:
        """Its results; None if it has not ended."""
        ends = self.of_kind("end")
        return ends[-1] if ends else None

    @property
    def measure(self) -> str:
        """What its evaluations are compared by."""
        return common_measure(self.of_kind("eval")) or "loss"

    @property
    def best(self) -> Record | None:
        """The evaluation of its best model; None before the first one."""
        marked = [record for record in self.of_kind("eval") if record.get("best")]
        return marked[-1] if marked else None

    def changed(self) -> dict[str, tuple[Any, Any]]:
        """What the configuration says in another way than its preset, cell, optimizer and method have it: the
        value, and the usual one."""
        config = self.config
        said = {name: getattr(config, name) for name in ("preset", "cell", "optimizer", "method")}
        density = ("density", "er_epsilon", "start_topology")
        usual = resolve(said, environment={}, task=type(config))
        kept = {name: None for name in density if getattr(config, name) is None}
        values = vars(usual.filled())
        return {
            name: (getattr(config, name), values[name])
            for name in config.fields()
            if name not in _ASIDE and getattr(config, name) != values[name] and name not in kept
        }


def read_run(path: Path) -> Run:
    """Read the folder of a run, which may still be training.

    Raises
    ------
    UsageError, TruesparseError
        It is not one, nothing has been evaluated yet, or a file in it cannot be read.
    """
    records = read_metrics(path)
    values = read_toml(path / CONFIG)
    task = values.pop("task", "lm")
    if not isinstance(task, str) or task not in TASKS:
        raise UsageError(f"{path / CONFIG} is of no task that is known; give the folder of a run")
    kind = TASKS[task]
    config = kind.from_dict(kind.load_toml(path / CONFIG)).filled()
    if not any(record["kind"] == "eval" for record in records):
        raise TruesparseError(
            f"{path} has not been evaluated yet; report on it when it has trained for longer"
        )
    with Reader(find_model(path)) as reader:
        model = read_model(reader)
    model.check_finite()
    return Run(path, config, records, _environment(path / ENVIRONMENT), model)


def _environment(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        raise TruesparseError(f"{path} is not as it was written: it is no JSON; put it back") from None
    return values if isinstance(values, dict) else {}


def seconds_per_step(stored: StoredModel, seconds: float = 0.3) -> tuple[float, str]:
    """Measure the runtime on this machine.

    Parameters
    ----------
    stored : StoredModel
    seconds : float
        How long.

    Returns
    -------
    float
        The median time of a token, or of the features of a step.
    str
        What was done: one step after another, with or without scores; or, where a model has no stream, a
        sequence of 50 steps, of which this is the 50th part.

    Raises
    ------
    TruesparseError
        The runtime cannot use the model.
    """
    model, chain, rng = as_model(stored), stored.chain, np.random.default_rng(0)
    steps = 50 if chain.whole else 1
    inputs: Any = rng.integers(chain.tokens, size=(100, steps)) if chain.tokens else None
    if inputs is None:
        inputs = rng.normal(size=(100, steps, chain.features)).astype(np.float32)
    if chain.whole:
        read, what = lambda given: model.scores(given[:, None]), "of a sequence of 50"
    else:
        stream = model.stream()
        step = getattr(stream, "step", None)
        what = "one at a time" if step else "one at a time, without scores"
        use = step or stream.advance

        def read(given: Any) -> Any:
            return use(given[0])

    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 2000):
        given = inputs[len(times) % len(inputs)]
        began = time.perf_counter()
        read(given)
        times.append(time.perf_counter() - began)
    return float(np.median(times)) / steps, what
