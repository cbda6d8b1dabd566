"""Pieces of words. As a program, ``python tests/data/test_subwords.py 100000`` compares our encoder with the
library's on so many lines."""

from __future__ import annotations

import json
import random
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

from truesparse.data import Subwords, TextEncoder, TokenEncoder, Vocabulary
from truesparse.data.subwords import _learned
from truesparse.errors import TruesparseError, UsageError

ALPHABETS = (
    *("abcdefghij", "ABCxyzßéüñ", "0123456789", "!?.,;:'\"()[]{}<>#@_-=+*/\\^`~|$%&", " \t  \n\r\v\f"),
    *("漢字日本語テキスト한국어", "اختبارעברית", "กขฃคेि\u0301\u0308", "😀👩\u200d🚀🇩🇪👍🏽❤\ufe0f"),
    *("\x00\x01\x07\x1b\x7f\x80\x85\x9f\xa0\xad", "\u2028\u2029\ufeff\ufffd\ufffe\uffff", "\U0010ffff\ue000"),
)
WORDS = ("the", "don't", "it's", "low", "lower", "lowest", "newer", "<unk>", "<eos>", "...", "2026", "aaaa")


# GPT-2's characters of bytes, as their authors make them.
SEEN = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
HIDDEN = [byte for byte in range(256) if byte not in SEEN]
OF_BYTE = {byte: chr(byte) for byte in SEEN} | {byte: chr(256 + n) for n, byte in enumerate(HIDDEN)}
BYTES = tuple(OF_BYTE[byte] for byte in range(256))


def made_lines(count: int, seed: int = 1) -> list[str]:
    """Lines of words, of scripts mixed within a word, of control characters and of long runs."""
    rng = random.Random(seed)
    lines = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randrange(9)):
            kind = rng.random()
            if kind < 0.5:
                parts.append(rng.choice(WORDS))
            elif kind < 0.95:
                alphabet = rng.choice(ALPHABETS)
                parts.append("".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 9))))
            else:
                parts.append(rng.choice("".join(ALPHABETS)) * rng.randrange(1, 70))
            parts.append(rng.choice(("", " ", " ", "  ")))
        lines.append("".join(parts) + "\n" * rng.randrange(1, 3))
    return lines


@cache
def library(lines: int = 600) -> tuple[Any, Subwords]:
    """A tokenizer of the library, and ours that is learned from the same text."""
    text = "".join(made_lines(lines))
    return _learned([text], 700), Subwords.learn([text], 700)


def count_of_the_same(lines: list[str]) -> int:
    """How many lines both cut in the same way, and ours gives back."""
    theirs, ours = library()

    def same(line: str) -> bool:
        ids = ours.encode(line)
        return [ours.tokens[k] for k in ids] == theirs.encode(line).tokens and ours.decode(ids) == line

    return sum(map(same, lines))


def by_hand() -> Subwords:
    """A table that needs no library: it joins "a" and "b", then that and "c", then the bytes of "é"."""
    pairs = [("a", "b"), ("ab", "c"), ("Ã", "©")]
    tokens = (*BYTES, *(left + right for left, right in pairs))
    place = tokens.index
    return Subwords(tokens, merges=tuple((place(left), place(right)) for left, right in pairs))


def test_text_is_cut_as_the_library_cuts_it() -> None:
    pytest.importorskip("tokenizers")
    lines = made_lines(3000, seed=2)
    assert count_of_the_same(lines) == len(lines)
    theirs, ours = library()
    whole = "".join(lines)
    assert [ours.tokens[number] for number in ours.encode(whole)] == theirs.encode(whole).tokens


def test_learning_gives_the_same_and_puts_frequent_subwords_first() -> None:
    pytest.importorskip("tokenizers")
    _, ours = library()
    text = "".join(made_lines(600))
    assert Subwords.learn([text], 700) == ours
    assert len(ours) == 700
    counts = np.bincount(ours.encode(text), minlength=len(ours))
    assert (np.diff(counts) <= 0).all()
    assert 256 < len(Subwords.learn(["low lower low lower"], 700)) < 280


def test_every_text_comes_back() -> None:
    table = by_hand()
    text = "".join(made_lines(300)) + "".join(map(chr, range(0x500))) + "abc \U0001f600"
    assert table.decode(table.encode(text)) == text
    assert table.decode(table.encode("")) == ""
    assert [table.tokens[number] for number in table.encode("abcab cé")] == ["abc", "ab", "Ġ", "c", "Ã©"]
    assert table.unknown is None
    assert table.tokens[table.line_end] == "Ċ"


