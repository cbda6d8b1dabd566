"""What compilers make of the loops that take the time."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from export.conftest import read, save

from truesparse.export import export_model

X86 = (r"v?mul[ps]s|v?fmadd\d*[ps]s", r"mulps|fmadd\d*ps")
ARM = (r"fmul|fmla|fmadd", r"\.[24]s")
TARGETS = {
    "gcc": (["gcc"], X86, platform.machine() == "x86_64"),
    "clang": (["clang"], X86, platform.machine() == "x86_64"),
    "gcc for ARM": (["aarch64-linux-gnu-gcc"], ARM, True),
    "clang for ARM": (["clang", "--target=aarch64-linux-gnu"], ARM, True),
}


def products(folder: Path, target: str) -> dict[str, list[bool]]:
    """The multiplications in each function, and whether they are of vectors."""
    compiler, (multiplies, of_vectors), _ = TARGETS[target]
    source = (folder / "model.c").read_text()
    separate = re.sub(r"^static (?!inline|const)", "__attribute__((noinline)) static ", source, flags=re.M)
    (folder / "separate.c").write_text(separate)
    command = [*compiler, "-std=c99", "-O3", "-S", "-o", "model.s", "separate.c"]
    subprocess.run(command, cwd=folder, check=True)
    found: dict[str, list[bool]] = {}
    function = ""
    for line in (folder / "model.s").read_text().splitlines():
        if label := re.match(r"(\w+)(\.\w+)*:", line):
            function = label[1]
        elif re.match(rf"\s+({multiplies})\s", line):
            found.setdefault(function, []).append(re.search(of_vectors, line) is not None)
    return found


def version(compiler: str) -> int:
    told = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)", told)
    assert found is not None, told
    return int(found[1])


@pytest.mark.parametrize("kind", ["lstm", "unit", "gru", "rhn"])
@pytest.mark.parametrize("target", TARGETS)
def test_loops_become_vectors(tmp_path: Path, target: str, kind: str) -> None:
    compiler, _, here = TARGETS[target]
    if not here or shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} does not compile for this target here")
    export_model(save(tmp_path / "m", kind), "c", tmp_path / "out")
    found = products(tmp_path / "out", target)
    cell = found[f"model_{kind if kind != 'unit' else 'lstm'}"]
    assert sum(cell) >= 10
    assert cell.count(False) <= 4  # units that are left over
    assert any(found["model_softmax"])
    if target != "clang for ARM" or version(compiler[0]) > 14:  # before, it made eight scalar sums of them
        product = found["model_add_product_8_8_by_4" if kind == "unit" else "model_add_product_8_8"]
        assert sum(product) >= 2  # eight weights a turn; some that are left are multiplied one by one


@pytest.mark.parametrize("target", TARGETS)
def test_loops_over_the_scores_of_a_mixture_become_vectors(tmp_path: Path, target: str) -> None:
    """With the few outputs that are left over, and one logarithm of a sum, as scalars."""
    compiler, _, here = TARGETS[target]
    if not here or shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} does not compile for this target here")
    export_model(save(tmp_path / "m", "mos"), "c", tmp_path / "out")
    found = products(tmp_path / "out", target)
    for function, multiplications in (("model_mos", 20), ("model_mos_latents", 10), ("model_mos_log_sum", 8)):
        assert sum(found[function]) >= multiplications, function


@pytest.mark.parametrize("target", TARGETS)
def test_loops_of_a_norm_become_vectors(tmp_path: Path, target: str) -> None:
    """That of the squares, and that of the outputs."""
    compiler, _, here = TARGETS[target]
    if not here or shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} does not compile for this target here")
    export_model(save(tmp_path / "m", "norm"), "c", tmp_path / "out")
    assert sum(products(tmp_path / "out", target)["model_norm_0"]) >= 2


def test_gates_of_a_connection_share_its_column(tmp_path: Path) -> None:
    export_model(save(tmp_path / "m", "unit"), "c", tmp_path / "out")
    source = (tmp_path / "out" / "model.c").read_text()
    for name, csr in read(tmp_path / "m").matrices.items():
        own = f"model_{name.replace('.', '_')}"
        (places,) = re.findall(rf"{own}_places\[(\d+)\]", source)
        (weights,) = re.findall(rf"{own}_weights\[(\d+)\]", source)
        group = 4 if "lstm" in name else 2
        assert int(weights) == csr.data.size == group * int(places)
