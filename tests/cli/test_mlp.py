"""Feed-forward nets: trained on rows and images, measured, used, drawn and gone on with."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from training_helpers import StopAt, assert_same_end, tensors

import truesparse
from truesparse.cli import main
from truesparse.tasks.mlp.settings import MLPConfig
from truesparse.tasks.run import resume_run, train_model
from truesparse.tasks.sources import resolve
from truesparse.training.environment import peak_memory_bytes
from truesparse.training.loop import TrainingStopped

SETTINGS = {
    **{"hidden_sizes": "24,12", "density": 0.3, "batch_size": 64, "epochs": 8, "lr": 0.02},
    **{"update_interval": 5, "keep_topologies": 4, "activation": "srelu", "dropout": 0.1, "seed": 2},
}
FLAGS = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
SIZE = 8


def images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Dark images of noise whose brightest quarter of the middle is the label."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count).astype(np.uint8)
    pixels = rng.integers(0, 60, (count, SIZE, SIZE))
    for image, label in zip(pixels, labels, strict=True):
        row, column = 2 + 2 * (label // 2), 2 + 2 * (label % 2)
        image[row : row + 2, column : column + 2] += rng.integers(60, 196)
    return pixels.astype(np.uint8), labels


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(folder: Path) -> None:
    """The same images as NPZ and as MNIST's files, and a table of numbers."""
    (folder / "npz").mkdir()
    (folder / "idx").mkdir()
    for part, name, count in (("train", "train", 600), ("test", "t10k", 200)):
        pixels, labels = images(count, len(part))
        np.savez(folder / "npz" / part, images=pixels, labels=labels)
        (folder / "idx" / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
        (folder / "idx" / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
    rng = np.random.default_rng(0)
    table = rng.normal(3, 2, (300, 3)).round(3)
    rows = [[*row, f"{100 * row[0] - 50 * row[2]:.3f}"] for row in table.tolist()]
    for name, own in (("table", rows), ("text", [*rows[:5], [1, "two", 3, 4], *rows[5:]])):
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([["a", "b", "c", "y"], *own])


def command(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Results of a run on the images, in the folder ``run`` of the working directory."""
    folder = tmp_path_factory.mktemp("mlp")
    write(folder)
    os.chdir(folder)
    told = command("train", "mlp", "--data", "npz", *FLAGS, "--out", "run", "--json", "--quiet")
    return json.loads(told)


@pytest.fixture(autouse=True)
def _there(trained: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(trained["run_dir"]).absolute().parent)


def test_it_learns_images(trained) -> None:
    assert trained["test_accuracy"] > 0.9 > 2 * trained["majority_accuracy"]
    assert trained["dense_parameters"] == 24 * 64 + 12 * 24
    model = truesparse.load("run")
    assert [layer.TYPE for layer in model.chain.layers] == [
        *("standardize", "linear", "dropout", "linear", "dropout", "pool", "softmax")
    ]
    assert model.chain.layers[0].scale == (255.0,) * 64  # as pixels
    measured = json.loads(command("evaluate", "run", "--json"))
    assert measured["accuracy"] == trained["test_accuracy"]
    assert measured["rows"] == 200
    assert "linear.1.weight" in command("info", "run")


def test_files_of_mnist_give_the_same_model(trained) -> None:
    command("train", "mlp", "--data", "idx", *FLAGS, "--out", "of-idx", "--quiet")
    assert tensors(Path("of-idx/model.safetensors")) == tensors(Path("run/model.safetensors"))
    said = command("predict", "run", "idx/t10k-images-idx3-ubyte.gz")
    assert said == command("predict", "run", "npz/test.npz")
    rows = list(csv.DictReader(io.StringIO(said)))
    right = [row["label"] == str(label) for row, label in zip(rows, images(200, 4)[1], strict=True)]
    assert np.mean(right) == trained["test_accuracy"]


def test_it_resumes_to_the_same_bits(trained) -> None:
    config = resolve({**SETTINGS, "data": "npz"}, environment={}, task=MLPConfig)
    stop = StopAt(7)
    with pytest.raises(TrainingStopped):
        train_model(config, Path("again"), stop, stop)
    resume_run(Path("again"), {}, kind=MLPConfig)
    assert_same_end(Path("again"), Path("run"))


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="draws with matplotlib")
def test_which_pixels_keep_connections(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    assert command("plot", "run", "--inputs", "8x8") == "run/inputs.png\n"
    maps = [axes for axes in figures[0].axes if axes.images]
    matrix = truesparse.load("run").matrices["linear.0.weight"]
    last = np.bincount(matrix.indices, minlength=64).reshape(8, 8)
    curves = next(axes for axes in figures[0].axes if axes.get_xlabel() == "epoch")
    centre, edge = (line.get_ydata() for line in curves.lines)
    assert len(maps) == len(centre) == 4
    assert centre[-1] > 1.3 * centre[0]  # what tells something is found
    assert edge[-1] < edge[0]
    assert maps[-1].images[0].get_array().sum() == last.sum()


def test_numbers_of_a_table(trained) -> None:
    flags = [*("--hidden-sizes", "16"), *("--batch-size", 64), *("--epochs", 40), *("--lr", 0.03)]
    told = command("train", "mlp", "--data", "table.csv", *flags, "--out", "numbers", "--json", "--quiet")
    assert json.loads(told)["test_r2"] > 0.8
    said = list(csv.reader(io.StringIO(command("predict", "numbers", "table.csv"))))
    assert said[0] == ["y"]
    assert len(said) == 301
    right = np.loadtxt("table.csv", delimiter=",", skiprows=1)[:, 3]
    assert np.corrcoef(right, np.array(said[1:], float)[:, 0])[0, 1] > 0.9


def test_a_layer_whose_dense_form_would_fill_gigabytes(trained) -> None:
    """The ancestor's headline in small: 1.6 * 10^9 positions, and a step of what 10 weights a unit take."""
    sizes = ["--hidden-sizes", "40000,40000", "--distribution", "erdos-renyi", "--er-epsilon", "10"]
    before = peak_memory_bytes()
    told = command(
        *("train", "mlp", "--data", "table.csv", *sizes, "--method", "set", "--max-steps", 1),
        *("--batch-size", 64, "--out", "wide", "--json", "--quiet"),
    )
    results = json.loads(told)
    assert results["nnz"] == 3 * 40_000 + 10 * 80_000  # the first layer is dense: it has but 3 inputs
    assert results["peak_memory_bytes"] - before < 1.6e9 < 4 * results["dense_parameters"]


def test_the_built_in_digits(trained) -> None:
    pytest.importorskip("sklearn.base")
    command("train", "mlp", "--max-steps", 5, "--out", "digits", "--quiet")
    assert truesparse.load("digits").chain.features == 64
    assert json.loads(command("evaluate", "digits", "--json"))["rows"] == 179


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "train mlp --data text.csv",
            "in row 7 of text.csv the column 'b' is 'two', which is no finite number",
        ),
        ("train mlp --data npz --hidden-sizes 30,x", "--hidden-sizes is '30,x'; give the units of each"),
        ("train mlp --data npz --cell gru", "--cell"),
        ("train mlp --data alone-images-idx3-ubyte", "has no file of labels beside it"),
        ("train mlp --data cut-images-idx3-ubyte", "cut-images-idx3-ubyte is cut short or damaged"),
        ("predict run small.npz", "the rows of small.npz have 36 numbers, but the model was trained on 64"),
        ("evaluate run --data strange.npz", "row 0 of strange.npz has the label '9'"),
        ("plot run --inputs 28x28", "28x28 is 784 pixels, but the model of run reads 64 numbers"),
        ("plot run --inputs 28", "--inputs is '28'; give rows and columns"),
        ("plot bare --inputs 8x8", "bare has kept no topologies to draw; train it with --keep-topologies"),
    ],
)
def test_mistakes_are_told_in_a_sentence(trained, arguments: str, message: str) -> None:
    if arguments.startswith("plot"):
        pytest.importorskip("matplotlib")
    pixels, labels = images(20, 9)
    np.savez("small.npz", X=pixels[:, 1:7, 1:7])
    np.savez("strange.npz", X=pixels, y=np.full(20, 9))
    Path("cut-images-idx3-ubyte").write_bytes(idx(pixels)[:-1])
    Path("cut-labels-idx1-ubyte").write_bytes(idx(labels))
    Path("alone-images-idx3-ubyte").write_bytes(idx(pixels))
    Path("bare").mkdir(exist_ok=True)
    result = CliRunner().invoke(main, arguments.split())
    assert result.exit_code in (1, 2)
    assert message in " ".join(result.output.split())
