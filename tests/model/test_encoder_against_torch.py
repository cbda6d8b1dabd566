"""An encoder in PyTorch, masked: same loss, same gradients on the pattern, same weights after training."""

import numpy as np
import pytest

from truesparse.layers.attention.spec import Attention
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.layer_norm.spec import LayerNorm
from truesparse.layers.linear.spec import Linear
from truesparse.layers.output.spec import MaskedSoftmax
from truesparse.layers.positions.spec import Positions
from truesparse.layers.residual.spec import Residual
from truesparse.model import random_model
from truesparse.optim import SGD

torch = pytest.importorskip("torch")

TOKENS, SIZE, HEADS, STEPS, BATCH = 40, 12, 3, 7, 4


def twin(model):
    """The encoder of PyTorch with the weights of `model`: its parameters by our names, and the network."""
    embedding, positions = torch.nn.Embedding(TOKENS, SIZE), torch.nn.Embedding(STEPS, SIZE)
    layer = torch.nn.TransformerEncoderLayer(SIZE, HEADS, 24, 0.0, norm_first=True)
    norm, output = torch.nn.LayerNorm(SIZE), torch.nn.Linear(SIZE, TOKENS)
    attention = layer.self_attn
    parameters = {
        "embedding.weight": embedding.weight,
        "positions.weight": positions.weight,
        "residual.0.norm.0.scale": layer.norm1.weight,
        "residual.0.norm.0.bias": layer.norm1.bias,
        "residual.0.attention.0.weight_in": attention.in_proj_weight,
        "residual.0.attention.0.bias_in": attention.in_proj_bias,
        "residual.0.attention.0.weight_out": attention.out_proj.weight,
        "residual.0.attention.0.bias_out": attention.out_proj.bias,
        "residual.1.norm.0.scale": layer.norm2.weight,
        "residual.1.norm.0.bias": layer.norm2.bias,
        "residual.1.linear.0.weight": layer.linear1.weight,
        "residual.1.linear.0.bias": layer.linear1.bias,
        "residual.1.linear.1.weight": layer.linear2.weight,
        "residual.1.linear.1.bias": layer.linear2.bias,
        "norm.0.scale": norm.weight,
        "norm.0.bias": norm.bias,
        "output.weight": output.weight,
        "output.bias": output.bias,
    }
    with torch.no_grad():
        for name, matrix in model.matrices.items():
            parameters[name].copy_(torch.from_numpy(matrix.to_scipy().toarray()))
        for name, vector in model.arena.biases.items():
            parameters[name].copy_(torch.from_numpy(vector).reshape(parameters[name].shape))
    layer.train()

    def network(ids, padding):
        x = embedding(ids) + positions(torch.arange(len(ids)))[:, None]
        return output(norm(layer(x, src_key_padding_mask=padding)))

    return parameters, network


def test_masked_training_in_torch_gives_the_same_weights():
    rng = np.random.default_rng(0)
    chain = ChainSpec(
        Embedding(TOKENS, SIZE),
        Positions(STEPS),
        Residual(LayerNorm(), Attention(HEADS)),
        Residual(LayerNorm(), Linear(24, "relu"), Linear(SIZE)),
        LayerNorm(),
        MaskedSoftmax(TOKENS),
    )
    model = random_model(chain, 0.4, rng, scale=0.5)
    parameters, network = twin(model)
    assert parameters.keys() == model.matrices.keys() | model.arena.biases.keys()
    ws, optimizer = model.workspace(STEPS, BATCH), SGD(model.arena, 0.3, 0.9)
    theirs = torch.optim.SGD(parameters.values(), lr=0.3, momentum=0.9)
    masks = {name: torch.from_numpy(m.to_scipy().toarray() != 0) for name, m in model.matrices.items()}
    lengths = np.array([STEPS, 5, 6, 2], np.int32)
    inside = np.arange(STEPS)[:, None] < lengths
    padding = torch.from_numpy(~inside.T.copy())
    for _ in range(4):
        ids = np.where(inside, rng.integers(0, TOKENS, inside.shape), -1).astype(np.int32)
        chosen = inside & (rng.random(inside.shape) < 0.4)
        targets = np.where(chosen, rng.integers(0, TOKENS, inside.shape), -1).astype(np.int32)
        model.arena.zero_grad()
        loss = model.loss_and_gradients(ids, targets, ws, lengths=lengths)
        theirs.zero_grad()
        logits = network(torch.from_numpy(np.maximum(ids, 0)).long(), padding)
        their_loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, TOKENS), torch.from_numpy(targets).long().reshape(-1), ignore_index=-1
        )
        their_loss.backward()
        assert loss == pytest.approx(their_loss.item(), rel=1e-5)
        for name, mask in masks.items():
            parameters[name].grad *= mask
        theirs.step()
        optimizer.step()
        for name, matrix in model.matrices.items():
            gradient = parameters[name].grad.numpy()[masks[name].numpy()]
            np.testing.assert_allclose(matrix.grad, gradient, rtol=2e-4, atol=2e-6, err_msg=name)
    for name, vector in model.arena.biases.items():
        np.testing.assert_allclose(
            vector, parameters[name].detach().numpy().ravel(), rtol=1e-4, atol=1e-5, err_msg=name
        )
    for name, matrix in model.matrices.items():
        np.testing.assert_allclose(
            matrix.to_scipy().toarray(), parameters[name].detach().numpy(), rtol=1e-4, atol=1e-5
        )
