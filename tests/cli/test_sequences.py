"""Models of numbers: trained, measured, used and gone on with from the command line."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from click.testing import CliRunner
from command_helpers import OF_A_RUN
from training_helpers import StopAt

import truesparse
from truesparse.cli import main
from truesparse.data.linear import fit_linear
from truesparse.data.series_encoder import AUTO, GOALS
from truesparse.tasks.label_settings import calibration_lines
from truesparse.tasks.run import resume_run, train_model
from truesparse.tasks.series import settings
from truesparse.tasks.sources import resolve
from truesparse.training.checkpoint import load_checkpoint
from truesparse.training.loop import TrainingStopped

SETTINGS = {"hidden_size": 40, "density": 0.2, "batch_size": 8, "epochs": 4, "lr": 0.02, "seed": 2}
FLAGS = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
COLUMNS = ["--id-column", "who", "--time-column", "day"]
FORECAST = [
    *("--horizon", "3", "--lookback", "6", "--season", "7"),
    *("--id-column", "shop", "--time-column", "day", "--known-columns", "promo"),
]
EXTRA = {
    "classify": [],
    "regress": COLUMNS,
    "label-steps": COLUMNS,
    "regress-steps": ["--goal", "regress-steps", "--length", "9"],
    "forecast": FORECAST,
}


def write(folder: Path) -> None:
    """A file for each goal, named like it: 60 sequences of 4 to 6 steps of two features, whose sum tells."""
    rng = np.random.default_rng(5)
    steps = [rng.normal(0, 1, (n, 2)).round(3) for n in rng.integers(4, 7, 60)]
    wide = [["s1", "s2", "s3", "s4", "s5", "s6", "label"]]
    rows: dict[str, list[list[object]]] = {goal: [["who", "day", "u", "v", "y"]] for goal in GOALS}
    rows["regress-steps"] = [["u", "v", "y"]]
    for number, own in enumerate(steps):
        total = 10 * own.sum() + 500
        cells = [*own[:, 0], *[""] * (6 - len(own))]
        wide.append([*cells, "up" if own[:, 0].sum() > 0 else "down"])
        for day, (u, v) in enumerate(own, 1):
            first = [f"w{number}", f"2024-01-{day:02}", u, v]
            rows["regress"].append([*first, f"{total:.2f}"])
            rows["label-steps"].append([*first, "high" if u + v > 0 else "low"])
            rows["regress-steps"].append([u, v, f"{100 * (u - v):.3f}"])
    rows["forecast"] = [["shop", "day", "target", "promo"]]
    for shop in range(3):
        for day in range(56):
            promo = int(rng.random() < 0.3)
            total = 10 * shop + np.sin(day * 2 * np.pi / 7) + 3 * promo + 0.1 * rng.normal()
            rows["forecast"].append(
                [f"s{shop}", str(np.datetime64("2024-01-01") + day), f"{total:.3f}", promo]
            )
    for goal, own in {**rows, "classify": wide}.items():
        with (folder / f"{goal}.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows(own)

    with (folder / "short.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows["forecast"][:16])


def command(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def train(goal: str, *more: object) -> dict[str, float]:
    flags = [*EXTRA[goal], *FLAGS, *more]
    return json.loads(command("train", "sequences", "--data", f"{goal}.csv", *flags, "--json", "--quiet"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Results of a run for each goal, by goal, each in a folder named like it, in the working directory."""
    folder = tmp_path_factory.mktemp("sequences")
    write(folder)
    os.chdir(folder)
    return {goal: train(goal, "--out", goal) for goal in EXTRA}


