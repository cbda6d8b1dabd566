"""Models of Keras, which `keras_helpers` writes as Keras 3 does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export.conftest import read
from keras_helpers import Arrays, config, fill, whole_file

from truesparse import runtime
from truesparse.errors import TruesparseError, UsageError
from truesparse.export.imported import import_model
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.gru.spec import GRU
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.output.spec import Softmax, SquaredError
from truesparse.layers.pool.spec import Pool

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.usefixtures("command")

V, E, H = 11, 5, 4
RNG = np.random.default_rng(1)


def array(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


TABLE = array(V, E)
LAYERS: dict[str, list[np.ndarray]] = {
    "lstm": [array(E, 4 * H), array(H, 4 * H), array(4 * H)],
    "gru": [array(E, 3 * H), array(H, 3 * H), array(2, 3 * H)],
    "before": [array(E, 3 * H), array(H, 3 * H), array(3 * H)],
    "second": [array(H, 3 * H), array(H, 3 * H), array(2, 3 * H)],
}
DENSE = [array(H, 3), array(3)]


def weights_file(folder: Path, layers: Arrays) -> Path:
    path = folder / "m.weights.h5"
    with h5py.File(path, "w") as file:
        fill(file, layers)
    return path


def convert(path: Path, density: float = 1.0, **more: Any) -> Path:
    out = path.parent / "out.safetensors"
    out.unlink(missing_ok=True)
    import_model(path, out, density, **more)
    return out


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def keras_lstm(x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """As keras/src/layers/rnn/lstm.py has it, in float64: outputs of shape (T, H)."""
    h = c = np.zeros(len(recurrent))
    outputs = []
    for row in x:
        i, f, g, o = np.split(row @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


def keras_gru(x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """As keras/src/layers/rnn/gru.py has it, with the reset after the product where there are two biases."""
    h = np.zeros(len(recurrent))
    outputs = []
    for row in x:
        if bias.ndim == 2:
            xz, xr, xh = np.split(row @ kernel + bias[0], 3)
            hz, hr, hh = np.split(h @ recurrent + bias[1], 3)
            candidate = np.tanh(xh + sigmoid(xr + hr) * hh)
        else:
            xz, xr, xh = np.split(row @ kernel + bias, 3)
            rz, rr, rh = np.split(recurrent, 3, axis=1)
            hz, hr = h @ rz, h @ rr
            candidate = np.tanh(xh + (sigmoid(xr + hr) * h) @ rh)
        z = sigmoid(xz + hz)
        h = z * h + (1 - z) * candidate
        outputs.append(h)
    return np.array(outputs)


TOKENS = np.array([3, 1, 10, 4, 4])


def log_softmax(scores: np.ndarray) -> np.ndarray:
    return scores - np.log(np.exp(scores - scores.max()).sum()) - scores.max()


@pytest.mark.parametrize("kind", ["lstm", "gru", "before"])
@pytest.mark.parametrize("pooling", [None, "mean", "max"])
def test_a_classifier_of_weights_computes_what_keras_computes(
    tmp_path: Path, kind: str, pooling: str | None
) -> None:
    name = "lstm" if kind == "lstm" else "gru_3"
    path = weights_file(tmp_path, {"dense": DENSE, "embedding": [TABLE], name: LAYERS[kind], "dropout": []})
    model = runtime.load_classifier(convert(path, pooling=pooling))
    run = keras_lstm if kind == "lstm" else keras_gru
    outputs = run(TABLE[TOKENS], *LAYERS[kind])
    pooled = {"mean": outputs.mean(axis=0), "max": outputs.max(axis=0)}.get(pooling or "", outputs[-1])
    expected = log_softmax(pooled @ DENSE[0] + DENSE[1])
    np.testing.assert_allclose(model.log_probabilities([TOKENS])[0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("whole", [True, False])
def test_both_directions(tmp_path: Path, kind: str, whole: bool) -> None:
    backward = [array(*own.shape) for own in LAYERS[kind]]
    last = [array(2 * H, 3), array(3)]
    layers = {"embedding": [TABLE], "bidirectional": [*LAYERS[kind], *backward], "dense": last}
    path = weights_file(tmp_path, layers)
    listed = [
        config("Embedding", "a"),
        config(
            "Bidirectional", "b", merge_mode="concat", layer=config(kind.upper(), "f", return_sequences=False)
        ),
        config("Dense", "c", activation="softmax"),
    ]
    if whole:
        path = whole_file(tmp_path, listed, layers, {"embedding": "a", "bidirectional": "b", "dense": "c"})
    run = keras_lstm if kind == "lstm" else keras_gru
    x = TABLE[TOKENS]
    ends = np.append(run(x, *LAYERS[kind])[-1], run(x[::-1], *backward)[-1])
    said = runtime.load_classifier(convert(path)).log_probabilities([TOKENS])[0]
    np.testing.assert_allclose(said, log_softmax(ends @ last[0] + last[1]), atol=1e-5)
    listed[1]["config"]["merge_mode"] = "sum"
    with pytest.raises(TruesparseError, match="has merge_mode 'sum', which has no place"):
        convert(whole_file(tmp_path, listed, layers, {"embedding": "a", "bidirectional": "b", "dense": "c"}))


def test_a_language_model_of_two_layers(tmp_path: Path) -> None:
    output = [array(H, V), array(V)]
    layers = {"dense": output, "embedding": [TABLE], "gru_10": LAYERS["second"], "gru_9": LAYERS["gru"]}
    file = convert(weights_file(tmp_path, layers))
    stream = runtime.load_language_model(file).stream()
    top = keras_gru(keras_gru(TABLE[TOKENS], *LAYERS["gru"]), *LAYERS["second"])
    np.testing.assert_allclose(stream.read(TOKENS), log_softmax(top[-1] @ output[0] + output[1]), atol=1e-5)
    assert read(file).chain.head == Softmax(V)


def test_a_whole_file_says_how_its_layers_follow(tmp_path: Path) -> None:
    hidden, last = [array(H, 6), array(6)], [array(6, 1), array(1)]
    listed = [
        config("InputLayer", "input"),
        config("Embedding", "words", mask_zero=True),
        config("SpatialDropout1D", "drop"),
        config("LSTM", "reader", return_sequences=True, activation="tanh"),
        config("GlobalMaxPooling1D", "most"),
        config("Dense", "between", activation="relu"),
        config("Dense", "yes", activation="sigmoid"),
    ]
    names = {"embedding": "words", "lstm": "reader", "dense": "between", "dense_1": "yes"}
    layers = {"embedding": [TABLE], "lstm": LAYERS["lstm"], "dense": hidden, "dense_1": last}
    path = whole_file(tmp_path, listed, layers, names)
    file = convert(path)
    layers_here = (Embedding(V, E), LSTM(H), Pool("max"), Linear(6, "relu"), Softmax(2, sparse=False))
    assert read_chain(file) == ChainSpec(*layers_here)
    pooled = keras_lstm(TABLE[TOKENS], *LAYERS["lstm"]).max(axis=0)
    said = sigmoid(np.maximum(pooled @ hidden[0] + hidden[1], 0) @ last[0] + last[1])
    log_probabilities = runtime.load_classifier(file).log_probabilities([TOKENS])[0]
    np.testing.assert_allclose(np.exp(log_probabilities), [1 - said[0], said[0]], atol=1e-5)
    with pytest.raises(UsageError, match="--pooling is for weights alone"):
        convert(path, pooling="mean")
    with pytest.raises(UsageError, match="--output is for a state dict"):
        convert(path, output="a")


def test_numbers(tmp_path: Path) -> None:
    layers = {"gru": LAYERS["gru"], "dense": [array(H, 2), array(2)]}
    chain = read_chain(convert(weights_file(tmp_path, layers), numbers=True, pooling="mean"))
    assert chain == ChainSpec(GRU(H), Pool("mean"), SquaredError(2, sparse=False), features=E)


def read_chain(file: Path) -> ChainSpec:
    from truesparse.modelfile import Reader, read_model

    with Reader(file) as reader:
        return read_model(reader).chain


@pytest.mark.parametrize(
    ("loss", "units", "activation", "head"),
    [
        ("mse", 2, "linear", SquaredError(2, sparse=False)),
        (None, 1, "linear", SquaredError(1, sparse=False)),
        ("sparse_categorical_crossentropy", 3, "linear", Softmax(3, sparse=False)),
        ({"class_name": "BinaryCrossentropy"}, 1, "linear", Softmax(2, sparse=False)),
        (None, 3, "softmax", Softmax(3, sparse=False)),
    ],
)
def test_what_the_last_layer_is_for(
    tmp_path: Path, loss: Any, units: int, activation: str, head: Any
) -> None:
    """Of features; the layer may have no biases."""
    listed = [config("GRU", "g", reset_after=False), config("Dense", "d", activation=activation)]
    layers = {"gru": LAYERS["before"], "dense": [array(H, units)]}
    listed[0]["config"]["return_sequences"] = False
    file = convert(whole_file(tmp_path, listed, layers, {"gru": "g", "dense": "d"}, loss))
    assert read_chain(file) == ChainSpec(GRU(H, reset_gate="before"), Pool("last"), head, features=E)


def test_labels_and_words(tmp_path: Path) -> None:
    path = weights_file(tmp_path, {"embedding": [TABLE], "lstm": LAYERS["lstm"], "dense": DENSE})
    words = tmp_path / "words.txt"
    words.write_text("\n".join(["", "[UNK]", *(f"w{number}" for number in range(9))]) + "\n")
    labels = tmp_path / "labels.json"
    labels.write_text('["a", "<script>", "c"]')
    model = runtime.load_classifier(convert(path, vocabulary=words, labels=labels))
    assert model.labels == ("a", "<script>", "c")
    assert model.encoder is not None
    assert model.encoder.encode("w3 what").tolist() == [5, 1]
    assert runtime.load_classifier(convert(path, vocabulary=words)).labels == ("0", "1", "2")
    labels.write_text('["a", "a", "c"]')
    with pytest.raises(TruesparseError, match=r"has 2 different labels, but .* has 3"):
        convert(path, vocabulary=words, labels=labels)
    with pytest.raises(UsageError, match="--labels does not go with"):
        convert(path, labels=labels)
    words.write_text("\n".join(f"w{number}" for number in range(11)))
    with pytest.raises(TruesparseError, match="has no token for unknown words"):
        convert(path, vocabulary=words)


GOOD: Arrays = {"embedding": [TABLE], "lstm": LAYERS["lstm"], "dense": DENSE}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"bidirectional": [], **GOOD}, "has recurrent layers of several kinds"),
        ({**{k: v for k, v in GOOD.items() if k != "lstm"}, "bidirectional": []}, "has not the arrays"),
        ({"simple_rnn": [TABLE], **GOOD}, "of the kind SimpleRnn"),
        ({**GOOD, "dense_1": DENSE}, "has several dense layers"),
        ({**GOOD, "gru": LAYERS["gru"]}, "recurrent layers of several kinds"),
        ({"embedding": [TABLE], "lstm": LAYERS["lstm"]}, "does not end with a Dense layer"),
        ({**GOOD, "lstm": LAYERS["lstm"][:1]}, "'lstm' of .*, LSTM, has not the arrays"),
        ({**GOOD, "lstm": LAYERS["gru"]}, "which are no LSTM"),
        ({**GOOD, "dense": [array(H + 1, 3)]}, r"output.weight has shape \(3, 5\) in"),
        ({**GOOD, "dense": [array(H, 3), np.full(3, np.nan)]}, "not finite in what is to be output.bias"),
        ({}, "has no LSTM|is no file of weights"),
    ],
)
def test_weights_that_are_something_else(tmp_path: Path, layers: Arrays, message: str) -> None:
    with pytest.raises(TruesparseError, match=message):
        convert(weights_file(tmp_path, layers))
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"activation": "relu"}, "'b' of .* has activation 'relu', which has no place"),
        ({"recurrent_activation": "hard_sigmoid"}, "recurrent_activation 'hard_sigmoid'"),
        ({"go_backwards": True}, "go_backwards True"),
        ({"inbound_nodes": ["a", "x"]}, "reads 'a', 'x', and only layers in a row"),
    ],
)
def test_whole_models_that_are_something_else(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    nodes = changed.pop("inbound_nodes", [])
    listed = [
        config("Embedding", "a"),
        {
            **config("LSTM", "b", **changed),
            "inbound_nodes": [{"args": [{"keras_history": [n]}]} for n in nodes],
        },
        config("Dense", "c", activation="softmax"),
    ]
    names = {"embedding": "a", "lstm": "b", "dense": "c"}
    with pytest.raises(TruesparseError, match=message):
        convert(whole_file(tmp_path, listed, GOOD, names))
    listed[1] = config("LSTM", "b")
    listed[2]["config"]["activation"] = "sigmoid"
    with pytest.raises(TruesparseError, match="has the activation sigmoid of 3 outputs"):
        convert(whole_file(tmp_path, listed, GOOD, names))


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.keras"
    path.write_text("nothing")
    with pytest.raises(TruesparseError, match="is no whole file of Keras 3"):
        convert(path)
    good = weights_file(tmp_path, GOOD).read_bytes()
    cut = tmp_path / "cut.weights.h5"
    cut.write_bytes(good[: len(good) // 2])
    with pytest.raises(TruesparseError, match="is no whole file of Keras 3"):
        convert(cut)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["model_weights"] = 1
    with pytest.raises(TruesparseError, match="files of Keras 2"):
        convert(tmp_path / "old.h5")
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("layers/embedding/vars/0", (1 << 20, 1 << 10), np.float32, chunks=(64, 64))
    with pytest.raises(TruesparseError, match="but would take 4,294,967,296"):
        convert(tmp_path / "huge.h5")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file.require_group("layers/embedding/vars")["0"] = h5py.ExternalLink("m.weights.h5", "layers")
    with pytest.raises(TruesparseError, match="points to other files"):
        convert(tmp_path / "link.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(TruesparseError, match=r'install it with: pip install "truesparse\[keras\]"'):
        convert(tmp_path / "m.weights.h5")


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "before"])
@pytest.mark.parametrize("kind", ["keras", "weights.h5"])
@pytest.mark.parametrize("both", [False, True])
def test_against_keras_itself(tmp_path: Path, cell: str, kind: str, both: bool) -> None:
    keras = pytest.importorskip("keras")
    layers = keras.layers
    own: dict[str, Any] = {} if cell == "LSTM" else {"reset_after": cell == "GRU"}
    one = layers.LSTM if cell == "LSTM" else layers.GRU

    def recurrent(**own: Any) -> Any:
        layer = one(H, bias_initializer="random_normal", **own)
        return layers.Bidirectional(layer) if both else layer

    module = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(V, E),
            recurrent(return_sequences=True, **own),
            layers.Dropout(0.3),
            recurrent(**own),
            layers.Dense(3, activation="softmax", bias_initializer="random_normal"),
        ]
    )
    path = tmp_path / f"m.{kind}"
    module.save(path) if kind == "keras" else module.save_weights(path)
    expected = np.asarray(module.predict(TOKENS[None], verbose=0))[0]
    said = np.exp(runtime.load_classifier(convert(path)).log_probabilities([TOKENS])[0])
    np.testing.assert_allclose(said, expected, atol=1e-5)
