"""The same model in PyTorch, dense and masked: same loss, same gradients on the pattern, same weights after
training."""

import numpy as np
import pytest

from truesparse.layers.models import language_model, sequence_model
from truesparse.model import random_model
from truesparse.optim import SGD, GradientNorm

torch = pytest.importorskip("torch")

VOCABULARY, EMBEDDING, HIDDEN, LAYERS = 80, 24, 32, 2


def twin(model, cell, both=False):
    """Embedding, recurrent layers and linear layer of PyTorch with the weights of `model`."""
    embedding = torch.nn.Embedding(VOCABULARY, EMBEDDING)
    recurrent = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](
        EMBEDDING, HIDDEN, LAYERS, bidirectional=both
    )
    output = torch.nn.Linear((1 + both) * HIDDEN, VOCABULARY)
    parameters = {
        "embedding.weight": embedding.weight,
        "output.weight": output.weight,
        "output.bias": output.bias,
    }
    ways = {".forward": "", ".backward": "_reverse"} if both else {"": ""}
    for layer in range(LAYERS):
        for way, theirs in ways.items():
            name, suffix = f"{cell}.{layer}{way}", f"l{layer}{theirs}"
            parameters[f"{name}.weight_ih"] = getattr(recurrent, f"weight_ih_{suffix}")
            parameters[f"{name}.weight_hh"] = getattr(recurrent, f"weight_hh_{suffix}")
            parameters[f"{name}.bias"] = getattr(recurrent, f"bias_ih_{suffix}")
            parameters[f"{name}.bias_hn"] = getattr(recurrent, f"bias_hh_{suffix}")
    with torch.no_grad():
        for name, matrix in model.matrices.items():
            parameters[name].copy_(torch.from_numpy(matrix.to_scipy().toarray()))
        for name in parameters.keys() - model.matrices.keys():
            parameters[name].zero_()
        for name, bias in model.arena.biases.items():
            parameters[name][-bias.size :] = torch.from_numpy(bias)
    return parameters, lambda ids: output(recurrent(embedding(ids))[0])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize(("density", "both"), [(0.2, False), (1.0, False), (0.2, True)])
def test_masked_training_in_torch_gives_the_same_weights(density, both, cell):
    rng = np.random.default_rng(0)
    chain = language_model(VOCABULARY, EMBEDDING, HIDDEN, LAYERS, cell)
    if both:
        labels = {"outputs": VOCABULARY, "pooling": "", "sparse_output": True}
        chain = sequence_model(VOCABULARY, EMBEDDING, HIDDEN, LAYERS, cell, bidirectional=True, **labels)
    model = random_model(chain, density, rng, scale=0.5)
    for bias in model.arena.biases.values():
        bias[...] = rng.uniform(-0.5, 0.5, bias.size)
    model.arena.touch()
    steps, batch = 12, 20
    ws = model.workspace(steps, batch)
    optimizer, norm = SGD(model.arena, 0.5, 0.9, weight_decay=1e-3), GradientNorm(0.0)
    parameters, network = twin(model, cell, both)
    theirs = torch.optim.SGD(parameters.values(), lr=0.5, momentum=0.9, weight_decay=1e-3)
    masks = {name: torch.from_numpy(m.to_scipy().toarray() != 0) for name, m in model.matrices.items()}
    for name in parameters.keys() - masks.keys():  # one bias is enough, but for the candidate of a GRU
        size = model.arena.biases[name].size if name in model.arena.biases else 0
        masks[name] = torch.arange(len(parameters[name])) >= len(parameters[name]) - size
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
            exact = parameters[name].grad.numpy()[-grad.size :]
            np.testing.assert_allclose(grad, exact, rtol=1e-3, atol=1e-6, err_msg=name)
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
