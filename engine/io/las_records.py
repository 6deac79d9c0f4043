"""Raw records of LAS and LAZ files by whole chunks, found through the chunk table of the file.

The seek of lazrs lands on wrong points where chunks vary in size (COPC) and says nothing, and laspy does not raise when a file
ends early; so the table is read here, each chunk gets exactly its own bytes, and both counts are compared.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import InputError

if TYPE_CHECKING:
    from felsina.engine.io.las_header import PointFile

LEGACY_FORMATS = 6  # point formats below keep class and flags in one byte


def record_groups(
    file: PointFile, first: int, count: int, chunk: int, columns: Sequence[str] | None, threads: int
) -> Iterator[tuple[int, list[NDArray[Any]], int]]:
    """Yield groups of raw records: number of the first point, arrays of whole chunks, and how many points in all.

    `columns` None decompresses every dimension.
    """
    import laspy

    if not 0 <= first <= first + count <= file.count:
        raise ValueError(f"Points {first} to {first + count} were asked of '{file.path}', which has {file.count}.")
    dtype = laspy.PointFormat(file.point_format).dtype()
    if file.point_bytes > dtype.itemsize:
        spare = file.point_bytes - dtype.itemsize
        dtype = np.dtype([*((n, dtype[n]) for n in dtype.names or ()), ("extra_bytes", np.uint8, spare)])
    if columns is None:
        dtype = _full_dtype(file.path)
    decode = _decoder(file, columns, threads)
    starts, last = file.chunk_first, first + count
    k = int(np.searchsorted(starts, first, side="right")) - 1
    with open(file.path, "rb") as stream:
        while k < len(starts) - 1 and starts[k] < last:
            end = k + 1
            while end < len(starts) - 1 and starts[end + 1] - starts[k] <= chunk and starts[end] < last:
                end += 1
            blocks = []
            for a, buffer in decode(stream, k, end):
                records = buffer.view(dtype)
                cut = records[max(0, first - a) : min(len(records), last - a)]
                if len(cut):
                    blocks.append(cut)
            begin = max(first, int(starts[k]))
            yield begin, blocks, min(last, int(starts[end])) - begin
            k = end


def _decoder(file: PointFile, columns: Sequence[str] | None, threads: int) -> Any:
    """Return a function that reads chunks [k, end) as (first point, bytes) pairs."""
    starts, bytes_at, width = file.chunk_first, file.chunk_byte, file.point_bytes

    def plain(stream: BinaryIO, k: int, end: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for i in range(k, end):
            buffer = np.empty(int(starts[i + 1] - starts[i]) * width, np.uint8)
            stream.seek(int(bytes_at[i]))
            got = stream.readinto(buffer)  # type: ignore[attr-defined]
            if got != buffer.size:
                raise too_few_points(file.path, int(starts[i]) + got // width, file.count)
            yield int(starts[i]), buffer

    if not file.laz:
        return plain
    import lazrs

    selection = [] if columns is None or file.point_format < LEGACY_FORMATS else [_selection(columns)]

    def compressed(stream: BinaryIO, k: int, end: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        step = 1 if threads == 1 else end - k
        for i in range(k, end, step):
            a, b = int(starts[i]), int(starts[i + step])
            stream.seek(int(bytes_at[i]))
            wanted = int(bytes_at[i + step] - bytes_at[i])
            packed = stream.read(wanted)
            if len(packed) < wanted:
                raise too_few_points(file.path, a, file.count, "no more than ")
            buffer = np.empty((b - a) * width, np.uint8)
            sizes = np.diff(bytes_at[i : i + step + 1]).tolist()
            table = list(zip(np.diff(starts[i : i + step + 1]).tolist(), sizes, strict=True))
            try:
                lazrs.decompress_points_with_chunk_table(packed, file.laz, buffer, table, *selection)
            except BaseException as error:
                if not _is_lazrs(error):
                    raise
                raise InputError(
                    f"'{file.path}' promises {file.count:,} points in its header but gives no more than {b - 1:,}: the "
                    f"compressed points from {a:,} on end early or are damaged ({first_line(error)}). Fetch it again."
                ) from error
            yield a, buffer

    return compressed


def _full_dtype(path: Path) -> Any:
    import laspy

    with open(path, "rb") as stream:
        return laspy.LasHeader.read_from(stream, read_evlrs=False).point_format.dtype()


def _selection(columns: Sequence[str]) -> Any:
    """Return what lazrs has to decompress in point formats 6 and later: layers that nobody asked for are skipped."""
    import laspy

    wanted = laspy.DecompressionSelection
    chosen = wanted.base() | wanted.Z | wanted.CLASSIFICATION | wanted.FLAGS
    if "intensity" in columns:
        chosen |= wanted.INTENSITY
    if {"red", "green", "blue"} & set(columns):
        chosen |= wanted.RGB
    if "nir" in columns:
        chosen |= wanted.NIR
    if "point_source_id" in columns:
        chosen |= wanted.POINT_SOURCE_ID
    if "gps_second" in columns:
        chosen |= wanted.GPS_TIME
    return chosen.to_lazrs()


def chunk_table(
    path: Path, stream: BinaryIO, size: int, start: int, laz: bytes, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first point and first byte of each LAZ chunk; raise InputError unless they fit count and size of the file."""
    import lazrs

    stream.seek(start)
    lead = stream.read(8)
    where = struct.unpack("<q", lead)[0] if len(lead) == 8 else size
    if where == -1 and size >= start + 16:  # a writer that could not seek back leaves the position at the very end
        stream.seek(size - 8)
        where = struct.unpack("<q", stream.read(8))[0]
    if not start + 8 <= where <= size - 8:
        raise InputError(
            f"'{path}' is {size:,} bytes long but the table of its chunks is said to lie at byte {where:,}. "
            f"It is truncated, or was never finished: its header promises {count:,} points. Fetch it again."
        )
    try:
        description = lazrs.LazVlr(laz)
        stream.seek(start)
        rows = lazrs.read_chunk_table(stream, description)
    except BaseException as error:
        if not _is_lazrs(error):
            raise
        raise InputError(f"'{path}' cannot be decompressed ({first_line(error)}). It is damaged; fetch it again.") from error
    counts, sizes = (np.array(v, np.int64) for v in zip(*rows, strict=True)) if rows else (np.zeros(0, np.int64),) * 2
    byte = start + 8 + np.concatenate([[0], np.cumsum(sizes)])
    if description.uses_variable_size_chunks():
        held = int(counts.sum())
        if held != count:
            raise too_few_points(path, held, count)
    else:
        chunk = description.chunk_size()
        if -(-count // chunk) != len(rows):
            raise too_few_points(path, len(rows) * chunk, count, "at most " if count > len(rows) * chunk else "more than ")
        counts[-1:] = count - chunk * (len(rows) - 1)
    if byte[-1] > where:
        raise InputError(f"'{path}' has a damaged table of chunks: they end at byte {byte[-1]:,}, it begins at {where:,}.")
    return np.concatenate([[0], np.cumsum(counts)]), byte


def too_few_points(path: Path, held: int, promised: int, bound: str = "") -> InputError:
    """Return the error about a file whose number of points is not what its header promises."""
    return InputError(
        f"'{path}' holds {bound}{held:,} points but its header promises {promised:,}. "
        "The file is truncated or was not finished; fetch it again."
    )


def _is_lazrs(error: BaseException) -> bool:
    """Tell whether lazrs gave up on the data: its own error, or a panic, which is no Exception."""
    import lazrs

    return isinstance(error, lazrs.LazrsError) or type(error).__name__ == "PanicException"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without a full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
