"""Each method with each of the newer layers: it trains, moves connections, and ends with its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from truesparse.data import SequenceBatches, Sequences, Vocabulary, Windows
from truesparse.data.batches import Batches
from truesparse.data.masking import MaskedWindows, with_mask
from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.tasks.lm.settings import LanguageModelConfig, language_model_chain
from truesparse.tasks.mlm.settings import MaskedConfig
from truesparse.tasks.mlp.settings import MLPConfig
from truesparse.tasks.sources import resolve
from truesparse.topology import METHODS, Changed
from truesparse.training.build import build_model, build_training
from truesparse.training.config import Config
from truesparse.training.start import wanted_counts
from truesparse.training.state import make_generators
from truesparse.training.training import Training

BATCH, STEPS, EVERY, DENSITY = 4, 9, 2, 0.4
WORDS = 20


def text() -> np.ndarray:
    return np.random.default_rng(0).integers(3, size=300).cumsum().astype(np.int32) % WORDS


def windows() -> Batches:
    return Windows(text(), BATCH, 7)


def rows() -> Batches:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(BATCH * STEPS, 6)).astype(np.float32)
    labels = (values[:, 0] > values[:, 1]).astype(np.int32) + (values[:, 2] > 1)
    return SequenceBatches(Sequences(values, np.arange(len(values) + 1)), labels, BATCH)


def hidden_words() -> Batches:
    vocabulary = with_mask(Vocabulary(("<unk>", *map(str, range(WORDS - 2)))), WORDS)
    assert len(vocabulary.tokens) == WORDS
    return MaskedWindows(text() % (WORDS - 1), BATCH, 7, vocabulary, 0.3, 1)


class Layer(NamedTuple):
    """How a command trains a model with the layer, in small."""

    task: type[Config]
    settings: dict[str, Any]
    chain: Callable[[Any], ChainSpec]
    batches: Callable[[], Batches]


def of_words(config: LanguageModelConfig) -> ChainSpec:
    return language_model_chain(config, WORDS)


LM: dict[str, Any] = {"hidden_size": 8, "embedding_size": 6, "layers": 1, "lr": 1.0}
NET = {"hidden_sizes": "40,20", "lr": 0.1}
ENCODER = {"hidden_size": 6, "heads": 2, "feed_forward": 8, "layers": 1, "length": 7}
LAYERS = {
    "on-lstm": Layer(LanguageModelConfig, LM | {"cell": "on-lstm", "chunk_size": 2}, of_words, windows),
    "mos": Layer(LanguageModelConfig, LM | {"head": "mos", "experts": 2, "tied": True}, of_words, windows),
    "mlp": Layer(MLPConfig, NET, lambda told: told.chain(6, 3, "classifier"), rows),
    "encoder": Layer(MaskedConfig, ENCODER, lambda told: told.chain(WORDS), hidden_words),
}
REFUSED = {
    ("encoder", "iss"): "method iss takes whole units away, but all blocks of an encoder add to the same",
    ("encoder", "small-dense"): "method small-dense makes layers smaller, which heads do not allow",
}
# With which a method does something in as few steps, besides the interval of its updates
LIVELY: dict[str, dict[str, Any]] = {
    "deepr": {"noise": 0.3},
    "snip": {"saliency_windows": 2},
    "iss": {"group_lasso": 1e-3},
}


def configured(layer: str, name: str) -> Config:
    task, settings, *_ = LAYERS[layer]
    method = METHODS[name]
    own = {"update_interval": EVERY} if "update_interval" in method.defaults else {}
    density = {} if method.density else {"density": DENSITY}
    given = {"batch_size": BATCH, "method": name, **settings, **own, **density, **LIVELY.get(name, {})}
    return resolve(given, environment={}, task=task).filled()


def begun(layer: str, config: Config) -> tuple[ChainSpec, Training]:
    """The model that is asked for, and the training of the one that there is."""
    chain, batches, rngs = LAYERS[layer].chain(config), LAYERS[layer].batches(), make_generators(1)
    model, _ = build_model(config, chain, batches, rngs["initial"])
    return chain, build_training(config, model, rngs, chain, len(batches), STEPS)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_method_and_a_layer(layer: str, name: str) -> None:
    if (layer, name) in REFUSED:
        with pytest.raises(UsageError, match=REFUSED[layer, name]):
            configured(layer, name)
        return
    config, method = configured(layer, name), METHODS[name]
    chain, training = begun(layer, config)
    arena, batches = training.model.arena, LAYERS[layer].batches()
    first = {matrix: weights.nnz for matrix, weights in arena.matrices.items()}
    moved: list[Changed] = []
    before, losses = arena.nnz, []
    for number in range(STEPS):
        epoch, place = divmod(number, len(batches))
        losses.append(training.step(batches.batch(epoch, place)).loss)
        change = training.evolve()
        moved += change.changed.values() if change else ()
    assert np.isfinite(losses).all()
    assert any(dropped for dropped, _ in moved) == method.updates
    assert sum(grown - dropped for dropped, grown in moved) == arena.nnz - before
    for matrix in arena.matrices.values():
        matrix.check()
    last = {matrix: weights.nnz for matrix, weights in arena.matrices.items()}
    assert_promised(name, chain, training, first, last, config)


def assert_promised(
    name: str,
    chain: ChainSpec,
    training: Training,
    first: dict[str, int],
    last: dict[str, int],
    config: Config,
) -> None:
    """What docs/methods.md says of the weights of each method."""
    own = training.model.chain
    positions = {matrix.name: matrix.positions for matrix in own.matrices}
    if name == "small-dense":
        assert last == first == positions
        assert own == chain.with_parameters(round(DENSITY * chain.dense_parameters)) != chain
        return
    assert own == chain
    if name == "dense":
        assert last == first == positions
        return
    wanted = {matrix: int(count.sum()) for matrix, count in wanted_counts(config, chain).items()}
    total = sum(wanted.values())
    if name in ("gmp", "iss"):
        assert first == positions
    if name in ("gmp", "granet"):
        assert last == wanted != first
    elif name == "iss":
        high = {matrix.name: matrix.shape[0] for matrix in own.matrices}
        unit = max(
            sum(positions[matrix] // size for matrix in rows) + sum(high[matrix] for matrix in columns)
            for size, rows, columns in own.hidden_units
        )
        assert total - unit < sum(last.values()) <= total
    elif name == "snip":
        assert sum(last.values()) == round(DENSITY * chain.dense_parameters)
        assert last == first
    elif name in ("dsr", "snfs"):
        assert first == wanted
        assert sum(last.values()) == total
    else:
        assert last == first == wanted
