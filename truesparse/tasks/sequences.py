"""What training on whole sequences can be told, and the model that it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from truesparse.layers.chain import ChainSpec
from truesparse.layers.models import sequence_model
from truesparse.settings import setting
from truesparse.training.config import Config, preset_of

PRESETS: dict[str, dict[str, Any]] = {
    "sequences": {
        "hidden_size": 64,
        "clip": 1.0,
        "optimizer": "adam",
        "lr": 0.01,
        "epochs": 50,
        "batch_size": 32,
    },
}


@dataclass(frozen=True, kw_only=True)
class SequenceConfig(Config):
    """The configuration of a model of whole sequences; see `Config`."""

    TASK: ClassVar[str] = "sequences"
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    preset: str = preset_of(PRESETS)
    pooling: str = setting(
        "last",
        "What the output layer sees: the last output of the recurrent layers, or their mean or maximum.",
        choices=("last", "mean", "max"),
    )
    output: str = setting("dense", "Whether the output layer is sparse.", choices=("dense", "sparse"))


def sequence_chain(
    config: SequenceConfig, vocab_size: int, embedding_size: int, outputs: int, kind: str = "classifier"
) -> ChainSpec:
    """Return the model that a configuration asks for.

    Parameters
    ----------
    config : SequenceConfig
    vocab_size, embedding_size, outputs, kind
        See `truesparse.layers.models.sequence_model`.

    Raises
    ------
    UsageError
        Sizes do not fit each other.
    """
    return sequence_model(
        vocab_size=vocab_size,
        embedding_size=embedding_size,
        hidden_size=config.hidden_size,
        layers=config.layers,
        outputs=outputs,
        kind=kind,
        pooling=config.pooling,
        sparse_output=config.output == "sparse",
        **config.cell_settings(),
    )
