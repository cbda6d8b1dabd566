"""Forecasts of the runtime, of C and of ONNX, against those that are computed by hand."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from export.conftest import COMPILERS, compile_and_run, library_of, needs_compiler, run

from truesparse import runtime
from truesparse.data import SeriesEncoder
from truesparse.errors import TruesparseError
from truesparse.export import export_model
from truesparse.layers.models import sequence_model
from truesparse.model import random_model
from truesparse.modelfile import Reader, read_model

LINEAR = tuple(np.random.default_rng(3).normal(size=2 * 3 * 4).round(3).tolist())
ENCODERS = {
    "all": SeriesEncoder("forecast", ("a", "b", "p", "q"), ("a", "b"), ("q",), 5, 3, 2, LINEAR),
    "plain": SeriesEncoder("forecast", ("a",), ("a",), (), 5, 3, 1),
    "both directions": SeriesEncoder("forecast", ("a", "b", "q"), ("a",), ("q",), 5, 3, 2, (1.5, -2.0, 0.25)),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model file of each encoder, with random weights."""
    folder = tmp_path_factory.mktemp("forecasts")
    for name, encoder in ENCODERS.items():
        read, told = len(encoder.read), len(encoder.told)
        scales = {"target_mean": (2.0,) * told, "target_scale": (9.0,) * told}
        scales |= {"feature_mean": (1.0,) * read, "feature_scale": (3.0,) * read}
        both = name == "both directions"
        chain = sequence_model(0, read, 9, 1, kind="regressor", outputs=told, bidirectional=both, **scales)
        random_model(chain, 0.4, np.random.default_rng(0), scale=0.6).save(folder / name, encoder)
    return {name: folder / name for name in ENCODERS}


def history(encoder: SeriesEncoder, steps: int) -> np.ndarray:
    return np.random.default_rng(1).normal(5, 3, (steps, len(encoder.features))).astype(np.float32)


def by_hand(path: Path, encoder: SeriesEncoder, values: np.ndarray, later: np.ndarray) -> np.ndarray:
    """The forecast, from the numbers of the network alone."""
    targets, season = len(encoder.targets), encoder.season
    places = [encoder.features.index(name) for name in encoder.known]
    ahead = np.concatenate([values[:, places], later])
    steps = []
    for step in range(len(values) - encoder.lookback, len(values)):
        change = values[step, :targets] - values[step - season, :targets]
        steps.append([*values[step], *change, *ahead[step + 1 : step + 1 + encoder.horizon].ravel()])
    told = runtime.load_sequence_model(path).predict([np.array(steps, np.float32)])[0].astype(float)
    told = told.reshape(encoder.horizon, targets)
    last = values[-1, :targets]
    linear = np.reshape(encoder.linear, (targets, encoder.horizon, -1)) if encoder.linear else None
    for step in range(encoder.horizon):
        told[step] += values[len(values) - season + step % season, :targets]
        for target in range(targets if encoder.linear else 0):
            own, lags = linear[target, step], linear.shape[2]
            told[step, target] += own[-1] + own[:-1] @ (values[-lags:-1, target] - last[target])
    return told


@pytest.mark.parametrize("name", ENCODERS)
def test_the_runtime_forecasts_what_is_computed_by_hand(files: dict[str, Path], name: str) -> None:
    encoder, model = ENCODERS[name], runtime.load_forecaster(files[name])
    values = history(encoder, 20)
    later = np.arange(3.0 * len(encoder.known)).reshape(3, -1)
    known = (later,) if encoder.known else ()
    said = model.predict(values, *known)
    expected = by_hand(files[name], encoder, values, later)
    np.testing.assert_allclose(said, expected if len(encoder.targets) > 1 else expected[:, 0], rtol=1e-5)
    several = model.predict([values, values[3:]], *([own, own] for own in known))
    np.testing.assert_allclose(several, [said, said], rtol=1e-5)


def lines_of(array: np.ndarray) -> str:
    return "\n".join(" ".join(f"{value:.9g}" for value in row) for row in array)


