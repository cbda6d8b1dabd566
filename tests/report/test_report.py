"""Reports on runs of version 0.1, which need no training and no kernels."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from truesparse.csr import CSR
from truesparse.layers.chain import ChainSpec
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.output.spec import SquaredError
from truesparse.layers.pool.spec import Pool
from truesparse.modelfile import Reader, StoredModel, find_model, read_model
from truesparse.report.charts import Curve, line_chart
from truesparse.report.connections import connections
from truesparse.report.markup import element, escaped, table

GOLDEN = Path(__file__).parents[1] / "golden" / "v0.1"
DATA = {"lstm": "text.txt", "classifier": "reviews.csv"}


@pytest.fixture
def copied(tmp_path: Path):
    """Makes a run of version 0.1 in the working directory, with its data beside it."""

    def make(name: str, to: str = "run", **changes: str) -> Path:
        folder = tmp_path / to
        shutil.copytree(GOLDEN / name, folder)
        data = tmp_path / DATA[name]
        shutil.copy(GOLDEN / DATA[name], data)
        config = (folder / "config.toml").read_text().replace(f"tests/golden/v0.1/{DATA[name]}", str(data))
        for old, new in changes.items():
            config = re.sub(f"^{old} = .*$", f"{old} = {new}", config, flags=re.MULTILINE)
        (folder / "config.toml").write_text(config)
        return folder

    return make


class Page(HTMLParser):
    """Texts and tags of a page, each closed as it was opened."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.opened

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [value for name, value in attrs if name in ("src", "href", "onload", "onclick")]
        if tag not in ("meta",):
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def test_a_language_model(run, copied) -> None:
    folder = copied("lstm")
    result = run("report", "run")
    assert (result.stdout, result.exit_code) == ("run/report.html\n", 0), result.stderr
    page = Page(folder / "report.html")
    for title in ("Results beside baselines", "Curves", "Inputs and their connections", "Size and speed"):
        assert title in page.texts
    end = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    for name in ("valid_perplexity", "test_perplexity", "unigram_perplexity"):
        assert f"{end[name]:.2f}" in page.texts
    assert "666 of 1,664, density 0.4002" in page.texts
    assert "--max-steps" in page.texts
    assert "--tied" not in page.text  # as usual
    assert "Most surprising tokens" in page.texts
    assert f"truesparse generate {folder}" in page.text
    assert f"truesparse export {folder} --to onnx" in page.text
    assert not {"script", "link", "img"} & set(page.tags)


def test_a_classifier_and_its_worst_texts(run, copied) -> None:
    folder = copied("classifier")
    run("report", "run", "--out", "a.html")
    page = Page(folder.parent / "a.html")
    assert "Confusion matrix" in page.texts
    place = page.texts.index("label \\ predicted")
    confusion = np.reshape([int(text) for text in page.texts[place:] if text.isdigit()][:9], (3, 3))
    assert confusion.sum() == 30  # all of them right, 11 with the most frequent label
    assert sorted(confusion.diagonal())[2] == 11
    assert np.count_nonzero(confusion) == 3
    assert "most frequent label, test data" in page.texts


def test_texts_of_users_are_escaped(run, copied) -> None:
    folder = copied("classifier", to="<script>alert(1)<script>")
    text = (GOLDEN / "reviews.csv").read_text()
    data = folder.parent / "a&<b>.csv"
    # the data are not those of training, so nothing is looked at but their name is shown
    data.write_text(text.replace("good", "<script>alert(2)</script>"))
    config = (folder / "config.toml").read_text().replace("reviews.csv", "a&<b>.csv")
    (folder / "config.toml").write_text(config)
    assert run("report", folder.name).exit_code == 0
    page = Page(folder / "report.html")
    assert "script" not in page.tags
    assert "<script>alert(1)<script>" in page.texts
    assert any("a&<b>.csv" in text for text in page.texts)
    sentence = next(text for text in page.texts if text.startswith("Nothing was looked at: "))
    assert "<script>alert(2)</script>" in sentence


