from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from truesparse.modelfile import Reader, read_model

WORDS = ["<eos>", "<unk>", *(f"w{number}" for number in range(40))]
E, H = 8, 12


def state_dict(tokens: int, outputs: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = {
        "encoder.weight": (tokens, E),
        "rnn.weight_ih_l0": (4 * H, E),
        "rnn.weight_hh_l0": (4 * H, H),
        "rnn.bias_ih_l0": (4 * H,),
        "rnn.bias_hh_l0": (4 * H,),
        "decoder.weight": (outputs, H),
        "decoder.bias": (outputs,),
    }
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def dense(tmp_path: Path) -> list[str]:
    """The command and the files for a language model of the words of `text_file`."""
    safetensors.numpy.save_file(state_dict(len(WORDS), len(WORDS)), tmp_path / "dense.safetensors")
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n")
    return ["import", "dense.safetensors", "--vocabulary", "words.txt", "--density", "0.3", "--out", "pruned"]


SHORT = ["--epochs", 2, "--batch-size", 4, "--bptt", 10]


def test_a_language_model_is_pruned_and_trained_on(run, dense, text_file: Path, tmp_path: Path) -> None:
    result = run(*dense, "--finetune", text_file, "--run", "run", *SHORT, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    pruned, after = report["pruned"], report["finetuned"]
    assert report["dense"]["nnz"] == 42 * E + 4 * H * (E + H) + 42 * H
    assert pruned["nnz"] == after["nnz"] == report["run"]["nnz"]
    assert pruned["nnz"] / report["dense"]["nnz"] == pytest.approx(0.3, 0.01)
    assert after["test"]["loss"] < pruned["test"]["loss"] - 0.1
    assert after["test"]["perplexity"] == pytest.approx(report["run"]["test_perplexity"])
    with Reader(tmp_path / "pruned") as reader:
        first = read_model(reader)
    with Reader(tmp_path / "run" / "model.safetensors") as reader:
        last = read_model(reader)
    assert last.vocabulary == first.vocabulary
    assert first.vocabulary is not None
    assert list(first.vocabulary.tokens) == WORDS  # not the most frequent ones first, as training has them
    for name, csr in first.matrices.items():  # the method is static
        np.testing.assert_array_equal(csr.indices, last.matrices[name].indices)
    again = run("evaluate", "run", "--json")
    assert json.loads(again.stdout)["loss"] == pytest.approx(after["test"]["loss"], rel=0.05)


def test_the_run_goes_on_as_any_other(run, dense, text_file: Path, tmp_path: Path) -> None:
    import_it = [*dense, "--finetune", text_file, *SHORT, "--quiet", "--run"]
    assert run(*import_it, "whole").exit_code == 0
    (tmp_path / "pruned").unlink()
    assert run(*import_it, "short", "--max-steps", 60).exit_code == 0
    (tmp_path / "pruned").unlink()  # only a run without a checkpoint needs it
    result = run("train", "lm", "--resume", "short", "--max-steps", 0, "--quiet")
    assert result.exit_code == 0, result.stderr
    with Reader(tmp_path / "whole" / "checkpoint.safetensors") as reader:
        whole = read_model(reader)
    with Reader(tmp_path / "short" / "checkpoint.safetensors") as reader:
        short = read_model(reader)
    assert whole.matrices.keys() == short.matrices.keys()
    for name, csr in whole.matrices.items():
        np.testing.assert_array_equal(csr.data, short.matrices[name].data)


def test_a_classifier_with_labels_of_its_own(run, labelled_file: Path, tmp_path: Path) -> None:
    words = ["", "[UNK]", "great", "awful", "so", *(f"w{number}" for number in range(20))]
    safetensors.numpy.save_file(state_dict(len(words), 3), tmp_path / "dense.safetensors")
    (tmp_path / "words.json").write_text(json.dumps(words))
    (tmp_path / "labels.txt").write_text("good\nbad\nfair\n")
    command = ["import", "dense.safetensors", "--density", "0.5", "--out", "pruned", "--pooling", "mean"]
    command += ["--vocabulary", "words.json", "--finetune", labelled_file, "--run", "run"]
    short = ["--epochs", "4", "--batch-size", "16", "--lr", "0.02", "--dropout", "0.1", "--quiet"]
    refused = run(*command, *short)
    assert "needs the labels of dense.safetensors in the order of its 3 outputs" in refused.stderr
    assert not (tmp_path / "pruned").exists()
    assert "--bptt is not for a classifier" in run(*command, "--bptt", 3).stderr
    result = run(*command, "--labels", "labels.txt", *short)
    assert result.exit_code == 0, result.stderr
    assert [line.split("  ")[0] for line in result.stdout.splitlines()[2:5]] == [
        "as it was",
        "pruned",
        "fine-tuned",
    ]
    with Reader(tmp_path / "run" / "model.safetensors") as reader:
        stored = read_model(reader)
    assert stored.labels == ("good", "bad", "fair")
    assert stored.chain.pooling == "mean"
    assert json.loads(run("evaluate", "run", "--json").stdout)["accuracy"] > 0.9
    assert run("predict", "run", labelled_file).stdout.startswith("label,p(good),p(bad),p(fair)")


def test_refused(run, dense, text_file: Path, tmp_path: Path) -> None:
    assert "--epochs is for training; give --finetune too" in run(*dense, "--epochs", 3).stderr
    assert "--run is for training" in run(*dense, "--run", "r").stderr
    tuned = [*dense, "--finetune", text_file]
    bare = [argument for argument in tuned if argument not in ("--vocabulary", "words.txt")]
    assert "--finetune needs to know what the tokens of dense.safetensors are" in run(*bare).stderr
    assert "--method gmp" in run(*tuned, "--method", "gmp").stderr
    assert "none.txt" in run(*dense, "--finetune", "none.txt").stderr
    for flag in (["--head", "mos"], ["--experts", 3]):
        assert f"no such option '{flag[0]}'" in run(*tuned, *flag).stderr
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    assert "full is not an empty folder" in run(*tuned, "--run", "full").stderr
    assert not (tmp_path / "pruned").exists()
    assert not (tmp_path / "runs").exists()


def features(outputs: int) -> dict[str, np.ndarray]:
    return {name: array for name, array in state_dict(1, outputs).items() if not name.startswith("encoder")}


def table(path: Path, label: bool) -> None:
    """Rows of `E` features in 60 sequences of 5 steps; the sum of the first ones tells."""
    rng = np.random.default_rng(4)
    rows = [["who", *(f"f{number}" for number in range(E)), "y"]]
    for who in range(60):
        steps = rng.normal(size=(5, E)).round(3)
        told = ["up", "down"][int(steps[:, 0].sum() < 0)]
        rows += [[who, *step, told if label else 3 * step[0]] for step in steps]
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))


