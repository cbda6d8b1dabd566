"""Loads, stores and prefetches; `truesparse.simd` says when they are checked."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

from truesparse.simd.lanes import Lanes, lanes_of, pack, unpack, vector_type
from truesparse.simd.llvm import I32, call, shuffle


def pointer_to(context, builder, array_type, array, offset, count: int, target):
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


@intrinsic
def at(typingctx, array, offset):
    """Load one element of a contiguous array: no wraparound arithmetic, which costs 25 to 35 % in narrow
    kernels."""

    def codegen(context, builder, signature, args):
        pointer = pointer_to(
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
        hints = [ir.Constant(I32, hint) for hint in (0, 3, 1)]  # read, keep in every cache level, data
        call(builder, "llvm.prefetch.p0", [byte, *hints], ir.VoidType())
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


def _row_offsets(builder, lanes: Lanes, offset, row, rows):
    """Offset of each vector of a row in a lane-split array: a part `[rows, width]` for every width in
    turn."""
    start = 0
    for width in lanes.widths:
        part = builder.mul(rows, ir.Constant(rows.type, start))
        yield builder.add(builder.add(offset, part), builder.mul(row, ir.Constant(row.type, width)))
        start += width


def _plain_offsets(builder, lanes: Lanes, offset):
    start = 0
    for width in lanes.widths:
        yield builder.add(offset, ir.Constant(offset.type, start))
        start += width


def _load(context, builder, array_type, array, lanes: Lanes, offsets):
    vectors = []
    for width, offset in zip(lanes.widths, offsets, strict=True):
        pointer = pointer_to(context, builder, array_type, array, offset, width, vector_type(width))
        vectors.append(builder.load(pointer, align=4))
    return pack(builder, lanes, vectors)


def _store(context, builder, array_type, array, lanes: Lanes, offsets, value):
    for width, offset, vector in zip(lanes.widths, offsets, unpack(builder, lanes, value), strict=True):
        pointer = pointer_to(context, builder, array_type, array, offset, width, vector_type(width))
        builder.store(vector, pointer, align=4)
    return context.get_dummy_value()


def load_plain(context, builder, array_type, array, offset, lanes: Lanes):
    """Generate the load of consecutive elements."""
    return _load(context, builder, array_type, array, lanes, _plain_offsets(builder, lanes, offset))


def store_plain(context, builder, array_type, array, offset, lanes: Lanes, value):
    """Generate the store of a vector to consecutive elements."""
    return _store(context, builder, array_type, array, lanes, _plain_offsets(builder, lanes, offset), value)


@intrinsic(prefer_literal=True)
def vload(typingctx, array, offset, n):
    """Load `n` consecutive float32 elements."""
    lanes = lanes_of(n)
    if lanes is None:
        return None

    def codegen(context, builder, signature, args):
        return load_plain(context, builder, signature.args[0], args[0], args[1], lanes)

    return lanes(array, types.intp, n), codegen


@intrinsic
def vload_like(typingctx, array, offset, like):
    """Load as many consecutive float32 elements as the vector `like` has lanes."""

    def codegen(context, builder, signature, args):
        return load_plain(context, builder, signature.args[0], args[0], args[1], like)

    return like(array, types.intp, like), codegen


@intrinsic
def vstore(typingctx, array, offset, value):
    """Store the lanes of `value` to consecutive elements."""

    def codegen(context, builder, signature, args):
        return store_plain(context, builder, signature.args[0], args[0], args[1], value, args[2])

    return types.void(array, types.intp, value), codegen


@intrinsic
def vload_row(typingctx, array, offset, row, rows, like):
    """Load row `row` of a lane-split array of `rows` rows that begins at `offset`.

    A lane-split array of 20 lanes is an array `[rows, 16]` followed by an array `[rows, 4]`: every load is
    aligned, where rows of 20 would straddle cache lines (15 % of a recurrent step).
    """

    def codegen(context, builder, signature, args):
        offsets = _row_offsets(builder, like, args[1], args[2], args[3])
        return _load(context, builder, signature.args[0], args[0], like, offsets)

    return like(array, types.intp, types.intp, types.intp, like), codegen


@intrinsic
def vstore_row(typingctx, array, offset, row, rows, value):
    """Store a row of a lane-split array; see `vload_row`."""

    def codegen(context, builder, signature, args):
        offsets = _row_offsets(builder, value, args[1], args[2], args[3])
        return _store(context, builder, signature.args[0], args[0], value, offsets, args[4])

    return types.void(array, types.intp, types.intp, types.intp, value), codegen


@intrinsic
def transpose_square(typingctx, out, place, out_step, array, offset, step):
    """Store the transpose of 8 x 8 elements: row k of the square begins at ``offset + k step`` in `array`,
    and its column j is stored from ``place + j out_step`` on."""
    lanes = Lanes(8)

    def codegen(context, builder, signature, args):
        to, place, out_step, array, offset, step = args

        def each(first, distance):
            for number in range(8):
                yield builder.add(first, builder.mul(distance, ir.Constant(distance.type, number)))

        rows = [
            load_plain(context, builder, signature.args[3], array, where, lanes)
            for where in each(offset, step)
        ]
        # Row k exchanges parts of 4, 2 and 1 lanes with row k + 4, k + 2 and k + 1.
        for size in (4, 2, 1):
            low = [lane if not lane & size else lane - size + 8 for lane in range(8)]
            for k in range(8):
                if not k & size:
                    pair = rows[k], rows[k + size]
                    rows[k] = shuffle(builder, *pair, low)
                    rows[k + size] = shuffle(builder, *pair, [lane + size for lane in low])
        for where, row in zip(each(place, out_step), rows, strict=True):
            store_plain(context, builder, signature.args[0], to, where, lanes, row)
        return context.get_dummy_value()

    return types.void(out, types.intp, types.intp, array, types.intp, types.intp), codegen
