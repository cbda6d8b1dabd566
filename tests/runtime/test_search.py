from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from runtime.conftest import Pair

from truesparse import runtime
from truesparse.data import Subwords, Vocabulary
from truesparse.errors import UsageError
from truesparse.layers.models import language_model
from truesparse.model import random_model
from truesparse.model.saving import save_model
from truesparse.runtime.sampling import draw
from truesparse.runtime.search import Beginning, search

WORDS = Vocabulary(("a", "ab", "b", "."))
END = np.array([False, False, False, True])
FREE = Beginning(WORDS, "")


def table(seed: int) -> np.ndarray:
    """Log-probabilities of the next of four tokens by the two before it; those at [4, 4] are the first."""
    scores = np.random.default_rng(seed).normal(size=(5, 5, 4)) * 2
    return np.asarray(np.log(np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)), np.float32)


class Walk:
    """What a search asks of a model: log-probabilities by the last two tokens."""

    def __init__(self, seed: int) -> None:
        self.table = table(seed)
        self.first = self.table[4, 4]
        self.last = [(4, 4)]

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> np.ndarray:
        self.last = [(self.last[parent][1], token) for parent, token in zip(parents, tokens, strict=True)]
        return np.array([self.table[pair] for pair in self.last])


def all_texts(seed: int, length: int) -> dict[tuple[int, ...], float]:
    """The log-probability of every text that has ended, or has so many tokens."""
    scores, texts = table(seed).astype(np.float64), {}
    for n in range(1, length + 1):
        for text in itertools.product(range(4), repeat=n):
            if 3 in text[:-1] or (n < length and text[-1] != 3):
                continue
            history = (4, 4, *text)
            texts[text] = sum(scores[history[k], history[k + 1], history[k + 2]] for k in range(n))
    return texts


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
def test_with_enough_beams_the_best_of_all_texts_are_found(seed: int, penalty: float) -> None:
    walk = Walk(seed)
    found = search(walk.first, walk.step, END, FREE, 4, 400, penalty)
    every = all_texts(seed, 4)
    expected = sorted(((total / len(text) ** penalty, text) for text, total in every.items()), reverse=True)
    assert len(found) == len(expected)
    np.testing.assert_allclose([beam.score for beam in found], [score for score, _ in expected], rtol=1e-6)
    assert {beam.tokens for beam in found} == every.keys()
    for beam in found:
        assert beam.log_probability == pytest.approx(every[beam.tokens])
        assert beam.ended == (beam.tokens[-1] == 3)


def test_few_beams_find_the_same_each_time_and_one_takes_the_likeliest_token() -> None:
    def tokens(beams: int) -> list[tuple[int, ...]]:
        walk = Walk(7)
        none = np.zeros(4, np.bool_)
        return [beam.tokens for beam in search(walk.first, walk.step, none, FREE, 6, beams)]

    assert tokens(3) == tokens(3)
    walk, greedy = Walk(7), []
    scores = walk.first
    for _ in range(6):
        greedy.append(int(scores.argmax()))
        (scores,) = walk.step([0], greedy[-1:])
    assert tokens(1) == [tuple(greedy)]


def test_ends_may_count_together() -> None:
    walk = Walk(1)
    ends = np.array([False, False, True, True])
    found = search(walk.first, walk.step, ends, FREE, 2, 50, 0.0, any_end=True)
    first = np.exp(walk.table[4, 4].astype(np.float64))
    second = np.exp(walk.table[4].astype(np.float64))
    ended = {beam.tokens: np.exp(beam.log_probability) for beam in found if beam.ended}
    assert ended[()] == pytest.approx(first[2:].sum())
    for token in (0, 1):
        assert ended[(token,)] == pytest.approx(first[token] * second[token, 2:].sum())


