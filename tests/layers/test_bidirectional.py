"""Layers of two directions: what follows from their cells, and what they are refused for."""

import numpy as np
import pytest
from oracles import random_panels

import truesparse as ts
from truesparse.errors import UsageError
from truesparse.kernels.buffers import aligned_copy
from truesparse.kernels.reverse import reverse_steps
from truesparse.layers.bidirectional.spec import Bidirectional
from truesparse.layers.chain import ChainSpec
from truesparse.layers.models import language_model, sequence_model
from truesparse.layers.spec import Signal
from truesparse.sparse.panels import Panels

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


@pytest.mark.parametrize(("steps", "batch"), [(7, 3), (5, 70), (1, 4)])
def test_steps_are_reversed_within_the_length_of_each_sequence(steps, batch):
    rng = np.random.default_rng(steps)
    panels, one = Panels(steps + 3, batch), Panels(1, batch)
    lengths = rng.integers(0, steps + 1, batch).astype(np.int32)
    placed = aligned_copy(np.zeros((one.panels, one.lanes), np.float32))
    one.place(placed[:, None], lengths[None, None].astype(np.float32))
    x, y = (random_panels(panels.panels, rows, panels.lanes, rng) for rows in (5, 4))
    before = y.copy()
    run = reverse_steps(panels.step_lanes, panels.lanes)
    for add in (False, True):
        run(y, 1, x, 2, 3, placed, steps, add)
    for step in range(steps):
        old, new = panels.step(before, step), panels.step(y, step)
        np.testing.assert_array_equal(old[0], new[0])
        for lane, length in enumerate(lengths):
            other = length - 1 - step if step < length else step
            np.testing.assert_array_equal(new[1:, lane], 2 * panels.step(x, other)[2:, lane])
