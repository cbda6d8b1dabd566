"""Settings of a run that trains a model of sequences of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from truesparse.errors import UsageError, typed
from truesparse.settings import flag, fraction, setting
from truesparse.tasks.label_settings import calibration_lines, class_weight_setting, weight_setting
from truesparse.tasks.sequences import PRESETS as OF_SEQUENCES
from truesparse.tasks.sequences import SequenceConfig
from truesparse.training.config import preset_of

if TYPE_CHECKING:
    from truesparse.model.loading import SavedModel
    from truesparse.modelfile import StoredModel
    from truesparse.training.task import Predictor, Task


def reads_rows(saved: SavedModel | StoredModel) -> bool:
    """Whether a model reads rows of features, each as a sequence of one step."""
    return saved.chain.feed_forward and not saved.chain.per_step


# Small data have few steps an epoch: a rate that falls whenever an epoch was no better would end at once.
_SEQUENCES: dict[str, Any] = {**OF_SEQUENCES["sequences"], "lr_decay": 1.0}
PRESETS: dict[str, dict[str, Any]] = {
    "sequences": _SEQUENCES,
    "sequences-gru": {**_SEQUENCES, "cell": "gru"},
    "sequences-both": {**_SEQUENCES, "bidirectional": True},
}

GOALS = ("auto", "classify", "regress", "label-steps", "regress-steps", "forecast")


@dataclass(frozen=True, kw_only=True)
class SeriesConfig(SequenceConfig):
    """The configuration of a model of sequences of numbers; see `Config`."""

    HELP: ClassVar[str] = """Train a truly sparse recurrent model of sequences of numbers.

The model gives a label or numbers for each sequence or each of its steps. With --horizon it forecasts the
next steps of series. Files are CSV, NPZ (arrays X and y), .ts of the UCR/UEA archive, Parquet or Arrow. In
a table a row is a sequence; with --id-column or --time-column it is one step. If --data has no file to
validate or to test on, the command takes sequences out of the training part, by --seed.

A flag wins over its environment variable (such as TRUESPARSE_HIDDEN_SIZE), that over --config, and that over
--preset. Ctrl-C saves and stops.
"""
    EXAMPLES: ClassVar[str] = """
