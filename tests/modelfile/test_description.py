from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import model_helpers
import pytest

from truesparse.errors import TruesparseError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.spec import Dropout, WordDropout
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import DropoutRates, language_model, sequence_model
from truesparse.layers.output.spec import Softmax, SquaredError
from truesparse.layers.pool.spec import Pool
from truesparse.layers.rhn.spec import RHN
from truesparse.modelfile.description import read_chain

# Documents of version 0.1
SIZES = {
    "type": "lstm-language-model",
    "vocab_size": 9,
    "embedding_size": 4,
    "hidden_size": 6,
    "layers": 2,
    "tied": False,
    "depth": 1,
}
CLASSIFIER = {
    **{name: size for name, size in SIZES.items() if name != "tied"},
    "type": "lstm-classifier",
    "outputs": 3,
    "pooling": "max",
    "sparse_output": False,
}

# Documents of this version
CHAINS = {
    **{name: case["chain"](dropout=0.25) for name, case in model_helpers.CASES.items()},
    "classifier": sequence_model(9, 4, 6, 2, outputs=3, pooling="mean", dropout=0.5),
    "regressor": sequence_model(0, 4, 6, 1, kind="regressor", outputs=1, sparse_output=True),
    "kinds of dropout": language_model(9, 4, 6, 1, "rhn", depth=2, dropout=DropoutRates(0.1, 0.2, 0.3, 0.4)),
    "other transform bias": language_model(9, 4, 6, 1, "rhn", depth=2, transform_bias=-0.5),
    "two cells": ChainSpec(Embedding(9, 4), LSTM(8), Dropout(0.5), RHN(12, "unit", depth=2), Softmax(9)),
    "linear": ChainSpec(
        Embedding(9, 4), LSTM(8), Pool(), Linear(5, "tanh"), Linear(3), Softmax(9, tied=False)
    ),
    "tagger": ChainSpec(LSTM(8, "unit"), Softmax(5), features=3),
    "numbers": ChainSpec(Embedding(9, 4), RHN(3, depth=1), Pool("max"), SquaredError(2), features=0),
}
DOCUMENT = language_model(9, 4, 6, 1).to_document()


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_a_chain_comes_back_from_its_document(chain: ChainSpec) -> None:
    document = json.loads(json.dumps(chain.to_document()))
    assert read_chain(document, len(chain.matrices)) == chain
    assert read_chain(document, 100).matrices == chain.matrices


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "rhn"])
@pytest.mark.parametrize("pattern", ["weight", "unit"])
def test_language_models_of_version_0_1(cell: str, tied: bool, pattern: str) -> None:
    own: dict[str, Any] = {"depth": 3} if cell == "rhn" else {}
    document = {
        **SIZES, "type": f"{cell}-language-model", "embedding_size": 6, "tied": tied, "pattern": pattern,
        "output_group": 3, **own,
    }  # fmt: skip
    chain = language_model(9, 6, 6, 2, cell, pattern, tied, 3, **own)
    assert read_chain(document, 100) == chain


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "rhn"])
def test_classifiers_of_version_0_1(cell: str, sparse: bool) -> None:
    own: dict[str, Any] = {"depth": 3} if cell == "rhn" else {}
    document = {**CLASSIFIER, "type": f"{cell}-classifier", "sparse_output": sparse, **own}
    chain = sequence_model(9, 4, 6, 2, cell, outputs=3, pooling="max", sparse_output=sparse, **own)
    assert read_chain(document, 100) == chain


