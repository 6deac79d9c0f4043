"""GeoTIFF rasters in: elevations, land cover and images on a north-up grid of square cells. Without GDAL."""

from __future__ import annotations

import logging
import math
import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import InputError
from felsina.engine.io.crs import METRE, Stated, parse_geokeys, reference, short_geokeys, units

# TIFF tags (GeoTIFF 1.1, OGC 19-008r4; 42113 is GDAL's)
_PIXEL_SCALE, _TIEPOINTS, _TRANSFORMATION, _KEY_DIRECTORY, _NODATA = 33550, 33922, 34264, 34735, 42113
_RASTER_TYPE, _PIXEL_IS_POINT = 1025, 2

SQUARE = 1e-6  # largest relative difference of pixel width and height, and of a rotation: rounding of a writer, not a shape
_GDALWARP = "Make a north-up raster of square pixels with gdalwarp -tr R R."


@dataclass(frozen=True, eq=False)
class Raster:
    """A raster on a north-up grid.

    Attributes
    ----------
    values : (ny, nx), or (n_band, ny, nx) when the file has several bands
        Row 0 is north. float64 where the file has float64 or wide integers, else float32; NaN where there is no data.
    west, north : outer edges of column 0 and row 0 [m]
    resolution : cell size [m]
    crs : horizontal CRS in metres; None when neither the file nor the caller has one
    notes : what was assumed
    """

    values: NDArray[Any]
    west: float
    north: float
    resolution: float
    crs: str | None
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.values.shape[-2], self.values.shape[-1]


def read_raster(path: Path | str, crs: str | None = None) -> Raster:
    """Read a GeoTIFF whole.

    Parameters
    ----------
    path : the file
    crs : CRS of the city, when it has one; used where the file has none that can be read, and compared where it has

    Raises
    ------
    InputError
        When the file is no GeoTIFF, is cut short, is rotated or has pixels that are not square, is not in metres, contradicts
        `crs`, or is compressed in a way that cannot be read.
    """
    import tifffile

    path = Path(path)
    # It reports a no-data value that the pixels cannot hold (there is then none), and zero-fills what it cannot find; both are
    # looked at here.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            _require_complete(path, page)
            west, north, width, height = _corner(path, page)
            stated = _stated(page)
            values = _pixels(path, page)
            nodata = _nodata(page)
    except (tifffile.TiffFileError, struct.error, IndexError) as error:  # not a TIFF, cut in its header, without a page
        raise InputError(f"'{path}' is no TIFF file that can be read ({str(error).rstrip('.')}).") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    if height < 0:  # rows run north: turn them
        values, north = values[..., ::-1, :], north - height * values.shape[-2]
        height = -height
    if not math.isclose(width, height, rel_tol=SQUARE):
        raise InputError(f"'{path}' has pixels of {width:g} by {height:g}, which are not square. {_GDALWARP}")
    bounds = (west, north - height * values.shape[-2], west + width * values.shape[-1], north)
    name, notes = _crs(path, stated, crs, bounds)
    return Raster(_without_nodata(values, nodata), west, north, _tidy(width), name, notes)


def _require_complete(path: Path, page: Any) -> None:
    """Raise InputError when strips or tiles lie beyond the end of the file; tifffile would fill some of them in silence."""
    size = path.stat().st_size
    pairs = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    end = max((o + n for o, n in pairs), default=0)
    if not pairs or end > size:
        raise InputError(f"'{path}' is {size:,} bytes long but its pixels need {end:,}. It is truncated; fetch it again.")


