"""The same model in PyTorch, dense and masked: same loss, same gradients on the pattern, same weights after
training."""

import numpy as np
import pytest

from truesparse.layers.models import language_model
from truesparse.model import random_model
from truesparse.optim import SGD, GradientNorm

torch = pytest.importorskip("torch")

VOCABULARY, EMBEDDING, HIDDEN, LAYERS = 80, 24, 32, 2


def twin(model):
    """Embedding, LSTM and linear layer of PyTorch with the weights of `model`."""
    embedding = torch.nn.Embedding(VOCABULARY, EMBEDDING)
    lstm = torch.nn.LSTM(EMBEDDING, HIDDEN, LAYERS)
    output = torch.nn.Linear(HIDDEN, VOCABULARY)
    parameters = {
        "embedding.weight": embedding.weight,
        "output.weight": output.weight,
        "output.bias": output.bias,
    }
    for layer in range(LAYERS):
        parameters[f"lstm.{layer}.weight_ih"] = getattr(lstm, f"weight_ih_l{layer}")
        parameters[f"lstm.{layer}.weight_hh"] = getattr(lstm, f"weight_hh_l{layer}")
        parameters[f"lstm.{layer}.bias"] = getattr(lstm, f"bias_ih_l{layer}")
    with torch.no_grad():
        for name, matrix in model.matrices.items():
            parameters[name].copy_(torch.from_numpy(matrix.to_scipy().toarray()))
        for name, bias in model.arena.biases.items():
            parameters[name].copy_(torch.from_numpy(bias))
        for layer in range(LAYERS):
            getattr(lstm, f"bias_hh_l{layer}").zero_().requires_grad_(False)
    return parameters, lambda ids: output(lstm(embedding(ids))[0])


@pytest.mark.parametrize("density", [0.2, 1.0])
def test_masked_training_in_torch_gives_the_same_weights(density):
    rng = np.random.default_rng(0)
    model = random_model(language_model(VOCABULARY, EMBEDDING, HIDDEN, LAYERS), density, rng, scale=0.5)
    steps, batch = 12, 20
    ws = model.workspace(steps, batch)
    optimizer, norm = SGD(model.arena, 0.5, 0.9, weight_decay=1e-3), GradientNorm(0.0)
    parameters, network = twin(model)
    theirs = torch.optim.SGD(parameters.values(), lr=0.5, momentum=0.9, weight_decay=1e-3)
    masks = {name: torch.from_numpy(m.to_scipy().toarray() != 0) for name, m in model.matrices.items()}
    for _ in range(5):
        ids = rng.integers(0, VOCABULARY, (steps, batch)).astype(np.int32)
        targets = rng.integers(0, VOCABULARY, (steps, batch)).astype(np.int32)
        model.arena.zero_grad()
        loss = model.loss_and_gradients(ids, targets, ws)
        theirs.zero_grad()
        logits = network(torch.from_numpy(ids).long())
        their_loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, VOCABULARY), torch.from_numpy(targets).long().reshape(-1)
        )
        their_loss.backward()
        assert loss == pytest.approx(their_loss.item(), rel=1e-5)
        for name, matrix in model.matrices.items():
            row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
            exact = parameters[name].grad.numpy()[row, matrix.indices.astype(int)]
            np.testing.assert_allclose(matrix.grad, exact, rtol=1e-3, atol=1e-6, err_msg=name)
        for name, grad in model.arena.bias_grads.items():
            np.testing.assert_allclose(
                grad, parameters[name].grad.numpy(), rtol=1e-3, atol=1e-6, err_msg=name
            )
        optimizer.step(norm(model.arena)[1])
        theirs.step()
        with torch.no_grad():
            for name, mask in masks.items():
                parameters[name].mul_(mask)
    for name, matrix in model.matrices.items():
        dense = matrix.to_scipy().toarray()
        np.testing.assert_allclose(
            dense, parameters[name].detach().numpy(), rtol=1e-3, atol=1e-5, err_msg=name
        )
