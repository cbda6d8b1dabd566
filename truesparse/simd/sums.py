"""Sums across the lanes of a vector."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from truesparse.simd.lanes import Lanes, unpack
from truesparse.simd.llvm import I32, filled, lanewise_call, shuffle

_fma = lanewise_call("fmuladd")


def _fold(builder, vector, width: int, target: int):
    """Add the upper half of a vector to the lower one until `target` lanes are left."""
    while width > target:
        half = width // 2
        low = shuffle(builder, vector, vector, list(range(half)))
        vector = builder.fadd(low, shuffle(builder, vector, vector, list(range(half, width))))
        width = half
    return vector


def sum_lanes(builder, width: int, vector):
    """Generate the sum of the lanes of an LLVM vector."""
    return builder.extract_element(_fold(builder, vector, width, 1), ir.Constant(I32, 0))


@intrinsic
def vsum(typingctx, a):
    """Sum of the lanes, as float32, in a fixed order."""

    def codegen(context, builder, signature, args):
        narrow = min(a.widths)
        total = None
        for width, vector in zip(a.widths, unpack(builder, a, args[0]), strict=True):
            folded = _fold(builder, vector, width, narrow)
            total = folded if total is None else builder.fadd(total, folded)
        return sum_lanes(builder, narrow, total)

    return types.float32(a), codegen


def pieces_of_16(builder, lanes: Lanes, value):
    """The lanes in vectors of 16, the last ones filled up with zeros."""
    for width, vector in zip(lanes.widths, unpack(builder, lanes, value), strict=True):
        if width <= 16:
            filler = filled(width, 0.0)
            yield shuffle(builder, vector, filler, [min(lane, width) for lane in range(16)])
        else:
            for start in range(0, width, 16):
                yield shuffle(builder, vector, vector, list(range(start, start + 16)))


@intrinsic
def vdot16(typingctx, a, b):
    """Products of two vectors, folded to 16 partial sums: lane k holds the sum over lanes k, k + 16, k + 32,
    …"""

    def codegen(context, builder, signature, args):
        total = None
        for x, y in zip(pieces_of_16(builder, a, args[0]), pieces_of_16(builder, b, args[1]), strict=True):
            total = builder.fmul(x, y) if total is None else _fma(builder, 16, x, y, total)
        return total

    return Lanes(16)(a, b), codegen


def fold_eight(builder, vectors: list):
    """Generate the sums of eight LLVM vectors of 16 lanes, as one of 8 lanes."""

    def merge(x, y, first, second):
        return builder.fadd(shuffle(builder, x, y, first), shuffle(builder, x, y, second))

    # Within four lanes the instructions that interleave two registers will do: two a cycle, where one that
    # takes any lane from anywhere has one a cycle.
    fours = range(0, 16, 4)
    for low in ((0, 16, 1, 17), (0, 1, 16, 17)):
        first = [base + lane for base in fours for lane in low]
        second = [lane + 2 for lane in first]
        vectors = [merge(vectors[k], vectors[k + 1], first, second) for k in range(0, len(vectors), 2)]
    first = [lane if not lane & 4 else 12 + lane for lane in range(16)]
    second = [lane + 4 for lane in first]
    vectors = [merge(*vectors, first, second)]
    return _fold(builder, vectors[0], 16, 8)


def fold_one(builder, vector):
    """Generate the sum of an LLVM vector of 16 lanes, to the bit as `fold_eight` has it for each of eight."""
    for step in (2, 1):  # within four lanes, where it takes no more than to swap them
        swapped = shuffle(builder, vector, vector, [lane ^ step for lane in range(16)])
        vector = builder.fadd(vector, swapped)
    fours = [builder.extract_element(vector, ir.Constant(I32, lane)) for lane in range(0, 16, 4)]
    return builder.fadd(builder.fadd(*fours[:2]), builder.fadd(*fours[2:]))


@intrinsic
def vsum8(typingctx, a, b, c, d, e, f, g, h):
    """The sums of eight vectors of 16 lanes, as one vector of 8 lanes.

    A shuffle tree: 7 additions of shuffled pairs and one fold, where eight separate `vsum` take 32 of each.
    """

    def codegen(context, builder, signature, args):
        return fold_eight(builder, list(args))

    return Lanes(8)(a, b, c, d, e, f, g, h), codegen
