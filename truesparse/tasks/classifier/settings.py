"""Settings of a run that trains a classifier of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from truesparse.errors import typed
from truesparse.settings import fraction, setting
from truesparse.tasks.label_settings import calibration_lines, class_weight_setting, weight_setting
from truesparse.tasks.sequences import SequenceConfig
from truesparse.training.config import preset_of
from truesparse.training.tokens import (
    embedding_density_setting,
    rank_exponent_setting,
    token_scale_setting,
)
from truesparse.training.vectors import freeze_setting, vectors_setting

if TYPE_CHECKING:
    from truesparse.model.loading import SavedModel
    from truesparse.training.task import Predictor, Task

_TEXT: dict[str, Any] = {
    "distribution": "erdos-renyi",
    "er_epsilon": 10.0,
    "gates": "separate",
    "optimizer": "adam",
    "lr": 0.002,
    "clip": 1.0,
    "epochs": 8,
    "batch_size": 64,
    "dropout": 0.5,
}
PRESETS: dict[str, dict[str, Any]] = {
    "text": _TEXT,
    "text-gru": {**_TEXT, "cell": "gru"},
    "text-both": {**_TEXT, "bidirectional": True},
}


def _recipe(
    drop_fraction: float, lr: float, batch_size: int, er_epsilon: float, **more: Any
) -> dict[str, Any]:
    return {
        "drop_fraction": drop_fraction,
        "lr": lr,
        "batch_size": batch_size,
        "er_epsilon": er_epsilon,
        **more,
    }


# Of Liu, Ni'mah, Menkovski, Mocanu & Pechenizkiy, "Efficient and effective training of sparse recurrent
# neural networks", 2021, section 4. Without a published test set a fifth of the texts tests, as there. Drop
# fraction and batch of the last two are not published: those are Amazon's.
RECIPES: dict[str, dict[str, Any]] = {
    "twitter": _recipe(0.6, 0.001, 64, 10.0, test_fraction=0.2),
    "imdb": _recipe(0.4, 0.0005, 256, 10.0),
    "yelp": _recipe(0.2, 0.01, 64, 10.0, test_fraction=0.2),
    "amazon": _recipe(0.2, 0.001, 64, 10.0, test_fraction=0.2),
    "agnews": _recipe(0.2, 0.01, 64, 20.0),
    "yelp-polarity": _recipe(0.2, 0.001, 64, 20.0),
}


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(SequenceConfig):
    """The configuration of a text classifier; see `Config`."""

    HELP: ClassVar[str] = """Train a truly sparse recurrent classifier of texts.

The texts are in CSV files whose first row names the columns. If --data has no valid.csv or test.csv, the
command takes them out of the training rows, by --seed.

A flag wins over its environment variable (such as TRUESPARSE_HIDDEN_SIZE), that over --config, that over
--recipe, and that over --preset. Ctrl-C saves and stops.
"""
    EXAMPLES: ClassVar[str] = """
truesparse train classifier --data reviews.csv
truesparse train classifier --data reviews.csv --label-column stars --text-column review
truesparse train classifier --resume RUN
"""
    KIND: ClassVar[str] = "classifier"
    TASK: ClassVar[str] = "classifier"
    LAYOUTS: ClassVar[Sequence[str]] = ("lines", "csv")
    READ_COLUMNS: ClassVar[Sequence[str]] = ("text_column",)
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    RECIPES: ClassVar[Mapping[str, Mapping[str, Any]]] = RECIPES

    data: str | None = setting(
        None,
        "CSV file, or folder with train.csv and, if there are, valid.csv and test.csv; also .csv.gz, and"
        " public sets as they are published, such as the folder aclImdb.",
        shown="none: you must give it",
    )
    preset: str = preset_of(PRESETS)
    recipe: str | None = setting(
        None,
        "Drop fraction, learning rate, batch and sparsity of the ST-RNN paper for a set of texts; other flags"
        " beat it, and it beats --preset.",
        choices=tuple(RECIPES),
        shown="none",
    )
    label_column: str = setting("label", "Name of the column of labels.")
    text_column: str = setting("text", "Name of the column of texts.")
    weight_column: str | None = weight_setting()
    class_weight: str | None = class_weight_setting()
    valid_fraction: float = fraction(
        0.1, "Fraction of the training rows to choose the model by, without valid.csv."
    )
    test_fraction: float = fraction(
        0.1, "Fraction of the training rows to test the model on, without test.csv."
    )
    length: int = setting(400, "Words, or pieces of words, of a text that are read, T.", low=1, high=1 << 20)
    truncation: str = setting("before", "End of a longer text that is cut off.", choices=("before", "after"))
    padding: str = setting(
        "masked",
        "Stop at the end of a shorter text, or read <pad> before or after it.",
        choices=("masked", "before", "after"),
    )
    level: str = setting(
        "word",
        "Read words or pieces of words; the latter need --padding masked.",
        choices=("word", "subword"),
    )
    vocabulary: int = setting(20_000, "Most frequent words, or pieces of them, that are known, V.", low=2)
    vectors: str | None = vectors_setting()
    freeze_vectors: bool = freeze_setting()
    embedding_density: float | None = embedding_density_setting()
    rank_exponent: float = rank_exponent_setting()
    token_scale: float = token_scale_setting()
    min_count: int = setting(1, "Words that occur less often in the training texts are unknown.", low=1)
    lower_case: bool = setting(True, "Lower-case the texts.")
    punctuation: bool = setting(False, "Read punctuation marks as words.")

    @staticmethod
    def predictor(saved: SavedModel) -> Predictor:
        """See `Config.predictor`."""
        from truesparse.tasks.classifier.predict import TextPredictor

        return TextPredictor(saved)

    @staticmethod
    def describe(results: Mapping[str, Any]) -> list[str]:
        """See `Config.describe`."""
        run = results["run_dir"]
        return [
            f"validation accuracy {results['valid_accuracy']:.2%}, test {results['test_accuracy']:.2%}"
            f" (macro-F1 {results['test_macro_f1']:.2%}; always the most frequent label"
            f" {results['majority_accuracy']:.2%})",
            *calibration_lines(results),
            f"the run is in {run}; classify texts, one a line, with: truesparse predict {typed(run)} FILE",
        ]

    def make_task(self, **reading: Any) -> Task:
        """See `Config.make_task`."""
        from truesparse.tasks.classifier.task import TextClassification

        return TextClassification(self, **reading)