@pytest.fixture(autouse=True)
def _there(trained: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(trained["classify"]["run_dir"]).absolute().parent)


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_what_a_run_comes_to(trained) -> None:
    labels = ["valid_accuracy", "test_accuracy", "test_macro_f1", "majority_accuracy"]
    numbers = ["valid_rmse", "test_rmse", "test_mae", "test_r2"]
    for goal, results in trained.items():
        own = labels if goal in ("classify", "label-steps") else [*numbers, "mean_rmse", "mean_mae"]
        if goal == "forecast":
            simple = [f"{name}_{measure}" for name in ("naive", "linear") for measure in ("rmse", "mae")]
            own = [*numbers, *simple, "season", "refit"]
            assert results["test_rmse"] < results["linear_rmse"] < results["naive_rmse"]
        assert list(results) == [*own, *OF_A_RUN], goal
        if own is labels:
            assert results["test_accuracy"] > max(0.8, results["majority_accuracy"]), goal
        else:
            assert results["test_r2"] > 0.4, goal
            assert results["test_rmse"] < results["naive_rmse" if goal == "forecast" else "mean_rmse"]


def test_goals_are_those_that_there_are() -> None:
    assert set(settings.GOALS) == {AUTO, *GOALS}


def test_lines() -> None:
    shown = command("train", "sequences", "--data", "regress.csv", *COLUMNS, *FLAGS, "--out", "lines")
    for part in (
        "regress.csv: 49 / 5 / 6 sequences to train / validate / test, 2 features a step",
        "step       7  validation R² ",
        "validation RMSE ",
        "; always the mean: RMSE ",
        "use it with: truesparse predict lines FILE",
    ):
        assert part in shown
    shown = command("train", "sequences", "--data", "classify.csv", *FLAGS, "--out", "lines2")
    assert "2 labels, 1 feature a step" in shown
    assert "always the most frequent label" in shown


