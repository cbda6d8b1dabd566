"""Mixtures of softmaxes: what they compute in training, the runtime, ONNX and C, and what is refused."""

import ctypes
from functools import partial
from itertools import pairwise
from pathlib import Path

import numba
import numpy as np
import pytest
from export.conftest import library_of, needs_compiler, read
from model_helpers import make, positions
from oracles import central_differences, dense_parameters, language_model_loss

from truesparse import runtime
from truesparse.data import Vocabulary
from truesparse.errors import TruesparseError, UsageError
from truesparse.export import export_model
from truesparse.export.c import as_exported
from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.layer import apply_mask
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import language_model
from truesparse.layers.mos.spec import MixtureOfSoftmaxes
from truesparse.layers.wiring import wiring
from truesparse.model.saving import save_model
from truesparse.runtime.loading import as_model
from truesparse.topology.distance import FIXED
from truesparse.training.describe import dense_flops_per_token

OWN = {
    "chain": partial(language_model, 20, 7, 9, 1, experts=3),
    "density": 0.4,
    "window": (9, 18),
    "steps": 4,
}
TIED = {
    **OWN,
    "chain": partial(language_model, 20, 7, 9, 1, experts=3, tied=True, output_group=2, pattern="unit"),
}
DROPPED = {
    **OWN,
    "chain": partial(language_model, 20, 7, 9, 1, experts=3, tied=True, dropout_latent=0.4),
    "window": (3, 39),  # in two strips
    "steps": 3,
}
KINDS = pytest.mark.parametrize("case", [OWN, TIED, DROPPED], ids=["own", "tied", "dropped"])


def distance(one, other):
    return np.linalg.norm(one - other) / np.linalg.norm(other)


def mask_of(ws, head):
    """What the latent numbers of the last window were multiplied by, (K E, B)."""
    panels = ws.window.panels
    mask = panels.zeros(head.experts * head.latent) + 1
    apply_mask(mask, ws.output.mask, panels)
    return panels.step(mask, 0)


@KINDS
def test_gradients_are_those_of_central_differences(case):
    # With the usual seed, experts are so alike that the gradient of `prior` is a small difference.
    model, ws, state, ids, targets = make(case, seed=1)
    start, parameters = state.arrays(), dense_parameters(model)
    model.arena.zero_grad()
    loss = model.loss_and_gradients(ids, targets, ws, state, rng=np.random.default_rng(3))
    kept = mask_of(ws, model.chain.head)

    def exact_loss(parameters):
        return language_model_loss(parameters, model.chain, ids, targets, start, kept)[0]

    assert loss == pytest.approx(exact_loss(parameters), rel=1e-6)
    for name, grad in model.arena.bias_grads.items():
        exact = central_differences(exact_loss, parameters, name, (np.arange(grad.size),))
        assert distance(grad, exact) < 1e-6, name
    dense = model.dense_gradients(ws)
    assert dense.keys() == model.matrices.keys()
    for name, matrix in model.matrices.items():
        everywhere = tuple(places.ravel() for places in np.indices(matrix.shape))
        exact = central_differences(exact_loss, parameters, name, everywhere).reshape(matrix.shape)
        assert distance(matrix.grad, exact[positions(matrix)]) < 1e-6, name
        rows = np.zeros(matrix.shape, np.float32)
        for first in range(0, matrix.shape[0], 6):
            dense[name](rows[first : first + 6], first)
        assert distance(rows, exact) < 1e-6, name
    state.load(start)
    loss = language_model_loss(parameters, model.chain, ids, targets, start)[0]  # nothing is dropped
    assert model.loss(ids, targets, ws, state) == pytest.approx(loss, rel=1e-6)
    state.load(start)
    said = model.predict_steps(ids, ws, state)
    np.testing.assert_allclose(np.exp(said).sum(axis=1), 1, rtol=1e-5)
    assert -np.take_along_axis(said, targets[:, None].astype(int), 1).mean() == pytest.approx(loss, rel=1e-5)


