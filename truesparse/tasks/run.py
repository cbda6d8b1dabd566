"""A whole run: data, model, training, and the results of the best model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from truesparse.data import Subwords
from truesparse.errors import TruesparseError, UsageError, typed
from truesparse.model import Model
from truesparse.model.loading import load_model
from truesparse.model.saving import save_model
from truesparse.modelfile import Reader, find_model, read_model
from truesparse.settings import flag
from truesparse.sparse.plan import tuning
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.ranks import of_rank, set_rank_threads, shared
from truesparse.tasks.registry import task_of
from truesparse.training import rundir
from truesparse.training.build import build_model
from truesparse.training.checkpoint import load_checkpoint
from truesparse.training.communicator import SERIAL, Communicator
from truesparse.training.config import Config
from truesparse.training.describe import dense_flops_per_token, flops_per_token
from truesparse.training.environment import environment, peak_memory_bytes, watch_compilation
from truesparse.training.evaluation import EvaluationStopped
from truesparse.training.loop import Trainer, TrainingStopped
from truesparse.training.reporter import Reporter, RunInfo
from truesparse.training.restoring import restored_config
from truesparse.training.rundir import OtherRunDirectory, RunDirectory
from truesparse.training.state import make_generators, part_generators
from truesparse.training.task import Task
from truesparse.training.vectors import sized, use_vectors

# What may differ when a run is resumed. `data` may, because they may have moved; that they are the same is
# checked.
RESUMABLE = frozenset(
    {"data", "epochs", "max_steps", "patience", "max_minutes", "log_interval", "log", "threads"}
)


def train_model(
    config: Config,
    out: Path | None = None,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
    test: bool = True,
    communicator: Communicator = SERIAL,
) -> dict[str, Any]:
    """Train a model in a new run directory.

    Parameters
    ----------
    config : Config
        Says what is trained, too.
    out : Path, optional
        Folder of the run, new or empty; ``runs/<date>-<name of the data>`` if not given.
    reporter : Reporter, optional
    stop : callable
        Asked after each step whether to save and stop.
    test : bool
        Whether the best model is measured on the test data in the end.
    communicator : Communicator
        The ranks that train together, each of which makes this call; see
        `truesparse.training.communicator.find_communicator`. Rank 0 writes, and tells its reporter.

    Returns
    -------
    dict
        Of the model that was best on the validation data: with `test` what the task measures
        (`Task.results`); what `Task.finish` tells; `steps`,
        `epochs`, `ended_by` (if training ended before its plan: "patience" or "max_minutes"), `nnz`,
        `dense_parameters`, `density`, `training_flops`, `relative_flops` (to training a
        dense model of the sizes asked for), `inference_flops` (of a token), `relative_inference_flops`,
        `tokens_per_second`, `seconds_per_epoch` (of steps and topology updates), `step_seconds` and
        `net_seconds` (of all steps, and each times the density in it), `update_seconds` (of all topology
        updates), `threads` (of the last steps), `seconds`,
        `peak_memory_bytes`, `run_dir`; what `Evolution.measures` gives.

    Raises
    ------
    UsageError, TruesparseError
        Bad input; see the parts.
    TrainingStopped
        `stop` returned True; all is saved.
    """
    reporter, stop = of_rank(reporter, stop, config, communicator)
    config = _found(_found(sized(config.filled()), "start_topology"), "vectors")
    if out is not None and communicator.rank == 0:
        rundir.check_free(out)
    task = shared(_make_task(config), communicator)
    with (
        closing(reporter),
        watch_compilation(reporter.compiling) as compile_seconds,
        tuning(config.tune),
    ):
        threads = set_rank_threads(config.threads, communicator)
        trainer = _begin(
            task, partial(Trainer, reporter=reporter, stop=stop, compile_seconds=compile_seconds)
        )
        if communicator.rank:
            run: RunDirectory = OtherRunDirectory(communicator.broadcast(Path()))
        else:
            run = RunDirectory.create(out or rundir.make_default(task.name), _found(config))
            communicator.broadcast(run.path)
        with closing(run):
            return _finish(trainer, run, threads, test)


def resume_run(
    path: Path,
    flags: Mapping[str, Any],
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
    kind: type[Config] = LanguageModelConfig,
    test: bool = True,
    communicator: Communicator = SERIAL,
) -> dict[str, Any]:
    """Go on with a run from its checkpoint, to the same bits as if it had never stopped.

    A run that was killed before its first checkpoint begins again.

    Parameters
    ----------
    path : Path
        Folder of the run.
    flags : mapping
        Configuration fields that change, and their values; only those of `RESUMABLE` may. A run that is made
        longer keeps the drop fractions of its first plan, which are 0 after its end.
    reporter, stop, test, communicator
        As in `train_model`. Another number of ranks than before goes on too, but not to the same bits.
    kind : type
        Of the run's configuration.

    Returns
    -------
    dict
        As `train_model`.

    Raises
    ------
    UsageError, TruesparseError, TrainingStopped
        As `train_model`; also for a folder that is not that of a run, a checkpoint that is lost or cannot be
        read, a run of another task, and a field that may not change.
    """
    config = _resumed_config(path, flags, kind)
    reporter, stop = of_rank(reporter, stop, config, communicator)
    with (
        closing(reporter),
        watch_compilation(reporter.compiling) as compile_seconds,
        tuning(config.tune),
        closing(OtherRunDirectory(path) if communicator.rank else RunDirectory(path)) as run,
    ):
        threads = set_rank_threads(config.threads, communicator)
        make = partial(Trainer, reporter=reporter, stop=stop, compile_seconds=compile_seconds)
        if communicator.broadcast(run.checkpoint.is_file()):
            trainer = _restored(run, config, "data" in flags, make, communicator)
        else:
            trainer = _begin(shared(_make_task(config), communicator), make)
        run.write_config(_found(config))
        return _finish(trainer, run, threads, test)


def _make_task(config: Config) -> Task:
    """The task of a run that begins. Where training goes on with the weights of a model, data are read with
    its vocabulary and labels, whatever they would give themselves."""
    if config.start_values != "last" or config.start_topology is None:
        return config.make_task()
    with Reader(find_model(Path(config.start_topology))) as reader:
        stored = read_model(reader, expand=False)
    return config.make_task(like=stored) if config.made(stored) else config.make_task()


def _begin(task: Task, make: Callable[..., Trainer]) -> Trainer:
    """A trainer before its first step; `make` makes one of a task, a model and generators."""
    generators, ranks = make_generators(task.config.seed), task.communicator
    part_generators(generators, ranks.rank)
    model, flops = build_model(
        task.config, task.chain, task.train, generators["initial"], task.reads_like, ranks
    )
    if vectors := vars(task.config).get("vectors"):
        task.description += f", {use_vectors(model, Path(vectors), task.reading['vocabulary'].tokens)}"
    trainer = make(task, model, generators)
    trainer.state.flops = flops
    trainer.check_plan()
    return trainer


def _restored(
    run: RunDirectory,
    config: Config,
    moved: bool,
    make: Callable[..., Trainer],
    communicator: Communicator,
) -> Trainer:
    """A trainer, of `make`, where the checkpoint of a run was written; `moved` says that the user gave the
    place of the data anew. Errors as `resume_run`."""
    saved = load_checkpoint(run.checkpoint)
    kind = task_of(saved)
    if type(config) is not kind:
        raise TruesparseError(
            f"{saved.path} is of another task, {kind.TASK}; put the run's own checkpoint back"
        )
    began = restored_config(saved, kind)
    for name in config.fields():
        old, new = getattr(began, name), getattr(config, name)
        if new != old and name not in RESUMABLE:
            raise TruesparseError(
                f"{saved.path} is of another model: its {name} is {old!r}, but {rundir.CONFIG} has"
                f" {new!r}; put the run's own checkpoint or configuration back"
            )
    generators = make_generators(config.seed)
    words = saved.vocabulary
    reading: dict[str, Any] = {} if words is None else {"word_rule": words.word_rule}
    # Other versions of the package may learn other subwords from the same text, or no linear forecasts.
    forecasts = getattr(saved.encoder, "horizon", 0)
    if config.start_values == "last" or isinstance(words, Subwords) or forecasts:
        reading["like"] = saved
    task = shared(config.make_task(**reading), communicator)
    if not moved:  # a model file names the data as the user did, resumed or not
        task.config = _with_path(config, "data", vars(began)["data"])
    trainer = make(task, saved.model, generators)
    trainer.restore(saved)
    if trainer.state.step > trainer.total_steps:
        raise UsageError(
            f"{run.path} has done {trainer.state.step:,} steps, more than the {trainer.total_steps:,} that"
            f" --epochs and --max-steps allow; raise them"
        )
    if trainer.state.best is not None and not run.model.is_file():
        raise TruesparseError(
            f"{run.path} has no {rundir.MODEL}, the best model of the run; put it back, or start a new run"
        )
    return trainer


def _with_path(config: Config, name: str, path: str | None) -> Config:
    """A configuration that names another path, such as that of the data."""
    return type(config).from_dict({**vars(config), name: path})


def _found(config: Config, name: str = "data") -> Config:
    """A configuration, such as for a run's folder, of which a path is found from any working directory."""
    path = vars(config).get(name)
    return config if path is None else _with_path(config, name, str(Path(path).absolute()))