def test_the_model_keeps_mean_and_deviation_of_the_training_part(trained) -> None:
    model = truesparse.load("regress-steps")
    rows = np.array(table(Path("regress-steps.csv").read_text())[1:], np.float32)
    first = rows[: len(rows) - round(0.1 * len(rows))]  # without the test part
    first = first[: len(first) - round(0.1 * len(first))]
    layer, head = model.chain.layers[0], model.chain.head
    np.testing.assert_allclose(layer.mean, first[:, :2].mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.scale, first[:, :2].std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(head.scale, first[:, 2:].std(axis=0), rtol=1e-4)


def test_units_do_not_matter(trained) -> None:
    rows = np.array(table(Path("regress-steps.csv").read_text())[1:], float)
    lines = (f"{8 * u},{v / 4},{y}" for u, v, y in rows)  # to the bit, as they are powers of two
    Path("other.csv").write_text("\n".join(["u,v,y", *lines]))
    flags = [*EXTRA["regress-steps"], *FLAGS]
    other = json.loads(
        command("train", "sequences", "--data", "other.csv", *flags, "--out", "other", "--json", "--quiet")
    )
    assert other["test_rmse"] == trained["regress-steps"]["test_rmse"]


def test_evaluate(trained) -> None:
    for goal in EXTRA:
        measured = json.loads(command("evaluate", goal, "--json"))
        for name in measured.keys() & {"accuracy", "macro_f1", "rmse", "mae", "r2"}:
            assert measured[name] == trained[goal][f"test_{name}"]
    assert measured["targets"].keys() == {"target"}
    assert "label \\ predicted" in command("evaluate", "label-steps")
    shown = command("evaluate", "regress", "--data", "regress.csv")
    assert shown.startswith("RMSE ")
    assert shown.endswith("over 60 sequences)\n")


def test_predict_labels(trained) -> None:
    rows = table(command("predict", "classify", "classify.csv"))
    assert rows[0] == ["label", "p(down)", "p(up)"]
    right = [row[-1] for row in table(Path("classify.csv").read_text())[1:]]
    told = [row[0] for row in rows[1:]]
    assert np.mean([one == two for one, two in zip(told, right, strict=True)]) > 0.8
    lines = [
        json.loads(line) for line in command("predict", "classify", "classify.csv", "--json").splitlines()
    ]
    assert [line["label"] for line in lines] == told
    assert sum(lines[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    rows = table(command("predict", "label-steps", "label-steps.csv"))
    assert rows[0] == ["who", "day", "label", "p(high)", "p(low)"]
    assert [row[:2] for row in rows] == [row[:2] for row in table(Path("label-steps.csv").read_text())]


def test_weights_count_in_training_only(trained) -> None:
    rows = table(Path("classify.csv").read_text())
    weights = ["w", *(["2", "0", "1"] * len(rows))[: len(rows) - 1]]
    Path("weighed.csv").write_text(
        "\n".join(",".join([*row, w]) for row, w in zip(rows, weights, strict=True))
    )
    config = {"data": "weighed.csv", "weight_column": "w", "test_fraction": 0.2, **SETTINGS}
    task = resolve(config, task=settings.SeriesConfig).filled().make_task()
    train = task.data.parts["train"]
    counting = train.weights[train.weights > 0]
    assert 0 < len(counting) < len(train.weights)
    np.testing.assert_array_equal(task.train.weights, counting / 2)
    with pytest.raises(truesparse.UsageError, match="weight_column does not go with horizon"):
        resolve({**config, "horizon": 2}, task=settings.SeriesConfig)
    for task_name in ("tagger", "lm"):
        result = CliRunner().invoke(main, ["train", task_name, "--weight-column", "w"])
        assert "--weight-column is for truesparse train classifier, sequences or mlp, not" in result.stderr


def test_a_temperature_that_is_not_used_is_told() -> None:
    results = {"temperature": 0.3, "valid_calibration_error_before": 0.2, "valid_calibration_error": 0.1}
    (line,) = calibration_lines(results)
    assert line.startswith("calibrated with temperature 0.3: expected calibration error validation 20.00%")
    (line,) = calibration_lines({**results, "temperature": 1.0, "refused_temperature": 0.1})
    assert line.startswith(
        "not calibrated: the validation data are too few, or nearly all right, to show that"
    )
    (line,) = calibration_lines({**results, "temperature": 1.0, "refused_temperature": 9.9999})
    assert line.startswith("not calibrated: the scores say almost nothing about the labels of the validation")


def test_presets() -> None:
    made = [resolve({"preset": name}, task=settings.SeriesConfig) for name in settings.PRESETS]
    assert [(one.cell, one.bidirectional) for one in made] == [
        ("lstm", False),
        ("gru", False),
        ("lstm", True),
    ]


def test_predict_names_rows_that_have_names(trained) -> None:
    rows = table(Path("classify.csv").read_text())
    named = [["name", *rows[0]], *([f"n{number}", *row] for number, row in enumerate(rows[1:]))]
    Path("named.csv").write_text("\n".join(",".join(row) for row in named))
    told = table(command("predict", "classify", "named.csv", "--id-column", "name"))
    assert [row[0] for row in told] == [row[0] for row in named]
    assert [row[1:] for row in told] == table(command("predict", "classify", "classify.csv"))


def test_predict_prints_nothing_before_it_refuses(trained) -> None:
    for model in ("classify", "regress"):
        result = CliRunner().invoke(main, ["predict", model, "-"], input="who,day,u\n")
        assert (result.exit_code, result.stdout) == (1, ""), result.output


def test_predict_numbers_of_files_without_them(trained) -> None:
    rows = table(Path("regress.csv").read_text())
    Path("new.csv").write_text("\n".join(f"{v},{u},{day},{who}" for who, day, u, v, _ in rows))
    told = table(command("predict", "regress", "new.csv"))
    assert told == table(command("predict", "regress", "regress.csv"))
    assert told[0] == ["who", "y"]
    assert told[1][0] == "w0"
    line = json.loads(command("predict", "regress", "new.csv", "--json").splitlines()[0])
    assert line == {"who": "w0", "numbers": {"y": float(told[1][1])}}
    steps = table(command("predict", "regress-steps", "regress-steps.csv"))
    X = np.array(table(Path("regress-steps.csv").read_text())[1:], np.float32)[:, :2]
    model = truesparse.load("regress-steps")
    said = model.predict_steps(X[:, :, None], model.workspace(len(X), 1))
    np.testing.assert_allclose(np.array(steps[1:], float)[:, 0], said[:, 0, 0], rtol=1e-5, atol=1e-4)


def test_predict_next_steps(trained) -> None:
    rows = table(Path("forecast.csv").read_text())
    later = [[row[0], f"2024-02-{day}", "", "1"] for row in rows[1::56] for day in (26, 27, 28)]
    Path("later.csv").write_text("\n".join(",".join(row) for row in [*rows, *later]))
    told = table(command("predict", "forecast", "later.csv"))
    assert told[0] == ["shop", "day", "target"]
    assert [row[:2] for row in told[1:]] == [row[:2] for row in later]
    lines = [json.loads(line) for line in command("predict", "forecast", "later.csv", "--json").splitlines()]
    assert lines[0] == {"shop": "s0", "day": "2024-02-26", "numbers": {"target": float(told[1][2])}}
    # All have a promotion to come: on average that is told.
    without = Path("later.csv").read_text().replace(",,1", ",,0")
    Path("later.csv").write_text(without)
    other = table(command("predict", "forecast", "later.csv"))
    assert np.mean([float(a[2]) - float(b[2]) for a, b in zip(told[1:], other[1:], strict=True)]) > 1
    model = truesparse.runtime.load_forecaster("forecast")
    assert (model.targets, model.known, model.horizon, model.needed) == (("target",), ("promo",), 3, 13)
    histories = np.array([row[2:] for row in rows[1:]], float).reshape(3, 56, 2)
    said = model.predict(list(histories), np.zeros((3, 3)))
    np.testing.assert_allclose(said.ravel(), [float(row[2]) for row in other[1:]], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.predict(histories[1, -13:], [0, 0, 0]), said[1], rtol=1e-6)
    result = CliRunner().invoke(main, ["predict", "forecast", "forecast.csv"])
    assert "the series 's0' of forecast.csv has 0 rows without 'target' at its end" in result.stderr


def test_the_naive_forecast_is_that_of_the_season(trained) -> None:
    rows = table(Path("forecast.csv").read_text())[1:]
    series = np.array([row[2] for row in rows], float).reshape(3, 56)
    days = np.arange(50, 54)[:, None] + np.arange(3)  # of 56 the last 6, in 4 forecasts
    errors = series[:, days] - series[:, days - 7]
    assert trained["forecast"]["naive_rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-5)


def test_predict_reads_standard_input_and_arrays(trained, tmp_path: Path) -> None:
    X = np.random.default_rng(1).normal(size=(8, 12))
    np.savez(tmp_path / "x.npz", X=X)
    rows = "\n".join([",".join("abcdefghijkl"), *(",".join(map(str, row)) for row in X)])
    expected = command("predict", "classify", tmp_path / "x.npz")
    assert len(expected.splitlines()) == 9
    for flags, content in ([], rows.encode()), (["--format", "npz"], (tmp_path / "x.npz").read_bytes()):
        result = CliRunner().invoke(main, ["predict", "classify", "-", *flags], input=content)
        assert result.stdout == expected


def test_it_resumes_to_the_same_bits(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"id_column": "shop", "time_column": "day", "known_columns": "promo"}
    forecast = {"horizon": 3, "lookback": 6, "season": 7, **names}
    runs = {"classify": {}, "regress-steps": {"goal": "regress-steps", "length": 9}, "forecast": forecast}
    for goal, more in runs.items():
        config = resolve(
            {**SETTINGS, "data": f"{goal}.csv", **more}, environment={}, task=settings.SeriesConfig
        )
        stop = StopAt(3)
        with pytest.raises(TrainingStopped):
            train_model(config, Path(f"{goal}-again"), stop, stop)
        with monkeypatch.context() as patched:  # the linear part of the checkpoint is taken until the end
            fits = Mock(side_effect=fit_linear)
            patched.setattr("truesparse.data.forecast.fit_linear", fits)
            again = resume_run(Path(f"{goal}-again"), {}, kind=settings.SeriesConfig)
        assert fits.call_count == (goal == "forecast")
        same = [name for name in again if name.startswith(("valid", "test"))]
        assert {name: again[name] for name in same} == {name: trained[goal][name] for name in same}


def test_the_linear_part_is_fitted_again_unless_told_not_to(trained) -> None:
    shown = command("train", "sequences", "--data", "forecast.csv", *FORECAST, *FLAGS, "--out", "again")
    assert "the linear part was fitted again, to the training and the validation part\n" in shown
    kept = train("forecast", "--no-refit", "--out", "kept")
    refitted, left = (truesparse.load(run) for run in ("again", "kept"))
    assert (refitted.arena.values == left.arena.values).all()  # the network is the same
    assert np.abs(np.subtract(refitted.encoder.linear, left.encoder.linear)).max() > 1e-4
    assert load_checkpoint(Path("again/checkpoint.safetensors")).encoder == left.encoder
    assert "refit" not in kept
    for run, results in {"forecast": trained["forecast"], "kept": kept}.items():
        measured = json.loads(command("evaluate", run, "--json"))
        assert measured["rmse"] == pytest.approx(results["test_rmse"], rel=1e-6)
    assert kept["valid_rmse"] == trained["forecast"]["valid_rmse"]
    assert kept["test_rmse"] != trained["forecast"]["test_rmse"]
    exported = command("export", "kept", "--to", "c", "--dtype", "int8", "--out", "kept-c")
    rounded = re.search(r"test RMSE (\S+), with int8 weights (\S+)\n", exported)
    assert rounded is not None
    assert [float(value) for value in rounded.groups()] == pytest.approx([kept["test_rmse"]] * 2, rel=0.02)
    result = CliRunner().invoke(main, ["train", "sequences", "--data", "classify.csv", "--no-refit"])
    assert "--no-refit is for forecasts, with --horizon; leave it out" in result.stderr


def test_a_run_without_a_linear_part_gets_none_in_the_end(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one from before there were linear parts: its network has learned all differences."""
    with monkeypatch.context() as patched:
        patched.setattr("truesparse.data.forecast.fit_linear", Mock(return_value=()))
        train("forecast", "--max-steps", "2", "--out", "old")
    before = Path("old/model.safetensors").read_bytes()
    command("train", "sequences", "--resume", "old")
    assert Path("old/model.safetensors").read_bytes() == before
    assert truesparse.load("old").encoder.linear == ()


def test_a_forecasting_run_begins_with_another_one(trained) -> None:
    flags = [
        "--data",
        "forecast.csv",
        *FORECAST,
        "--hidden-size",
        "40",
        "--batch-size",
        "8",
        "--max-steps",
        "1",
    ]
    topology = ["train", "sequences", *flags, "--method", "static", "--start-topology", "forecast"]
    for values in ("fresh", "first", "last"):
        command(*topology, "--start-values", values, "--out", f"with-{values}")
    result = CliRunner().invoke(main, [*topology, "--start-values", "last", "--horizon", "2"])
    assert "forecasts target by target and promo, promo known, with a horizon of 3, a" in result.stderr
    assert "give the --horizon, --lookback, --season and columns of the model\n" in result.stderr


def test_info_and_a_picture(trained) -> None:
    assert "lstm.0.weight_ih" in command("info", "regress")
    assert json.loads(command("info", "forecast", "--json"))["total"]["linear"] == 3 * 6
    assert "18 coefficients of the linear part are dense" in command("info", "forecast")
    if find_spec("matplotlib") is not None:
        assert command("plot", "regress") == "regress/curve.png\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train sequences", "--data is missing; give a CSV, NPZ, .ts or Parquet file"),
        ("train sequences --data none.csv", "there is no file none.csv"),
        ("train sequences --data classify.csv --embedding-size 3", "--embedding-size is for words"),
        ("train sequences --data regress.csv --id-column whom", "no column 'whom'; did you mean --id-column"),
        (
            "train sequences --data regress.csv --id-column who --goal classify --target-column day",
            "row 3 of regress.csv has another day than row 2 of 'w0'",
        ),
        (
            "evaluate forecast --data short.csv",
            "a season of 7, a lookback of 6 and a horizon of 3 need 16; give a longer series\n",
        ),
        ("predict regress classify.csv", "classify.csv has no column 'who'"),
        ("predict classify regress.csv --format lines", "--format lines is not for"),
        ("predict regress-steps label-steps.csv", "is 'w0', which is no finite number"),
        ("evaluate regress --tag-column x", "its data have --target-column, --id-column and --time-column"),
        ("generate classify", "classify"),
        (
            "train sequences --data label-steps.csv --id-column who --time-column day --pooling mean",
            "--pooling is for sequences, and each step has an output here",
        ),
        ("train sequences --goal forecast", "--goal forecast needs --horizon"),
        ("train sequences --goal regress --horizon 2", "--horizon does not go with --goal regress"),
        ("train sequences --season 2", "--season does not go with a run without --horizon"),
    ],
)  # fmt: skip
def test_mistakes(trained, arguments: str, message: str) -> None:
    before = sorted(Path().iterdir())
    result = CliRunner().invoke(main, arguments.split())
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert sorted(Path().iterdir()) == before


def test_a_constant_feature_is_told(trained) -> None:
    rows = table(Path("regress-steps.csv").read_text())
    Path("still.csv").write_text(
        "\n".join([",".join([*rows[0], "w"]), *(",".join([*row, "7"]) for row in rows[1:])])
    )
    flags = [*EXTRA["regress-steps"], *FLAGS, "--max-steps", "1", "--out", "still", "--quiet"]
    with pytest.warns(UserWarning, match="'w' is the same at all training steps, so nothing can be learned"):
        command("train", "sequences", "--data", "still.csv", *flags)
    assert truesparse.load("still").chain.layers[0].scale[-1] == 1


def test_changed_data_are_refused(trained) -> None:
    path = Path("classify.csv")
    before = path.read_text()
    path.write_text(before.replace("up", "down", 9))
    result = CliRunner().invoke(main, ["evaluate", "classify"])
    path.write_text(before)
    assert "is not as it was when the model was trained on it" in result.stderr


def test_reports(trained) -> None:
    """What a page says of the test sequences, which the runtime reads, is what training measured."""
    for goal, results in trained.items():
        assert command("report", goal) == f"{goal}/report.html\n"
        page = Path(goal, "report.html").read_text(encoding="utf-8")
        if "test_accuracy" in results:
            assert f"accuracy {results['test_accuracy']:.2%} (with" in page
            assert "Confusion matrix" in page
            continue
        assert "Largest errors" in page
        names = ("promo, 2 later", "change of target") if goal == "forecast" else ("u", "v")
        use = "load_forecaster(" if goal == "forecast" else "runtime.load("
        assert use in page
        if goal == "forecast":  # of 56 days the last 6: after the 50th to the 53rd
            places = re.findall(r">(s\d), after (2024-02-\d\d)<", page)
            assert {day for _, day in places} <= {f"2024-02-{day}" for day in range(19, 23)}
            assert len({shop for shop, _ in places}) > 1
        assert all(f"<td>{name}</td>" in page for name in names)
        if goal != "forecast":  # whose steps have deviations of their own
            (deviations,) = re.findall(r"mean squared error ([0-9.]+) standard deviations", page)
            (scale,) = truesparse.load(goal).chain.head.scale
            assert float(deviations) * scale == pytest.approx(results["test_rmse"], rel=1e-3)
