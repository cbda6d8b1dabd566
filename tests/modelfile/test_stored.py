from __future__ import annotations

from pathlib import Path

import numpy as np

from truesparse.data import TextEncoder, Vocabulary
from truesparse.layers.models import sequence_model
from truesparse.model import random_model
from truesparse.model.saving import save_model
from truesparse.modelfile import Reader, read_model


def test_a_dense_output_layer_can_be_had_as_a_matrix(tmp_path: Path) -> None:
    words = Vocabulary(("<unk>", "a"), "word", True)
    for sparse in (False, True):
        spec = sequence_model(2, 3, 4, 1, outputs=3, sparse_output=sparse)
        model = random_model(spec, 0.5, np.random.default_rng(1))
        save_model(tmp_path / "m", model, words, TextEncoder(words, 7), ("x", "y", "z"))
        with Reader(tmp_path / "m") as reader:
            stored = read_model(reader)
        if sparse:
            assert stored.with_sparse_output() is stored
            continue
        made = stored.with_sparse_output()
        weights = stored.vectors["output.weight"]
        np.testing.assert_array_equal(made.matrices["output.weight"].to_dense(), weights.reshape(3, 4))
        assert "output.weight" not in made.vectors
        assert made.matrices.keys() == {matrix.name for matrix in made.chain.matrices}
        assert made.vectors.keys() == {vector.name for vector in made.chain.vectors}
        assert made.nnz == stored.nnz + 12
