from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from export.conftest import CLASSIFIERS, DENSITIES, SIZES, TAGGERS, WORDS, data_for, read, save

from truesparse.errors import TruesparseError, UsageError
from truesparse.export import export_model
from truesparse.export.c import as_exported, check_name
from truesparse.export.c_arrays import array, string
from truesparse.layers.models import language_model
from truesparse.model import random_model
from truesparse.model.loading import load_model
from truesparse.model.saving import save_model
from truesparse.runtime import Classifier, LanguageModel, Tagger
from truesparse.runtime.loading import as_model

GRUS = [kind for kind in SIZES if "gru" in kind and kind not in CLASSIFIERS]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wdouble-promotion"]
COMPILERS = [compiler for compiler in ("gcc", "clang") if shutil.which(compiler)] or [""]
needs_compiler = pytest.mark.skipif(not COMPILERS[0], reason="neither gcc nor clang is installed")


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
@pytest.mark.parametrize(("compiler", "dtype"), [(COMPILERS[0], "float32"), (COMPILERS[-1], "int8")])
@pytest.mark.parametrize("kind", SIZES)
def test_the_source_compiles_without_a_warning_and_passes_its_test(
    tmp_path: Path, kind: str, dtype: str, compiler: str
) -> None:
    file = save(tmp_path / "m", kind)
    export_model(file, "c", tmp_path / "out", "words", dtype, data=data_for(tmp_path, kind))
    result = compile_and_run(tmp_path / "out", "--self-test", compiler=compiler)
    assert result.returncode == 0, result.stdout
    assert re.fullmatch(r"ok: largest difference \d\.\de[-+]\d\d, allowed 1.0e-05\n", result.stdout)


@needs_compiler
@pytest.mark.parametrize(
    "kind", ["lstm", "rhn", "of two sizes", "mean", "lstm, rhn", "rhn, max", "linear, mean", *GRUS]
)
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
@pytest.mark.parametrize(
    "kind",
    [
        "lstm",
        "tied",
        "rhn",
        "of two sizes",
        "rhn, lstm",
        "linear",
        "unit",
        "almost empty",
        *GRUS,
        *CLASSIFIERS,
        *TAGGERS,
    ],
)
def test_scores_are_those_of_the_runtime(tmp_path: Path, kind: str, dtype: str) -> None:
    file = save(tmp_path / "m", kind)
    report = export_model(file, "c", tmp_path / "out", dtype=dtype, data=data_for(tmp_path, kind))
    library = _library(tmp_path / "out")
    stored = read(file)
    size = stored.chain.tokens
    state = (ctypes.c_byte * report["ram_bytes"])()
    scores = np.empty(stored.chain.head.outputs, np.float32)
    pointer = scores.ctypes.data_as(ctypes.c_void_p)
    stream = as_model(as_exported(stored, dtype)).stream()

    def read_token(token: int) -> None:
        assert library.model_step(state, ctypes.c_uint32(token)) == 0
        library.model_output(state, pointer)
        stream.advance(token)
        np.testing.assert_allclose(scores, stream.logits(), rtol=1e-5, atol=1e-5)

    library.model_init(state)
    for token in np.random.default_rng(3).integers(0, size, 30):
        read_token(int(token))
    probabilities = np.exp(stream.logits().astype(np.float64))
    library.model_softmax(pointer)
    np.testing.assert_allclose(scores, probabilities / probabilities.sum(), rtol=1e-5, atol=1e-7)

    before = bytes(state)
    assert library.model_step(state, ctypes.c_uint32(size)) == -1
    assert library.model_step(state, ctypes.c_uint32(0xFFFFFFFF)) == -1
    assert bytes(state) == before
    library.model_reset(state)
    stream.reset()
    read_token(3)


@needs_compiler
@pytest.mark.parametrize("kind", ["max", "rhn, mean", "linear, mean", "linear, last"])
def test_a_classifier_in_c_is_the_one_that_was_trained(tmp_path: Path, kind: str) -> None:
    file = save(tmp_path / "m", kind)
    report = export_model(file, "c", tmp_path / "out")
    library = _library(tmp_path / "out")
    state = (ctypes.c_byte * report["ram_bytes"])()
    trained = load_model(file).model
    scores = np.empty(trained.chain.head.outputs, np.float32)
    pointer = scores.ctypes.data_as(ctypes.c_void_p)
    for length in (1, 2, 7, 30):
        ids = np.random.default_rng(length).integers(0, 70, (length, 1)).astype(np.int32)
        library.model_init(state)
        for token in ids[:, 0]:
            library.model_step(state, ctypes.c_uint32(token))
        library.model_output(state, pointer)
        library.model_softmax(pointer)
        expected = trained.predict(ids, trained.workspace(length, 1), lengths=np.array([length], np.int32))
        np.testing.assert_allclose(np.log(scores), expected[:, 0], rtol=1e-5, atol=1e-5)


