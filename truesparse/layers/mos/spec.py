"""What a mixture of softmaxes is; see `truesparse.layers.mos.layer` for its equations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from truesparse.errors import UsageError
from truesparse.layers.output.spec import Head, Softmax
from truesparse.layers.spec import STEPS, Matrix, Signal, Vector, count


@dataclass(frozen=True)
class MixtureOfSoftmaxes(Softmax):
    """Probabilities that are a weighted mean of those of several softmaxes, and their cross-entropy.

    Each of the `experts` has `latent` numbers of its own, made of the layer before; the output matrix serves
    all of them.

    References
    ----------
    Yang, Dai, Salakhutdinov & Cohen, "Breaking the softmax bottleneck: a high-rank RNN language model", 2018.
    """

    TYPE: ClassVar[str] = "mos"
    DIRECT: ClassVar[bool] = False
    FREE: ClassVar[tuple[str, ...]] = Head.FREE

    experts: int = count("Softmaxes that are mixed, K.", 5)
    latent: int = count("Numbers that each softmax reads.", 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sparse or self.label_smoothing or self.temperature != 1:
            raise UsageError(
                "a mixture of softmaxes has a sparse output matrix, no label smoothing and no temperature"
                "; leave these settings out"
            )

    @property
    def copies(self) -> int:
        """See `Head.copies`."""
        return self.experts

    def width(self, given: Signal) -> int:
        """See `Head.width`."""
        return self.latent

    def matrices(self, given: Signal) -> tuple[Matrix, ...]:
        """`weight`, if it is not the embedding's, and `latent`, with the rows of all experts."""
        used = "step" if given.kind == STEPS else "sequence"
        own = (matrix._replace(reads="state") for matrix in super().matrices(given))
        return *own, Matrix("latent", (self.experts * self.latent, given.size), used=used)  # type: ignore[arg-type]

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """`bias`, `bias_latent`, and `prior`, the dense weights of what decides between the experts."""
        return (
            *super().vectors(given),
            Vector("bias_latent", self.experts * self.latent),
            Vector("prior", self.experts * given.size, drawn=True),
        )

    def resized(self, numerator: int, denominator: int) -> Self:
        """See `LayerSpec.resized`."""
        return replace(self, latent=max(1, round(self.latent * numerator / denominator)))
