"""A study is run: what is left of it, one run after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from truesparse.errors import TruesparseError, UsageError, typed
from truesparse.files import is_unfinished, locked
from truesparse.modelfile import CHECKPOINT, MODEL
from truesparse.study.plan import STUDY, Run, Study
from truesparse.study.results import Line, add_result, end_of_results, read_results
from truesparse.tasks.run import resume_run, train_model
from truesparse.training.environment import commit, environment, machine_of
from truesparse.training.loop import TrainingStopped
from truesparse.training.reporter import MEASURES, Reporter, to_json
from truesparse.training.rundir import CONFIG, ENVIRONMENT, METRICS, read_metrics
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
    """Ignores all events; also for each run of a study."""

    def plan(self, study: Study, done: dict[str, Line]) -> None:
        """The study begins or goes on; some of its runs are done."""

    def run(self, run: Run, done: dict[str, Line]) -> None:
        """A run begins or goes on, the methods of `Reporter` tell how; some are done, also by others."""

    def result(self, run: Run, line: Line) -> None:
        """A run has ended."""


def begin_study(study: Study, folder: Path, since: int | None = None) -> dict[str, Line]:
    """Make the folder of a study, or take the one of a study begun earlier, and write the study file there.

    Returns
    -------
    dict of str to mapping
        The line of each run that has ended, by the key of the run. Those of runs that failed are among them
        if they come after `since` bytes; see `run_study`.

    Raises
    ------
    UsageError, TruesparseError
        The folder is a file, or has something else in it; or the data of a run that is left are not there.
    """
    check_folder(folder, STUDY, "study")
    done = read_results(study, folder, since=end_of_results(folder) if since is None else since)
    left = [run.config for run in study.runs if run.key not in done]
    for data, config in {vars(config)["data"]: config for config in left}.items():
        if data is not None and not Path(data).exists():
            config.make_task()  # which says what is wrong
    folder.mkdir(parents=True, exist_ok=True)
    study.save(folder)
    return done


def check_folder(folder: Path, file: str, what: str) -> None:
    """Raise UsageError if a folder is taken, and not by a study or a race, as its `file` shows."""
    taken = folder.exists() and not (folder.is_dir() and all(map(is_unfinished, folder.iterdir())))
    if taken and not (folder / file).is_file():
        raise UsageError(f"{folder} is not the folder of a {what}; choose another --out")


def run_study(
    study: Study,
    folder: Path,
    reporter: StudyReporter | None = None,
    stop: Callable[[], bool] = lambda: False,
    keep: bool = False,
    since: int | None = None,
) -> dict[str, Line]:
    """Do those runs of a study that are left, and that no other process is at.

    One that cannot be done is no error: its line says why, and the others are done. So it is with one whose
    loss is not finite any more. Started again, what failed is tried again.

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
    since : int, optional
        `end_of_results` when this process and those that share the runs began. What failed after it is not
        tried again; now if not given.

    Returns
    -------
    dict of str to mapping
        The line of each run that has ended or failed, by the key of the run.

    Raises
    ------
    UsageError, TruesparseError
        The study cannot begin; see `begin_study`.
    TrainingStopped
        `stop` returned True; all is saved.
    """
    reporter = reporter or StudyReporter()
    code = commit()  # before somebody works on it
    since = end_of_results(folder) if since is None else since
    done = begin_study(study, folder, since)
    left = [run for run in study.runs if run.key not in done]
    reporter.plan(study, done)
    for run in left:
        path = folder / run.folder
        path.mkdir(exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(path))
            except BlockingIOError:
                continue  # another process is at it
            done = read_results(study, folder, since=since)
            if run.key in done:
                continue  # another process has done it, or has tried to
            reporter.run(run, done)
            try:
                line = _line(run, path, code, _trained(run, path, study.test, reporter, stop))
            except Diverged as error:
                line = _line(run, path, code, {"diverged": str(error)})
            except TrainingStopped:
                ended = sum("failed" not in line for line in done.values())
                raise TrainingStopped(
                    f"stopped and saved, with {ended:,} of {len(study.runs):,} runs done"
                    f"; go on with: truesparse study {typed(folder)}"
                ) from None
            except TruesparseError as error:
                line = _line(run, path, code, {"failed": str(error)})
            add_result(folder, line)
            if not keep and "failed" not in line:
                for name in (MODEL, CHECKPOINT):
                    (path / name).unlink(missing_ok=True)
            reporter.result(run, line)
    return read_results(study, folder)


def _trained(
    run: Run, path: Path, test: bool, reporter: Reporter, stop: Callable[[], bool]
) -> dict[str, Any]:
    """The results of a run, new or gone on with; one whose checkpoint is not kept begins again."""
    if not (path / CHECKPOINT).is_file():
        for name in (CONFIG, ENVIRONMENT, METRICS, MODEL):
            (path / name).unlink(missing_ok=True)
        return train_model(run.config, path, reporter, stop, test)
    may_differ = {name: getattr(run.config, name) for name in ("data", "threads", "tune", "log_interval")}
    given = {name: value for name, value in may_differ.items() if value is not None}
    return resume_run(path, given, reporter, stop, type(run.config), test)


def _line(run: Run, path: Path, code: str | None, results: dict[str, Any]) -> Line:
    """What the file of results gets."""
    measures: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    records = [] if "failed" in results else read_metrics(path)
    if "failed" in results:
        measures["failed"] = results["failed"]
    elif "diverged" in results:
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
        **origin(run, code),
    }


def origin(run: Run, code: str | None) -> dict[str, Any]:
    """The origin of a line, made by `code`."""
    machine = environment()
    return {
        "date": date.today().isoformat(),
        "processor": machine_of(machine),
        "truesparse": machine["truesparse"],
        "commit": code,
        "config": {name: value for name, value in asdict(run.config).items() if value is not None},
    }
