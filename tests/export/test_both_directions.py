"""Models that read in both directions, in the forms of other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from export.conftest import BOTH, read, save

from truesparse.errors import TruesparseError
from truesparse.export import export_model
from truesparse.modelfile import StoredModel
from truesparse.runtime.loading import as_model
from truesparse.runtime.recurrent import log_softmax

pytestmark = pytest.mark.usefixtures("command")


def expected(stored: StoredModel, tokens: np.ndarray) -> np.ndarray:
    """Log-probabilities of the runtime: (steps, B, outputs), or (B, outputs)."""
    said = as_model(stored).log_probabilities(list(tokens.T))
    return np.stack(said, axis=1) if stored.chain.per_step else said


@pytest.mark.parametrize("kind", BOTH)
def test_onnx(tmp_path: Path, kind: str) -> None:
    """At any number of steps, also a single one; there is no state."""
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    file = save(tmp_path / "m", kind)
    assert export_model(file, "onnx", tmp_path / "out")["largest_difference"] < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    stored = read(file)
    states = [name for place in stored.chain.places for name in place.state]
    zeros = {name: np.zeros((3, 20), np.float32) for name in states}
    assert [value.name for value in session.get_inputs()] == ["tokens", *states]
    for steps in (1, 11):
        tokens = np.random.default_rng(2).integers(0, 70, (steps, 3))
        (scores,) = session.run(["scores"], {"tokens": tokens, **zeros})
        said = log_softmax(np.moveaxis(scores, -1, 0).copy())
        np.testing.assert_allclose(np.moveaxis(said, 0, -1), expected(stored, tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["both, last", "both, gru, steps"])
def test_torch(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")
    file = save(tmp_path / "m", kind)
    export_model(file, "torch", tmp_path / "out")
    stored = read(file)
    chain = stored.chain
    cell = chain.recurrent[0].directions[0].spec
    module = torch.nn.Module()
    module.embedding = torch.nn.Embedding(70, 12)
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    layers = kinds[cell.TYPE](12, 20, len(chain.recurrent), bidirectional=True)
    module.add_module(cell.TYPE, layers)
    module.output = torch.nn.Linear(40, chain.head.outputs)
    module.load_state_dict(torch.load(tmp_path / "out" / "model.pt", weights_only=True))
    tokens = np.random.default_rng(1).integers(0, 70, (7, 3))
    with torch.inference_mode():
        y, _ = layers(module.embedding(torch.from_numpy(tokens)))
        ends = y if chain.per_step else torch.cat((y[-1, :, :20], y[0, :, 20:]), dim=1)
        said = module.output(ends).log_softmax(dim=-1).numpy()
    np.testing.assert_allclose(said, expected(stored, tokens), rtol=1e-5, atol=1e-5)


def test_pytorch_has_no_rhn_of_two_directions(tmp_path: Path) -> None:
    with pytest.raises(TruesparseError, match="PyTorch has no module for the cell rhn"):
        export_model(save(tmp_path / "m", "both, rhn, mean"), "torch", tmp_path / "out")
