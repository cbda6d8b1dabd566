"""What a word is."""

import unicodedata

import pytest

from truesparse.data.words import split_words, tokenise

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
THUMB = "\U0001f44d\U0001f3fd"
FLAG = "\U0001f1e9\U0001f1ea"


@pytest.mark.parametrize(
    "text",
    [
        "\u0915\u0940 \u0915\u0947",
        "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd \u0bae\u0bca\u0bb4\u0bbf",
        "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0d28\u0d4d\u200d \u0d05",
        f"a {FAMILY} {THUMB} {FLAG} \u2764\ufe0f 1\ufe0f\u20e3 #\ufe0f\u20e3",
        "5 \u20ac \u2192 \u2605",
    ],
)
def test_marks_joiners_and_symbols_belong_to_words(text):
    words = unicodedata.normalize("NFC", text).split()
    assert split_words(text) == words == tokenise(text, "word", True)


def test_accents_in_either_form_and_a_turkish_i_are_the_same_word():
    text = "\u00e9t\u00e9 Vi\u1ec7t \u0130yi"
    words = ["\u00e9t\u00e9", "vi\u1ec7t", "iyi"]
    assert split_words(text) == split_words(unicodedata.normalize("NFD", text)) == words
    assert split_words("\u0130", lower_case=False) == ["\u0130"]


def test_runs_of_symbols_are_as_runs_of_marks():
    assert split_words(THUMB * 5 + FAMILY + "\U0001f468" + FAMILY) == [
        THUMB * 3,
        FAMILY,
        "\U0001f468",
        FAMILY,
    ]
    assert split_words("so \u2026 \u201cgood\u201d + fine!") == ["so", "good", "fine"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("high <b6 and tg >1", "high b6 and tg 1"),
        ("if x<y all is good > bad", "if x y all is good bad"),
        ("<user> likes <url>", "user likes url"),
        ("a <b and c> d", "a b and c d"),
        ("a<BR>b<br />c</p>d<!-- no <i> -->e<!DOCTYPE html>", "a b c d e"),
        ("<a href='x>y' target=_blank>link</a> <input disabled>", "link"),
        ("<!-- without an end", "without an end"),
    ],
)
def test_only_tags_of_html_go(text, words):
    assert split_words(text) == words.split()


def test_the_first_rule_stays_as_it_was():
    assert split_words("<user> \u0915\u0940 \u20ac a", word_rule=1) == ["\u0915", "a"]
