"""A whole run: text, model, training, and the results of the best model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from truesparse.data import Corpus, Windows, load_corpus, unigram_perplexity
from truesparse.errors import TruesparseError, UsageError
from truesparse.kernels.threads import set_threads
from truesparse.topology import get_method
from truesparse.training import rundir
from truesparse.training.build import build_model
from truesparse.training.checkpoint import load_checkpoint, load_model
from truesparse.training.config import FIELDS, Config
from truesparse.training.environment import environment, peak_memory_bytes, watch_compilation
from truesparse.training.evaluation import EvaluationStopped, evaluate, perplexity
from truesparse.training.loop import Trainer, TrainingStopped
from truesparse.training.reporter import Reporter, RunInfo
from truesparse.training.rundir import RunDirectory
from truesparse.training.saliency import keep_salient
from truesparse.training.settings import flag
from truesparse.training.state import make_generators

# What may differ when a run is resumed. `data` may, because a text may have moved; that it is the same text
# is checked.
RESUMABLE = frozenset({"data", "epochs", "max_steps", "log_interval", "threads"})


def train_language_model(
    config: Config,
    out: Path | None = None,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train a language model in a new run directory.

    Parameters
    ----------
    config : Config
    out : Path, optional
        Folder of the run, new or empty; ``runs/<date>-<name of the text>`` if not given.
    reporter : Reporter, optional
    stop : callable
        Asked after each step whether to save and stop.

    Returns
    -------
    dict
        `valid_perplexity` and `test_perplexity` of the model with the lowest validation loss,
        `unigram_perplexity` on the validation text, `steps`, `epochs`, `nnz`, `dense_parameters`, `density`,
        `training_flops`, `relative_flops` (to training a dense model of the sizes asked for),
        `tokens_per_second`, `seconds_per_epoch` (of steps and topology updates), `update_seconds` (of all
        topology updates), `seconds`, `peak_memory_bytes`, `run_dir`; what `Evolution.measures` gives.

    Raises
    ------
    UsageError, TruesparseError
        Bad input; see the parts.
    TrainingStopped
        `stop` returned True; all is saved.
    """
    reporter = reporter or Reporter()
    config = config.filled()
    if out is not None:
        rundir.check_free(out)
    corpus = load_corpus(config.data, config.level)
    with watch_compilation(reporter.compiling) as compile_seconds:
        threads = set_threads(config.threads)
        generators = make_generators(config.seed)
        model = build_model(config, len(corpus.vocabulary), generators["initial"])
        flops = 0.0
        if get_method(config.method).initial == "salient":
            windows = Windows(corpus.train, config.batch_size, config.bptt, "training text")
            flops = keep_salient(model, windows, config, generators["initial"])
        trainer = Trainer(config, corpus, model, generators, reporter, stop, compile_seconds)
        trainer.state.flops = flops
        del model  # the trainer frees it
        trainer.check_plan()
        with closing(RunDirectory.create(out or rundir.make_default(corpus.name), config)) as run:
            return _finish(trainer, run, corpus, threads)


