"""What follows from the layers of a chain, which chains there cannot be, and chains that no task builds."""

import json

import numpy as np
import pytest
from model_helpers import two_cells

from truesparse.errors import UsageError
from truesparse.layers import registry
from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.spec import Dropout, WordDropout
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.gru.spec import GRU
from truesparse.layers.layer import Layer
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import DropoutRates, language_model, sequence_model
from truesparse.layers.output.head import HeadLayer
from truesparse.layers.output.spec import Head, Softmax, SquaredError
from truesparse.layers.parts import part
from truesparse.layers.pool.spec import Pool
from truesparse.layers.rhn.spec import RHN
from truesparse.layers.spec import SEQUENCE, STEPS, TOKENS, Matrix, Signal, Vector
from truesparse.layers.standardize.spec import Standardize
from truesparse.layers.step import Step


def test_every_layer_that_is_known_is_computed_and_every_cell_has_a_step():
    for spec in registry.LAYERS.values():
        computing = part(spec, "layer")
        assert issubclass(computing, HeadLayer if issubclass(spec, Head) else Layer)
    assert registry.cells().keys() == {"lstm", "gru", "rhn", "on-lstm"}
    for spec in (*registry.cells().values(), Linear):
        assert issubclass(part(spec, "step"), Step)
    with pytest.raises(UsageError, match="there is no layer 'ltsm'; did you mean lstm"):
        registry.layer_type("ltsm")


def test_names_and_signals():
    places = two_cells().places
    assert [(place.name, *place.output[:2]) for place in places] == [
        ("word-dropout.0", TOKENS, 9),
        ("embedding", STEPS, 5),
        ("dropout.0", STEPS, 5),
        ("lstm.0", STEPS, 8),
        ("dropout.1", STEPS, 8),
        ("rhn.0", STEPS, 12),
        ("output", STEPS, 9),
    ]
    assert [place.given for place in places] == [
        Signal(TOKENS, 9), *(place.output for place in places[:-1])
    ]  # fmt: skip
    chain = ChainSpec(LSTM(4), LSTM(5), Pool(), SquaredError(2), features=3)
    assert [(place.name, *place.output[:2]) for place in chain.places] == [
        ("lstm.0", STEPS, 4), ("lstm.1", STEPS, 5), ("pool", SEQUENCE, 5), ("output", SEQUENCE, 2)
    ]  # fmt: skip
    assert chain.places[0].given == Signal(STEPS, 3)


def test_matrices_and_vectors():
    chain = two_cells(group=3)
    lstm, rhn = ("i", "f", "g", "o"), ("h", "t")
    assert chain.matrices == (
        Matrix("embedding.weight", (9, 5), used="lookup"),
        Matrix("lstm.0.weight_ih", (32, 5), lstm),
        Matrix("lstm.0.weight_hh", (32, 8), lstm, reads="state"),
        Matrix("rhn.0.weight_ih", (24, 8), rhn, 2),
        Matrix("rhn.0.weight_hh.0", (24, 12), rhn, 2, reads="state"),
        Matrix("rhn.0.weight_hh.1", (24, 12), rhn, 2, reads="state"),
        Matrix("rhn.0.weight_hh.2", (24, 12), rhn, 2, reads="state"),
        Matrix("output.weight", (9, 12), group=3),
    )
    assert chain.vectors == (
        Vector("lstm.0.bias", 32, lstm),
        Vector("rhn.0.bias.0", 24, rhn, {"t": -2.0}),
        Vector("rhn.0.bias.1", 24, rhn, {"t": -2.0}),
        Vector("rhn.0.bias.2", 24, rhn, {"t": -2.0}),
        Vector("output.bias", 9),
    )
    assert chain.shapes[1] == ("lstm.0.weight_ih", (32, 5), 4)
    assert chain.dense_parameters == 45 + 32 * 13 + 24 * 44 + 108
    assert sum(layer.matrix_count for layer in chain.layers) == len(chain.matrices)
    assert [place.state for place in chain.recurrent] == [{"lstm.0.h": 8, "lstm.0.c": 8}, {"rhn.0.h": 12}]
    assert chain.output_matrix == "output.weight"