def test_gradients_are_those_of_a_masked_twin_in_torch():
    torch = pytest.importorskip("torch")
    model, ws, state, ids, targets = make(TIED)
    start = state.arrays()
    model.arena.zero_grad()
    loss = model.loss_and_gradients(ids, targets, ws, state)
    parameters = {
        name: torch.tensor(value, requires_grad=True) for name, value in dense_parameters(model).items()
    }
    own, experts = model.chain.head, model.chain.head.experts
    lstm = torch.nn.LSTM(7, 9).double()
    given = {name: parameters[f"lstm.0.{name}"] for name in ("weight_ih", "weight_hh")}
    given = {f"{name}_l0": value for name, value in given.items()}
    given |= {"bias_ih_l0": parameters["lstm.0.bias"], "bias_hh_l0": torch.zeros(36, dtype=torch.double)}
    first = tuple(
        torch.from_numpy(start[f"lstm.0.{part}"].T.astype(float))[None].contiguous() for part in "hc"
    )
    x = parameters["embedding.weight"][torch.from_numpy(ids).long()]
    h, _ = torch.func.functional_call(lstm, given, (x, first))
    z = torch.tanh(h @ parameters["output.latent"].T + parameters["output.bias_latent"])
    z = z.reshape(*h.shape[:2], experts, own.latent)
    said = torch.softmax(z @ parameters["embedding.weight"].T + parameters["output.bias"], dim=-1)
    prior = torch.softmax(h @ parameters["output.prior"].reshape(experts, -1).T, dim=-1)
    said = torch.log((prior[..., None] * said).sum(dim=2))
    twin = torch.nn.functional.nll_loss(said.flatten(0, 1), torch.from_numpy(targets).long().flatten())
    twin.backward()
    assert loss == pytest.approx(twin.item(), rel=1e-6)
    for name, grad in model.arena.bias_grads.items():
        assert distance(grad, parameters[name].grad.numpy()) < 1e-6, name
    for name, matrix in model.matrices.items():
        assert distance(matrix.grad, parameters[name].grad.numpy()[positions(matrix)]) < 1e-6, name


def test_a_mask_is_that_of_a_sequence_in_a_window():
    model, ws, state, ids, targets = make({**DROPPED, "window": (9, 39), "steps": 9})
    rng, masks = np.random.default_rng(3), []
    for _ in range(2):
        model.loss_and_gradients(ids, targets, ws, state, rng=rng)
        mask = mask_of(ws, model.chain.head)
        latents = np.stack([ws.window.panels.step(ws.output.latents, step) for step in range(9)])
        np.testing.assert_array_equal(latents == 0, np.broadcast_to(mask == 0, latents.shape))
        assert np.unique(mask).tolist() == pytest.approx([0, 1 / 0.6])
        assert abs((mask == 0).mean() - 0.4) < 0.06
        assert len(np.unique(mask, axis=1).T) == 39  # sequences, and so experts, have masks of their own
        masks.append(mask)
    assert (masks[0] != masks[1]).any()
    model.loss(ids, targets, ws, state)
    assert (mask_of(ws, model.chain.head) == 1).all()


def test_other_masks_do_not_depend_on_that_of_the_latent_numbers():
    inputs = []
    for rate in (0.0, 0.4):
        chain = partial(language_model, 20, 7, 9, 1, experts=3, dropout_latent=rate)
        model, ws, state, ids, targets = make({**OWN, "chain": chain}, dropout=0.3)
        model.loss_and_gradients(ids, targets, ws, state, rng=np.random.default_rng(5))
        inputs.append(ws.x[-1].copy())
    assert (inputs[0] == 0).any()
    np.testing.assert_array_equal(*inputs)


def test_a_file_says_what_is_dropped_only_if_something_is():
    chain = DROPPED["chain"]()
    document = chain.to_document()
    assert document["layers"][-1]["dropout_latent"] == 0.4
    assert ChainSpec.from_document(document) == chain
    assert "dropout_latent" not in OWN["chain"]().to_document()["layers"][-1]
    with pytest.raises(UsageError, match="dropout_latent of the layer mos is 1"):
        chain.with_head(dropout_latent=1.0)


