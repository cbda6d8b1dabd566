"""Settings of a run that trains a language model, and the model they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from truesparse.errors import UsageError, typed
from truesparse.layers.chain import ChainSpec
from truesparse.layers.models import ONE_DIRECTION, language_model
from truesparse.layers.mos.spec import OF_LATENTS
from truesparse.layers.output.spec import smoothing_setting
from truesparse.settings import flag, fraction, setting
from truesparse.training.config import Config, preset_of
from truesparse.training.tokens import (
    embedding_density_setting,
    rank_exponent_setting,
    token_scale_setting,
)
from truesparse.training.vectors import freeze_setting, vectors_setting

if TYPE_CHECKING:
    from truesparse.model.loading import SavedModel
    from truesparse.training.task import Predictor, Task

OF_MIXTURE = ("experts", "dropout_latent")  # the settings that only --head mos has

# AWD-LSTM, and how Selfish-RNN trains models of that family.
_AWD: dict[str, Any] = {
    # Merity, Keskar & Socher, 2018, in whose code and that of Yang et al. these are the same
    "layers": 3,
    "tied": True,
    "bptt": 70,
    "random_windows": True,  # their lengths are drawn in another way there
    "locked_dropout": True,
    "dropout_embedding": 0.1,
    "dropout_output": 0.4,
    "dropout_weights": 0.5,
    "size_penalty": 2.0,
    "change_penalty": 1.0,
    "clip": 0.25,
    "weight_decay": 1.2e-6,
    # Liu et al., 2021: their method and optimizer, and the density of their AWD-LSTM-MoS on WikiText-2 and of
    # their ON-LSTM, which has AWD-LSTM's sizes. Which fraction is dropped is left to the method: 0.5, as in
    # their code for ON-LSTM. First weights are as always here.
    "method": "selfish",
    "optimizer": "snt-asgd",
    "density": 0.45,
}

# What LSTMs of Penn Treebank have in common.
_PTB: dict[str, Any] = {
    "layers": 2,
    "lr_density_exponent": 1.0,
    "update_interval": 100,
    "update_end": 0.75,
    "clip": 0.25,
    "init_scale": 0.1,
    "rank_exponent": 0.6,
    "token_scale": 0.1,
}

# What a preset says of an optimizer, a method, a cell, a head or the number of weights counts as long as the
# preset's own is not replaced by another.
PRESETS: dict[str, dict[str, Any]] = {
    "demo": {},
    "ptb-small": {  # benchmarks/results/methods
        **_PTB,
        "hidden_size": 200,
        "epochs": 13,
        "dropout": 0.2,
        "drop_fraction": 0.3,
        "lr_decay_start": 6,
    },
    "ptb-medium": {  # benchmarks/results/ptb-medium
        **_PTB,
        "hidden_size": 650,
        "output_group": 4,
        "method": "granet",
        "epochs": 27,
        "dropout": 0.4,
        "lr_decay": 1.24,
        "lr_decay_start": 11,
    },
    "ptb-large": {
        "hidden_size": 1500,
        "layers": 2,
        "density": 0.33,
        "epochs": 100,
        "dropout": 0.65,
        "drop_fraction": 0.8,
    },
    "ptb-rhn": {
        "cell": "rhn",
        "hidden_size": 830,
        "layers": 1,
        "depth": 10,
        "tied": True,
        "density": 0.472,
        "epochs": 200,
        "dropout_embedding": 0.2,
        "dropout_input": 0.65,
        "dropout_hidden": 0.25,
        "dropout_output": 0.65,
        "lr_decay": 1.11,
        "drop_fraction": 0.5,
    },
    "ptb-awd": {
        **_AWD,
        # Merity et al., 2018, and what their code's page gives for Penn Treebank
        "hidden_size": 1150,
        "last_hidden_size": 400,
        "embedding_size": 400,
        "batch_size": 20,
        "epochs": 500,
        "lr": 30.0,
        "dropout_first": 0.4,
        "dropout_input": 0.25,
    },
    "ptb-awd-mos": {
        **_AWD,
        # Yang et al., 2018, as their code's page gives it for Penn Treebank
        "head": "mos",
        "experts": 15,
        "hidden_size": 960,
        "last_hidden_size": 620,
        "embedding_size": 280,
        "batch_size": 12,
        "epochs": 1000,
        "lr": 20.0,
        "dropout_first": 0.4,
        "dropout_input": 0.225,
        "dropout_latent": 0.29,
    },
}


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig(Config):
    """The configuration of a language model; see `Config`. The defaults are the preset ``demo``."""

    HELP: ClassVar[str] = """Train a truly sparse recurrent language model.

Without --data it trains on the documentation that comes with Python.

A flag wins over its environment variable (such as TRUESPARSE_HIDDEN_SIZE), that over --config, and that over
--preset. Ctrl-C saves and stops.
"""
    EXAMPLES: ClassVar[str] = """