def test_heads_once_a_sequence_dense_and_tied():
    pooled = ChainSpec(Embedding(9, 5), LSTM(5), Pool("mean"), Softmax(3))
    assert pooled.matrices[-1] == Matrix("output.weight", (3, 5), used="sequence")
    assert (pooled.per_step, pooled.pooling, pooled.units) == (False, "mean", 5)
    dense = ChainSpec(Embedding(9, 5), LSTM(5), Softmax(3, sparse=False))
    assert (dense.per_step, dense.pooling) == (True, "")
    assert "output.weight" not in [matrix.name for matrix in dense.matrices]
    assert dense.vectors[-2:] == (Vector("output.bias", 3), Vector("output.weight", 15, drawn=True))
    tied = ChainSpec(Embedding(9, 5), LSTM(5), Softmax(9, tied=True))
    assert tied.matrices[0] == Matrix("embedding.weight", (9, 5), used="step")
    assert len(tied.matrices) == 3
    assert tied.output_matrix == "embedding.weight"


class _Scores(Head):
    """A head that shares no name with the others."""

    TYPE = NAME = "scores"


@pytest.mark.parametrize(
    ("layers", "features", "sentence"),
    [
        ((), 0, "the last layer of a model must be a head, such as softmax"),
        ((), 3, "the last layer of a model must be a head, such as softmax"),
        ((Embedding(9, 5), LSTM(5)), 0, "the last layer of a model must be a head, such as softmax"),
        ((Embedding(9, 5), Softmax(9), LSTM(5)), 0, "the last layer of a model must be a head"),
        ((_Scores(5), LSTM(5), Softmax(9)), 3, "only the last layer of a model can be a head"),
        ((Softmax(5), Softmax(5)), 3, "only the last layer of a model can be a head"),
        ((LSTM(5), Softmax(9)), 0, "a model without an embedding must say how many features it reads"),
        ((Embedding(9, 5), Softmax(9)), 5, "a model with an embedding reads tokens; leave out its features"),
        ((LSTM(5), Softmax(9)), -1, "features of the model is -1; it must be at least 0"),
        ((LSTM(5), Softmax(9)), 2.5, "features of the model is 2.5; it must be a whole number"),
        ((Embedding(9, 5), Embedding(9, 5), Softmax(9)), 0, "a model can have only one layer embedding"),
        (
            (LSTM(5), Pool(), LSTM(5), Softmax(9)),
            3,
            "the layer lstm.1 cannot follow what gives one vector a sequence; it takes features at each step",
        ),
        ((LSTM(5), Embedding(9, 5), Softmax(9)), 0, "the layer lstm.0 cannot follow what gives tokens; it"),
        (
            (Dropout(0.5), Embedding(9, 5), Softmax(9)),
            0,
            "dropout.0 cannot follow what gives tokens; it takes features at each step or one vector",
        ),
        ((WordDropout(0.5), LSTM(5), Softmax(9)), 3, "word-dropout.0 cannot .* it takes tokens"),
        ((LSTM(5), Softmax(9, tied=True)), 3, "there is no embedding to tie the output layer to"),
        (
            (Embedding(9, 4), LSTM(5), Softmax(9, tied=True)),
            0,
            "the embedding has 4 and the hidden layer 5; give both the same size or leave out tied",
        ),
        (
            (Embedding(9, 5), LSTM(5), Softmax(8, tied=True)),
            0,
            "the 9 tokens of the embedding, in groups of 1, as outputs, not 8 in groups of 1",
        ),
        (
            (Embedding(9, 5, group=3), LSTM(5), Softmax(9, tied=True)),
            0,
            "the 9 tokens of the embedding, in groups of 3, as outputs, not 9 in groups of 1",
        ),
        ((LSTM(5), Standardize([0], [1]), Softmax(9)), 5, "only the first layer of a model can standardize"),
        (
            (Standardize([0], [1]), Embedding(9, 5), Softmax(9)),
            0,
            "standardize cannot follow what gives tokens",
        ),
        ((Standardize([0], [1]), LSTM(5), Softmax(9)), 2, "mean and scale of 1 features, but gets 2; give"),
    ],
)
def test_chains_that_cannot_be(layers, features, sentence):
    with pytest.raises(UsageError, match=sentence):
        ChainSpec(*layers, features=features)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Embedding(0, 5), "tokens of the layer embedding is 0; it must be at least 1$"),
        (lambda: Embedding(9, 1 << 31), "is 2147483648; it must be at least 1 and at most 2147483647"),
        (lambda: Embedding(9, 5, group=2), "9 cannot be cut into groups of 2"),
        (lambda: LSTM(5.0), "units of the layer lstm is 5.0; it must be a whole number"),
        (lambda: LSTM(5, "gate"), "pattern of the layer lstm is 'gate'; it must be weight or unit"),
        (lambda: GRU(5, reset_gate=1), "reset_gate of the layer gru is 1; it must be text"),
        (lambda: RHN(5, depth=0), "depth of the layer rhn is 0; it must be at least 1"),
        (lambda: RHN(5, dropout=1), "dropout of the layer rhn is 1.0; it must be at least 0 and below 1"),
        (lambda: Dropout(-0.1), "rate of the layer dropout is -0.1; it must be at least 0 and below 1"),
        (lambda: WordDropout("0"), "rate of the layer word-dropout is '0'; it must be a number"),
        (lambda: Linear(5, "gelu"), "layer linear is 'gelu'; it must be none, relu, tanh, selu or srelu"),
        (lambda: Linear(0), "units of the layer linear is 0; it must be at least 1"),
        (lambda: Pool("first"), "kind of the layer pool is 'first'; it must be last, mean or max"),
        (
            lambda: ChainSpec(Embedding(3, 4), LSTM(5), Pool(), Softmax(1)),
            "a softmax needs 2 or more outputs, not 1",
        ),
        (lambda: Softmax(9, tied=True, sparse=False), "tied to the embedding is sparse"),
        (lambda: Softmax(9, group=4), "9 cannot be cut into groups of 4"),
        (lambda: Standardize(0.5, [1]), "mean of the layer standardize is 0.5; it must be a list of numbers"),
        (lambda: Standardize((), ()), "the layer standardize needs mean and scale of each feature"),
        (lambda: Standardize([0, 1], [1]), "has 2 numbers as mean and 1 as scale"),
        (
            lambda: Standardize([0, np.nan], [1, 1]),
            "mean of the layer standardize, number 1, is nan; it must",
        ),
        (
            lambda: Standardize([0], [0]),
            "scale of the layer standardize, number 0, is 0.0; it must be above 0",
        ),
        (lambda: Standardize([0], [1e-40]), "scale 0 of the layer standardize is 1e-40; .* at least 1e-37"),
        (lambda: Standardize([1e30], [1e-30]), "mean 0 of the layer standardize is 1e.30, too far from 0"),
        (
            lambda: SquaredError(2, mean=[0], scale=[1]),
            "mean and scale of 1 numbers, but 2 outputs; give one",
        ),
        (
            lambda: sequence_model(0, 1, 2, 1, target_mean=[0]),
            "a classifier names classes, which have no mean",
        ),
        (lambda: language_model(9, 5, 5, 0), "layers must be at least 1, not 0"),
        (lambda: language_model(9, 5, 5, 1, transform_bias=1.0), "the cell lstm has no transform bias"),
    ],
)
def test_settings_that_cannot_be(make, sentence):
    with pytest.raises(UsageError, match=sentence):
        make()