def test_the_nucleus() -> None:
    probabilities = np.array([0.15, 0.5, 0.05, 0.3])
    rng = np.random.default_rng(1)

    def frequencies(**options: float) -> np.ndarray:
        drawn = [draw(np.log(probabilities), rng, **options) for _ in range(800)]  # type: ignore[arg-type]
        return np.bincount(drawn, minlength=4) / 800

    np.testing.assert_allclose(frequencies(top_p=0.79), [0, 0.625, 0, 0.375], atol=0.06)
    np.testing.assert_allclose(frequencies(top_p=0.81), probabilities * [1, 1, 0, 1] / 0.95, atol=0.06)
    np.testing.assert_array_equal(frequencies(top_p=1e-9), [0, 1, 0, 0])
    np.testing.assert_allclose(frequencies(top_p=0.7, top_k=2), [0, 0.625, 0, 0.375], atol=0.06)
    np.testing.assert_allclose(frequencies(top_p=0.6, top_k=2), [0, 1, 0, 0], atol=0.06)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of random weights: of words, of characters and of subwords."""
    path = tmp_path_factory.mktemp("models")
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    tokens = (*map(chr, seen), *(chr(256 + place) for place in range(68)), "Ġw", "Ġwo", "rd", "word")
    place = tokens.index
    pairs = (("Ġ", "w"), ("Ġw", "o"), ("r", "d"))
    vocabularies = {
        "word": Vocabulary(("the", "<eos>", "<unk>", "word", "work", "worker", "other"), plain_text=True),
        "char": Vocabulary((*"abcdeorw \n.", "<unk>"), "char"),
        "subword": Subwords(tokens, merges=tuple((place(a), place(b)) for a, b in pairs)),
    }
    for name, vocabulary in vocabularies.items():
        model = random_model(
            language_model(len(vocabulary), 8, 12, 1), 0.6, np.random.default_rng(3), scale=0.9
        )
        save_model(path / name, model, vocabulary)
    return path


def load(folder: Path, name: str) -> runtime.LanguageModel:
    return runtime.load_language_model(folder / name)


def test_words_begin_as_they_must(folder: Path) -> None:
    model = load(folder, "word")
    starts = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        prompt, first, *_ = model.generate("the other", 2, rng=rng, prefix="WOR")
        assert prompt == "the other"
        starts.add(first)
    assert starts == {" word", " work", " worker"}
    beams = model.beam("the", 3, 6, prefix="work")
    assert all(text.startswith((" work", " worker")) for text, _ in beams)
    with pytest.raises(UsageError, match="no token of the vocabulary begins with 'x', as prefix asks"):
        list(model.generate("the", 2, prefix="x"))
    with pytest.raises(UsageError, match="takes a part of one word; put what is before it into prompt"):
        model.beam("the", 2, prefix="the wo")


@pytest.mark.parametrize("name", ["char", "subword"])
def test_texts_begin_as_they_must(folder: Path, name: str) -> None:
    model = load(folder, name)
    first = set()
    for seed in range(8):
        text = "".join(model.generate("a", 12, rng=np.random.default_rng(seed), prefix=" word"))
        assert text.startswith("a word")
        first.add(text)
    assert len(first) == 8
    assert all(text.startswith(" wo") for text, _ in model.beam("a", 8, 4, prefix=" wo"))
    with pytest.raises(UsageError, match="no token of the vocabulary begins with 'é'"):
        list(load(folder, "char").generate("a", 5, prefix="dé"))
    assert "".join(load(folder, "subword").generate("a", 3, prefix="é漢")).startswith("aé")


def test_suggestions_of_words(folder: Path) -> None:
    model = load(folder, "word")
    stream = model.stream()
    scores = np.exp(stream.read(model.vocabulary.encode("The other")))
    expected = sorted(((scores[k], model.vocabulary.tokens[k]) for k in (3, 4, 5)), reverse=True)
    found = model.suggest("The other wor", 5)
    assert [word for word, _ in found] == [word for _, word in expected]
    np.testing.assert_allclose([p for _, p in found], [p for p, _ in expected], rtol=1e-6)
    assert model.suggest("the other wor", 1) == found[:1]
    assert model.suggest("the xyz") == []
    anything = model.suggest("", 9)
    assert {word for word, _ in anything} == {"the", "word", "work", "worker", "other"}
    assert len(model.suggest("the ", 2)) == 2


@pytest.mark.parametrize("name", ["char", "subword"])
def test_suggestions_of_pieces(folder: Path, name: str) -> None:
    model = load(folder, name)
    found = model.suggest("a wor", 3, 6)
    assert found
    assert all(word.startswith("wor") for word, _ in found)
    assert all(0 < probability < 1 for _, probability in found)
    assert sorted(found, key=lambda pair: -pair[1]) == found
    # What is said of a word is the probability of its characters and of an end behind it.
    if name == "char":
        word, probability = found[0]
        stream, vocabulary = model.stream(), model.vocabulary
        scores, total = stream.read(vocabulary.encode("a")), 0.0
        for token in vocabulary.encode(f" {word}"):
            total += float(scores[token])
            scores = stream.step(token)
        ends = [vocabulary.tokens.index(end) for end in " \n.<"[:3]]
        unknown = float(np.exp(scores[vocabulary.unknown]))
        assert probability == pytest.approx(np.exp(total) * (np.exp(scores[ends]).sum() + unknown), rel=1e-4)


def test_a_beam_is_the_whole_text(pair: Pair) -> None:
    (best, log_probability), *others = pair.model.beam("the w3", 6, 5)
    assert len(others) == 4
    text = f"the w3{best}"
    assert "\n" not in text
    ids = pair.model.vocabulary.encode(text)
    again = pair.model.stream()
    scores, total = again.read(ids[:2]), 0.0
    ids = [*ids[2:], *([1] if len(ids) < 8 else [])]
    for token in ids:
        total += float(scores[token])
        scores = again.step(int(token))
    assert log_probability == pytest.approx(total, rel=1e-4)
    assert pair.model.beam("the w3", 6, 5) == [(best, log_probability), *others]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 0}, "beam is 0"),
        ({"length": 0}, "length is 0"),
        ({"length_penalty": -1.0}, "length_penalty is -1"),
        ({"length_penalty": np.nan}, "length_penalty is nan"),
    ],
)
def test_bad_arguments(pair: Pair, options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pair.model.beam("the", **options)  # type: ignore[arg-type]
    for top_p in (0.0, 1.5, np.nan):
        with pytest.raises(UsageError, match="top_p is"):
            list(pair.model.sample([1], 3, top_p=top_p))
    with pytest.raises(UsageError, match="suggest is 0"):
        pair.model.suggest("a", 0)
