from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from export.conftest import read
from hypothesis import given
from hypothesis import strategies as st

from truesparse import runtime
from truesparse.errors import TruesparseError, UsageError
from truesparse.export import export_model
from truesparse.export.imported import import_model, keep_largest
from truesparse.export.imported_names import read_vocabulary
from truesparse.layers.chain import ChainSpec
from truesparse.layers.gru.spec import GRU
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.output.spec import Softmax, SquaredError
from truesparse.layers.pool.spec import Pool

pytestmark = pytest.mark.usefixtures("command")

Tensors = dict[str, np.ndarray]
V, E, H = 11, 5, 6


def state_dict(inputs: int = E, layers: int = 2, prefix: str = "rnn.", gates: int = 4) -> Tensors:
    rng = np.random.default_rng(1)

    def tensor(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    tensors = {"encoder.weight": tensor(V, inputs)}
    for layer in range(layers):
        tensors |= {
            f"{prefix}weight_ih_l{layer}": tensor(gates * H, inputs if layer == 0 else H),
            f"{prefix}weight_hh_l{layer}": tensor(gates * H, H),
            f"{prefix}bias_ih_l{layer}": tensor(gates * H),
            f"{prefix}bias_hh_l{layer}": tensor(gates * H),
        }
    return tensors | {"decoder.weight": tensor(V, H), "decoder.bias": tensor(V)}


def write(folder: Path, tensors: Tensors) -> Path:
    safetensors.numpy.save_file(tensors, folder / "dense.safetensors")
    return folder / "dense.safetensors"


def convert(folder: Path, tensors: Tensors, density: float = 1.0, **options: str) -> Path:
    out = folder / "out.safetensors"
    out.unlink(missing_ok=True)
    import_model(write(folder, tensors), out, density, **options)  # type: ignore[arg-type]
    return out


def test_every_weight_has_its_place(tmp_path: Path) -> None:
    tensors = state_dict()
    stored = read(convert(tmp_path, tensors))
    dense = {name: csr.to_dense() for name, csr in stored.matrices.items()}
    np.testing.assert_array_equal(dense["embedding.weight"], tensors["encoder.weight"])
    np.testing.assert_array_equal(dense["lstm.1.weight_hh"], tensors["rnn.weight_hh_l1"])
    np.testing.assert_array_equal(dense["output.weight"], tensors["decoder.weight"])
    np.testing.assert_array_equal(stored.vectors["output.bias"], tensors["decoder.bias"])
    np.testing.assert_array_equal(
        stored.vectors["lstm.0.bias"], tensors["rnn.bias_ih_l0"] + tensors["rnn.bias_hh_l0"]
    )


def test_the_biases_of_a_gru(tmp_path: Path) -> None:
    """The reset gate multiplies one of those of the candidate, which must stay apart."""
    tensors = state_dict(gates=3)
    stored = read(convert(tmp_path, tensors))
    assert [place.spec for place in stored.chain.recurrent] == [GRU(H), GRU(H)]
    both = tensors["rnn.bias_ih_l1"] + tensors["rnn.bias_hh_l1"]
    np.testing.assert_array_equal(stored.vectors["gru.1.bias"][: 2 * H], both[: 2 * H])
    np.testing.assert_array_equal(stored.vectors["gru.1.bias"][2 * H :], tensors["rnn.bias_ih_l1"][2 * H :])
    np.testing.assert_array_equal(stored.vectors["gru.1.bias_hn"], tensors["rnn.bias_hh_l1"][2 * H :])
    np.testing.assert_array_equal(stored.matrices["gru.0.weight_ih"].to_dense(), tensors["rnn.weight_ih_l0"])


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_what_is_exported_comes_back(tmp_path: Path, cell: str) -> None:
    pytest.importorskip("torch")
    gates = {"LSTM": 4, "GRU": 3}[cell]
    file = convert(tmp_path, state_dict(gates=gates), 0.4)
    export_model(file, "torch", tmp_path / "exported")
    import_model(tmp_path / "exported" / "model.pt", tmp_path / "back", 0.4)
    first, second = read(file), read(tmp_path / "back")
    assert first.chain == second.chain
    for name, csr in first.matrices.items():
        np.testing.assert_array_equal(csr.to_dense(), second.matrices[name].to_dense())
    for name, vector in first.vectors.items():
        np.testing.assert_array_equal(vector, second.vectors[name])


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_the_model_computes_what_pytorch_computes(tmp_path: Path, cell: str) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Module()
    module.words = torch.nn.Embedding(V, E)
    module.layers = getattr(torch.nn, cell)(E, H, 2)
    module.head = torch.nn.Linear(H, V)
    path = tmp_path / "m.pt"
    for contents in (module.state_dict(), {"epoch": 3, "state_dict": module.state_dict()}):
        torch.save(contents, path)
        (tmp_path / "out").unlink(missing_ok=True)
        import_model(path, tmp_path / "out", 1.0)
        tokens = np.array([1, 7, 3, 3])
        with torch.inference_mode():
            expected = module.head(module.layers(module.words(torch.from_numpy(tokens)))[0])[-1]
        stream = runtime.load(tmp_path / "out").stream()
        stream.read(tokens)
        np.testing.assert_allclose(stream.logits(), expected.numpy(), atol=1e-6)

    torch.save(module, path)  # a module is code, which is not run
    with pytest.raises(
        TruesparseError, match=r"m.pt needs torch.nn.* is not run; write it with torch.save\(module"
    ):
        import_model(path, tmp_path / "other", 1.0)


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
@pytest.mark.parametrize("pooling", [None, "mean", "max"])
def test_a_classifier_computes_what_pytorch_computes(tmp_path: Path, cell: str, pooling: str | None) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Module()
    module.words = torch.nn.Embedding(V, E)
    module.layers = getattr(torch.nn, cell)(E, H, 2)
    module.head = torch.nn.Linear(H, 3)
    torch.save(module.state_dict(), tmp_path / "m.pt")
    import_model(tmp_path / "m.pt", tmp_path / "out", 1.0, pooling=pooling)
    tokens = np.array([1, 7, 3, 3])
    with torch.inference_mode():
        outputs = module.layers(module.words(torch.from_numpy(tokens)))[0]
        pooled = {"mean": outputs.mean(0), "max": outputs.amax(0)}.get(pooling or "", outputs[-1])
        expected = torch.log_softmax(module.head(pooled), 0)
    said = runtime.load_classifier(tmp_path / "out").log_probabilities([tokens])[0]
    np.testing.assert_allclose(said, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
@pytest.mark.parametrize("pooling", ["last", "mean", "none"])
def test_both_directions_compute_what_pytorch_computes(tmp_path: Path, cell: str, pooling: str) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Module()
    module.words = torch.nn.Embedding(V, E)
    module.layers = getattr(torch.nn, cell)(E, H, 2, bidirectional=True)
    module.head = torch.nn.Linear(2 * H, 3)
    torch.save(module.state_dict(), tmp_path / "m.pt")
    words = tmp_path / "words.txt"
    words.write_text("<unk>\n" + "".join(f"w{number}\n" for number in range(1, V)))
    import_model(tmp_path / "m.pt", tmp_path / "out", 1.0, pooling=pooling, vocabulary=words)
    tokens = np.array([1, 7, 3, 3])
    with torch.inference_mode():
        y = module.layers(module.words(torch.from_numpy(tokens)))[0]
        ends = {"last": torch.cat((y[-1, :H], y[0, H:])), "mean": y.mean(0), "none": y}[pooling]
        expected = torch.log_softmax(module.head(ends), -1).numpy()
    model = runtime.load(tmp_path / "out")
    assert not isinstance(model, runtime.LanguageModel)
    np.testing.assert_allclose(model.log_probabilities([tokens])[0], expected, atol=1e-6)

    if pooling == "none":
        with pytest.raises(UsageError, match="a tagger has to know its tokens; give --vocabulary"):
            import_model(tmp_path / "m.pt", tmp_path / "other", 1.0, pooling=pooling)
    module.head = torch.nn.Linear(2 * H, V)
    torch.save(module.state_dict(), tmp_path / "m.pt")
    with pytest.raises(TruesparseError, match="a language model cannot read in both directions"):
        import_model(tmp_path / "m.pt", tmp_path / "other", 1.0)


def test_one_logistic_unit_becomes_two_classes(tmp_path: Path) -> None:
    tensors = state_dict() | {
        "decoder.weight": np.ones((1, H), np.float32),
        "decoder.bias": np.ones(1, np.float32),
    }
    stored = read(convert(tmp_path, tensors))
    assert stored.chain.head.outputs == 2
    assert stored.matrices["output.weight"].to_dense().tolist() == [[0.0] * H, [1.0] * H]
    assert stored.vectors["output.bias"].tolist() == [0.0, 1.0]


def test_features_and_numbers(tmp_path: Path) -> None:
    tensors = state_dict()
    del tensors["encoder.weight"]
    stored = read(convert(tmp_path, tensors))
    assert stored.chain == ChainSpec(LSTM(H), LSTM(H), Pool(), Softmax(V), features=E)
    file = convert(tmp_path, tensors, pooling="none", numbers=True)  # type: ignore[arg-type]
    assert read(file).chain == ChainSpec(LSTM(H), LSTM(H), SquaredError(V), features=E)


def test_the_largest_weights_are_kept(tmp_path: Path) -> None:
    tensors = state_dict()
    out = tmp_path / "deep" / "out.safetensors"
    report = import_model(write(tmp_path, tensors), out, 0.25)
    stored = read(out)
    for name, source in (("lstm.0.weight_ih", "rnn.weight_ih_l0"), ("output.weight", "decoder.weight")):
        dense = tensors[source]
        kept = stored.matrices[name].to_dense()
        count = round(0.25 * dense.size)
        assert np.count_nonzero(kept) == stored.matrices[name].data.size == count
        limit = np.sort(np.abs(dense).reshape(-1))[-count]
        np.testing.assert_array_equal(kept, np.where(np.abs(dense) >= limit, dense, 0))
        row = report["matrices"][name]
        assert (row["nnz"], row["shape"]) == (count, list(dense.shape))
        assert row["kept"] == pytest.approx((kept**2).sum() / (dense**2).sum())


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.001, 1))
def test_keep_largest(rows: int, columns: int, density: float) -> None:
    dense = np.random.default_rng(1).integers(-2, 3, (rows, columns)).astype(np.float32)
    csr = keep_largest(dense, density)
    count = max(1, round(density * dense.size))
    assert csr.data.size == csr.indptr[-1] == count
    np.testing.assert_array_equal(csr.data, dense[csr.rows, csr.indices])
    assert sorted(np.abs(csr.data)) == sorted(np.abs(dense).reshape(-1))[-count:]
    assert len(set(zip(csr.rows, csr.indices, strict=True))) == count