def test_numbers_of_numpy_are_numbers():
    chain = ChainSpec(LSTM(np.int64(5)), Dropout(np.float32(0.5)), Softmax(np.uint8(9)), features=np.int32(3))
    assert chain == ChainSpec(LSTM(5), Dropout(0.5), Softmax(9), features=3)
    assert ChainSpec.from_document(json.loads(json.dumps(chain.to_document()))) == chain


def test_means_and_scales_are_in_a_document_where_there_are_some():
    """A document of a head without them is as it was before there were any."""
    assert SquaredError(2).to_document().keys() == {"type", "outputs", "sparse", "tied", "group"}
    scaling = {"target_mean": [5], "target_scale": np.array([0.25])}
    features = {"feature_mean": np.float32([0.1, 2]), "feature_scale": (0.5, 3)}
    chain = sequence_model(0, 2, 6, 1, kind="regressor", outputs=1, pooling="", **scaling, **features)
    assert chain.layers[0].mean == (float(np.float32(0.1)), 2.0)
    assert chain.head == SquaredError(1, sparse=False, mean=(5.0,), scale=(0.25,))
    read = ChainSpec.from_document(json.loads(json.dumps(chain.to_document())))
    assert read == chain
    assert read.layers[0].scale == (0.5, 3.0)


def test_chains_of_language_models():
    assert language_model(9, 5, 5, 2, tied=True, output_group=3, dropout=0.5) == ChainSpec(
        Embedding(9, 5, group=3),
        Dropout(0.5),
        LSTM(5),
        Dropout(0.5),
        LSTM(5),
        Dropout(0.5),
        Softmax(9, tied=True, group=3),
    )
    rates = DropoutRates(0.1, 0.2, 0.3, 0.4)
    assert language_model(9, 5, 6, 1, "rhn", "unit", depth=3, dropout=rates) == ChainSpec(
        WordDropout(0.1),
        Embedding(9, 5),
        Dropout(0.2, locked=True),
        RHN(6, "unit", depth=3, dropout=0.3),
        Dropout(0.4, locked=True),
        Softmax(9),
    )


