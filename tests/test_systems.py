"""What macOS and Windows lack, and what Windows refuses: a process on Linux that is as poor runs commands.

Two differences cannot be had: line ends, and that nobody can read a file that another process has locked.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import importlib.abc, os, signal, subprocess, sys, types, warnings

# Modules, functions and names that are not there.
from fcntl import LOCK_EX, LOCK_NB, flock

ABSENT = {"fcntl", "resource", "tbb", "termios", "pwd", "grp"}

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in ABSENT:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
for name in ("sched_getaffinity", "O_DIRECTORY", "sysconf", "killpg", "getpgrp", "register_at_fork"):
    delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGUSR1"):
    delattr(signal, name)
os.supports_dir_fd.clear()  # before shutil asks
os.supports_fd.clear()

import ctypes
load = ctypes.CDLL

def without_tbb(name, *arguments, **options):
    if "tbb" in str(name):
        raise OSError(f"{name} is not there")
    return load(name, *arguments, **options)

ctypes.CDLL = without_tbb

# Windows's own lock.
def locking(handle, mode, count):
    assert mode == msvcrt.LK_NBLCK and count == 1
    try:
        flock(handle, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        raise PermissionError(13, "Permission denied") from None

msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK, msvcrt.locking = 2, locking
sys.modules["msvcrt"] = msvcrt

# What Windows refuses.
def in_use(path):
    return any(os.path.realpath(f"/dev/fd/{n}") == os.path.realpath(path) for n in os.listdir("/dev/fd"))

def refuse(event, arguments):
    path = arguments[0] if arguments else None
    if event == "open" and str(path).startswith(("/proc", "/sys")):
        raise FileNotFoundError(2, "No such file or directory", path)
    if not isinstance(path, (str, os.PathLike)) or not os.path.abspath(path).startswith(os.getcwd()):
        return
    if event == "open" and os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    if event in ("open", "os.mkdir") and set('<>:"|?*') & set(os.path.basename(path)):
        raise OSError(22, "Invalid argument", path)
    if event == "os.rename" and (os.path.isdir(arguments[1]) or in_use(path) or in_use(arguments[1])):
        raise PermissionError(13, "Access is denied", path)
    if event == "os.remove" and in_use(path):
        raise PermissionError(13, "The process cannot access the file", path)

sys.addaudithook(refuse)
sync = os.fsync

def fsync(handle):
    os.write(handle, b"")  # fails where the file was opened to be read
    sync(handle)

os.fsync = fsync
# A file that is opened without its encoding is read in another one there.
warnings.filterwarnings("error", category=EncodingWarning, module="truesparse")

from pathlib import Path
from truesparse.cli import main

def run(*arguments):
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        assert not end.code, arguments

run("--help")
assert "numba" not in sys.modules
shape = "--hidden-size 12 --density 0.3 --batch-size 4 --bptt 10 --quiet --out run".split()
run("train", "lm", "--data", "text.txt", *shape, "--epochs", 1)
run("train", "lm", "--resume", "run", "--epochs", 2, "--quiet")
run("generate", "run", "--length", 3)
Path("model").mkdir()
run("export", "run", "--to", "c", "--out", "model")
run("info")

from truesparse.bench.memory import available_bytes, resident_bytes
from truesparse.errors import UsageError
from truesparse import files
from truesparse.training.rundir import RunDirectory
assert available_bytes() > 0 and resident_bytes() >= 0
run = RunDirectory(Path("run"))
try:
    RunDirectory(Path("run"))
except UsageError as error:
    print(error)
files._msvcrt = None  # nor any lock
RunDirectory(Path("run")).close()
run.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are themselves")
def test_commands_run_on_systems_that_lack_much(text_file: Path) -> None:
    command = [sys.executable, "-X", "warn_default_encoding", "-c", PROGRAM]
    done = subprocess.run(command, cwd=text_file.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "another process is writing to run" in done.stdout
    assert "tbb" not in done.stdout.partition("threading")[2].splitlines()[0]
    assert (text_file.parent / "model" / "model.c").is_file()
