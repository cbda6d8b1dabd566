"""Sequences of numbers in every kind of file, and what cannot be learned from."""

from __future__ import annotations

import gzip
import importlib.util
import io

import numpy as np
import pytest

from truesparse.data.files import open_file
from truesparse.data.series import SeriesColumns, goal_of
from truesparse.data.series_encoder import SeriesEncoder
from truesparse.data.series_files import layout_of, read_series
from truesparse.data.series_parts import SERIES, encode, load_series
from truesparse.data.stamps import Stamps, pace_of, read_stamps
from truesparse.errors import TruesparseError

pytestmark = pytest.mark.usefixtures("command")
X = np.array([[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [0, 0]]], np.float32)
LONG = SeriesColumns(id="who", time="t")


def read(path, columns=SeriesColumns(), labelled=True):  # noqa: B008
    layout = layout_of(path.name)
    with open_file(path, layout) as file:
        return read_series(file, layout, columns, labelled)


def text(path, content):
    path.write_text(content, encoding="utf-8")
    return path


def archive(path, **arrays):
    np.savez(path, **arrays)
    return path


def of(series):
    """Sequences as lists, and what is to be told."""
    inputs = series.inputs
    own = [inputs.values[a:b].tolist() for a, b in zip(inputs.starts, inputs.starts[1:], strict=False)]
    return own, series.targets.values[:, 0].tolist()


def both(path):
    """The two sequences of `X`, with classes a and b, whatever the file."""
    sequences, targets = of(read(path, LONG if path.stem == "long" else SeriesColumns()))
    assert sequences == [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 10]]]
    assert targets == (["a"] * 3 + ["b"] * 2 if path.stem == "long" else ["a", "b"])