def test_chains_of_models_of_sequences():
    assert sequence_model(9, 5, 6, 1, outputs=3, pooling="max", dropout=0.5) == ChainSpec(
        Embedding(9, 5), Dropout(0.5), LSTM(6), Pool("max"), Dropout(0.5), Softmax(3, sparse=False)
    )
    assert sequence_model(0, 5, 6, 1, kind="regressor", outputs=1, sparse_output=True) == ChainSpec(
        Dropout(), LSTM(6), Pool(), Dropout(), SquaredError(1), features=5
    )


@pytest.mark.parametrize(
    "chain",
    [
        language_model(1000, 30, 60, 2),
        language_model(1000, 60, 60, 1, "rhn", tied=True, depth=3),
        sequence_model(0, 7, 20, 2),
        sequence_model(1000, 20, 20, 1, sparse_output=True, pattern="unit"),
        ChainSpec(Embedding(500, 20), LSTM(40), RHN(60, depth=2), Softmax(9)),
        ChainSpec(Embedding(500, 20), Softmax(9)),
        ChainSpec(Embedding(500, 20), LSTM(40), Linear(30, "relu"), Softmax(9)),
    ],
)
def test_chains_of_a_given_number_of_weights(chain):
    for factor in (0.3, 1.0, 2.5):
        count = round(factor * chain.dense_parameters)
        found = chain.with_parameters(count)
        assert found.tokens == chain.tokens
        assert found.features == chain.features
        assert found.head == chain.head
        error = abs(found.dense_parameters - count)
        for units in (found.units - 1, found.units + 1):
            assert error <= abs(chain.resized(units, chain.units).dense_parameters - count)
        if factor == 1:
            assert found == chain
        for layer, former in zip(found.layers, chain.layers, strict=True):
            if isinstance(former, Embedding):
                assert layer.size == max(1, round(former.size * found.units / chain.units))


def test_numbers_of_weights_that_cannot_be():
    with pytest.raises(UsageError, match="a dense model of one unit has more than 100 weights, namely 2,008"):
        language_model(1000, 30, 30, 1).with_parameters(100)
    for head in (Softmax(9), Softmax(9, sparse=False)):
        with pytest.raises(UsageError, match="no layer of this model has a size that could change"):
            ChainSpec(head, features=4).with_parameters(1000)
