"""Epochs of the same text classifier dense, without masks, in Keras 3 on TensorFlow, JAX or PyTorch."""

from __future__ import annotations

import os
from importlib.metadata import packages_distributions, version
from typing import Any

import keras
import numpy as np

from truesparse.bench.text_epochs import SparseEpochs
from truesparse.errors import TruesparseError
from truesparse.model import Model
from truesparse.tasks.classifier.settings import ClassifierConfig

# Compilers make a program for each length of a batch. With lengths that are multiples of this IMDB has 25.
_STEPS = 16


class KerasEpochs:
    """Training with `train_on_batch` and Adam; `KERAS_BACKEND` says on what.

    Keras decides itself whether it compiles. Texts of a batch are of like length, and all are read to a
    multiple of 16 words; the state after the last word of each goes on.

    Parameters
    ----------
    config : ClassifierConfig
        Filled in. The model starts with the weights of the sparse model.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        if keras.__version__.startswith(("1.", "2.")):
            raise TruesparseError(f"Keras is {keras.__version__}; install Keras 3: pip install -U keras")
        keras.utils.set_random_seed(config.seed)
        sparse = SparseEpochs(config)
        self._batches, self._epochs = sparse.batches, 0
        self._model = _model(sparse.model, config.dropout)
        settings = config.optimizer_settings
        adam = keras.optimizers.Adam(settings.lr, epsilon=1e-8, global_clipnorm=settings.clip or None)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
        self._model.compile(adam, loss)

    def loss(self) -> float:
        """The mean loss of the first batch, without dropout."""
        return float(self._model.test_on_batch(*self._batch(0, 0)))

    def tune(self) -> None:
        """Let Keras compile what an epoch needs."""
        shapes = {}
        for k in range(len(self._batches)):
            shapes[self._batch(0, k)[0][0].shape] = k
        for k in shapes.values():
            self._train(0, k)

    def step(self) -> None:
        """An epoch."""
        for k in range(len(self._batches)):
            self._train(self._epochs, k)
        self._epochs += 1

    def facts(self) -> dict[str, Any]:
        """Return the facts about this side for the report."""
        backend = keras.backend.backend()
        package, *_ = packages_distributions()[backend]  # TensorFlow comes in several
        return {
            "threads": int(os.environ["OMP_NUM_THREADS"]),
            "keras": keras.__version__,
            backend: version(package),
        }

    def _train(self, epoch: int, k: int) -> None:
        self._model.train_on_batch(*self._batch(epoch, k))

    def _batch(self, epoch: int, k: int) -> Any:
        """Words, shape (B, T), and lengths; labels."""
        batch = self._batches.batch(epoch, k)
        assert batch.lengths is not None
        ids = np.maximum(batch.inputs.T, 0)
        ids = np.pad(ids, ((0, 0), (0, -ids.shape[1] % _STEPS)))
        return (ids, batch.lengths.astype(np.int32)), batch.targets


def _model(sparse: Model, dropout: float) -> Any:
    """The layers, with the weights of a sparse model."""
    chain, layers = sparse.chain, keras.layers
    ids, lengths = keras.Input((None,), dtype="int32"), keras.Input((), dtype="int32")
    embedding = layers.Embedding(chain.tokens, chain.recurrent[0].given.size)
    lstms = [layers.LSTM(chain.units, return_sequences=True) for _ in chain.recurrent]
    output = layers.Dense(chain.head.outputs)
    x = layers.Dropout(dropout)(embedding(ids))
    for lstm in lstms:
        x = lstm(x)
    last = keras.ops.take_along_axis(x, keras.ops.reshape(lengths - 1, (-1, 1, 1)), axis=1)[:, 0]
    model = keras.Model([ids, lengths], output(layers.Dropout(dropout)(last)))
    ours = {name: matrix.to_scipy().toarray() for name, matrix in sparse.matrices.items()}
    ours |= sparse.arena.biases  # with the weights of an output layer that is dense
    embedding.set_weights([ours["embedding.weight"]])
    for number, lstm in enumerate(lstms):
        parts = (ours[f"lstm.{number}.{name}"] for name in ("weight_ih", "weight_hh", "bias"))
        lstm.set_weights([part.T for part in parts])
    kernel = ours["output.weight"].reshape(chain.head.outputs, chain.units)
    output.set_weights([kernel.T, ours["output.bias"]])
    return model
