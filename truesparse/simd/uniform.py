"""Random numbers from a counter, a lane each."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from truesparse.simd.lanes import Lanes, lanes_of, pack, vector_type
from truesparse.simd.llvm import I32, filled, splat


def _hash32(builder, x, width: int):
    """Bijective mix of 32 bits, two multiplications ("lowbias32", Wellons 2018)."""
    integers = ir.VectorType(I32, width)

    def constant(number):
        return ir.Constant(integers, [number] * width)

    x = builder.mul(builder.xor(x, builder.lshr(x, constant(16))), constant(0x7FEB352D))
    x = builder.mul(builder.xor(x, builder.lshr(x, constant(15))), constant(0x846CA68B))
    return builder.xor(x, builder.lshr(x, constant(16)))


def _uniform(builder, lanes: Lanes, key, counter):
    low = builder.trunc(key, I32)
    high = builder.trunc(builder.lshr(key, ir.Constant(key.type, 32)), I32)
    counter = builder.trunc(counter, I32)
    vectors, start = [], 0
    for width in lanes.widths:
        index = ir.Constant(ir.VectorType(I32, width), list(range(start, start + width)))
        x = builder.add(splat(builder, counter, width, I32), index)
        x = _hash32(builder, builder.xor(x, splat(builder, low, width, I32)), width)
        x = _hash32(builder, builder.add(x, splat(builder, high, width, I32)), width)
        bits = builder.lshr(x, ir.Constant(ir.VectorType(I32, width), [8] * width))
        vectors.append(builder.fmul(builder.uitofp(bits, vector_type(width)), filled(width, 2.0**-24)))
        start += width
    return pack(builder, lanes, vectors)


@intrinsic(prefer_literal=True)
def vuniform(typingctx, key, counter, n):
    """Uniform float32 numbers in [0, 1), multiples of 2**-24, from a counter: lane k is a function of (key,
    counter + k).

    Not a stream: the same key and counter give the same numbers, so that a dropout mask can be drawn again in
    the backward pass instead of being stored, and does not depend on the number of threads.

    Parameters
    ----------
    key : uint64
        Chooses the sequence.
    counter : int
        Place in the sequence of lane 0; the low 32 bits count.
    n : int literal
        Number of lanes.
    """
    lanes = lanes_of(n)
    if lanes is None:
        return None

    def codegen(context, builder, signature, args):
        return _uniform(builder, lanes, args[0], args[1])

    return lanes(types.uint64, types.intp, n), codegen


@intrinsic
def vuniform_like(typingctx, key, counter, like):
    """`vuniform` with as many lanes as the vector `like`."""

    def codegen(context, builder, signature, args):
        return _uniform(builder, like, args[0], args[1])

    return like(types.uint64, types.intp, like), codegen
