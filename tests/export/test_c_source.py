from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from export.conftest import (
    COMPILERS,
    STRICT,
    compile_and_run,
    data_for,
    needs_compiler,
    read,
    save,
)

from truesparse.errors import TruesparseError, UsageError
from truesparse.export import export_model
from truesparse.export.c import check_name
from truesparse.export.c_arrays import array, string
from truesparse.layers.models import language_model
from truesparse.model import random_model
from truesparse.model.saving import save_model


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


def test_the_source_needs_nothing_but_a_function(tmp_path: Path) -> None:
    export_model(save(tmp_path / "m"), "c", tmp_path / "out")
    source = (tmp_path / "out" / "model.c").read_text()
    assert re.findall(r"#include (.*)", source) == ['"model.h"', "<math.h>", "<stddef.h>"]
    assert "malloc" not in source
    assert "double" not in source
    assert "static const uint8_t model_lstm_1_weight_hh_places" in source
    assert functions_of_c(source) == {"copysignf"}


def functions_of_c(source: str) -> set[str]:
    """What it calls of C's library: functions of floats."""
    return set(re.findall(r"\b(\w+f)\(", source))


def test_a_norm_takes_a_square_root_and_a_residual_layer_some_of_the_stack(tmp_path: Path) -> None:
    report = export_model(save(tmp_path / "m", "norm"), "c", tmp_path / "out")
    source = (tmp_path / "out" / "model.c").read_text()
    assert functions_of_c(source) == {"copysignf", "sqrtf"}
    state, scores, behind = 2 * 20 + 4 * 20, 70, 20 + 20
    assert report["ram_bytes"] == 4 * (state + scores + behind + 20 + 30)
    header = (tmp_path / "out" / "model.h").read_text()
    assert f"takes {4 * (behind + 20 + 30):,} bytes of the stack" in header
    report = export_model(save(tmp_path / "m", "norm of the embedding"), "c", tmp_path / "other")
    first = 3 * 13  # outputs of embedding, norm and residual layer, whose only layer needs no stack
    state = first + 2 * 2 * 20 + 4 * 20
    own = 70 + 2 * 5 + 2 + 64  # of the mixture: scores of an expert, latent numbers, shares, powers
    assert report["ram_bytes"] == 4 * (state + scores + 20 + own)
    header = (tmp_path / "other" / "model.h").read_text()
    assert f"takes {4 * (20 + own):,} bytes of the stack" in header


@needs_compiler
@pytest.mark.parametrize("tied", [False, True])
def test_columns_take_as_many_bits_as_they_need(tmp_path: Path, tied: bool) -> None:
    chain = language_model(300, 300 if tied else 5, 300, 1, tied=tied)
    model = random_model(chain, 0.9 if tied else 0.05, np.random.default_rng(1), scale=0.3)
    save_model(tmp_path / "m", model)
    export_model(tmp_path / "m", "c", tmp_path / "out")
    source = (tmp_path / "out" / "model.c").read_text()
    assert f"static const uint{16 if tied else 8}_t model_embedding_weight_places" in source
    assert f"static const uint{16 if tied else 8}_t model_embedding_weight_lengths" in source
    assert "static const uint16_t model_lstm_0_weight_ih_places" in source
    assert "static const uint16_t model_lstm_0_weight_hh_places" in source
    assert f"static const uint{16 if tied else 8}_t model_lstm_0_weight_hh_lengths" in source
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
        "c": "mos",
        "c_mos": "mos, max",
        "d": "norm of the embedding",
        "d_residual": "norm, mean",
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