def test_long_texts_without_spaces_take_time_in_proportion() -> None:
    table = by_hand()
    ids = table.encode("abc" * 50_000)  # minutes, if each merge looked through all
    assert ids.tolist() == [table.tokens.index("abc")] * 50_000


def test_pieces_are_whole_characters() -> None:
    table = by_hand()
    ids = table.encode("né 漢😀!")
    pieces = list(table.pieces(ids))
    assert "".join(pieces) == "né 漢😀!"
    assert len(pieces) == len(ids)
    assert "".join(table.pieces(table.encode("漢字")[:-1])) == "漢"
    broken = [table.encode("漢")[0], *table.encode("a")]
    assert "".join(table.pieces(broken)) == table.decode(broken) == "\ufffda"


def test_pieces_of_words_have_the_space_that_parts_them() -> None:
    words = Vocabulary(("a", "b", "<eos>"))
    assert list(words.pieces([1, 2, 0], [0])) == [" b", "\n", "a"]
    assert list(words.pieces([1, 0])) == ["b", " a"]


def test_json_round_trip() -> None:
    table = by_hand()
    assert Vocabulary.from_json(table.to_json()) == table
    assert type(Vocabulary.from_json(Vocabulary(("a",)).to_json())) is Vocabulary


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": ["a", "b"], "merges": []}, "lack some of the 256 bytes"),
        ({"tokens": [*BYTES, "漢"]}, "'漢' is of no bytes"),
        ({"tokens": [*BYTES, ""]}, "'' is of no bytes"),
        ({"merges": [[0, 1]]}, "merge 1 makes no subword"),
        ({"merges": [[0, 999]]}, "merge 1 is of no two subwords"),
        ({"merges": [[0, "a"]]}, "merge 1 is of no two subwords"),
        ({"merges": [[0, [1]]]}, "merge 1 is of no two subwords"),
        ({"merges": [[97, 98, 99]]}, "merge 1 is of no two subwords"),
        ({"merges": [[97, 98], [97, 98]]}, "two merges are of the same subwords"),
        ({"merges": 3}, "merges of the vocabulary are not a list of pairs"),
        ({"merges": None}, "merges of the vocabulary are not a list of pairs"),
        ({"merges": [3]}, "merges of the vocabulary are not a list of pairs"),
        ({"level": "char"}, None),
        ({"word_rule": 9}, "use a newer one"),
    ],
)
def test_broken_tables(changes: dict[str, Any], message: str | None) -> None:
    text = json.dumps(by_hand().to_document() | changes)
    if message is None:
        assert type(Vocabulary.from_json(text)) is Vocabulary
        return
    with pytest.raises(TruesparseError, match=message):
        Vocabulary.from_json(text)


def test_what_cannot_be_learned_or_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="vocabulary is 255; of subwords it must be at least 256"):
        Subwords.learn(["a"], 255)
    with pytest.raises(TruesparseError, match=r"the text has '\\udcff', which is no character"):
        by_hand().encode("a\udcff")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UsageError, match=r'needs tokenizers; install it with: pip install "truesparse\[sub'):
        Subwords.learn(["a"])


def test_texts_to_classify() -> None:
    encoder = TextEncoder(by_hand(), 3)
    assert [encoder.vocabulary.tokens[number] for number in encoder.encode(" x ABC Ab ")] == [
        "abc",
        "Ġ",
        "ab",
    ]
    assert encoder.encode(" \n").size == 0
    assert TextEncoder.from_document(encoder.to_document(), encoder.vocabulary) == encoder
    with pytest.raises(UsageError, match="padding before needs words"):
        TextEncoder(by_hand(), 3, padding="before")
    with pytest.raises(TruesparseError, match="lacks <pad>"):
        TextEncoder.from_document(encoder.to_document() | {"padding": "after"}, by_hand())
    with pytest.raises(TruesparseError, match="lacks <unk>"):
        TokenEncoder.from_document({"lower_case": True}, by_hand())


if __name__ == "__main__":
    wanted = int(sys.argv[1])
    same = count_of_the_same(made_lines(wanted, seed=3))
    print(f"{same:,} of {wanted:,} lines are cut as tokenizers cuts them, and come back")
    sys.exit(same != wanted)
