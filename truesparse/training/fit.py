"""Training in memory with one call."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from truesparse.data.batches import Batches
from truesparse.errors import UsageError
from truesparse.optim.settings import OptimizerSettings
from truesparse.settings import Settings, check_kind, seed_setting, setting, shown
from truesparse.sparse import Arena, Rewiring
from truesparse.topology import Beginning, Method, get_method, initial_counts
from truesparse.topology.settings import GATES, IMPORTANCES
from truesparse.topology.snapshots import Snapshot
from truesparse.training.build import prepare, start_training
from truesparse.training.evaluation import evaluate
from truesparse.training.reporter import Reporter
from truesparse.training.state import make_generators
from truesparse.training.stopping import is_late, is_stale, minutes_setting, patience_setting
from truesparse.training.telling import Teller
from truesparse.training.training import StepMeasures

if TYPE_CHECKING:
    from truesparse.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitSettings(Settings):
    """Settings of `fit`."""

    epochs: int = setting(10, "Passes over the data.", low=1)
    patience: int | None = patience_setting()
    max_minutes: float | None = minutes_setting()
    density: float | None = setting(None, "That of the model in the end.", low=0, open_low=True, high=1)
    gates: str = setting("fused", "Whether they have one budget.", choices=GATES)
    importance: str = setting("l1", "What a connection counts.", choices=IMPORTANCES)
    keep_topologies: int | None = setting(None, "Snapshots of the connections that are kept.", low=2)
    seed: int = seed_setting()


class Epoch(NamedTuple):
    """What an epoch of `fit` came to.

    Attributes
    ----------
    number : int
        From 1.
    loss : float
        Mean of the training data, while the weights changed.
    valid_loss : float or None
        Mean of the validation data after the epoch.
    best : bool
        Whether the model is the best so far, by the validation data; the last one is, without these.
    """

    number: int
    loss: float
    valid_loss: float | None
    best: bool

    def __str__(self) -> str:
        valid = "" if self.valid_loss is None else f", validation loss {self.valid_loss:.4f}"
        return f"epoch {self.number}: loss {self.loss:.4f}{valid}{' *' if valid and self.best else ''}"


@dataclasses.dataclass
class Fitted:
    """What `fit` came to.

    Attributes
    ----------
    epochs : list of Epoch
    ended_by : str
        "patience" or "max_minutes" if that has ended training before its plan.
    topologies : list of Snapshot
        Those of `keep_topologies`, from the start to the end.
    """

    epochs: list[Epoch] = dataclasses.field(default_factory=list)
    ended_by: str = ""
    topologies: list[Snapshot] = dataclasses.field(default_factory=list)

    @property
    def losses(self) -> list[float]:
        """Mean training loss of each epoch."""
        return [epoch.loss for epoch in self.epochs]

    @property
    def valid_losses(self) -> list[float]:
        """Mean validation loss after each epoch; none without validation data."""
        return [epoch.valid_loss for epoch in self.epochs if epoch.valid_loss is not None]

    @property
    def best(self) -> Epoch:
        """The epoch after which the model was as it is now."""
        return [epoch for epoch in self.epochs if epoch.best][-1]


def fit(
    model: Model,
    batches: Batches,
    optimizer: OptimizerSettings,
    method: str | Method = "st-rnn",
    *,
    epochs: int = 10,
    valid: Batches | None = None,
    patience: int | None = None,
    max_minutes: float | None = None,
    density: float | None = None,
    gates: str = "fused",
    importance: str = "l1",
    keep_topologies: int | None = None,
    seed: int = 1,
    progress: Callable[[Epoch], object] | None = None,
    reporter: Reporter | None = None,
) -> Fitted:
    """Train a model.

    With validation data, the model ends as it was after the epoch with the lowest validation loss. An epoch
    that is no new best divides the learning rate by the optimizer's `lr_decay`.

    Parameters
    ----------
    model : Model
        Modified in place.
    batches : Batches
        Such as `Windows` of a text or `SequenceBatches`.
    optimizer : OptimizerSettings
        Such as ``sgd(lr=2)``.
    method : str or Method
        How the topology changes: a name, or ``method("rigl", drop_fraction=0.3)`` for other settings.
    epochs : int
        Passes over the data.
    valid : Batches, optional
        To choose the best epoch by.
    patience : int, optional
        End after so many epochs without a new best one; needs `valid`. With a method that prunes,
        epochs count once it has pruned.
    max_minutes : float, optional
        End after so many minutes, within an epoch if need be. The topology changes as planned for `epochs`.
    density : float, optional
        Final density, for a method that prunes. `gmp`, `iss` and `snip` need a model made with
        ``init(density=1)``; `granet` begins with the density that `init` gave.
    gates : {"fused", "separate"}
        Whether the gates of a matrix have one budget or one each.
    importance : {"l1", "l2", "max"}
        How a connection of several weights is measured, when the smallest are dropped.
    keep_topologies : int, optional
        Number of snapshots of the connections to keep, evenly over the updates, with the start and the end.
        Each takes 2 bytes a connection.
    seed : int
        Of dropout and of the topology; the same seed gives the same bits, whatever the number of threads.
    progress : callable, optional
        Called after each epoch, such as `print`.
    reporter : Reporter, optional
        Called at steps and epochs, such as ``CsvLog("losses.csv")``.

    Returns
    -------
    Fitted
        Losses of each epoch.

    Raises
    ------
    UsageError
        The batches do not fit the model, or the method does not go with it or with its density, or an
        optimizer has states in the model: a `Training` is under way.
    TruesparseError
        The loss or the gradient is no longer finite; the model is what it was before that step.

    Notes
    -----
    Optimizer states last as long as the call. With validation data the best model is kept besides: 4 bytes a
    weight, and its positions.
    """
    from truesparse.model.checks import check_batches, check_model

    told = FitSettings(
        epochs=epochs,
        patience=patience,
        max_minutes=max_minutes,
        density=density,
        gates=gates,
        importance=importance,
        keep_topologies=keep_topologies,
        seed=seed,
    )
    check_model(model)
    check_kind("optimizer", optimizer, OptimizerSettings, "an optimizer, such as adam(lr=0.01)")
    check_kind("method", method, (str, Method), 'a name, such as "st-rnn", or what method(name) returns')
    if progress is not None and not callable(progress):
        raise UsageError(f"progress is {shown(progress)}; it must be a function, such as print")
    reporter = reporter or Reporter()
    check_kind("reporter", reporter, Reporter, "a truesparse.Reporter")
    method = get_method(method) if isinstance(method, str) else method
    _check_settings(method)
    _check(model, method, told, optimizer.momentum_state)
    check_batches(model.chain, batches)
    if valid is not None:
        check_batches(model.chain, valid, "valid")
    elif told.patience is not None:
        raise UsageError("patience waits for a better validation loss; give valid, or leave patience out")
    with closing(reporter), _alone(model.arena):
        return _fit(
            model,
            batches,
            optimizer,
            method,
            told,
            valid,
            _begin(model, batches, method, told),
            make_generators(told.seed)["dropout"],
            progress,
            reporter,
        )


_trained: dict[int, object] = {}  # arenas that a call of `fit` trains, by identity


@contextmanager
def _alone(arena: Arena) -> Iterator[None]:
    """Let no other call of `fit` train the same numbers, in another thread or from a reporter."""
    mine = object()
    if _trained.setdefault(id(arena), mine) is not mine:
        raise UsageError("the model is trained by another call of fit; wait for that, or train a copy")
    try:
        if arena.states:
            raise UsageError(
                "the model has the states of an optimizer that trains it, and fit would drop them; let go of"
                " them with model.arena.states.clear() first, or go on with the Training that they belong to"
            )
        try:
            yield
        finally:
            arena.states.clear()
    finally:
        del _trained[id(arena)]


def _check_settings(method: Method) -> None:
    """Raise UsageError if a method has settings that `fit` does not take."""
    name = method.initial_setting
    if name and method.defaults[name] != getattr(method.settings, name):
        raise UsageError(f"{name} is what init has given the model; leave it out")


def _check(model: Model, method: Method, told: FitSettings, momentum: str) -> None:
    """Raise UsageError if a method does not go with a model."""
    density = told.density
    shared = any(matrix.group > 1 for matrix in model.matrices.values())
    method.check(told.gates, "a model whose rows share connections" if shared else "", momentum=momentum)
    if method.initial != "sparse" and model.arena.nnz < model.chain.dense_parameters:
        raise UsageError(
            f"the method {method.name} begins with all positions, but the model has a density of"
            f" {model.density:.4g}; make it with init(density=1)"
        )
    if method.shrinks and told.max_minutes is not None:
        raise UsageError(
            f"the method {method.name} has to know how many steps it has to take weights away; give epochs,"
            " not max_minutes"
        )
    if method.ends_sparser and density is None:
        raise UsageError(f"the method {method.name} needs the density of the model in the end; give density")
    if density is not None and density > model.density:
        raise UsageError(f"density is {density:g}, but the model has only {model.density:.4g} to begin with")
    if density is not None and not method.ends_sparser:
        raise UsageError(
            f"the method {method.name} leaves the model its density, which init gave it; leave density out"
        )
    if method.updates and not method.shrinks and model.arena.nnz == model.chain.dense_parameters:
        raise UsageError(
            f"the method {method.name} moves weights to free positions, but the model has none"
            f"; make it with a density below 1, or use the method dense"
        )


def _begin(model: Model, batches: Batches, method: Method, told: FitSettings) -> Beginning:
    """What the method gets; one that chooses the weights first has done so."""
    counts = {}
    if told.density is not None and method.shrinks:
        counts = initial_counts(model.chain.shapes, told.density, gates=told.gates)
    rng = make_generators(told.seed)["topology"]
    beginning = Beginning(model.arena, rng, dict(method.defaults), told.gates, told.importance, counts)
    if told.density is not None:
        prepare(model, batches, method, beginning, told.density)
    return beginning


def _fit(
    model: Model,
    batches: Batches,
    optimizer: OptimizerSettings,
    method: Method,
    told: FitSettings,
    valid: Batches | None,
    beginning: Beginning,
    rng: np.random.Generator,
    progress: Callable[[Epoch], object] | None,
    reporter: Reporter,
) -> Fitted:
    steps, epochs, began = len(batches), told.epochs, time.perf_counter()

    def late() -> bool:
        return is_late(time.perf_counter() - began, told.max_minutes)

    training = start_training(
        *(model, optimizer, method, beginning, rng, steps, epochs * steps),
        keep_topologies=told.keep_topologies,
    )
    assert training.evolution is not None
    training.evolution.check()
    fitted = Fitted()
    training.evolution.kept = fitted.topologies.append
    training.evolution.keep(0)
    training.workspace(max(data.longest for data in (batches, valid) if data is not None), batches.batch_size)
    teller = Teller(reporter, training, model.chain.dense_parameters, steps, epochs)

    def after(done: StepMeasures) -> bool:
        teller.step(done)
        return late()

    kept: Arena | None = None
    lowest, stale = math.inf, 0
    for number in range(1, epochs + 1):
        loss = training.epoch(batches, number - 1, after)
        teller.trained(loss)
        if method.shrinks:
            training.evolve()  # before the model is measured
        best, valid_loss, last = True, None, number == epochs or late()
        with training.optimizer.averaged():
            if valid is not None:
                valid_loss = evaluate(model, valid, training.workspace(valid.longest, valid.batch_size)).loss
                training.check_finite(valid_loss, "validation loss", training.steps + 1)
                best = training.is_best(valid_loss < lowest, None if kept is None else kept.nnz)
                lowest = valid_loss if best else lowest
                teller.measured(best, loss=valid_loss)
            if best and (valid is not None or (last and training.optimizer.averaging)):
                kept = _copy(model.arena)
        if number == epochs or not last:  # out of time, connections would be made that nobody trains
            training.settle(number, best, valid_loss)
        teller.epoch()
        fitted.epochs.append(Epoch(number, loss, valid_loss, best))
        if progress is not None:
            progress(fitted.epochs[-1])
        stale = 0 if best or training.evolution.takes_away(training.steps) else stale + 1
        if last or is_stale(stale, told.patience):
            fitted.ended_by = "" if number == epochs else "max_minutes" if last else "patience"
            break
    training.evolution.keep_last(training.steps)
    if kept is not None:
        _put_back(model.arena, kept)
    teller.end(epochs=len(fitted.epochs), **({"ended_by": fitted.ended_by} if fitted.ended_by else {}))
    return fitted


def _copy(arena: Arena) -> Arena:
    """An arena without the optimizer's states."""
    states = dict(arena.states)
    arena.states.clear()
    try:
        return copy.deepcopy(arena)
    finally:
        arena.states.update(states)


def _put_back(arena: Arena, kept: Arena) -> None:
    """Give an arena the topology and the numbers of another."""
    arena.states.clear()
    for name, matrix in kept.matrices.items():
        pattern = matrix.pattern
        arena.apply(Rewiring({name: (pattern, np.full(pattern.nnz, -1, np.int32))}))
    arena.values[...] = kept.values
    arena.touch()
