"""``truesparse train lm``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truesparse.cli.train_run import training_command
from truesparse.training.task_configs import LanguageModelConfig

_HELP = """Train a truly sparse recurrent language model.

Without --data it trains on the documentation that comes with Python. A flag beats its environment variable
(TRUESPARSE_ and the name, as in TRUESPARSE_HIDDEN_SIZE), that beats --config, that beats --preset. Ctrl-C
saves and stops.
"""


def _describe(results: Mapping[str, Any]) -> list[str]:
    run = results["run_dir"]
    return [
        f"validation perplexity {results['valid_perplexity']:.2f}, test {results['test_perplexity']:.2f}"
        f" (unigram model {results['unigram_perplexity']:.2f})",
        f"the run is in {run}; see what it writes with: truesparse generate {run}",
    ]


lm = training_command(LanguageModelConfig, _HELP, _describe)
