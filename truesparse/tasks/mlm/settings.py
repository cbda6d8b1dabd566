"""Settings of a run that trains a masked language model, and the encoder they describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from truesparse.errors import UsageError, typed
from truesparse.layers.attention.spec import Attention
from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.spec import Dropout
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.layer_norm.spec import LayerNorm
from truesparse.layers.linear.spec import Linear
from truesparse.layers.output.spec import MaskedSoftmax
from truesparse.layers.positions.spec import Positions
from truesparse.layers.residual.spec import Residual
from truesparse.layers.spec import LayerSpec
from truesparse.settings import fraction, setting
from truesparse.topology.methods import get_method
from truesparse.training.chosen import choices
from truesparse.training.config import Config, preset_of
from truesparse.training.tokens import (
    embedding_density_setting,
    rank_exponent_setting,
    token_scale_setting,
)

if TYPE_CHECKING:
    from truesparse.model.loading import SavedModel
    from truesparse.training.task import Predictor, Task

_RIGL: dict[str, Any] = {
    "method": "rigl",
    "optimizer": "adam",
    "lr": 0.003,
    "clip": 1.0,
    "batch_size": 32,
    "length": 64,
}
PRESETS: dict[str, dict[str, Any]] = {  # benchmarks/results/encoder
    "demo": {**_RIGL, "hidden_size": 64, "epochs": 20, "batch_size": 16, "update_interval": 50},
    "mlm-20min": {**_RIGL, "hidden_size": 128, "vocabulary": 8000, "epochs": 6},
}


@dataclass(frozen=True, kw_only=True)
class MaskedConfig(Config):
    """The configuration of a masked language model; see `Config`."""

    HELP: ClassVar[str] = """Train a truly sparse encoder as a masked language model.

The model learns to fill in words that are hidden in a text. Without --data it trains on the documentation
that comes with Python.

A flag wins over its environment variable (such as TRUESPARSE_HIDDEN_SIZE), that over --config, and that over
--preset. Ctrl-C saves and stops.
"""
    EXAMPLES: ClassVar[str] = """
truesparse train mlm
truesparse train mlm --data book.txt
truesparse train mlm --resume RUN
"""
    KIND: ClassVar[str] = "masked language model"
    TASK: ClassVar[str] = "mlm"
    LAYOUTS: ClassVar[Sequence[str]] = ("lines",)
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    UNUSED: ClassVar[frozenset[str]] = frozenset(
        {name for settings in choices()["cell"].values() for name in settings}
        | {"cell", "bidirectional", "embedding_size", "locked_dropout", "dropout_weights"}
    )

    data: str | None = setting(
        None,
        "Folder with train, valid and test text, or one text file.",
        shown="the Python documentation that comes with Python",
    )
    preset: str = preset_of(PRESETS)
    hidden_size: int = setting(64, "Features of each step, D.", low=1)
    layers: int = setting(2, "Blocks of attention and two linear layers, L.", low=1)
    heads: int = setting(4, "Heads of attention, each of which has an equal part of the features.", low=1)
    feed_forward: int | None = setting(
        None, "Units between the two linear layers of a block.", low=1, shown="4 times --hidden-size"
    )
    length: int = setting(64, "Tokens of a window, T.", low=1, high=4096)
    vocabulary: int = setting(8000, "Most frequent words that are known, V.", low=2)
    mask_rate: float = fraction(0.15, "Fraction of the tokens to hide and predict.")
    tied: bool = setting(False, "Use the embedding as the output layer too.")
    embedding_density: float | None = embedding_density_setting()
    rank_exponent: float = rank_exponent_setting()
    token_scale: float = token_scale_setting()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % self.heads:
            raise UsageError(
                f"--heads {self.heads} does not divide --hidden-size {self.hidden_size}; change one of both"
            )
        method = get_method(self.method)
        if method.units:
            raise UsageError(
                f"--method {method.name} takes whole units away, but all blocks of an encoder add to the same"
                " features; use another method, such as gmp"
            )
        if method.initial == "small":
            raise UsageError(
                f"--method {self.method} makes layers smaller, which heads do not allow; use another method,"
                " or a smaller --hidden-size with --method dense"
            )

    @staticmethod
    def predictor(saved: SavedModel) -> Predictor:
        """See `Config.predictor`."""
        from truesparse.tasks.mlm.use import MaskPredictor

        return MaskPredictor(saved)

    @staticmethod
    def describe(results: Mapping[str, Any]) -> list[str]:
        """See `Config.describe`."""
        run = results["run_dir"]
        return [
            f"validation perplexity of hidden words {results['valid_perplexity']:.2f}, test"
            f" {results['test_perplexity']:.2f} (unigram model {results['unigram_perplexity']:.2f})",
            f"the run is in {run}; predict the words behind <mask> in a text with: truesparse predict"
            f" {typed(run)} FILE",
        ]

    def make_task(self, **reading: Any) -> Task:
        """See `Config.make_task`."""
        from truesparse.tasks.mlm.task import MaskedLanguageModeling

        return MaskedLanguageModeling(self, **reading)

    def chain(self, tokens: int) -> ChainSpec:
        """The encoder for so many tokens: layer norm comes before what it is for, and once at the end.

        References
        ----------
        Xiong et al., "On layer normalization in the transformer architecture", 2020, figure 1 (b).
        """
        size = self.hidden_size
        dropout: list[LayerSpec] = [Dropout(self.dropout)] if self.dropout else []
        block = (
            Residual(LayerNorm(), Attention(self.heads, self.pattern)),
            Residual(LayerNorm(), Linear(self.feed_forward or 4 * size, "relu"), Linear(size)),
        )
        return ChainSpec(
            Embedding(tokens, size),
            Positions(self.length),
            *dropout,
            *(self.layers * block),
            LayerNorm(),
            *dropout,
            MaskedSoftmax(tokens, tied=self.tied),
        )
