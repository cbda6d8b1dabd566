"""Models that read in both directions, in the forms of other programs."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
from export.conftest import BOTH, COMPILERS, compile_and_run, library_of, needs_compiler, read, save

from truesparse.errors import TruesparseError
from truesparse.export import export_model
from truesparse.export.c import as_exported
from truesparse.layers.models import sequence_model
from truesparse.model import random_model
from truesparse.modelfile import StoredModel
from truesparse.runtime.loading import as_model
from truesparse.runtime.recurrent import log_softmax

pytestmark = pytest.mark.usefixtures("command")


def expected(stored: StoredModel, tokens: np.ndarray) -> np.ndarray:
    """Log-probabilities of the runtime: (steps, B, outputs), or (B, outputs)."""
    said = as_model(stored).log_probabilities(list(tokens.T))
    return np.stack(said, axis=1) if stored.chain.per_step else said


@pytest.mark.parametrize("kind", [kind for kind in BOTH if "norm" not in kind])
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


@needs_compiler
@pytest.mark.parametrize(("compiler", "dtype"), [(COMPILERS[0], "float32"), (COMPILERS[-1], "int8")])
@pytest.mark.parametrize("kind", BOTH)
def test_c(tmp_path: Path, kind: str, dtype: str, compiler: str) -> None:
    """It compiles without a warning, passes its own test, and says of any text what the runtime says."""
    file = save(tmp_path / "m", kind)
    report = export_model(file, "c", tmp_path / "out", dtype=dtype)
    result = compile_and_run(tmp_path / "out", "--self-test", compiler=compiler)
    assert (result.returncode, result.stdout[:3]) == (0, "ok:"), result.stdout
    library = library_of(tmp_path / "out")
    stored = as_exported(read(file), dtype)
    state = (ctypes.c_byte * report["ram_bytes"])(*[255] * report["ram_bytes"])
    for steps in (1, 2, 11):
        tokens = np.random.default_rng(steps).integers(0, 70, (steps, 1)).astype(np.uint32)
        room = np.full(report["step_bytes"] // 4 * steps, np.nan, np.float32)
        said = np.stack(as_model(stored).scores(tokens.astype(np.int64)))[:, :, 0]
        scores = np.zeros_like(said)
        arrays = [array.ctypes.data_as(ctypes.c_void_p) for array in (tokens, room, scores)]
        read_text, size = library.model_run, ctypes.c_size_t(steps)
        assert read_text(state, arrays[0], size, *arrays[1:]) == 0
        np.testing.assert_allclose(scores, said, rtol=1e-5, atol=1e-5)
        assert read_text(state, arrays[0], ctypes.c_size_t(0), *arrays[1:]) == -1
        tokens[-1] = 70
        assert read_text(state, arrays[0], size, *arrays[1:]) == -1
    assert not hasattr(library, "model_step")


UNITS = {"target_mean": (5.0, -70.0), "target_scale": (0.01, 900.0)}
OF_FEATURES = {
    "numbers": sequence_model(
        *(0, 3, 9, 1, "gru"),
        **{"kind": "regressor", "outputs": 2, "bidirectional": True, "feature_mean": (1.0, -20.0, 0.5)},
        **{"feature_scale": (2.0, 30.0, 0.1), **UNITS},
    ),
    "numbers at each step": sequence_model(
        *(0, 3, 9, 2), kind="regressor", outputs=2, pooling="", bidirectional=True, **UNITS
    ),
    "classes": sequence_model(0, 12, 5, 1, outputs=2, pooling="max", bidirectional=True),
}


@needs_compiler
@pytest.mark.parametrize("kind", OF_FEATURES)
def test_models_of_features(tmp_path: Path, kind: str) -> None:
    """In C and in ONNX."""
    chain = OF_FEATURES[kind]
    rng = np.random.default_rng(1)
    random_model(chain, 0.5, rng, scale=0.6).save(tmp_path / "m")
    report = export_model(tmp_path / "m", "c", tmp_path / "out")
    result = compile_and_run(tmp_path / "out", "--self-test")
    assert (result.returncode, result.stdout[:3]) == (0, "ok:"), result.stdout
    library = library_of(tmp_path / "out")
    features = rng.standard_normal((7, chain.features)).astype(np.float32)
    said = np.stack(as_model(read(tmp_path / "m")).scores(features[:, None]))[:, :, 0]
    state = (ctypes.c_byte * report["ram_bytes"])()
    room, scores = np.full(report["step_bytes"] // 4 * 7, np.nan, np.float32), np.zeros_like(said)
    arrays = [array.ctypes.data_as(ctypes.c_void_p) for array in (features, room, scores)]
    assert library.model_run(state, arrays[0], ctypes.c_size_t(7), *arrays[1:]) == 0
    units = np.array(getattr(chain.head, "scale", None) or 1.0)
    np.testing.assert_allclose(scores / units, said / units, rtol=1e-5, atol=1e-5)
    text = "\n".join(" ".join(map(str, row)) for row in features.tolist())
    shown = subprocess.run(
        ["./program"], cwd=tmp_path / "out", input=text, capture_output=True, check=True, encoding="utf-8"
    ).stdout
    assert len(shown.splitlines()) == len(said)
    if "numbers" in kind:
        values = [[float(word) for word in line.split()] for line in shown.splitlines()]
        np.testing.assert_allclose(values / units, said / units, rtol=1e-4, atol=1e-4)
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    assert export_model(tmp_path / "m", "onnx", tmp_path / "onnx")["largest_difference"] < 1e-5


@needs_compiler
@pytest.mark.parametrize("kind", ["both, gru, max", "both, then forward", "both, steps", "both, norm"])
def test_the_c_source_stays_in_its_memory(tmp_path: Path, kind: str) -> None:
    export_model(save(tmp_path / "m", kind), "c", tmp_path / "out")
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover")
    try:
        result = compile_and_run(tmp_path / "out", "--self-test", flags=flags)
    except subprocess.CalledProcessError:
        pytest.skip("the compiler has no sanitizers")
    assert (result.returncode, result.stderr) == (0, "")
    texts = compile_and_run(tmp_path / "out", "w1", "w7", "w2")
    said = [line for line in texts.stdout.splitlines() if line[:2] in ("0.", "1.")]
    assert (texts.returncode, len(said)) == (0, 3 if "steps" in kind or "norm" in kind else 1)
