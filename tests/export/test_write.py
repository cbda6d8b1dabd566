from __future__ import annotations

import itertools
import json
import math
import os
import stat
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from export.conftest import CLASSIFIERS, LABELS, SIZES, TAGGERS, data_for, read, save

from truesparse.data import load_evaluation_text
from truesparse.errors import TruesparseError, UsageError
from truesparse.export import export_model, onnx_model, write
from truesparse.export.c import as_exported
from truesparse.export.folder import new_folder
from truesparse.export.interchange import write_scipy
from truesparse.model.loading import load_model
from truesparse.model.saving import save_model
from truesparse.modelfile import Reader, read_model
from truesparse.runtime import Classifier, LanguageModel
from truesparse.runtime.loading import as_model
from truesparse.runtime.recurrent import log_softmax
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.training.config import Config

pytestmark = pytest.mark.usefixtures("command")

GRUS = [kind for kind in SIZES if "gru" in kind and kind not in CLASSIFIERS]


def test_scipy(tmp_path: Path) -> None:
    file = save(tmp_path / "m", "rhn")
    report = export_model(file, "scipy", tmp_path / "a" / "b")
    stored = read(file)
    for name, csr in stored.matrices.items():
        matrix = scipy.sparse.load_npz(tmp_path / "a" / "b" / f"{name}.npz")
        np.testing.assert_array_equal(matrix.toarray(), csr.to_dense())
        assert matrix.nnz == csr.data.size
    biases = np.load(tmp_path / "a" / "b" / "biases.npz")
    assert biases.keys() == stored.vectors.keys()
    for name, bias in stored.vectors.items():
        np.testing.assert_array_equal(biases[name], bias)
    assert report["files"].keys() == {path.name for path in (tmp_path / "a" / "b").iterdir()}
    description = json.loads((tmp_path / "a" / "b" / "model.json").read_text())
    assert description["model"] == stored.chain.to_document()
    assert [layer["units"] for layer in description["model"]["layers"] if layer["type"] == "rhn"] == [20, 20]
    assert len(description["vocabulary"]["tokens"]) == 70


