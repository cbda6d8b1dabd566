from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="draws with matplotlib")


@needs_matplotlib
@pytest.mark.parametrize("cell", ["lstm", "gru", "rhn"])
def test_a_run_is_drawn(run, tiny: list[str], tmp_path: Path, cell: str) -> None:
    run("train", "lm", *tiny, "--cell", cell, "--log-interval", 10, "--out", "run", "--quiet")
    assert run("plot", "run").stdout == "run/curve.png\n"
    assert (tmp_path / "run" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert run("plot", "run", "--out", "a.svg").exit_code == 0
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


@needs_matplotlib
def test_what_is_drawn(run, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    run("train", "lm", *tiny, "--log-interval", 10, "--out", "run", "--quiet")
    run("plot", "run")
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    perplexity, gates = figures[0].axes
    for line, kind in zip(perplexity.lines, ("train", "eval"), strict=True):
        points = [(record["epoch"], record["perplexity"]) for record in records if record["kind"] == kind]
        assert line.get_xydata().tolist() == [list(point) for point in points]
    assert [text.get_text() for text in gates.get_legend().get_texts()] == ["i", "f", "g", "o"]
    last = records[-2]["density_per_gate"]
    ends = [line.get_ydata()[-1] for line in gates.lines]
    of_gates = list(zip(*last.values(), strict=True))  # of each gate the density in each matrix
    assert ends == pytest.approx([d for of in of_gates for d in (*of, sum(of) / len(of))])


@needs_matplotlib
def test_gates_of_two_cells_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    from truesparse.training.pictures import draw_run

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    densities = {
        "lstm.0.weight_hh": [0.1, 0.2, 0.3, 0.4],
        "gru.0.weight_hh": [0.5, 0.6, 0.7],
        "mine.0.w": [1, 0],
    }
    records = [
        {"kind": "train", "epoch": epoch, "loss": 2.0, "perplexity": 9.0, "density_per_gate": densities}
        for epoch in (1, 2)
    ]
    draw_run(tmp_path / "a.png", tmp_path, records)
    _, gates = figures[0].axes
    names = [text.get_text() for text in gates.get_legend().get_texts()]
    assert names == ["i", "f", "g", "o", "r", "z", "n", "gate 0", "gate 1"]
    means = {line.get_label(): line.get_ydata()[-1] for line in gates.lines}
    assert (means["o"], means["r"], means["n"]) == pytest.approx((0.4, 0.5, 0.7))


@needs_matplotlib
def test_a_run_that_went_astray_is_drawn(
    run, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    flags = ["--log-interval", 10, "--max-steps", 60, "--quiet"]
    assert run("train", "lm", *tiny, *flags, "--lr", 1e6, "--out", "astray").exit_code == 0
    assert run("train", "lm", *tiny, *flags, "--out", "good").exit_code == 0
    text = (tmp_path / "astray" / "metrics.jsonl").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    losses = [record["loss"] for record in records if record["kind"] == "eval"]
    assert all(record["perplexity"] is None for record in records if record["kind"] == "eval")
    for runs in (["astray"], ["good", "astray"], ["astray", "astray"]):  # as a file, too
        result = run("plot", *runs, "--out", "a.png")
        assert result.exit_code == 0, result.stderr
        assert (tmp_path / "a.png").stat().st_size > 0
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    run("plot", "astray")
    assert figures[0].axes[0].lines[1].get_ydata().tolist() == losses
    # of a run that went astray late, or found back, perplexities are drawn where there are some
    lines = text.splitlines()
    (tmp_path / "astray" / "metrics.jsonl").write_text(
        "\n".join([lines[0].replace('"perplexity": null', '"perplexity": 9.5'), *lines[1:]]) + "\n"
    )
    run("plot", "astray")
    assert figures[1].axes[0].get_ylabel() == "perplexity"
    run("plot", "good", "astray")
    (legend,) = figures[2].legends
    assert [text.get_text()[:6] for text in legend.get_texts()] == ["good  ", "astray"]


@needs_matplotlib
def test_positions_used_are_drawn_if_they_were_counted(
    run, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    run("train", "lm", *tiny, "--track-positions", "--out", "run", "--quiet")
    run("plot", "run")
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    (line,) = figures[0].axes[2].lines
    assert line.get_ydata().tolist() == [record["positions_used"] for record in records[:-1]]


@needs_matplotlib
def test_runs_are_compared(run, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    evaluations = {}
    for name, lr in (("slow", 0.001), ("fast", 1.0)):
        run("train", "lm", *tiny, "--lr", lr, "--out", name, "--quiet")
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        evaluations[name] = [record for record in records if record["kind"] == "eval"]
    assert run("plot", "slow", "fast").stdout == "curves.png\n"
    assert run("plot", "slow", "fast", "--against", "time").exit_code == 0
    for figure, where in zip(figures, (lambda r: r["epoch"], lambda r: r["seconds"] / 60), strict=True):
        (axes,) = figure.axes
        (legend,) = figure.legends
        for line, told, name in zip(axes.lines, legend.get_texts(), ("fast", "slow"), strict=True):
            points = [[where(record), record["perplexity"]] for record in evaluations[name]]
            assert line.get_xydata().tolist() == points
            best = min(record["perplexity"] for record in evaluations[name])
            assert told.get_text() == f"{name}  {best:.1f}"


@needs_matplotlib
def test_a_name_that_is_not_utf8_is_drawn(run, tiny: list[str], tmp_path: Path) -> None:
    run("train", "lm", *tiny, "--out", "a\udcff", "--quiet")
    run("train", "lm", *tiny, "--out", "b", "--quiet")
    for runs in (["a\udcff"], ["a\udcff", "b"]):
        result = run("plot", *runs, "--out", "a.png")
        assert result.exit_code == 0, result.stderr
    result = run("distance", "a\udcff", "b", "--plot", "a.svg")
    assert result.exit_code == 0, result.stderr


@needs_matplotlib
def test_a_picture_replaces_a_link_and_appears_whole_or_not_at_all(
    run, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("train", "lm", *tiny, "--out", "run", "--quiet")
    (tmp_path / "other.txt").write_text("mine")
    (tmp_path / "a.png").symlink_to("other.txt")
    assert run("plot", "run", "--out", "a.png").exit_code == 0
    assert (tmp_path / "other.txt").read_text() == "mine"
    before = (tmp_path / "a.png").read_bytes()
    assert before.startswith(b"\x89PNG")

    def stop(path: Path, data: bytes) -> None:
        path.open("wb").write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", stop)
    assert "No space left on device" in run("plot", "run", "--out", "a.png").stderr
    assert (tmp_path / "a.png").read_bytes() == before


@needs_matplotlib
def test_runs_that_cannot_be_compared(run, tiny: list[str], tmp_path: Path) -> None:
    run("train", "lm", *tiny, "--out", "a", "--quiet")
    for name, record in (("b", {"kind": "train", "epoch": 1.0}), ("c", {"kind": "eval", "accuracy": 0.5})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    assert "b has not been evaluated yet" in run("plot", "a", "b").stderr
    assert "have no measure in common" in run("plot", "a", "c").stderr
    assert not (tmp_path / "curves.png").exists()


def test_refused(run, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, sentence in (
        (["none"], "none is not the folder of a run: it has no metrics.jsonl"),
        (["empty"], "empty is not the folder of a run: it has no metrics.jsonl"),
    ):
        result = run("plot", *arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"truesparse: {sentence}")
    run("train", "lm", *tiny, "--out", "run", "--quiet")
    assert "a picture's name must end in" in run("plot", "run", "--out", "curve").stderr
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text("{\n" + metrics.read_text())
    assert "is not as it was written" in run("plot", "run").stderr
    metrics.write_text("[1]\n")
    assert "is not as it was written: a line is no record" in run("plot", "run").stderr
    metrics.write_text("[" * 100_000 + "\n")
    assert "is not as it was written: a line is no JSON" in run("plot", "run").stderr
    metrics.write_text('{"kind": "tra')
    if find_spec("matplotlib"):
        assert "run has recorded nothing yet" in run("plot", "run").stderr
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert 'a picture needs matplotlib; install it with: pip install "truesparse[plot]"' in (
        run("plot", "run").stderr
    )
