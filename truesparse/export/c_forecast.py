"""The parts of the C source that make forecasts of a series, from its own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

import numpy as np
from numpy.typing import NDArray

from truesparse.data import SeriesEncoder
from truesparse.data.series_encoder import FORECAST
from truesparse.export.c_arrays import Constants, lines, numbers, read_template
from truesparse.layers.standardize.spec import Standardize
from truesparse.modelfile import StoredModel
from truesparse.runtime.forecaster import Forecaster

_NOTHING = dict.fromkeys(
    ("forecast_declaration", "forecast_function", "test_of_forecast", "forecast_tested"), ""
)
_LONGEST = 1000  # steps that the example reads of a model of both directions


def encoder_of_forecasts(stored: StoredModel) -> SeriesEncoder | None:
    """How a forecaster reads; None of another model."""
    encoder = stored.encoder
    return encoder if isinstance(encoder, SeriesEncoder) and encoder.goal == FORECAST else None


def forecast_text(stored: StoredModel, values: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """What is put into the templates of a forecaster instead, or of another model besides.

    Parameters
    ----------
    stored : StoredModel
    values : mapping of str to str
        What is put into them anyway; see `truesparse.export.c_inputs.input_text`.

    Returns
    -------
    dict of str to str
    int
        Bytes of constants.
    """
    encoder = encoder_of_forecasts(stored)
    if encoder is None:
        return {**_NOTHING, "longest": str(_LONGEST)}, 0
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
    parts = {
        **(_KNOWN if encoder.known else dict.fromkeys(_KNOWN, "")),
        **(_WHOLE if stored.chain.whole else _STEPS),
        "linear": _LINEAR if encoder.linear else "",
        **_tested(stored, encoder),
    }
    own = {key: Template(part).substitute(values, lags=encoder.lags) for key, part in parts.items()}

    def filled(file: str) -> str:
        return read_template(file).substitute({**values, **own})

    text = {
        "input_size": "\n".join(
            [values["input_size"]]
            + [f"#define {values['upper']}_{key} {size} /* {what} */" for key, (size, what) in sizes.items()]
        ),
        "forecast_declaration": Template(_DECLARATION).substitute(values, **own),
        "forecast_function": "\n" + "\n".join(constants.definitions) + filled("forecast.c"),
        "test_of_forecast": filled("test_forecast.c"),
        "forecast_tested": "    failures += test_of_forecast(&largest);\n",
        "example": filled("main_forecast.c"),
        "arguments": "< SERIES",
        "longest": str(max(_LONGEST, encoder.lookback)),
    }
    return text, constants.bytes


def forecasts_to_test(
    stored: StoredModel, encoder: SeriesEncoder, count: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Series of numbers such as the model has learned, and what the runtime forecasts of them.

    Parameters
    ----------
    stored : StoredModel
        Of the weights that are tested.
    encoder : SeriesEncoder
        Of the model.
    count : int
        How many series.

    Returns
    -------
    history : ndarray of float32, shape (count, season + lookback, features)
        ``test_number`` of the C example makes the first one.
    later : ndarray of float32, shape (count, horizon, known)
    forecasts : ndarray of float64, shape (count, horizon, targets)
    """
    columns, known = len(encoder.features), len(encoder.known)
    steps = encoder.needed - encoder.horizon
    mean, scale = (np.array(values, np.float32) for values in _scales(stored, encoder))
    places = np.arange(steps * columns + encoder.horizon * known) + 1000 * np.arange(count)[:, None]
    unit = (places % 2001 * 7919 % 2001).astype(np.float32) / np.float32(1000) - np.float32(1)
    past = unit[:, : steps * columns].reshape(count, steps, columns)
    ahead = unit[:, steps * columns :].reshape(count, encoder.horizon, known)
    history = mean[:columns] + scale[:columns] * past
    later = mean[columns:] + scale[columns:] * ahead
    forecasts = Forecaster(stored).predict([*history], [*later] if known else None)
    return history, later, forecasts.reshape(count, encoder.horizon, -1)


def _scales(stored: StoredModel, encoder: SeriesEncoder) -> tuple[list[float], list[float]]:
    """Mean and deviation of the columns of a series, and again of those that are known ahead."""
    first, names = stored.chain.layers[0], encoder.features
    places = [*range(len(names)), *(names.index(known) for known in encoder.known)]
    if not isinstance(first, Standardize):
        return [0.0] * len(places), [1.0] * len(places)
    return [first.mean[place] for place in places], [first.scale[place] for place in places]


def _tested(stored: StoredModel, encoder: SeriesEncoder) -> dict[str, str]:
    """What the example tests."""
    mean, scale = (", ".join(numbers(np.array(values, np.float32))) for values in _scales(stored, encoder))
    _, _, forecasts = forecasts_to_test(stored, encoder)
    scaled = bool(getattr(stored.chain.head, "scale", ()))
    return {
        "means": mean,
        "scales": scale,
        "test_forecast": ",\n".join(lines(numbers(forecasts.ravel().astype(np.float32)))),
        "unit": "fabs((double)test_units[i])" if scaled else "1.0",
    }


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
    "known_array": "static float known_ahead[${upper}_HORIZON * ${upper}_KNOWN];\n",
    "known_argument": ", known_ahead",
    "known_numbers": """\
    for (; i < ${upper}_HISTORY * ${upper}_COLUMNS + ${upper}_HORIZON * ${upper}_KNOWN; i++) {
        const size_t ahead = i - ${upper}_HISTORY * ${upper}_COLUMNS;
        known_ahead[ahead] = test_number(i, ${upper}_COLUMNS + ahead % ${upper}_KNOWN);
    }
""",
    "known_read": ", then what is known of the next ${upper}_HORIZON, ${upper}_KNOWN numbers each",
    "and_known": " && read_numbers(known_ahead, ${upper}_HORIZON * ${upper}_KNOWN)",
    "known_sentence": ", then the %d next ones, %d known numbers each",
    "known_sizes": ", ${upper}_HORIZON, ${upper}_KNOWN",
}
_STEPS = {
    "room_input": "",
    "room_words": "What the state had read is forgotten.",
    "room_argument": "",
    "begin": "    float features[${upper}_FEATURES];\n",
    "reset": "    ${name}_reset(state);\n",
    "first": "        float *feature = features;\n",
    "each": "        ${name}_step(state, features);\n",
    "end": "    ${name}_output(state, numbers);",
}
_WHOLE = {
    "room_input": ", float *room",
    "room_words": """It takes the room of
 * ${upper}_HISTORY - ${upper}_SEASON steps.""",
    "room_argument": ", room",
    "begin": """\
    float *const features = room + ${width} * (${upper}_HISTORY - ${upper}_SEASON); /* read, then used */
    float *feature = features;
""",
    "reset": "",
    "first": "",
    "each": "",
    "end": "    ${name}_run(state, features, ${upper}_HISTORY - ${upper}_SEASON, room, numbers);",
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
 * numbers, step by step, in their own units. $room_words */
void ${name}_forecast(${name}_state *state, const float *history$known_input$room_input, float *numbers);

"""
