"""The program of examples/suggest says what the model says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from export.conftest import COMPILERS, STRICT, needs_compiler

from truesparse import runtime
from truesparse.bench.settings import installed
from truesparse.data import Vocabulary
from truesparse.export import export_model
from truesparse.layers.models import language_model
from truesparse.model import random_model
from truesparse.model.saving import save_model

SOURCE = Path(__file__).parents[2] / "examples" / "suggest" / "suggest.c"
WORDS = ("<unk>", "<eos>", "the", "cat", "isn't", "here", ",", "on", "mat", "dog")


@needs_compiler
@pytest.mark.parametrize("compiler", COMPILERS)
def test_suggest(tmp_path: Path, compiler: str) -> None:
    chain = language_model(10, 6, 8, 1)
    file = tmp_path / "model.safetensors"
    model = random_model(chain, 0.5, np.random.default_rng(1), scale=1.0)
    save_model(file, model, Vocabulary(WORDS, "word", True))
    export_model(file, "c", tmp_path / "words", "words")
    command = [compiler, *STRICT, "-I", "words", "-o", "suggest", str(SOURCE), "words/words.c", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    text = "The cat isn't here,\n\non a giraffe's mat\n"
    process = subprocess.run(["./suggest"], cwd=tmp_path, input=text, stdout=subprocess.PIPE, text=True)
    assert process.returncode == 0

    stream = runtime.load_language_model(file).stream()
    lines = []
    for line in ("the cat isn't here ,", "on <unk> <unk> mat"):
        for word in line.split():
            stream.advance(WORDS.index(word))
        scores = stream.logits()
        probabilities = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        best = np.argsort(-probabilities)[:3]
        lines.append(", ".join(f"{WORDS[place]} {probabilities[place]:.2f}" for place in best))
        stream.advance(WORDS.index("<eos>"))
    assert process.stdout.splitlines() == lines
    if installed("matplotlib"):
        draw = [sys.executable, SOURCE.with_name("draw.py"), "suggest.png", "the", "on mat"]
        subprocess.run(draw, cwd=tmp_path, check=True)
        assert (tmp_path / "suggest.png").stat().st_size > 1000
