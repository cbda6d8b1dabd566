"""The tasks there are. One of your own is one more line here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from truesparse.errors import UsageError

if TYPE_CHECKING:
    from truesparse.model.loading import SavedModel
    from truesparse.modelfile import StoredModel
    from truesparse.training.config import Config

# Configurations by the names of the tasks: in which module of this package.
_CONFIGS = {
    "lm": ("lm.settings", "LanguageModelConfig"),
    "mlm": ("mlm.settings", "MaskedConfig"),
    "classifier": ("classifier.settings", "ClassifierConfig"),
    "tagger": ("tagger.settings", "TaggerConfig"),
    "sequences": ("series.settings", "SeriesConfig"),
    "mlp": ("mlp.settings", "MLPConfig"),
}


class _Tasks(Mapping[str, "type[Config]"]):
    """Configurations by the names of the tasks, imported when they are asked for: commands start faster."""

    def __getitem__(self, name: str) -> type[Config]:
        module, config = _CONFIGS[name]
        found: type[Config] = getattr(import_module(f"truesparse.tasks.{module}"), config)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_CONFIGS)

    def __len__(self) -> int:
        return len(_CONFIGS)


TASKS = _Tasks()


def task_of(saved: SavedModel | StoredModel) -> type[Config]:
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