def _resumed_config(path: Path, flags: Mapping[str, Any], kind: type[Config]) -> Config:
    """The configuration a run began with, changed by flags; UsageError if one of them may not."""
    settings = RunDirectory.read_config(path, kind)
    began = kind.from_dict(settings).filled()
    for name, value in flags.items():
        if name in kind.fields() and name not in RESUMABLE and value != getattr(began, name):
            old = getattr(began, name)
            raise UsageError(
                f"{flag(name)} is {value!r} but was {'not set' if old is None else repr(old)} when the run"
                f" began, and that cannot change; leave it out, or start a new run"
            )
    return kind.from_dict({**settings, **flags}).filled()


def _finish(trainer: Trainer, run: RunDirectory, threads: int, test: bool) -> dict[str, Any]:
    """Train to the end, then measure the best model on the test data if that is asked for."""
    task, state, reporter = trainer.task, trainer.state, trainer.reporter
    dense_parameters, steps_per_epoch = trainer.model.chain.dense_parameters, trainer.steps_per_epoch
    run.write_environment(environment())
    began_at = time.perf_counter() - state.seconds
    reporter.start(
        RunInfo(
            path=run.path,
            data=task.description,
            step=state.step,
            total_steps=trainer.total_steps,
            steps_per_epoch=steps_per_epoch,
            nnz=trainer.model.arena.nnz,
            dense_parameters=dense_parameters,
            threads=threads,
            gates=trainer.model.chain.gates,
        )
    )
    measures = trainer.train(run)
    with _stops_untested(trainer, run.path):
        best, completed = _completed(trainer, run, test)
        tested = _tested(trainer, best) if test else {}
    results = {
        **tested,
        **completed,
        "steps": state.step,
        "epochs": state.step / steps_per_epoch,
        **({"ended_by": trainer.ended_by} if trainer.ended_by else {}),
        "nnz": best.arena.nnz,
        "dense_parameters": dense_parameters,
        "density": best.arena.nnz / dense_parameters,
        **measures,
        "training_flops": state.flops,
        "relative_flops": trainer.relative_flops,
        "inference_flops": flops_per_token(best),
        "relative_inference_flops": flops_per_token(best) / dense_flops_per_token(task.chain),
        "tokens_per_second": state.tokens / state.step_seconds,
        "seconds_per_epoch": (state.step_seconds + state.update_seconds) * steps_per_epoch / state.step,
        "step_seconds": state.step_seconds,
        "net_seconds": state.net_seconds,
        "update_seconds": state.update_seconds,
        "threads": trainer.threads,
        **({"ranks": task.communicator.size} if task.communicator.size > 1 else {}),
        "seconds": time.perf_counter() - began_at,
        "peak_memory_bytes": peak_memory_bytes(),
        "run_dir": str(run.path),
    }
    run.record({"kind": "end", **results})
    run.keep()
    reporter.end(results)
    return results


@contextmanager
def _stops_untested(trainer: Trainer, run: Path) -> Iterator[None]:
    """Say how to go on if the block is stopped."""
    try:
        yield
    except EvaluationStopped:
        raise TrainingStopped(
            f"trained but not tested; see the results with: truesparse train {trainer.config.TASK} --resume"
            f" {typed(run)}"
        ) from None


def _completed(trainer: Trainer, run: RunDirectory, test: bool) -> tuple[Model, dict[str, Any]]:
    """The best model as the task completes it, in the file too; and what that came to."""
    task = trainer.task
    best = task.communicator.broadcast(load_model(run.model).model if run.writes else None)
    assert best is not None
    best, measures = task.finish(best, test, trainer.stop)
    if measures and run.writes:
        save_model(run.model, best, history=asdict(task.config), **task.reading)
    return best, measures


def _tested(trainer: Trainer, best: Model) -> dict[str, Any]:
    """What the task measures of the best model, on the test data too."""
    task, valid = trainer.task, trainer.state.best
    assert valid is not None
    return task.results(valid, task.evaluate(best, "test", best.workspace, trainer.stop))
