"""Layers of two directions: what follows from their cells, and what they are refused for."""

import numpy as np
import pytest

import truesparse as ts
from truesparse.errors import UsageError
from truesparse.layers.bidirectional.spec import Bidirectional
from truesparse.layers.chain import ChainSpec
from truesparse.layers.models import language_model, sequence_model
from truesparse.layers.spec import Signal

CHAIN = sequence_model(30, 6, 5, 2, "gru", outputs=3, bidirectional=True, reset_gate="before")


def test_parameters_are_those_of_two_cells():
    own = ["forward.weight_ih", "forward.weight_hh", "backward.weight_ih", "backward.weight_hh"]
    names = [matrix.name for matrix in CHAIN.matrices]
    assert names == ["embedding.weight", *(f"gru.{layer}.{name}" for layer in (0, 1) for name in own)]
    assert [matrix.shape for matrix in CHAIN.matrices[5:7]] == [(15, 10), (15, 5)]
    assert [vector.name for vector in CHAIN.vectors][:2] == ["gru.0.forward.bias", "gru.0.backward.bias"]
    assert CHAIN.places[-1].given == Signal("sequence", 10, 5)
    assert CHAIN.gates["gru.1.backward.weight_hh"] == ("r", "z", "n")
    assert (CHAIN.units, CHAIN.whole, len(CHAIN.recurrent)) == (5, True, 2)
    assert not any(place.spec.state for place in CHAIN.places)
    assert sum(layer.matrix_count for layer in CHAIN.layers) == len(names)
    assert CHAIN.with_parameters(1000).dense_parameters == pytest.approx(1000, rel=0.15)
    assert CHAIN.with_parameters(4000).dense_parameters == pytest.approx(4000, rel=0.1)


def test_documents():
    assert ChainSpec.from_document(CHAIN.to_document()) == CHAIN
    layer = Bidirectional(ts.RHN(4, depth=2, transform_bias=-1.0))
    document = layer.to_document()
    assert (document["type"], document["cell"], document["depth"]) == ("bidirectional", "rhn", 2)
    assert Bidirectional.from_document(document) == layer
    for wrong, sentence in (
        ({"cell": "bidirectional"}, "has the cell 'bidirectional', which is unknown"),
        ({"cell": None}, "has the cell None"),
        ({"units": 0}, "units of the layer rhn is 0"),
        ({"other": 1}, "the layer rhn has no setting 'other'"),
    ):
        with pytest.raises(UsageError, match=sentence):
            Bidirectional.from_document({**document, **wrong})


def test_what_cannot_be():
    with pytest.raises(UsageError, match="a recurrent layer, as LSTM"):
        Bidirectional(Bidirectional(ts.LSTM(3)))
    with pytest.raises(UsageError, match="a recurrent layer, as LSTM"):
        Bidirectional(ts.Linear(3))
    with pytest.raises(UsageError, match="a language model cannot read in both directions"):
        language_model(9, 3, 3, 1, bidirectional=True)
    model = ts.Chain(ts.Embedding(9, 4), Bidirectional(ts.LSTM(4)), ts.Softmax(9)).init(1.0)
    windows = ts.Windows(np.arange(90, dtype=np.int32) % 9, batch_size=3, bptt=4)
    with pytest.raises(UsageError, match="carries no state from one window to the next"):
        ts.fit(model, windows, ts.adam(), "static", epochs=1)
