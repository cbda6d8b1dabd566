"""A mixture of softmaxes as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from truesparse.layers.chain import EMBEDDING, Place
from truesparse.layers.graph import Graph
from truesparse.layers.mos.spec import MixtureOfSoftmaxes


def add_mos(graph: Graph, place: Place, x: str) -> str:
    """Log-probabilities, as the output ``scores``; the experts are one more axis before the last one."""
    spec, name = place.spec, place.name
    assert isinstance(spec, MixtureOfSoftmaxes)
    transposed = f"{name}.weight.transposed"
    if spec.tied:
        weight = graph.node("Transpose", [EMBEDDING], transposed, perm=[1, 0])
    else:
        weight = graph.weight(transposed, graph.matrix(f"{name}.weight").T)
    bias = graph.weight(f"{name}.bias", graph.vector(f"{name}.bias"))

    # (E, K H) times x for each expert: an axis of experts before that of the numbers
    of_experts = graph.matrix(f"{name}.latent").reshape(spec.experts, spec.latent, -1).transpose(0, 2, 1)
    axis = graph.weight(f"{name}.axis", np.array([-2]))
    beside = graph.node("Unsqueeze", [x, axis], f"{name}.beside")
    beside = graph.node("Unsqueeze", [beside, axis], f"{name}.each")
    latents = graph.node("MatMul", [beside, graph.weight(f"{name}.latent", of_experts)], f"{name}.latents")
    latents = graph.node("Squeeze", [latents, axis], f"{name}.sums")
    bias_latent = graph.vector(f"{name}.bias_latent").reshape(spec.experts, -1)
    latents = graph.node("Add", [latents, graph.weight(f"{name}.bias_latent", bias_latent)], f"{name}.inputs")
    latents = graph.node("Tanh", [latents], f"{name}.z")

    scores = graph.node("MatMul", [latents, weight], f"{name}.products")
    scores = graph.node("Add", [scores, bias], f"{name}.scores")
    scores = graph.node("LogSoftmax", [scores], f"{name}.said", axis=-1)
    prior = graph.weight(f"{name}.prior", graph.vector(f"{name}.prior").reshape(spec.experts, -1).T)
    shares = graph.node("MatMul", [x, prior], f"{name}.prior.scores")
    shares = graph.node("LogSoftmax", [shares], f"{name}.prior.said", axis=-1)
    last = graph.weight(f"{name}.last", np.array([-1]))
    shares = graph.node("Unsqueeze", [shares, last], f"{name}.shares")
    mixed = graph.node("Add", [scores, shares], f"{name}.mixed")
    return graph.node("ReduceLogSumExp", [mixed], "scores", axes=[-2], keepdims=0)