@needs_compiler
def test_a_classifier_that_has_read_nothing(tmp_path: Path) -> None:
    for kind in ("last", "mean", "max"):
        report = export_model(save(tmp_path / kind, kind), "c", tmp_path / f"{kind}.c")
        library = _library(tmp_path / f"{kind}.c")
        state = (ctypes.c_byte * report["ram_bytes"])(*[255] * report["ram_bytes"])
        stored = read(tmp_path / kind)
        scores = np.empty(stored.chain.head.outputs, np.float32)
        library.model_init(state)
        library.model_output(state, scores.ctypes.data_as(ctypes.c_void_p))
        np.testing.assert_array_equal(scores, stored.vectors["output.bias"])


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
    assert run(tmp_path / "out", "giraffe").stdout == run(tmp_path / "out", "<unk>").stdout
    assert run(tmp_path / "out", "--help").returncode == 2
    assert run(tmp_path / "out", "--time", "9").stdout.endswith(" microseconds a token\n")


@needs_compiler
def test_words_that_nobody_knows(tmp_path: Path) -> None:
    export_model(save(tmp_path / "m", first=1), "c", tmp_path / "out")
    result = compile_and_run(tmp_path / "out", "1", "giraffe")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "./program: 'giraffe' is not in the vocabulary\n"


@needs_compiler
def test_the_example_of_a_classifier_prints_labels(tmp_path: Path) -> None:
    file = save(tmp_path / "m", "max")
    export_model(file, "c", tmp_path / "out", "reviews")
    result = compile_and_run(tmp_path / "out", "w3", "w1", "1")
    assert result.returncode == 0
    model = Classifier(read(file))
    (log_probabilities,) = model.log_probabilities(
        [model.encoder.vocabulary.encode_tokens(["w3", "w1", "1"])]
    )
    order = np.argsort(-log_probabilities)
    expected = [f"{np.exp(log_probabilities[place]):.4f} {model.labels[place]}" for place in order]
    assert result.stdout == "\n".join(expected) + "\n"
    # a word that is not known is <unk>
    assert run(tmp_path / "out", "giraffe").stdout == run(tmp_path / "out", "<unk>").stdout
    header = (tmp_path / "out" / "reviews.h").read_text()
    assert "extern const char *const reviews_labels[REVIEWS_OUTPUTS];" in header
    assert "scores of the classes" in header
    assert "the last 9 words of a text, in lower case" in header


