"""The configurations of what can be trained, and the table of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from truesparse.errors import UsageError
from truesparse.settings import listed, setting
from truesparse.training.config import Config
from truesparse.training.presets import CLASSIFIER_PRESETS, LANGUAGE_MODEL_PRESETS, SEQUENCE_PRESETS


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig(Config):
    """The configuration of a language model; see `Config`. The defaults are the preset ``demo``."""

    TASK: ClassVar[str] = "lm"
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = LANGUAGE_MODEL_PRESETS

    data: str | None = setting(
        None,
        "Folder with train, valid and test text, or one text file.",
        shown="the Python documentation that comes with Python",
    )
    preset: str = setting("demo", "Named set of values that the other flags change.")
    level: str = setting("word", "Predict words or characters.", choices=("word", "char"))
    bptt: int = setting(35, "Time steps of a window of backpropagation, T.", low=1)
    tied: bool = setting(False, "Use the embedding as the output layer too.")
    output_group: int = setting(
        1,
        "Words of like frequency that share their connections in output layer and embedding; divides the"
        " vocabulary.",
        low=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_preset(self.preset, self.PRESETS)
        if self.tied and self.embedding_size not in (None, self.hidden_size):
            raise UsageError(
                f"--tied needs --embedding-size {self.embedding_size} to be --hidden-size {self.hidden_size}"
                f"; leave one of the three out"
            )

    @property
    def groups(self) -> str:
        """See `Config.groups`."""
        return super().groups or ("--output-group" if self.output_group > 1 else "")


@dataclass(frozen=True, kw_only=True)
class SequenceConfig(Config):
    """The configuration of a model of whole sequences; see `Config`."""

    TASK: ClassVar[str] = "sequences"
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = SEQUENCE_PRESETS

    preset: str = setting("sequences", "Named set of values that the other flags change.")
    pooling: str = setting(
        "last",
        "What the output layer sees: the last output of the recurrent layers, or their mean or maximum.",
        choices=("last", "mean", "max"),
    )
    output: str = setting("dense", "Whether the output layer is sparse.", choices=("dense", "sparse"))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_preset(self.preset, self.PRESETS)


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(SequenceConfig):
    """The configuration of a text classifier; see `Config`."""

    TASK: ClassVar[str] = "classifier"
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = CLASSIFIER_PRESETS

    data: str | None = setting(
        None,
        "CSV file, or folder with train.csv and, if there are, valid.csv and test.csv; also .csv.gz.",
        shown="none: it must be given",
    )
    preset: str = setting("text", "Named set of values that the other flags change.")
    label_column: str = setting("label", "Name of the column of labels.")
    text_column: str = setting("text", "Name of the column of texts.")
    valid_fraction: float = setting(
        0.1,
        "Of the training rows, to choose the model by, without valid.csv.",
        low=0,
        high=1,
        open_low=True,
        open_high=True,
    )
    test_fraction: float = setting(
        0.1,
        "Of the training rows, to test the model on, without test.csv.",
        low=0,
        high=1,
        open_low=True,
        open_high=True,
    )
    length: int = setting(400, "Words of a text that are read, T.", low=1, high=1 << 20)
    truncation: str = setting("before", "End of a longer text that is cut off.", choices=("before", "after"))
    padding: str = setting(
        "masked",
        "Stop at the end of a shorter text, or read <pad> before or after it.",
        choices=("masked", "before", "after"),
    )
    vocabulary: int = setting(20_000, "Most frequent words that are known, V.", low=2)
    min_count: int = setting(1, "Words that occur less often in the training texts are unknown.", low=1)
    lower_case: bool = setting(True, "Lower-case the texts.")
    punctuation: bool = setting(False, "Read punctuation marks as words.")


TASKS: dict[str, type[Config]] = {config.TASK: config for config in (LanguageModelConfig, ClassifierConfig)}


def check_preset(preset: str, presets: Mapping[str, Any]) -> None:
    """Raise UsageError if there is no preset of a name."""
    if preset not in presets:
        raise UsageError(f"--preset is {preset!r}; it must be {listed(presets)}")
