"""Which positions hold a weight: counting survivors and drawing new positions, row by row."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.jit import inline_jit, jit, parallel_jit, prange, threads

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)
_WORD = np.uint64(63)
_SIX = np.uint64(6)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@intrinsic
def _lowest_bit(typingctx, word):
    """Number of the lowest set bit of a word that is not 0."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


@inline_jit
def mix(x):
    """The output function of splitmix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@jit
def count_kept(kept, indptr, keep):
    """Count the survivors of each row.

    Parameters
    ----------
    kept : ndarray of int64, shape (rows,)
        Written.
    indptr : ndarray of int64, shape (rows + 1,)
    keep : ndarray of bool, shape (nnz,)
        Whether each entry survives.
    """
    for i in range(kept.size):
        count = 0
        for p in range(indptr[i], indptr[i + 1]):
            count += keep[p]
        kept[i] = count


@parallel_jit
def mark_positions(added, bits, indptr, indices):
    """Set the bits of the positions of a pattern.

    Parameters
    ----------
    added : ndarray of int64, shape (rows,)
        Written: how many bits of each row were clear before.
    bits : ndarray of uint8, shape (rows, ceil(columns / 8))
        Modified in place. Column `j` of a row is bit ``j % 8`` of byte ``j // 8``.
    indptr : ndarray of int64, shape (rows + 1,)
    indices : ndarray of unsigned int, shape (nnz,)
    """
    for i in prange(added.size):
        count = 0
        for p in range(indptr[i], indptr[i + 1]):
            j = np.int64(indices[p])
            byte, bit = bits[i, j >> 3], np.uint8(1 << (j & 7))
            count += byte & bit == 0
            bits[i, j >> 3] = byte | bit
        added[i] = count


def grow_rows(new_indptr, indptr, indices, keep, cols, seed):
    """Keep some entries of a pattern and fill up every row with positions drawn among its empty ones.

    Parameters
    ----------
    new_indptr : ndarray of int64, shape (rows + 1,)
        Row pointers of the new pattern: every row has room for its survivors and at most `cols` entries.
    indptr : ndarray of int64, shape (rows + 1,)
    indices : ndarray of unsigned int, shape (nnz,)
        Columns, strictly increasing within a row.
    keep : ndarray of bool, shape (nnz,)
        Whether each entry survives. A dropped position counts as empty and may be drawn.
    cols : int
        Columns of the matrix, below 2**32.
    seed : uint64
        The draw is a function of this and the row, so it is the same for any number of threads.

    Returns
    -------
    new_indices : ndarray of unsigned int, shape (new_indptr[-1],)
        Columns, strictly increasing within a row; 64-byte aligned, of the type of `indices`.
    source : ndarray of int32, shape (new_indptr[-1],)
        Old place of each entry, -1 where it was drawn.

    Notes
    -----
    A row is a bitmap while it is rebuilt, so that sorting costs nothing. Marks, a bit for each word of 64
    columns, tell which words are not 0: a row of few entries among a million columns takes no longer than
    one among a thousand. Positions are drawn uniformly, by rejection; where more than half of the empty ones
    are to be filled, those that stay empty are drawn instead, which keeps the expected draws of a row below
    `cols`. Besides the result it allocates 4.25 bytes per column and thread.
    """
    nnz = int(new_indptr[-1])
    new_indices = aligned_zeros(nnz, indices.dtype)
    source = np.empty(nnz, dtype=np.int32)
    chunks = threads.thread_count()
    words = -(-cols // 64)
    bits = np.zeros((chunks, 2, words), dtype=np.uint64)
    marks = np.zeros((chunks, -(-words // 64)), dtype=np.uint64)
    places = np.full((chunks, cols), -1, dtype=np.int32)
    _grow_rows(new_indices, source, new_indptr, indptr, indices, keep, np.uint64(seed), bits, marks, places)
    return new_indices, source


@parallel_jit
def _grow_rows(new_indices, source, new_indptr, indptr, indices, keep, seed, bits, marks, places):
    rows = indptr.size - 1
    chunks, cols = places.shape
    for chunk in prange(chunks):
        taken, drawn, marked, place = bits[chunk, 0], bits[chunk, 1], marks[chunk], places[chunk]
        for i in range(rows * chunk // chunks, rows * (chunk + 1) // chunks):
            start, end = indptr[i], indptr[i + 1]
            kept = _mark_survivors(taken, marked, place, start, end, indices, keep)
            grown = new_indptr[i + 1] - new_indptr[i] - kept
            leave_out = 2 * grown > cols - kept
            if leave_out:
                grown = cols - kept - grown
            _draw(drawn, taken, marked, grown, cols, mix(seed + np.uint64(i) * GOLDEN))
            _emit(new_indices, source, new_indptr[i], place, taken, drawn, marked, leave_out)
            for p in range(start, end):
                place[np.uint64(indices[p])] = -1


@inline_jit
def _mark_survivors(taken, marked, place, start, end, indices, keep):
    """Set the bits and places of the entries of a row that survive; returns how many do."""
    kept = 0
    for p in range(start, end):
        j = np.uint64(indices[p])
        survives = keep[p]
        word = j >> _SIX
        taken[word] |= np.uint64(survives) << (j & _WORD)
        marked[word >> _SIX] |= _ONE << (word & _WORD)
        place[j] = p if survives else -1
        kept += survives
    return kept


@inline_jit
def _draw(drawn, taken, marked, count, cols, state):
    """Set `count` bits in both bitmaps, uniform among the first `cols` that `taken` does not have yet."""
    width = np.uint64(cols)
    unfair = (_LOW + _ONE) % width  # products below this would favour some columns (Lemire 2019)
    while count > 0:
        state += GOLDEN
        product = (mix(state) >> _HALF) * width
        j = product >> _HALF
        word, bit = j >> _SIX, _ONE << (j & _WORD)
        if (product & _LOW) >= unfair and not taken[word] & bit:
            taken[word] |= bit
            drawn[word] |= bit
            marked[word >> _SIX] |= _ONE << (word & _WORD)
            count -= 1


@inline_jit
def _emit(new_indices, source, start, place, taken, drawn, marked, leave_out):
    """Write the columns of a row that are taken, or those that were not drawn to be left out, as entries from
    `start` on; leave bitmaps and marks at 0."""
    last = np.uint64(taken.size - 1)
    tail = ~np.uint64(0) >> (np.uint64(-place.size) & _WORD)  # bits of the last word that are columns
    k = start
    for m in range(marked.size):
        mark = ~np.uint64(0) if leave_out else marked[m]
        marked[m] = np.uint64(0)
        while mark != np.uint64(0):
            w = (np.uint64(m) << _SIX) + _lowest_bit(mark)
            if w > last:
                break
            mark &= mark - _ONE
            word = ~drawn[w] if leave_out else taken[w]
            taken[w] = drawn[w] = np.uint64(0)
            if w == last:
                word &= tail
            while word != np.uint64(0):
                j = (w << _SIX) + _lowest_bit(word)
                new_indices[k] = j
                source[k] = place[j]
                k += 1
                word &= word - _ONE