def test_labels_and_texts_are_escaped_where_they_are_shown(tmp_path: Path) -> None:
    from truesparse.report.sections import _confusion, _listing
    from truesparse.tasks.examined import Examined, Listing, Passage

    label = "<script>"
    found = Examined("", [], (label, 'a" onload="x'), np.array([[3, 1], [0, 2]]))
    passage = Listing("t", ("token", "label"), [(Passage("a <i>", "<b>", "\x00"), label)])
    (tmp_path / "p").write_text(_confusion(found) + _listing(passage))
    page = Page(tmp_path / "p")
    assert not {"script", "b", "i"} & set(page.tags)
    assert page.texts.count(label) == 3
    many = Examined("", [], tuple(f"l{n}" for n in range(30)), np.eye(30, dtype=np.int64) + np.eye(30, k=1))
    assert "Most frequent confusions of the 30 labels" in _confusion(many)
    assert escaped("a\nb") == "a\\nb"
    assert element("p", title="<") == '<p title="&lt;"></p>'
    assert "<td>&amp;</td>" in table(["a"], [["&"]])


def test_what_a_model_gets_wrong(copied) -> None:
    from truesparse.tasks.classifier.examine import examine

    with Reader(find_model(copied("classifier"))) as reader:
        stored = read_model(reader)
    stored.vectors["output.bias"][1] += 50  # it tells the second label always
    found = examine(stored)
    assert found.confusion[:, [0, 2]].sum() == 0
    wrong = found.listings[0].rows
    assert len(wrong) == 12
    assert all(told == found.labels[1] != label for _, label, told, _, _ in wrong)
    lines = (GOLDEN / "reviews.csv").read_text().splitlines()
    for text, label, _, _, row in wrong:
        assert lines[int(row) - 1].startswith(f"{label},")
        assert str(text) in lines[int(row) - 1]


def test_data_that_have_gone(run, copied) -> None:
    folder = copied("classifier")
    (folder.parent / "reviews.csv").unlink()
    assert run("report", "run").exit_code == 0
    page = Page(folder / "report.html")
    assert any(text.startswith("Nothing was looked at: ") for text in page.texts)
    assert "Confusion matrix" not in page.texts


def test_runs_are_compared(run, copied) -> None:
    copied("lstm", to="b")
    folder = copied("lstm", to="a", lr="0.5")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text("\n".join(lines[:3]) + "\n")  # as if it were still training
    assert run("report", "a", "b").stdout == "report.html\n"
    page = Page(folder.parent / "report.html")
    assert page.texts.index("b") < page.texts.index("a")  # the best one first
    place = page.texts.index("--lr")
    assert page.texts[place : place + 3] == ["--lr", "1.0", "0.5"]
    assert "not ended" in page.texts
    assert run("report", "a").exit_code == 0
    assert any("has not ended" in text for text in Page(folder / "report.html").texts)


def test_kinds_of_runs_are_compared_by_their_loss(run, copied) -> None:
    copied("lstm")
    folder = copied("classifier", to="other")
    assert run("report", "run", "other").exit_code == 0
    assert "validation loss" in Page(folder.parent / "report.html").texts


