"""AWD-LSTM and AWD-LSTM-MoS by name: their sizes, and runs of small ones."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_helpers import StopAt, assert_same_end, records

from truesparse.errors import UsageError
from truesparse.layers.activity.spec import ActivityPenalty
from truesparse.layers.dropout.spec import Dropout, WordDropout
from truesparse.layers.mos.spec import MixtureOfSoftmaxes
from truesparse.layers.spec import Recurrent
from truesparse.model.loading import load_model
from truesparse.tasks.lm.settings import LanguageModelConfig, language_model_chain
from truesparse.tasks.run import resume_run, train_model
from truesparse.tasks.sources import resolve
from truesparse.training.loop import TrainingStopped

pytestmark = pytest.mark.usefixtures("command")

PRESETS = pytest.mark.parametrize("preset", ["ptb-awd", "ptb-awd-mos"])
SIZES: dict[str, dict[str, Any]] = {
    "ptb-awd": {"hidden_size": 12, "last_hidden_size": 8, "embedding_size": 8},
    "ptb-awd-mos": {"hidden_size": 12, "last_hidden_size": 8, "embedding_size": 6, "experts": 3},
}


def tiny(preset: str, data: Path, **changes: Any) -> LanguageModelConfig:
    """A preset with other sizes: 80 steps, weights that are averaged from the 30th on, and rewiring until
    the end."""
    sizes = {**SIZES[preset], "batch_size": 4, "bptt": 10, "epochs": 2, "max_steps": 80}
    plan = {"eval_interval": 10, "nonmonotone": 1, "update_interval": 7, "log_interval": 7}
    return resolve({"preset": preset, "data": str(data), **sizes, **plan, **changes}, environment={})


@pytest.mark.parametrize("preset", ["ptb-awd", "ptb-awd-mos"])
@pytest.mark.parametrize("cell", ["gru", "rhn", "on-lstm"])
def test_another_cell_keeps_the_dropout(preset: str, cell: str) -> None:
    config = resolve({"preset": preset, "cell": cell}, environment={}).filled()
    for name in ("embedding", "input", "output", "weights", "first"):
        assert getattr(config, f"dropout_{name}") == LanguageModelConfig.PRESETS[preset][f"dropout_{name}"]


def test_a_head_leaves_behind_what_a_file_says_of_another(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('head = "mos"\nexperts = 3\ndropout_latent = 0.2\ndropout_input = 0.1\n')
    with pytest.warns(UserWarning, match="is for --head mos; softmax is used without its ") as caught:
        config = resolve({"head": "softmax"}, file, {})
    assert (config.experts, config.dropout_latent, config.dropout_input) == (None, 0.0, 0.1)
    assert len(caught) == 1
    assert resolve({}, file, {}).experts == resolve({"head": "mos"}, file, {}).experts == 3
    file.write_text('head = "mos"\npreset = "ptb-awd-mos"\nexperts = 15\nembedding_size = 620\n')
    assert resolve({"head": "softmax"}, file, {}).experts is None  # without a warning: nobody meant it


# In millions, what a dense model has in the papers' code; PyTorch has two biases where we have one.
@pytest.mark.parametrize(
    ("preset", "millions", "units", "rates"),
    [
        ("ptb-awd", 24.22, [1150, 1150, 400], [0.4, 0.25, 0.25, 0.4]),
        ("ptb-awd-mos", 21.5, [960, 960, 620], [0.4, 0.225, 0.225, 0.4]),
    ],
)
def test_sizes_and_rates(preset: str, millions: float, units: list[int], rates: list[float]) -> None:
    chain = language_model_chain(resolve({"preset": preset}, environment={}), 10_000)
    vectors = sum(vector.size * (2 if vector.gates else 1) for vector in chain.vectors)
    assert round((chain.dense_parameters + vectors) / 1e6, 2) == millions
    cells = [layer for layer in chain.layers if isinstance(layer, Recurrent)]
    assert [(cell.units, cell.dropout_weights) for cell in cells] == [(size, 0.5) for size in units]
    assert [layer for layer in chain.layers if isinstance(layer, Dropout)] == [
        Dropout(rate, locked=True) for rate in rates
    ]
    assert chain.layers[0] == WordDropout(0.1)
    assert chain.layers[-2] == ActivityPenalty(size=2.0)
    assert ActivityPenalty(change=1.0) in chain.layers
    if preset == "ptb-awd-mos":
        assert chain.head == MixtureOfSoftmaxes(
            10_000, tied=True, experts=15, latent=280, dropout_latent=0.29
        )


@PRESETS
def test_an_interrupted_run_has_the_same_bits_with_two_threads(
    preset: str, text_file: Path, tmp_path: Path
) -> None:
    config = tiny(preset, text_file, threads=1)
    results = train_model(config, tmp_path / "whole")
    stop = StopAt(23)
    with pytest.raises(TrainingStopped):
        train_model(replace(config, threads=2), tmp_path / "parts", stop, stop)
    for step in (34, 39.5, 61):
        again = StopAt(step)
        with pytest.raises(TrainingStopped):
            resume_run(tmp_path / "parts", {}, again, again)
    resume_run(tmp_path / "parts", {})
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    evaluations = records(tmp_path / "whole", "eval")
    assert {record["averaged"] for record in evaluations} == {False, True}
    assert len(records(tmp_path / "whole", "rewire")) == 11
    losses = [record["loss"] for record in evaluations]
    assert losses[-1] < losses[0]
    assert math.isfinite(results["test_perplexity"])
    saved = load_model(tmp_path / "whole" / "model.safetensors")
    assert saved.chain == language_model_chain(config, len(saved.vocabulary))


def test_the_latent_dropout_decides_the_bits(text_file: Path, tmp_path: Path) -> None:
    config = tiny("ptb-awd-mos", text_file, max_steps=7)
    train_model(config, tmp_path / "one")
    train_model(replace(config, dropout_latent=0.0), tmp_path / "two")
    one, two = (records(tmp_path / run, "train")[0]["loss"] for run in ("one", "two"))
    assert one != two


def test_settings_of_the_mixture_go_with_it() -> None:
    config = resolve({"preset": "ptb-awd-mos", "head": "softmax", "embedding_size": 620}, environment={})
    assert (config.experts, config.dropout_latent, config.hidden_size) == (None, 0.0, 960)
    given = {"preset": "ptb-awd-mos", "method": "rigl", "optimizer": "adam", "density": 0.1}
    assert resolve(given, environment={}).filled().lr == 0.002
    for name, value in (("experts", 3), ("dropout_latent", 0.1)):
        with pytest.raises(
            UsageError, match=f"--{name.replace('_', '-')} is for --head mos, not softmax; le"
        ):
            resolve({"preset": "ptb-awd-mos", "head": "softmax", name: value}, environment={})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dropout_latent": 1.0, "head": "mos"},
            "--dropout-latent is 1.0; it must be at least 0 and below 1",
        ),
        ({"dropout_first": -0.1}, "--dropout-first is -0.1; it must be at least 0"),
        ({"last_hidden_size": 0}, "--last-hidden-size is 0; it must be at least 1"),
        (
            {"last_hidden_size": 10, "tied": True},
            "--tied needs an --embedding-size of 10, as --last-hidden-size; give it, or leave --tied out",
        ),
        (
            {"last_hidden_size": 10, "embedding_size": 256, "tied": True},
            "--tied needs --embedding-size 256 to be --last-hidden-size 10; leave one of the three out",
        ),
    ],
)
def test_bad_values(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LanguageModelConfig(**changes)
