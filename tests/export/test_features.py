"""Models that read features, as C and ONNX, against the runtime."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
from export.conftest import COMPILERS, compile_and_run, library_of, needs_compiler, run

from truesparse import runtime
from truesparse.errors import TruesparseError
from truesparse.export import export_model
from truesparse.export.c import as_exported
from truesparse.layers.chain import ChainSpec
from truesparse.layers.gru.spec import GRU
from truesparse.layers.layer_norm.spec import LayerNorm
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import sequence_model
from truesparse.layers.output.spec import Softmax, SquaredError
from truesparse.layers.pool.spec import Pool
from truesparse.layers.residual.spec import Residual
from truesparse.layers.standardize.spec import Standardize
from truesparse.model import random_model
from truesparse.runtime.loading import as_model

UNITS = {"target_mean": (5.0, -70.0), "target_scale": (0.01, 900.0)}
FEATURES = {"feature_mean": (1.0, -20.0, 0.5), "feature_scale": (2.0, 30.0, 0.1)}
CHAINS = {
    "numbers": sequence_model(0, 3, 9, 2, kind="regressor", outputs=2, pooling="mean", **UNITS),
    "numbers at each step": sequence_model(
        0, 3, 9, 1, kind="regressor", outputs=2, pooling="", sparse_output=True, **FEATURES, **UNITS
    ),
    "gru, number at each step": sequence_model(
        0, 1, 9, 1, cell="gru", pattern="unit", kind="regressor", outputs=1, pooling=""
    ),
    "classes at each step": sequence_model(
        0, 3, 9, 1, cell="rhn", depth=2, outputs=4, pooling="", **FEATURES
    ),
    "classes": sequence_model(0, 3, 9, 1, outputs=2, pooling="max", pattern="unit"),
    "linear": ChainSpec(
        Standardize((0.5, 1.0), (2.0, 3.0)), Linear(5, "tanh"), LSTM(7), Pool(), Linear(4), SquaredError(1),
        features=2,
    ),
    "feed-forward": ChainSpec(
        Linear(9, "srelu"), Linear(8, "selu"), Linear(5, "relu"), Pool(), Softmax(3), features=6
    ),
    "norms": ChainSpec(
        LayerNorm(), Linear(8, "relu"), Residual(LayerNorm(), Linear(21, "tanh"), Linear(8)), LayerNorm(),
        Pool(), Softmax(3), features=7
    ),
    "norm at each step": ChainSpec(
        Residual(LayerNorm(), Linear(2)), GRU(7), Residual(LayerNorm(), Linear(7)), SquaredError(1),
        features=2
    ),
}  # fmt: skip
LABELS = {
    "feed-forward": ("a", "b", "c"),
    "classes": ("a%s", 'b"$x'),
    "classes at each step": ("a", "b", "c", "d"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model file of each chain, with random weights and biases."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    for name, chain in CHAINS.items():
        model = random_model(chain, 0.4, rng, scale=0.6)
        for bias in model.arena.biases.values():
            bias[...] = rng.uniform(-0.3, 0.3, bias.shape)
        model.save(folder / name, labels=LABELS.get(name, ()))
    return {name: folder / name for name in CHAINS}


def exported(path: Path, dtype: str) -> runtime.SequenceModel:
    """What the exported model is to compute."""
    from truesparse.modelfile import Reader, read_model

    with Reader(path) as reader:
        model = as_model(as_exported(read_model(reader).with_sparse_output(), dtype))
    assert isinstance(model, runtime.SequenceModel)
    return model


def units(chain: ChainSpec) -> np.ndarray:
    """What a difference of outputs is measured in."""
    return np.array(getattr(chain.head, "scale", ()) or [1.0] * chain.head.outputs)


@needs_compiler
@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize(("dtype", "compiler"), [("float32", COMPILERS[0]), ("int8", COMPILERS[-1])])
def test_c_says_what_the_runtime_does(
    tmp_path: Path, files: dict[str, Path], name: str, dtype: str, compiler: str
) -> None:
    out = tmp_path / "out"
    report = export_model(files[name], "c", out, dtype=dtype)
    result = compile_and_run(out, "--self-test", compiler=compiler)
    assert result.returncode == 0, result.stdout
    library, model = library_of(out), exported(files[name], dtype)
    chain = model.chain
    sequence = np.random.default_rng(2).standard_normal((9, chain.features)).astype(np.float32)
    steps = len(sequence) if chain.per_step else 1
    state = (ctypes.c_byte * report["ram_bytes"])()
    whole, parts = np.empty((2, steps, chain.head.outputs), np.float32)
    library.model_init(state)
    library.model_read(state, pointer(sequence), ctypes.c_size_t(9), pointer(whole))
    expected = model.scores(sequence[:, None])
    np.testing.assert_allclose(
        whole / units(chain), np.array(expected)[:, :, 0] / units(chain), rtol=1e-5, atol=1e-5
    )
    library.model_reset(state)
    for number, step in enumerate(sequence):  # one after another, with the state that is carried
        library.model_step(state, pointer(step))
        if chain.per_step:
            library.model_output(state, pointer(parts[number]))
    if not chain.per_step:
        library.model_output(state, pointer(parts[0]))
    np.testing.assert_array_equal(whole, parts)


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@needs_compiler
@pytest.mark.parametrize("name", ["numbers at each step", "classes"])
def test_the_example_reads_numbers(tmp_path: Path, files: dict[str, Path], name: str) -> None:
    out = tmp_path / "out"
    export_model(files[name], "c", out)
    timed = compile_and_run(out, "--time", "50", flags=("-O1", "-fsanitize=address,undefined"))
    assert timed.stdout.endswith("microseconds a step\n"), timed.stderr
    assert run(out, "--help").returncode == 2
    model = runtime.load_sequence_model(files[name])
    sequence = np.random.default_rng(2).standard_normal((4, 3)).astype(np.float32)
    text = "\n".join(" ".join(f"{number:.9g}" for number in step) for step in sequence)
    said = subprocess.run([out / "program"], input=text, capture_output=True, text=True, check=True).stdout
    if name == "classes":
        chance = model.predict_proba([sequence])[0].max()
        assert said == f"{chance:.4f} {model.predict([sequence])[0]}\n"
    else:
        numbers = [[float(number) for number in line.split()] for line in said.splitlines()]
        np.testing.assert_allclose(numbers, model.predict([sequence])[0], rtol=1e-4, atol=1e-4)
    cut = subprocess.run([out / "program"], input="1 2", capture_output=True, text=True, check=False)
    assert cut.returncode == 1
    assert "same number of numbers for each step" in cut.stderr


@pytest.mark.parametrize("name", [name for name in CHAINS if "norm" not in name])
def test_onnx_says_what_the_runtime_does(tmp_path: Path, files: dict[str, Path], name: str) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    report = export_model(files[name], "onnx", tmp_path / "out")
    assert report["largest_difference"] <= 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    chain = CHAINS[name]
    given = {entry.name: entry for entry in session.get_inputs()}
    assert given["features"].shape == ["T", "B", chain.features]
    array = np.random.default_rng(2).standard_normal((5, 2, chain.features)).astype(np.float32)
    states = {key: np.zeros((2, e.shape[1]), np.float32) for key, e in given.items() if key != "features"}
    head = "numbers" if chain.head.TYPE == "squared-error" else "scores"
    (said,) = session.run([head], {"features": array, **states})
    expected = np.array(runtime.load_sequence_model(files[name]).scores(array)).swapaxes(1, 2)
    np.testing.assert_allclose(
        said / units(chain), (expected if chain.per_step else expected[0]) / units(chain), atol=1e-5
    )


def test_pytorch_says_the_numbers_themselves(tmp_path: Path, files: dict[str, Path]) -> None:
    torch = pytest.importorskip("torch")
    export_model(files["numbers"], "torch", tmp_path / "out")
    arrays = torch.load(tmp_path / "out" / "model.pt")
    lstm, linear = torch.nn.LSTM(3, 9, 2), torch.nn.Linear(9, 2)
    with torch.no_grad():
        for prefix, module in (("lstm.", lstm), ("output.", linear)):
            own = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
            for key in own.copy():
                own.setdefault(key.replace("bias_ih", "bias_hh"), torch.zeros_like(own[key]))
            module.load_state_dict(own)
        array = np.random.default_rng(2).standard_normal((5, 2, 3)).astype(np.float32)
        said = linear(lstm(torch.from_numpy(array))[0].mean(axis=0)).numpy()
    expected = runtime.load_sequence_model(files["numbers"]).predict(array.swapaxes(0, 1))
    scale = units(CHAINS["numbers"])
    np.testing.assert_allclose(said / scale, expected / scale, rtol=1e-5, atol=1e-5)
    with pytest.raises(TruesparseError, match="PyTorch has no module for the layer standardize"):
        export_model(files["linear"], "torch", tmp_path / "other")