def test_what_may_be_missing_and_how_things_may_be_called(tmp_path: Path) -> None:
    tensors = state_dict()
    for name in list(tensors):
        if "bias" in name:
            del tensors[name]
    stored = read(convert(tmp_path, tensors))
    assert not any(bias.any() for bias in stored.vectors.values())

    tied = state_dict(H)
    tied["decoder.weight"] = tied["encoder.weight"].copy()
    assert read(convert(tmp_path, tied)).chain.head.tied
    del tied["decoder.weight"]
    assert read(convert(tmp_path, tied)).chain.head.tied

    same_sizes = state_dict(H)  # by their names
    dense = read(convert(tmp_path, same_sizes)).matrices["output.weight"].to_dense()
    np.testing.assert_array_equal(dense, same_sizes["decoder.weight"])
    same_sizes["a"], same_sizes["b"] = same_sizes.pop("encoder.weight"), same_sizes.pop("decoder.weight")
    with pytest.raises(TruesparseError, match="is the embedding layer's: a or b could be it"):
        convert(tmp_path, same_sizes)
    stored = read(convert(tmp_path, same_sizes, embedding="a", output="b"))
    np.testing.assert_array_equal(stored.matrices["output.weight"].to_dense(), same_sizes["b"])
    with pytest.raises(UsageError, match=r"has no matrix 'c' for --embedding; its matrices are a, b"):
        convert(tmp_path, same_sizes, embedding="c")
    assert len(read(convert(tmp_path, state_dict(layers=1, prefix=""))).chain.recurrent) == 1