def test_what_version_0_1_may_leave_out() -> None:
    short = {key: value for key, value in SIZES.items() if key not in ("depth", "tied")}
    assert read_chain(short, 12) == read_chain(SIZES, 12) == language_model(9, 4, 6, 2)
    highway = read_chain(short | {"type": "rhn-language-model"}, 12)
    assert highway == language_model(9, 4, 6, 2, "rhn", depth=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": 1}, "a softmax needs 2 or more outputs, not 1"),
        ({"outputs": "2"}, "outputs of the layer softmax is '2'; it must be a whole number"),
        ({"pooling": "first"}, "kind of the layer pool is 'first'; it must be last, mean or max"),
        ({"pattern": "gate"}, "pattern of the layer lstm is 'gate'; it must be weight or unit"),
        ({"pattern": ["unit"]}, r"pattern of the layer lstm is \['unit'\]; it must be text"),
        ({"output_group": 1}, "'output_group' is unknown"),
        ({"pooling": ["last"]}, r"kind of the layer pool is \['last'\]; it must be text"),
        ({"sparse_output": None}, "'sparse_output' is missing"),
        ({"sparse_output": 1}, "sparse of the layer softmax is 1; it must be true or false"),
        ({"tied": False}, "'tied' is unknown"),
        ({"kind": "regressor"}, "'kind' is unknown"),
        ({"vocab_size": 0}, "vocab_size is 0"),
    ],
)
def test_classifiers_of_version_0_1_that_lie(change: dict[str, object], message: str) -> None:
    with pytest.raises(TruesparseError, match=message):
        read_chain(CLASSIFIER | change, 20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "lstm"}, "its type is lstm"),
        ({"type": "lstm-tagger"}, "its type is lstm-tagger"),
        ({"type": "lstm-" + "x" * 1000}, "its type is lstm-x{35}$"),
        ({"type": 3}, "does not describe its model"),
        ({"type": "qrnn-language-model"}, "there is no cell 'qrnn'; use lstm, gru, rhn or on-lstm"),
        ({"colour": 2}, "'colour' is unknown"),
        ({"x" * 1000: 2}, r"'x+\.\.\. \(1,002 characters\) is unknown"),
        ({"dropout": 0.5}, "'dropout' is unknown"),
        ({"transform_bias": 0.5}, "'transform_bias' is unknown"),
        ({"layers": 0}, "layers is 0"),
        ({"layers": True}, "layers is True"),
        ({"hidden_size": 6.0}, "units of the layer lstm is 6.0; it must be a whole number"),
        ({"hidden_size": "6"}, "units of the layer lstm is '6'; it must be a whole number"),
        ({"hidden_size": None}, "'hidden_size' is missing"),
        ({"vocab_size": 1 << 31}, "is 2147483648; it must be at least 1 and at most 2147483647"),
        ({"vocab_size": 10**4000}, r"tokens of the layer embedding is 10{79}\.\.\. \(4,001 characters\)"),
        ({"embedding_size": -4}, "size of the layer embedding is -4; it must be at least 1$"),
        ({"depth": 2}, "the cell lstm has no depth; leave it out"),
        ({"output_group": 2}, "a vocabulary of 9 cannot be cut into groups of 2"),
        ({"output_group": 0}, "group of the layer embedding is 0; it must be at least 1"),
        ({"tied": 0}, "tied of the layer softmax is 0; it must be true or false"),
        ({"tied": True}, "the embedding has 4 and the hidden layer 6; give both the same size"),
        ({"layers": (1 << 31) - 1}, "layers is 2147483647"),
        ({"type": "rhn-language-model", "depth": 1 << 30}, "depth is 1073741824"),
        ({"type": "rhn-language-model", "depth": 12, "layers": 12}, "fewer tensors than layers"),
    ],
)
def test_language_models_of_version_0_1_that_lie(change: dict[str, object], message: str) -> None:
    with pytest.raises(TruesparseError, match=message):
        read_chain(SIZES | change, 12)


def test_documents_that_lack_something() -> None:
    for key in ("vocab_size", "embedding_size", "hidden_size", "layers"):
        with pytest.raises(TruesparseError, match=f"'{key}' is missing"):
            read_chain({name: size for name, size in SIZES.items() if name != key}, 12)
    for key in ("outputs", "pooling", "sparse_output"):
        with pytest.raises(TruesparseError, match=f"'{key}' is missing"):
            read_chain({name: size for name, size in CLASSIFIER.items() if name != key}, 12)
    for nothing in (None, [4], "lstm", 4, {"layers": 3}):
        with pytest.raises(TruesparseError, match="does not describe its model"):
            read_chain(nothing, 12)


def without_embedding(document: Any, **others: Any) -> None:
    del document["layers"][0]
    document.update(others)


