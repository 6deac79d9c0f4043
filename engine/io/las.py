"""Points of LAS, LAZ and COPC files as whole millimetres in the frame of a grid, and new classes written back.

A COPC file is a LAZ file whose order serves viewers; it is read in that order, as any other.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import InputError, MachineError
from felsina.engine.io.las_header import PointFile, exact_decimal, read_header, scan_headers, whole_millimetres
from felsina.engine.io.las_records import LEGACY_FORMATS, record_groups
from felsina.engine.tables import read_table

__all__ = ["OPTIONAL_COLUMNS", "PointFile", "Points", "read_chunks", "read_header", "scan_headers", "write_classes"]

LOW_NOISE = 7  # ASPRS class; what the class table drops has it
GPS_SECOND = "gps_second"  # whole seconds of GPS time modulo 2**16: tells flight strips apart where nothing else does
OPTIONAL_COLUMNS = ("intensity", "red", "green", "blue", "nir", "point_source_id", GPS_SECOND)
BOUNDS_TOLERANCE = 10  # mm; headers are often written with fewer digits than points
_MAX_MM = 2**31 - 1
_OVERLAP, _DROP = "overlap", "drop"


@dataclass(eq=False)
class Points:
    """Points in the frame of a grid; every column is (n,).

    Attributes
    ----------
    x, y : int32 east of the west edge and south of the north edge of the grid [mm]
    z : int32 [mm]
    classification : uint8, in the classes of `las_classes.csv`
    return_number, number_of_returns : uint8
    number : int64 position of the point among all points of all files
    extra : optional columns by name, uint16
    dropped : how many points were left out, by reason; "overlap" counts points that were kept
    """

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    z: NDArray[np.int32]
    classification: NDArray[np.uint8]
    return_number: NDArray[np.uint8]
    number_of_returns: NDArray[np.uint8]
    number: NDArray[np.int64]
    extra: dict[str, NDArray[np.uint16]] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=lambda: {"noise": 0, "withheld": 0, "overlap": 0})

    @classmethod
    def empty(cls, n: int = 0, columns: Sequence[str] = ()) -> Points:
        """Return `n` points yet to be filled."""
        i4, u1 = (lambda: np.zeros(n, np.int32)), (lambda: np.zeros(n, np.uint8))
        extra = {name: np.zeros(n, np.uint16) for name in columns}
        return cls(i4(), i4(), i4(), u1(), u1(), u1(), np.zeros(n, np.int64), extra)

    def __len__(self) -> int:
        return len(self.x)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return all columns by name."""
        names = ("x", "y", "z", "classification", "return_number", "number_of_returns", "number")
        return {name: getattr(self, name) for name in names} | self.extra

    def take(self, chosen: NDArray[Any]) -> Points:
        """Return the points that a mask or an index array chooses; the counts of what was dropped stay."""
        columns = {name: values[chosen] for name, values in self.columns().items()}
        extra = {name: columns.pop(name) for name in self.extra}
        return Points(**columns, extra=extra, dropped=dict(self.dropped))


def read_chunks(
    file: PointFile,
    first: int,
    count: int,
    origin: tuple[float, float],
    chunk: int = 1_000_000,
    columns: Sequence[str] = (),
    keep_all: bool = False,
    first_number: int = 0,
    threads: int = 1,
) -> Iterator[Points]:
    """Read points [first, first + count) of a file as whole millimetres in the frame of a grid.

    mm = floor(1000 u (i s + o) + 1/2), with the file's integer i, scale s and offset o taken as the decimals they stand for and
    the unit u [m]; in integers wherever 64 bits hold it, so one coordinate gives the same millimetre in every file.

    Parameters
    ----------
    origin : (west, north) edges of the grid [m], whole millimetres
    chunk : about how many points to hold at a time; whole LAZ chunks, at least one
    columns : optional columns wanted, of `OPTIONAL_COLUMNS`; zero where the file has none
    keep_all : keep noise and withheld points, and the classes as they are in the file
    first_number : number of the file's first point among all files
    threads : threads that decompress; with several, lazrs uses RAYON_NUM_THREADS of them, or all cores

    Raises
    ------
    InputError
        When the file gives fewer points than its header promises, cannot be decompressed, or has points outside its bounds.
    """
    if file.count == 0 or count == 0:
        return
    frame = _Frame.of(file, origin)
    table = _class_table(file.point_format < LEGACY_FORMATS)
    for start, blocks, n in record_groups(file, first, count, chunk, columns, threads):
        points = Points.empty(n, columns)
        withheld, overlap = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        at = 0
        for records in blocks:
            part = slice(at, at + len(records))
            frame.place(records, points, part)
            _attributes(file, records, points, part, withheld[part], overlap[part])
            at = part.stop
        points.number[:] = np.arange(first_number + start, first_number + start + n)
        if not keep_all:
            points = _cleaned(points, withheld, overlap, *table)
        yield points


