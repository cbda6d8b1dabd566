"""Arithmetic lane by lane: broadcasts, `+ - * /` and what else is one instruction on a vector."""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin

from truesparse.simd.lanes import Lanes, lanes_of, pack, unpack, vector_type
from truesparse.simd.llvm import I32, lanewise_call, splat


@intrinsic(prefer_literal=True)
def vbroadcast(typingctx, scalar, n):
    """`n` lanes that all hold the float32 `scalar`."""
    lanes = lanes_of(n)
    if lanes is None:
        return None

    def codegen(context, builder, signature, args):
        return pack(builder, lanes, [splat(builder, args[0], width) for width in lanes.widths])

    return lanes(types.float32, n), codegen


@intrinsic
def vlike(typingctx, scalar, like):
    """The float32 `scalar` in as many lanes as the vector `like` has."""

    def codegen(context, builder, signature, args):
        return pack(builder, like, [splat(builder, args[0], width) for width in like.widths])

    return like(types.float32, like), codegen


def _lanewise(build, arity: int):
    """Intrinsic that applies `build(builder, width, *vectors)` to each LLVM vector of `arity` operands of one
    type."""

    def codegen(context, builder, signature, args):
        lanes = signature.return_type
        operands = [unpack(builder, lanes, value) for value in args]
        results = [
            build(builder, width, *vectors) for width, *vectors in zip(lanes.widths, *operands, strict=True)
        ]
        return pack(builder, lanes, results)

    if arity == 1:

        def typer(typingctx, a):
            return a(a), codegen
    elif arity == 2:

        def typer(typingctx, a, b):
            return a(a, b), codegen
    else:

        def typer(typingctx, a, b, c):
            return a(a, b, c), codegen

    return intrinsic(typer)


def _pick(predicate: str):
    # In this order a NaN in `a` survives, and each is one instruction (minps, maxps).
    return lambda builder, width, a, b: builder.select(builder.fcmp_ordered(predicate, b, a), b, a)


def _power_of_two(builder, width, a):
    integers = ir.VectorType(I32, width)
    exponent = builder.add(builder.fptosi(a, integers), ir.Constant(integers, [127] * width))
    return builder.bitcast(builder.shl(exponent, ir.Constant(integers, [23] * width)), vector_type(width))


# fmuladd, not fma: the same instruction where there is one, no library call where there is none (25 times
# faster on SSE2).
vfma = _lanewise(lanewise_call("fmuladd"), 3)
vsqrt = _lanewise(lanewise_call("sqrt"), 1)
vmin = _lanewise(_pick("<"), 2)
vmax = _lanewise(_pick(">"), 2)
vrint = _lanewise(lanewise_call("rint"), 1)
vpow2 = _lanewise(_power_of_two, 1)


class _Operator(AbstractTemplate):
    """The type of an operator's result; an `overload` would compile a function for every pair of types."""

    def generic(self, args, kws):
        for lanes in args:
            if isinstance(lanes, Lanes) and all(other in (lanes, types.float32) for other in args):
                return signature(lanes, *args)
        return None


def _lower_operator(symbol, build) -> None:
    infer_global(symbol)(type(f"_{symbol.__name__}", (_Operator,), {}))

    def lower(context, builder, signature, args):
        lanes = signature.return_type
        operands = [
            unpack(builder, lanes, value)
            if isinstance(kind, Lanes)
            else [splat(builder, value, width) for width in lanes.widths]
            for kind, value in zip(signature.args, args, strict=True)
        ]
        return pack(builder, lanes, [build(builder, *vectors) for vectors in zip(*operands, strict=True)])

    for kinds in ((Lanes, Lanes), (Lanes, types.float32), (types.float32, Lanes)):
        lower_builtin(symbol, *kinds)(lower)


for _symbol, _build in (
    (operator.add, ir.IRBuilder.fadd),
    (operator.sub, ir.IRBuilder.fsub),
    (operator.mul, ir.IRBuilder.fmul),
    (operator.truediv, ir.IRBuilder.fdiv),
):
    _lower_operator(_symbol, _build)


@infer_global(operator.neg)
class _Negative(_Operator):
    pass


@lower_builtin(operator.neg, Lanes)
def _negate(context, builder, signature, args):
    lanes = signature.return_type
    return pack(builder, lanes, [builder.fneg(vector) for vector in unpack(builder, lanes, args[0])])


@intrinsic
def vselect_less(typingctx, a, b, yes, no):
    """`yes` in the lanes where a < b, `no` in the others."""

    def codegen(context, builder, signature, args):
        operands = [unpack(builder, a, value) for value in args]
        vectors = [
            builder.select(builder.fcmp_ordered("<", x, y), p, q)
            for x, y, p, q in zip(*operands, strict=True)
        ]
        return pack(builder, a, vectors)

    return a(a, b, yes, no), codegen
