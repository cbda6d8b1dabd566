"""The model that a configuration asks for, as it is before training, and what trains it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from truesparse.data.batches import Batches
from truesparse.layers.chain import EMBEDDING, ChainSpec
from truesparse.optim import Optimizer
from truesparse.optim.settings import OptimizerSettings
from truesparse.topology import Beginning, Method, get_method
from truesparse.topology.hooks import Units
from truesparse.training.communicator import SERIAL, Communicator
from truesparse.training.config import Config
from truesparse.training.describe import flops_per_token
from truesparse.training.evolution import Evolution
from truesparse.training.start import ReadsLike, first_model, wanted_counts, wanted_density
from truesparse.training.tokens import token_rows
from truesparse.training.training import Training

if TYPE_CHECKING:
    from truesparse.model import Model


def build_model(
    config: Config,
    chain: ChainSpec,
    batches: Batches,
    rng: np.random.Generator,
    reads_like: ReadsLike = lambda saved: True,
    communicator: Communicator = SERIAL,
) -> tuple[Model, float]:
    """Return the model of a new run, and what it took to choose its weights.

    Parameters
    ----------
    config : Config
        Filled in.
    chain : ChainSpec
        The model that it asks for; a method may make it smaller.
    batches : Batches
        The first ones tell which weights matter, for a method that asks before training.
    rng : numpy.random.Generator
        Draws topology and weights.
    reads_like : callable
        See `first_model`.
    communicator : Communicator
        The ranks that share the batches.

    Returns
    -------
    model : Model
    flops : float
        Multiplications and additions of the gradients that told.

    Raises
    ------
    UsageError, TruesparseError
        As `first_model`.
    """
    method, settings = get_method(config.method), config.settings_of("method")
    if method.initial == "small":
        chain = chain.with_parameters(round(wanted_density(config, chain) * chain.dense_parameters))
    model = first_model(config, chain, rng, reads_like)
    if method.prepare is None:
        return model, 0.0
    beginning = Beginning(model.arena, rng, settings, config.gates, config.importance)
    density = wanted_density(config, chain)
    scales = config.init_scale, token_rows(config).scale
    return model, prepare(model, batches, method, beginning, density, scales, communicator)


def prepare(
    model: Model,
    batches: Batches,
    method: Method,
    beginning: Beginning,
    density: float,
    scales: tuple[float | None, float] = (None, 1.0),
    communicator: Communicator = SERIAL,
) -> float:
    """Let a method that chooses before training leave a model the fraction `density` of its weights, and draw
    these anew; returns the multiplications and additions of the gradients of batches that it asked for."""
    from truesparse.model import draw_values

    if method.prepare is None:
        return 0.0
    flops = method.choose(beginning, density, partial(_add_gradients, model, batches, communicator))
    draw_values(model, beginning.rng, *scales)
    return flops


def _add_gradients(model: Model, batches: Batches, communicator: Communicator, count: int) -> float:
    """Leave the gradients of the first batches in the arena, without dropout; returns what that took."""
    training = Training(model, Optimizer(model.arena, lr=0.0), communicator=communicator)
    model.arena.zero_grad()
    tokens = 0
    for k in range(min(count, len(batches))):
        batch = batches.batch(0, k)
        training.add_gradients(batch)
        tokens += batch.tokens
    communicator.all_reduce(model.arena.grads)
    return 3.0 * tokens * flops_per_token(model)


def build_training(
    config: Config,
    model: Model,
    generators: Mapping[str, np.random.Generator],
    chain: ChainSpec,
    steps_per_epoch: int,
    planned: int,
    clock: Callable[[], float] = time.perf_counter,
    communicator: Communicator = SERIAL,
) -> Training:
    """Return what trains a model as a configuration asks.

    Parameters
    ----------
    config : Config
        Filled in.
    model : Model
    generators : dict of str to Generator
        See `truesparse.training.state.make_generators`.
    chain : ChainSpec
        The model that the configuration asks for.
    steps_per_epoch, planned : int
        Steps of an epoch and of the run.
    clock, communicator
        See `Training`.
    """
    method = get_method(config.method)
    model.arena.frozen = frozenset({EMBEDDING} if vars(config).get("freeze_vectors") else ())
    counts = {}
    if method.shrinks:
        counts = wanted_counts(config, chain)
    beginning = Beginning(
        model.arena,
        generators["topology"],
        config.settings_of("method"),
        config.gates,
        config.importance,
        counts,
    )
    return start_training(
        model,
        config.optimizer_settings,
        method,
        beginning,
        generators["dropout"],
        steps_per_epoch,
        planned,
        config.track_positions,
        clock,
        communicator,
        config.keep_topologies,
        config.local_steps,
        config.outer_momentum,
    )


def start_training(
    model: Model,
    optimizer: OptimizerSettings,
    method: Method,
    beginning: Beginning,
    rng: np.random.Generator,
    steps_per_epoch: int,
    planned: int,
    track_positions: bool = False,
    clock: Callable[[], float] = time.perf_counter,
    communicator: Communicator = SERIAL,
    keep_topologies: int | None = None,
    local_steps: int = 1,
    outer_momentum: float = 0.0,
) -> Training:
    """Return what trains a model with a method.

    Parameters
    ----------
    model : Model
    optimizer : OptimizerSettings
    method : Method
    beginning : Beginning
        What the method gets, of the model's arena; the optimizer's momentum and the units are added.
    rng : numpy.random.Generator
        Draws what dropout drops.
    steps_per_epoch, planned : int
        Steps of an epoch and of the run.
    track_positions, keep_topologies
        See `Evolution`.
    clock, communicator, local_steps, outer_momentum
        See `Training`.
    """
    built = optimizer.build(model.arena, model.chain.lookups)
    units = [Units(*layer) for layer in model.chain.hidden_units]
    beginning = dataclasses.replace(beginning, momentum=optimizer.momentum_state, units=units)
    evolution = Evolution(method, beginning, planned, steps_per_epoch, track_positions, keep_topologies)
    decay = optimizer.decay()
    cosine = planned if optimizer.cosine else 0
    clip, meet = optimizer.clip, (local_steps, outer_momentum)
    return Training(model, built, evolution, clip, rng, clock, decay, communicator, *meet, cosine)
