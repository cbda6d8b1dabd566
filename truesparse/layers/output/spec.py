"""What the heads are: the last layer of a chain, fused with its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from truesparse.errors import UsageError
from truesparse.layers.embedding.spec import check_groups
from truesparse.layers.spec import SEQUENCE, STEPS, LayerSpec, Matrix, Signal, Vector, count
from truesparse.layers.standardize.spec import check_scaling
from truesparse.settings import setting


@dataclass(frozen=True)
class Head(LayerSpec):
    """A linear layer and a loss, for each step or for each sequence, whatever the signal is.

    Attributes
    ----------
    DIRECT : bool
        Whether the linear layer reads what the head is given.
    """

    TAKES: ClassVar[tuple[str, ...]] = (STEPS, SEQUENCE)
    NUMBERED: ClassVar[bool] = False
    NAME: ClassVar[str] = "output"
    FREE: ClassVar[tuple[str, ...]] = ("group",)
    DIRECT: ClassVar[bool] = True

    outputs: int = count("Classes, tokens or numbers.")
    sparse: bool = setting(True, "Whether its matrix is sparse; if not, its weights are all there.")
    tied: bool = setting(False, "Whether its matrix is that of the embedding.")
    group: int = count("Outputs next to each other that share their positions; divides the outputs.", 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tied and not self.sparse:
            raise UsageError("an output layer that is tied to the embedding is sparse; leave out one of both")
        check_groups(self.outputs, self.group)

    def output(self, given: Signal) -> Signal:
        """A score for each output."""
        return Signal(given.kind, self.outputs)

    @property
    def copies(self) -> int:
        """How many scores each output has: how often the linear layer is used."""
        return 1

    def width(self, given: Signal) -> int:
        """How many numbers the linear layer reads."""
        return given.size

    def matrices(self, given: Signal) -> tuple[Matrix, ...]:
        """`weight`, if it is sparse and not the embedding's."""
        if self.tied or not self.sparse:
            return ()
        used = "step" if given.kind == STEPS else "sequence"
        return (Matrix("weight", (self.outputs, self.width(given)), group=self.group, used=used),)  # type: ignore[arg-type]

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """`bias`, and `weight` if that is dense."""
        bias = Vector("bias", self.outputs)
        if self.sparse:
            return (bias,)
        return bias, Vector("weight", self.outputs * given.size, drawn=True)


def smoothing_setting() -> Any:
    """A field for label smoothing."""
    return setting(
        0.0,
        "Fraction of the probability of each target that is spread evenly over all classes in training.",
        low=0,
        high=1,
        open_high=True,
    )


@dataclass(frozen=True)
class Softmax(Head):
    """Probabilities of classes or of the next token, and their cross-entropy.

    With `label_smoothing` e, training minimises (1 - e) times the cross-entropy of the target plus e times
    its mean over all classes; what is measured is the cross-entropy. Scores are divided by `temperature` in
    all that is said and measured, not in training.

    References
    ----------
    Szegedy et al., "Rethinking the Inception architecture", 2016, section 7; Guo et al., "On calibration of
    modern neural networks", 2017, section 4.2.
    """

    TYPE: ClassVar[str] = "softmax"
    SPARED: ClassVar[tuple[str, ...]] = ("source", "parameters")
    FREE: ClassVar[tuple[str, ...]] = (*Head.FREE, "label_smoothing", "temperature")

    label_smoothing: float = smoothing_setting()
    temperature: float = setting(1.0, "What scores are divided by after training.", low=0, open_low=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outputs < 2:
            raise UsageError(f"a softmax needs 2 or more outputs, not {self.outputs}: one alone is certain")
        if self.tied and self.temperature != 1:
            raise UsageError("an output layer that is tied to the embedding has no temperature; leave it out")

    def to_document(self) -> dict[str, Any]:
        """See `LayerSpec.to_document`; smoothing and temperature are left out if there are none."""
        document = super().to_document()
        for name, usual in (("label_smoothing", 0.0), ("temperature", 1.0)):
            if document[name] == usual:
                del document[name]
        return document


@dataclass(frozen=True)
class MaskedSoftmax(Softmax):
    """A `Softmax` that training computes only at steps with a target, for models in which few steps have one.

    References
    ----------
    Devlin et al., "BERT: pre-training of deep bidirectional transformers", 2019, section 3.1: a token that is
    hidden is predicted from all others.
    """

    TYPE: ClassVar[str] = "masked-softmax"
    SPARED: ClassVar[tuple[str, ...]] = ("source", "parameters")


@dataclass(frozen=True)
class SquaredError(Head):
    """Numbers, and half their squared error.

    With `mean` and `scale`, one each for every output, the linear layer says ``(y - mean) / scale`` of a
    number y, and the loss is in these units; targets and predictions are in those of y. Both are constants of
    the model's description.
    """

    TYPE: ClassVar[str] = "squared-error"
    SPARED: ClassVar[tuple[str, ...]] = ("source", "parameters")
    FREE: ClassVar[tuple[str, ...]] = (*Head.FREE, "mean", "scale")

    mean: tuple[float, ...] = setting((), "Mean of each number.")
    scale: tuple[float, ...] = setting((), "What a deviation of 1 is in each number.", low=0, open_low=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scaling(self.TYPE, self.mean, self.scale)
        if len(self.mean) not in (0, self.outputs):
            raise UsageError(
                f"the layer {self.TYPE} has mean and scale of {len(self.mean)} numbers, but {self.outputs}"
                " outputs; give one each for every output, or none"
            )
