"""What an embedding is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from truesparse.errors import UsageError
from truesparse.layers.spec import STEPS, TOKENS, LayerSpec, Matrix, Signal, count


@dataclass(frozen=True)
class Embedding(LayerSpec):
    """A vector for each token: row v of a sparse matrix is that of token v."""

    TYPE: ClassVar[str] = "embedding"
    TAKES: ClassVar[tuple[str, ...]] = (TOKENS,)
    NUMBERED: ClassVar[bool] = False
    FREE: ClassVar[tuple[str, ...]] = ("group",)
    SPARED: ClassVar[tuple[str, ...]] = ("source", "parameters")

    tokens: int = count("Different tokens, V.")
    size: int = count("Length of a token's vector, E.")
    group: int = count("Tokens next to each other that share their positions; divides the tokens.", 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_groups(self.tokens, self.group)

    def output(self, given: Signal) -> Signal:
        """A vector at each step."""
        return Signal(STEPS, self.size)

    def matrices(self, given: Signal) -> tuple[Matrix, ...]:
        """`weight`, with a row for each token."""
        return (Matrix("weight", (self.tokens, self.size), group=self.group, used="lookup"),)

    def resized(self, numerator: int, denominator: int) -> Self:
        """See `LayerSpec.resized`."""
        return replace(self, size=max(1, round(self.size * numerator / denominator)))


def check_groups(tokens: int, group: int) -> None:
    """Raise UsageError if groups of tokens leave some over."""
    if tokens % group:
        raise UsageError(
            f"a vocabulary of {tokens} cannot be cut into groups of {group}"
            "; choose a size of groups that divides it"
        )
