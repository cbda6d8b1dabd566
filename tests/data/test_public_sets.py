"""Files in the layouts of public sets, tiny."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from truesparse.data.labelled import CSV, Columns, read_table
from truesparse.errors import TruesparseError, UsageError
from truesparse.tasks.classifier.settings import RECIPES, ClassifierConfig
from truesparse.tasks.sources import resolve

AG = '"3","Wall St. Bears","Short-sellers, ""ultra-cynics""\\nare back"\n"1","Talks","Two, three"\n'
POLARITY = '"2","Good food.\\nWe come again"\n"1","Bad, ""cold"" food"\n'
TWEETS = (
    '"0","1467810369","Mon Apr 06 22:19:45 PDT 2009","NO_QUERY","someone","@switchfoot - Awww, caf\xe9"\n'
    '"4","2193602129","Tue Jun 16 08:40:50 PDT 2009","NO_QUERY","other","Happy, ""so"" happy"\n'
)
YELP = [{"review_id": "a", "stars": 5.0, "text": "Great\n\nplace"}, {"stars": 1, "text": "Never"}]
FOOD = (
    "Id,ProductId,UserId,ProfileName,HelpfulnessNumerator,HelpfulnessDenominator,Score,Time,Summary,Text\n"
    '1,B0,A3,me,1,1,5,1303862400,"Good, dog food","I have bought several"\n'
    "2,B1,A1,you,0,0,1,1346976000,Not,Jumbo\n"
)
SETS = {
    "AG's News": (AG.encode(), [("3", 'Wall St. Bears Short-sellers, "ultra-cynics" are back')]),
    "AG's News with names": (
        b"Class Index,Title,Description\n3,Wall,Street\n1,a,b\n",
        [("3", "Wall Street"), ("1", "a b")],
    ),
    "Yelp polarity": (POLARITY.encode(), [("2", "Good food. We come again"), ("1", 'Bad, "cold" food')]),
    "sentiment140": (
        TWEETS.encode("latin-1"),
        [("0", "@switchfoot - Awww, caf\xe9"), ("4", 'Happy, "so" happy')],
    ),
    "sentiment140 in UTF-8": (TWEETS.encode(), [("0", "@switchfoot - Awww, caf\xe9")]),
    "Yelp": (
        "".join(json.dumps(line) + "\n" for line in YELP).encode(),
        [("5", "Great\n\nplace"), ("1", "Never")],
    ),
    "Yelp as CSV": (b"review_id,stars,text\nx,4,Fine\n", [("4", "Fine")]),
    "Amazon": (FOOD.encode(), [("5", "I have bought several"), ("1", "Jumbo")]),
    "IMDB in one file": (b'review,sentiment\n"One, two",positive\n', [("positive", "One, two")]),
    "Sanders": (
        b'"Topic","Sentiment","TweetId","TweetDate","TweetText"\n"apple","positive","1","Tue","Now @Apple"\n',
        [("positive", "Now @Apple")],
    ),
    "any other": (b"label,text,stars\n1,one,2\n", [("1", "one")]),
}


@pytest.mark.parametrize("name", SETS)
def test_files_as_they_are_published(name: str, tmp_path: Path) -> None:
    data, expected = SETS[name]
    (tmp_path / "train.csv").write_bytes(data)
    table = read_table(tmp_path / "train.csv", Columns())
    assert list(zip(table.labels, table.texts, strict=True))[: len(expected)] == expected
    first = 1 if not data[:1].isalpha() and name != "Sanders" else 2
    assert table.rows.tolist() == list(range(first, first + len(table)))


def test_the_folder_of_imdb(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in ("pos", "neg", "unsup"):
            folder = tmp_path / part / label
            folder.mkdir(parents=True)
            (folder / "0_9.txt").write_text(f"{part} {label}<br />one")
            (folder / "1_8.txt").write_text(f"{part} {label} two")
    (tmp_path / "train" / "labeledBow.feat").write_text("9 0:9 1:1")
    parts = CSV.read_parts(tmp_path, Columns(), 0.5, 0.1, 1)
    assert sorted(parts["test"].texts) == [
        *("test neg two", "test neg<br />one", "test pos two", "test pos<br />one")
    ]
    assert parts["test"].labels == ["neg", "neg", "pos", "pos"]
    assert [len(part) for part in parts.values()] == [2, 2, 4]
    one = CSV.read_one(tmp_path, Columns(), "test")
    assert one.texts == parts["test"].texts


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'"3","a","b"\n"1","c"\n', "row 2 of .*train.csv has 2 columns, but its first row has 3"),
        (b'{"stars": 5, "text": "a"}\n{"stars": 5}\n', "line 2 of .*train.csv is no JSON object with stars"),
        (b"7,8,9,10\n", "has no column 'label'"),
        (b'"3","a","b"\n"\xff","c","d"\n', "row 2 of .*train.csv is not UTF-8"),
    ],
)
def test_mistakes_are_told_with_their_row(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(data)
    with pytest.raises(TruesparseError, match=message):
        read_table(tmp_path / "train.csv", Columns())


def test_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(FOOD.encode())
    table = read_table(tmp_path / "train.csv", Columns("Score", "Summary"))
    assert table.texts == ["Good, dog food", "Not"]


def test_recipes() -> None:
    names = ("drop_fraction", "lr", "batch_size", "er_epsilon")
    assert {name: tuple(recipe[one] for one in names) for name, recipe in RECIPES.items()} == {
        "twitter": (0.6, 0.001, 64, 10),
        "imdb": (0.4, 0.0005, 256, 10),
        "yelp": (0.2, 0.01, 64, 10),
        "amazon": (0.2, 0.001, 64, 10),
        "agnews": (0.2, 0.01, 64, 20),
        "yelp-polarity": (0.2, 0.001, 64, 20),
    }
    config = resolve({"recipe": "agnews"}, environment={}, task=ClassifierConfig)
    assert [getattr(config, name) for name in names] == [0.2, 0.01, 64, 20]
    assert config.epochs == ClassifierConfig.PRESETS["text"]["epochs"]
    config = resolve(
        {"recipe": "imdb", "preset": "text-gru", "batch_size": 7, "density": 0.1},
        environment={"TRUESPARSE_LR": "0.5"},
        task=ClassifierConfig,
    )
    assert (config.drop_fraction, config.lr, config.batch_size, config.density) == (0.4, 0.5, 7, 0.1)
    assert config.er_epsilon is None
    assert config.cell == "gru"
    dense = resolve({"recipe": "imdb", "method": "dense"}, environment={}, task=ClassifierConfig)
    assert (dense.er_epsilon, dense.lr, dense.filled().density) == (None, 0.0005, 1)
    with pytest.raises(UsageError, match="recipe is 'imbd'; it must be twitter, imdb, "):
        resolve({"recipe": "imbd"}, environment={}, task=ClassifierConfig)
