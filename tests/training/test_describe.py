from __future__ import annotations

import numpy as np
import pytest

from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.gru.spec import GRU
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import language_model
from truesparse.layers.output.spec import Softmax
from truesparse.model import random_model
from truesparse.training.describe import describe


def test_a_recurrent_highway_network() -> None:
    spec = language_model(30, 8, 8, 1, tied=True, cell="rhn", depth=3)
    description = describe(spec, random_model(spec, 0.5, np.random.default_rng(1)).arena)
    assert description["gates"] == ["h", "t"]
    assert description["total"]["biases"] == 3 * 16 + 30
    assert description["total"]["dense_flops"] == 2 * (4 * 16 * 8 + 30 * 8)
    assert {len(row["density_per_gate"]) for row in description["matrices"][1:]} == {2}


def test_gates_are_those_of_each_matrix() -> None:
    chain = ChainSpec(Embedding(9, 4), LSTM(4), GRU(4), Softmax(9))
    description = describe(chain, random_model(chain, 0.5, np.random.default_rng(1)).arena)
    gates = {row["name"]: row["gates"] for row in description["matrices"]}
    assert gates["lstm.0.weight_ih"] == gates["lstm.0.weight_hh"] == ["i", "f", "g", "o"]
    assert gates["gru.0.weight_ih"] == gates["gru.0.weight_hh"] == ["r", "z", "n"]
    assert gates["embedding.weight"] == gates["output.weight"] == []
    assert description["gates"] == ["i", "f", "g", "o", "r", "z", "n"]


@pytest.mark.parametrize("tied", [False, True])
def test_totals(tied: bool) -> None:
    model = random_model(language_model(30, 8, 8, 1, tied=tied), 0.25, np.random.default_rng(1))
    description = describe(model.chain, model.arena)
    rows = {row["name"]: row for row in description["matrices"]}
    total = description["total"]
    assert total["nnz"] == sum(row["nnz"] for row in rows.values()) == model.arena.nnz
    assert total["dense_parameters"] == (1 if tied else 2) * 30 * 8 + 2 * 32 * 8
    assert total["biases"] == 32 + 30
    # Both LSTM matrices and the output layer are multiplied with, the embedding is looked up.
    assert total["dense_flops"] == 2 * (2 * 32 * 8 + 30 * 8)
    assert total["flops"] == 2 * (total["nnz"] - (0 if tied else rows["embedding.weight"]["nnz"]))
    hh = rows["lstm.0.weight_hh"]
    assert hh["bytes"] == hh["nnz"] * (4 + 2) + 33 * 8
    assert np.mean(hh["density_per_gate"]) == pytest.approx(hh["density"])