def _corner(path: Path, page: Any) -> tuple[float, float, float, float]:
    """Return west and north edge, pixel width and pixel height (positive where row 0 is north)."""
    tags = page.tags
    if _TRANSFORMATION in tags:
        m = [float(v) for v in tags[_TRANSFORMATION].value]
        width, skew_x, west, skew_y, minus_height, north = m[0], m[1], m[3], m[4], m[5], m[7]
        if max(abs(skew_x), abs(skew_y)) > SQUARE * max(abs(width), abs(minus_height)):
            raise InputError(f"'{path}' is rotated. {_GDALWARP}")
        height = -minus_height
    elif _PIXEL_SCALE in tags and _TIEPOINTS in tags:
        width, height = (float(v) for v in tags[_PIXEL_SCALE].value[:2])
        column, row, _, x, y, _ = (float(v) for v in tags[_TIEPOINTS].value[:6])
        west, north = x - column * width, y + row * height
    else:
        raise InputError(f"'{path}' is not placed on the ground: it has no GeoTIFF transformation. Make it a GeoTIFF.")
    if not all(map(math.isfinite, (west, north, width, height))) or width <= 0.0 or height == 0.0:
        raise InputError(f"'{path}' has a damaged placement: pixels of {width:g} by {height:g}.")
    if _geokeys(page).get(_RASTER_TYPE) == _PIXEL_IS_POINT:  # the tie point is the middle of a pixel
        west, north = west - 0.5 * width, north + 0.5 * height
    return west, north, width, height


def _geokeys(page: Any) -> dict[int, int]:
    return short_geokeys(page.tags[_KEY_DIRECTORY].value) if _KEY_DIRECTORY in page.tags else {}


def _stated(page: Any) -> Stated:
    return parse_geokeys(_geokeys(page))


def _crs(
    path: Path, stated: Stated, city: str | None, bounds: tuple[float, float, float, float]
) -> tuple[str | None, tuple[str, ...]]:
    """Return the CRS of a raster and notes; metres only, because a raster cannot be rescaled and stay on its grid."""
    unit = stated.horizontal or (units(stated.crs)[0] if stated.crs is not None and stated.crs.is_projected else METRE)
    if unit != METRE:
        raise InputError(f"'{path}' is in units of {float(unit):g} m. Bring it to a CRS in metres with gdalwarp -t_srs.")
    if stated.crs is None and city is None:
        return None, ("carries no CRS that can be read.",)
    agreed = reference(path, stated, city, bounds, reproject="gdalwarp")
    if agreed.horizontal != Fraction(1):
        raise InputError(f"'{path}' would have to be read in feet, the unit of [city] crs. Choose a CRS in metres.")
    notes = agreed.notes if stated.crs is not None else ("carries no CRS that can be read; taken to be in that of the city.",)
    return agreed.crs, notes


def _pixels(path: Path, page: Any) -> NDArray[Any]:
    """Return (ny, nx) or (n_band, ny, nx)."""
    try:
        values = np.asarray(page.asarray())
    except (ValueError, RuntimeError, IndexError, ImportError, zlib.error) as error:
        hint = " Install imagecodecs, or rewrite it with gdal_translate -co COMPRESS=DEFLATE -co PREDICTOR=1."
        hint = hint if "imagecodecs" in str(error) else " It is damaged; fetch it again."
        raise InputError(f"'{path}' has pixels that cannot be decoded ({str(error).rstrip('.')}).{hint}") from error
    if values.dtype.kind not in "iuf" or page.ndim > 3:
        raise InputError(f"'{path}' holds {values.dtype} values in {page.ndim} dimensions; expected numbers on a plane.")
    if values.ndim == 3 and page.axes.endswith("S"):
        values = np.moveaxis(values, -1, 0)
    return values


def _nodata(page: Any) -> float | None:
    """Return the value of void pixels; GDAL writes it as text."""
    if _NODATA not in page.tags:
        return None
    text = str(page.tags[_NODATA].value).strip("\0 ")
    try:
        return float(text)
    except ValueError:
        return None


def _without_nodata(values: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """Return floats, native byte order, NaN where there is no data."""
    wide = values.dtype.itemsize > (4 if values.dtype.kind == "f" else 2)
    out = np.array(values, np.float64 if wide else np.float32, order="C")
    if nodata is not None and not math.isnan(nodata):
        # The text has more or fewer digits than the pixels: compare in the type of the pixels.
        with np.errstate(over="ignore"):
            void = values == (np.asarray(nodata).astype(values.dtype) if values.dtype.kind == "f" else nodata)
        out[void] = np.nan
    return out


def _tidy(width: float) -> float:
    """Return 0.2 for 0.19999999999963: a resolution computed from bounds, to a millionth of itself."""
    short = float(f"{width:.6g}")
    return short if math.isclose(short, width, rel_tol=1e-9) else width