def test_every_kind_of_file(tmp_path):
    both(archive(tmp_path / "x.npz", X=X, y=["a", "b"], lengths=[3, 2]))
    long = "t,who,label,u,v\n1,s,a,1,2\n2,s,a,3,4\n5,z,b,7,8\n3,s,a,5,6\n7,z,b,9,10\n"
    both(text(tmp_path / "long.csv", long))
    (tmp_path / "long.csv.gz").write_bytes(gzip.compress(long.encode()))
    assert of(read(tmp_path / "long.csv.gz", LONG)) == of(read(tmp_path / "long.csv", LONG))
    head = "#c\n@problemName x\n@timeStamps false\n@classLabel true a b\n@data\n"
    both(text(tmp_path / "x.ts", head + "1,3,5:2,4,6:a\n7,9:8,10:b\n"))
    wide = read(text(tmp_path / "wide.csv", "s1;y;s2\n1;3,5;2\n4;1;\n".replace(",", ".")))
    assert of(wide) == ([[[1], [2]], [[4]]], ["3.5", "1"])
    regress = read(text(tmp_path / "r.ts", "@targetlabel true\n@data\n1,2:0.5\n3,4:1\n"))
    assert (regress.targets.what, regress.targets.texts()) == ("regress", ["0.5", "1"])


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="needs pyarrow")
def test_parquet_and_arrow(tmp_path):
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet

    times = np.array(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-01", "2024-01-02"], "M8[D]")
    columns = {
        "t": times,
        "who": [*"ssszz"],
        "label": [*"aaabb"],
        "u": [1, 3, 5, 7, 9],
        "v": [2.0, 4, 6, 8, 10],
    }
    table = pyarrow.table(columns)
    pyarrow.parquet.write_table(table, tmp_path / "long.parquet")
    pyarrow.feather.write_feather(table, tmp_path / "long.arrow")
    for name in ("long.parquet", "long.arrow"):
        both(tmp_path / name)
        assert read(tmp_path / name, LONG).stamps.texts[:2] == ["2024-01-01", "2024-01-02"]
    pyarrow.parquet.write_table(table.set_column(3, "u", [[1, None, 5, 7, 9]]), tmp_path / "gap.pq")
    with pytest.raises(TruesparseError, match=r"in row 2 of .*gap.pq the column 'u' is empty; mend it"):
        read(tmp_path / "gap.pq", LONG)
    pyarrow.parquet.write_table(pyarrow.table({"a": [[1], [2]]}), tmp_path / "list.pq")
    with pytest.raises(TruesparseError, match=r"the column 'a' of .* is of the type list<"):
        read(tmp_path / "list.pq")
    with pytest.raises(TruesparseError, match="cannot be read as Parquet: "):
        read(text(tmp_path / "broken.parquet", "no"))


def test_without_pyarrow_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr("truesparse.data.frames.find_spec", lambda name: None)
    with pytest.raises(
        TruesparseError, match=r'needs pyarrow; install it with: pip install "truesparse\[arrow\]"'
    ):
        read(text(tmp_path / "x.parquet", "PAR1"))


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("a.csv", "x,y\n1,a\n", {"target": "z"}, "a.csv has no column 'z'; "),
        ("a.csv", "x,z\n1,a\n", {}, "a.csv has no column 'label'; .* --target-column"),
        ("a.csv", "x,,y\n1,2,a\n", {}, "column 2 of a.csv has no name"),
        ("a.csv", "x,x,y\n1,2,a\n", {}, "a.csv has two columns 'x'"),
        ("a.csv", "x,y\n", {}, "a.csv has no rows but the names"),
        ("a.csv", "x,y\n1,a\ninf,b\n", {}, "row 3 of a.csv the column 'x' is 'inf', which is no finite"),
        ("a.csv", "x,y\n1,a\n1e99,b\n", {}, "row 3 of a.csv the column 'x' is '1e99', which is too large"),
        ("a.csv", "x,z,y\n1,2,a\n,3,b\n", {}, "row 3 of a.csv has nothing in the column 'x', though"),
        ("a.csv", "x,z,y\n1,2,a\n,,b\n", {}, "row 3 of a.csv has no values"),
        ("a.csv", "x,y\n1,\n", {}, "row 2 of a.csv has no target in 'y'"),
        ("a.csv", "y\n1\n", {}, "a.csv has no columns of numbers besides 'y'"),
        ("a.csv", "x,y,i\n1,1,\n", {"id": "i"}, "row 2 of a.csv has no id in 'i'"),
        ("a.csv", "t,y\n1,1\n", {"time": "t"}, "a.csv has no columns of features"),
        ("a.csv", "t,x,y\n1,1,1\nMay,1,1\n", {"time": "t"}, "row 3 of a.csv has the time 'May'"),
        ("a.csv", "t,x,y\n2,1,1\n1,1,1\n", {"time": "t"}, "row 3 .* time 1, which is before .* 2; sort"),
        ("a.csv", "t,x,y\n2,1,1\n2,1,1\n", {"time": "t"}, "row 3 .* time 2 again, as row 2"),
        ("a.ts", "1,2:a\n", {}, "line 1 of a.ts is '1,2:a', before @data"),
        ("a.ts", "@timestamps true\n", {}, "line 1 of a.ts says that steps have time stamps"),
        ("a.ts", "@data\n", {}, "a.ts has no sequences behind"),
        ("a.ts", "@classlabel true\n@data\n1,2:\n", {}, "line 3 of a.ts has no label"),
        ("a.ts", "@data\n1,?\n", {}, r"line 2 of a.ts has '\?' at step 2 of dimension 1"),
        ("a.ts", "@data\n1,2:3\n", {}, "line 2 of a.ts has dimensions of 1 and 2 steps"),
        ("a.ts", "@data\n1:2\n3\n", {}, "line 3 of a.ts has 1 dimensions, but line 2 has 2"),
        ("a.npz", "no", {}, "a.npz cannot be read as an NPZ file"),
    ],
)  # fmt: skip
def test_mistakes_in_files(tmp_path, monkeypatch, name, content, columns, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TruesparseError, match=message):
        read(text(tmp_path / name, content).relative_to(tmp_path), SeriesColumns(**columns))


@pytest.mark.parametrize(
    ("arrays", "goal", "message"),
    [
        ({"y": [1]}, "auto", "has no array X, but y"),
        ({"X": X}, "auto", "has no array y, but x"),
        ({"X": np.zeros(3), "y": [1]}, "auto", r"X of .* is float64 of shape \(3,\)"),
        ({"X": [["a"]], "y": [1]}, "auto", "X of .* must be numbers"),
        ({"X": X, "y": [1, 2], "lengths": [3, 4]}, "auto", "2 whole numbers from 1 to 3"),
        ({"X": np.where(X == 9, np.nan, X), "y": [1, 2]}, "auto", "row 1 of X .* at step 1 "),
        ({"X": X, "y": [1]}, "auto", r"y of .* shape \(1,\); .* each of the 2 rows"),
        ({"X": X, "y": [1, 2]}, "label-steps", r"must begin with \(2, 3\)"),
        ({"X": np.array([{}], object), "y": [1]}, "auto", "cannot be read as an NPZ file of numbers"),
    ],
)
def test_mistakes_in_arrays(tmp_path, arrays, goal, message):
    with pytest.raises(TruesparseError, match=message):
        read(archive(tmp_path / "x.npz", **arrays), SeriesColumns(goal))


