"""Loops whose turns several threads take: what a parallel kernel becomes before it is compiled.

Numba's own way types the body of a ``prange`` loop twice and makes three functions around it, which takes
almost half of the time to compile a kernel. Here the body becomes a function of its own, of the turn and of
the variables that it reads, and the loop a call of Numba's threads::

    for i in prange(n):                def task(i, x, y):
        y[i] = x[i]             ->         y[i] = x[i]

                                       each_task(n, task, (x, y))

Each turn runs on its own variables: what the body sets is unknown outside.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typed_passes import _reload_parfors
from numba.extending import intrinsic

_PRANGE = "prange"


@intrinsic
def each_task(typingctx, count, task, arguments):
    """Call `task(number, *arguments)` for each number below `count`, cut into as many shares as there are
    threads."""
    called = task.get_call_type(typingctx, (types.intp, *arguments.types), {})

    def codegen(context, builder, signature, args):
        compiled = task.dispatcher.get_compile_result(called)
        context.add_linking_libs([compiled.library])
        library = context.active_code_library
        if hasattr(library, "_reload_init"):  # before Numba 0.62, the first call of a kernel starts threads
            library._reload_init.add(_reload_parfors)
        count, _, values = args
        intp = count.type
        one, zero = intp(1), intp(0)
        threads = builder.call(_function(builder, "get_num_threads", intp, []), [])
        fewer = builder.select(builder.icmp_signed("<", threads, count), threads, count)
        shares = builder.select(builder.icmp_signed("<", fewer, one), one, fewer)
        given = cgutils.alloca_once_value(builder, cgutils.pack_struct(builder, [count, shares, values]))

        byte = cgutils.voidptr_t
        body = _share(context, builder.module, compiled.fndesc, given.type, intp)
        start = cgutils.alloca_once_value(builder, byte(None))  # each share is given its number as an address
        sizes = cgutils.alloca_once_value(builder, shares)
        steps = cgutils.alloca_once_value(builder, one)
        data = builder.bitcast(given, byte)
        with builder.if_else(builder.icmp_signed(">", shares, one)) as (several, alone):
            with several:
                run = _function(builder, "numba_parallel_for", ir.VoidType(), [byte] * 5 + [intp] * 3)
                places = [builder.bitcast(pointer, byte) for pointer in (body, start, sizes, steps)]
                builder.call(run, [*places, data, zero, one, shares])
            with alone:
                builder.call(body, [start, sizes, steps, data])
        return context.get_dummy_value()

    return types.void(types.intp, task, arguments), codegen


def _function(builder, name: str, result, arguments: list):
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def _share(context, module, task, given, intp):
    """The function that does a share of the tasks, as Numba's threads call it."""
    pointer = intp.as_pointer()
    kind = ir.FunctionType(
        ir.VoidType(), [cgutils.voidptr_t.as_pointer(), pointer, pointer, cgutils.voidptr_t]
    )
    function = ir.Function(module, kind, module.get_unique_name(f"tasks.{task.mangled_name}"))
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    start, sizes, _, data = function.args
    number, size = builder.ptrtoint(builder.load(start), intp), builder.load(sizes)
    count, shares, values = cgutils.unpack_tuple(builder, builder.load(builder.bitcast(data, given)))
    # Several shares in a row are one.
    first = builder.sdiv(builder.mul(count, number), shares)
    last = builder.sdiv(builder.mul(count, builder.add(number, size)), shares)
    called = context.declare_function(module, task)
    members = cgutils.unpack_tuple(builder, values)
    with cgutils.for_range_slice(builder, first, last, intp(1), intp) as (turn, _):
        context.call_conv.call_function(builder, called, task.restype, task.argtypes, [turn, *members])
    builder.ret_void()
    return function


def with_tasks(function: Callable[..., Any], inline: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a function whose loops over ``prange`` are calls of `each_task`.

    Parameters
    ----------
    function : callable
        Its loops over ``prange`` are not within each other.
    inline : callable
        Makes a function that compiled code may call.

    Returns
    -------
    callable
        Of the same parameters, global variables and closure; `function` itself if there is no source, whose
        loops then run on one thread.
    """
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except OSError:
        return function
    (kernel,) = ast.parse(source).body
    assert isinstance(kernel, ast.FunctionDef)
    code = function.__code__
    tasks = _Loops(set(code.co_varnames))
    tasks.visit(kernel)
    kernel.decorator_list = []
    outer = dict(
        zip(code.co_freevars, (cell.cell_contents for cell in function.__closure__ or ()), strict=True)
    )
    outer |= {"_each_task": each_task, "_inline": inline}
    make = ast.parse(f"def make({', '.join(outer)}): return {kernel.name}")
    assert isinstance(make.body[0], ast.FunctionDef)
    make.body[0].body[:0] = [*tasks.found, kernel]
    ast.increment_lineno(ast.fix_missing_locations(make), code.co_firstlineno - 1)
    scope: dict[str, Any] = {}
    exec(compile(make, code.co_filename, "exec"), function.__globals__, scope)
    made: Callable[..., Any] = scope["make"](**outer)
    made.__qualname__ = function.__qualname__
    return made


class _Loops(ast.NodeTransformer):
    """Takes the bodies of loops over ``prange`` out of a function with these variables."""

    def __init__(self, variables: set[str]) -> None:
        self.found: list[ast.stmt] = []
        self._variables = variables

    def visit_For(self, loop: ast.For) -> Any:
        call, turn = loop.iter, loop.target
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == _PRANGE):
            return self.generic_visit(loop)
        names = [node for part in (turn, *loop.body) for node in ast.walk(part) if isinstance(node, ast.Name)]
        own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        given = sorted({node.id for node in names} & self._variables - own)
        name = f"_task_{len(self.found)}"
        parameters = ", ".join([ast.unparse(turn), *given])
        task = ast.parse(f"@_inline\ndef {name}({parameters}): pass").body[0]
        assert isinstance(task, ast.FunctionDef)
        task.body = loop.body
        self.found.append(task)
        arguments = "".join(f"{variable}, " for variable in given)
        (new,) = ast.parse(f"_each_task({ast.unparse(call.args[0])}, {name}, ({arguments}))").body
        return ast.copy_location(new, loop)