def changed(**changes: np.ndarray | None) -> Tensors:
    tensors = state_dict() | {name.replace("__", "."): array for name, array in changes.items()}  # type: ignore[operator]
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


ONES = np.ones((4 * H, H), np.float32)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": ONES}, "has no LSTM or GRU; it needs weight_ih_l0"),
        (changed(rnn__weight_hh_l0_reverse=ONES), "has no weight_ih_l0_reverse, so its LSTM or GRU is not"),
        (changed(rnn__weight_hr_l0=ONES), r"LSTM with projections \(rnn.weight_hr_l0\)"),
        (
            changed(other__weight_hh_l0=ONES),
            "has 2 recurrent modules, 'other.', 'rnn.', but only one",
        ),
        (changed(rnn__weight_ih_l1=None), "has no weight_ih_l1, so its LSTM or GRU is not"),
        (
            changed(rnn__weight_hh_l0=np.ones((3 * H, H), np.float32)),
            "shape .24, 5. in .*, not .18, 5.",
        ),
        (
            changed(rnn__weight_hh_l0=np.ones((H, H), np.float32)),
            "has an nn.RNN, and only an LSTM or GRU",
        ),
        (
            changed(rnn__weight_hh_l0=np.ones((5 * H, H), np.float32)),
            "no model of an LSTM or GRU",
        ),
        (changed(rnn__weight_hh_l0=np.ones(H, np.float32)), "weight_hh_l0 in .* is no matrix"),
        (changed(rnn__weight_hh_l0=np.array(1, np.float32)), "weight_hh_l0 in .* is no matrix"),
        (changed(rnn__weight_hh_l0_raw=ONES), "has rnn.weight_hh_l0_raw, from which a weight is computed"),
        (
            changed(rnn__parametrizations__weight_hh_l0__original=ONES, rnn__weight_hh_l0=None),
            "original, from which a weight is computed",
        ),
        (changed(rnn__weight_hh_l0_orig=ONES, rnn__weight_hh_l0_mask=ONES[:3]), "has the shape .3, 6., not"),
        (changed(rnn__bias_hh_l0=np.ones(3, np.float32)), "biases of different sizes in layer 0"),
        (changed(norm__weight=np.ones(H, np.float32)), "has norm.weight, for which"),
        (changed(decoder__weight=np.ones((V + 1, H), np.float32)), "has decoder.bias, for which"),
        (changed(decoder__weight=None), "has no matrix for the output layer"),
        (changed(decoder__bias=np.full(V, np.nan, np.float32)), "not finite in what is to be output.bias"),
    ],
)
def test_models_that_are_something_else(tmp_path: Path, tensors: Tensors, message: str) -> None:
    with pytest.raises(TruesparseError, match=message):
        convert(tmp_path, tensors)
    assert not (tmp_path / "out.safetensors").exists()


