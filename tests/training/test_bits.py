"""What short runs end with, to the bit: every cell, pattern, method, optimizer and kind of task.

`bits.json` has, for each kind of processor that it was recorded on, the losses and a checksum of the model.
Elsewhere losses are compared within what another order of the same sums can do in a few steps. To record:
``python tests/training/test_bits.py``.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from truesparse.modelfile.container import Reader

TABLE = Path(__file__).with_name("bits.json")

METHODS = ("st-rnn", "selfish", "set", "dsr", "deepr", "rigl", "snfs", "snip", "gmp", "static", "dense")
OPTIMIZERS = {
    "adam": "--optimizer adam --lr 0.01 --weight-decay 0.01",
    "asgd": "--optimizer asgd --lr 2",
    "nt-asgd": "--optimizer nt-asgd --lr 2 --nonmonotone 1",
    "snt-asgd": "--optimizer snt-asgd --lr 2 --nonmonotone 1",
}
CELLS = {"lstm": "", "rhn": "--cell rhn --depth 2"}
PATTERNS = {"weight": "", "unit": "--pattern unit"}
LM = "lm --hidden-size 20 --layers 2 --batch-size 8 --bptt 10 --epochs 2 --dropout 0.2 --density 0.3"
CLASSIFIER = "classifier --hidden-size 20 --batch-size 16 --epochs 3 --er-epsilon 4"
# settings that let a method do something in a run as short as these
RHYTHM = {
    "dsr": "--update-interval 8",
    "gmp": "--update-interval 8",
    "rigl": "--update-interval 8",
    "snip": "--saliency-windows 3",
    "snfs": "--update-interval 8",
}


def runs() -> Iterator[tuple[str, list[str]]]:
    """Name and flags of each run."""
    for cell, cell_flags in CELLS.items():
        for pattern, pattern_flags in PATTERNS.items():
            for method in METHODS:
                if method == "deepr" and pattern == "unit":
                    continue
                flags = f"{LM} {cell_flags} {pattern_flags} --method {method} {RHYTHM.get(method, '')}"
                if method == "dense":
                    flags = flags.replace("--density 0.3", "")
                yield f"lm {cell} {pattern} {method} sgd", flags.split()
            for optimizer, optimizer_flags in OPTIMIZERS.items():
                flags = f"{LM} {cell_flags} {pattern_flags} {optimizer_flags} --eval-interval 7"
                yield f"lm {cell} {pattern} st-rnn {optimizer}", flags.split()
            for pooling in ("last", "mean", "max"):
                flags = f"{CLASSIFIER} {cell_flags} {pattern_flags} --pooling {pooling}"
                yield f"classifier {cell} {pattern} st-rnn adam {pooling}", flags.split()
    for method in ("set", "rigl", "snfs", "gmp", "deepr"):
        rhythm = RHYTHM.get(method, "")
        base = CLASSIFIER
        if method == "gmp":
            base = base.replace("--er-epsilon 4", "--density 0.2")
        fused = "--gates fused" if method in ("rigl", "snfs", "gmp", "deepr") else ""
        yield f"classifier lstm weight {method}", f"{base} --method {method} {rhythm} {fused}".split()
    yield "lm small-dense", f"{LM} --method small-dense".split()
    yield "lm tied", f"{LM} --tied".split()
    yield "lm words by fours", f"{LM} --pattern unit --output-group 4".split()  # of 40 words, not 41
    yield "lm gates apart", f"{LM} --gates separate --distribution erdos-renyi".split()
    yield "lm characters", f"{LM} --level char --batch-size 20 --max-steps 40".split()
    yield "classifier sparse output", f"{CLASSIFIER} --output sparse --optimizer sgd --lr 0.5".split()


def outcome(flags: list[str], data: Path, out: Path) -> list[Any]:
    """Losses on validation and test data, and a checksum of the model's arrays, whatever their names."""
    from click.testing import CliRunner

    from truesparse.cli.root import main

    if "--output-group" in flags:
        text = data.read_text().replace("w39", "w38")
        data = out.with_suffix(".txt")
        data.write_text(text)
    arguments = ["train", *flags, "--data", str(data), "--out", str(out), "--json", "--quiet"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)
    losses = [results[key] for key in sorted(results) if key in MEASURES]
    return [*losses, checksum(out / "model.safetensors")]


MEASURES = (
    "valid_perplexity",
    "test_perplexity",
    "valid_loss",
    "test_loss",
    "valid_accuracy",
    "test_accuracy",
)


def checksum(path: Path) -> int:
    """CRC-32 of all arrays of a model file, in an order of their own."""
    with Reader(path) as reader:
        sums = sorted(zlib.crc32(np.ascontiguousarray(reader.get(name)).data) for name in reader.names)
    return zlib.crc32(repr(sums).encode())


def processor() -> str:
    """What decides how a sum is rounded."""
    from llvmlite import binding

    return str(binding.get_host_cpu_name())


RUNS = dict(runs())
TABLES: dict[str, dict[str, list[Any]]] = json.loads(TABLE.read_text()) if TABLE.exists() else {}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_ends_as_before(name: str, text_file: Path, labelled_file: Path, tmp_path: Path) -> None:
    data = labelled_file if name.startswith("classifier") else text_file
    got = outcome(RUNS[name], data, tmp_path / "run")
    mine = TABLES.get(processor())
    if mine is not None:
        assert got == mine[name]
    else:
        others = [table[name][:-1] for table in TABLES.values()]
        assert any(np.allclose(got[:-1], other, rtol=0.02) for other in others)


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1]))
    import conftest

    folder = Path(tempfile.mkdtemp())
    files = [folder / "text.txt", folder / "reviews.csv"]
    conftest.write_text(files[0])
    conftest.write_labelled(files[1])
    recorded = {}
    for name, flags in RUNS.items():
        recorded[name] = outcome(flags, files[name.startswith("classifier")], folder / name.replace(" ", "-"))
        print(name, recorded[name], flush=True)
    TABLES[processor()] = recorded
    lines = ",\n".join(
        f"  {json.dumps(key)}: {{\n"
        + ",\n".join(f"    {json.dumps(name)}: {json.dumps(row)}" for name, row in table.items())
        + "\n  }"
        for key, table in TABLES.items()
    )
    TABLE.write_text(f"{{\n{lines}\n}}\n")
