"""Headers of LAS, LAZ and COPC files: what they promise, checked against the file before a point is read."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import InputError
from felsina.engine.io.crs import Reference, Stated, parse_geokeys, parse_wkt, reference
from felsina.engine.io.las_records import chunk_table, first_line, too_few_points

CHUNK = 50_000  # points; the chunk of nearly every LAZ file, and of stripes of uncompressed files


@dataclass(frozen=True, eq=False)
class PointFile:
    """What the header of a file promises, checked against the file.

    Attributes
    ----------
    path, count : the file and its number of points
    point_format, point_bytes, point_offset : LAS point format, bytes of a point, first byte of the points
    scale, offset : (3,) of the file's integers, in its own units
    bounds : (west, south, east, north) [m] in `crs`, outer: a grid that covers them holds every point. None without points.
    heights : (lowest, highest) [m]; None without points
    crs : horizontal CRS in metres, a code or WKT; "" until the city's CRS is known (`read_header`)
    horizontal, vertical : metres per unit of x, y and z
    notes : what was converted, assumed or found odd
    laz : record of the compression, b"" for LAS
    chunk_first, chunk_byte : (n_chunk + 1,) int64 number of the first point and first byte of each chunk
    """

    path: Path
    count: int
    point_format: int
    point_bytes: int
    point_offset: int
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    stated_bounds: tuple[float, float, float, float, float, float]
    laz: bytes
    chunk_first: NDArray[np.int64]
    chunk_byte: NDArray[np.int64]
    bounds: tuple[float, float, float, float] | None = None
    heights: tuple[float, float] | None = None
    crs: str = ""
    horizontal: Fraction = Fraction(1)
    vertical: Fraction = Fraction(1)
    notes: tuple[str, ...] = ()


def scan_headers(files: Sequence[Path | str], crs: str | None) -> list[PointFile]:
    """Read and check the headers of all files, and bring their CRS and units together. For one rank; broadcast the answer.

    Parameters
    ----------
    files : paths of LAS, LAZ or COPC files
    crs : CRS of the city file; None when it has none

    Raises
    ------
    InputError
        For a file that is no LAS, damaged or shorter than its header promises, and for a CRS that is missing, contradicts the
        city's or another file's, or cannot be that of the coordinates.
    """
    known: list[PointFile] = []
    for path in files:
        file, stated = read_header(Path(path))
        west, south, _, east, north, _ = file.stated_bounds
        flat = (west, south, east, north) if file.count else None
        ours = reference(file.path, stated, crs, flat)
        if known and crs is None and ours.crs != known[0].crs:
            ours = _as_first(file, ours, known[0], stated)
        known.append(_placed(file, ours))
    if known and not any(f.count for f in known):
        raise InputError(f"'{known[0].path}'{' and the other files hold' if len(known) > 1 else ' holds'} no points at all.")
    return known


def read_header(path: Path) -> tuple[PointFile, Stated]:
    """Read the header of one file and check it against the size of the file; return it with what it says of its CRS."""
    import laspy

    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if stream.read(4) != b"LASF":
                raise InputError(f"'{path}' is no LAS or LAZ file: it does not start with 'LASF'.")
            stream.seek(0)
            try:
                header = laspy.LasHeader.read_from(stream, read_evlrs=True)
            except Exception as error:
                raise InputError(f"'{path}' has a header that cannot be read ({first_line(error)}); fetch it again.") from error
            return _checked(path, stream, size, header), _stated(header)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error


def exact_decimal(value: float) -> Fraction:
    """Return the decimal that a header number stands for: 0.01 and not its binary neighbour; rounding noise is taken off."""
    short = Fraction(f"{value:.12g}")
    return short if abs(value - float(short)) <= 2 * math.ulp(value) else Fraction(repr(value))


def whole_millimetres(value: float, unit: Fraction) -> int:
    """Return a header number in units of `unit` [m] as the nearest millimetre, halves up, as points are rounded."""
    return math.floor(1000 * unit * exact_decimal(value) + Fraction(1, 2))


def _checked(path: Path, stream: BinaryIO, size: int, header: Any) -> PointFile:
    count, start, form = int(header.point_count), int(header.offset_to_point_data), header.point_format
    scale, offset = tuple(map(float, header.scales)), tuple(map(float, header.offsets))
    numbers = (*scale, *offset, *header.mins, *header.maxs) if count else (*scale, *offset)
    if not all(map(math.isfinite, numbers)) or (count and (0.0 in scale or any(header.mins > header.maxs))):
        raise InputError(f"'{path}' has a damaged header: scale, offset or bounds are no usable numbers. Fetch it again.")
    if size < start:
        raise InputError(
            f"'{path}' ends at byte {size:,}, before its points begin at {start:,}. It is truncated; fetch it again."
        )
    laz = b""
    if header.are_points_compressed and count:
        records = header.vlrs.get("LasZipVlr")
        if not records:
            raise InputError(f"'{path}' is compressed but lacks the LASzip record. It is damaged; fetch it again.")
        laz = bytes(records[0].record_data)
        first, byte = chunk_table(path, stream, size, start, laz, count)
    else:
        held = (size - start) // form.size
        if held < count:
            raise too_few_points(path, held, count)
        first = np.minimum(np.arange(-(-count // CHUNK) + 1, dtype=np.int64) * CHUNK, count)
        byte = start + first * form.size
    notes = [] if count else ["holds no points."]
    by_return = int(np.sum(header.number_of_points_by_return))
    if by_return > count:
        notes.append(f"counts {by_return:,} points by return but {count:,} in all.")
    if any(v.user_id == "copc" for v in header.vlrs):
        notes.append("is COPC; read in the order of the file, its index unused.")
    west, south, low = map(float, header.mins)
    east, north, high = map(float, header.maxs)
    box = (west, south, low, east, north, high)
    return PointFile(path, count, form.id, form.size, start, scale, offset, box, laz, first, byte, notes=tuple(notes))  # type: ignore[arg-type]


def _stated(header: Any) -> Stated:
    """Return CRS and units of the header: WKT first, GeoTIFF keys for what it does not say."""
    records = [v for v in (*header.vlrs, *(header.evlrs or ())) if v.user_id == "LASF_Projection"]
    wkt = next((parse_wkt(v.string) for v in records if v.record_id == 2112 and hasattr(v, "string")), None)
    keys: dict[int, int] = {}
    for record in records:
        if record.record_id == 34735 and hasattr(record, "geo_keys"):
            keys = {int(k.id): int(k.value_offset) for k in record.geo_keys if k.tiff_tag_location == 0}
    by_keys = parse_geokeys(keys) if keys else Stated()
    return Stated(wkt if wkt is not None else by_keys.crs, by_keys.horizontal, by_keys.vertical)


def _as_first(file: PointFile, ours: Reference, first: PointFile, stated: Stated) -> Reference:
    """Return the reference of a file in the CRS of the first file, which says the same in other words or contradicts it."""
    west, south, _, east, north, _ = file.stated_bounds
    box = (west, south, east, north) if file.count else None
    agreed = reference(file.path, stated, first.crs, box, key=f"the CRS of '{first.path}'")
    return replace(agreed, notes=ours.notes)


def _placed(file: PointFile, ours: Reference) -> PointFile:
    file = replace(file, crs=ours.crs, horizontal=ours.horizontal, vertical=ours.vertical, notes=(*file.notes, *ours.notes))
    if file.count == 0:
        return file
    west, south, low, east, north, high = (
        whole_millimetres(v, u)
        for v, u in zip(file.stated_bounds, (ours.horizontal, ours.horizontal, ours.vertical) * 2, strict=True)
    )
    # East and south edges belong to the next cell, so a point on them needs one millimetre more.
    return replace(
        file,
        bounds=(west / 1000, (south - 1) / 1000, (east + 1) / 1000, north / 1000),
        heights=(low / 1000, high / 1000),
    )
