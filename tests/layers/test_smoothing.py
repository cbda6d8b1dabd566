"""Label smoothing and temperature of the softmax head, by what defines them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from truesparse.layers.chain import ChainSpec
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.output.spec import Softmax
from truesparse.layers.pool.spec import Pool
from truesparse.model import Model, random_model

STEPS, BATCH, CLASSES, SMOOTHING = 4, 18, 5, 0.3
INPUTS = np.random.default_rng(0).standard_normal((STEPS, 4, BATCH)).astype(np.float32)
KINDS = {"each step": [LSTM(8)], "sequence": [LSTM(8), Pool("mean")]}


def make(kind: str, **settings: Any) -> Model:
    chain = ChainSpec(*KINDS[kind], Softmax(CLASSES, **settings), features=4)
    model = random_model(chain, 0.6, np.random.default_rng(1))
    model.arena.values[...] *= 4  # so that not all classes are as likely
    model.arena.touch()
    return model


def learned(model: Model, targets: np.ndarray, weights: np.ndarray | None) -> tuple[float, np.ndarray, dict]:
    """Loss, gradient, and the gradient at all positions of the head."""
    workspace = model.workspace(STEPS, BATCH)
    model.arena.zero_grad()
    loss = model.loss_and_gradients(INPUTS, targets, workspace, weights=weights)
    dense = {}
    for name, write in model.dense_gradients(workspace).items():
        dense[name] = np.zeros(model.matrices[name].pattern.shape, np.float32)
        write(dense[name], 0)
    return loss, model.arena.grads.copy(), dense


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_smoothing_is_a_mean_over_all_classes(kind: str, weighted: bool) -> None:
    rng = np.random.default_rng(2)
    shape = (STEPS, BATCH) if kind == "each step" else (BATCH,)
    targets = rng.integers(0, CLASSES, shape).astype(np.int32)
    targets.flat[1] = -1
    weights = None
    if weighted:
        weights = np.where(targets >= 0, rng.uniform(0.2, 2, shape), 0)
    plain, smooth = make(kind), make(kind, label_smoothing=SMOOTHING)
    of_target = learned(plain, targets, weights)
    every = [
        learned(plain, np.where(targets < 0, targets, k).astype(np.int32), weights) for k in range(CLASSES)
    ]
    loss, gradient, dense = learned(smooth, targets, weights)

    def mixed(own: Any, others: list[Any]) -> Any:
        return (1 - SMOOTHING) * own + SMOOTHING * np.mean(others, axis=0)

    assert loss == pytest.approx(mixed(of_target[0], [one[0] for one in every]), rel=1e-5)
    np.testing.assert_allclose(gradient, mixed(of_target[1], [one[1] for one in every]), rtol=1e-4, atol=1e-6)
    assert dense.keys() == of_target[2].keys()
    for name, own in dense.items():
        wanted = mixed(of_target[2][name], [one[2][name] for one in every])
        np.testing.assert_allclose(own, wanted, rtol=1e-4, atol=1e-6)
    # what is measured is not smoothed
    workspace = plain.workspace(STEPS, BATCH)
    measured = [model.loss(INPUTS, targets, workspace, weights=weights) for model in (plain, smooth)]
    assert measured[0] == measured[1] != pytest.approx(loss, rel=1e-3)


def test_weights_of_targets_are_weights_of_their_losses() -> None:
    model = make("each step")
    workspace = model.workspace(STEPS, BATCH)
    rng = np.random.default_rng(2)
    targets = rng.integers(0, CLASSES, (STEPS, BATCH)).astype(np.int32)
    weights = rng.uniform(0.2, 2, targets.shape)
    scores = model.predict_steps(INPUTS, workspace)
    own = -np.take_along_axis(scores, targets[:, None], axis=1)[:, 0]
    wanted = np.average(own, weights=weights)
    assert model.loss(INPUTS, targets, workspace, weights=weights) == pytest.approx(wanted, rel=1e-5)
    equal = model.loss(INPUTS, targets, workspace, weights=np.full(targets.shape, 0.3))
    assert equal == model.loss(INPUTS, targets, workspace)


def test_the_temperature_divides_scores_but_not_in_training() -> None:
    plain, warm = make("sequence"), make("sequence", temperature=2.5)
    workspace = plain.workspace(STEPS, BATCH)
    scores, said = (model.predict(INPUTS, workspace) for model in (plain, warm))
    wanted = scores / 2.5
    wanted -= np.log(np.exp(wanted).sum(axis=0))
    np.testing.assert_allclose(said, wanted, rtol=1e-5)
    targets = np.resize([0, 3, 2], BATCH).astype(np.int32)
    loss = warm.loss(INPUTS, targets, workspace)
    assert loss == pytest.approx(-wanted[targets, np.arange(BATCH)].mean(), rel=1e-5)
    for mine, theirs in zip(learned(plain, targets, None)[:2], learned(warm, targets, None)[:2], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_documents_say_it_if_it_is_there() -> None:
    assert Softmax(3).to_document().keys() == {"type", "outputs", "sparse", "tied", "group"}
    head = Softmax(3, label_smoothing=0.1, temperature=1.5)
    assert Softmax.from_document(head.to_document()) == head
