"""Models that read features or say numbers, from files, against a model in float64."""

from pathlib import Path

import numpy as np
import pytest
from oracles import dense_parameters, scores

from truesparse import runtime
from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.linear.spec import Linear
from truesparse.layers.models import sequence_model
from truesparse.layers.output.spec import Softmax
from truesparse.layers.pool.spec import Pool
from truesparse.model import random_model

OF_FEATURES = {"feature_mean": (1.0, -20.0, 0.5), "feature_scale": (2.0, 30.0, 0.1)}
CHAINS = {
    "numbers": sequence_model(
        0, 3, 9, 1, kind="regressor", outputs=2, pooling="mean", target_mean=(5, -70), target_scale=(0.1, 90)
    ),
    "numbers at each step": sequence_model(
        0, 3, 9, 2, cell="gru", kind="regressor", outputs=1, pooling="", sparse_output=True, **OF_FEATURES
    ),
    "classes at each step": sequence_model(
        0, 3, 9, 1, cell="rhn", depth=2, outputs=4, pooling="", **OF_FEATURES
    ),
    "classes": sequence_model(0, 3, 9, 1, outputs=2, pooling="max"),
    "feed-forward": ChainSpec(Linear(9, "srelu"), Linear(8, "selu"), Pool(), Softmax(3), features=6),
    "numbers of tokens": sequence_model(20, 6, 9, 1, kind="regressor", outputs=2),
}


def saved(path: Path, chain: ChainSpec, labels: tuple[str, ...] = ()):
    """A model with random biases in a file."""
    rng = np.random.default_rng(0)
    model = random_model(chain, 0.4, rng, scale=0.6)
    for bias in model.arena.biases.values():
        bias[...] = rng.uniform(-0.3, 0.3, bias.shape)
    model.arena.touch()
    model.save(path, labels=labels)
    return model


def sequences_for(chain: ChainSpec) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    if chain.tokens:
        return [rng.integers(0, chain.tokens, steps) for steps in (4, 1, 6)]
    return [rng.standard_normal((steps, chain.features)).astype(np.float32) for steps in (4, 1, 6, 6)]


def expected(model, sequence: np.ndarray) -> np.ndarray:
    """Of shape (steps, outputs), or (1, outputs)."""
    chain = model.chain
    state = {name: np.zeros((size, 1)) for place in chain.places for name, size in place.state.items()}
    said = scores(dense_parameters(model), chain, sequence[..., None], state)[0][..., 0]
    if chain.head.TYPE == "squared-error":
        return said * (chain.head.scale or 1.0) + (chain.head.mean or 0.0)
    return said - np.log(np.exp(said).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_what_is_said_of_sequences_and_streams(tmp_path: Path, chain: ChainSpec) -> None:
    trained = saved(tmp_path / "m", chain)
    model = runtime.load(tmp_path / "m")
    assert isinstance(model, runtime.SequenceModel)
    sequences = sequences_for(chain)
    numbers = chain.head.TYPE == "squared-error"
    said = model.predict(sequences) if numbers else model.log_probabilities(sequences)
    places = None if numbers else model.predict(sequences)
    for number, sequence in enumerate(sequences):
        exact = expected(trained, sequence)
        own = said[number] if chain.per_step else said[number : number + 1]
        assert own.dtype == np.float32
        np.testing.assert_allclose(own, exact, rtol=1e-5, atol=1e-5)
        if places is not None:
            assert np.array_equal(np.atleast_1d(places[number]), exact.argmax(axis=1))
        stream = model.stream()
        steps = [stream.step(inputs) for inputs in sequence]
        np.testing.assert_allclose(steps if chain.per_step else steps[-1:], exact, rtol=1e-5, atol=1e-5)
        stream.reset()
        np.testing.assert_array_equal(stream.step(sequence[0]), steps[0])
    if not numbers:
        probabilities = model.predict_proba(sequences)[0]
        np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)


def test_streams_side_by_side_go_on_from_a_state(tmp_path: Path) -> None:
    saved(tmp_path / "m", CHAINS["numbers at each step"])
    model = runtime.load_sequence_model(tmp_path / "m")
    array = np.random.default_rng(1).standard_normal((2, 5, 3)).astype(np.float32)
    stream = model.stream(2)
    first = [stream.step(array[:, step]) for step in range(3)]
    other = model.stream(2)
    other.state = stream.state
    rest = [other.step(array[:, step]) for step in (3, 4)]
    np.testing.assert_allclose(np.stack(first + rest, axis=1), model.predict(array), rtol=1e-5)


@pytest.mark.parametrize("name", ["classes", "classes at each step"])
def test_labels_need_no_encoder(tmp_path: Path, name: str) -> None:
    chain = CHAINS[name]
    labels = ("a", "b", "c", "d")[: chain.head.outputs]
    saved(tmp_path / "m", chain, labels)
    model = runtime.load(tmp_path / "m")
    assert model.labels == labels
    sequences = sequences_for(chain)
    said = model.predict(sequences)
    numbers = [own.argmax(axis=-1) for own in model.log_probabilities(sequences)]
    assert said == [np.array(labels)[own].tolist() for own in numbers]


def test_a_number_at_each_step_may_come_without_its_axis(tmp_path: Path) -> None:
    saved(tmp_path / "m", sequence_model(0, 1, 4, 1, kind="regressor", outputs=1))
    model = runtime.load(tmp_path / "m")
    array = np.random.default_rng(1).standard_normal((2, 5)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(array), model.predict(array[:, :, None]))


def test_mistakes(tmp_path: Path) -> None:
    saved(tmp_path / "m", CHAINS["numbers"])
    model = runtime.load(tmp_path / "m")
    with pytest.raises(TruesparseError, match=r"numbers of shape \(4, 3\), not float64 of shape \(4, 2\)"):
        model.predict([np.zeros((4, 2))])
    with pytest.raises(TruesparseError, match=r"of shape \(3,\), not <U1 of shape \(\)"):
        model.stream().step("x")
    with pytest.raises(TruesparseError, match="a sequence has no steps; leave it out"):
        model.predict([np.ones((2, 3)), np.ones((0, 3))])
    with pytest.raises(TruesparseError, match="features are NaN, infinite or too large"):
        model.stream().step([0, 1e39, 0])
    with pytest.raises(UsageError, match="predicts numbers, which have no probabilities; use predict"):
        model.predict_proba([np.zeros((4, 3))])
    with pytest.raises(UsageError, match="m is a model of numbers, not a classifier; use truesparse predict"):
        runtime.load_classifier(tmp_path / "m")
    huge = saved(tmp_path / "huge", CHAINS["numbers"])
    huge.arena.biases["output.weight"][...] = 3e38
    huge.save(tmp_path / "huge")
    with pytest.raises(TruesparseError, match=r"the scores of .*huge are not finite"):
        runtime.load(tmp_path / "huge").predict([np.ones((4, 3))])