@pytest.mark.parametrize("kind", ["lstm", "tied", "last", "tagger", "gru", "gru, unit", "gru, last"])
def test_torch(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")
    file = save(tmp_path / "m", kind)
    export_model(file, "torch", tmp_path / "out")
    stored = read(file)
    chain = stored.chain
    module = torch.nn.Module()
    module.embedding = torch.nn.Embedding(chain.tokens, chain.recurrent[0].given.size)
    cell = chain.recurrent[0].spec
    layers = getattr(torch.nn, type(cell).__name__)(
        chain.recurrent[0].given.size, chain.units, len(chain.recurrent)
    )
    module.add_module(cell.TYPE, layers)
    module.output = torch.nn.Linear(chain.units, chain.head.outputs)
    module.load_state_dict(torch.load(tmp_path / "out" / "model.pt", weights_only=True))
    tokens = np.random.default_rng(1).integers(0, 70, (7, 3))
    with torch.inference_mode():
        scores = module.output(layers(module.embedding(torch.from_numpy(tokens)))[0])
    stream = as_model(stored).stream(3)
    for step, expected in zip(tokens, scores.numpy(), strict=True):
        stream.advance(step)
        np.testing.assert_allclose(stream.logits(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "kind",
    [
        *("lstm", "tied", "rhn", "of two sizes", "rhn, lstm", "two tokens", "linear", "linear between"),
        *(*GRUS, *TAGGERS),
    ],
)
def test_onnx(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    file = save(tmp_path / "m", kind)
    report = export_model(file, "onnx", tmp_path / "out")
    assert report["largest_difference"] < 1e-5
    # the state that comes out goes on where it was
    model = as_model(read(file))
    size = model.chain.tokens
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    stream = model.stream(2)
    state = {name: np.zeros_like(array).T for name, array in stream.state.items()}
    outputs = ["scores", *(f"{name}.next" for name in state)]
    for tokens in np.random.default_rng(2).integers(0, size, (4, 1, 2)):
        scores, *after = session.run(outputs, {"tokens": tokens, **state})
        state = dict(zip(state, after, strict=True))
        stream.advance(tokens[0])
        np.testing.assert_allclose(scores[0], stream.logits(), rtol=1e-5, atol=1e-5)


def test_onnx_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    file, right = save(tmp_path / "m", "lstm"), onnx_model.finite_scores
    for added in (3e-6, 3e-5):  # the scores are smaller than 2
        monkeypatch.setattr(onnx_model, "finite_scores", lambda *a, more=added: [s + more for s in right(*a)])
        if added < 1e-5:
            export_model(file, "onnx", tmp_path / "near")
            continue
        with pytest.raises(TruesparseError, match="onnxruntime computes other scores than truesparse"):
            export_model(file, "onnx", tmp_path / "far")


@pytest.mark.parametrize("kind", [kind for kind in CLASSIFIERS if "norm" not in kind])
def test_onnx_of_a_classifier(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    file = save(tmp_path / "m", kind)
    report = export_model(file, "onnx", tmp_path / "out")
    assert report["largest_difference"] < 1e-5
    model = Classifier(read(file))
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    zeros = {
        value.name: np.zeros((3, value.shape[1]), np.float32)
        for value in session.get_inputs()
        if value.name != "tokens"
    }
    tokens = np.random.default_rng(2).integers(0, 70, (11, 3))
    (scores,) = session.run(["scores"], {"tokens": tokens, **zeros})
    expected = model.log_probabilities(list(tokens.T))
    np.testing.assert_allclose(log_softmax(scores.T).T, expected, rtol=1e-5, atol=1e-5)


def test_what_other_programs_are_told_of_a_classifier(tmp_path: Path) -> None:
    export_model(save(tmp_path / "m", "last"), "scipy", tmp_path / "out")
    description = json.loads((tmp_path / "out" / "model.json").read_text())
    assert description.keys() == {"model", "vocabulary", "text", "labels"}
    assert description["labels"] == list(LABELS[:3])
    assert description["text"]["length"] == 9
    output = scipy.sparse.load_npz(tmp_path / "out" / "output.weight.npz")  # dense weights are a matrix too
    assert output.shape == (3, 20)
    assert output.nnz == 60
    assert "output.weight" not in np.load(tmp_path / "out" / "biases.npz")


def test_what_is_not_installed(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("onnx", "torch"):
        monkeypatch.setitem(sys.modules, module, None)
    for target in ("onnx", "torch"):
        with pytest.raises(TruesparseError, match=f"{target} is not installed; run pip install {target}"):
            export_model(file, target, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_pytorch_has_no_rhn(tmp_path: Path) -> None:
    with pytest.raises(TruesparseError, match="PyTorch has no module for the cell rhn"):
        export_model(save(tmp_path / "m", "rhn"), "torch", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_linear_layers_of_pytorch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    export_model(save(tmp_path / "m", "linear"), "torch", tmp_path / "out")
    stored = read(tmp_path / "m")
    module = torch.nn.Module()
    module.embedding = torch.nn.Embedding(70, 12)
    module.linear = torch.nn.ModuleList([torch.nn.Linear(12, 9), torch.nn.Linear(20, 12)])
    module.lstm = torch.nn.LSTM(9, 20, 2)
    module.output = torch.nn.Linear(12, 70)
    module.load_state_dict(torch.load(tmp_path / "out" / "model.pt", weights_only=True))
    tokens = np.random.default_rng(1).integers(0, 70, (7, 3))
    with torch.inference_mode():
        x = torch.tanh(module.linear[0](module.embedding(torch.from_numpy(tokens))))
        scores = module.output(torch.relu(module.linear[1](module.lstm(x)[0])))
    stream = as_model(stored).stream(3)
    for step, expected in zip(tokens, scores.numpy(), strict=True):
        stream.advance(step)
        np.testing.assert_allclose(stream.logits(), expected, rtol=1e-5, atol=1e-5)


def test_pytorch_has_no_layers_of_two_kinds_in_one(tmp_path: Path) -> None:
    with pytest.raises(TruesparseError, match=r"no module for the layers lstm.0 and linear.0 together"):
        export_model(save(tmp_path / "m", "linear between"), "torch", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pytorch_has_no_gru_that_resets_before_the_product(tmp_path: Path) -> None:
    with pytest.raises(
        TruesparseError,
        match=r"no module for the layer gru.0, whose reset gate comes before the product",
    ):
        export_model(save(tmp_path / "m", "gru, reset before"), "torch", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pytorch_has_no_layers_of_two_sizes(tmp_path: Path) -> None:
    with pytest.raises(TruesparseError, match=r"no module for the layers lstm.0 and lstm.1 together"):
        export_model(save(tmp_path / "m", "of two sizes"), "torch", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_values_that_are_not_finite(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = read(file)
    stored.matrices["lstm.0.weight_hh"].data[3] = np.nan
    monkeypatch.setattr(write, "read_model", lambda reader: stored)
    with pytest.raises(TruesparseError, match=r"lstm.0.weight_hh in .*m.safetensors has values that are not"):
        export_model(file, "c", tmp_path / "out")


def test_what_rounding_costs(tmp_path: Path, file: Path) -> None:
    (tmp_path / "text.txt").write_text("w1 w5 w9 w1 1 " * 100)
    report = export_model(file, "c", tmp_path / "a", dtype="int8", data=tmp_path / "text.txt")
    assert report["loss_reason"] is None
    assert 0 < abs(report["loss"] - report["loss_int8"]) < 0.05
    with pytest.raises(UsageError, match=r"none\.txt"):
        export_model(file, "c", tmp_path / "b", dtype="int8", data=tmp_path / "none.txt")
    assert not (tmp_path / "b").exists()
    assert "accuracy" not in report
    report = export_model(save(tmp_path / "n", vocabulary=False), "c", tmp_path / "b", dtype="int8")
    assert report["loss"] is None
    assert "has no vocabulary" in report["loss_reason"]


@pytest.mark.parametrize("kind", ["lstm", "unit"])
def test_what_is_measured_is_what_is_exported(tmp_path: Path, kind: str) -> None:
    """Where rows share their positions, weights lie in another order in training."""
    file, text = save(tmp_path / "m", kind), data_for(tmp_path, kind)
    report = export_model(file, "c", tmp_path / "out", dtype="int8", data=text)
    for dtype, name in (("float32", "loss"), ("int8", "loss_int8")):
        model = LanguageModel(as_exported(read(file), dtype))
        ids, stream = load_evaluation_text(text, model.vocabulary, "all"), model.stream()
        losses = [-stream.step(last)[token] for last, token in itertools.pairwise(ids)]
        assert report[name] == pytest.approx(np.mean(losses), abs=1e-4)


@pytest.mark.parametrize("kind", ["lstm", "last"])
def test_a_model_file_does_not_say_what_is_opened(tmp_path: Path, kind: str) -> None:
    """The folder of a run does, or the user."""
    foreign, run = tmp_path / "foreign", tmp_path / "run"
    foreign.mkdir()
    run.mkdir()
    saved = load_model(save(run / "model.safetensors", kind))
    os.mkfifo(tmp_path / "pipe")  # whoever opens it to read waits for ever
    task: type[Config] = LanguageModelConfig if saved.encoder is None else ClassifierConfig
    history = asdict(task.from_dict({"data": str(tmp_path / "pipe")}))
    for folder in (foreign, run):
        save_model(
            folder / "model.safetensors", saved.model, saved.vocabulary, saved.encoder, saved.labels, history
        )
    report = export_model(foreign / "model.safetensors", "c", tmp_path / "a", dtype="int8")
    assert "is not in the folder of its run" in report["loss_reason"]
    own = task.from_dict({"data": str(data_for(tmp_path, kind))})
    (run / "config.toml").write_text(own.to_toml())
    report = export_model(run, "c", tmp_path / "b", dtype="int8")
    assert report["loss_reason"] is None
    assert report["loss"] > 0


@pytest.mark.parametrize("kind", ["last", "mean"])
def test_what_rounding_costs_a_classifier(tmp_path: Path, kind: str) -> None:
    file = save(tmp_path / "m", kind)
    texts = data_for(tmp_path, kind)
    report = export_model(file, "c", tmp_path / "a", dtype="int8", data=texts)
    assert 0 < abs(report["loss"] - report["loss_int8"]) < 0.05
    assert report["accuracy"] == pytest.approx(report["accuracy_int8"], abs=0.1)
    # what is measured is what is exported
    stored = read(file)
    lines = [line.split(",") for line in texts.read_text().splitlines()[1:]]
    for dtype, name in (("float32", "loss"), ("int8", "loss_int8")):
        model = Classifier(as_exported(stored, dtype))
        rows = np.log(model.predict_proba([text for _, text in lines]))
        losses = [-row[model.labels.index(label)] for row, (label, _) in zip(rows, lines, strict=True)]
        assert report[name] == pytest.approx(np.mean(losses), abs=1e-5)
    report = export_model(file, "c", tmp_path / "b", dtype="int8")
    assert report["loss"] is None
    assert "give --data" in report["loss_reason"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def fail() -> None:
        with new_folder(out) as folder:
            (folder / "a").touch()
            assert not out.exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with new_folder(out) as folder:
        (folder / "a").touch()
    assert [path.name for path in out.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (tmp_path / "other").mkdir()
    assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)
    with pytest.raises(UsageError, match="exists; choose another --out"), new_folder(out):
        pass
    with new_folder(tmp_path / "other") as folder:  # an empty one
        (folder / "b").touch()
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["b"]


def test_folders_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file exists"), new_folder(tmp_path / "file"):
        pass
    with pytest.raises(TruesparseError, match="cannot make"), new_folder(tmp_path / "file" / "out"):
        pass
    with pytest.raises(TruesparseError, match="No space left"), new_folder(tmp_path / "out"):
        raise OSError(28, os.strerror(28))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_sizes_add_up(tmp_path: Path, file: Path) -> None:
    stored = read(file)
    report = export_model(file, "c", tmp_path / "out")
    positions = sum(math.prod(csr.shape) for csr in stored.matrices.values())
    assert report["dense_bytes"] == 4 * (positions + sum(bias.size for bias in stored.vectors.values()))
    assert report["files"]["model.c"] == (tmp_path / "out" / "model.c").stat().st_size


def test_a_description_of_what_is_no_unicode(file: Path, tmp_path: Path) -> None:
    """Under a key that nobody knows, which is kept."""
    with Reader(file) as reader:
        stored = read_model(reader).with_sparse_output()
    stored.document["vocabulary"]["note"] = "half a pair: \ud83d"
    write_scipy(stored, tmp_path)
    assert json.loads((tmp_path / "model.json").read_text()) == {
        "model": stored.chain.to_document(),
        "vocabulary": stored.document["vocabulary"],
    }
