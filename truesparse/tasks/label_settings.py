"""Settings that tasks with labels share."""

from __future__ import annotations

from typing import Any

from truesparse.settings import setting


def class_weight_setting() -> Any:
    """The field for how much each label counts; see `truesparse.data.weights.read_class_weight`."""
    return setting(
        None,
        "How much examples of each label count in training: such as bad=2,good=1, 1 for a label that is left"
        " out, or balanced: each label as much as any other.",
        shown="all the same",
    )


def choose_setting(*names: str) -> Any:
    """The field for what measure the best model is chosen by; the first name is the default."""
    return setting(
        names[0],
        "Measure of the validation data by which the best model is chosen; of equal ones, the lowest loss.",
        choices=names,
    )


def chosen_by(name: str) -> tuple[str, ...]:
    """The measures that `truesparse.training.task.Task` compares, from what `choose_setting` was given."""
    return tuple(dict.fromkeys((name.replace("-", "_"), "loss")))