def test_what_is_padding_is_not_read(tmp_path):
    padded = X.copy()
    padded[1, 2] = np.nan
    series = read(archive(tmp_path / "x.npz", X=padded, y=np.arange(6).reshape(2, 3), lengths=[3, 2]))
    assert of(series)[1] == [0, 1, 2, 3, 4]
    assert series.targets.per_step
    once = read(
        archive(tmp_path / "x.npz", X=padded, y=np.ones((2, 3)), lengths=[3, 2]), SeriesColumns("regress")
    )
    assert once.targets.names == ("y1", "y2", "y3")


@pytest.mark.parametrize(
    ("y", "goal"),
    [
        ([*"ab"] * 5, "classify"),
        ([0, 1] * 5, "classify"),
        ([True, False] * 5, "classify"),
        ([0.5, 1] * 5, "regress"),
        ([[1, 2]] * 10, "regress"),
        ([[[1.5]] * 3] * 10, "regress"),
        ([[*"aab"]] * 10, "label-steps"),
        ([[0.5, 1, 2]] * 10, "regress-steps"),
        ([[0, 1, 0]] * 10, "label-steps"),
        (list(range(10)), None),
    ],
)
def test_what_is_learned_is_seen_where_that_is_safe(tmp_path, y, goal):
    series = read(archive(tmp_path / "x.npz", X=np.ones((10, 3)), y=np.array(y)))
    if goal is None:
        with pytest.raises(
            TruesparseError, match=r"10 different values, .* --goal classify or --goal regress"
        ):
            goal_of(series)
    else:
        assert goal_of(series) == goal


def test_a_target_of_whole_sequences_is_the_same_in_all_rows(tmp_path):
    rows = "who,t,x,y\na,1,1,0.5\na,2,1,0.5\nb,1,1,2\nb,2,1,3\n"
    series = read(text(tmp_path / "a.csv", rows), LONG)
    assert goal_of(series) == "regress-steps"
    with pytest.raises(
        TruesparseError, match=r"row 5 of .* has another y than row 4 of 'b'; .* --goal label-steps"
    ):
        series.of_goal("regress")
    assert series.select(np.array([0])).of_goal("regress").targets.values.tolist() == [["0.5"]]


def test_rows_with_names_are_whole_sequences(tmp_path):
    columns = SeriesColumns(id="who")
    wide = read(text(tmp_path / "wide.csv", "who,s1,s2,y\nb,1,2,0.5\na,3,,1.5\n"), columns)
    assert of(wide) == ([[[1], [2]], [[3]]], ["0.5", "1.5"])
    assert wide.ids == ["b", "a"]
    names = SeriesEncoder("regress", ("s1", "s2"), ("y",))
    rows = text(tmp_path / "rows.csv", "who,s1,s2,y\na,1,2,0.5\nb,3,4,1.5\n")
    assert read(rows, columns._replace(encoder=names)).features == ("s1", "s2")
    assert read(rows, columns._replace(time="s1")).features == ("s2",)


def write_wide(path, n=40, labels="abbb"):
    rows = [f"{k},{k % 7},{labels[k % len(labels)]}" for k in range(n)]
    return text(path, "\n".join(["s1,s2,label", *rows, ""]))


def test_parts_of_one_file_have_the_same_share_of_each_label(tmp_path):
    data = load_series(write_wide(tmp_path / "gestures.csv"), SeriesColumns(), 0.2, 0.1, 3)
    assert [np.bincount(part.labels).tolist() for part in data.parts.values()] == [[7, 22], [2, 5], [1, 3]]
    assert (data.labels, data.name) == (("a", "b"), "gestures")
    assert data.encoder == SeriesEncoder("classify", ("value",), ("label",))
    assert data.description.endswith(
        "29 / 7 / 4 sequences to train / validate / test, 2 labels, 1 feature a step"
    )
    write_wide(tmp_path / "numbers.csv", labels="123")
    columns = SeriesColumns("regress", "s2, label")
    told = SERIES.read_parts(tmp_path / "numbers.csv", columns, 0.2, 0.1, 3)["train"].select(np.arange(3))
    assert encode(told, (), SeriesEncoder("regress", ("value",), ("s2", "label"))).labels.shape == (2, 3)


