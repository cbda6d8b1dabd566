"""Vectors of float32 lanes for Numba kernels.

`Lanes(n)` is a Numba type of `n` float32 numbers held in vector registers. Any `n` works: it is held as a sum
of powers of two (20 lanes are one vector of 16 and one of 4), because LLVM legalises powers of two well on
every instruction set (one 64-lane value is four AVX-512, eight AVX2 or sixteen SSE registers) and other
widths badly (a plain ``<20 x float>`` is three to six times slower). Widths are literal integers, so that a
kernel is made by a factory closing over its width::

    def make_axpy(n):
        @jit
        def axpy(y, a, x):
            for i in range(0, y.size, n):
                vstore(y, i, vfma(vbroadcast(a, n), vload(x, i, n), vload(y, i, n)))
        return axpy

Loads and stores take a C-contiguous array and an offset in elements from its first one. They are not checked,
unless
``NUMBA_BOUNDSCHECK=1`` is set when the kernel is compiled: then an access outside of the array raises
IndexError.

`+ - * /` and unary minus work lane by lane, between two vectors of the same width or a vector and a float32
scalar.
"""

from __future__ import annotations

import operator

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, config
from numba.extending import intrinsic, models, overload, register_model

_F32 = ir.FloatType()
_I32 = ir.IntType(32)
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


