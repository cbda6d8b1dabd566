from __future__ import annotations

import math

import numpy as np
import pytest

from truesparse.errors import UsageError
from truesparse.nn import LanguageModel, LanguageModelSpec, build_language_model
from truesparse.training.sampling import _draw, sample


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return build_language_model(LanguageModelSpec(9, 8, 8, 1), 0.5, np.random.default_rng(1), scale=2.0)


def tokens(
    model: LanguageModel, prompt: list[int], length: int, seed: int = 1, **options: float
) -> list[int]:
    return list(sample(model, np.array(prompt), length, np.random.default_rng(seed), **options))  # type: ignore[arg-type]


def test_the_likeliest_tokens_are_those_of_the_model(model: LanguageModel) -> None:
    prompt = [1, 2, 3] * 15  # longer than a window
    drawn = tokens(model, prompt, 4, temperature=0.0)
    ids = np.array([*prompt, *drawn], np.int32)[:, None]
    workspace = model.workspace(len(ids), 1)
    whole = [
        int(model.predict(ids[: len(prompt) + place], model.zero_state(1), workspace).argmax())
        for place in range(4)
    ]
    assert drawn == whole
    assert tokens(model, prompt, 4, top_k=1) == drawn


def test_the_seed_decides(model: LanguageModel) -> None:
    assert tokens(model, [1], 30) == tokens(model, [1], 30)
    assert tokens(model, [1], 30) != tokens(model, [1], 30, seed=2)
    assert tokens(model, [1], 0) == []


def test_draws_follow_the_probabilities() -> None:
    probabilities = np.array([0.5, 0.3, 0.15, 0.05])
    rng = np.random.default_rng(1)

    def frequencies(temperature: float, top_k: int) -> np.ndarray:
        drawn = [_draw(np.log(probabilities), rng, temperature, top_k) for _ in range(4000)]
        return np.bincount(drawn, minlength=4) / 4000

    np.testing.assert_allclose(frequencies(1.0, 0), probabilities, atol=0.03)
    np.testing.assert_allclose(frequencies(1.0, 2), [0.625, 0.375, 0, 0], atol=0.03)
    squared = probabilities**2 / (probabilities**2).sum()
    np.testing.assert_allclose(frequencies(0.5, 0), squared, atol=0.03)


@pytest.mark.parametrize(
    "options",
    [{"temperature": -1.0}, {"temperature": math.nan}, {"top_k": -1}, {"length": -1}, {"prompt": []}],
)
def test_bad_arguments(model: LanguageModel, options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        tokens(model, **{"prompt": [1], "length": 3, **options})  # type: ignore[arg-type]
