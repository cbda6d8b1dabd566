from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from export.conftest import (
    CLASSIFIERS,
    COMPILERS,
    DENSITIES,
    SIZES,
    TAGGERS,
    compile_and_run,
    data_for,
    library_of,
    needs_compiler,
    read,
    save,
)

from truesparse.errors import TruesparseError
from truesparse.export import export_model
from truesparse.export.c import as_exported
from truesparse.model.loading import load_model
from truesparse.model.saving import save_model
from truesparse.runtime.loading import as_model

GRUS = [kind for kind in SIZES if "gru" in kind and kind not in CLASSIFIERS]
NORMS = [kind for kind in SIZES if "norm" in kind and kind not in CLASSIFIERS]


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
    "kind",
    [
        *("lstm", "rhn", "of two sizes", "mean", "lstm, rhn", "rhn, max", "linear, mean", "mos"),
        *(*GRUS, *NORMS),
    ],
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
        "on-lstm",
        "on-lstm, unit",
        "mos",
        "mos, unit",
        "mos of one",
        *GRUS,
        *NORMS,
        *CLASSIFIERS,
        *TAGGERS,
    ],
)
def test_scores_are_those_of_the_runtime(tmp_path: Path, kind: str, dtype: str) -> None:
    file = save(tmp_path / "m", kind)
    report = export_model(file, "c", tmp_path / "out", dtype=dtype, data=data_for(tmp_path, kind))
    library = library_of(tmp_path / "out")
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
@pytest.mark.parametrize("kind", ["max", "rhn, mean", "linear, mean", "linear, last", "norm, mean"])
def test_a_classifier_in_c_is_the_one_that_was_trained(tmp_path: Path, kind: str) -> None:
    file = save(tmp_path / "m", kind)
    report = export_model(file, "c", tmp_path / "out")
    library = library_of(tmp_path / "out")
    state = (ctypes.c_byte * report["ram_bytes"])()
    trained = load_model(file).model
    scores = np.empty(trained.chain.head.outputs, np.float32)
    pointer = scores.ctypes.data_as(ctypes.c_void_p)
    workspace = trained.workspace(30, 18)
    for length in (1, 2, 7, 30):
        ids = np.random.default_rng(length).integers(0, 70, (length, 1)).astype(np.int32)
        library.model_init(state)
        for token in ids[:, 0]:
            library.model_step(state, ctypes.c_uint32(token))
        library.model_output(state, pointer)
        library.model_softmax(pointer)
        lengths = np.full(18, length, np.int32)
        expected = trained.predict(ids.repeat(18, axis=1), workspace, lengths=lengths)
        np.testing.assert_allclose(np.log(scores), expected[:, 0], rtol=1e-5, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize(
    "kind",
    [
        "last",
        "mean",
        "max",
        "linear",
        "linear, per step",
        "linear, mean",
        "linear, last",
        "linear before last",
        "lstm, rhn",
        "mos",
        "norm",
        "norm, mean",
        "norm of the embedding",
    ],
)
def test_what_is_said_before_the_first_token(tmp_path: Path, kind: str) -> None:
    """Layers behind the state add their biases then too, and what stands for the state is 0."""
    report = export_model(save(tmp_path / "m", kind), "c", tmp_path / "out")
    library = library_of(tmp_path / "out")
    state = (ctypes.c_byte * report["ram_bytes"])(*[255] * report["ram_bytes"])
    stored = read(tmp_path / "m")
    scores = np.empty(stored.chain.head.outputs, np.float32)
    library.model_init(state)
    library.model_output(state, scores.ctypes.data_as(ctypes.c_void_p))
    np.testing.assert_allclose(scores, as_model(stored).stream().logits(), rtol=1e-6, atol=1e-6)
    only_bias = np.array_equal(scores, stored.vectors["output.bias"])
    assert only_bias == (kind in ("last", "mean", "max", "norm, mean", "lstm, rhn", "linear before last"))


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


def test_densities_of_the_models_differ() -> None:
    assert DENSITIES.keys() < SIZES.keys()