def test_files_of_the_archive_are_found_in_a_folder(tmp_path):
    head = "@classLabel true a b\n@data\n"
    for part, n in ("TRAIN", 20), ("TEST", 4):
        text(tmp_path / f"Toy_{part}.ts", head + "".join(f"{k},2:{'ab'[k % 2]}\n" for k in range(n)))
    data = load_series(tmp_path, SeriesColumns(), 0.2, 0.1, 1)
    assert [len(part.inputs) for part in data.parts.values()] == [16, 4, 4]
    text(tmp_path / "Other_TRAIN.ts", head)
    with pytest.raises(TruesparseError, match=r"several data sets, Other_TRAIN.ts and Toy_TRAIN.ts"):
        load_series(tmp_path, SeriesColumns(), 0.2, 0.1, 1)


def test_a_single_sequence_is_parted_by_its_steps(tmp_path):
    rows = [f"{k},{k + 0.5},{k}" for k in range(20)]
    path = text(tmp_path / "a.csv", "\n".join(["u,y,t", *rows, ""]))
    data = load_series(path, SeriesColumns(time="t"), 0.1, 0.2, 1)
    assert data.encoder.goal == "regress-steps"
    ends = [part.labels.values[[0, -1], 0].tolist() for part in data.parts.values()]
    assert ends == [[0.5, 13.5], [14.5, 15.5], [16.5, 19.5]]


def test_parts_must_fit_the_training_part(tmp_path):
    write_wide(tmp_path / "train.csv")
    write_wide(tmp_path / "valid.csv", labels="abc")
    with pytest.raises(
        TruesparseError, match=r"row 4 of .*valid.csv has the label 'c', which no training row has"
    ):
        load_series(tmp_path, SeriesColumns(), 0.2, 0.1, 1)
    one = write_wide(tmp_path / "one.csv", labels="a")
    with pytest.raises(TruesparseError, match=r"all 29 training rows of .* have the label 'a'"):
        load_series(one, SeriesColumns(), 0.2, 0.1, 1)
    with pytest.raises(TruesparseError, match="has one label for each sequence, not one for each step"):
        read(one).of_goal("label-steps")
    rows = text(tmp_path / "n.csv", "who,x,z,y\na,1,2,1.5\nb,1,2,1\nc,1,2,x\n")
    with pytest.raises(TruesparseError, match=r"in row 4 of .* the y is 'x', which is no finite number"):
        load_series(rows, SeriesColumns("regress", id="who"), 0.3, 0.3, 2)
    series = read(rows, SeriesColumns(id="who"))
    assert series.with_features(("z",)).inputs.values.tolist() == [[2], [2], [2]]
    with pytest.raises(TruesparseError, match=r"has no column 'w', which the model was trained on; .* x, z"):
        series.with_features(("x", "w"))


@pytest.mark.parametrize(
    ("texts", "later"),
    [
        ("1949-01 1949-02 1949-03", "1949-04 1949-05"),
        ("2020-01-31 2020-02-29 2020-03-31", "2020-04-30 2020-05-31"),
        ("2020-10-01 2021-01-01 2021-04-01", "2021-07-01 2021-10-01"),
        ("2024-02-27 2024-02-28", "2024-02-29 2024-03-01"),
        ("2020-01-01T23:00 2020-01-01T23:30", "2020-01-02T00:00 2020-01-02T00:30"),
        ("2020-01-01T10:00:00Z 2020-01-01T10:15:00Z", "2020-01-01T10:30:00Z 2020-01-01T10:45:00Z"),
        ("1 3 5", "7 9"),
        ("0.1 0.2 0.3", "0.4 0.5"),
    ],
)
def test_times_go_on(texts, later):
    rows = np.arange(len(texts.split()))
    stamps = read_stamps(texts.split(), "f", rows)
    assert pace_of(stamps, rows, "f", "").after(stamps, 2) == later.split()


