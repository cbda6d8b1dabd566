"""Groups of vectors: what the rows of one group of a matrix, such as the gates of a unit, have in registers.

A group is a tuple of `g` vectors of the same width, its members. A connection of a grouped matrix has one
value for each of them, next to each other in memory, so that one load of its operand serves `g`
multiply-adds.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from truesparse.simd.lanes import F32, Lanes, lanes_of, pack, unpack
from truesparse.simd.llvm import filled, lanewise_call, splat
from truesparse.simd.memory import load_plain, pointer_to, store_plain
from truesparse.simd.sums import fold_eight, fold_one, pieces_of_16

_fma = lanewise_call("fmuladd")


def _group_of(g, n) -> types.UniTuple | None:
    """The type of a group by literals; None while Numba has not made them literals yet."""
    lanes = lanes_of(n)
    if lanes is None or not isinstance(g, types.IntegerLiteral):
        return None
    return types.UniTuple(lanes, g.literal_value)


def _member_offsets(builder, group, offset, step):
    """`offset`, `offset + step`, … for each member."""
    for member in range(group.count):
        yield builder.add(offset, builder.mul(step, ir.Constant(step.type, member)))


def _scalars(context, builder, array_type, array, offset, count: int):
    """`count` consecutive float32 elements of an array."""
    pointer = pointer_to(context, builder, array_type, array, offset, count, F32)
    for k in range(count):
        yield builder.load(builder.gep(pointer, [ir.Constant(offset.type, k)]))


def _fma_lanes(builder, lanes: Lanes, scalar, x, total):
    """`total` + `scalar` times `x`, which are lists of LLVM vectors."""
    return [
        _fma(builder, width, splat(builder, scalar, width), a, b)
        for width, a, b in zip(lanes.widths, x, total, strict=True)
    ]


@intrinsic(prefer_literal=True)
def gbroadcast(typingctx, scalar, g, n):
    """A group of `g` vectors of `n` lanes that all hold the float32 `scalar`."""
    group = _group_of(g, n)
    if group is None:
        return None

    def codegen(context, builder, signature, args):
        lanes = group.dtype
        member = pack(builder, lanes, [splat(builder, args[0], width) for width in lanes.widths])
        return cgutils.pack_array(builder, [member] * group.count)

    return group(types.float32, g, n), codegen


@intrinsic(prefer_literal=True)
def gbroadcast_each(typingctx, array, offset, step, g, n):
    """A group whose member m holds element `offset + m step` of an array in all its lanes."""
    group = _group_of(g, n)
    if group is None:
        return None

    def codegen(context, builder, signature, args):
        lanes, members = group.dtype, []
        for place in _member_offsets(builder, group, args[1], args[2]):
            (scalar,) = _scalars(context, builder, signature.args[0], args[0], place, 1)
            members.append(pack(builder, lanes, [splat(builder, scalar, width) for width in lanes.widths]))
        return cgutils.pack_array(builder, members)

    return group(array, types.intp, types.intp, g, n), codegen


def _load_group(context, builder, signature, args, group):
    members = [
        load_plain(context, builder, signature.args[0], args[0], place, group.dtype)
        for place in _member_offsets(builder, group, args[1], args[2])
    ]
    return cgutils.pack_array(builder, members)


@intrinsic(prefer_literal=True)
def gload(typingctx, array, offset, step, g, n):
    """Load a group: member m is the `n` elements from `offset + m step` on."""
    group = _group_of(g, n)
    if group is None:
        return None

    def codegen(context, builder, signature, args):
        return _load_group(context, builder, signature, args, group)

    return group(array, types.intp, types.intp, g, n), codegen


@intrinsic
def gload_like(typingctx, array, offset, step, like):
    """Load a group of the type of `like`."""

    def codegen(context, builder, signature, args):
        return _load_group(context, builder, signature, args, like)

    return like(array, types.intp, types.intp, like), codegen


@intrinsic
def gstore(typingctx, array, offset, step, group):
    """Store a group, as `gload` loads it."""

    def codegen(context, builder, signature, args):
        places = _member_offsets(builder, group, args[1], args[2])
        for place, member in zip(places, cgutils.unpack_tuple(builder, args[3]), strict=True):
            store_plain(context, builder, signature.args[0], args[0], place, group.dtype, member)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, group), codegen


def _pairs(builder, lanes: Lanes, *groups):
    """The LLVM vectors of the first members of two groups, of the second ones, and so on."""
    for pair in zip(*(cgutils.unpack_tuple(builder, group) for group in groups), strict=True):
        yield tuple(unpack(builder, lanes, member) for member in pair)


@intrinsic
def gadd(typingctx, a, b):
    """The sum of two groups."""

    def codegen(context, builder, signature, args):
        members = [
            pack(builder, a.dtype, [builder.fadd(p, q) for p, q in zip(x, y, strict=True)])
            for x, y in _pairs(builder, a.dtype, *args)
        ]
        return cgutils.pack_array(builder, members)

    return a(a, a), codegen


@intrinsic
def gfma(typingctx, group, data, offset, x):
    """Member m of `group` + data[offset + m] times the vector `x`."""

    def codegen(context, builder, signature, args):
        lanes = group.dtype
        vectors = unpack(builder, lanes, args[3])
        scalars = _scalars(context, builder, signature.args[1], args[1], args[2], group.count)
        members = [
            pack(builder, lanes, _fma_lanes(builder, lanes, scalar, vectors, unpack(builder, lanes, member)))
            for scalar, member in zip(scalars, cgutils.unpack_tuple(builder, args[0]), strict=True)
        ]
        return cgutils.pack_array(builder, members)

    return group(group, data, types.intp, x), codegen


@intrinsic
def gfma_each(typingctx, group, x, others):
    """Member m of `group` + the vector `x` times member m of `others`."""

    def codegen(context, builder, signature, args):
        lanes = group.dtype
        vectors = unpack(builder, lanes, args[1])
        members = []
        for total, y in _pairs(builder, lanes, args[0], args[2]):
            sums = [_fma(builder, *one) for one in zip(lanes.widths, vectors, y, total, strict=True)]
            members.append(pack(builder, lanes, sums))
        return cgutils.pack_array(builder, members)

    return group(group, x, group), codegen


@intrinsic
def gdot(typingctx, total, data, offset, group):
    """The vector `total` + the sum over m of data[offset + m] times member m of `group`."""

    def codegen(context, builder, signature, args):
        result = unpack(builder, total, args[0])
        scalars = _scalars(context, builder, signature.args[1], args[1], args[2], group.count)
        for scalar, member in zip(scalars, cgutils.unpack_tuple(builder, args[3]), strict=True):
            result = _fma_lanes(builder, total, scalar, unpack(builder, total, member), result)
        return pack(builder, total, result)

    return total(total, data, types.intp, group), codegen


def _products_of_16(builder, group, members, x):
    """For each member 16 partial sums of its product with the vector `x`."""
    lanes = group.dtype
    pieces = list(pieces_of_16(builder, lanes, x))
    for member in members:
        total = None
        for a, b in zip(pieces_of_16(builder, lanes, member), pieces, strict=True):
            total = builder.fmul(a, b) if total is None else _fma(builder, 16, a, b, total)
        yield total


@intrinsic
def gdot8(typingctx, group, x, base, stride, indices, k):
    """Eight products as one vector: of every member of `group`, whose number divides 8, with the vectors of
    an array `x` at `base + stride indices[k]` and on, for as many entries as make eight."""

    def codegen(context, builder, signature, args):
        members = cgutils.unpack_tuple(builder, args[0])
        x_type, index_type = signature.args[1], signature.args[4]
        base, stride, k = args[2], args[3], args[5]
        connections = max(1, 8 // group.count)
        entries = pointer_to(
            context, builder, index_type, args[4], k, connections, context.get_data_type(index_type.dtype)
        )
        sums = []
        for entry in range(connections):
            index = builder.load(builder.gep(entries, [ir.Constant(k.type, entry)]))
            place = builder.add(base, builder.mul(stride, builder.zext(index, stride.type)))
            row = load_plain(context, builder, x_type, args[1], place, group.dtype)
            sums += _products_of_16(builder, group, members, row)
        return fold_eight(builder, (sums + [filled(16, 0.0)] * 8)[:8])

    return Lanes(8)(group, x, types.intp, types.intp, indices, types.intp), codegen


@intrinsic
def gadd_dots(typingctx, out, offset, group, x):
    """Add the product of member m of `group` and the vector `x` to out[offset + m]."""

    def codegen(context, builder, signature, args):
        members = cgutils.unpack_tuple(builder, args[2])
        pointer = pointer_to(context, builder, out, args[0], args[1], group.count, F32)
        for m, total in enumerate(_products_of_16(builder, group, members, args[3])):
            element = builder.gep(pointer, [ir.Constant(args[1].type, m)])
            builder.store(builder.fadd(builder.load(element), fold_one(builder, total)), element)
        return context.get_dummy_value()

    return types.void(out, types.intp, group, x), codegen
