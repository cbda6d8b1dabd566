"""What a file says of the training of its model is history: only --resume reads it.

A later version may have settings that this one does not know, and another program none at all.
"""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import truesparse
from truesparse.errors import UsageError
from truesparse.model.loading import load_model
from truesparse.model.saving import save_model
from truesparse.modelfile import CHECKPOINT, MODEL, container
from truesparse.modelfile.data_settings import DataSettings
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.rundata import find_data

pytestmark = pytest.mark.usefixtures("command")

GOLDEN = Path(__file__).parents[1] / "golden" / "v0.1"
DATA = {"lm": GOLDEN / "text.txt", "classifier": GOLDEN / "reviews.csv"}
NAMES = {"lm": "lstm", "classifier": "classifier"}
ABSURD = {
    **{"batch_size": -3, "bptt": "x", "hidden_size": 10**300, "density": [], "method": 7, "seed": None},
    **{"valid_fraction": 7, "text_column": 0, "data": {}, "cell": "transformer"},
}
OF_WRITER = "was written by truesparse 9.1, and this one, {}, cannot resume it: "
REFUSED = {
    "of a later version": f"{OF_WRITER}its configuration has the unknown key 'colour'; use the one that",
    "absurd": f"{OF_WRITER}--cell is 'transformer'; it must be lstm, gru, rhn or on-lstm"
    "; use the one that wrote it",
    "of another kind": "is no checkpoint to go on from: its configuration is missing; use another checkpoint",
    "missing": "is no checkpoint to go on from: its configuration is missing; use another checkpoint",
}
DAMAGES: dict[str, Any] = {
    "of a later version": lambda config: config | {"colour": "red", "optimizer": {"name": "new"}},
    "absurd": lambda config: config | {name: value for name, value in ABSURD.items() if name in config},
    "of another kind": lambda config: ["lm", 3],
    "missing": None,
}
COMMANDS = {
    "lm": ("generate RUN --length 9",),
    "classifier": ("predict RUN texts.txt", "predict RUN texts.csv"),
    "both": (
        "info RUN",
        "info RUN --json",
        "evaluate RUN --json",
        "evaluate RUN --data DATA --split valid --json",
        "distance RUN MODEL",
        "export RUN --to scipy --out scipy --json",
        "export RUN --to c --dtype int8 --out c --json",
    ),
}


@pytest.fixture(params=["0.1", "now"])
def written_by(request: pytest.FixtureRequest) -> str:
    """The version that wrote the files."""
    return request.param


