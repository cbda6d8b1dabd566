from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy


@pytest.fixture
def trained(run, tiny: list[str]) -> None:
    """A run in the folder `run`."""
    assert run("train", "lm", *tiny, "--out", "run", "--quiet").exit_code == 0


def test_export_to_c(run, trained: None) -> None:
    result = run("export", "run", "--to", "c", "--out", "out", "--name", "words")
    assert result.exit_code == 0
    names = {path.name for path in Path("out").iterdir()}
    assert names == {"words.c", "words.h", "words_vocabulary.h", "main.c"}
    assert "of dense float32 weights; RAM" in result.stdout
    assert result.stdout.endswith("cc -std=c99 -O3 -o words main.c words.c -lm && ./words --self-test\n")
    result = run("export", "run", "--to", "c", "--out", "small", "--dtype", "int8")
    assert "with int8 weights" in result.stdout
    report = json.loads(run("export", "run", "--to", "c", "--out", "json", "--json").stdout)
    assert report["out"] == "json"
    assert report["flash_bytes"] > 0


def test_what_rounding_costs_a_model_that_went_astray(run, tiny: list[str]) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    assert run("train", "lm", *tiny, "--lr", 1e6, "--max-steps", 5, "--out", "run", "--quiet").exit_code == 0
    result = run("export", "run", "--to", "c", "--out", "small", "--dtype", "int8")
    assert result.exit_code == 0, result.stderr
    assert "test perplexity inf, with int8 weights inf\n" in result.stdout
    result = run("export", "run", "--to", "c", "--out", "json", "--dtype", "int8", "--json")
    assert json.loads(result.stdout, parse_constant=refuse)["loss"] > 1000


def test_export_to_scipy(run, trained: None) -> None:
    result = run("export", "run/model.safetensors", "--to", "scipy", "--out", "out")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("out/biases.npz  ")


def test_export_refuses(run, trained: None) -> None:
    run("export", "run", "--to", "scipy", "--out", "there")
    for flags, sentence in (
        (["--to", "c", "--out", "there"], "there exists; choose another --out or remove it"),
        (["--to", "c", "--out", "out", "--name", "9"], "'9' cannot be a name in C"),
        (["--to", "scipy", "--out", "out", "--dtype", "int8"], "are for C, not for scipy"),
        (["--to", "tflite", "--out", "out"], "'tflite' is not one of 'c', 'onnx'"),
    ):
        result = run("export", "run", *flags)
        assert result.exit_code == 2
        assert sentence in result.stderr
        assert result.stderr.count("\n") == 1
    assert not Path("out").exists()


def test_import(run, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    shapes = {
        "emb.weight": (4, 3),
        "lstm.weight_ih_l0": (20, 3),
        "lstm.weight_hh_l0": (20, 5),
        "out.weight": (4, 5),
    }
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    safetensors.numpy.save_file(tensors, "dense.safetensors")
    Path("words.txt").write_text("the\na\n<eos>\n<unk>\n")
    flags = ["dense.safetensors", "--density", "0.5", "--vocabulary", "words.txt"]
    result = run("import", *flags, "--out", "m.safetensors")
    assert result.exit_code == 0
    assert "lstm.0.weight_hh   20×5       50   0.5000" in result.stdout
    assert result.stdout.endswith("wrote m.safetensors, a language model\n")
    assert run("generate", "m.safetensors", "--prompt", "the", "--length", 3).exit_code == 0
    report = json.loads(run("import", *flags, "--out", "n.safetensors", "--json").stdout)
    assert report["matrices"]["output.weight"]["nnz"] == 10
    result = run("import", *flags, "--out", "n.safetensors")
    assert (result.exit_code, result.stderr) == (
        2,
        "truesparse: n.safetensors exists; choose another --out or remove it\n",
    )