LIES: dict[str, Callable[[Any], object]] = {
    "has no list of layers": lambda d: d.update(layers=[3]),
    "model's document has no list of layers": lambda d: d["layers"].append({"units": 3}),
    "'colour', which is unknown": lambda d: d.update(colour=1),
    "there is no layer 'conv'; the layers are": lambda d: d["layers"][2].update(type="conv"),
    "there is no layer 'embeding'; did you mean embedding": lambda d: d["layers"][0].update(type="embeding"),
    "there is no layer 'x{40}';": lambda d: d["layers"][0].update(type="x" * 1000),
    "the layer embedding has no setting 'colour'": lambda d: d["layers"][0].update(colour=1),
    "the layer embedding lacks its size": lambda d: d["layers"][0].pop("size"),
    "the layer lstm lacks its pattern": lambda d: d["layers"][2].pop("pattern"),
    "the layer lstm lacks its dropout_weights": lambda d: d["layers"][2].pop("dropout_weights"),
    "size of the layer embedding is 0; it must be at least 1$": lambda d: d["layers"][0].update(size=0),
    "units of the layer lstm is 2.5; it must be a whole number": lambda d: d["layers"][2].update(units=2.5),
    "units of the layer lstm is None": lambda d: d["layers"][2].update(units=None),
    "rate of the layer dropout is 1.0; it must be at least 0 and below 1": (
        lambda d: d["layers"][1].update(rate=1)
    ),
    "rate of the layer dropout is nan": lambda d: d["layers"][1].update(rate=float("nan")),
    "locked of the layer dropout is 'yes'; it must be true or false": (
        lambda d: d["layers"][1].update(locked="yes")
    ),
    "transform_bias of the layer rhn is 1000.0; it must be at least -100 and at most 100": (
        lambda d: d["layers"].insert(2, RHN(3, depth=1).to_document() | {"transform_bias": 1e3})
    ),
    "leave out its features": lambda d: d.update(features=3),
    "features of the model is -3; it must be at least 0": lambda d: d.update(features=-3),
    "features of the model is True; it must be a whole number": lambda d: d.update(features=True),
    "features of the model is 3.0; it must be a whole number": lambda d: d.update(features=3.0),
    "must say how many features it reads": without_embedding,
    "features of the model is 10+; it must be at least 0 and at most 2147483647": (
        lambda d: without_embedding(d, features=10**30)
    ),
    "it has fewer tensors than layers": lambda d: d["layers"].insert(
        2, RHN(3).to_document() | {"depth": 1 << 30}
    ),
    "is of no model: it has fewer tensors": lambda d: d.update(layers=d["layers"][1:2] * 1000),
    "the last layer of a model must be a head": lambda d: d["layers"].pop(),
    "the last layer of a model must be": lambda d: without_embedding(d, layers=[], features=2),
    "model must be a head, such as softmax": lambda d: d["layers"].reverse(),
    "dropout.0 cannot follow what gives tokens": lambda d: d["layers"].insert(0, Dropout(0.5).to_document()),
    "lstm.0 cannot follow what gives one vector a sequence": lambda d: d["layers"].insert(
        1, Pool("last").to_document()
    ),
    "word-dropout.0 cannot follow what gives features at each step; it takes tokens": (
        lambda d: d["layers"].insert(1, WordDropout(0.5).to_document())
    ),
    "only one layer embedding": lambda d: d["layers"].insert(1, d["layers"][0]),
    "tied weights need equal sizes": lambda d: d["layers"][-1].update(tied=True),
}


@pytest.mark.parametrize(("message", "lie"), LIES.items(), ids=LIES)
def test_documents_that_lie(message: str, lie: Callable[[Any], object]) -> None:
    document = copy.deepcopy(DOCUMENT)
    lie(document)
    with pytest.raises(TruesparseError, match=message) as error:
        read_chain(document, 8)
    assert str(error.value).startswith("is of no model: ")
    assert len(str(error.value)) < 300


def test_a_document_with_as_many_tensors_as_layers_is_read() -> None:
    assert read_chain(DOCUMENT, 4) == language_model(9, 4, 6, 1)
    with pytest.raises(TruesparseError, match="fewer tensors"):
        read_chain(DOCUMENT, 3)
