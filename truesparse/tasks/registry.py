"""The tasks there are. One of your own is one more line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from truesparse.errors import UsageError
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.tagger.settings import TaggerConfig
from truesparse.training.config import Config

if TYPE_CHECKING:
    from truesparse.model.loading import SavedModel

_KINDS: tuple[type[Config], ...] = (
    LanguageModelConfig,
    ClassifierConfig,
    TaggerConfig,
)
TASKS: dict[str, type[Config]] = {kind.TASK: kind for kind in _KINDS}


def task_of(saved: SavedModel) -> type[Config]:
    """The task that made a saved model.

    Raises
    ------
    UsageError
        None has one like it.
    """
    for kind in TASKS.values():
        if kind.made(saved):
            return kind
    raise UsageError(f"{saved.path} is a model of no task that has a command; use it from Python")
