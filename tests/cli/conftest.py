from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def tiny(text_file: Path) -> list[str]:
    """Flags of a run of 50 steps an epoch, in well under a second."""
    return f"--data {text_file} --hidden-size 12 --density 0.3 --epochs 2 --batch-size 4 --bptt 10".split()


@pytest.fixture
def tiny_classifier(labelled_file: Path) -> list[str]:
    """Flags of a run of 31 steps an epoch, in well under a second."""
    return (
        f"--data {labelled_file} --hidden-size 40 --epochs 3 --batch-size 8 --lr 0.02 --dropout 0.1".split()
    )


@pytest.fixture
def tiny_tagger(tagged_file: Path) -> list[str]:
    """Flags of a run of 21 steps an epoch, in well under a second."""
    return f"--data {tagged_file} --hidden-size 40 --epochs 6 --batch-size 16 --lr 0.02 --dropout 0.1".split()
