"""Orthophotos in: GeoTIFF images of any CRS, pixel size and depth, of which parts are read. Without GDAL.

An image is opened for its header alone; `read_part` then decodes the strips or tiles that a window touches. Where its pixels
lie in the grid of the city is said by lattices of nodes (`kernels.imagery.resample`), transformed by PROJ where the CRS differ.
"""

from __future__ import annotations

import csv
import logging
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import InputError
from felsina.engine.grid import Grid
from felsina.engine.io.crs import crs_text, horizontal, label, parse_crs, same_place
from felsina.engine.io.raster import _corner, _nodata, _require_complete, _stated
from felsina.kernels.imagery.resample import STEP

BANDS = ("blue", "green", "red", "nir")
# Order of the bands in a file, by kind of image.
ORDERS = {"rgbn": ("red", "green", "blue", "nir"), "cir": ("nir", "red", "green"), "rgb": ("red", "green", "blue")}
_ALPHA = (1, 2)  # TIFF ExtraSamples: associated and unassociated alpha
_MASK = 4  # TIFF NewSubfileType
_FLOAT_UNITS = 1_000_000  # units that 1 of a floating-point pixel counts
_MARGIN = 3  # pixels around the window that a part of the grid is looked for in

Span = tuple[int, int]
Places = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Image:
    """An opened image.

    Attributes
    ----------
    path : the file
    kind : of `ORDERS`
    shape : (ny, nx) pixels
    west, north : outer corner of pixel (0, 0) [units of its CRS]
    width, height : of a pixel; height is negative where row 0 is south
    crs : horizontal CRS
    dtype : of the pixels
    nodata : value that marks void pixels in every band, None where there is none
    alpha : band that is 0 in void pixels, None where there is none
    mask : page that is 0 in void pixels, None where there is none
    notes : what was assumed
    """

    path: Path
    kind: str
    shape: tuple[int, int]
    west: float
    north: float
    width: float
    height: float
    crs: str
    dtype: np.dtype[Any]
    nodata: float | None
    alpha: int | None
    mask: int | None
    notes: tuple[str, ...] = ()

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that are read, in their order."""
        return ORDERS[self.kind]

    @property
    def scale(self) -> float:
        """Whole units that 1 of a pixel counts."""
        return 1.0 if self.dtype.kind in "iu" else float(_FLOAT_UNITS)


def open_image(path: Path, kind: str, crs: str) -> Image:
    """Read the header of an image.

    Parameters
    ----------
    path : GeoTIFF
    kind : order of its bands: "rgb", "cir" (near infrared, red, green) or "rgbn"
    crs : CRS of the city, taken where the file states none that can be read

    Raises
    ------
    InputError
        When the file is no GeoTIFF, is cut short, is rotated, has too few bands, or holds no real numbers.
    """
    import tifffile

    path = Path(path)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages.first
            _require_complete(path, page)
            west, north, width, height = _corner(path, page)
            stated, nodata = _stated(page).crs, _nodata(page)
            n_band, extra = int(page.samplesperpixel), tuple(int(e) for e in page.extrasamples)
            shape, dtype, depth = (int(page.imagelength), int(page.imagewidth)), page.dtype, page.imagedepth
            mask = next((k for k, p in enumerate(file.pages) if k and _is_mask(p, shape)), None)
    except (tifffile.TiffFileError, struct.error, IndexError) as error:
        raise InputError(f"'{path}' is no TIFF file that can be read ({str(error).rstrip('.')}).") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    wanted = ORDERS[kind]
    if n_band < len(wanted):
        raise InputError(
            f"'{path}' has {n_band} band{'s' * (n_band > 1)}, but [imagery] {kind} expects {len(wanted)}: {', '.join(wanted)}. "
            f"Name it under another of {', '.join(ORDERS)}, or add the missing bands."
        )
    if dtype is None or dtype.kind not in "iuf" or depth != 1:
        raise InputError(f"'{path}' holds {dtype} values in {depth} layers; expected numbers on a plane.")
    alpha = n_band - 1 if n_band > len(wanted) and extra and extra[-1] in _ALPHA else None
    notes = []
    if stated is None:
        notes.append(f"'{path.name}' carries no CRS that can be read; taken to be in that of the city.")
    chosen = crs if stated is None else crs_text(horizontal(stated))
    return Image(path, kind, shape, west, north, width, height, chosen, dtype, nodata, alpha, mask, tuple(notes))


def _is_mask(page: Any, shape: tuple[int, int]) -> bool:
    return bool(int(getattr(page, "subfiletype", 0)) & _MASK) and (page.imagelength, page.imagewidth) == shape


class Placement:
    """Where an image lies in a grid.

    Attributes
    ----------
    is_coarse : its pixels are so wide that a cell may hold the middle of none
    note : how it was brought to the CRS of the city; empty where that is its own
    """

    def __init__(self, image: Image, grid: Grid) -> None:
        from pyproj import Transformer

        self.image, self.grid = image, grid
        here, there = parse_crs(image.crs, f"The CRS of '{image.path}'"), parse_crs(grid.crs, "The CRS of the city")
        bounds = (grid.west, grid.north - grid.ny * grid.resolution, grid.west + grid.nx * grid.resolution, grid.north)
        is_same = here.is_projected and same_place(here, there, bounds)
        self._to_grid = None if is_same else Transformer.from_crs(here, there, always_xy=True)
        self._to_image = None if is_same else Transformer.from_crs(there, here, always_xy=True)
        self.note = "" if is_same else f"'{image.path.name}' was brought from {label(here)} to {label(there)}."
        # A square holds a node of every square lattice that is at most its side over the square root of two wide.
        self.is_coarse = self._pixel_m() > grid.resolution * (1.0 + 1e-9 if is_same else math.sqrt(0.5))

    def _pixel_m(self) -> float:
        """Return the longer side of a pixel in the middle of the image [m]."""
        j, i = (n // 2 for n in self.image.shape)
        x, y = self._in_grid(np.array([i, i + 1, i], float), np.array([j, j, j + 1], float))
        return float(max(math.hypot(x[k] - x[0], y[k] - y[0]) for k in (1, 2)))

    def _in_grid(self, column: Places, row: Places) -> tuple[Places, Places]:
        """Return east and south of the grid's corner [m] of places in the image [pixels]."""
        im = self.image
        x, y = im.west + column * im.width, im.north - row * im.height
        if self._to_grid is not None:
            x, y = self._to_grid.transform(x, y)
        return np.asarray(x) - self.grid.west, self.grid.north - np.asarray(y)

    def _in_image(self, east: Places, south: Places) -> tuple[Places, Places]:
        """Return column and row in the image [pixels] of places in the grid [m]."""
        im = self.image
        x, y = self.grid.west + east, self.grid.north - south
        if self._to_image is not None:
            x, y = self._to_image.transform(x, y)
        return (np.asarray(x) - im.west) / im.width, (im.north - np.asarray(y)) / im.height

    def window(self, first: int, last: int) -> tuple[Span, Span] | None:
        """Return the rows and columns of pixels that rows [first, last) of the grid may need; None where there are none.

        The first row and column are multiples of `STEP`.
        """
        column, row = self.cell_nodes(first, last)
        known = np.isfinite(column) & np.isfinite(row)
        if not known.any():
            return None
        ny, nx = self.image.shape
        j0, j1 = max(0, math.floor(row[known].min()) - _MARGIN), min(ny, math.ceil(row[known].max()) + _MARGIN)
        i0, i1 = max(0, math.floor(column[known].min()) - _MARGIN), min(nx, math.ceil(column[known].max()) + _MARGIN)
        return ((j0 // STEP * STEP, j1), (i0 // STEP * STEP, i1)) if j0 < j1 and i0 < i1 else None

    def cell_nodes(self, first: int, last: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return column and row in the image of the corners of every `STEP`th cell; `first` is a multiple of `STEP`."""
        size = self.grid.resolution
        south, east = np.meshgrid(_nodes(first, last) * size, _nodes(0, self.grid.nx) * size, indexing="ij")
        return self._in_image(east, south)

    def pixel_nodes(self, rows: Span, columns: Span) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return east and south in the grid [m] of the corners of every `STEP`th pixel of a window."""
        row, column = np.meshgrid(_nodes(*rows), _nodes(*columns), indexing="ij")
        return self._in_grid(column, row)


def _nodes(first: int, last: int) -> NDArray[np.float64]:
    return np.arange(first, last + STEP, STEP, dtype=np.float64)


def read_part(image: Image, rows: Span, columns: Span) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Decode a window of an image.

    Returns
    -------
    pixels : (n_band, rows, columns) in the type of the file, bands in the order of `image.bands`
    is_valid : (rows, columns) bool
        False where all bands have the value of void pixels, one is not a number, alpha or mask is 0, or the file has no data.
    """
    import tifffile

    (j0, j1), (i0, i1) = rows, columns
    wanted = [*range(len(image.bands)), *([] if image.alpha is None else [image.alpha])]
    pixels = np.zeros((len(wanted), j1 - j0, i1 - i0), image.dtype)
    is_valid = np.zeros((j1 - j0, i1 - i0), np.bool_)
    try:
        with tifffile.TiffFile(image.path) as file:
            _fill(file.pages.first, wanted, (rows, columns), pixels, is_valid)
            if image.mask is not None:
                shown = np.zeros((1, *is_valid.shape), np.uint8)
                _fill(file.pages[image.mask], [0], (rows, columns), shown, np.zeros_like(is_valid))
                is_valid &= shown[0] != 0
    except (ValueError, RuntimeError, IndexError, ImportError, zlib.error, OSError) as error:
        hint = " Install imagecodecs, or rewrite it with gdal_translate -co COMPRESS=DEFLATE."
        hint = hint if "imagecodecs" in str(error) else " It is damaged; fetch it again."
        raise InputError(f"'{image.path}' has pixels that cannot be decoded ({str(error).rstrip('.')}).{hint}") from error
    bands = pixels[: len(image.bands)]
    if image.alpha is not None:
        is_valid &= pixels[-1] != 0
    if image.nodata is not None and not math.isnan(image.nodata):
        with np.errstate(over="ignore", invalid="ignore"):
            void = np.asarray(image.nodata).astype(image.dtype) if image.dtype.kind == "f" else image.nodata
            is_valid &= ~(bands == void).all(axis=0)
    if image.dtype.kind == "f":
        is_valid &= np.isfinite(bands).all(axis=0)
    return bands, is_valid


def _fill(page: Any, wanted: list[int], window: tuple[Span, Span], pixels: NDArray[Any], is_valid: NDArray[np.bool_]) -> None:
    """Decode the segments that a window touches into (n_wanted, rows, columns); mark what the file holds."""
    (j0, j1), (i0, i1) = window
    for first, last, index in _segments(page, window):
        held = page.parent.filehandle
        if not page.databytecounts[index]:
            continue  # GDAL leaves out tiles without data
        held.seek(page.dataoffsets[index])
        raw = held.read(page.databytecounts[index])
        tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if page.jpegtables is not None else {}
        segment, place, _ = page.decode(raw, index, **tables)
        if segment is None:
            continue
        plane, _, top, left, _ = place
        values = np.moveaxis(segment[0], -1, 0)
        b0, b1 = max(top, j0), min(top + values.shape[1], j1)
        a0, a1 = max(left, i0), min(left + values.shape[2], i1)
        if b0 >= b1 or a0 >= a1:
            continue
        part = values[:, b0 - top : b1 - top, a0 - left : a1 - left]
        target = np.s_[b0 - j0 : b1 - j0, a0 - i0 : a1 - i0]
        for k, band in enumerate(wanted):
            if first <= band < last:
                pixels[k][target] = part[band - plane]
        if first == 0:
            is_valid[target] = True


def _segments(page: Any, window: tuple[Span, Span]) -> Iterator[tuple[int, int, int]]:
    """Yield the first and last band and the number of the segments (strips or tiles) that a window touches."""
    width = page.tilewidth if page.is_tiled else page.imagewidth
    length = page.tilelength if page.is_tiled else page.rowsperstrip
    across, down = -(-page.imagewidth // width), -(-page.imagelength // length)
    separate = page.planarconfig == 2 and page.samplesperpixel > 1
    for plane in range(page.samplesperpixel if separate else 1):
        bands = (plane, plane + 1) if separate else (0, page.samplesperpixel)
        for j in range(window[0][0] // length, min(down, -(-window[0][1] // length))):
            for i in range(window[1][0] // width, min(across, -(-window[1][1] // width))):
                yield *bands, (plane * down + j) * across + i


@dataclass(frozen=True)
class Target:
    """A surface of known reflectance: place and radius [m], reflectance by band [1] where known."""

    x: float
    y: float
    radius: float
    reflectance: dict[str, float]


def read_targets(path: Path) -> list[Target]:
    """Read reference targets: a CSV with the columns x, y, radius_m [m in the CRS of the city] and blue, green, red, nir [1].

    Raises
    ------
    InputError
        For a missing column, a text that is no number, or a reflectance outside 0 to 1.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            table = csv.DictReader(line for line in stream if not line.startswith("#"))
            rows, names = list(table), table.fieldnames or []
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    missing = [name for name in ("x", "y", "radius_m") if name not in names]
    if missing or not rows:
        raise InputError(f"'{path}' has no {' or '.join(missing) or 'rows'}; expected x, y, radius_m and {', '.join(BANDS)}.")
    targets = []
    for number, row in enumerate(rows, 1):
        try:
            known = {band: float(row[band]) for band in BANDS if (row.get(band) or "").strip()}
            target = Target(float(row["x"]), float(row["y"]), float(row["radius_m"]), known)
        except ValueError as error:
            raise InputError(f"'{path}', row {number}: {error}. Write numbers with a decimal point.") from error
        if not all(0.0 <= value <= 1.0 for value in known.values()) or not target.radius > 0.0:
            raise InputError(f"'{path}', row {number}: reflectances lie between 0 and 1, and radius_m above 0.")
        targets.append(target)
    return targets


def write_image(path: Path, pixels: NDArray[Any], west: float, north: float, resolution: float, crs: str) -> None:
    """Write (n_band, ny, nx) pixels as a tiled, deflated GeoTIFF; the same values give the same bytes.

    Parameters
    ----------
    west, north : outer corner of pixel (0, 0) [m]
    resolution : pixel size [m]
    crs : projected CRS with an EPSG code
    """
    import tifffile

    code = parse_crs(crs, "The CRS").to_epsg()
    if code is None:
        raise InputError(f"'{crs}' has no EPSG code, which a GeoTIFF needs.")
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, code)
    tags = [
        (33550, 12, 3, (resolution, resolution, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, west, north, 0.0), True),
        (34735, 3, len(keys), keys, True),
    ]
    spare = len(pixels) - (3 if len(pixels) >= 3 else 1)
    tifffile.imwrite(
        path, np.ascontiguousarray(np.moveaxis(pixels, 0, -1)), photometric="rgb" if len(pixels) >= 3 else "minisblack",
        planarconfig="contig" if len(pixels) > 1 else None, extrasamples=["unspecified"] * spare, tile=(256, 256),
        compression="zlib", predictor=pixels.dtype.kind in "iu", extratags=tags, metadata=None, software="felsina",
    )  # fmt: skip
