"""Machine code is made once a kernel.

Numba optimises each function that a kernel calls with all that it holds, and makes machine code of it, which
nobody calls. Here those functions are only linked into the kernel, and the whole is optimised. With
`truesparse.kernels.tasks` it halves the time to compile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba._dynfunc import make_function
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu import CPUContext

_finalize = CPUCodeLibrary.finalize
_optimize_functions = CPUCodeLibrary._optimize_functions
_optimize_final_module = CPUCodeLibrary._optimize_final_module
_get_executable = CPUContext.get_executable
_WRAPPER = "_ZN7cpython"  # what the name of a function that Python can call begins with


@contextmanager
def only_linked() -> Iterator[None]:
    """Within the block, machine code is made of what Python calls; the rest is linked into that."""
    with global_compiler_lock:
        before = (
            CPUCodeLibrary.finalize,
            CPUCodeLibrary._optimize_functions,
            CPUCodeLibrary._optimize_final_module,
            CPUContext.get_executable,
        )
        _put(_link, _leave, _optimize, _executable)
        try:
            yield
        finally:
            _put(*before)


def _put(finalize: Any, optimize_functions: Any, optimize_final_module: Any, get_executable: Any) -> None:
    CPUCodeLibrary.finalize = finalize
    CPUCodeLibrary._optimize_functions = optimize_functions
    CPUCodeLibrary._optimize_final_module = optimize_final_module
    CPUContext.get_executable = get_executable


def _for_python(library: Any) -> bool:
    return any(function.name.startswith(_WRAPPER) for function in library._final_module.functions)


def _link(library: Any) -> None:
    """Take the place of `CPUCodeLibrary.finalize`."""
    if _for_python(library):
        _finalize(library)
        return
    for other in dict.fromkeys(library._linking_libraries):
        if hasattr(library, "_reload_init"):  # since Numba 0.62
            library._reload_init.update(other._reload_init)
        library._final_module.link_in(other._get_module_for_linking(), preserve=True)
    library._finalize_dynamic_globals()
    library._finalized = True


def _leave(library: Any, module: Any) -> None:
    """Take the place of `CPUCodeLibrary._optimize_functions`: the whole is optimised once it is linked."""
    module.data_layout = library._codegen._data_layout


def _optimize(library: Any) -> None:
    """Take the place of `CPUCodeLibrary._optimize_final_module`. Without the passes over each function first,
    loops over few weights are up to a third slower (the backward pass of a recurrence at density 0.01)."""
    _optimize_functions(library, library._final_module)
    _optimize_final_module(library)


def _executable(context: Any, library: Any, fndesc: Any, env: Any) -> Any:
    """Take the place of `CPUContext.get_executable`; nothing to call for what has no machine code."""
    if library._finalized or _for_python(library):  # finalized: it comes from disk
        return _get_executable(context, library, fndesc, env)
    return make_function(fndesc.lookup_module(), fndesc.qualname, "", 0, env, (library,))
