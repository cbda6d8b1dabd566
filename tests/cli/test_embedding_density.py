from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import truesparse as ts
from truesparse.errors import UsageError
from truesparse.model.loading import load_model

Run = Callable[..., Result]


def densities(path: Path) -> dict[str, float]:
    return {name: matrix.density for name, matrix in load_model(path).model.arena.matrices.items()}


@pytest.mark.parametrize("method", ["st-rnn", "granet", "gmp", "rigl"])
def test_the_embedding_has_its_density_and_the_model_as_a_whole_has_the_other(
    run: Run, text_file: Path, tmp_path: Path, method: str
) -> None:
    out = tmp_path / "run"
    flags = ["--hidden-size", "40", "--epochs", "2", "--density", "0.2", "--update-interval", "2"]
    flags += ["--batch-size", "4", "--bptt", "10"]
    result = run(
        *("train", "lm", "--data", str(text_file), *flags, "--method", method, "--out", str(out)),
        *("--embedding-density", "0.5"),
    )
    assert result.exit_code == 0, result.output
    found = densities(out / "model.safetensors")
    model = load_model(out / "model.safetensors").model
    assert found.pop("embedding.weight") == pytest.approx(0.5, abs=0.005)
    assert model.density == pytest.approx(0.2, abs=0.002)
    assert max(found.values()) - min(found.values()) < 0.005  # the others share the rest evenly
    assert max(found.values()) < 0.2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tied"], "--tied"),
        (["--method", "snip"], "--method snip"),
        (["--method", "dense"], "--method dense"),
        (["--method", "small-dense"], "--method small-dense"),
        (["--distribution", "erdos-renyi", "--er-epsilon", "2"], "--er-epsilon"),
        (["--start-topology", "run"], "--start-topology"),
        (["--density", "0.01", "--batch-size", "4", "--bptt", "10"], "change the density of one of the two"),
    ],
)
def test_what_does_not_go_with_it_is_refused_in_one_sentence(
    run: Run, text_file: Path, flags: list[str], message: str
) -> None:
    result = run("train", "lm", "--data", str(text_file), "--embedding-density", "0.9", *flags)
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_chain_takes_it_too() -> None:
    chain = ts.Chain(ts.Embedding(100, 16), ts.LSTM(32), ts.Softmax(100))
    model = chain.init(density=0.25, embedding_density=0.5)
    assert model.density == pytest.approx(0.25, abs=1e-3)
    assert model.arena.matrices["embedding.weight"].nnz == 800
    with pytest.raises(UsageError, match="not the output layer too"):
        ts.Chain(ts.Embedding(100, 32), ts.LSTM(32), ts.Softmax(100, tied=True)).init(
            density=0.25, embedding_density=0.5
        )
    with pytest.raises(UsageError, match="does not go with a topology"):
        chain.init(topology=model, embedding_density=0.5)
