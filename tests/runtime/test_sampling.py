from __future__ import annotations

import math

import numpy as np
import pytest
from runtime.conftest import Pair

from truesparse.errors import UsageError
from truesparse.runtime import LanguageModel
from truesparse.runtime.sampling import draw


def tokens(
    model: LanguageModel, prompt: list[int], length: int, seed: int = 1, **options: float
) -> list[int]:
    return list(model.sample(prompt, length, rng=np.random.default_rng(seed), **options))  # type: ignore[arg-type]


def test_the_likeliest_tokens_are_those_of_the_trained_model(pair: Pair) -> None:
    prompt = [1, 2, 3] * 5
    drawn = tokens(pair.model, prompt, 4, temperature=0.0)
    ids = np.array([*prompt, *drawn], np.int32)[:, None].repeat(18, axis=1)
    trained = pair.trained
    workspace = trained.workspace(len(ids), 18)
    whole = [int(trained.predict(ids[: len(prompt) + place], workspace)[:, 0].argmax()) for place in range(4)]
    assert drawn == whole
    assert tokens(pair.model, prompt, 4, top_k=1) == drawn


def test_the_seed_decides(pair: Pair) -> None:
    assert tokens(pair.model, [1], 30) == tokens(pair.model, [1], 30)
    assert tokens(pair.model, [1], 30) != tokens(pair.model, [1], 30, seed=2)
    assert tokens(pair.model, [1], 0) == []
    assert len(list(pair.model.sample([1], 5))) == 5


def test_text(pair: Pair) -> None:
    pieces = list(pair.model.generate("the w3", 3, rng=np.random.default_rng(1)))
    assert pieces[0] == "the w3"
    assert len(pieces) == 4
    assert next(pair.model.generate()) == ""


def test_draws_follow_the_probabilities() -> None:
    probabilities = np.array([0.5, 0.3, 0.15, 0.05])
    rng = np.random.default_rng(1)

    def frequencies(temperature: float, top_k: int) -> np.ndarray:
        drawn = [draw(np.log(probabilities), rng, temperature, top_k) for _ in range(4000)]
        return np.bincount(drawn, minlength=4) / 4000

    np.testing.assert_allclose(frequencies(1.0, 0), probabilities, atol=0.03)
    np.testing.assert_allclose(frequencies(1.0, 2), [0.625, 0.375, 0, 0], atol=0.03)
    squared = probabilities**2 / (probabilities**2).sum()
    np.testing.assert_allclose(frequencies(0.5, 0), squared, atol=0.03)


@pytest.mark.parametrize(
    "options",
    [{"temperature": -1.0}, {"temperature": math.nan}, {"top_k": -1}, {"length": -1}, {"prompt": []}],
)
def test_bad_arguments(pair: Pair, options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        tokens(pair.model, **{"prompt": [1], "length": 3, **options})  # type: ignore[arg-type]


def test_a_temperature_next_to_zero_takes_the_likeliest() -> None:
    scores = np.log(np.array([0.2, 0.5, 0.3], np.float32))
    assert draw(scores, np.random.default_rng(1), temperature=1e-320) == 1
