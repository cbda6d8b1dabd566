"""The parts of the C source that make forecasts of a series, from its own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

import numpy as np

from truesparse.data import SeriesEncoder
from truesparse.data.series_encoder import FORECAST
from truesparse.export.c_arrays import Constants, read_template
from truesparse.modelfile import StoredModel


def forecast_text(stored: StoredModel, values: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """What is put into the templates of a forecaster instead.

    A model that reads in both directions has no such function: the caller has the room for its steps.

    Parameters
    ----------
    stored : StoredModel
    values : mapping of str to str
        What is put into them anyway; see `truesparse.export.c_inputs.input_text`.

    Returns
    -------
    dict of str to str
        Nothing for other models.
    int
        Bytes of constants.
    """
    encoder = stored.encoder
    if not isinstance(encoder, SeriesEncoder) or encoder.goal != FORECAST or stored.chain.whole:
        return {}, 0
    constants, name = Constants(), values["name"]
    if encoder.known:
        places = np.array([encoder.features.index(known) for known in encoder.known], np.uint16)
        constants.array(f"{name}_known_places", places)
    if encoder.linear:
        constants.array(f"{name}_linear_part", np.array(encoder.linear, np.float32))
    sizes = {
        "COLUMNS": (
            len(encoder.features),
            "numbers of a step of a series, of which the first are forecast",
        ),
        "TARGETS": (len(encoder.targets), "numbers that are forecast"),
        "KNOWN": (len(encoder.known), "numbers that are known ahead"),
        "HORIZON": (encoder.horizon, "next steps"),
        "SEASON": (encoder.season, "steps after which a series repeats"),
        "HISTORY": (encoder.needed - encoder.horizon, "last steps of a series that a forecast takes"),
    }
    parts = {**_KNOWN} if encoder.known else dict.fromkeys(_KNOWN, "")
    parts["linear"] = _LINEAR if encoder.linear else ""
    own = {key: Template(part).substitute(values, lags=encoder.lags) for key, part in parts.items()}
    function = read_template("forecast.c").substitute({**values, **own})
    text = {
        "input_size": "\n".join(
            [values["input_size"]]
            + [f"#define {values['upper']}_{key} {size} /* {what} */" for key, (size, what) in sizes.items()]
        ),
        "more_functions": values["more_functions"] + Template(_DECLARATION).substitute(values, **own),
        "last_functions": values["last_functions"] + "\n" + "\n".join(constants.definitions) + function,
    }
    return text, constants.bytes


_KNOWN = {
    "known_input": ", const float *known_ahead",
    "known_words": """, and what is known of the next steps: ${upper}_HORIZON * ${upper}_KNOWN
 * numbers, step by step""",
    "known_features": """\
        for (ahead = step + 1; ahead <= step + ${upper}_HORIZON; ahead++) {
            for (i = 0; i < ${upper}_KNOWN; i++) {
                *feature++ = ahead < ${upper}_HISTORY
                                 ? history[ahead * ${upper}_COLUMNS + ${name}_known_places[i]]
                                 : known_ahead[(ahead - ${upper}_HISTORY) * ${upper}_KNOWN + i];
            }
        }
""",
}
_LINEAR = """\
            const float *factor = ${name}_linear_part + (target * ${upper}_HORIZON + ahead) * $lags;
            const float *value = history + (${upper}_HISTORY - $lags) * ${upper}_COLUMNS + target;
            const float last = value[($lags - 1) * ${upper}_COLUMNS];
            for (i = 0; i + 1 < $lags; i++) {
                *numbers += factor[i] * (value[i * ${upper}_COLUMNS] - last);
            }
            *numbers += factor[$lags - 1];
"""
_DECLARATION = """\
/* Forecast the next steps of a series, given its last ones: ${upper}_HISTORY * ${upper}_COLUMNS finite
 * numbers, step by step$known_words. Writes ${upper}_HORIZON * ${upper}_TARGETS
 * numbers, step by step, in their own units. What the state had read is forgotten. */
void ${name}_forecast(${name}_state *state, const float *history$known_input, float *numbers);

"""
