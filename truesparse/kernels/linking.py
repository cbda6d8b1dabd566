"""A parallel kernel is compiled once, not four times.

Numba makes three libraries of a ``prange`` loop before that of the kernel: its body, and around that two
wrappers. All of them only have to be linked into the kernel. Numba optimises each with all that it holds, and
makes machine code of it, which nobody calls. Leaving that out takes a third off the time to compile a kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu import CPUContext

_finalize = CPUCodeLibrary.finalize
_get_executable = CPUContext.get_executable
# What the names of their libraries begin with in `numba.parfors` and `numba.np.ufunc`.
_LINKED = ("__numba_parfor_gufunc_", "<numba.np.ufunc.wrappers._GufuncWrapper", "parallelgufuncwrapper")


@contextmanager
def only_linked() -> Iterator[None]:
    """Within the block, what a loop becomes on its way to the kernel is linked and no more."""
    with global_compiler_lock:
        CPUCodeLibrary.finalize, CPUContext.get_executable = _link, _executable
        try:
            yield
        finally:
            CPUCodeLibrary.finalize, CPUContext.get_executable = _finalize, _get_executable


def _link(library: Any) -> None:
    """Take the place of `CPUCodeLibrary.finalize`."""
    if not library.name.startswith(_LINKED):
        _finalize(library)
        return
    for other in dict.fromkeys(library._linking_libraries):
        library._reload_init.update(other._reload_init)
        library._final_module.link_in(other._get_module_for_linking(), preserve=True)
    library._finalize_dynamic_globals()
    library._finalized = True


def _executable(context: Any, library: Any, *function: Any) -> Any:
    """Take the place of `CPUContext.get_executable`; nothing for what has no machine code."""
    return None if library.name.startswith(_LINKED) else _get_executable(context, library, *function)
