"""Uses an installed truesparse that is not the checkout; see `make dist`.

    python tests/outside.py [FOLDER [TESTS ...]]

FOLDER is an unpacked sdist without its package. Its tests, or some of them, test the installed package.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import truesparse

CHECKOUT = Path(__file__).parents[1]
INSTALLED = Path(truesparse.__file__).parent
# These compile nothing, as the cache does not know the kernels of another folder.
TESTS = (
    "tests/data",
    "tests/modelfile/test_container.py",
    "tests/modelfile/test_stored.py",
    "tests/test_names.py",
)


def main(folder: str = "", *tests: str) -> None:
    """Compare the files with those of the checkout, use some commands, and test."""
    if INSTALLED.parent == CHECKOUT:
        sys.exit("this is the checkout, not what was installed")
    here, there = (
        {
            str(path.relative_to(root))
            for path in root.rglob("*")
            if path.is_file() and path.parent.name != "__pycache__"
        }
        for root in (CHECKOUT / "truesparse", INSTALLED)
    )
    if here - there:
        sys.exit(f"{INSTALLED} lacks {', '.join(sorted(here - there))}")
    model = CHECKOUT / "tests" / "golden" / "v0.1" / "lstm" / "model.safetensors"
    for arguments in ("--version", "methods", f"info {model}", f"generate {model} --length 5"):
        subprocess.run(
            [sys.executable, "-m", "truesparse", *arguments.split()], check=True, stdout=subprocess.DEVNULL
        )
    if folder:
        if Path(folder, "truesparse").exists():
            sys.exit(f"{folder} has a package of its own, which the tests would import")
        command = [sys.executable, "-m", "pytest", "--quiet", *(tests or TESTS)]
        subprocess.run(command, cwd=folder, check=True)
    print(f"truesparse {truesparse.__version__} works from {INSTALLED}")


if __name__ == "__main__":
    main(*sys.argv[1:])
