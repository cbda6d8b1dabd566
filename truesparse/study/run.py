"""A study is run: what is left of it, one run after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from truesparse.errors import TruesparseError, UsageError
from truesparse.modelfile import CHECKPOINT, MODEL
from truesparse.study.plan import STUDY, Run, Study
from truesparse.study.results import RESULTS, Line, Results, read_results
from truesparse.tasks.run import resume_run, train_model
from truesparse.training.environment import commit, environment
from truesparse.training.loop import TrainingStopped
from truesparse.training.reporter import MEASURES, Reporter, to_json
from truesparse.training.rundir import CONFIG, read_metrics
from truesparse.training.training import Diverged

_KEPT = (
    "steps",
    "epochs",
    "seconds",
    "tokens_per_second",
    "threads",
    "nnz",
    "dense_parameters",
    "relative_flops",
)


class StudyReporter(Reporter):
    """Does nothing with what it is told; also of each run of a study."""

    def plan(self, study: Study, done: dict[str, Line]) -> None:
        """The study begins or goes on; some of its runs are done."""

    def run(self, run: Run) -> None:
        """A run begins or goes on; the methods of `Reporter` tell how."""

    def result(self, run: Run, line: Line) -> None:
        """A run has ended."""


def check_folder(folder: Path) -> None:
    """Check that a study may use a folder: a new or empty one, or that of a study.

    Raises
    ------
    UsageError
        It is a file, or has something else in it.
    """
    taken = folder.exists() and not (
        folder.is_dir() and {file.name for file in folder.iterdir()} <= {RESULTS}
    )
    if taken and not (folder / STUDY).is_file():
        raise UsageError(f"{folder} is not the folder of a study; choose another --out")


def run_study(
    study: Study,
    folder: Path,
    reporter: StudyReporter | None = None,
    stop: Callable[[], bool] = lambda: False,
    keep: bool = False,
) -> dict[str, Line]:
    """Do those runs of a study that are left.

    Parameters
    ----------
    study : Study
    folder : Path
        New or empty, or that of the study, begun earlier. It gets the study file, the results, and a folder
        for each run.
    reporter : StudyReporter, optional
    stop : callable
        Asked after each step whether to save and stop.
    keep : bool
        Whether the models and checkpoints of runs that have ended are kept.

    Returns
    -------
    dict of str to mapping
        The line of each run, by the key of the run.

    Raises
    ------
    UsageError, TruesparseError
        A run cannot be done; see `train_model`. The others are unharmed. One whose loss is not finite any
        more has a line that says so, and is no error.
    TrainingStopped
        `stop` returned True; all is saved.
    """
    reporter = reporter or StudyReporter()
    check_folder(folder)
    code = commit()  # before somebody works on it
    done = read_results(study, folder)
    _check_data([run for run in study.runs if run.key not in done])
    folder.mkdir(parents=True, exist_ok=True)
    with closing(Results(folder)) as results:
        done = read_results(study, folder)  # without what another process was writing
        left = [run for run in study.runs if run.key not in done]
        study.save(folder)
        reporter.plan(study, done)
        for run in left:
            reporter.run(run)
            path = folder / run.folder
            try:
                line = _line(run, path, code, _trained(run, path, study.test, reporter, stop))
            except Diverged as error:
                line = _line(run, path, code, {"diverged": str(error)})
            except TrainingStopped:
                raise TrainingStopped(
                    f"stopped and saved, with {len(done):,} of {len(study.runs):,} runs done"
                    f"; go on with: truesparse study {folder}"
                ) from None
            except TruesparseError as error:
                error.args = (f"{run.name}: {error}",)
                raise
            results.add(line)
            done[run.key] = line
            if not keep:
                for name in (MODEL, CHECKPOINT):
                    (path / name).unlink(missing_ok=True)
            reporter.result(run, line)
    return done


def _check_data(runs: list[Run]) -> None:
    """Raise the error of a run whose data are not there."""
    for data, config in {vars(run.config)["data"]: run.config for run in runs}.items():
        if data is not None and not Path(data).exists():
            config.make_task()


def _trained(
    run: Run, path: Path, test: bool, reporter: Reporter, stop: Callable[[], bool]
) -> dict[str, Any]:
    """The results of a run, new or gone on with."""
    if not (path / CONFIG).is_file():
        return train_model(run.config, path, reporter, stop, test)
    may_differ = {name: getattr(run.config, name) for name in ("data", "threads", "log_interval")}
    given = {name: value for name, value in may_differ.items() if value is not None}
    return resume_run(path, given, reporter, stop, type(run.config), test)


def _line(run: Run, path: Path, code: str | None, results: dict[str, Any]) -> Line:
    """What the file of results gets."""
    records, machine = read_metrics(path), environment()
    measures: dict[str, Any] = {}
    if "diverged" in results:
        last = records[-1] if records else {"step": 0, "epoch": 0.0, "seconds": 0.0}
        measures["diverged"] = results["diverged"]
        kept = {"steps": last["step"], "epochs": last["epoch"], "seconds": last["seconds"]}
    else:
        best = next(record for record in reversed(records) if record["kind"] == "eval" and record["best"])
        measures["valid"] = {name: best[name] for name in (*MEASURES, "loss") if name in best}
        test = {name: value for name, value in results.items() if name.startswith("test_")}
        if test:
            finite = json.loads(to_json(test))
            measures["test"] = {name.removeprefix("test_"): value for name, value in finite.items()}
        kept = {name: results[name] for name in _KEPT}
    return {
        "run": path.name,
        "point": dict(run.point),
        "seed": run.config.seed,
        **measures,
        **kept,
        "date": date.today().isoformat(),
        "processor": f"{machine['cpu']}, {machine['cores']} cores",
        "truesparse": machine["truesparse"],
        "commit": code,
        "config": {name: value for name, value in asdict(run.config).items() if value is not None},
    }