@needs_compiler
def test_the_example_of_a_tagger_prints_the_labels_of_the_last_token(tmp_path: Path) -> None:
    file = save(tmp_path / "m", "tagger")
    export_model(file, "c", tmp_path / "out")
    result = compile_and_run(tmp_path / "out", "w3", "w1", "1")
    model = Tagger(read(file))
    (scores,) = model.log_probabilities([model.encoder.encode(["w3", "w1", "1"])])
    order = np.argsort(-scores[-1])
    expected = [f"{np.exp(scores[-1, place]):.4f} {model.labels[place]}" for place in order]
    assert (result.returncode, result.stdout) == (0, "\n".join(expected) + "\n")
    header = (tmp_path / "out" / "model.h").read_text()
    assert "LSTM tagger of 5 labels, 70 tokens" in header
    assert "scores of the labels of the last token" in header
    assert "trained on the tokens of sentences; those that it does not know are <unk>" in header


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
    report = export_model(
        save(tmp_path / "m"), "c", tmp_path / "out", dtype=dtype, data=data_for(tmp_path, "lstm")
    )
    stored = read(tmp_path / "m")
    # a weight, and a byte for its column or row, of which there are less than 256; the length of each row
    expected = (1 + {"float32": 4, "int8": 1}[dtype]) * stored.nnz
    expected += sum(csr.shape[0] for name, csr in stored.matrices.items() if name != "lstm.0.weight_ih")
    expected += 4 * (stored.chain.recurrent[0].given.size + 1)  # where columns of the first matrix start
    expected += 4 * -(-70 // 16)  # where embeddings start
    expected += 4 * sum(bias.size for bias in stored.vectors.values())
    if dtype == "int8":
        expected += 2 * sum(csr.shape[0] for csr in stored.matrices.values()) + 4 * 2
    assert report["flash_bytes"] == expected
    assert report["ram_bytes"] == 4 * (2 * 2 * 20 + 4 * 20) + 4 * 70
    header = (tmp_path / "out" / "model.h").read_text()
    assert f"{report['ram_bytes'] - 4 * 70} bytes" in header


def test_the_source_needs_nothing_but_two_functions(tmp_path: Path) -> None:
    export_model(save(tmp_path / "m"), "c", tmp_path / "out")
    source = (tmp_path / "out" / "model.c").read_text()
    assert re.findall(r"#include (.*)", source) == ['"model.h"', "<math.h>", "<stddef.h>"]
    assert "malloc" not in source
    assert "double" not in source
    assert "static const uint8_t model_lstm_1_weight_hh_places" in source
    assert set(re.findall(r"\b(\w+f)\(", source)) <= {"expf", "tanhf"}


@needs_compiler
@pytest.mark.parametrize("tied", [False, True])
def test_columns_take_as_many_bits_as_they_need(tmp_path: Path, tied: bool) -> None:
    chain = language_model(300, 300 if tied else 5, 300, 2, tied=tied)
    model = random_model(chain, 0.9 if tied else 0.05, np.random.default_rng(1), scale=0.3)
    save_model(tmp_path / "m", model)
    export_model(tmp_path / "m", "c", tmp_path / "out")
    source = (tmp_path / "out" / "model.c").read_text()
    assert f"static const uint{16 if tied else 8}_t model_embedding_weight_places" in source
    assert f"static const uint{16 if tied else 8}_t model_embedding_weight_lengths" in source
    assert "static const uint16_t model_lstm_0_weight_ih_places" in source
    assert "static const uint16_t model_lstm_1_weight_hh_places" in source
    assert f"static const uint{16 if tied else 8}_t model_lstm_1_weight_hh_lengths" in source
    assert compile_and_run(tmp_path / "out", "--self-test").returncode == 0


@pytest.mark.parametrize(
    "name",
    [
        "",
        "2fast",
        "a-b",
        "a b",
        "ü",
        "_x",
        "int",
        "main",
        "Main",
        "a" * 32,
        "a\n",
        "a/b",
        "../a",
        "math",
        "Stdint",
    ],
)
def test_names_that_are_none_in_c(tmp_path: Path, file: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a name in C"):
        export_model(file, "c", tmp_path / "out", name)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    check_name("a" * 31)


@needs_compiler
def test_any_name_compiles(tmp_path: Path) -> None:
    """Also one that a name in the source begins with, or in its example."""
    file = save(tmp_path / "m", "rhn, max")
    export_model(file, "c", tmp_path / "model", "zzz")
    sources = "".join(path.read_text() for path in (tmp_path / "model").iterdir())
    code = re.sub(r'/\*.*?\*/|"(\\.|[^"\\])*"', "", sources, flags=re.DOTALL)
    names = {"print", "self", "test", "state", "TEST", "uint32_t", "zzz", "printf", "x" * 31}
    for name in re.findall("[A-Za-z][A-Za-z0-9_]*", code):
        parts = name.removeprefix("zzz_").split("_")
        names |= {"_".join(parts[:end])[:31] for end in range(1, len(parts))}
    for name in sorted(names):
        try:
            check_name(name)
        except UsageError:
            continue
        folder = tmp_path / f"_{name}"
        export_model(file, "c", folder, name)
        command = [COMPILERS[0], *STRICT, "-I.", "-fsyntax-only", f"{name}.c", "main.c"]
        subprocess.run(command, cwd=folder, check=True)


@needs_compiler
def test_models_in_one_translation_unit_do_not_clash(tmp_path: Path) -> None:
    names = {
        "a": "lstm",
        "a_vocabulary": "lstm",
        "a_embedding_weight": "rhn",
        "b": "max",
        "b_output": "rhn, mean",
    }
    unit = ""
    for name, kind in names.items():
        data = data_for(tmp_path, kind)
        export_model(save(tmp_path / "m", kind), "c", tmp_path / name, name, "int8", data)
        unit += f'#include "{name}/{name}.c"\n#include "{name}/{name}_vocabulary.h"\n'
        unit += f"static {name}_state of_{name};\n"
    unit += "int main(void)\n{\n"
    for name in names:
        unit += f"    {name}_init(&of_{name});\n    if ({name}_step(&of_{name}, 1) != 0) return 1;\n"
        unit += f"    if ({name}_vocabulary[1][0] == 0) return 2;\n"
    (tmp_path / "unit.c").write_text(unit + "    return 0;\n}\n")
    command = [COMPILERS[0], *STRICT, "-o", "unit", "unit.c", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run(["./unit"], cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(("target", "dtype"), [("c", "float32"), ("c", "int8"), ("onnx", "float32")])
def test_scores_that_overflow_are_refused(tmp_path: Path, target: str, dtype: str) -> None:
    if target == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    file = save(tmp_path / "m", "tied")
    saved = load_model(file)
    for matrix in saved.model.arena.matrices.values():
        matrix.data[...] = 3e38
    save_model(file, saved.model, saved.vocabulary)
    with pytest.raises(TruesparseError, match=r"the scores of .*m are not finite, so large are its weights"):
        export_model(file, target, tmp_path / "out", dtype=dtype)
    assert not (tmp_path / "out").exists()


def test_one_model_is_one_folder_of_bytes(tmp_path: Path) -> None:
    """In every form; each time in a process of its own, since hashes of strings differ between them."""
    targets = ["c", "scipy"]
    targets += [target for target in ("torch", "onnx") if importlib.util.find_spec(target)]
    save(tmp_path / "m")
    program = (
        "import sys; from pathlib import Path; from truesparse.export import export_model\n"
        "for target in sys.argv[2:]: export_model(Path('m'), target, Path(sys.argv[1], target))"
    )
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        subprocess.run([sys.executable, "-c", program, folder.name, *targets], cwd=tmp_path, check=True)
    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in folders
    )
    assert len(first) > len(targets)
    assert first == second


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
