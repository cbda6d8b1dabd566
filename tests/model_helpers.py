"""Small language models with windows, for tests of what they compute."""

from __future__ import annotations

from functools import partial

import numpy as np

from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.spec import Dropout, WordDropout
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import DropoutRates, language_model
from truesparse.layers.output.spec import Softmax
from truesparse.layers.rhn.spec import RHN
from truesparse.model import random_model

# Kernels are compiled for a number of lanes. The first window takes 4 x 16, and all others 20 x 4 with two
# lanes unused in most of them, so that few kernels serve all cases; a cell of another depth has others too.
CASES = {
    "stacked": {"chain": partial(language_model, 30, 7, 9, 2), "density": 0.4, "window": (9, 3), "steps": 9},
    "tied": {
        "chain": partial(language_model, 12, 6, 6, 1, tied=True),
        "density": 0.5,
        "window": (5, 18),
        "steps": 5,
    },
    "dense": {"chain": partial(language_model, 12, 5, 8, 1), "density": 1.0, "window": (5, 18), "steps": 5},
    "short window": {
        "chain": partial(language_model, 12, 5, 8, 2),
        "density": 0.3,
        "window": (30, 20),
        "steps": 7,
    },
    "batch in blocks": {
        "chain": partial(language_model, 9, 4, 5, 1),
        "density": 0.6,
        "window": (3, 39),
        "steps": 3,
    },
    "unit": {
        "chain": partial(language_model, 30, 7, 9, 2, pattern="unit", output_group=3),
        "density": 0.4,
        "window": (5, 18),
        "steps": 5,
    },
    "unit, tied, short window": {
        "chain": partial(language_model, 12, 6, 6, 1, tied=True, pattern="unit", output_group=4),
        "density": 0.5,
        "window": (30, 20),
        "steps": 7,
    },
    "unit, batch in blocks": {
        "chain": partial(language_model, 9, 4, 5, 1, pattern="unit"),
        "density": 0.6,
        "window": (3, 39),
        "steps": 3,
    },
    "rhn": {
        "chain": partial(language_model, 20, 7, 9, 2, cell="rhn", depth=3),
        "density": 0.4,
        "window": (5, 18),
        "steps": 5,
    },
    "rhn, tied, short window": {
        "chain": partial(language_model, 12, 6, 6, 1, tied=True, cell="rhn", depth=3),
        "density": 0.5,
        "window": (30, 20),
        "steps": 7,
    },
    "rhn, dense, depth 1": {
        "chain": partial(language_model, 12, 5, 8, 1, cell="rhn", depth=1),
        "density": 1.0,
        "window": (5, 18),
        "steps": 5,
    },
    "rhn, unit": {
        "chain": partial(language_model, 20, 7, 9, 2, cell="rhn", depth=3, pattern="unit", output_group=2),
        "density": 0.4,
        "window": (5, 18),
        "steps": 5,
    },
    "rhn, unit, batch in blocks": {
        "chain": partial(language_model, 9, 4, 5, 1, cell="rhn", depth=3, pattern="unit"),
        "density": 0.6,
        "window": (3, 39),
        "steps": 3,
    },
    "rhn, batch in blocks": {
        "chain": partial(language_model, 9, 4, 5, 1, cell="rhn", depth=3),
        "density": 0.6,
        "window": (3, 39),
        "steps": 3,
    },
    "on-lstm": {
        "chain": partial(language_model, 20, 7, 12, 2, cell="on-lstm", chunk_size=3),
        "density": 0.4,
        "window": (5, 18),
        "steps": 5,
    },
    "on-lstm, unit, batch in blocks": {
        "chain": partial(language_model, 9, 4, 6, 1, cell="on-lstm", chunk_size=2, pattern="unit"),
        "density": 0.6,
        "window": (3, 39),
        "steps": 3,
    },
    "gru": {
        "chain": partial(language_model, 20, 7, 9, 2, cell="gru"),
        "density": 0.4,
        "window": (5, 18),
        "steps": 5,
    },
    "gru, tied, short window": {
        "chain": partial(language_model, 12, 6, 6, 1, tied=True, cell="gru"),
        "density": 0.5,
        "window": (30, 20),
        "steps": 7,
    },
    "gru, unit": {
        "chain": partial(language_model, 20, 7, 9, 2, cell="gru", pattern="unit", output_group=2),
        "density": 0.4,
        "window": (5, 18),
        "steps": 5,
    },
    "gru, unit, batch in blocks": {
        "chain": partial(language_model, 9, 4, 5, 1, cell="gru", pattern="unit"),
        "density": 0.6,
        "window": (3, 39),
        "steps": 3,
    },
    "gru, batch in blocks": {
        "chain": partial(language_model, 9, 4, 5, 1, cell="gru"),
        "density": 0.6,
        "window": (3, 39),
        "steps": 3,
    },
    "gru, reset before": {
        "chain": partial(language_model, 20, 7, 9, 2, cell="gru", reset_gate="before"),
        "density": 0.4,
        "window": (5, 18),
        "steps": 5,
    },
    "gru, reset before, short window": {
        "chain": partial(language_model, 12, 5, 8, 1, cell="gru", reset_gate="before"),
        "density": 0.5,
        "window": (30, 20),
        "steps": 7,
    },
    "gru, reset before, unit": {
        "chain": partial(language_model, 20, 7, 9, 2, cell="gru", reset_gate="before", pattern="unit"),
        "density": 0.4,
        "window": (5, 18),
        "steps": 5,
    },
    "gru, reset before, unit, batch in blocks": {
        "chain": partial(language_model, 9, 4, 5, 1, cell="gru", reset_gate="before", pattern="unit"),
        "density": 0.6,
        "window": (3, 39),
        "steps": 3,
    },
    "gru, reset before, batch in blocks": {
        "chain": partial(language_model, 9, 4, 5, 1, cell="gru", reset_gate="before"),
        "density": 0.6,
        "window": (3, 39),
        "steps": 3,
    },
}


def make(case, seed=0, dropout=0.0):
    """A model with random biases, a window, and a random hidden state."""
    chain, (steps, batch) = case["chain"](dropout=dropout), case["window"]
    rng = np.random.default_rng(seed)
    model = random_model(chain, case["density"], rng, scale=0.6)
    for bias in model.arena.biases.values():
        bias[...] = rng.uniform(-0.3, 0.3, bias.shape)
    state = model.zero_state(batch)
    state.load({k: rng.uniform(-0.5, 0.5, v.shape).astype(np.float32) for k, v in state.arrays().items()})
    ids = rng.integers(0, chain.tokens, (case["steps"], batch)).astype(np.int32)
    targets = rng.integers(0, chain.tokens, ids.shape).astype(np.int32)
    return model, model.workspace(steps, batch), state, ids, targets


def positions(matrix):
    """Row and column of every weight, in the order in which they are stored."""
    groups = np.repeat(np.arange(matrix.indptr.size - 1), np.diff(matrix.indptr))
    row_step, member_step = matrix.row_steps
    rows = groups[:, None] * row_step + np.arange(matrix.group) * member_step
    return rows.ravel(), np.repeat(matrix.indices.astype(int), matrix.group)


ALL_KINDS = DropoutRates(0.2, 0.5, 0.3, 0.4)


def two_cells(**head):
    """Cells of two kinds and sizes, the second wider than the first."""
    return ChainSpec(
        WordDropout(0.1),
        Embedding(9, 5),
        Dropout(0.2, True),
        LSTM(8),
        Dropout(0.3, True),
        RHN(12, "unit", depth=3, dropout=0.4),
        Softmax(9, **head),
    )
