"""``truesparse train classifier``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truesparse.cli.train_run import training_command
from truesparse.training.task_configs import ClassifierConfig

_HELP = """Train a truly sparse recurrent classifier of texts.

The texts are in CSV files whose first row has the names of the columns. What --data lacks of valid.csv and
test.csv is taken out of the training rows, by --seed. A flag beats its environment variable (TRUESPARSE_ and
the name, as in TRUESPARSE_HIDDEN_SIZE), that beats --config, that beats --preset. Ctrl-C saves and stops.
"""


def _describe(results: Mapping[str, Any]) -> list[str]:
    run = results["run_dir"]
    return [
        f"validation accuracy {results['valid_accuracy']:.2%}, test {results['test_accuracy']:.2%}"
        f" (macro-F1 {results['test_macro_f1']:.2%}; always the most frequent label"
        f" {results['majority_accuracy']:.2%})",
        f"the run is in {run}; classify texts, one a line, with: truesparse predict {run} FILE",
    ]


classifier = training_command(ClassifierConfig, _HELP, _describe)