@pytest.mark.parametrize("label", [True, False])
def test_a_model_of_features(run, tmp_path: Path, label: bool) -> None:
    safetensors.numpy.save_file(features(2 if label else 1), tmp_path / "dense.safetensors")
    (tmp_path / "labels.txt").write_text("up\ndown\n")
    table(tmp_path / "data.csv", label)
    kind = ["--labels", "labels.txt"] if label else ["--numbers", "--pooling", "none"]
    command = ["import", "dense.safetensors", "--density", "0.5", *kind]
    named = ["--features", ",".join(f"f{number}" for number in range(E))]
    assert run(*command, *named, "--out", "plain").exit_code == 0
    who = ["--id-column", "who"]
    short = [*who, "--epochs", "4", "--batch-size", "4", "--lr", "0.02", "--run", "run"]
    result = run(*command, "--out", "pruned", "--finetune", "data.csv", *short, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    measure = "accuracy" if label else "rmse"
    with Reader(tmp_path / "pruned") as reader, Reader(tmp_path / "plain") as plain:
        assert read_model(reader).chain == read_model(plain).chain
        assert reader.document["series"]["features"] == plain.document["series"]["features"]
    before = json.loads(run("evaluate", "plain", "--data", "data.csv", *who, "--json").stdout)
    after = json.loads(run("evaluate", "run", "--data", "data.csv", "--json").stdout)
    assert after[measure] > before[measure] + 0.1 if label else after[measure] < 0.8 * before[measure]
    tested = json.loads(run("evaluate", "run", "--json").stdout)
    assert tested[measure] == pytest.approx(report["finetuned"]["test"][measure])
    told = [run("predict", "plain", "data.csv", *who).stdout, run("predict", "run", "data.csv").stdout]
    for text in told:
        assert text.startswith("who,label,p(up),p(down)\n0," if label else "who,y\n0,")
        assert len(text.splitlines()) == (61 if label else 301)
    resumed = run("train", "sequences", "--resume", "run", "--epochs", "5", "--json", "--quiet")
    assert json.loads(resumed.stdout)["epochs"] == 5


def test_features_that_do_not_fit(run, tmp_path: Path) -> None:
    safetensors.numpy.save_file(features(3), tmp_path / "dense.safetensors")
    table(tmp_path / "data.csv", label=True)
    command = ["import", "dense.safetensors", "--density", "0.5", "--out", "pruned"]
    assert (
        "--features has 2 different names, but dense.safetensors reads 8"
        in run(*command, "--features", "a,b").stderr
    )
    tuned = [*command, "--finetune", "data.csv", "--id-column", "who"]
    assert "give --labels" in run(*tuned).stderr
    (tmp_path / "labels.txt").write_text("up\ndown\nnone\n")
    tuned += ["--labels", "labels.txt"]
    (tmp_path / "wide.csv").write_text("s1,s2,y\n" + "1,2,up\n2,1,down\n" * 20)
    wide = ["--finetune", "wide.csv", "--labels", "labels.txt"]
    assert "features a step of wide.csv are 1, but those of dense.saf" in run(*command, *wide).stderr
    assert "--bptt is not for a model of numbers" in run(*tuned, "--bptt", "3").stderr
    assert not (tmp_path / "pruned").exists()
    assert not (tmp_path / "runs").exists()
