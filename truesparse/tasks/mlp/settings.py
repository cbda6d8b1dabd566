"""Settings of a run that trains a feed-forward net, and the model they describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.linear.spec import ACTIVATIONS
from truesparse.layers.models import feed_forward
from truesparse.layers.spec import LARGEST
from truesparse.settings import setting
from truesparse.tasks.series.settings import SeriesConfig, reads_rows
from truesparse.training.chosen import choices
from truesparse.training.config import preset_of

if TYPE_CHECKING:
    from truesparse.model.loading import SavedModel
    from truesparse.modelfile import StoredModel
    from truesparse.training.task import Task

_RIGL: dict[str, Any] = {
    "hidden_sizes": "300,100",
    "method": "rigl",
    "distribution": "erdos-renyi",
    "optimizer": "adam",
    "lr": 0.004,
    # Weights of pixels that are always dark have no other gradient: this takes them to 0, so that they go.
    "weight_decay": 1e-5,
    "lr_decay": 1.4,
    "lr_decay_start": 12,
    "epochs": 20,
    "batch_size": 128,
    "keep_topologies": 13,
}
PRESETS: dict[str, dict[str, Any]] = {  # benchmarks/results/mnist
    "mnist": _RIGL,
    "mnist-100": {
        **_RIGL,
        "lr_schedule": "cosine",
        "weight_decay": 3e-4,
        "label_smoothing": 0.1,
        "epochs": 100,
    },
    "set-mnist": {
        **_RIGL,
        "hidden_sizes": "1000,1000,1000",
        "activation": "srelu",
        "method": "set",
        "er_epsilon": 20.0,
        "output": "sparse",
    },
}
SCALES = ("auto", "standardize", "pixels", "none")


@dataclass(frozen=True, kw_only=True)
class MLPConfig(SeriesConfig):
    """The configuration of a feed-forward net; see `Config`."""

    HELP: ClassVar[str] = """Train a truly sparse feed-forward net.

The net predicts a label or numbers for each row of a table, or for each image. Files are CSV, NPZ (arrays X
and y, or images and labels), IDX as of MNIST, packed or not, Parquet or Arrow. If --data has no file to
validate or to test on, the command takes rows out of the training part, by --seed.

A flag wins over its environment variable (such as TRUESPARSE_HIDDEN_SIZES), that over --config, and that over
--preset. Ctrl-C saves and stops.
"""
    EXAMPLES: ClassVar[str] = """
truesparse train mlp
truesparse train mlp --data mnist --density 0.02
truesparse train mlp --resume RUN
"""
    TASK: ClassVar[str] = "mlp"
    FLAT: ClassVar[bool] = True
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    LAYOUTS: ClassVar[Sequence[str]] = ("csv", "npz", "idx", "parquet", "arrow")
    UNUSED: ClassVar[frozenset[str]] = frozenset(
        {name for settings in choices()["cell"].values() for name in settings}
        | {"cell", "hidden_size", "layers", "bidirectional", "embedding_size", "gates", "pattern"}
        | {"importance", "locked_dropout", "dropout_weights", "pooling", "id_column", "time_column"}
        | {"horizon", "lookback", "season", "known_columns", "refit", "length"}
    )

    data: str | None = setting(
        None,
        "File, or folder with train.csv (or .npz, .parquet, .arrow) and, if there are, valid and test; or"
        " with MNIST's four files.",
        shown="images of digits that come with scikit-learn",
    )
    preset: str = preset_of(PRESETS)
    goal: str = setting(
        "auto",
        "What the model predicts: a label or numbers. auto chooses by the targets, if that is safe.",
        choices=("auto", "classify", "regress"),
    )
    hidden_sizes: str = setting("300,100", "Units of the hidden layers, with commas.")
    activation: str = setting("relu", "Activation function of the hidden units.", choices=ACTIVATIONS)
    inputs: str = setting(
        "auto",
        "How to scale numbers: by mean and deviation of each column, or pixels from 0 to 255 divided by"
        " 255. auto recognises such pixels.",
        choices=SCALES,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        read_sizes(self.hidden_sizes)

    @classmethod
    def made(cls, saved: SavedModel | StoredModel) -> bool:
        """See `Config.made`."""
        from truesparse.data import SeriesEncoder

        return isinstance(saved.encoder, SeriesEncoder) and reads_rows(saved)

    def make_task(self, **reading: Any) -> Task:
        """See `Config.make_task`."""
        from truesparse.tasks.mlp.task import RowLearning

        return RowLearning(self)

    def chain(
        self, features: int, outputs: int, kind: str, scaled: tuple[tuple[float, ...], ...] = (), **more: Any
    ) -> ChainSpec:
        """The net for so many features and outputs.

        Parameters
        ----------
        features, outputs : int
        kind : {"classifier", "regressor"}
        scaled : (tuple of float, tuple of float)
            Mean and scale of each feature; empty for none.
        **more
            See `truesparse.layers.models.feed_forward`.
        """
        return feed_forward(
            features,
            read_sizes(self.hidden_sizes),
            outputs,
            kind,
            self.activation,
            self.dropout,
            sparse_output=self.output == "sparse",
            label_smoothing=self.label_smoothing if kind == "classifier" else 0.0,
            scaled=scaled,
            **more,
        )


def read_sizes(text: str) -> tuple[int, ...]:
    """Sizes of layers, with commas between them; UsageError if they are none."""
    try:
        sizes = tuple(int(size) for size in text.split(","))
    except ValueError:
        sizes = (0,)
    if not all(1 <= size <= LARGEST for size in sizes):
        raise UsageError(
            f"--hidden-sizes is {text!r}; give the units of each hidden layer, with commas, such as 300,100"
        )
    return sizes
