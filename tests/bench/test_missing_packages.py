"""Without the packages that only the extras bring, the modules that need them cannot be imported, whole or
in half."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import truesparse

# In a process of its own: hides packages, lets pytest collect the doctests of the package, and prints the
# modules that were left without a class, a function or an import of theirs.
PROGRAM = """
import ast, importlib.abc, sys
from pathlib import Path
import pytest

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

class Collected:
    def pytest_collectreport(self, report):
        if report.skipped:
            print("skipped", report.nodeid)

sys.meta_path.insert(0, Hidden())
assert pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", {folder!r}], [Collected()]) == 0
for name, module in list(sys.modules.items()):
    if name.split(".")[0] == "truesparse":
        for part in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
            found = [part] if isinstance(part, (ast.FunctionDef, ast.ClassDef)) else []
            found += part.names if isinstance(part, ast.ImportFrom) else []
            if not all(hasattr(module, getattr(one, "asname", None) or one.name) for one in found):
                print("half", name)
                break
"""
EXTRAS = (
    "torch",
    "keras",
    "tokenizers",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "sklearn",
    "joblib",
    "sparselab",
    "sparseprop",
)


def test_doctests_leave_no_half_modules_behind() -> None:
    folder = Path(truesparse.__file__).parent
    program = PROGRAM.format(hidden=EXTRAS, folder=str(folder))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder.parent, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert "skipped truesparse/bench/masked_torch.py" in lines
    assert [line for line in lines if line.startswith("half")] == []
