"""Which CPUs a process may use, and how many at once, with made-up folders of Linux."""

from __future__ import annotations

from pathlib import Path

import pytest

from truesparse.kernels import cores
from truesparse.kernels.cores import available_cores, cpu_folders, numbers_in, physical_cores, thread_counts

V1 = {"cpu.cfs_quota_us": "{}", "cpu.cfs_period_us": "100000"}


@pytest.fixture(autouse=True)
def of_64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("cgroup", "files", "count"),
    [
        ("0::/", {"cpu.max": "200000 100000"}, 2),  # docker --cpus=2
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "5000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, 64),
        ("0::/", {"cpu.max": "12800000 100000"}, 64),
        ("0::/", {"cpu.max": ""}, 64),
        ("0::/a/b", {"cpu.max": "max 100000", "a/cpu.max": "300000 100000", "a/b/cpu.max": "max 50000"}, 3),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "100000 50000"}, 2),
        ("0::/of/the/host", {"cpu.max": "400000 100000"}, 4),  # not what is mounted in the container
        ("0::/../b", {"cpu.max": "400000 100000", "b/cpu.max": "100000 100000"}, 4),
        ("0::/a", {"b/cpu.max": "100000 100000"}, 64),
        ("3:cpu,cpuacct:/a", {"cpu,cpuacct/a/cpu.cfs_quota_us": "600000"}, 64),
        (
            "3:cpu,cpuacct:/a\n0::/",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "600000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            6,
        ),
        (
            "7:cpuset:/\n3:cpu:/a\n0::/",
            {f"cpu/{name}": text.format(250000) for name, text in V1.items()}
            | {f"cpu/a/{name}": text.format(-1) for name, text in V1.items()},
            3,
        ),
        ("0::/a", {"unified/a/cpu.max": "700000 100000"}, 7),
        ("no such line", {"cpu.max": "200000 100000"}, 64),
    ],
)
def test_a_cgroup_limits_how_many_threads_run(
    cgroup: str, files: dict[str, str], count: int, tmp_path: Path
) -> None:
    mounted = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    assert available_cores(write(tmp_path, {"proc/self/cgroup": cgroup, **mounted})) == count


def test_without_folders_of_linux_the_cpus_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert available_cores(tmp_path) == 64
    assert physical_cores(tmp_path) == 64
    monkeypatch.delattr(cores.os, "sched_getaffinity")
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 5)
    assert available_cores(tmp_path) == 5
    assert physical_cores(tmp_path) == 5
    monkeypatch.setattr(cores.os, "cpu_count", lambda: None)
    assert available_cores(tmp_path) == physical_cores(tmp_path) == 1


def test_hyperthreads_are_of_one_core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ("thread_siblings_list", "core_cpus_list")
    for cpu in range(8):
        text = f"{cpu % 4},{cpu % 4 + 4}"
        write(tmp_path, {f"cpu{cpu}/topology/{names[cpu == 7]}": text})
    write(tmp_path, {"cpuidle/current_driver": "none"})
    assert physical_cores(tmp_path, range(8)) == 4
    assert physical_cores(tmp_path, [0, 4, 5]) == 2
    assert physical_cores(tmp_path, [3, 7]) == 1
    monkeypatch.delattr(cores.os, "sched_getaffinity")
    assert sorted(cpu_folders(tmp_path)) == list(range(8))
    assert physical_cores(tmp_path) == 4


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx512f", False),
        ("model name\t: bf16", False),
    ],
)
def test_processors_that_multiply_bfloat16(tmp_path: Path, line: str, has: bool) -> None:
    assert not cores.has_bfloat16(tmp_path)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    assert cores.has_bfloat16(tmp_path) == has


def test_lists_of_cpus() -> None:
    assert numbers_in("0-3,8") == {0, 1, 2, 3, 8}
    assert numbers_in("5") == {5}
    for text in ("", "a", "1-", "-1", "1,,2", "2-b"):
        assert numbers_in(text) == (set() if text != "1-" else {1})


def test_numbers_of_threads_that_may_be_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "physical_cores", lambda: 4)
    assert thread_counts(8) == (8, 4, 1)
    assert thread_counts(4) == (4, 1)
    assert thread_counts(2) == (2, 1)
    assert thread_counts(1) == (1,)
    monkeypatch.setattr(cores, "physical_cores", lambda: 1)
    assert thread_counts(2) == (2, 1)
