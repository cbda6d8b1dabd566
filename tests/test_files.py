from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from truesparse.files import replacing


def test_what_lies_where_a_file_was_once_written_first_is_left_alone(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "out.csv.partial"
    victim.write_text("precious")
    link.symlink_to(victim)
    with replacing(tmp_path / "out.csv") as partial:
        partial.write_text("rows")
    assert victim.read_text() == "precious"
    assert link.is_symlink()
    assert (tmp_path / "out.csv").read_text() == "rows"
    assert not (tmp_path / "out.csv").is_symlink()
    assert len(list(tmp_path.iterdir())) == 3


def test_two_who_write_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with replacing(path) as one, replacing(path) as two, one.open("w") as first, two.open("w") as second:
        for _ in range(3):
            first.write("first\n")
            second.write("second\n")
    assert path.read_text() == "first\n" * 3  # ended last
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_as_open_to_others_as_any_and_a_link_in_its_place_goes(tmp_path: Path) -> None:
    path, victim = tmp_path / "out.csv", tmp_path / "victim"
    victim.touch()
    path.symlink_to(victim)
    before = os.umask(0o027)
    try:
        with replacing(path) as partial:
            assert stat.S_IMODE(partial.parent.stat().st_mode) == 0o700
            partial.touch()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o640
    assert victim.read_text() == ""


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with replacing(pipe) as partial:
            partial.write_text("rows")
        assert os.read(reader, 99) == b"rows"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_what_cannot_be_written_is_said_with_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, kind in (
        (tmp_path / "none" / "out.csv", FileNotFoundError),
        (tmp_path / "folder", IsADirectoryError),
    ):
        with pytest.raises(kind) as error, replacing(path):
            raise AssertionError
        assert error.value.filename == str(path)
