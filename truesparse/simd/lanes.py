"""The Numba type of a vector of float32 lanes, and how LLVM holds it."""

from __future__ import annotations

from functools import cache

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import config
from numba.extending import models, register_model

F32 = ir.FloatType()
_WIDEST = 64  # lanes in one LLVM vector: four AVX-512 registers; wider ones spill on AVX2


def split_lanes(n: int) -> tuple[int, ...]:
    """Widths of the LLVM vectors that hold `n` lanes: powers of two, widest first.

    Parameters
    ----------
    n : int
        Number of lanes, at least 1.

    Returns
    -------
    tuple of int
        Powers of two up to 64 that add up to `n`.
    """
    widths = [_WIDEST] * (n // _WIDEST)
    widths += [1 << bit for bit in reversed(range(6)) if n % _WIDEST >> bit & 1]
    return tuple(widths)


def has_avx512() -> bool:
    """Return whether kernels are compiled for AVX-512: 32 registers of 16 lanes, where AVX2 has 16 of 8."""
    if config.CPU_FEATURES is None:
        return _host_has_avx512()
    return "+avx512f" in config.CPU_FEATURES.split(",")


@cache
def _host_has_avx512() -> bool:
    """Asked once: LLVM takes half a millisecond to tell."""
    return bool(get_host_cpu_features().get("avx512f"))


class Lanes(types.Type):
    """Numba type of a vector of `n` float32 lanes."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.widths = split_lanes(n)
        super().__init__(f"float32x{n}")


def lanes_of(literal) -> Lanes | None:
    """The vector type of a literal number of lanes; None while Numba has not made it a literal yet."""
    return Lanes(literal.literal_value) if isinstance(literal, types.IntegerLiteral) else None


def vector_type(width: int) -> ir.VectorType:
    """The LLVM type of `width` lanes, a power of two."""
    return ir.VectorType(F32, width)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        vectors = [vector_type(width) for width in fe_type.widths]
        super().__init__(dmm, fe_type, vectors[0] if len(vectors) == 1 else ir.LiteralStructType(vectors))


def unpack(builder, lanes: Lanes, value) -> list:
    """The LLVM vectors of a value, widest first."""
    if len(lanes.widths) == 1:
        return [value]
    return [builder.extract_value(value, k) for k in range(len(lanes.widths))]


def pack(builder, lanes: Lanes, vectors: list):
    """The value that LLVM vectors, widest first, make up."""
    if len(vectors) == 1:
        return vectors[0]
    value = ir.Constant(ir.LiteralStructType([vector_type(width) for width in lanes.widths]), ir.Undefined)
    for k, vector in enumerate(vectors):
        value = builder.insert_value(value, vector, k)
    return value
