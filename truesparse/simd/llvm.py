"""LLVM instructions that the code generators of this package share."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from truesparse.simd.lanes import F32, vector_type

I32 = ir.IntType(32)


def splat(builder, scalar, width: int, element=F32):
    """A vector that holds `scalar` in every lane."""
    undefined = ir.Constant(ir.VectorType(element, width), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, width), [0] * width))


def filled(width: int, number: float):
    """The constant vector of one number."""
    return ir.Constant(vector_type(width), [number] * width)


def shuffle(builder, a, b, lanes: list[int]):
    """A vector of the given lanes of `a` and, counted on from its last, of `b`."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))


def call(builder, name: str, operands: list, result, fastmath=()):
    """Call an LLVM intrinsic by its full name."""
    function = ir.FunctionType(result, [operand.type for operand in operands])
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function, name), operands, fastmath=fastmath
    )


def lanewise_call(name: str):
    """A function that calls the LLVM intrinsic `name` for vectors of some width."""

    def build(builder, width, *vectors):
        return call(builder, f"llvm.{name}.v{width}f32", list(vectors), vector_type(width))

    return build
