"""Arithmetic lane by lane: broadcasts, `+ - * /` and what else is one instruction on a vector."""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

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


_vadd = _lanewise(lambda builder, width, a, b: builder.fadd(a, b), 2)
_vsub = _lanewise(lambda builder, width, a, b: builder.fsub(a, b), 2)
_vmul = _lanewise(lambda builder, width, a, b: builder.fmul(a, b), 2)
_vdiv = _lanewise(lambda builder, width, a, b: builder.fdiv(a, b), 2)
_vneg = _lanewise(lambda builder, width, a: builder.fneg(a), 1)
# fmuladd, not fma: the same instruction where there is one, no library call where there is none (25 times
# faster on SSE2).
vfma = _lanewise(lanewise_call("fmuladd"), 3)
vsqrt = _lanewise(lanewise_call("sqrt"), 1)
vmin = _lanewise(_pick("<"), 2)
vmax = _lanewise(_pick(">"), 2)
vrint = _lanewise(lanewise_call("rint"), 1)
vpow2 = _lanewise(_power_of_two, 1)


def _overload_operator(symbol, vectors) -> None:
    @overload(symbol)
    def operate(a, b):
        if isinstance(a, Lanes) and a == b:
            return lambda a, b: vectors(a, b)
        if isinstance(a, Lanes) and b == types.float32:
            return lambda a, b: vectors(a, vlike(b, a))
        if isinstance(b, Lanes) and a == types.float32:
            return lambda a, b: vectors(vlike(a, b), b)
        return None


for _symbol, _vectors in (
    (operator.add, _vadd),
    (operator.sub, _vsub),
    (operator.mul, _vmul),
    (operator.truediv, _vdiv),
):
    _overload_operator(_symbol, _vectors)


@overload(operator.neg)
def _negate(a):
    if isinstance(a, Lanes):
        return lambda a: _vneg(a)
    return None


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