def test_nothing_heavy_is_imported(copied) -> None:
    folder = copied("classifier")
    code = (
        "import sys; from truesparse.report.page import write_report; from pathlib import Path;"
        f"write_report([Path({str(folder)!r})], Path({str(folder / 'r.html')!r}));"
        "print(sorted({'numba', 'scipy', 'matplotlib', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_refused(run, copied) -> None:
    folder = copied("lstm")
    assert "none is not the folder of a run" in run("report", "none").stderr
    assert "there is no folder" in run("report", "run", "--out", "none/a.html").stderr
    (folder / "environment.json").write_text("{")
    assert "environment.json is not as it was written" in run("report", "run").stderr
    (folder / "environment.json").unlink()
    (folder / "metrics.jsonl").write_text("")
    assert "has not been evaluated yet" in run("report", "run").stderr
    (folder / "config.toml").write_text('task = "other"')
    assert "is of no task" in run("report", "run").stderr
    assert not (folder / "report.html").exists()


def test_connections_of_tokens(copied) -> None:
    with Reader(find_model(copied("lstm"))) as reader:
        stored = read_model(reader)
    found = connections(stored)
    assert found is not None
    table = stored.matrices["embedding.weight"].to_dense() != 0
    reads = stored.matrices["lstm.0.weight_ih"].to_dense() != 0
    units = reads.reshape(4, -1, reads.shape[1]).any(axis=0)
    assert found.direct is not None
    np.testing.assert_array_equal(found.direct, table.sum(axis=1))
    np.testing.assert_array_equal(found.units, (table[:, None, :] & units[None]).any(axis=2).sum(axis=1))
    assert found.direct[found.order()[0]] == found.direct.max()


def test_connections_of_features() -> None:
    chain = ChainSpec(LSTM(2), Pool(), SquaredError(1), features=3)
    dense = np.zeros((8, 3), np.float32)
    dense[[0, 2, 5], [1, 1, 2]] = 1  # rows 0 and 2 are the first unit, row 5 the second one
    rows, columns = np.nonzero(dense)
    indptr = np.searchsorted(rows, np.arange(9)).astype(np.int64)
    csr = CSR(indptr, columns.astype(np.uint16), dense[rows, columns], (8, 3))
    stored = StoredModel(Path(), chain, {"lstm.0.weight_ih": csr}, {}, None, None, (), {})
    found = connections(stored)
    assert found is not None
    assert (found.units.tolist(), found.most, found.direct) == ([0, 1, 1], 2, None)


def test_both_directions() -> None:
    from truesparse.layers.bidirectional.spec import Bidirectional
    from truesparse.layers.output.spec import Softmax
    from truesparse.model import random_model
    from truesparse.report.run import seconds_per_step

    chain = ChainSpec(Bidirectional(LSTM(5)), Pool(), Softmax(2), features=4)
    model = random_model(chain, 0.3, np.random.default_rng(1))
    matrices = {
        name: CSR(matrix.indptr, matrix.indices, matrix.data, matrix.shape)
        for name, matrix in model.arena.matrices.items()
    }
    stored = StoredModel(Path(), chain, matrices, model.arena.biases, None, None, (), {})
    found = connections(stored)
    assert found is not None
    each = [
        matrices[f"lstm.0.{way}.weight_ih"].to_dense().reshape(4, 5, 4) for way in ("forward", "backward")
    ]
    expected = sum((dense != 0).any(axis=0).sum(axis=0) for dense in each)
    assert (found.units.tolist(), found.most, found.layer) == (expected.tolist(), 10, "lstm.0")
    seconds, what = seconds_per_step(stored, 0.01)
    assert 0 < seconds < 1
    assert what == "of a sequence of 50"


@pytest.mark.parametrize(
    ("x", "y", "log"),
    [
        ([1.0], [5.0], True),
        ([1, 2], [3.0, 3.0], False),
        ([1, 2, 3], [1e-9, 1e9, float("nan")], True),
        ([0, 1], [0.0, 1.0], True),
        ([0, 1], [-5.0, -5.0], False),
    ],
)
def test_curves_stay_inside(x: list[float], y: list[float], log: bool) -> None:
    picture = line_chart([Curve("a", x, y, dots=True)], "caption", "epoch", log=log)
    heights = [float(height) for height in re.findall(r'cy="([-0-9.]+)"', picture)]
    assert len(heights) == sum(value == value for value in y)
    assert all(0 <= height <= 200 for height in heights)
    assert "nothing finite" in line_chart([Curve("a", [1], [float("inf")])], "caption", "epoch")


def test_what_was_measured_once_is_a_dot() -> None:
    """After one epoch there are several records of it, all at one place: a line has no length there."""
    once = line_chart(
        [Curve("gate", [1.0, 1.0, 1.0], [0.1, 0.1, 0.2], thin=True)], "Density", "epoch", share=True
    )
    assert once.count("<circle") == 3
    assert 'class="line s0 thin"' not in once
    twice = line_chart([Curve("gate", [1.0, 2.0], [0.1, 0.2], thin=True)], "Density", "epoch", share=True)
    assert "<circle" not in twice
    assert 'class="line s0 thin"' in twice
