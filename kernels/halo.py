"""Boxes of an array to and from one buffer: what tiles send to each other, packed on whichever side the arrays live.

Values are moved as words of their size, so one driver serves every type of it and no bit of a NaN changes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, gpu, on_gpu

Box = tuple[int, int, int, int, int, int]
_MOST = 2**32 - 1  # elements of an array on the GPU, where indices are 32-bit


@cell
def place_in_box(m, q0, nj, ni, sy, sz):
    """Flat index in the array of cell m of a box, counted layer by layer, row by row."""
    row = np.uint32(m // ni)
    i = np.uint32(m - np.uint32(row * ni))
    k = np.uint32(row // nj)
    j = np.uint32(row - np.uint32(k * nj))
    return np.uint32(np.uint32(q0 + np.uint32(k * sz)) + np.uint32(np.uint32(j * sy) + i))


@gpu("u1* u1* u4 u4 u4 u4 u4 u4")
def pack_1_gpu(m, array, out, start, q0, nj, ni, sy, sz):
    out[np.uint32(start + m)] = array[place_in_box(m, q0, nj, ni, sy, sz)]


@gpu("u4* u4* u4 u4 u4 u4 u4 u4")
def pack_4_gpu(m, array, out, start, q0, nj, ni, sy, sz):
    out[np.uint32(start + m)] = array[place_in_box(m, q0, nj, ni, sy, sz)]


@gpu("u8* u8* u4 u4 u4 u4 u4 u4")
def pack_8_gpu(m, array, out, start, q0, nj, ni, sy, sz):
    out[np.uint32(start + m)] = array[place_in_box(m, q0, nj, ni, sy, sz)]


@gpu("u1* u1* u4 u4 u4 u4 u4 u4")
def unpack_1_gpu(m, data, array, start, q0, nj, ni, sy, sz):
    array[place_in_box(m, q0, nj, ni, sy, sz)] = data[np.uint32(start + m)]


@gpu("u4* u4* u4 u4 u4 u4 u4 u4")
def unpack_4_gpu(m, data, array, start, q0, nj, ni, sy, sz):
    array[place_in_box(m, q0, nj, ni, sy, sz)] = data[np.uint32(start + m)]


@gpu("u8* u8* u4 u4 u4 u4 u4 u4")
def unpack_8_gpu(m, data, array, start, q0, nj, ni, sy, sz):
    array[place_in_box(m, q0, nj, ni, sy, sz)] = data[np.uint32(start + m)]


_PACK: dict[int, tuple[Any, Any]] = {1: (pack_1_gpu, np.uint8), 4: (pack_4_gpu, np.uint32), 8: (pack_8_gpu, np.uint64)}
_UNPACK: dict[int, tuple[Any, Any]] = {1: (unpack_1_gpu, np.uint8), 4: (unpack_4_gpu, np.uint32), 8: (unpack_8_gpu, np.uint64)}


def box_size(box: Box) -> int:
    """Return the number of elements of a box (k0, k1, j0, j1, i0, i1); 0 for an empty one."""
    return math.prod(max(0, high - low) for low, high in zip(box[::2], box[1::2], strict=True))


def pack(array: NDArray[Any], box: Box, out: NDArray[Any], start: int = 0) -> int:
    """Copy a box of an array into a buffer, layer by layer, row by row.

    Parameters
    ----------
    array : (nk, nj, ni), C-contiguous on the GPU
    box : (k0, k1, j0, j1, i0, i1)
        Elements to copy, counted from the corner of the array, its halo included.
    out : (n,) of the type of `array`
        Receives the box from element `start`.

    Returns
    -------
    int
        The element after the last: where the next box starts.
    """
    stop = _checked(array, box, out, start)
    if stop > start:
        if on_gpu(array, out):
            _launch(_PACK, array, out, start, array, box)
        else:
            out[start:stop] = array[_slices(box)].reshape(-1)
    return stop


def unpack(data: NDArray[Any], start: int, box: Box, array: NDArray[Any]) -> int:
    """Copy a box from element `start` of a buffer into an array, the inverse of `pack`; return where the next box starts."""
    stop = _checked(array, box, data, start)
    if stop > start:
        if on_gpu(array, data):
            _launch(_UNPACK, data, array, start, array, box)
        else:
            view = array[_slices(box)]
            view[...] = data[start:stop].reshape(view.shape)
    return stop


def _slices(box: Box) -> tuple[slice, slice, slice]:
    return slice(box[0], box[1]), slice(box[2], box[3]), slice(box[4], box[5])


def _checked(array: NDArray[Any], box: Box, buffer: NDArray[Any], start: int) -> int:
    """Return the end of the box in the buffer."""
    if array.dtype != buffer.dtype:
        raise TypeError(f"A box of {array.dtype} does not go through a buffer of {buffer.dtype}.")
    size = box_size(box)
    inside = all(low >= 0 and high <= n for low, high, n in zip(box[::2], box[1::2], array.shape, strict=True))
    if size and not inside:
        raise ValueError(f"The box {box} reaches beyond an array of {array.shape}.")
    if start < 0 or start + size > buffer.size:
        raise ValueError(f"A box of {size} elements from element {start} does not fit a buffer of {buffer.size}.")
    return start + size


def _launch(
    kernels: dict[int, tuple[Any, Any]],
    source: NDArray[Any],
    target: NDArray[Any],
    start: int,
    array: NDArray[Any],
    box: Box,
) -> None:
    if array.dtype.itemsize not in kernels:
        raise TypeError(f"The GPU copies boxes of elements of 1, 4 or 8 bytes, not {array.dtype}.")
    if max(source.size, target.size) > _MOST:
        raise OverflowError(
            f"An array of {max(source.size, target.size):,} elements is too large for the GPU; use smaller tiles."
        )
    kernel, word = kernels[array.dtype.itemsize]
    sy, sz = array.shape[2], array.shape[1] * array.shape[2]
    q0 = box[0] * sz + box[2] * sy + box[4]
    rows, columns = box[3] - box[2], box[5] - box[4]
    kernel((box_size(box),), source.view(word), target.view(word), start, q0, rows, columns, sy, sz)
