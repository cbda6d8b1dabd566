from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from export.conftest import DENSITIES, SIZES, WORDS, read, save

from truesparse.errors import TruesparseError, UsageError
from truesparse.export import export_model
from truesparse.export.c import as_exported, check_name
from truesparse.export.c_arrays import array, string
from truesparse.runtime import LanguageModel

STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
COMPILERS = [compiler for compiler in ("gcc", "clang") if shutil.which(compiler)]
needs_compiler = pytest.mark.skipif(not COMPILERS, reason="neither gcc nor clang is installed")


def compile_and_run(
    folder: Path, *arguments: str, compiler: str = "", flags: tuple[str, ...] = ("-O2",)
) -> subprocess.CompletedProcess[str]:
    sources = sorted(path.name for path in folder.glob("*.c"))
    command = [compiler or COMPILERS[0], *STRICT, *flags, "-o", "program", *sources, "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    return run(folder, *arguments)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["./program", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False, encoding="utf-8")


@needs_compiler
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("kind", SIZES)
def test_the_source_compiles_without_a_warning_and_passes_its_test(
    tmp_path: Path, kind: str, dtype: str, compiler: str
) -> None:
    file = save(tmp_path / "m", kind)
    export_model(file, "c", tmp_path / "out", "words", dtype, data=_text(tmp_path))
    result = compile_and_run(tmp_path / "out", "--self-test", compiler=compiler)
    assert result.returncode == 0, result.stdout
    assert re.fullmatch(r"ok: largest difference \d\.\de[-+]\d\d, allowed 1.0e-05\n", result.stdout)


def _text(folder: Path) -> Path:
    """Text for the measurement of int8."""
    (folder / "text.txt").write_text("1 " * 900)
    return folder / "text.txt"


@needs_compiler
@pytest.mark.parametrize("kind", ["lstm", "rhn"])
def test_memory_is_used_as_the_language_allows(tmp_path: Path, kind: str) -> None:
    export_model(save(tmp_path / "m", kind), "c", tmp_path / "out")
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover")
    try:
        result = compile_and_run(tmp_path / "out", "--self-test", flags=flags)
    except subprocess.CalledProcessError:
        pytest.skip("the compiler has no sanitizers")
    assert (result.returncode, result.stderr) == (0, "")


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("kind", ["lstm", "tied", "rhn", "almost empty"])
def test_scores_are_those_of_the_runtime(tmp_path: Path, kind: str, dtype: str) -> None:
    file = save(tmp_path / "m", kind)
    report = export_model(file, "c", tmp_path / "out", dtype=dtype, data=_text(tmp_path))
    library = _library(tmp_path / "out")
    stored = read(file)
    size = stored.architecture.vocab_size
    state = (ctypes.c_byte * report["ram_bytes"])()
    scores = np.empty(size, np.float32)
    pointer = scores.ctypes.data_as(ctypes.c_void_p)
    library.model_init(state)
    stream = LanguageModel(as_exported(stored, dtype)).stream()
    for token in np.random.default_rng(3).integers(0, size, 30):
        assert library.model_step(state, ctypes.c_uint32(token)) == 0
        library.model_output(state, pointer)
        log_probabilities = stream.step(int(token))
        np.testing.assert_allclose(scores, stream.logits(), rtol=1e-5, atol=1e-5)
    library.model_softmax(pointer)
    np.testing.assert_allclose(scores, np.exp(log_probabilities), rtol=1e-5, atol=1e-7)

    before = bytes(state)
    assert library.model_step(state, ctypes.c_uint32(size)) == -1
    assert library.model_step(state, ctypes.c_uint32(0xFFFFFFFF)) == -1
    assert bytes(state) == before
    library.model_reset(state)
    library.model_step(state, ctypes.c_uint32(3))
    library.model_output(state, pointer)
    stream.reset()
    stream.advance(3)
    np.testing.assert_allclose(scores, stream.logits(), rtol=1e-5, atol=1e-5)


def _library(folder: Path) -> ctypes.CDLL:
    command = [COMPILERS[0], *STRICT, "-shared", "-fPIC", "-O1", "-o", "model.so", "model.c", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "model.so"))


