"""Settings of a run that trains a tagger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from truesparse.errors import typed
from truesparse.layers.output.spec import smoothing_setting
from truesparse.settings import fraction, setting
from truesparse.tasks.label_settings import (
    calibrate_setting,
    calibration_lines,
    choose_setting,
    class_weight_setting,
)
from truesparse.tasks.sequences import output_setting
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

_TAGS: dict[str, Any] = {
    "hidden_size": 128,
    "optimizer": "adam",
    "lr": 0.003,
    "clip": 1.0,
    "epochs": 20,
    "batch_size": 32,
    "dropout": 0.3,
}
PRESETS: dict[str, dict[str, Any]] = {  # benchmarks/results/tagging
    "tags": _TAGS,
    "tags-gru": {**_TAGS, "cell": "gru"},
    "tags-both": {**_TAGS, "bidirectional": True},
}


@dataclass(frozen=True, kw_only=True)
class TaggerConfig(Config):
    """The configuration of a tagger; see `Config`."""

    HELP: ClassVar[str] = """Train a truly sparse recurrent tagger: a label for each token of a sentence.

A file has a token and its label in each line, and an empty line after each sentence (CoNLL); or JSON lines
with lists of tokens and labels. If --data has no file to validate or to test on, the command takes sentences
out of the training part, by --seed.

A flag wins over its environment variable (such as TRUESPARSE_HIDDEN_SIZE), that over --config, and that over
--preset. Ctrl-C saves and stops.
"""
    EXAMPLES: ClassVar[str] = """
truesparse train tagger --data names.conll
truesparse train tagger --data names.conll --preset tags-both
truesparse train tagger --resume RUN
"""
    KIND: ClassVar[str] = "tagger"
    TASK: ClassVar[str] = "tagger"
    LAYOUTS: ClassVar[Sequence[str]] = ("lines", "conll", "conllu", "jsonl")
    READ_COLUMNS: ClassVar[Sequence[str]] = ("token_column",)
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    data: str | None = setting(
        None,
        "CoNLL or JSON lines file, or folder with train.conll (or .conllu, .txt, .jsonl and others) and, if"
        " there are, valid (or dev) and test; also .gz.",
        shown="none: you must give it",
    )
    preset: str = preset_of(PRESETS)
    token_column: str = setting(
        "auto",
        "Column of the tokens: a number, from 1, or with - from the end; in JSON lines the name of a list."
        " auto is the first, in .conllu files the second, in JSON lines tokens.",
    )
    tag_column: str = setting(
        "auto",
        "Column of their labels. auto is the last, in .conllu files the fourth, in JSON lines labels, tags or"
        " ner_tags.",
    )
    class_weight: str | None = class_weight_setting()
    valid_fraction: float = fraction(
        0.1, "Fraction of the training sentences to choose the model by, if --data has no file for it."
    )
    test_fraction: float = fraction(
        0.1, "Fraction of the training sentences to test the model on, if --data has no file for it."
    )
    length: int = setting(
        200,
        "Steps of backpropagation, T: a longer sentence is learned in pieces. It is tagged as a whole.",
        low=1,
        high=1 << 20,
    )
    vocabulary: int = setting(20_000, "Most frequent tokens that are known, V.", low=2)
    vectors: str | None = vectors_setting()
    freeze_vectors: bool = freeze_setting()
    embedding_density: float | None = embedding_density_setting()
    rank_exponent: float = rank_exponent_setting()
    token_scale: float = token_scale_setting()
    min_count: int = setting(
        2,
        "Tokens that occur less often in the training sentences are unknown; the model learns from them too.",
        low=1,
    )
    lower_case: bool = setting(False, "Lower-case the tokens; capitals often mark names.")
    output: str = output_setting()
    choose_by: str = choose_setting("auto", "f1", "macro-f1", "accuracy", "loss")
    label_smoothing: float = smoothing_setting()
    calibrate: bool = calibrate_setting()

    @staticmethod
    def predictor(saved: SavedModel) -> Predictor:
        """See `Config.predictor`."""
        from truesparse.tasks.tagger.use import TagPredictor

        return TagPredictor(saved)

    @staticmethod
    def describe(results: Mapping[str, Any]) -> list[str]:
        """See `Config.describe`."""
        run = results["run_dir"]
        measure, word = ("f1", "F1") if "test_f1" in results else ("accuracy", "accuracy")
        accuracy = f"accuracy {results['test_accuracy']:.2%}; " if measure == "f1" else ""
        majority = f", always the most frequent one {results['majority_accuracy']:.2%}"
        return [
            f"validation {word} {results[f'valid_{measure}']:.2%}, test {results[f'test_{measure}']:.2%}"
            f" ({accuracy}the most frequent label of each token {results[f'lookup_{measure}']:.2%}"
            f"{'' if accuracy else majority})",
            *calibration_lines(results),
            f"the run is in {run}; tag sentences, one a line, with: truesparse predict {typed(run)} FILE",
        ]

    def make_task(self, **reading: Any) -> Task:
        """See `Config.make_task`."""
        from truesparse.tasks.tagger.task import Tagging

        return Tagging(self, **reading)