def test_what_pruning_in_pytorch_has_masked_is_0(tmp_path: Path) -> None:
    tensors = state_dict()
    whole = tensors.pop("rnn.weight_hh_l0")
    mask = (np.abs(whole) > 0.6).astype(np.float32)
    tensors |= {"rnn.weight_hh_l0_orig": whole, "rnn.weight_hh_l0_mask": mask}
    stored = read(convert(tmp_path, tensors))
    np.testing.assert_array_equal(stored.matrices["lstm.0.weight_hh"].to_dense(), whole * mask)


def test_names_that_all_begin_alike(tmp_path: Path) -> None:
    """What they begin with is no hint to what a layer is."""
    same_sizes = state_dict(H)
    wrapped = {f"module.decoder.{name}": tensor for name, tensor in same_sizes.items()}
    dense = read(convert(tmp_path, wrapped)).matrices["embedding.weight"].to_dense()
    np.testing.assert_array_equal(dense, same_sizes["encoder.weight"])
    names = {"embedding": "module.decoder.decoder.weight", "output": "encoder.weight"}
    dense = read(convert(tmp_path, wrapped, **names)).matrices["embedding.weight"].to_dense()
    np.testing.assert_array_equal(dense, same_sizes["decoder.weight"])


def test_arguments(tmp_path: Path) -> None:
    path = write(tmp_path, state_dict())
    for density in (0, -1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="--density is"):
            import_model(path, tmp_path / "out", density)
    with pytest.raises(UsageError, match="exists; choose another --out"):
        import_model(path, path, 0.5)
    with pytest.raises(TruesparseError, match=r"cannot read .*none.safetensors: No such file"):
        import_model(tmp_path / "none.safetensors", tmp_path / "out", 0.5)
    (tmp_path / "bad.safetensors").write_text("nothing")
    with pytest.raises(TruesparseError, match="holds no state dict"):
        import_model(tmp_path / "bad.safetensors", tmp_path / "out", 0.5)


def test_vocabularies(tmp_path: Path) -> None:
    def vocabulary(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    words = [f"w{number}" for number in range(V)]
    path = write(tmp_path, state_dict())
    import_model(path, tmp_path / "a", 0.5, vocabulary("words.txt", "\n".join(words) + "\n"))
    model = runtime.load(tmp_path / "a")
    assert (model.vocabulary.tokens, model.vocabulary.level) == (tuple(words), "word")
    assert read_vocabulary(vocabulary("list.json", json.dumps(words))).tokens == tuple(words)
    numbered = {word: number for number, word in reversed(list(enumerate(words)))}
    assert read_vocabulary(vocabulary("object.json", json.dumps(numbered))).tokens == tuple(words)
    characters = read_vocabulary(vocabulary("characters.json", json.dumps(["a", "\n", "ü"])))
    assert (characters.tokens, characters.level) == (("a", "\n", "ü"), "char")

    for name, text, message in (
        ("few.txt", "a\nb", "few.txt has 2 tokens, the embedding of .* 11"),
        ("bad.json", "[", "is not valid JSON"),
        ("twice.txt", "a\na", "the token 'a' twice"),
        ("gap.json", '{"a": 0, "b": 2}', "does not number its 2 tokens from 0 on"),
        ("number.json", "3", "neither a list of tokens nor"),
        ("numbers.json", "[1, 2]", "neither a list of tokens nor"),
    ):
        with pytest.raises(TruesparseError, match=message):
            import_model(path, tmp_path / "b", 0.5, vocabulary(name, text))
    with pytest.raises(TruesparseError, match=r"there is no file .*none.txt"):
        import_model(path, tmp_path / "b", 0.5, tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes(b"\xff")
    with pytest.raises(TruesparseError, match=r"latin.txt is not UTF-8 text"):
        import_model(path, tmp_path / "b", 0.5, tmp_path / "latin.txt")