@pytest.mark.parametrize(
    "texts", ["1 2 4 5", "2020-01 2020-02 2020-04", "2020-01-06 2020-01-07 2020-01-09 2020-01-10"]
)
def test_gaps_in_time_are_told(texts):
    rows = np.arange(2, 2 + len(texts.split()))
    stamps = read_stamps(texts.split(), "f", rows)
    assert isinstance(stamps, Stamps)
    with pytest.raises(
        TruesparseError, match=r"row 4 of f has the time \S+ of 'a' after \S+, another distance"
    ):
        pace_of(stamps, rows, "f", " of 'a'")


def test_streams_are_read_too():
    stream = io.BytesIO()
    np.savez(stream, X=X)
    stream.seek(0)
    with open_file(stream, "npz", "standard input") as file:
        assert len(read_series(file, "npz", SeriesColumns(), labelled=False)) == 2


def test_a_label_of_steps_stays_in_the_training_part(tmp_path):
    rows = [f"{who},{step},{'rare' if who == 3 else 'ab'[step % 2]}" for who in range(8) for step in range(2)]
    path = text(tmp_path / "steps.csv", "\n".join(["who,x,y", *rows, ""]))
    columns = SeriesColumns("label-steps", id="who")
    for seed in range(8):
        data = load_series(path, columns, 0.2, 0.4, seed)
        assert data.labels == ("a", "b", "rare")
        assert 2 in data.parts["train"].labels.values
        assert len(data.parts["test"].inputs) == 3


WEIGHTS = {
    "wide.csv": "s1,s2,w,y\n1,2,2,a\n3,4,0,b\n5,6,1,a\n7,8,4,b\n",
    "long.csv": "who,x,w,y\na,1,2,a\na,2,2,a\nb,3,0,b\nc,5,1,a\nd,7,4,b\n",
}


@pytest.mark.parametrize("name", [*WEIGHTS, "arrays.npz"])
def test_weights_of_sequences(tmp_path, name):
    path = tmp_path / name
    if name in WEIGHTS:
        text(path, WEIGHTS[name])
    else:
        archive(path, X=np.arange(8).reshape(4, 2), y=np.array([*"abab"]), W=np.array([2, 0, 1, 4]))
    columns = SeriesColumns("classify", id="who" if name == "long.csv" else "", weight="w", weighed=True)
    series = read(path, columns).of_goal("classify")
    assert series.told().weights.tolist() == [2, 0, 1, 4]
    assert series.select(np.array([3])).told().weights.tolist() == [4]
    assert series.inputs.values.shape[1] == 1  # the weight is no feature
    same = read(path, columns._replace(weighed=False)).of_goal("classify")
    assert same.told().weights is None
    np.testing.assert_array_equal(same.inputs.values, series.inputs.values)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("wide.csv", "s1,w,y\n1,2,a\n3,-1,b\n", r"row 3 of .* has the weight '-1'; it must be a number of 0"),
        ("wide.csv", "s1,w,y\n1,2,a\n3,nan,b\n", r"row 3 of .* has the weight 'nan'; it must be"),
        ("wide.csv", "s1,w,y\n1,0,a\n3,0,b\n", r"every weight of .* is zero"),
        ("wide.csv", "s1,y\n1,a\n3,b\n", r"has no column 'w'"),
        ("long.csv", "who,x,w,y\na,1,1,a\na,2,2,a\n", r"row 3 of .* has another weight than row 2 of 'a'"),
        ("toy.ts", "@classLabel true a b\n@data\n1,2:a\n", r"has no columns, so leave --weight-column out"),
    ],
)
def test_wrong_weights(tmp_path, name, content, sentence):
    columns = SeriesColumns("classify", id="who" if name == "long.csv" else "", weight="w", weighed=True)
    with pytest.raises(TruesparseError, match=sentence):
        read(text(tmp_path / name, content), columns).of_goal("classify")


def test_a_gap_is_told_once_where_nothing_is_forecast(tmp_path):
    path = text(
        tmp_path / "a.csv", "who,t,x,y\na,1,1,1\na,2,1,1\na,3,1,1\na,5,1,1\nb,1,1,1\nb,2,1,1\nb,9,1,1\n"
    )
    told = "row 5 of .*a.csv has the time 5 of 'a' after 3, another distance than .* takes all steps as even"
    with pytest.warns(UserWarning, match=told) as warned:
        series = read(path, LONG)
    assert len(warned) == 1
    assert series.inputs.lengths.tolist() == [4, 3]
    read(path, LONG._replace(encoder=SeriesEncoder("regress", ("x",), ("y",))))  # a model knows: no warning
