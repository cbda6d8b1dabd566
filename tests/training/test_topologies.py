"""Snapshots of the topology: which are kept, that they are what the run had, and that resume keeps them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_helpers import StopAt, records

from truesparse.errors import TruesparseError
from truesparse.model.loading import load_arena
from truesparse.tasks.run import resume_run, train_model
from truesparse.training.config import Config
from truesparse.training.loop import TrainingStopped
from truesparse.training.topologies import read_topologies

pytestmark = pytest.mark.usefixtures("command")


def files(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "topologies").iterdir())}


def test_snapshots_lie_evenly_over_the_updates_and_survive_an_interruption(
    config: Config, tmp_path: Path
) -> None:
    # 14 updates over 150 steps
    config = replace(config, update_interval=10, keep_topologies=4)
    train_model(config, tmp_path / "whole")
    snapshots = read_topologies(tmp_path / "whole")
    assert [snapshot.step for snapshot in snapshots] == [0, 50, 90, 140]
    assert [snapshot.epoch for snapshot in snapshots] == [0, 1, 1.8, 2.8]
    _, arena, *_ = load_arena(tmp_path / "whole" / "checkpoint.safetensors")
    last = snapshots[-1].patterns()
    for name, matrix in arena.matrices.items():
        assert np.array_equal(last[name].indices, matrix.indices)
        assert np.array_equal(last[name].indptr, matrix.indptr)
        assert np.array_equal(snapshots[-1].inputs(name), np.diff(matrix.to_scipy().tocsc().indptr))
    moved = sum(
        record["replaced"].get("embedding.weight", 0)
        for record in records(tmp_path / "whole", "rewire")
        if record["step"] > 90
    )
    before, after = (
        {(row, column) for row, column in zip(*_positions(snapshot), strict=True)}
        for snapshot in snapshots[2:]
    )
    assert 0 < len(after - before) <= moved

    stop = StopAt(75)
    with pytest.raises(TrainingStopped):
        train_model(config, tmp_path / "parts", stop, stop)
    assert list(files(tmp_path / "parts")) == ["step-0000000000.safetensors", "step-0000000050.safetensors"]
    later = tmp_path / "parts" / "topologies" / "step-0000000080.safetensors"
    later.write_bytes(b"of a plan that has changed")
    resume_run(tmp_path / "parts", {})
    assert files(tmp_path / "parts") == files(tmp_path / "whole")

    later.write_bytes(files(tmp_path / "whole")["step-0000000090.safetensors"][:-1])
    with pytest.raises(TruesparseError, match=r"step-0000000080\.safetensors is cut short"):
        read_topologies(tmp_path / "parts")


def _positions(snapshot):
    pattern = snapshot.patterns()["embedding.weight"]
    return np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr)), pattern.indices.tolist()


def test_rows_that_share_connections_are_kept_as_one_and_read_as_all(groups: Config, tmp_path: Path) -> None:
    config = replace(groups, pattern="unit", output_group=5, epochs=2, keep_topologies=9)
    train_model(config, tmp_path / "run")
    snapshots = read_topologies(tmp_path / "run")
    assert [snapshot.epoch for snapshot in snapshots] == [0, 1]
    _, arena, *_ = load_arena(tmp_path / "run" / "checkpoint.safetensors")
    for name, matrix in arena.matrices.items():
        whole, csr = snapshots[-1].patterns()[name], matrix.to_scipy()
        assert np.array_equal(whole.indices, csr.indices)
        assert np.array_equal(whole.indptr, csr.indptr)
        assert np.array_equal(snapshots[-1].inputs(name), np.bincount(csr.indices, minlength=csr.shape[1]))
    assert snapshots[0].matrices["lstm.0.weight_ih"].group == 4


def test_a_run_that_ends_early_keeps_its_end_and_one_that_is_not_asked_keeps_nothing(
    config: Config, tmp_path: Path
) -> None:
    config = replace(config, epochs=8, update_interval=10, keep_topologies=2, patience=1, lr=100.0)
    results = train_model(config, tmp_path / "run")
    assert results["ended_by"] == "patience"
    assert [snapshot.step for snapshot in read_topologies(tmp_path / "run")] == [0, results["steps"]]
    train_model(replace(config, keep_topologies=None, epochs=1, patience=None), tmp_path / "none")
    assert read_topologies(tmp_path / "none") == []
    assert not (tmp_path / "none" / "topologies").exists()