class Lanes(types.Type):
    """Numba type of a vector of `n` float32 lanes."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.widths = split_lanes(n)
        super().__init__(f"float32x{n}")


def _vector(width: int) -> ir.VectorType:
    return ir.VectorType(_F32, width)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        vectors = [_vector(width) for width in fe_type.widths]
        super().__init__(dmm, fe_type, vectors[0] if len(vectors) == 1 else ir.LiteralStructType(vectors))


def _unpack(builder, lanes: Lanes, value) -> list:
    """The LLVM vectors of a value, widest first."""
    if len(lanes.widths) == 1:
        return [value]
    return [builder.extract_value(value, k) for k in range(len(lanes.widths))]


def _pack(builder, lanes: Lanes, vectors: list):
    if len(vectors) == 1:
        return vectors[0]
    value = ir.Constant(ir.LiteralStructType([_vector(width) for width in lanes.widths]), ir.Undefined)
    for k, vector in enumerate(vectors):
        value = builder.insert_value(value, vector, k)
    return value


def _splat(builder, scalar, width: int, element=_F32):
    undefined = ir.Constant(ir.VectorType(element, width), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, width), [0] * width))


def _constant(width: int, number: float):
    return ir.Constant(_vector(width), [number] * width)


def _shuffle(builder, a, b, lanes: list[int]):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(lanes)), lanes))


def _call(builder, name: str, operands: list, result, fastmath=()):
    function = ir.FunctionType(result, [operand.type for operand in operands])
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function, name), operands, fastmath=fastmath
    )


def _pointer(context, builder, array_type, array, offset, count: int, target):
    """Pointer to `count` elements of `array` from `offset` on, as a pointer to `target`."""
    struct = context.make_array(array_type)(context, builder, array)
    if config.BOUNDSCHECK:
        end = builder.add(offset, ir.Constant(offset.type, count))
        outside = builder.or_(
            builder.icmp_signed("<", offset, ir.Constant(offset.type, 0)),
            builder.icmp_signed(">", end, struct.nitems),
        )
        with builder.if_then(outside, likely=False):
            context.call_conv.return_user_exc(builder, IndexError, ("vector access outside of the array",))
    return builder.bitcast(builder.gep(struct.data, [offset]), target.as_pointer())


def _width_of(literal) -> Lanes | None:
    return Lanes(literal.literal_value) if isinstance(literal, types.IntegerLiteral) else None


# --- memory -------------------------------------------------------------------------------------------------


@intrinsic
def at(typingctx, array, offset):
    """Load one element of a contiguous array: no wraparound arithmetic, which costs 25 to 35 % in narrow
    kernels."""

    def codegen(context, builder, signature, args):
        pointer = _pointer(
            context, builder, signature.args[0], args[0], args[1], 1, context.get_data_type(array.dtype)
        )
        return builder.load(pointer)

    return array.dtype(array, types.intp), codegen


@intrinsic(prefer_literal=True)
def prefetch(typingctx, array, offset):
    """Ask for the cache line of an element ahead of its use; an offset outside of the array is harmless."""

    def codegen(context, builder, signature, args):
        struct = context.make_array(signature.args[0])(context, builder, args[0])
        byte = builder.bitcast(builder.gep(struct.data, [args[1]]), ir.IntType(8).as_pointer())
        hints = [ir.Constant(_I32, hint) for hint in (0, 3, 1)]  # read, keep in every cache level, data
        _call(builder, "llvm.prefetch.p0", [byte, *hints], ir.VoidType())
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


def _row_offsets(builder, lanes: Lanes, offset, row, rows):
    """Offset of each vector of a row in a lane-blocked array: a block `[rows, width]` for every width in
    turn."""
    start = 0
    for width in lanes.widths:
        block = builder.mul(rows, ir.Constant(rows.type, start))
        yield builder.add(builder.add(offset, block), builder.mul(row, ir.Constant(row.type, width)))
        start += width


def _plain_offsets(builder, lanes: Lanes, offset):
    start = 0
    for width in lanes.widths:
        yield builder.add(offset, ir.Constant(offset.type, start))
        start += width


def _load(context, builder, signature, args, lanes: Lanes, offsets):
    vectors = []
    for width, offset in zip(lanes.widths, offsets, strict=True):
        pointer = _pointer(context, builder, signature.args[0], args[0], offset, width, _vector(width))
        vectors.append(builder.load(pointer, align=4))
    return _pack(builder, lanes, vectors)


def _store(context, builder, signature, args, lanes: Lanes, offsets, value):
    for width, offset, vector in zip(lanes.widths, offsets, _unpack(builder, lanes, value), strict=True):
        pointer = _pointer(context, builder, signature.args[0], args[0], offset, width, _vector(width))
        builder.store(vector, pointer, align=4)
    return context.get_dummy_value()


@intrinsic(prefer_literal=True)
def vload(typingctx, array, offset, n):
    """Load `n` consecutive float32 elements."""
    lanes = _width_of(n)
    if lanes is None:
        return None

    def codegen(context, builder, signature, args):
        return _load(context, builder, signature, args, lanes, _plain_offsets(builder, lanes, args[1]))

    return lanes(array, types.intp, n), codegen


@intrinsic
def vload_like(typingctx, array, offset, like):
    """Load as many consecutive float32 elements as the vector `like` has lanes."""

    def codegen(context, builder, signature, args):
        return _load(context, builder, signature, args, like, _plain_offsets(builder, like, args[1]))

    return like(array, types.intp, like), codegen


@intrinsic
def vstore(typingctx, array, offset, value):
    """Store the lanes of `value` to consecutive elements."""

    def codegen(context, builder, signature, args):
        return _store(
            context, builder, signature, args, value, _plain_offsets(builder, value, args[1]), args[2]
        )

    return types.void(array, types.intp, value), codegen


@intrinsic
def vload_row(typingctx, array, offset, row, rows, like):
    """Load row `row` of a lane-blocked array of `rows` rows that begins at `offset`.

    A lane-blocked array of 20 lanes is an array `[rows, 16]` followed by an array `[rows, 4]`: every load is
    aligned, where rows of 20 would straddle cache lines (15 % of a recurrent step).
    """

    def codegen(context, builder, signature, args):
        return _load(
            context, builder, signature, args, like, _row_offsets(builder, like, args[1], args[2], args[3])
        )

    return like(array, types.intp, types.intp, types.intp, like), codegen


@intrinsic
def vstore_row(typingctx, array, offset, row, rows, value):
    """Store a row of a lane-blocked array; see `vload_row`."""

    def codegen(context, builder, signature, args):
        offsets = _row_offsets(builder, value, args[1], args[2], args[3])
        return _store(context, builder, signature, args, value, offsets, args[4])

    return types.void(array, types.intp, types.intp, types.intp, value), codegen


# --- lane by lane -------------------------------------------------------------------------------------------


@intrinsic(prefer_literal=True)
def vbroadcast(typingctx, scalar, n):
    """`n` lanes that all hold the float32 `scalar`."""
    lanes = _width_of(n)
    if lanes is None:
        return None

    def codegen(context, builder, signature, args):
        return _pack(builder, lanes, [_splat(builder, args[0], width) for width in lanes.widths])

    return lanes(types.float32, n), codegen


@intrinsic
def vlike(typingctx, scalar, like):
    """The float32 `scalar` in as many lanes as the vector `like` has."""

    def codegen(context, builder, signature, args):
        return _pack(builder, like, [_splat(builder, args[0], width) for width in like.widths])

    return like(types.float32, like), codegen


def _lanewise(build, arity: int):
    """Intrinsic that applies `build(builder, width, *vectors)` to each LLVM vector of `arity` operands of one
    type."""

    def codegen(context, builder, signature, args):
        lanes = signature.return_type
        operands = [_unpack(builder, lanes, value) for value in args]
        results = [
            build(builder, width, *vectors) for width, *vectors in zip(lanes.widths, *operands, strict=True)
        ]
        return _pack(builder, lanes, results)

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


def _llvm(name: str):
    def build(builder, width, *vectors):
        return _call(builder, f"llvm.{name}.v{width}f32", list(vectors), _vector(width))

    return build


def _pick(predicate: str):
    # In this order a NaN in `a` survives, and each is one instruction (minps, maxps).
    return lambda builder, width, a, b: builder.select(builder.fcmp_ordered(predicate, b, a), b, a)


def _power_of_two(builder, width, a):
    integers = ir.VectorType(_I32, width)
    exponent = builder.add(builder.fptosi(a, integers), ir.Constant(integers, [127] * width))
    return builder.bitcast(builder.shl(exponent, ir.Constant(integers, [23] * width)), _vector(width))


_vadd = _lanewise(lambda builder, width, a, b: builder.fadd(a, b), 2)
_vsub = _lanewise(lambda builder, width, a, b: builder.fsub(a, b), 2)
_vmul = _lanewise(lambda builder, width, a, b: builder.fmul(a, b), 2)
_vdiv = _lanewise(lambda builder, width, a, b: builder.fdiv(a, b), 2)
_vneg = _lanewise(lambda builder, width, a: builder.fneg(a), 1)
# fmuladd, not fma: the same instruction where there is one, no library call where there is none (25 times
# faster on SSE2).
vfma = _lanewise(_llvm("fmuladd"), 3)
vsqrt = _lanewise(_llvm("sqrt"), 1)
vmin = _lanewise(_pick("<"), 2)
vmax = _lanewise(_pick(">"), 2)
_vrint = _lanewise(_llvm("rint"), 1)
_vpow2 = _lanewise(_power_of_two, 1)


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


# --- across lanes -------------------------------------------------------------------------------------------


def _fold(builder, vector, width: int, target: int):
    """Add the upper half of a vector to the lower one until `target` lanes are left."""
    while width > target:
        half = width // 2
        low = _shuffle(builder, vector, vector, list(range(half)))
        vector = builder.fadd(low, _shuffle(builder, vector, vector, list(range(half, width))))
        width = half
    return vector


@intrinsic
def vsum(typingctx, a):
    """Sum of the lanes, as float32, in a fixed order."""

    def codegen(context, builder, signature, args):
        narrow = min(a.widths)
        total = None
        for width, vector in zip(a.widths, _unpack(builder, a, args[0]), strict=True):
            folded = _fold(builder, vector, width, narrow)
            total = folded if total is None else builder.fadd(total, folded)
        return builder.extract_element(_fold(builder, total, narrow, 1), ir.Constant(_I32, 0))

    return types.float32(a), codegen


def _pieces_of_16(builder, lanes: Lanes, value):
    """The lanes in vectors of 16, the last ones filled up with zeros."""
    for width, vector in zip(lanes.widths, _unpack(builder, lanes, value), strict=True):
        if width <= 16:
            filler = _constant(width, 0.0)
            yield _shuffle(builder, vector, filler, [min(lane, width) for lane in range(16)])
        else:
            for start in range(0, width, 16):
                yield _shuffle(builder, vector, vector, list(range(start, start + 16)))


@intrinsic
def vdot16(typingctx, a, b):
    """Products of two vectors, folded to 16 partial sums: lane k holds the sum over lanes k, k + 16, k + 32,
    …"""

    def codegen(context, builder, signature, args):
        total = None
        for x, y in zip(_pieces_of_16(builder, a, args[0]), _pieces_of_16(builder, b, args[1]), strict=True):
            total = builder.fmul(x, y) if total is None else _llvm("fmuladd")(builder, 16, x, y, total)
        return total

    return Lanes(16)(a, b), codegen


@intrinsic
def vsum8(typingctx, a, b, c, d, e, f, g, h):
    """The sums of eight vectors of 16 lanes, as one vector of 8 lanes.

    A shuffle tree: 7 additions of shuffled pairs and one fold, where eight separate `vsum` take 32 of each.
    """

    def merge(builder, x, y, level):
        bit = 1 << level
        first = [lane if not lane & bit else 16 + (lane & ~bit) for lane in range(16)]
        second = [lane | bit if not lane & bit else 16 + lane for lane in range(16)]
        return builder.fadd(_shuffle(builder, x, y, first), _shuffle(builder, x, y, second))

    def codegen(context, builder, signature, args):
        vectors = list(args)
        for level in range(3):
            vectors = [merge(builder, vectors[k], vectors[k + 1], level) for k in range(0, len(vectors), 2)]
        return _fold(builder, vectors[0], 16, 8)

    return Lanes(8)(a, b, c, d, e, f, g, h), codegen


# --- functions ----------------------------------------------------------------------------------------------

_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(
    0.693359375
)  # ln 2 in two parts (Cody & Waite 1980): k * _LN2_HIGH is exact for |k| < 2**14
_LN2_LOW = np.float32(-2.12194440e-4)
_ONE = np.float32(1)
_TWO = np.float32(2)


@njit(cache=True, forceinline=True)
def _reduced_expm1(x):
    """`k` and `p` with exp(x) = 2**k (1 + p), by the minimax polynomial of degree 6 of Cephes' expf (Moshier
    1989)."""
    k = _vrint(x * _LOG2_E)
    r = vfma(k, vlike(-_LN2_HIGH, x), x)
    r = vfma(k, vlike(-_LN2_LOW, x), r)
    p = vlike(np.float32(1.9875691500e-4), x)
    p = vfma(p, r, vlike(np.float32(1.3981999507e-3), x))
    p = vfma(p, r, vlike(np.float32(8.3334519073e-3), x))
    p = vfma(p, r, vlike(np.float32(4.1665795894e-2), x))
    p = vfma(p, r, vlike(np.float32(1.6666665459e-1), x))
    p = vfma(p, r, vlike(np.float32(5.0000001201e-1), x))
    return k, vfma(p, r * r, r)


@njit(cache=True, forceinline=True)
def vexp(x):
    """exp(x) to 1 ulp for x in [-87.3, 88]; beyond, the value at the nearer end. NaN stays NaN."""
    x = vmin(vmax(x, vlike(np.float32(-87.3), x)), vlike(np.float32(88.0), x))
    k, p = _reduced_expm1(x)
    return (p + _ONE) * _vpow2(k)


@njit(cache=True, forceinline=True)
def vsigmoid(x):
    """1 / (1 + exp(-x)) to 3 ulp. NaN stays NaN."""
    return _ONE / (vexp(-x) + _ONE)


@njit(cache=True, forceinline=True)
def vtanh(x):
    """tanh(x) to 3 ulp, near 0 too: t / (t + 2) with t = exp(2 x) - 1. NaN stays NaN."""
    x = vmin(vmax(x, vlike(np.float32(-9.1), x)), vlike(np.float32(9.1), x))
    k, p = _reduced_expm1(x + x)
    scale = _vpow2(k)
    t = vfma(p, scale, scale - _ONE)
    return t / (t + _TWO)


def _hash32(builder, x, width: int):
    """Bijective mix of 32 bits, two multiplications ("lowbias32", Wellons 2018)."""
    integers = ir.VectorType(_I32, width)

    def constant(number):
        return ir.Constant(integers, [number] * width)

    x = builder.mul(builder.xor(x, builder.lshr(x, constant(16))), constant(0x7FEB352D))
    x = builder.mul(builder.xor(x, builder.lshr(x, constant(15))), constant(0x846CA68B))
    return builder.xor(x, builder.lshr(x, constant(16)))


def _uniform(builder, lanes: Lanes, key, counter):
    low = builder.trunc(key, _I32)
    high = builder.trunc(builder.lshr(key, ir.Constant(key.type, 32)), _I32)
    counter = builder.trunc(counter, _I32)
    vectors, start = [], 0
    for width in lanes.widths:
        index = ir.Constant(ir.VectorType(_I32, width), list(range(start, start + width)))
        x = builder.add(_splat(builder, counter, width, _I32), index)
        x = _hash32(builder, builder.xor(x, _splat(builder, low, width, _I32)), width)
        x = _hash32(builder, builder.add(x, _splat(builder, high, width, _I32)), width)
        bits = builder.lshr(x, ir.Constant(ir.VectorType(_I32, width), [8] * width))
        vectors.append(builder.fmul(builder.uitofp(bits, _vector(width)), _constant(width, 2.0**-24)))
        start += width
    return _pack(builder, lanes, vectors)


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
    lanes = _width_of(n)
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


@intrinsic
def vselect_less(typingctx, a, b, yes, no):
    """`yes` in the lanes where a < b, `no` in the others."""

    def codegen(context, builder, signature, args):
        operands = [_unpack(builder, a, value) for value in args]
        vectors = [
            builder.select(builder.fcmp_ordered("<", x, y), p, q)
            for x, y, p, q in zip(*operands, strict=True)
        ]
        return _pack(builder, a, vectors)

    return a(a, b, yes, no), codegen
