"""What a run runs on, how much memory it used, and how long kernels compiled."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "safetensors", "click", "rich", "tomli-w", "tbb")


def environment() -> dict[str, Any]:
    """Describe the machine and the versions, for the record of a run and for ``truesparse info``.

    Returns
    -------
    dict
        Values that JSON can hold. `threading_layer` is known only once a parallel kernel has run; `cores` are
        all CPUs of the system, and `usable_cores` those that threads of this process can run on at once.
    """
    from truesparse.kernels.cores import available_cores, physical_cores
    from truesparse.kernels.processor import (
        CACHES,
        cache_bytes,
        describe_caches,
        microarchitecture,
        processor_name,
        told_caches,
    )
    from truesparse.kernels.threads import thread_count, threading_layer
    from truesparse.version import __version__

    return {
        "truesparse": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": processor_name(),
        "microarchitecture": microarchitecture(),
        "caches": describe_caches(cache_bytes(), {*CACHES} - told_caches().keys()),
        "cores": os.cpu_count(),
        "usable_cores": available_cores(),
        "physical_cores": physical_cores(),
        "threads": thread_count(),
        "threading_layer": threading_layer(),
    }


def processor_of(machine: Mapping[str, Any]) -> str:
    """Name the processor of an `environment`: "AMD EPYC (znver5)". Older ones do not have LLVM's name."""
    llvm = machine.get("microarchitecture")
    return f"{machine.get('cpu')} ({llvm})" if llvm else str(machine.get("cpu"))


def machine_of(machine: Mapping[str, Any]) -> str:
    """Name the processor of an `environment` and count its cores: "AMD EPYC (znver5), 2 cores"."""
    return f"{processor_of(machine)}, {machine.get('cores')} cores"


def versions() -> dict[str, str | None]:
    """Those of the packages that bits depend on: ranks must have the same ones."""
    from truesparse.version import __version__

    return {"truesparse": __version__, **{name: _version(name) for name in ("numpy", "numba", "llvmlite")}}


def commit() -> str | None:
    """The state of the git tree that holds this package; None if it is installed, or without git."""
    tree = Path(__file__).parents[2]
    if not (tree / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=tree, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far, in bytes; 0 where Python cannot tell (Windows)."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def watch_compilation(on_first: Callable[[], None]) -> Iterator[Callable[[], float]]:
    """Measure the time Numba spends compiling kernels that its cache on disk does not have.

    Parameters
    ----------
    on_first : callable
        Called when the first kernel starts to compile.

    Yields
    ------
    callable
        Gives the seconds spent compiling so far.
    """
    from numba.core.event import TimingListener, register, unregister

    class Watch(TimingListener):
        started = False

        def on_start(self, event: Any) -> None:
            if not self.started:
                self.started = True
                on_first()
            super().on_start(event)

    watch = Watch()
    register("numba:compile", watch)
    try:
        yield lambda: watch.duration if watch.done else 0.0
    finally:
        unregister("numba:compile", watch)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
