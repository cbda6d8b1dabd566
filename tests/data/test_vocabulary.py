"""Tokenising, numbering and writing vocabularies."""

import json
import pickle
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truesparse.data import Vocabulary, tokenise
from truesparse.errors import TruesparseError

words = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1).filter(
    lambda word: len(word.split()) == 1
)


def test_words_are_what_white_space_separates_and_every_line_end_counts():
    assert tokenise(" the  cat .\n\n don't\n") == ["the", "cat", ".", "<eos>", "<eos>", "don't", "<eos>"]


def test_plain_text_is_lower_cased_and_parted_from_punctuation():
    assert tokenise('The cat\'s "hat", OK?\n', plain_text=True) == [
        "the", "cat's", '"', "hat", '"', ",", "ok", "?", "<eos>",
    ]  # fmt: skip


def test_plain_text_keeps_identifiers_shortens_rules_and_drops_empty_lines():
    text = "\n\nTitle\n=======\n\n   \n  self.__init__(x) == 1.5...\n"
    assert tokenise(text, plain_text=True) == [
        "title", "<eos>", "===", "<eos>",
        "self", ".", "__init__", "(", "x", ")", "==", "1", ".", "5", "...", "<eos>",
    ]  # fmt: skip


def test_plain_text_keeps_the_special_tokens_whole():
    assert tokenise("a <unk> b <eos>", plain_text=True) == ["a", "<unk>", "b", "<eos>"]


def test_text_without_final_line_end_can_be_continued():
    assert tokenise("to be") == ["to", "be"]
    assert tokenise("to be", plain_text=True) == ["to", "be"]


def test_most_frequent_first_ties_in_order_of_first_occurrence():
    assert Vocabulary.build(list("bacaccd")).tokens == ("c", "a", "b", "d")


def test_rare_words_count_as_unknown():
    tokens = ["x", "<eos>", "a", "b", "a", "c", "x"]
    vocabulary = Vocabulary.build(tokens, min_count=2)
    assert vocabulary.tokens == ("x", "a", "<unk>", "<eos>")
    assert vocabulary.decode(vocabulary.encode("a b c x")) == "a <unk> <unk> x"


def test_end_of_sentence_is_never_rare():
    assert "<eos>" in Vocabulary.build(["a", "a", "<eos>"], min_count=2)


def test_unknown_word_without_unknown_token_is_named():
    vocabulary = Vocabulary.build(["a", "b"])
    with pytest.raises(TruesparseError, match="the word 'zebra' is not among the 2 tokens"):
        vocabulary.encode("a zebra")
    assert vocabulary.with_unknown().encode("a zebra b").tolist() == [0, 2, 1]


def test_with_unknown_changes_nothing_that_has_one():
    vocabulary = Vocabulary(("a", "<unk>"))
    assert vocabulary.with_unknown() is vocabulary


def test_unknown_character_is_named():
    with pytest.raises(TruesparseError, match="the character 'z'"):
        Vocabulary.build("abc", "char").encode("az")


@given(st.text(min_size=1))
def test_characters_survive_the_round_trip(text):
    vocabulary = Vocabulary.build(text, "char")
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int32
    assert vocabulary.decode(ids) == text


@given(st.lists(st.one_of(words, st.just("<eos>")), min_size=1))
def test_words_survive_the_round_trip(tokens):
    vocabulary = Vocabulary.build(tokens)
    ids = vocabulary.encode_tokens(tokens)
    assert vocabulary.encode(vocabulary.decode(ids)).tolist() == ids.tolist()


@given(st.text(st.characters(exclude_categories=("M", "S", "C"))))
def test_plain_text_loses_nothing_but_case_space_and_long_runs(text):
    joined = "".join(tokenise(text, plain_text=True)).replace("<eos>", "")
    same = unicodedata.normalize("NFC", text.lower().replace("i\u0307", "i"))
    expected = re.sub(r"([^\w\s])\1{3,}", r"\1\1\1", same)
    assert joined == re.sub(r"\s", "", expected)


def test_decoding_puts_line_feeds_for_line_ends():
    vocabulary = Vocabulary(("a", "<eos>"))
    assert vocabulary.decode([0, 0, 1, 0, 1, 1, 0]) == "a a\na\n\na"


@pytest.mark.parametrize("level", ["word", "char"])
@pytest.mark.parametrize("plain_text", [False, True])
def test_json_round_trip(level, plain_text):
    vocabulary = Vocabulary(("é", '"', "\n", "\U0001f600"), level, plain_text)
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        json.dumps({"tokens": ["a"]}),
        json.dumps({"tokens": "ab", "level": "char", "plain_text": False}),
        json.dumps({"tokens": [1], "level": "char", "plain_text": False}),
        json.dumps({"tokens": ["a"], "level": "syllable", "plain_text": False}),
        json.dumps({"tokens": ["a", "a"], "level": "word", "plain_text": False}),
        json.dumps({"tokens": [], "level": "word", "plain_text": False}),
    ],
)
def test_broken_json_is_refused(text):
    with pytest.raises(TruesparseError):
        Vocabulary.from_json(text)


def test_repeated_token_is_named():
    with pytest.raises(TruesparseError, match="'b' twice"):
        Vocabulary(("a", "b", "b"))


def test_a_vocabulary_from_before_there_were_rules_cuts_text_as_then():
    new = Vocabulary(("a", "<unk>"), "word", True)
    assert new.word_rule == 2
    fields = json.loads(new.to_json())
    del fields["word_rule"]
    old = Vocabulary.from_json(json.dumps(fields))
    assert old.tokenise("\u0915\u0940") == ["\u0915", "\u0940"]
    assert new.tokenise("\u0915\u0940") == ["\u0915\u0940"]
    assert Vocabulary.from_json(old.to_json()) == old
    assert old.with_unknown().word_rule == 1
    del new.__dict__["word_rule"]
    assert pickle.loads(pickle.dumps(new)).word_rule == 1


@pytest.mark.parametrize("rule", [0, 3, "2", True, None])
def test_a_rule_that_nobody_knows_is_refused(rule):
    with pytest.raises(TruesparseError, match="word rule"):
        Vocabulary(("a",), word_rule=rule)
