"""What a calibrated model says, everything that is made of its file says."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from export.conftest import library_of, needs_compiler, save

from truesparse import runtime
from truesparse.export import export_model
from truesparse.model import Model
from truesparse.model.loading import load_model
from truesparse.runtime.recurrent import log_softmax
from truesparse.training.calibration import model_with_temperature

LENGTH = 7
IDS = np.random.default_rng(3).integers(0, 70, (LENGTH, 1)).astype(np.int32)
BATCH = IDS.repeat(18, axis=1)  # whose kernels other tests compile too


def calibrated(path: Path, kind: str) -> Model:
    """A model that is calibrated and saved."""
    model = model_with_temperature(load_model(save(path, kind)).model, 2.5)
    model.save(path)
    return load_model(path).model


@needs_compiler
@pytest.mark.parametrize("kind", ["max", "mean"])  # of a dense output layer, and of a sparse one
def test_a_classifier(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "m"
    model = calibrated(file, kind)
    lengths = np.full(18, LENGTH, np.int32)
    expected = model.predict(BATCH, model.workspace(LENGTH, 18), lengths=lengths)[:, 0]
    plain = model_with_temperature(model, 1.0).predict(BATCH, model.workspace(LENGTH, 18), lengths=lengths)[
        :, 0
    ]
    assert np.abs(plain - expected).max() > 0.01
    said = runtime.load_classifier(file).log_probabilities([IDS[:, 0]])[0]
    np.testing.assert_allclose(said, expected, rtol=1e-5, atol=1e-5)

    report = export_model(file, "c", tmp_path / "c")
    library = library_of(tmp_path / "c")
    state = (ctypes.c_byte * report["ram_bytes"])()
    scores = np.empty(model.chain.head.outputs, np.float32)
    pointer = scores.ctypes.data_as(ctypes.c_void_p)
    library.model_init(state)
    for token in IDS[:, 0]:
        library.model_step(state, ctypes.c_uint32(token))
    library.model_output(state, pointer)
    library.model_softmax(pointer)
    np.testing.assert_allclose(np.log(scores), expected, rtol=1e-5, atol=1e-5)

    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    export_model(file, "onnx", tmp_path / "onnx")
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    inputs = [value for value in session.get_inputs() if value.name != "tokens"]
    zeros = {value.name: np.zeros((1, value.shape[1]), np.float32) for value in inputs}
    (scores,) = session.run(["scores"], {"tokens": IDS.astype(np.int64), **zeros})
    np.testing.assert_allclose(log_softmax(scores.T)[:, 0], expected, rtol=1e-5, atol=1e-5)


def test_a_tagger(tmp_path: Path) -> None:
    model = calibrated(tmp_path / "m", "tagger")
    expected = model.predict_steps(BATCH, model.workspace(LENGTH, 18))[:, :, 0]
    (said,) = runtime.load_tagger(tmp_path / "m").log_probabilities([IDS[:, 0]])
    np.testing.assert_allclose(said, expected, rtol=1e-5, atol=1e-5)
