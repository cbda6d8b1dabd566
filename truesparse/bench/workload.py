"""The model and the window that all sides compute with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from truesparse.layers.chain import ChainSpec
from truesparse.layers.models import language_model, sequence_model
from truesparse.layers.spec import pattern
from truesparse.settings import setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEARNING_RATE = 0.1
MOMENTUM = 0.9
MAX_NORM = 10.0  # of the gradient; what is longer is clipped

_WINDOWS = 8  # different ones, in turn


@dataclass(frozen=True)
class Workload:
    """Sizes of a model and of its window.

    Parameters
    ----------
    kind : {"lm", "classifier"}
        "lm": the next token at every step. "classifier": one of `classes` from the last hidden state.
    vocab_size, embedding_size, hidden_size, layers, classes : int
    batch_size, bptt : int
        Sequences, and steps of a window.
    density : float
    masked : bool
        Whether a dense model multiplies its weights by a mask; without, it is plainly dense.
    seed : int
    pattern : {"weight", "unit"}
        Of the sparse side, as of a model specification.
    output_group : int
        The same; 1 for a classifier.
    """

    kind: str = "lm"
    vocab_size: int = setting(10_000, "Words.")
    embedding_size: int = setting(1500, "Size of an embedded word.", shown="the hidden size")
    hidden_size: int = setting(1500, "Hidden units of a layer.")
    layers: int = setting(2, "LSTM layers.")
    classes: int = 2
    batch_size: int = setting(20, "Sequences.")
    bptt: int = setting(35, "Steps of a window.")
    density: float = 0.2
    masked: bool = True
    seed: int = 1
    pattern: str = pattern()
    output_group: int = setting(1, "Words that share their connections.")

    @property
    def chain(self) -> ChainSpec:
        """What the model is; the output layer is sparse in both kinds."""
        sizes = self.vocab_size, self.embedding_size, self.hidden_size, self.layers
        if self.kind == "lm":
            return language_model(*sizes, pattern=self.pattern, output_group=self.output_group)
        return sequence_model(*sizes, pattern=self.pattern, outputs=self.classes, sparse_output=True)

    @property
    def outputs(self) -> int:
        """Rows of the output layer."""
        return self.chain.head.outputs

    @property
    def dense_parameters(self) -> int:
        """Positions of all weight matrices."""
        return self.chain.dense_parameters

    @property
    def tokens(self) -> int:
        """Tokens of a window."""
        return self.batch_size * self.bptt

    @property
    def tiny(self) -> Workload:
        """A model of a few units with the same window: it uses the same kernels and little memory."""
        words = -(-50 // self.output_group) * self.output_group
        return replace(self, vocab_size=words, embedding_size=16, hidden_size=16, density=0.5)

    def flops(self, weights: dict[str, int]) -> int:
        """Floating-point operations of a training step on the weights that exist.

        Parameters
        ----------
        weights : dict of str to int
            Number of weights in each matrix.

        Returns
        -------
        int
            2 for each weight and column in the forward pass, 4 in the backward pass; a lookup has none.
        """
        columns = {"step": self.tokens, "sequence": self.batch_size, "lookup": 0}
        return sum(6 * weights[matrix.name] * columns[matrix.used] for matrix in self.chain.matrices)

    def dense_bytes(self) -> int:
        """Estimate the memory of training the dense model: weights, gradients, momentum and masks, and
        activations."""
        columns = self.tokens if self.kind == "lm" else self.batch_size
        activations = self.tokens * (2 * self.embedding_size + 14 * self.layers * self.hidden_size)
        return 16 * self.dense_parameters + 4 * (activations + 3 * columns * self.outputs)

    def windows(self) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """Draw windows of random tokens.

        Returns
        -------
        list of (ids, targets)
            ids : int32, shape (bptt, batch_size); targets : int32 of the same shape, or of shape
            (batch_size,) for a classifier.
        """
        import numpy as np  # not to read the flags

        rng = np.random.default_rng(self.seed + 1)
        shape = (self.bptt, self.batch_size)
        answers = shape if self.kind == "lm" else shape[1:]
        return [
            (
                rng.integers(self.vocab_size, size=shape, dtype=np.int32),
                rng.integers(self.outputs, size=answers, dtype=np.int32),
            )
            for _ in range(_WINDOWS)
        ]


DEFAULTS = {
    "lm": Workload(),  # the ST-RNN paper's on Penn Treebank (Liu et al. 2021, table 2)
    "classifier": Workload("classifier", 20_000, 256, 256, 1, 2, 64, 100),
}
