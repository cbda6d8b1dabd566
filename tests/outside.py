"""Uses an installed truesparse that is not the checkout; see `make dist`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import truesparse

CHECKOUT = Path(__file__).parents[1]
INSTALLED = Path(truesparse.__file__).parent


def main() -> None:
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
    print(f"truesparse {truesparse.__version__} works from {INSTALLED}")


if __name__ == "__main__":
    main()