truesparse train sequences --data gestures.csv
truesparse train sequences --data sales.csv --target-column sales --time-column day --horizon 7
truesparse train sequences --resume RUN
"""
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    KIND: ClassVar[str] = "model of numbers"
    LAYOUTS: ClassVar[Sequence[str]] = ("csv", "npz", "idx", "ts", "parquet", "arrow")
    READ_COLUMNS: ClassVar[Sequence[str]] = ("id_column", "time_column", "target_column")
    FLAT: ClassVar[bool] = False  # whether a row of a file is features and not a sequence

    data: str | None = setting(
        None,
        "File, or folder with train.csv (or .npz, .ts, .parquet, .arrow) and, if there are, valid and test;"
        " or with NAME_TRAIN.ts and NAME_TEST.ts.",
        shown="none: you must give it",
    )
    preset: str = preset_of(PRESETS)
    goal: str = setting(
        "auto",
        "What the model predicts: a label or numbers of each sequence, or of each step, or the next steps."
        " auto chooses by the targets, if that is safe; with --horizon it is forecast.",
        choices=GOALS,
    )
    target_column: str = setting(
        "auto",
        "Name of the column to predict; of several numbers their names with commas. auto is label,"
        " target, class or y.",
    )
    id_column: str = setting(
        "",
        "Name of the column that says to which sequence a row belongs.",
        shown="none: a row is a sequence, or all are one",
    )
    time_column: str = setting(
        "", "Name of the column of times, which must go up in each sequence.", shown="none"
    )
    valid_fraction: float = fraction(
        0.1, "Fraction of the training sequences to choose the model by, if --data has no file for it."
    )
    test_fraction: float = fraction(
        0.1, "Fraction of the training sequences to test the model on, if --data has no file for it."
    )
    horizon: int | None = setting(
        None, "Number of next steps to forecast.", low=1, high=1 << 16, shown="none: nothing is forecast"
    )
    lookback: int | None = setting(
        None,
        "Steps that a forecast reads, T.",
        low=1,
        high=1 << 16,
        shown="two seasons, and at least 16 or --horizon",
    )
    season: int | None = setting(
        None,
        "Steps after which a series repeats, such as 12 for months; 1 if it does not. The model learns how"
        " the next steps differ from those of the season before.",
        low=1,
        high=1 << 16,
        shown="found by autocorrelation",
    )
    known_columns: str = setting(
        "", "Names, with commas, of columns whose next steps are known when a forecast is made.", shown="none"
    )
    refit: bool = setting(
        True,
        "With --horizon: after training, fit the linear part of forecasts again, to the training and the"
        " validation part.",
    )
    weight_column: str | None = weight_setting()
    class_weight: str | None = class_weight_setting()
    length: int = setting(
        200,
        "Steps of backpropagation, T, if each step has an output. A longer sequence is learned in pieces,"
        " and read as a whole.",
        low=1,
        high=1 << 20,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embedding_size is not None:
            raise UsageError("--embedding-size is for words; numbers are read as they are, so leave it out")
        if self.goal == "forecast" and self.horizon is None:
            raise UsageError("--goal forecast needs --horizon, how many next steps to forecast; give it too")
        if self.horizon is not None and self.weight_column is not None:
            raise UsageError(
                "--weight-column does not go with --horizon: all steps of a series count the same"
            )
        forecasts = self.goal in ("auto", "forecast") and self.horizon is not None
        for name in ("horizon", "lookback", "season", "known_columns"):
            if getattr(self, name) and not forecasts:
                wanted = f"--goal {self.goal}" if self.horizon is not None else "a run without --horizon"
                raise UsageError(f"{flag(name)} does not go with {wanted}; leave one of both out")
        if not (self.refit or forecasts):
            raise UsageError("--no-refit is for forecasts, with --horizon; leave it out")

    @classmethod
    def made(cls, saved: SavedModel | StoredModel) -> bool:
        """See `Config.made`."""
        from truesparse.data import SeriesEncoder

        return isinstance(saved.encoder, SeriesEncoder) and not reads_rows(saved)

    @staticmethod
    def predictor(saved: SavedModel) -> Predictor:
        """See `Config.predictor`."""
        from truesparse.tasks.series.predict import SeriesPredictor

        return SeriesPredictor(saved)

    @staticmethod
    def describe(results: Mapping[str, Any]) -> list[str]:
        """See `Config.describe`."""
        run = results["run_dir"]
        if "test_accuracy" in results:
            told = (
                f"validation accuracy {results['valid_accuracy']:.2%}, test {results['test_accuracy']:.2%}"
                f" (macro-F1 {results['test_macro_f1']:.2%}; always the most frequent label"
                f" {results['majority_accuracy']:.2%})"
            )
        else:
            if "naive_rmse" in results:
                every = f"every {results['season']:,} steps" if results["season"] > 1 else "last value"
                simple = f"seasonal naive, {every}: RMSE {results['naive_rmse']:.6g}"
                if "linear_rmse" in results:
                    simple += f"; with the linear part: {results['linear_rmse']:.6g}"
            else:
                simple = f"always the mean: RMSE {results['mean_rmse']:.6g}"
            told = (
                f"validation RMSE {results['valid_rmse']:.6g}, test {results['test_rmse']:.6g} (MAE"
                f" {results['test_mae']:.6g}, R² {results['test_r2']:.4f}; {simple})"
            )
        lines = [told]
        if results.get("refit"):
            lines.append("the linear part was fitted again, to the training and the validation part")
        used = f"the run is in {run}; use it with: truesparse predict {typed(run)} FILE"
        return [*lines, *calibration_lines(results), used]

    def make_task(self, **reading: Any) -> Task:
        """See `Config.make_task`."""
        from truesparse.tasks.series.task import SeriesLearning

        return SeriesLearning(self, like=reading.get("like"))