def resume_language_model(
    path: Path,
    flags: Mapping[str, Any],
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Go on with a run from its checkpoint, to the same bits as if it had never stopped.

    Parameters
    ----------
    path : Path
        Folder of the run.
    flags : mapping
        Configuration fields that change, and their values; only those of `RESUMABLE` may. A run that is made
        longer keeps the drop fractions of its first plan, which are 0 after its end.
    reporter, stop
        As in `train_language_model`.

    Returns
    -------
    dict
        As `train_language_model`.

    Raises
    ------
    UsageError, TruesparseError, TrainingStopped
        As `train_language_model`; also for a folder without a checkpoint, a checkpoint that cannot be read,
        and a field that may not change.
    """
    reporter = reporter or Reporter()
    config = _resumed_config(path, flags)
    with (
        watch_compilation(reporter.compiling) as compile_seconds,
        closing(RunDirectory(path)) as run,
    ):
        threads = set_threads(config.threads)
        saved = load_checkpoint(run.checkpoint)
        for name in FIELDS:
            old, new = getattr(saved.config, name), getattr(config, name)
            if new != old and name not in RESUMABLE:
                raise TruesparseError(
                    f"{saved.path} is of another model: its {name} is {old!r}, but {rundir.CONFIG} has"
                    f" {new!r}; put the run's own checkpoint or configuration back"
                )
        corpus = load_corpus(config.data, config.level)
        trainer = Trainer(
            config, corpus, saved.model, make_generators(config.seed), reporter, stop, compile_seconds
        )
        trainer.restore(saved)
        del saved
        if trainer.state.step > trainer.total_steps:
            raise UsageError(
                f"{path} has done {trainer.state.step:,} steps, more than the {trainer.total_steps:,} that"
                f" --epochs and --max-steps allow; raise them"
            )
        if trainer.state.best_loss is not None and not run.model.is_file():
            raise TruesparseError(
                f"{path} has no {rundir.MODEL}, the best model of the run; put it back, or start a new run"
            )
        run.write_config(config)
        run.keep_records(trainer.state.records)
        return _finish(trainer, run, corpus, threads)


def _resumed_config(path: Path, flags: Mapping[str, Any]) -> Config:
    """The configuration a run began with, changed by flags; UsageError if one of them may not."""
    settings = RunDirectory.read_config(path)
    began = Config.from_dict(settings).filled()
    for name, value in flags.items():
        if name in FIELDS and name not in RESUMABLE and value != getattr(began, name):
            old = getattr(began, name)
            raise UsageError(
                f"{flag(name)} is {value!r} but was {'not set' if old is None else repr(old)} when the run"
                f" began, and that cannot change; leave it out, or start a new run"
            )
    return Config.from_dict({**settings, **flags}).filled()


def _finish(trainer: Trainer, run: RunDirectory, corpus: Corpus, threads: int) -> dict[str, Any]:
    """Train to the end, then measure the best model on the test text."""
    config, state, reporter = trainer.config, trainer.state, trainer.reporter
    dense_parameters, steps_per_epoch = trainer.model.spec.dense_parameters, trainer.steps_per_epoch
    run.write_environment(environment())
    began_at = time.perf_counter() - state.seconds
    reporter.start(
        RunInfo(
            path=run.path,
            text=corpus.description,
            step=state.step,
            total_steps=trainer.total_steps,
            steps_per_epoch=steps_per_epoch,
            nnz=trainer.model.arena.nnz,
            dense_parameters=dense_parameters,
            threads=threads,
            gates=trainer.model.spec.gates,
        )
    )
    trainer.train(run)
    measures = trainer.measures()
    trainer.release()
    best = load_model(run.model).model
    try:
        test = evaluate(
            best, trainer.test_windows, best.workspace(config.bptt, config.batch_size), trainer.stop
        )
    except EvaluationStopped:
        raise TrainingStopped(
            f"trained but not tested; see the results with: truesparse train lm --resume {run.path}"
        ) from None
    assert state.best_loss is not None
    results = {
        "valid_perplexity": perplexity(state.best_loss),
        "test_perplexity": test.perplexity,
        "unigram_perplexity": unigram_perplexity(corpus.train, corpus.valid, len(corpus.vocabulary)),
        "steps": state.step,
        "epochs": state.step / steps_per_epoch,
        "nnz": best.arena.nnz,
        "dense_parameters": dense_parameters,
        "density": best.arena.nnz / dense_parameters,
        **measures,
        "training_flops": state.flops,
        "relative_flops": trainer.relative_flops,
        "tokens_per_second": state.tokens / state.step_seconds,
        "seconds_per_epoch": (state.step_seconds + state.update_seconds) * steps_per_epoch / state.step,
        "update_seconds": state.update_seconds,
        "seconds": time.perf_counter() - began_at,
        "peak_memory_bytes": peak_memory_bytes(),
        "run_dir": str(run.path),
    }
    run.record({"kind": "end", **results})
    reporter.end(results)
    return results
