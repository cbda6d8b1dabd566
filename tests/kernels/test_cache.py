"""Compiled code on disk, which a process that begins without any finds, or does not."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numba
import pytest

from truesparse.kernels import cache

FOLDER = "code"  # of the compiled code
KERNEL = """
from truesparse.kernels.jit import jit

@jit
def plus_one(x):
    return x + 1
"""
PROGRAM = """
import sys
import kernel
from truesparse.kernels.cache import code_is_kept

assert kernel.plus_one(1) == 2
stats = kernel.plus_one.stats
print("kept" if code_is_kept() else "not kept", file=sys.stderr)
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


class Outcome(str):
    """What was loaded and what was compiled, and the warnings."""

    warnings: list[str]
    kept: bool


def use_the_kernel(folder: Path) -> Outcome:
    """Call a kernel of which only what is on disk is known, in the state that a process begins with."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        patch.setattr(numba.config, "CACHE_DIR", str(folder / FOLDER))
        patch.setattr(cache, "_told", False)
        patch.setattr(cache, "_kept", True)
        module = ModuleType("kernel")
        patch.setitem(sys.modules, "kernel", module)
        path = folder / "kernel.py"
        exec(compile(path.read_text(), path, "exec"), module.__dict__)
        assert module.plus_one(1) == 2
        stats = module.plus_one.stats
        outcome = Outcome(f"{sum(stats.cache_hits.values())} {sum(stats.cache_misses.values())}")
        outcome.kept = cache.code_is_kept()
    outcome.warnings = [str(warning.message) for warning in told]
    return outcome


def use_the_kernel_in_a_process(folder: Path, before: str = "") -> Outcome:
    """The same in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", before + PROGRAM],
        env={"NUMBA_CACHE_DIR": str(folder / FOLDER), "PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    outcome = Outcome(done.stdout.strip())
    outcome.warnings = [line for line in done.stderr.splitlines() if "Warning" in line]
    outcome.kept = "not kept" not in done.stderr
    return outcome


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kernel.py").write_text(KERNEL)
    return tmp_path


LOADED, COMPILED = "1 0", "0 1"


def files(folder: Path, ending: str) -> list[Path]:
    return sorted((folder / FOLDER).rglob(f"*.{ending}"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def put_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def put_something_else(path: Path) -> None:
    path.write_bytes(b"foreign")


@pytest.mark.parametrize(
    ("spoil", "ending"),
    [(empty, "nbi"), (cut, "nbi"), (put_something_else, "nbi"), (cut, "nbc"), (put_zeros, "nbc")],
)
def test_a_file_that_is_not_as_it_was_written_is_replaced(folder: Path, spoil, ending: str) -> None:
    use_the_kernel(folder)
    for path in files(folder, ending):
        spoil(path)
    outcome = use_the_kernel(folder)
    assert outcome == COMPILED
    assert len(outcome.warnings) == 1
    assert str(folder / FOLDER) in outcome.warnings[0]
    again = use_the_kernel(folder)
    assert again == LOADED
    assert again.warnings == []


def test_another_process_finds_the_code(folder: Path) -> None:
    for expected in (COMPILED, LOADED):
        outcome = use_the_kernel_in_a_process(folder)
        assert outcome == expected
        assert outcome.kept
    for path in files(folder, "nbc"):
        cut(path)
    outcome = use_the_kernel_in_a_process(folder)
    assert outcome == COMPILED
    assert len(outcome.warnings) == 1


def test_code_with_a_changed_byte_is_not_run(folder: Path) -> None:
    use_the_kernel(folder)
    for path in files(folder, "nbc"):
        change_a_byte(path)
    assert use_the_kernel(folder) == COMPILED


def test_code_of_another_source_is_not_run(folder: Path) -> None:
    """What a process leaves that ends when it has written the index of new code, but not the code."""
    use_the_kernel(folder)
    (old,) = files(folder, "nbc")
    code = old.read_bytes()
    (folder / "kernel.py").write_text(KERNEL.replace("x + 1", "1 + x"))
    assert use_the_kernel(folder) == COMPILED
    old.write_bytes(code)
    assert use_the_kernel(folder) == COMPILED


def test_kernels_that_call_one_of_their_closure_are_told_apart(folder: Path) -> None:
    """Those of another number are others, and those of the same one are loaded."""
    source = """
from truesparse.kernels.jit import jit

def plus(n):
    @jit
    def inner(x):
        return x + n

    @jit
    def outer(x):
        return inner(x)

    return outer

plus_one = plus(NUMBER)
"""
    (folder / "kernel.py").write_text(source.replace("NUMBER", "1"))
    assert use_the_kernel(folder) == COMPILED
    other = "import kernel; kernel.plus_one = kernel.plus(2); assert kernel.plus_one(1) == 3;"
    assert use_the_kernel_in_a_process(folder, other + "kernel.plus_one = kernel.plus(1)\n") == LOADED


def test_code_that_cannot_be_written_is_used_all_the_same(folder: Path) -> None:
    full = """
import errno
from numba.core.caching import IndexDataCacheFile
def save(self, key, data): raise OSError(errno.ENOSPC, "No space left on device")
IndexDataCacheFile.save = save
"""
    outcome = use_the_kernel_in_a_process(folder, full)
    assert outcome == COMPILED
    assert len(outcome.warnings) == 1
    assert str(folder / FOLDER) in outcome.warnings[0]
    assert "No space left on device" in outcome.warnings[0]
    assert not outcome.kept


def test_nowhere_to_keep_code(folder: Path) -> None:
    nowhere = """
from numba.core.caching import _CacheLocator
def refuse(self): raise PermissionError(13, "Permission denied")
_CacheLocator.ensure_cache_path = refuse
"""
    outcome = use_the_kernel_in_a_process(folder, nowhere)
    assert outcome == COMPILED
    assert len(outcome.warnings) == 1
    assert "NUMBA_CACHE_DIR" in outcome.warnings[0]
    assert not outcome.kept