@needs_compiler
def test_the_example_reads_and_prints_words(tmp_path: Path) -> None:
    file = save(tmp_path / "m")
    export_model(file, "c", tmp_path / "out")
    result = compile_and_run(tmp_path / "out", *WORDS)
    assert result.returncode == 0
    model = LanguageModel(read(file))
    log_probabilities = model.stream().read(np.arange(len(WORDS)))
    likeliest = np.argsort(-log_probabilities)[:5]
    expected = [
        f"{np.exp(log_probabilities[token]):.4f} {model.vocabulary.tokens[token]}" for token in likeliest
    ]
    assert result.stdout == "\n".join(expected) + "\n"
    unknown = subprocess.run(["./program", "giraffe"], cwd=tmp_path / "out", capture_output=True, text=True)
    assert (unknown.returncode, unknown.stderr) == (1, "./program: 'giraffe' is not in the vocabulary\n")
    assert run(tmp_path / "out", "--help").returncode == 2
    assert run(tmp_path / "out", "--time", "9").stdout.endswith(" microseconds a token\n")


@needs_compiler
def test_without_a_vocabulary_the_example_reads_numbers(tmp_path: Path) -> None:
    export_model(save(tmp_path / "m", vocabulary=False), "c", tmp_path / "out")
    result = compile_and_run(tmp_path / "out", "3", "69")
    assert result.returncode == 0
    assert re.match(r"0\.\d{4} \d+\n", result.stdout)
    for word in ("70", "-1", "w", "", "99999999999999999999"):
        result = subprocess.run(
            ["./program", "3", word], cwd=tmp_path / "out", capture_output=True, text=True
        )
        assert result.returncode == 1


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_sizes_that_are_told(tmp_path: Path, dtype: str) -> None:
    report = export_model(save(tmp_path / "m"), "c", tmp_path / "out", dtype=dtype, data=_text(tmp_path))
    stored = read(tmp_path / "m")
    value = {"float32": 4, "int8": 1}[dtype]
    lines = sum(
        min(csr.shape) + 1 if name.endswith("0.weight_ih") else csr.shape[0] + 1
        for name, csr in stored.matrices.items()
    )
    rows = sum(csr.shape[0] for csr in stored.matrices.values())
    expected = (value + 2) * stored.nnz + 4 * lines + 4 * sum(bias.size for bias in stored.biases.values())
    assert report["flash_bytes"] == expected + (4 * rows if dtype == "int8" else 0)
    assert report["ram_bytes"] == 4 * (2 * 2 * 20 + 4 * 20) + 4 * 70
    header = (tmp_path / "out" / "model.h").read_text()
    assert f"{report['ram_bytes'] - 4 * 70} bytes" in header


def test_the_source_needs_nothing_but_two_functions(tmp_path: Path) -> None:
    export_model(save(tmp_path / "m"), "c", tmp_path / "out")
    source = (tmp_path / "out" / "model.c").read_text()
    assert re.findall(r"#include (.*)", source) == ['"model.h"', "<math.h>", "<stddef.h>"]
    assert "malloc" not in source
    assert "double" not in source
    assert "static const uint16_t lstm_1_weight_hh_places" in source
    assert set(re.findall(r"\b(\w+f)\(", source)) <= {"expf", "tanhf"}


@pytest.mark.parametrize(
    "name", ["", "2fast", "a-b", "a b", "ü", "_x", "int", "main", "Main", "a" * 32, "a\n", "a/b", "../a"]
)
def test_names_that_are_none_in_c(tmp_path: Path, file: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a name in C"):
        export_model(file, "c", tmp_path / "out", name)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    check_name("a" * 31)


def test_tokens_that_cannot_be_strings(tmp_path: Path) -> None:
    with pytest.raises(TruesparseError, match="cannot be a string in C"):
        string("x" * 4096)
    with pytest.raises(TruesparseError, match="cannot be a string in C"):
        string("a\0b")
    assert string('a"?\\\n1') == '"a\\042\\077\\134\\0121"'


def test_floats_keep_their_bits() -> None:
    values = np.array([0.1, 1 / 3, 1e-45, -3.4e38, 0, 16777217], np.float32)
    text = array("x", values)
    assert text.startswith("static const float x[6] = {\n")
    again = [float(number) for number in re.findall(r"(\S+)f[,\n]", text)]
    np.testing.assert_array_equal(np.array(again, np.float32), values)
    assert array("x", np.zeros(0, np.uint16)) == "static const uint16_t x[1] = {\n    0\n};\n"


def test_densities_of_the_models_differ() -> None:
    assert DENSITIES.keys() < SIZES.keys()