def write_classes(in_path: Path, out_path: Path, classification: NDArray[np.uint8]) -> None:
    """Write a copy of a file with other classes: same order, all other dimensions, header and variable-length records kept.

    The file appears at `out_path` complete or not at all. The index of a COPC file is left out: it describes the old chunks.

    Parameters
    ----------
    classification : (n,) uint8
        One class for every point of the file, in its order; at most 31 in point formats 0 to 5.
    """
    import laspy

    file, _ = read_header(Path(in_path))
    if len(classification) != file.count:
        raise InputError(f"'{in_path}' holds {file.count:,} points but {len(classification):,} classes were given.")
    legacy = file.point_format < LEGACY_FORMATS
    if legacy and file.count and int(classification.max()) > 31:
        raise InputError(f"'{in_path}' has point format {file.point_format}, which holds classes up to 31 only.")
    with open(in_path, "rb") as stream:
        header = laspy.LasHeader.read_from(stream, read_evlrs=True)
    records_kept = [v for v in header.vlrs if v.user_id not in ("copc", "laszip encoded")]
    header.vlrs = type(header.vlrs)(records_kept)
    evlrs = None if header.evlrs is None else [v for v in header.evlrs if v.user_id != "copc"]
    header.evlrs = None
    part = Path(out_path).with_name(Path(out_path).name + ".part")
    try:
        with open(part, "w+b") as target:
            compress = Path(out_path).suffix.lower() == ".laz"
            writer = laspy.open(
                target, "w", header=header, do_compress=compress, closefd=False, laz_backend=laspy.LazBackend.Lazrs
            )
            with writer:
                for start, blocks, _ in record_groups(file, 0, file.count, 1_000_000, None, 1):
                    at = start
                    for records in blocks:
                        classes = classification[at : at + len(records)]
                        if legacy:
                            records["raw_classification"] = records["raw_classification"] & 0xE0 | classes
                        else:
                            records["classification"] = classes
                        at += len(records)
                        writer.write_points(
                            laspy.ScaleAwarePointRecord(records, header.point_format, header.scales, header.offsets)
                        )
                if evlrs:
                    writer.write_evlrs(type(header.vlrs)(evlrs))
            target.flush()
            os.fsync(target.fileno())
        os.replace(part, out_path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MachineError(f"'{out_path}' cannot be written: {error.strerror or error}.") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class _Axis:
    """mm = (raw a + b) // c, or floor(raw s + t) in floating point where 64 bits cannot hold the integers."""

    a: int
    b: int
    c: int
    float_scale: float
    float_offset: float
    float_factor: float
    origin: int
    exact: bool

    @classmethod
    def of(cls, scale: float, offset: float, unit: Fraction, origin_mm: int) -> _Axis:
        s, o = 1000 * unit * exact_decimal(scale), 1000 * unit * exact_decimal(offset) + Fraction(1, 2) - origin_mm
        c = math.lcm(s.denominator, o.denominator)
        a, b = int(s * c), int(o * c)
        if c == 2 and a % 2 == 0:  # whole millimetres: the half of the rounding never matters
            a, b, c = a // 2, b // 2, 1
        exact = 2**31 * abs(a) + abs(b) < 2**63
        return cls(a, b, c, scale, offset, float(1000 * unit), origin_mm, exact)

    def __call__(self, raw: NDArray[np.int32]) -> NDArray[np.int64]:
        if not self.exact:
            metres = np.asarray(raw, np.float64) * self.float_scale + self.float_offset
            return np.floor(metres * self.float_factor + 0.5).astype(np.int64) - self.origin
        out = np.multiply(raw, np.int64(self.a), dtype=np.int64)
        out += self.b
        if self.c != 1:
            np.floor_divide(out, self.c, out=out)
        return out


@dataclass(frozen=True)
class _Frame:
    """The change from a file's integers to millimetres in the frame of a grid."""

    file: PointFile
    axes: tuple[_Axis, _Axis, _Axis]
    limits: tuple[int, int, int, int]  # west, east, north, south of the header in the frame [mm]

    @classmethod
    def of(cls, file: PointFile, origin: tuple[float, float]) -> _Frame:
        corner = [round(v * 1000) for v in origin]
        if any(abs(v * 1000 - mm) > 1e-3 for v, mm in zip(origin, corner, strict=True)):
            raise ValueError(f"The origin {origin} is no whole number of millimetres.")
        flat, up = file.horizontal, file.vertical
        axes = (
            _Axis.of(file.scale[0], file.offset[0], flat, corner[0]),
            _Axis.of(file.scale[1], file.offset[1], flat, corner[1]),
            _Axis.of(file.scale[2], file.offset[2], up, 0),
        )
        west, south, _, east, north, _ = file.stated_bounds
        limits = (
            whole_millimetres(west, flat) - corner[0],
            whole_millimetres(east, flat) - corner[0],
            corner[1] - whole_millimetres(north, flat),
            corner[1] - whole_millimetres(south, flat),
        )
        if max(map(abs, limits)) + BOUNDS_TOLERANCE > _MAX_MM:
            raise InputError(
                f"'{file.path}' lies more than 2,147 km from the corner of the grid. Check its bounds and its CRS."
            )
        return cls(file, axes, limits)

    def place(self, records: NDArray[Any], points: Points, part: slice) -> None:
        """Fill x, y, z of a part of `points`."""
        x, y, z = (axis(records[name]) for axis, name in zip(self.axes, "XYZ", strict=True))
        np.negative(y, out=y)
        west, east, north, south = self.limits
        outside = max(west - int(x.min()), int(x.max()) - east, north - int(y.min()), int(y.max()) - south)
        if outside > BOUNDS_TOLERANCE:
            raise InputError(
                f"'{self.file.path}' has points {outside / 1000:,.2f} m outside the bounds in its header. The header is wrong "
                "or the points are damaged; rewrite the file from its source."
            )
        if max(-int(z.min()), int(z.max())) > _MAX_MM:
            raise InputError(f"'{self.file.path}' has heights beyond 2,147 km; its scale or offset of z is wrong.")
        points.x[part], points.y[part], points.z[part] = x, y, z


def _attributes(
    file: PointFile, records: NDArray[Any], points: Points, part: slice, withheld: NDArray[np.bool_], overlap: NDArray[np.bool_]
) -> None:
    """Unpack class, flags, returns and optional columns of a part of `points`."""
    bits = records["bit_fields"]
    if file.point_format < LEGACY_FORMATS:
        packed = records["raw_classification"]
        points.classification[part] = packed & 0x1F
        withheld[:] = packed >= 0x80
        points.return_number[part], points.number_of_returns[part] = bits & 0x07, bits >> 3 & 0x07
    else:
        flags = records["classification_flags"]
        points.classification[part] = records["classification"]
        withheld[:], overlap[:] = flags & 0x04, flags & 0x08
        points.return_number[part], points.number_of_returns[part] = bits & 0x0F, bits >> 4
    for name, values in points.extra.items():
        if name in (records.dtype.names or ()):
            values[part] = records[name]
        elif name == GPS_SECOND and "gps_time" in (records.dtype.names or ()):
            seconds = np.nan_to_num(np.floor(records["gps_time"]), nan=0.0, posinf=0.0, neginf=0.0)
            values[part] = np.mod(seconds, 65536.0).astype(np.uint16)


def _cleaned(
    points: Points,
    withheld: NDArray[np.bool_],
    overlap: NDArray[np.bool_],
    classes: NDArray[np.uint8],
    is_overlap: NDArray[np.bool_],
) -> Points:
    """Translate the classes, leave out noise and withheld points, and count what was found."""
    overlap |= is_overlap[points.classification]
    points.classification[:] = classes[points.classification]
    noise = points.classification == LOW_NOISE
    points.dropped = {
        "noise": int(np.count_nonzero(noise & ~withheld)),
        "withheld": int(np.count_nonzero(withheld)),
        "overlap": int(np.count_nonzero(overlap & ~noise & ~withheld)),
    }
    return points.take(~(noise | withheld)) if points.dropped["noise"] or points.dropped["withheld"] else points


@functools.cache
def _class_table(legacy: bool) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the class of felsina for each of 256 classes, and which of them mark overlap."""
    classes, overlap = np.arange(256, dtype=np.uint8), np.zeros(256, np.bool_)
    for row in read_table("las_classes.csv"):
        if row["point_formats"] in ("all", "0-5" if legacy else "6-10"):
            classes[int(row["class"])] = int(row["felsina_class"])
            overlap[int(row["class"])] = row["use"] == _OVERLAP
            if (row["use"] == _DROP) != (int(row["felsina_class"]) == LOW_NOISE):
                raise ValueError(f"las_classes.csv: class {row['class']} is dropped exactly when it becomes {LOW_NOISE}.")
    return classes, overlap
