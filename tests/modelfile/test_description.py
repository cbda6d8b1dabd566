from __future__ import annotations

import dataclasses

import pytest

from truesparse.errors import TruesparseError
from truesparse.modelfile import Architecture
from truesparse.modelfile.architecture import CELLS, PATTERNS
from truesparse.nn import spec
from truesparse.nn.spec import LanguageModelSpec, SequenceSpec
from truesparse.runtime.layers import LAYERS

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


def test_every_cell_is_known() -> None:
    assert spec.CELLS.keys() == CELLS.keys() == LAYERS.keys()
    assert all(CELLS[name].deep == cell.DEEP for name, cell in spec.CELLS.items())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_parameters_are_those_of_the_model_that_is_trained(cell: str, tied: bool, pattern: str) -> None:
    depth = 3 if CELLS[cell].deep else 1
    sizes = LanguageModelSpec(9, 6 if tied else 4, 6, 2, cell, depth, pattern, tied, 3)
    architecture = Architecture(**dataclasses.asdict(sizes))
    assert architecture.matrices == {name: shape for name, shape, _ in sizes.shapes}
    assert list(architecture.matrices) == [shape.name for shape in sizes.shapes]
    assert architecture.groups == {name: (blocks, sizes.groups[name]) for name, _, blocks in sizes.shapes}
    assert architecture.biases == sizes.bias_sizes
    assert architecture.layer_names == sizes.layer_names
    assert architecture.dense_parameters == sizes.dense_parameters


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_parameters_of_a_classifier(cell: str, sparse: bool) -> None:
    depth = 3 if CELLS[cell].deep else 1
    spec = SequenceSpec(9, 4, 6, 2, cell, depth, outputs=3, pooling="max", sparse_output=sparse)
    architecture = Architecture.from_document(
        CLASSIFIER | {"type": f"{cell}-classifier", "sparse_output": sparse, "depth": depth}, 20
    )
    assert list(architecture.matrices) == [shape.name for shape in spec.shapes]
    assert architecture.matrices == {name: shape for name, shape, _ in spec.shapes}
    assert architecture.biases == spec.bias_sizes
    assert architecture.dense_parameters == spec.dense_parameters
    assert SequenceSpec(cell=architecture.cell, **architecture.sizes) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": 1}, "it has one class"),
        ({"outputs": "2"}, "outputs is 2"),
        ({"pooling": "first"}, "its pooling is 'first'"),
        ({"pattern": "gate"}, "its pattern is 'gate'"),
        ({"pattern": ["unit"]}, "its pattern is"),
        ({"output_group": 1}, "'output_group' is unknown"),
        ({"pooling": ["last"]}, "its pooling is"),
        ({"sparse_output": None}, "sparse_output is neither true nor false"),
        ({"tied": False}, "'tied' is unknown"),
        ({"vocab_size": 0}, "vocab_size is 0"),
    ],
)
def test_classifiers_that_lie(change: dict[str, object], message: str) -> None:
    with pytest.raises(TruesparseError, match=message):
        Architecture.from_document(CLASSIFIER | change, 20)
    for key in ("outputs", "pooling", "sparse_output"):
        with pytest.raises(TruesparseError, match=f"'{key}' is missing"):
            Architecture.from_document({name: size for name, size in CLASSIFIER.items() if name != key}, 20)


def test_a_document_says_what_the_architecture_is() -> None:
    expected = Architecture("lstm", 9, 4, 6, 2)
    assert Architecture.from_document(SIZES, 12) == expected
    short = {key: value for key, value in SIZES.items() if key not in ("depth", "tied")}
    assert Architecture.from_document(short, 12) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "lstm"}, "its type is lstm"),
        ({"type": "lstm-tagger"}, "its type is lstm-tagger"),
        ({"type": 3}, "says nothing of its model"),
        ({"type": "gru-language-model"}, "its cell is 'gru', not lstm or rhn"),
        ({"colour": 2}, "'colour' is unknown"),
        ({"layers": 0}, "layers is 0"),
        ({"layers": True}, "layers is True"),
        ({"hidden_size": 6.0}, "hidden_size is 6.0"),
        ({"hidden_size": "6"}, "hidden_size is 6"),
        ({"hidden_size": None}, "hidden_size is None"),
        ({"vocab_size": 1 << 31}, "vocab_size is 2147483648"),
        ({"vocab_size": 10**4000}, "vocab_size is 10000000000000000000$"),
        ({"embedding_size": -4}, "embedding_size is -4"),
        ({"depth": 2}, "the cell lstm has no recurrence depth"),
        ({"output_group": 2}, "its groups of words leave some over"),
        ({"output_group": 0}, "output_group is 0"),
        ({"tied": 0}, "tied is neither true nor false"),
        ({"tied": True}, "weights of different sizes are tied"),
        ({"layers": (1 << 31) - 1}, "fewer tensors than layers"),
        ({"type": "rhn-language-model", "depth": 1 << 30}, "fewer tensors than layers"),
    ],
)
def test_documents_that_lie(change: dict[str, object], message: str) -> None:
    with pytest.raises(TruesparseError, match=message):
        Architecture.from_document(SIZES | change, 12)


def test_documents_that_lack_something() -> None:
    for key in ("vocab_size", "embedding_size", "hidden_size", "layers"):
        with pytest.raises(TruesparseError, match=f"'{key}' is missing"):
            Architecture.from_document({name: size for name, size in SIZES.items() if name != key}, 12)
    for nothing in (None, [], "lstm", 4):
        with pytest.raises(TruesparseError, match="says nothing of its model"):
            Architecture.from_document(nothing, 12)
