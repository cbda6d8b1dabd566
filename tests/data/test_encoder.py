import json

import pytest

from truesparse.data import TextEncoder, Vocabulary
from truesparse.data.encoder import PAD, split_words
from truesparse.errors import TruesparseError

TEXTS = ["the cat sat", "The cat!", "a dog <unk> sat the the"]


def build(**settings):
    return TextEncoder.build(TEXTS, **{"length": 4, "size": 100, **settings})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's\ngood.<br /><br />No?!?", ["it's", "good", ".", "no", "?", "!", "?"]),
        ("a <b class='x'>bold</b> word", ["a", "bold", "word"]),
        ("1 < 2 and 3 > 2, <3 <unk>", ["1", "<", "2", "and", "3", ">", "2", ",", "<", "3", "<unk>"]),
        ("  \n ", []),
        ("!!!!!", ["!!!"]),
    ],
)
def test_words(text, words):
    assert split_words(text, punctuation=True) == words
    letters = [word for word in words if word not in set(".?!<>,") and word != "!!!"]
    assert split_words(text) == letters or words == ["!!!"]
    assert split_words("Big SMALL", lower_case=False) == ["Big", "SMALL"]


def test_the_vocabulary_has_the_most_frequent_words_after_the_special_ones():
    assert build().vocabulary.tokens == ("<unk>", "the", "cat", "sat", "a", "dog")
    assert "!" in build(punctuation=True).vocabulary
    assert build(size=3).vocabulary.tokens == ("<unk>", "the", "cat")
    assert build(min_count=2).vocabulary.tokens == ("<unk>", "the", "cat", "sat")
    assert build(lower_case=False).vocabulary.tokens[1:5] == ("the", "cat", "sat", "The")
    assert build(padding="before", size=3).vocabulary.tokens == ("<unk>", PAD, "the")


def test_which_end_is_cut_off_and_where_padding_comes():
    cut = build(truncation="before"), build(truncation="after")
    text = "the cat sat a dog"
    assert [encoder.vocabulary.decode(encoder.encode(text)) for encoder in cut] == [
        "cat sat a dog",
        "the cat sat a",
    ]
    short = "a wolf"
    for padding, read in (
        ("masked", "a <unk>"),
        ("before", "<pad> <pad> a <unk>"),
        ("after", "a <unk> <pad> <pad>"),
    ):
        encoder = build(padding=padding)
        assert encoder.vocabulary.decode(encoder.encode(short)) == read
    assert len(build().encode("")) == 0


def test_documents():
    for encoder in (build(), build(padding="after", lower_case=False, punctuation=True, truncation="after")):
        document = json.loads(json.dumps(encoder.to_document()))
        assert TextEncoder.from_document(document, encoder.vocabulary) == encoder


@pytest.mark.parametrize(
    ("change", "tokens"),
    [
        ({"length": 0}, ("<unk>",)),
        ({"length": 1 << 40}, ("<unk>",)),
        ({"length": True}, ("<unk>",)),
        ({"lower_case": 1}, ("<unk>",)),
        ({"punctuation": None}, ("<unk>",)),
        ({"truncation": "middle"}, ("<unk>",)),
        ({"padding": ["masked"]}, ("<unk>",)),
        ({}, ("a",)),
        ({"padding": "before"}, ("<unk>",)),
    ],
)
def test_documents_that_lie(change, tokens):
    document = {**build().to_document(), **change}
    with pytest.raises(TruesparseError):
        TextEncoder.from_document(document, Vocabulary(tokens))
    with pytest.raises(TruesparseError):
        TextEncoder.from_document([document], Vocabulary(("<unk>",)))
    del document["length"]
    with pytest.raises(TruesparseError):
        TextEncoder.from_document(document, Vocabulary(("<unk>",)))