def test_a_smaller_model_is_still_tied():
    chain = TIED["chain"]()
    half = chain.resized(1, 2)
    assert [layer.size for layer in half.layers if isinstance(layer, Embedding)] == [half.head.latent] == [4]
    assert chain.with_parameters(chain.dense_parameters // 3).dense_parameters < chain.dense_parameters / 2


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@KINDS
def test_two_threads_give_the_bits_of_one(case):
    grads = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            model, ws, state, ids, targets = make(case, dropout=0.3)
            model.arena.zero_grad()
            model.loss_and_gradients(ids, targets, ws, state, rng=np.random.default_rng(5))
            grads.append(model.arena.grads.copy())
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    np.testing.assert_array_equal(*grads)


def test_scores_of_a_window_never_exist_as_a_whole():
    chain = language_model(500, 8, 8, 1, experts=4)
    ws = make({"chain": lambda **_: chain, "density": 0.1, "window": (40, 20), "steps": 4})[1]
    columns = ws.window.panels.panels * ws.window.panels.lanes
    assert ws.output.scores.size <= 4 * 500 * ws.window.panels.lanes < 500 * columns
    largest = max(getattr(ws.output, name).size for name in ("latents", "dlatents", "dz", "dx", "said"))
    assert largest < 500 * columns


@pytest.fixture
def file(tmp_path: Path) -> Path:
    model, *_ = make(TIED)
    path = tmp_path / "m.safetensors"
    save_model(path, model, Vocabulary(("the", "<eos>", *(f"w{n}" for n in range(18)))))
    return path


def test_the_runtime_says_what_training_says(file):
    model, ws, state, ids, _ = make(TIED)
    state.reset()
    said = model.predict_steps(ids, ws, state)
    stream = runtime.load(file).stream(18)
    for step, tokens in enumerate(ids):
        np.testing.assert_allclose(stream.step(tokens).T, said[step], rtol=1e-5, atol=1e-5)
    assert len(list(runtime.load(file).generate(length=5, rng=np.random.default_rng(1)))) == 6


def test_onnx_says_what_the_runtime_says(file, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    assert export_model(file, "onnx", tmp_path / "out")["largest_difference"] < 1e-5


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_text_is_as_likely_in_c_and_goes_on_alike(file, tmp_path, dtype):
    tokens = [0, *np.random.default_rng(2).integers(0, 20, 40)]
    (tmp_path / "text").write_text(" ".join(f"w{token % 18}" for token in tokens) + "\n" + "w1 w2\n" * 200)
    report = export_model(file, "c", tmp_path / "out", dtype=dtype, data=tmp_path / "text")
    library, scores = library_of(tmp_path / "out"), np.empty(20, np.float32)
    pointer = scores.ctypes.data_as(ctypes.c_void_p)
    state = (ctypes.c_byte * report["ram_bytes"])()
    library.model_init(state)

    def says(token: int) -> np.ndarray:
        assert library.model_step(state, ctypes.c_uint32(token)) == 0
        library.model_output(state, pointer)
        return scores

    stream = as_model(as_exported(read(file), dtype)).stream()
    losses = [(-says(token)[after], -stream.step(token)[after]) for token, after in pairwise(tokens)]
    perplexity, expected = np.exp(np.mean(losses, axis=0, dtype=np.float64))
    assert perplexity == pytest.approx(expected, rel=1e-6)
    texts = []
    for step in (says, stream.step):
        text = [tokens[-1]]
        for _ in range(30):  # the likeliest token, but none twice in a row
            text.append(int(np.argmax(np.where(np.arange(20) == text[-1], -np.inf, step(text[-1])))))
        texts.append(text)
    assert texts[0] == texts[1]


def test_what_the_scores_take_in_c(file, tmp_path):
    """On the stack are one softmax's scores, all latent numbers and shares, and the powers of a block."""
    report = export_model(file, "c", tmp_path / "out")
    header = (tmp_path / "out" / "model.h").read_text()
    stack = 4 * (20 + 3 * 7 + 3 + 64)
    assert f"scores of the next token. That takes {stack} bytes of the stack." in header
    assert report["ram_bytes"] == 4 * (2 * 9 + 4 * 9) + 4 * 20 + stack


def test_pytorch_has_no_module_for_a_mixture(file, tmp_path):
    with pytest.raises(TruesparseError, match="PyTorch has no module for the layer mos"):
        export_model(file, "torch", tmp_path / "out")


def test_what_a_mixture_does_not_have():
    for setting in ({"sparse": False}, {"label_smoothing": 0.1}, {"temperature": 2.0}):
        with pytest.raises(
            UsageError, match="a mixture of softmaxes has a sparse output matrix, no label smoo"
        ):
            MixtureOfSoftmaxes(9, latent=4, **setting)
    with pytest.raises(UsageError, match="the embedding has 5 and the hidden layer 4"):
        ChainSpec(Embedding(9, 5), LSTM(4), MixtureOfSoftmaxes(9, tied=True, latent=4))


def test_units_are_read_by_the_latent_matrix_alone():
    chain = language_model(50, 12, 20, 1, experts=3, tied=True)
    (_, _, reads), sizes = chain.hidden_units[0], {matrix.name: matrix.shape for matrix in chain.matrices}
    assert reads == ("lstm.0.weight_hh", "output.latent")
    dense = {matrix.name: matrix.positions for matrix in chain.matrices}
    once = sum(dense.values()) - dense["embedding.weight"]
    assert dense_flops_per_token(chain) == 2 * (once + 3 * dense["embedding.weight"])
    assert sizes["output.latent"] == (36, 20)
    layers = {layer.sums[0][0].matrix: layer for layer in wiring(chain)}
    assert layers["embedding.weight"].units == "embedding"
    assert layers["output.latent"].sums[0][0].source == "lstm.0"
    assert layers["output.latent"].units == FIXED
