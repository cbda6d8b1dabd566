"""Settings that tasks with labels share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truesparse.settings import setting


def class_weight_setting() -> Any:
    """The field for how much each label counts; see `truesparse.data.weights.read_class_weight`."""
    return setting(
        None,
        "How much examples of each label count in training, such as bad=2,good=1 (other labels count 1);"
        " balanced lets all labels count the same.",
        shown="all the same",
    )


def weight_setting() -> Any:
    """The field for the column of weights of examples."""
    return setting(
        None,
        "Name of a column that says how much each training row counts, 0 or more.",
        shown="all the same",
    )


def choose_setting(*names: str) -> Any:
    """The field for what measure the best model is chosen by; the first name is the default."""
    return setting(
        names[0],
        "Measure of the validation data by which the best model is chosen; of equal ones, the lowest loss.",
        choices=names,
    )


def calibrate_setting() -> Any:
    """The field for whether probabilities are calibrated."""
    return setting(
        False,
        "After training, fit a temperature on the validation data and divide the scores by it, so that"
        " probabilities are calibrated. The model file keeps it.",
    )


def calibration_lines(results: Mapping[str, Any]) -> list[str]:
    """What calibration came to, in lines for people."""
    if "temperature" not in results:
        return []
    if "refused_temperature" in results:
        refused = results["refused_temperature"]
        return [not_calibrated(refused, "validation data", "--valid-fraction or a file")]
    line = f"calibrated with temperature {results['temperature']:.3g}: expected calibration error"
    parts = (
        f"{word} {results[f'{part}_calibration_error_before']:.2%} before,"
        f" {results[f'{part}_calibration_error']:.2%} after"
        for part, word in (("valid", "validation"), ("test", "test"))
        if f"{part}_calibration_error" in results
    )
    return [f"{line} {'; '.join(parts)}"]


def not_calibrated(temperature: float, data: str, flags: str) -> str:
    """Why `truesparse.training.calibration.helps` has refused a temperature, and what to do.

    Parameters
    ----------
    temperature : float
    data, flags : str
        What it was fitted to, and what gives more of that.
    """
    from truesparse.training.calibration import LIMITS

    if temperature > LIMITS[1] / 1.001:
        return (
            f"not calibrated: the scores say almost nothing about the labels of the {data}, which asks for a"
            f" temperature of {LIMITS[1]:g} or more; train the model longer, or with other settings"
        )
    return (
        f"not calibrated: the {data} are too few, or nearly all right, to show that the temperature"
        f" {temperature:.3g} helps; give more of them, with {flags}"
    )


def chosen_by(name: str) -> tuple[str, ...]:
    """The measures that `truesparse.training.task.Task` compares, from what `choose_setting` was given."""
    return tuple(dict.fromkeys((name.replace("-", "_"), "loss")))