@needs_compiler
@pytest.mark.parametrize(("name", "compiler"), [*zip(ENCODERS, [*COMPILERS] * 3, strict=False)])
def test_c_forecasts_what_the_runtime_does(
    tmp_path: Path, files: dict[str, Path], name: str, compiler: str
) -> None:
    encoder = ENCODERS[name]
    report = export_model(files[name], "c", tmp_path)
    assert compile_and_run(tmp_path, "--self-test", compiler=compiler).returncode == 0
    library, state = library_of(tmp_path), (ctypes.c_byte * report["ram_bytes"])()
    values = history(encoder, encoder.season + encoder.lookback)
    later = np.arange(3 * len(encoder.known), dtype=np.float32)
    told = np.empty((3, len(encoder.targets)), np.float32)
    both = "both" in name
    room = np.empty(10_000, np.float32)  # for a model of both directions
    arrays = [values, *([later] if encoder.known else []), *([room] if both else []), told]
    for _ in range(2):  # what was read before does not matter
        library.model_forecast(state, *(ctypes.c_void_p(array.ctypes.data) for array in arrays))
        expected = runtime.load_forecaster(files[name]).predict(values, *([later] if encoder.known else []))
        np.testing.assert_allclose(told.reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)
    given = "\n".join(map(lines_of, [values, later.reshape(3, -1)] if encoder.known else [values]))
    said = run(tmp_path, given=given)
    assert said.returncode == 0, said.stderr
    printed = np.array([line.split() for line in said.stdout.splitlines()], float)
    np.testing.assert_allclose(printed, told, rtol=1e-6)
    short = run(tmp_path, given=given.partition("\n")[2])
    assert short.returncode == 1
    assert (
        f"the input must have the last {len(values)} steps of a series, {values.shape[1]} numbers"
        in short.stderr
    )
    for key, size in {"HISTORY": len(values), "HORIZON": 3, "COLUMNS": values.shape[1]}.items():
        assert f"#define MODEL_{key} {size} " in (tmp_path / "model.h").read_text()


@pytest.mark.parametrize("name", ENCODERS)
def test_onnx_forecasts_what_the_runtime_does(tmp_path: Path, files: dict[str, Path], name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    encoder = ENCODERS[name]
    report = export_model(files[name], "onnx", tmp_path)
    assert {*report["files"]} == {"model.onnx", "forecast.onnx", "model.json"}
    assert report["largest_difference"] < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "forecast.onnx", providers=["CPUExecutionProvider"])
    every = [history(encoder, encoder.season + encoder.lookback) + add for add in (0, 2, 5)]
    later = [np.arange(3 * len(encoder.known), dtype=np.float32).reshape(3, -1) + add for add in (0, 1, 2)]
    given = {"history": np.stack(every, axis=1)}
    if encoder.known:
        given["known_ahead"] = np.stack(later, axis=1)
    (said,) = session.run(None, given)
    expected = runtime.load_forecaster(files[name]).predict(every, later if encoder.known else None)
    np.testing.assert_allclose(said.swapaxes(0, 1).reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)


def test_what_the_runtime_cannot_forecast(files: dict[str, Path], tmp_path: Path) -> None:
    model, values = runtime.load_forecaster(files["all"]), history(ENCODERS["all"], 9)
    for arguments, message in (
        (
            (values[:6], np.ones(3)),
            "has 6 steps but a season of 2 and a lookback of 5 need 7",
        ),
        ((values[:, :3], np.ones(3)), r"series has the shape \(9, 3\); it must be \(steps, 4\)"),
        ((values,), "known_ahead has numbers for 0 of 1 series; the model needs q of the next steps of each"),
        ((values, np.ones(2)), r"known_ahead has the shape \(2, 1\); it must be \(3, 1\)"),
        ((values + np.array([0, np.nan, 0, 0]), np.ones(3)), "series has NaN or infinity at step 0"),
        (("text", np.ones(3)), "series has values that are not numbers"),
    ):
        with pytest.raises(TruesparseError, match=message):
            model.predict(*arguments)
    with Reader(files["plain"]) as reader:
        assert read_model(reader).encoder == ENCODERS["plain"]
    other = random_model(sequence_model(0, 2, 3, 1, outputs=2), 0.5, np.random.default_rng(0))
    other.save(tmp_path / "m", labels=("a", "b"))
    with pytest.raises(TruesparseError, match="makes no forecasts; load it with"):
        runtime.load_forecaster(tmp_path / "m")
