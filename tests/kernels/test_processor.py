"""Sizes of caches in made-up folders as Linux has them; more is in tests/sparse/test_plan.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from truesparse.kernels import cores, processor
from truesparse.kernels.processor import cache_bytes, describe_caches, told_caches

KB, MB = 1 << 10, 1 << 20


def describe(folder: Path, cpu: int, *caches: tuple[int, str, str]) -> None:
    """Write level, size and sharing CPUs of a CPU's caches."""
    for number, (level, size, shared) in enumerate(caches):
        index = folder / f"cpu{cpu}" / "cache" / f"index{number}"
        index.mkdir(parents=True)
        kind = "Data" if level == 1 else "Unified"
        files = {"level": str(level), "size": size, "type": kind, "shared_cpu_list": shared}
        for name, text in files.items():
            (index / name).write_text(text + "\n")


def test_a_cpu_with_its_own_caches_has_all_of_them(tmp_path: Path) -> None:
    for cpu in range(2):
        describe(tmp_path, cpu, (1, "48K", str(cpu)), (2, "1024K", str(cpu)), (3, "32768K", "0-1"))
    assert cache_bytes(tmp_path, [0, 1]) == {"L1": 48 * KB, "L2": MB, "L3": 32 * MB}


def test_hyperthreads_share_the_caches_of_their_core(tmp_path: Path) -> None:
    for cpu in range(4):
        both = f"{cpu % 2},{cpu % 2 + 2}"
        describe(tmp_path, cpu, (1, "32K", both), (2, "2M", both), (3, "8M", "0-3"))
    assert cache_bytes(tmp_path, range(4)) == {"L1": 16 * KB, "L2": MB, "L3": 8 * MB}
    assert cache_bytes(tmp_path, [0, 1]) == {"L1": 32 * KB, "L2": 2 * MB, "L3": 8 * MB}  # one of each core
    assert cache_bytes(tmp_path, [0, 1, 2]) == {"L1": 16 * KB, "L2": MB, "L3": 8 * MB}


def test_a_cluster_shares_an_l2_cache_and_the_smallest_share_counts(tmp_path: Path) -> None:
    """Two fast cores, and four small ones with an L2 cache in common."""
    for cpu in (0, 1):
        describe(tmp_path, cpu, (1, "48K", str(cpu)), (2, "2M", str(cpu)))
    for cpu in (2, 3, 4, 5):
        describe(tmp_path, cpu, (1, "32K", str(cpu)), (2, "2M", "2-5"))
    assert told_caches(tmp_path, range(6)) == {"L1": 32 * KB, "L2": MB // 2}
    assert told_caches(tmp_path, [0, 1]) == {"L1": 48 * KB, "L2": 2 * MB}
    assert told_caches(tmp_path, [2]) == {"L1": 32 * KB, "L2": 2 * MB}


def test_a_pinned_process_has_the_caches_of_its_own_cpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    describe(tmp_path, 0, (1, "48K", "0"), (2, "2M", "0"))
    describe(tmp_path, 5, (1, "64K", "5"), (2, "512K", "5"))
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {5}, raising=False)
    assert told_caches(tmp_path) == {"L1": 64 * KB, "L2": 512 * KB}
    monkeypatch.delattr(cores.os, "sched_getaffinity")
    assert told_caches(tmp_path) == {"L1": 48 * KB, "L2": 512 * KB}


@pytest.mark.parametrize(
    ("text", "size"),
    [("0K", None), ("0", None), ("2048", None), ("K", None), ("", None), ("4K", 4 * KB), ("49152", 48 * KB)],
)
def test_sizes_that_cannot_be_are_not_believed(text: str, size: int | None, tmp_path: Path) -> None:
    describe(tmp_path, 0, (1, text, "0"))
    assert told_caches(tmp_path, [0]) == ({} if size is None else {"L1": size})
    assert cache_bytes(tmp_path, [0])["L1"] == (size or 32 * KB)


def test_what_the_system_does_not_tell_is_marked(tmp_path: Path) -> None:
    describe(tmp_path, 0, (1, "48K", "wrong"))
    told = told_caches(tmp_path, [0])
    assert told == {"L1": 48 * KB}
    words = describe_caches(cache_bytes(tmp_path, [0]), {*processor.CACHES} - told.keys())
    assert words == "48 KB L1, 1 MB L2 (assumed), 32 MB L3 (assumed)"


def test_a_mac_shares_an_l2_cache_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = {"hw.perflevel0.l1dcachesize": 128 * KB, "hw.perflevel0.l2cachesize": 12 * MB}
    known["hw.perflevel0.cpusperl2"] = 4
    monkeypatch.setattr(processor.sys, "platform", "darwin")
    monkeypatch.setattr(processor, "_sysctl", lambda name: known.get(name, 0))
    processor._mac_caches.cache_clear()
    assert told_caches(tmp_path) == {"L1": 128 * KB, "L2": 3 * MB}
    processor._mac_caches.cache_clear()