@pytest.fixture(params=["lm", "classifier"])
def task(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def folder(run, tmp_path: Path, task: str, written_by: str) -> Path:
    """The folder of a run; there are also data for `COMMANDS` in the working directory, which is above it."""
    path = Path(shutil.copytree(GOLDEN / NAMES[task], tmp_path / "run"))
    config = (path / "config.toml").read_text()
    (path / "config.toml").write_text(
        config.replace(f'data = "tests/golden/v0.1/{DATA[task].name}"', f'data = "{DATA[task]}"')
    )
    if written_by == "now":
        with container.Reader(path / MODEL) as reader:
            history = reader.document["config"]
        saved = load_model(path / MODEL)
        save_model(path / MODEL, saved.model, saved.vocabulary, saved.encoder, saved.labels, history)
        more = run("train", task, "--resume", path, "--max-steps", 81, "--quiet")
        assert more.exit_code == 0, more.stderr
    (tmp_path / "texts.txt").write_text("a fine film\na dull film\n")
    (tmp_path / "texts.csv").write_text("label,text\n?,a fine film\n")
    return path


def damage(path: Path, change: Any, **more: Any) -> None:
    """Change what a file says of training."""
    with container.Reader(path) as reader:
        tensors = {name: reader.get(name) for name in reader.names}
        document = reader.document | more
    config = document.pop("config")
    container.write(path, tensors, document if change is None else document | {"config": change(config)})


def results(run, task: str) -> dict[str, str]:
    """What each command prints of the run."""
    printed = {}
    for command in (*COMMANDS["both"], *COMMANDS[task]):
        words = {"RUN": "run", "DATA": DATA[task], "MODEL": GOLDEN / NAMES[task] / CHECKPOINT}
        result = run(*(words.get(word, word) for word in command.split()))
        assert result.exit_code == 0, f"{command}: {result.stderr}"
        assert result.stderr == ""
        printed[command] = result.stdout
    for out in ("scipy", "c"):
        shutil.rmtree(out)
    return printed


@pytest.mark.parametrize("how", DAMAGES)
def test_a_model_is_used_whatever_its_file_says_of_training(
    run, task: str, written_by: str, folder: Path, how: str
) -> None:
    before = results(run, task)
    for name in (MODEL, CHECKPOINT):
        damage(folder / name, DAMAGES[how])
    after = results(run, task)
    if (
        written_by == "0.1" and how != "of a later version"
    ):  # batches are others, so sums are rounded elsewhere
        for command in list(before):
            if "evaluate" in command or "int8" in command:
                old, new = json.loads(before.pop(command)), json.loads(after.pop(command))
                assert new.keys() == old.keys()
                assert new["loss"] == pytest.approx(old["loss"], rel=1e-6)
    assert after == before


@pytest.mark.parametrize("how", DAMAGES)
def test_resuming_refuses_what_it_does_not_know(run, task: str, folder: Path, how: str) -> None:
    damage(folder / CHECKPOINT, DAMAGES[how], truesparse_version="9.1")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    result = run("train", task, "--resume", folder, "--max-steps", 99, "--quiet")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert REFUSED[how].format(truesparse.__version__) in result.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("written_by", ["0.1"], indirect=True)
def test_a_run_is_found_whatever_else_its_configuration_has(run, task: str, folder: Path) -> None:
    before = results(run, task)
    config = folder / "config.toml"
    good = config.read_text()
    lines = [line for line in good.splitlines() if not line.startswith("hidden_size")]
    config.write_text("\n".join([*lines, "hidden_size = -1", 'colour = "red"', "[optimizers]", "x = 1"]))
    assert results(run, task) == before
    assert find_spec("matplotlib") is None or run("plot", "run").exit_code == 0
    refused = run("train", task, "--resume", folder, "--quiet")
    assert refused.exit_code == 2
    assert f"{config} has the unknown key 'colour'" in refused.stderr
    for line, message in (
        ("data = 3", "data in run/config.toml is 3; it must be text"),
        ("task = 3", "run/config.toml is not the configuration of run/model.safetensors; give --data"),
    ):
        name = line.partition(" ")[0]
        kept = [other for other in good.splitlines() if not other.startswith(name)]
        config.write_text("\n".join([*kept, line]))
        refused = run("evaluate", "run")
        assert refused.exit_code == 2
        assert message in refused.stderr


def test_a_classifier_that_does_not_know_its_own_texts(run, tmp_path: Path) -> None:
    """Neither its file nor the folder of its run says which rows it was not trained on."""
    shutil.copytree(GOLDEN / "classifier", tmp_path / "run")
    damage(tmp_path / "run" / MODEL, None)
    Path("run/config.toml").write_text(f'task = "classifier"\ndata = "{DATA["classifier"]}"\n')
    refused = run("evaluate", "run")
    assert refused.exit_code == 2
    assert "run/model.safetensors does not say which part of the data it was trained on" in refused.stderr
    assert run("evaluate", "run", "--data", DATA["classifier"]).exit_code == 0


def test_only_a_model_of_the_built_in_text_needs_no_folder(tmp_path: Path) -> None:
    saved = load_model(GOLDEN / "lstm" / MODEL)
    for history, built_in in (({"data": None}, True), ({"data": "a.txt"}, False), ({}, False), (None, False)):
        save_model(tmp_path / "m", saved.model, saved.vocabulary, history=history)
        again = load_model(tmp_path / "m")
        if built_in:
            assert find_data(again, LanguageModelConfig).path is None
            continue
        with pytest.raises(UsageError, match=r"m is not in the folder of its run, .*; give --data"):
            find_data(again, LanguageModelConfig)


def test_what_a_file_says_of_its_data(tmp_path: Path) -> None:
    assert load_model(GOLDEN / "lstm" / MODEL).data == DataSettings(batch_size=8, bptt=10)
    classifier = load_model(GOLDEN / "classifier" / MODEL)
    expected = DataSettings(batch_size=16, valid_fraction=0.1, test_fraction=0.1, seed=1)
    assert classifier.data == expected
    history = {"batch_size": 16, "text_column": "body", "label_column": "stars", "seed": 3, "lr": 2.0}
    given = classifier.model, classifier.vocabulary, classifier.encoder, classifier.labels, history
    save_model(tmp_path / "m", *given)
    with container.Reader(tmp_path / "m") as reader:
        assert reader.document["data"] == {name: history[name] for name in history if name != "lr"}
    expected = DataSettings(batch_size=16, text_column="body", label_column="stars", seed=3)
    assert load_model(tmp_path / "m").data == expected
    damage(tmp_path / "m", None, data=[])
    assert load_model(tmp_path / "m").data == DataSettings()