truesparse train lm
truesparse train lm --data book.txt --level char
truesparse train lm --preset ptb-medium --data PTB
truesparse train lm --resume RUN
"""
    KIND: ClassVar[str] = "language model"
    TASK: ClassVar[str] = "lm"
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    data: str | None = setting(
        None,
        "Folder with train, valid and test text, or one text file.",
        shown="the Python documentation that comes with Python",
    )
    preset: str = preset_of(PRESETS)
    level: str = setting(
        "word", "Predict words, characters or pieces of words.", choices=("word", "char", "subword")
    )
    vocabulary: int | None = setting(None, "Pieces of words of --level subword, V.", low=256, shown="4000")
    vectors: str | None = vectors_setting()
    freeze_vectors: bool = freeze_setting()
    embedding_density: float | None = embedding_density_setting()
    rank_exponent: float = rank_exponent_setting()
    token_scale: float = token_scale_setting()
    bptt: int = setting(35, "Time steps of a window of backpropagation, T.", low=1)
    random_windows: bool = setting(
        False, "Draw the lengths of the windows anew in each epoch; --bptt is their mean."
    )
    label_smoothing: float = smoothing_setting()
    last_hidden_size: int | None = setting(
        None, "Units of the last recurrent layer, even if it is the first.", low=1, shown="as --hidden-size"
    )
    dropout_first: float | None = fraction(
        None, "Fraction of the first recurrent layer's inputs dropped.", none=True, shown="as --dropout-input"
    )
    size_penalty: float = setting(
        0.0, "How much the mean square of the output layer's inputs counts in the loss (AR).", low=0, high=1e6
    )
    change_penalty: float = setting(
        0.0,
        "How much the mean square of the change of the top layer's outputs from step to step counts in the"
        " loss (TAR).",
        low=0,
        high=1e6,
    )
    head: str = setting(
        "softmax", "What predicts the next token: one softmax or a mixture.", choices=("softmax", "mos")
    )
    experts: int | None = setting(
        None, "Softmaxes that --head mos mixes, each of --embedding-size numbers, K.", low=1, shown="5"
    )
    dropout_latent: float = fraction(0.0, f"{OF_LATENTS[:-1]}, of --head mos.", none=True)
    tied: bool = setting(False, "Use the embedding as the output layer too.")
    output_group: int = setting(
        1,
        "Words of like frequency that share their connections in output layer and embedding; divides the"
        " vocabulary.",
        low=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bidirectional:
            raise UsageError(f"{ONE_DIRECTION}; leave --bidirectional out")
        if self.vocabulary is not None and self.level != "subword":
            raise UsageError(f"--vocabulary is for --level subword, not {self.level}; leave it out")
        for name in OF_MIXTURE:
            if getattr(self, name) and self.head != "mos":
                raise UsageError(f"{flag(name)} is for --head mos, not {self.head}; leave it out")
        last = "hidden_size" if self.last_hidden_size is None else "last_hidden_size"
        embedding, units = self.embedding_size or self.hidden_size, getattr(self, last)
        if self.tied and self.head == "softmax" and embedding != units:
            raise UsageError(
                f"--tied needs an --embedding-size of {units}, as {flag(last)}; give it, or leave --tied out"
                if self.embedding_size is None
                else f"--tied needs --embedding-size {embedding} to be {flag(last)} {units}"
                "; leave one of the three out"
            )

    @property
    def groups(self) -> str:
        """See `Config.groups`."""
        return super().groups or ("--output-group" if self.output_group > 1 else "")

    @staticmethod
    def predictor(saved: SavedModel) -> Predictor:
        """See `Config.predictor`."""
        raise UsageError(f"{saved.path} is a language model, not a classifier; use truesparse generate")

    @staticmethod
    def describe(results: Mapping[str, Any]) -> list[str]:
        """See `Config.describe`."""
        from truesparse.tasks.lm.measures import comparable

        run = results["run_dir"]
        return [
            f"validation perplexity {results['valid_perplexity']:.2f}, test {results['test_perplexity']:.2f}"
            f" (unigram model {results['unigram_perplexity']:.2f}){comparable(results, 'test_')}",
            f"the run is in {run}; see what it writes with: truesparse generate {typed(run)}",
        ]

    def make_task(self, **reading: Any) -> Task:
        """See `Config.make_task`."""
        from truesparse.tasks.lm.task import LanguageModeling

        return LanguageModeling(self, **reading)


def language_model_chain(config: LanguageModelConfig, vocab_size: int) -> ChainSpec:
    """Return the model that a configuration asks for.

    A method may make the model smaller; its work is still compared with that of a dense model of these sizes.

    Raises
    ------
    UsageError
        Sizes do not fit each other.
    """
    return language_model(
        vocab_size=vocab_size,
        embedding_size=config.embedding_size or config.hidden_size,
        tied=config.tied,
        output_group=config.output_group,
        label_smoothing=config.label_smoothing,
        size_penalty=config.size_penalty,
        change_penalty=config.change_penalty,
        experts=(config.experts or 5) if config.head == "mos" else 0,
        dropout_latent=config.dropout_latent,
        dropout_first=config.dropout_first,
        last_hidden_size=config.last_hidden_size,
        **config.cell_settings(),
    )
