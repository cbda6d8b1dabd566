"""What frequent tokens have more of, and what rows of tokens begin with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray

import truesparse as ts
from truesparse.errors import UsageError
from truesparse.layers.models import language_model
from truesparse.model import random_model
from truesparse.model.initial import TokenRows
from truesparse.model.loading import load_model
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.mlm.settings import MaskedConfig
from truesparse.tasks.sources import resolve
from truesparse.topology import sample_pattern
from truesparse.topology.rows import rank_shares
from truesparse.training.start import first_model

Run = Callable[..., Result]


def rows_of(model: ts.Model, name: str) -> NDArray[np.int64]:
    return np.diff(model.matrices[name].indptr)


@pytest.mark.parametrize("group", [1, 4])
def test_rows_get_connections_as_their_shares_say(group: int) -> None:
    rows, columns, count = 2000 // group, 50, 20_000 // group
    shares = rank_shares(rows, 0.6, group)
    found = np.diff(sample_pattern((rows, columns), count, np.random.default_rng(1), shares).indptr)
    assert found.sum() == count
    assert found.max() == columns  # no more than there are
    free = found < columns
    assert 0 < free.sum() < rows
    wanted = shares / shares[free].sum() * found[free].sum()
    assert np.abs(found - wanted)[free].max() < 1  # rounded up or down
    one, hundred = (shares[rank // group] for rank in (0, 100))
    assert hundred / one == pytest.approx((40 / 140) ** 0.6)


def test_rare_tokens_get_their_share_of_few_connections() -> None:
    """On average: most of them have none, and some have one."""
    shares = rank_shares(10_000, 0.6)
    found = np.mean(
        [
            np.diff(sample_pattern((10_000, 200), 5_000, np.random.default_rng(seed), shares).indptr)
            for seed in range(20)
        ],
        axis=0,
    )
    wanted = 5_000 * shares / shares.sum()
    for part in (slice(10), slice(100, 200), slice(-1000, None)):
        assert found[part].mean() == pytest.approx(wanted[part].mean(), rel=0.1)


def test_shares_hold_at_the_ends() -> None:
    shares, rng = rank_shares(30, 1.5), np.random.default_rng(0)
    for count in (1, 30 * 7 - 1, 30 * 7):
        pattern = sample_pattern((30, 7), count, rng, shares)
        assert pattern.indices.size == count
        assert np.diff(pattern.indptr).max() <= 7
    with pytest.raises(UsageError, match="do not fit"):
        sample_pattern((30, 7), 211, rng, shares)


def test_a_chain_gives_frequent_tokens_more_in_embedding_and_output_layer_only() -> None:
    chain = ts.Chain(ts.Embedding(400, 20), ts.LSTM(24), ts.Softmax(400))
    even, ranked = (chain.init(density=0.2, seed=3, rank_exponent=a) for a in (0.0, 0.6))
    assert chain.token_matrices == ["embedding.weight", "output.weight"]
    for name in even.matrices:
        assert even.matrices[name].nnz == ranked.matrices[name].nnz
        first, last = rows_of(ranked, name)[:10].sum(), rows_of(ranked, name)[-10:].sum()
        assert (first > 2 * last) == (name in chain.token_matrices)
    assert even.arena.nnz == ranked.arena.nnz


@pytest.mark.parametrize(
    ("chain", "names"),
    [
        (ts.Chain(ts.Embedding(40, 8), ts.LSTM(8), ts.Softmax(40, tied=True)), ["embedding.weight"]),
        (ts.Chain(ts.Embedding(40, 8), ts.LSTM(8), ts.Pool("last"), ts.Softmax(40)), ["embedding.weight"]),
        (ts.Chain(ts.LSTM(8), ts.Softmax(40), features=40), []),
        (ts.Chain(ts.Embedding(40, 8), ts.LSTM(8), ts.SquaredError(40)), ["embedding.weight"]),
        (
            ts.Chain(ts.Embedding(40, 8), ts.LSTM(8), ts.MixtureOfSoftmaxes(40, experts=2, latent=8)),
            ["embedding.weight", "output.weight"],
        ),
    ],
)
def test_rows_of_tokens_are_those_of_the_embedding_and_of_what_predicts_tokens(
    chain: ts.Chain, names: list[str]
) -> None:
    assert chain.token_matrices == names


def test_the_first_weights_of_tokens_are_scaled_and_no_others() -> None:
    chain = ts.Chain(ts.Embedding(400, 20), ts.LSTM(24), ts.Softmax(400))
    plain, scaled = (chain.init(density=0.2, seed=3, scale=0.1, token_scale=s) for s in (1.0, 0.1))
    for name, matrix in plain.matrices.items():
        factor = 0.1 if name in chain.token_matrices else 1.0
        assert scaled.matrices[name].data == pytest.approx(factor * matrix.data)
        assert abs(matrix.data).max() == pytest.approx(0.1 / np.sqrt(matrix.density), rel=0.02)


def test_a_topology_and_a_rank_exponent_do_not_go_together() -> None:
    chain = ts.Chain(ts.Embedding(40, 8), ts.LSTM(8), ts.Softmax(40))
    with pytest.raises(UsageError, match="leave it out"):
        chain.init(topology=chain.init(density=0.5), rank_exponent=0.5)


def test_groups_of_tokens_share_by_their_first_rank() -> None:
    chain = language_model(400, 20, 24, 1, output_group=4)
    model = random_model(chain, 0.2, np.random.default_rng(1), tokens=TokenRows(rank_exponent=0.6))
    rows = rows_of(model, "output.weight")
    assert rows.size == 100
    shares = rank_shares(100, 0.6, 4)
    free = rows < 24
    assert np.abs(rows - shares / shares[free].sum() * rows[free].sum())[free].max() < 1.01


REFUSED = {
    "method dense": {"method": "dense"},
    "method snip": {"method": "snip"},
    "start_topology": {"start_topology": "run"},
    "level subword": {"level": "subword"},
}


@pytest.mark.parametrize("flags", REFUSED)
def test_a_rank_exponent_needs_random_connections_and_ranked_tokens(flags: str) -> None:
    """A preset that has one leaves it out there."""
    with pytest.raises(UsageError, match=f"{flags}.*leave it out"):
        LanguageModelConfig(rank_exponent=0.6, **REFUSED[flags])
    flagged = {"preset": "ptb-small", **REFUSED[flags]}
    assert resolve(flagged, task=LanguageModelConfig).rank_exponent == 0.0
    assert resolve({"preset": "ptb-small"}, task=LanguageModelConfig).rank_exponent == 0.6


def test_a_file_with_a_rank_exponent_goes_with_connections_of_another_run(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("rank_exponent = 0.6\n")
    assert resolve({"start_topology": "run"}, path, {}, LanguageModelConfig).rank_exponent == 0.0
    with pytest.warns(UserWarning, match="without its rank_exponent 0.6"):
        assert resolve({"method": "snip"}, path, {}, LanguageModelConfig).rank_exponent == 0.0
    assert resolve({}, path, {}, LanguageModelConfig).rank_exponent == 0.6


def test_classifiers_refuse_ranks_of_pieces_of_words_too() -> None:
    with pytest.raises(UsageError, match="level subword"):
        ClassifierConfig(level="subword", rank_exponent=0.6)


@pytest.mark.parametrize("more", [["--method", "snip", "--density", "0.2"], ["--start-topology", "FIRST"]])
def test_the_scale_stays_where_weights_are_drawn_anew(
    run: Run, text_file: Path, tmp_path: Path, more: list[str]
) -> None:
    flags = ["--data", str(text_file), "--hidden-size", "40", "--max-steps", "1", "--batch-size", "4"]
    flags += ["--bptt", "10", "--lr", "1e-9", "--update-interval", "0"]
    first = tmp_path / "first"
    assert run("train", "lm", *flags, "--out", str(first)).exit_code == 0
    if "snip" in more:
        flags = [*flags[:-2]]
    more = [str(first) if flag == "FIRST" else flag for flag in more]
    out = tmp_path / "out"
    result = run("train", "lm", *flags, *more, "--token-scale", "0.01", "--out", str(out))
    assert result.exit_code == 0, result.output
    matrices = load_model(out / "model.safetensors").model.matrices
    output, other = (
        abs(matrices[name].data).max() * np.sqrt(matrices[name].density)
        for name in ("output.weight", "lstm.0.weight_hh")
    )
    assert output / other == pytest.approx(0.01, rel=0.1)


STARTED = {"lm": ("--bptt", "lstm.0.weight_hh"), "mlm": ("--length", "residual.0.attention.0.weight_out")}


@pytest.mark.parametrize("task", STARTED)
def test_a_run_starts_with_what_its_flags_say(run: Run, text_file: Path, tmp_path: Path, task: str) -> None:
    length, other = STARTED[task]
    flags = ["--hidden-size", "40", "--max-steps", "1", "--batch-size", "4", length, "10", "--lr", "1e-9"]
    sizes = {}
    for name, more in {"even": [], "ranked": ["--rank-exponent", "2", "--token-scale", "0.1"]}.items():
        out = tmp_path / name
        result = run("train", task, "--data", str(text_file), *flags, "--out", str(out), *more)
        assert result.exit_code == 0, result.output
        model = load_model(out / "model.safetensors").model
        output = model.matrices["output.weight"]
        sizes[name] = abs(output.data).max() / abs(model.matrices[other].data).max()
        rows = rows_of(model, "output.weight")
        assert (rows[:5].sum() > 2 * rows[-5:].sum()) == (name == "ranked")
    assert sizes["ranked"] == pytest.approx(0.1, rel=0.1)
    assert sizes["even"] == pytest.approx(1.0, rel=0.1)


def test_the_embedding_of_an_encoder_can_be_denser_than_the_rest() -> None:
    given = {"density": 0.2, "embedding_density": 0.5, "hidden_size": 16, "heads": 2}
    config = resolve(given, environment={}, task=MaskedConfig).filled()
    model = first_model(config, config.chain(100), np.random.default_rng(1), lambda _: True)
    assert model.matrices["embedding.weight"].density == pytest.approx(0.5)
    assert model.density == pytest.approx(0.2, rel=0.01)
    with pytest.raises(UsageError, match=r"embedding.density does not go with .*tied"):
        resolve({**given, "tied": True}, environment={}, task=MaskedConfig)
