from __future__ import annotations

import json
import os
import resource
import stat
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from truesparse.errors import TruesparseError
from truesparse.modelfile import container

TENSORS = {
    "b.indices": np.arange(5, dtype=np.uint16),
    "a.data": np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
    "empty": np.zeros(0, np.int64),
}
DOCUMENT = {"kind": "model", "word": "ü"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    container.write(path, TENSORS, DOCUMENT)
    return path


def test_round_trip(file: Path) -> None:
    with container.Reader(file) as reader:
        assert reader.document == {"format_version": 2, **DOCUMENT}
        assert reader.names == set(TENSORS)
        for name, tensor in TENSORS.items():
            assert reader.get(name).dtype == tensor.dtype
            np.testing.assert_array_equal(reader.get(name), tensor)
        with pytest.raises(TruesparseError, match="of another model: it has no c"):
            reader.get("c")


def test_the_file_is_what_the_documentation_says(file: Path) -> None:
    with safetensors.safe_open(file, framework="numpy") as other:
        metadata = other.metadata()
        tensors = other.get_tensors()
    assert set(metadata) == {"truesparse", "crc32"}
    assert json.loads(metadata["truesparse"])["format_version"] == 2
    whole = metadata["truesparse"].encode()
    lines = ("a.data float32 [2, 3]\n", "b.indices uint16 [5]\n", "empty int64 [0]\n")
    for name, line in zip(sorted(tensors), lines, strict=True):
        whole += line.encode() + tensors[name].tobytes()
    assert metadata["crc32"] == f"{zlib.crc32(whole):08x}"


def test_the_file_has_ordinary_permissions_and_leaves_nothing_else(file: Path) -> None:
    other = file.with_name("other")
    other.touch()
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
    assert {path.name for path in file.parent.iterdir()} == {file.name, other.name}


@pytest.mark.parametrize("kept", [0, 7, 8, 60, -1])
def test_a_file_cut_short(file: Path, kept: int) -> None:
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(TruesparseError, match="cut short, corrupt or no model file"):
        container.Reader(file)


def test_any_changed_byte_is_found(file: Path) -> None:
    good = file.read_bytes()
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1
        file.write_bytes(bad)
        try:
            with container.Reader(file) as reader:
                changed = reader.document != {"format_version": 2, **DOCUMENT} or reader.names != set(TENSORS)
                changed = changed or any(
                    reader.get(name).dtype != tensor.dtype or not np.array_equal(reader.get(name), tensor)
                    for name, tensor in TENSORS.items()
                )
                assert not changed, f"a change of byte {place} went unseen"
        except TruesparseError:
            pass


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(TruesparseError, match="No such file"):
        container.Reader(tmp_path / "none")
    with pytest.raises(TruesparseError, match="Is a directory"):
        container.Reader(tmp_path)
    foreign = tmp_path / "foreign.safetensors"
    safetensors.numpy.save_file(dict(TENSORS), foreign)
    with pytest.raises(TruesparseError, match="was not written by truesparse"):
        container.Reader(foreign)


def test_a_newer_version(tmp_path: Path) -> None:
    newer = container.FORMAT_VERSION + 1
    container.write(tmp_path / "m", TENSORS, DOCUMENT | {"format_version": newer})
    with pytest.raises(TruesparseError, match=rf"has format version {newer}.* upgrade"):
        container.Reader(tmp_path / "m")


def test_files_that_earlier_versions_can_read_say_so(tmp_path: Path) -> None:
    container.write(tmp_path / "m", TENSORS, DOCUMENT)
    assert container.Reader(tmp_path / "m").document["format_version"] == 2


def test_a_write_that_fails_leaves_the_earlier_file(file: Path) -> None:
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # as a full disk does, in the middle of the file
    try:
        with pytest.raises(TruesparseError, match=r"cannot save .*m.safetensors: File too large; make room"):
            container.write(file, {"a": np.zeros(10_000)}, DOCUMENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_full_disk_at_the_last_moment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(TruesparseError, match="No space left on device"):
        container.write(file, TENSORS, DOCUMENT)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TruesparseError, match="No such file"):
        container.write(tmp_path / "none" / "m", TENSORS, DOCUMENT)


def test_writing_does_not_copy(tmp_path: Path) -> None:
    tensors = {"a": np.ones((1000, 2000)), "b": np.ones(1 << 20, np.float32)}
    container.write(tmp_path / "m", TENSORS, DOCUMENT)  # what is imported by now is not counted
    tracemalloc.start()
    try:
        container.write(tmp_path / "m", tensors, DOCUMENT)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_the_same_contents_make_the_same_bytes(tmp_path: Path) -> None:
    """Those of safetensors, but for the order of the metadata, which it draws anew each time."""
    tensors = {
        f"{number}": np.ones((2, 3), dtype)
        for number, dtype in enumerate(
            ["u1", "i8", "f4", "?", "u2", "f2", "i4", "u8", "f8", "i1", "u4", "i2"]
        )
    }
    tensors |= {"z": np.ones(3, np.float32), "a": np.ones(0, np.float32), "scalar": np.array(1.0)}
    backwards = dict(reversed(tensors.items()))
    contents = set()
    for number in range(20):
        container.write(tmp_path / "m", backwards if number % 2 else tensors, DOCUMENT)
        contents.add((tmp_path / "m").read_bytes())
    (ours,) = contents
    with safetensors.safe_open(tmp_path / "m", framework="numpy") as file:
        metadata = file.metadata()
    theirs = set()
    for _ in range(40):
        safetensors.numpy.save_file(tensors, tmp_path / "m", metadata)
        theirs.add((tmp_path / "m").read_bytes())
    assert ours in theirs
