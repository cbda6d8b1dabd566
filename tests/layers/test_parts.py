"""A layer of your own, all of it in one file: this one."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from truesparse import runtime
from truesparse.errors import TruesparseError, UsageError
from truesparse.export import export_model
from truesparse.layers import registry
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.layer import Layer
from truesparse.layers.lstm.layer import LSTMLayer
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.lstm.step import LSTMStep
from truesparse.layers.output.spec import Softmax
from truesparse.layers.parts import part
from truesparse.layers.spec import LayerSpec, Signal
from truesparse.model import Model, random_model
from truesparse.model.saving import save_model


@dataclass(frozen=True)
class Backward(LSTM):
    """An LSTM that reads its inputs with the other sign."""

    TYPE: ClassVar[str] = "backward"


class BackwardLayer(LSTMLayer):
    def forward(self, y, x, state, ws, window):
        super().forward(y, -x, state, ws, window)

    def backward(self, dx, dy, x, ws, window):
        super().backward(dx, dy, -x, ws, window)
        dx *= -1


class BackwardStep(LSTMStep):
    def step(self, x, state):
        return super().step(-x, state)


@dataclass(frozen=True)
class Nothing(LayerSpec):
    """Nobody has written what computes it."""

    TYPE: ClassVar[str] = "nothing"

    def output(self, given: Signal) -> Signal:
        return given


@dataclass(frozen=True)
class Noise(Nothing):
    TYPE: ClassVar[str] = "no-ise"
    TRAINING_ONLY: ClassVar[bool] = True


class NoiseLayer(Layer):
    IN_PLACE = True

    def forward(self, y, x, state, ws, window):
        pass

    def backward(self, dx, dy, x, ws, window):
        pass


def make(*layers: LayerSpec, **values: float) -> Model:
    chain = ChainSpec(Embedding(9, 5), *layers, Softmax(9))
    return random_model(chain, 0.6, np.random.default_rng(1), **values)


def save(path: Path, model: Model) -> Path:
    save_model(path, model)
    return path


@pytest.fixture
def known() -> Iterator[None]:
    """The layers of this file are registered, and only for one test: other tests list the cells there are."""
    for spec in (Backward, Noise):
        assert registry.register(spec) is spec
    yield
    registry.CELLS.remove(Backward.TYPE)
    for spec in (Backward, Noise):
        del registry.LAYERS[spec.TYPE]


@pytest.mark.usefixtures("known")
def test_a_file_is_read_and_computed(tmp_path: Path) -> None:
    model, lstm = (make(spec(6), scale=0.9) for spec in (Backward, LSTM))
    lstm.matrices["lstm.0.weight_ih"].data[...] *= -1
    lstm.arena.touch()
    ids, targets = (np.array([word], np.int32).T.repeat(18, axis=1) for word in ((3, 1, 4), (1, 4, 1)))
    losses = [one.loss_and_gradients(ids, targets, one.workspace(3, 18)) for one in (model, lstm)]
    assert losses[0] == losses[1]
    lstm.matrices["lstm.0.weight_ih"].grad[...] *= -1
    np.testing.assert_array_equal(model.arena.grads, lstm.arena.grads)
    file = save(tmp_path / "m", model)
    stream = runtime.load(file).stream()
    for token in ids[:, 0]:
        log_probabilities = stream.step(int(token))
    np.testing.assert_allclose(log_probabilities, model.predict(ids, model.workspace(3, 18))[:, 0], rtol=1e-5)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("target", ["c", "onnx", "torch"])
def test_what_a_file_does_not_have_cannot_be_exported(tmp_path: Path, target: str) -> None:
    if target == "onnx":
        pytest.importorskip("onnx")
    with pytest.raises(TruesparseError, match="the cell backward"):
        export_model(save(tmp_path / "m", make(Backward(6))), target, tmp_path / "out")


@pytest.mark.usefixtures("known")
@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
def test_what_is_for_training_only_takes_no_part_in_exports(tmp_path: Path) -> None:
    export_model(save(tmp_path / "m", make(Noise(), LSTM(6))), "c", tmp_path / "out")
    command = ["gcc", "-o", "program", "main.c", "model.c", "-lm"]
    subprocess.run(command, cwd=tmp_path / "out", check=True)
    subprocess.run(["./program", "--self-test"], cwd=tmp_path / "out", check=True)


def test_what_nothing_computes() -> None:
    with pytest.raises(UsageError, match="nothing computes the layer nothing; write a class NothingLayer"):
        make(Nothing())


def test_parts_are_not_taken_from_another_layer() -> None:
    assert part(LSTM, "step") is LSTMStep
    assert part(Backward, "step") is BackwardStep
    assert part(Backward, "source") is None
    assert part(Noise, "step") is None
    assert part(Softmax, "step") is None


def test_a_step_is_found_without_what_trains() -> None:
    code = """
import sys
from truesparse.layers.parts import part
from truesparse.layers.registry import cells
for spec in cells().values():
    assert part(spec, "step")
print("numba" in sys.modules or "scipy" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
