"""Named sets of values for the fields of the configuration.

What a preset says of an optimizer, a method, a cell or how many weights there are counts as long as the
preset's own is not replaced by another.
"""

from __future__ import annotations

from typing import Any

LANGUAGE_MODEL_PRESETS: dict[str, dict[str, Any]] = {
    "demo": {},
    "ptb-small": {
        "hidden_size": 200,
        "layers": 2,
        "epochs": 13,
        "dropout": 0.2,
        "clip": 0.25,
        "init_scale": 0.1,
        "lr_decay_start": 6,
    },
    "ptb-medium": {  # benchmarks/results/ptb-medium
        "hidden_size": 650,
        "layers": 2,
        "epochs": 22,
        "dropout": 0.35,
        "clip": 0.25,
        "init_scale": 0.1,
        "lr_decay": 1.3,
        "lr_decay_start": 9,
    },
    "ptb-large": {
        "hidden_size": 1500,
        "layers": 2,
        "density": 0.33,
        "epochs": 100,
        "dropout": 0.65,
        "drop_fraction": 0.8,
    },
    "ptb-rhn": {
        "cell": "rhn",
        "hidden_size": 830,
        "layers": 1,
        "depth": 10,
        "tied": True,
        "density": 0.472,
        "epochs": 200,
        "dropout_embedding": 0.2,
        "dropout_input": 0.65,
        "dropout_hidden": 0.25,
        "dropout_output": 0.65,
        "lr_decay": 1.11,
        "drop_fraction": 0.5,
    },
}

SEQUENCE_PRESETS: dict[str, dict[str, Any]] = {
    "sequences": {
        "hidden_size": 64,
        "clip": 1.0,
        "optimizer": "adam",
        "lr": 0.01,
        "epochs": 50,
        "batch_size": 32,
    },
}

CLASSIFIER_PRESETS: dict[str, dict[str, Any]] = {
    "text": {
        "distribution": "erdos-renyi",
        "er_epsilon": 10.0,
        "gates": "separate",
        "optimizer": "adam",
        "lr": 0.002,
        "clip": 1.0,
        "epochs": 8,
        "batch_size": 64,
        "dropout": 0.5,
    },
}
