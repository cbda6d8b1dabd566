import numpy as np
import pytest
from oracles import dense_parameters, language_model_loss

from truesparse.kernels import rows
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.gru import layer
from truesparse.layers.gru.spec import GRU
from truesparse.layers.output.spec import Softmax
from truesparse.model import random_model


@pytest.mark.parametrize("pattern", ["weight", "unit"])
@pytest.mark.parametrize("reset_gate", ["after", "before"])
@pytest.mark.parametrize(("steps", "batch"), [(5, 3), (9, 39)])
def test_recurrence_against_float64_however_it_is_shared(steps, batch, reset_gate, pattern, monkeypatch):
    """The loss, and its slope along the gradient, which is the gradient's norm. A batch of 39 is two
    blocks, which one thread or two take apart, and three do not."""
    chain = ChainSpec(Embedding(5, 4), GRU(6, pattern, reset_gate), Softmax(5))
    rng = np.random.default_rng(steps * batch)
    model = random_model(chain, 0.5, rng, scale=0.7)
    for bias in model.arena.biases.values():
        bias[...] = rng.uniform(-0.5, 0.5, bias.size)
    model.arena.touch()
    ids, targets = rng.integers(0, 5, (2, steps, batch)).astype(np.int32)
    ws, state = model.workspace(9, batch), model.zero_state(batch)
    start = {name: rng.uniform(-1, 1, part.shape) for name, part in state.arrays().items()}
    results = []
    for threads in (1, 2, 3):
        for module in (layer, rows):
            monkeypatch.setattr(module, "thread_count", lambda: threads)  # noqa: B023
        state.load({name: part.astype(np.float32) for name, part in start.items()})
        model.arena.zero_grad()
        loss = model.loss_and_gradients(ids, targets, ws, state)
        results.append((loss, model.arena.grads.copy(), *state.arrays().values()))
    for result in results[1:]:
        for one, other in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(one, other)
    exact, after = language_model_loss(dense_parameters(model), chain, ids, targets, start)
    assert results[0][0] == pytest.approx(exact, rel=1e-6)
    np.testing.assert_allclose(results[0][2], after["gru.0.h"], rtol=1e-5, atol=1e-6)
    gradient = results[0][1].astype(np.float64)
    norm, values, losses = np.linalg.norm(gradient), model.arena.values.copy(), []
    for sign in (1, -1):
        model.arena.values[...] = values + sign * 0.01 * gradient / norm
        model.arena.touch()
        losses.append(language_model_loss(dense_parameters(model), chain, ids, targets, start)[0])
    assert (losses[0] - losses[1]) / 0.02 == pytest.approx(norm, rel=1e-3)
