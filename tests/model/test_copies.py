"""Copies of models: of every layer that is known, in every kind it has, whatever stands beside the model."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from truesparse import runtime
from truesparse.data import Vocabulary
from truesparse.layers.attention.spec import Attention
from truesparse.layers.bidirectional.spec import Bidirectional
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.layer_norm.spec import LayerNorm
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import language_model
from truesparse.layers.mos.spec import MixtureOfSoftmaxes
from truesparse.layers.output.spec import Head, Softmax
from truesparse.layers.registry import LAYERS
from truesparse.layers.residual.spec import Residual
from truesparse.layers.spec import STEPS, TOKENS
from truesparse.layers.standardize.spec import Standardize
from truesparse.model import random_model
from truesparse.model.loading import load_model
from truesparse.model.saving import save_model
from truesparse.optim.table import OPTIMIZERS
from truesparse.settings import kind_of
from truesparse.topology import Update, get_method

SIZE = 9
BATCH = 18  # whose kernels other tests compile too
COPIES = pytest.mark.parametrize("copied", [copy.deepcopy, lambda things: pickle.loads(pickle.dumps(things))])


def kinds_of(spec):
    """A layer of every setting that is one of several, and one with the others."""
    of_own = {
        Residual: [Residual(LayerNorm(), Attention(3))],
        MixtureOfSoftmaxes: [
            MixtureOfSoftmaxes(SIZE, experts=2, latent=SIZE, tied=tied) for tied in (False, True)
        ],
    }
    if spec in of_own:
        yield from of_own[spec]
        return
    settings = {"mean": (0.5,) * SIZE, "scale": (2.0,) * SIZE} if spec is Standardize else {}
    for field in dataclasses.fields(spec):
        rule = field.metadata
        if field.default is dataclasses.MISSING:
            settings[field.name] = LSTM(SIZE) if spec is Bidirectional else SIZE
        elif field.name in ("chunk_size", "depth"):
            settings[field.name] = 3  # which divides the units, and of which other tests compile kernels
        elif kind_of(field) is float and (rule["low"], rule["high"]) == (0, 1):
            settings[field.name] = 0.25  # something is dropped
    yield spec(**settings)
    for field in dataclasses.fields(spec):
        choices = (True, False) if kind_of(field) is bool else field.metadata.get("choices", ())
        for choice in choices:
            if choice != field.default:
                yield spec(**{**settings, field.name: choice})


def around(layer):
    """A chain with a layer, between an LSTM and a head if it can stand there."""
    first, last = [Embedding(SIZE, SIZE), LSTM(SIZE)], [Softmax(SIZE)]
    if isinstance(layer, Head):
        return ChainSpec(*first, layer)
    if isinstance(layer, Embedding):
        return ChainSpec(layer, *first[1:], *last)
    if isinstance(layer, Standardize):
        return ChainSpec(layer, *first[1:], *last, features=SIZE)
    if TOKENS in layer.TAKES:
        return ChainSpec(layer, *first, *last)
    assert STEPS in layer.TAKES
    return ChainSpec(*first, layer, *last)


CHAINS = {str(layer): around(layer) for spec in LAYERS.values() for layer in kinds_of(spec)}


class Learner:
    """A model with all that stands beside it in training; one window, always the same."""

    def __init__(self, chain, optimizer="adam", model=None):
        self.rng = np.random.default_rng(1)
        self.model = model or random_model(chain, 0.4, self.rng)
        choice = OPTIMIZERS[optimizer]
        self.optimizer = choice(lr=0.01).build(self.model.arena)
        self.steps = 0
        self.state = None if chain.whole else self.model.zero_state(BATCH)

    def train(self, steps):
        """Losses of some steps, after the second of which the topology changes."""
        chain, rng = self.model.chain, np.random.default_rng(2)
        if chain.tokens:
            ids = rng.integers(0, chain.tokens, (4, BATCH)).astype(np.int32)
        else:
            ids = rng.standard_normal((4, chain.features, BATCH)).astype(np.float32)
        shape = (4, BATCH) if chain.per_step else (BATCH,)
        targets = rng.integers(0, chain.head.outputs, shape).astype(np.int32)
        if chain.head.TYPE == "squared-error":
            targets = np.repeat(np.expand_dims(targets, -2), chain.head.outputs, axis=-2).astype(np.float32)
        ws = self.model.workspace(9, BATCH)
        losses = []
        for step in range(steps):
            self.model.arena.zero_grad()
            losses.append(self.model.loss_and_gradients(ids, targets, ws, self.state, rng=self.rng))
            self.optimizer.step()
            self.steps += 1
            self.optimizer.evaluated(float(self.steps))  # worse than before
            if step == 1:
                get_method("st-rnn").update(self.model.arena, Update(0.3, self.rng))
        return losses

    def arrays(self):
        """Whatever it stores."""
        arena = self.model.arena
        arrays = {"values": arena.values, **arena.states, **(self.state._parts() if self.state else {})}
        for name, matrix in arena.matrices.items():
            arrays |= {f"{name}.indptr": matrix.indptr, f"{name}.indices": matrix.indices}
        return arrays


def check_that_a_copy_goes_on(first, copied):
    first.train(3)
    second = copied(first)
    assert second.model.chain == first.model.chain
    assert second.optimizer.arena is second.model.arena is not first.model.arena
    one, other = first.arrays(), second.arrays()
    one["grads"], other["grads"] = first.model.arena.grads, second.model.arena.grads
    for name, array in one.items():
        assert not any(np.shares_memory(array, theirs) for theirs in other.values()), name
    before = {name: array.copy() for name, array in one.items()}
    losses = second.train(3)
    for name, array in before.items():
        np.testing.assert_array_equal(one[name], array, err_msg=name)
    assert first.train(3) == losses
    assert first.optimizer.counters() == second.optimizer.counters()
    one, other = first.arrays(), second.arrays()
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(other[name], array, err_msg=name)


@COPIES
@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_of_every_layer(chain, copied):
    check_that_a_copy_goes_on(Learner(chain), copied)


@COPIES
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_with_every_optimizer(optimizer, copied):
    chain = language_model(SIZE, SIZE, SIZE, 2, pattern="unit", tied=True, output_group=3)
    learner = Learner(chain, optimizer)
    learner.train(8)  # the averaging ones have begun
    assert learner.optimizer.averaging == ("asgd" in optimizer)
    check_that_a_copy_goes_on(learner, copied)


@COPIES
@pytest.mark.parametrize("pattern", ["weight", "unit"])
def test_of_a_file(pattern, copied, tmp_path):
    chain = language_model(SIZE, SIZE, SIZE, 1, pattern=pattern, output_group=3)
    words = Vocabulary(("the", "<eos>", *(f"w{number}" for number in range(SIZE - 2))))
    path = tmp_path / "m.safetensors"
    save_model(path, random_model(chain, 0.4, np.random.default_rng(0)), words)
    check_that_a_copy_goes_on(Learner(chain, model=load_model(path).model), copied)
    model = runtime.load(path)
    other = copied(model)
    path.unlink()
    assert "".join(other.generate(length=9, temperature=0)) == "".join(
        model.generate(length=9, temperature=0)
    )


def test_a_copy_of_what_was_changed_by_hand():
    """The transposed weights that the original keeps are not the copy's."""
    chain = language_model(SIZE, SIZE, SIZE, 1)
    learner = Learner(chain)
    learner.train(1)
    learner.model.arena.values[...] *= 2
    learner.model.arena.touch()
    check_that_a_copy_goes_on(learner, copy.deepcopy)
