"""Settings of training on whole sequences, and the model they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from truesparse.layers.chain import ChainSpec
from truesparse.layers.models import sequence_model
from truesparse.layers.output.spec import smoothing_setting
from truesparse.settings import setting
from truesparse.tasks.label_settings import calibrate_setting, choose_setting
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


def output_setting() -> Any:
    """The field that `sequence_chain` reads for the output layer."""
    return setting("dense", "Whether the output layer is sparse.", choices=("dense", "sparse"))


@dataclass(frozen=True, kw_only=True)
class SequenceConfig(Config):
    """The configuration of a model of whole sequences; see `Config`."""

    TASK: ClassVar[str] = "sequences"
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    preset: str = preset_of(PRESETS)
    pooling: str = setting(
        "last",
        "What the output layer reads: the last output of the recurrent layers, or their mean or maximum.",
        choices=("last", "mean", "max"),
    )
    output: str = output_setting()
    choose_by: str = choose_setting("accuracy", "macro-f1", "loss")
    label_smoothing: float = smoothing_setting()
    calibrate: bool = calibrate_setting()


def sequence_chain(
    config: Config, vocab_size: int, outputs: int, kind: str = "classifier", features: int = 0, **more: Any
) -> ChainSpec:
    """Return the model that a configuration asks for; one without `pooling` has an output at each step.

    Parameters
    ----------
    config : Config
        With a field `output` as that of `SequenceConfig`.
    vocab_size : int
        Tokens; 0 for a model whose inputs are so many `features`.
    outputs, kind, **more
        See `truesparse.layers.models.sequence_model`.

    Raises
    ------
    UsageError
        Sizes do not fit each other.
    """
    own = vars(config)
    pooling = more.pop("pooling", own.get("pooling", ""))
    return sequence_model(
        vocab_size=vocab_size,
        embedding_size=features or config.embedding_size or config.hidden_size,
        outputs=outputs,
        kind=kind,
        pooling=pooling,
        sparse_output=own["output"] == "sparse",
        label_smoothing=own.get("label_smoothing", 0.0) if kind == "classifier" else 0.0,
        **config.cell_settings(),
        **more,
    )
