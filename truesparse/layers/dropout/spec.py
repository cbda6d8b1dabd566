"""What dropout is: of words, and of the features that go from layer to layer. In training only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from truesparse.layers.spec import SEQUENCE, STEPS, TOKENS, LayerSpec, Signal, rate
from truesparse.settings import setting

OF_WORDS = "Fraction of the words dropped from a sequence."


@dataclass(frozen=True)
class WordDropout(LayerSpec):
    """Drops every occurrence of a word in a sequence, or none; the next `Dropout` scales those that stay.

    References
    ----------
    Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016.
    """

    TYPE: ClassVar[str] = "word-dropout"
    TAKES: ClassVar[tuple[str, ...]] = (TOKENS,)
    TRAINING_ONLY: ClassVar[bool] = True

    rate: float = rate(OF_WORDS)

    def output(self, given: Signal) -> Signal:
        """As many tokens."""
        return given


@dataclass(frozen=True)
class Dropout(LayerSpec):
    """Drops features and scales the others.

    References
    ----------
    Zaremba, Sutskever & Vinyals, "Recurrent neural network regularization", 2014; locked as in Gal &
    Ghahramani, 2016.
    """

    TYPE: ClassVar[str] = "dropout"
    TAKES: ClassVar[tuple[str, ...]] = (STEPS, SEQUENCE)
    TRAINING_ONLY: ClassVar[bool] = True

    rate: float = rate("Fraction of the features dropped.")
    locked: bool = setting(False, "Drop the same features of a sequence at every step.")

    def output(self, given: Signal) -> Signal:
        """As many features."""
        return given
