"""Orthophotos on the grid of the city: reflectance, vegetation index, albedo, cover of the ground, and what roofs have of it.

Every rank reads the pixels over its rows. A cell has the mean of all pixels whose centre it holds, added up as whole numbers:
no number of ranks, order of files or cut of a mosaic changes a bit. Where pixels are wider than cells, a cell has the pixel
that holds its centre.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import InputError
from felsina.engine.grid import BLOCK, Grid
from felsina.engine.io.imagery import BANDS, ORDERS, Image, Placement, Target, read_part
from felsina.engine.io.las import PointFile, Points
from felsina.engine.parallel.world import Window, World
from felsina.engine.tables import read_table
from felsina.kernels.imagery.albedo import AlbedoCoefficients, broadband_albedo
from felsina.kernels.imagery.cover import GRASS, UNKNOWN, CoverRules, dark_cells, ground_cover
from felsina.kernels.imagery.ndvi import normalised_difference, summed_difference
from felsina.kernels.imagery.resample import add_pixels, pick_pixels, reflectance
from felsina.kernels.imagery.roofs import add_roof_cells, empty_roof_sums, roof_means
from felsina.kernels.pointcloud.raster import bin_sums

CHUNK = 4 * BLOCK  # rows of the grid read at a time: 13 MB of a square kilometre in pixels of 0.2 m
NIR_FORMATS = (8, 10)  # LAS point formats with near infrared
FULL_SCALES = (255, 1023, 4095, 16383, 65535)  # largest values of 8, 10, 12, 14 and 16 bits
ROOF_MIN_HEIGHT = 1.5  # m above ground, as in `processes.terrain`
OVERHANG = 1.0  # m; a return this far above a roof is a crown, a mast or a crane

# Fields of terrain.nc in the order of the parameters of `roof_sums`.
ROOF_FIELDS = (
    "building_index",
    "ground_elevation",
    "surface_elevation",
    "first_return_elevation",
    "surface_albedo",
    "ndvi",
)

NONE, DECLARED, TARGETS = "none", "declared", "targets"


@functools.cache
def _rules() -> dict[str, float]:
    return {row["name"]: float(row["value"]) for row in read_table("imagery_rules.csv")}


def albedo_coefficients() -> AlbedoCoefficients:
    """Return the shipped weights of bands in the albedo."""
    r = _rules()
    names = ("visible_blue", "visible_green", "visible_red", "albedo_visible", "albedo_nir", "albedo_nir_vegetated")
    return AlbedoCoefficients(*(r[name] for name in names))


def cover_rules() -> CoverRules:
    """Return the shipped thresholds of shadow and cover."""
    return CoverRules(**{name: _rules()[name] for name in CoverRules._fields})


@dataclass(frozen=True)
class Calibration:
    """How values of pixels become reflectances.

    Attributes
    ----------
    source : "declared" in the city file, from "targets", or "none": the largest value of the pixels is taken for 1
    gain, offset : by kind of image and band [1 per value of a pixel; 1]
    """

    source: str
    gain: Mapping[tuple[str, str], float]
    offset: Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class ImageRasters:
    """What images say of each cell, (ny, nx) shared; NaN, or 0 in `cover`, where they say nothing.

    Attributes
    ----------
    ndvi : float32 [1], None where no image has near infrared
    albedo : float32 broadband albedo [1]; NaN in shadow too, and on water
    cover : int8 UMEP code of the ground as seen from above
    calibration : of the images
    albedo_uncertainty : standard uncertainty of the albedo of a roof [1]
    notes : remarks for the record of the run
    """

    ndvi: NDArray[np.float32] | None
    albedo: NDArray[np.float32]
    cover: NDArray[np.int8]
    calibration: Calibration
    albedo_uncertainty: float
    notes: tuple[str, ...]

    def attributes(self) -> dict[str, str | float]:
        """Return what terrain.nc says of the images."""
        return {"imagery_calibration": self.calibration.source, "roof_albedo_standard_uncertainty": self.albedo_uncertainty}


@dataclass
class _Sums:
    """Sums of this rank's rows by kind of image; `highest` is of all ranks once merged."""

    values: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    count: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    unit: dict[str, float] = field(default_factory=dict)
    is_whole: dict[str, bool] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)


def image_rasters(
    world: World,
    grid: Grid,
    images: Sequence[Image],
    n_return: NDArray[np.int32],
    gain: Mapping[str, float],
    offset: Mapping[str, float],
    targets: Sequence[Target] = (),
) -> ImageRasters:
    """Bring images to the grid. Collective.

    Parameters
    ----------
    images : opened, the same on every rank
    n_return : (ny, nx) int32
        Returns in each cell; this rank's share of the rows at least.
    gain, offset : reflectance per value of a pixel [1], and at value 0, by band; no gain: uncalibrated
    targets : of known reflectance, in place of `gain`

    Raises
    ------
    InputError
        When no image touches the grid, a band has no gain, or the targets do not give a calibration.
    """
    mine = world.share_of(grid.ny, BLOCK)
    sums, notes = _add_images(world, grid, images, mine)
    kinds = [kind for kind in ORDERS if kind in sums.values]
    calibration = _calibrate(world, grid, mine, sums, gain, offset, targets)
    shape = (mine[1] - mine[0], grid.nx)
    bands: dict[str, NDArray[np.float32]] = {band: np.full(shape, np.nan, np.float32) for band in BANDS}
    for kind in kinds:  # a band comes from the first kind that has it: red and near infrared from one image where that can be
        for k, band in enumerate(ORDERS[kind]):
            key = kind, band
            found = reflectance(
                sums.values[kind][k], sums.count[kind], calibration.gain[key], calibration.offset[key], sums.unit[kind]
            )
            bands[band] = np.where(np.isnan(bands[band]), found, bands[band])
    has_nir = any("nir" in ORDERS[kind] for kind in kinds)
    rules, rows = cover_rules(), slice(*mine)
    index = normalised_difference(bands["nir"], bands["red"])
    is_dark = dark_cells(bands["green"], bands["red"], bands["nir"], rules)
    is_green = np.nan_to_num(index, nan=-1.0) >= np.float32(rules.vegetation_ndvi)
    shown = broadband_albedo(bands["blue"], bands["green"], bands["red"], bands["nir"], is_green, albedo_coefficients())
    ndvi, albedo = (world.shared(grid.shape, np.float32) for _ in range(2))
    cover: NDArray[np.int8] = world.shared(grid.shape, np.int8)
    ndvi[rows] = index
    albedo[rows] = np.where(is_dark, np.float32(np.nan), shown)
    cover[rows] = ground_cover(bands["green"], bands["red"], bands["nir"], n_return[rows] == 0, rules)
    for array in (ndvi, albedo, cover):
        world.synchronise(array, [(rows,)])
    seen = world.reduce_exact(np.array([np.count_nonzero(~np.isnan(bands["red"]))], np.int64), "sum")
    share = int(seen[0]) / (grid.nx * grid.ny)
    if share < 1.0:
        notes.append(f"Images cover {100.0 * share:.1f} % of the grid; where they say nothing, maps are as without them.")
    notes += _calibration_notes(calibration, sums, kinds)
    error = _rules()[
        "albedo_error_uncalibrated"
        if calibration.source == NONE
        else "albedo_error_calibrated"
        if has_nir
        else "albedo_error_without_nir"
    ]
    if not has_nir:
        world.release(ndvi)
    return ImageRasters(ndvi if has_nir else None, albedo, cover, calibration, error, tuple(notes))


def _add_images(world: World, grid: Grid, images: Sequence[Image], mine: tuple[int, int]) -> tuple[_Sums, list[str]]:
    """Add the pixels of all images over this rank's rows; the errors of any rank are those of all. Collective."""
    sums, notes, outside = _Sums(), [], []
    for image in images:
        placement = Placement(image, grid)
        if placement.window(0, grid.ny) is None:
            outside.append(image.path.name)
            continue
        notes += [*image.notes, *([placement.note] if placement.note else [])]
        kind = image.kind
        if kind not in sums.values:
            shape = (mine[1] - mine[0], grid.nx)
            sums.values[kind] = np.zeros((len(image.bands), *shape), np.int64)
            sums.count[kind] = np.zeros(shape, np.int64)
            sums.unit[kind], sums.is_whole[kind], sums.highest[kind] = 1.0 / image.scale, image.scale == 1.0, -(2**63)
        if sums.is_whole[kind] != (image.scale == 1.0):
            raise InputError(f"'{image.path}' mixes whole and floating-point pixels with other [imagery] {kind} files.")
        world.on_every_rank(lambda placement=placement: _add(placement, sums, mine))  # type: ignore[misc]
    if not sums.values:
        raise InputError(
            f"None of the {len(images)} images of [imagery] touches the city ({', '.join(outside[:3])}). Check their CRS, or "
            "leave the section out."
        )
    if outside:
        notes.append(f"{len(outside)} images lie outside the city and were not read, {outside[0]} first.")
    for kind, value in sums.highest.items():
        sums.highest[kind] = int(world.reduce_exact(np.array([value], np.int64), "max")[0])
    return sums, notes


def _add(placement: Placement, sums: _Sums, mine: tuple[int, int]) -> None:
    image, kind = placement.image, placement.image.kind
    for first in range(*mine, CHUNK):
        last = min(first + CHUNK, mine[1])
        window = placement.window(first, last)
        if window is None:
            continue
        rows, columns = window
        pixels, is_valid = read_part(image, rows, columns)
        local = slice(first - mine[0], last - mine[0])
        # A copy, contiguous whatever the rows: one kind of array is one kernel to compile.
        into, count = sums.values[kind][:, local].copy(), sums.count[kind][local]
        corner = rows[0], columns[0]
        if placement.is_coarse:
            high = pick_pixels(pixels, is_valid, corner, *placement.cell_nodes(first, last), image.scale, into, count)
        else:
            cell = round(placement.grid.resolution * 1000)
            nodes = placement.pixel_nodes(rows, columns)
            high = add_pixels(pixels, is_valid, corner, *nodes, cell, first, image.scale, into, count)
        sums.values[kind][:, local] = into
        sums.highest[kind] = max(sums.highest[kind], high)


def _calibrate(
    world: World,
    grid: Grid,
    mine: tuple[int, int],
    sums: _Sums,
    gain: Mapping[str, float],
    offset: Mapping[str, float],
    targets: Sequence[Target],
) -> Calibration:
    keys = [(kind, band) for kind in sums.values for band in ORDERS[kind]]
    if targets:
        lines = _empirical_lines(world, grid, mine, sums, targets)
        return Calibration(TARGETS, {k: v[0] for k, v in lines.items()}, {k: v[1] for k, v in lines.items()})
    if gain:
        missing = sorted({band for _, band in keys} - set(gain))
        if missing:
            raise InputError(f"[imagery] gain has no value for {', '.join(missing)}; give one for each band of the images.")
        return Calibration(DECLARED, {k: gain[k[1]] for k in keys}, {k: offset.get(k[1], 0.0) for k in keys})
    scales = {kind: full_scale(highest, sums.is_whole[kind]) for kind, highest in sums.highest.items()}
    return Calibration(NONE, {k: 1.0 / scales[k[0]] for k in keys}, dict.fromkeys(keys, 0.0))


def full_scale(highest: int, is_whole: bool) -> float:
    """Return the value of a pixel that stands for a reflectance of 1 where nothing is said.

    Whole numbers: the largest of as many bits as the greatest value takes, 8, 10, 12, 14 or 16: data of 8 bits are often stored
    in 16. Floating-point pixels are reflectances already.
    """
    if not is_whole:
        return 1.0
    return float(next((v for v in FULL_SCALES if highest <= v), highest))


def _empirical_lines(
    world: World, grid: Grid, mine: tuple[int, int], sums: _Sums, targets: Sequence[Target]
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return gain and offset by kind and band from targets; see `empirical_line`. Collective."""
    x, y = np.meshgrid(grid.x, grid.y[slice(*mine)])
    inside = [(x - t.x) * (x - t.x) + (y - t.y) * (y - t.y) <= t.radius * t.radius for t in targets]
    lines = {}
    for kind, values in sums.values.items():
        part = np.array([[*(v[m].sum() for v in values), sums.count[kind][m].sum()] for m in inside], np.int64)
        total = world.reduce_exact(np.ascontiguousarray(part.reshape(len(targets), -1)), "sum")
        for k, band in enumerate(ORDERS[kind]):
            pairs = [
                (int(row[k]) / int(row[-1]) * sums.unit[kind], t.reflectance[band])
                for t, row in zip(targets, total, strict=True)
                if row[-1] and band in t.reflectance
            ]
            line = empirical_line(pairs)
            if line is None:
                raise InputError(
                    f"The targets of [imagery] do not calibrate {band} of the {kind} images: {len(pairs)} of them lie under an "
                    "image and have a reflectance in it, or all are equally bright. Add a dark and a bright one."
                )
            lines[kind, band] = line
    return lines


def empirical_line(pairs: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Return gain and offset of reflectance = gain x value + offset by least squares; through the origin for a single pair.

    None without a pair, or where the line does not rise. Smith and Milton 1999, doi:10.1080/014311699211994.
    """
    if len(pairs) == 1 and pairs[0][0] > 0.0:
        return pairs[0][1] / pairs[0][0], 0.0
    if len(pairs) < 2:
        return None
    n = len(pairs)
    mean_v, mean_r = (math.fsum(p[k] for p in pairs) / n for k in (0, 1))
    spread = math.fsum((v - mean_v) * (v - mean_v) for v, _ in pairs)
    slope = math.fsum((v - mean_v) * (r - mean_r) for v, r in pairs) / spread if spread > 0.0 else 0.0
    return (slope, mean_r - slope * mean_v) if slope > 0.0 else None


def _calibration_notes(calibration: Calibration, sums: _Sums, kinds: Sequence[str]) -> list[str]:
    if calibration.source != NONE:
        return []
    scales = ", ".join(f"{kind} {full_scale(sums.highest[kind], sums.is_whole[kind]):g}" for kind in kinds)
    return [
        f"The images are not calibrated: values of {scales} were taken for a reflectance of 1. The albedo is uncertain by "
        f"{_rules()['albedo_error_uncalibrated']:g}; give [imagery] gain or targets."
    ]


class PointIndex:
    """The vegetation index of cells from points with near infrared, where there are such and no image has it.

    Values of red and near infrared are added up over the points of a cell, whatever part of their 16 bits they fill: the index
    knows no scale.

    Parameters
    ----------
    headers : of all point files
    images : of the city

    Attributes
    ----------
    columns : optional columns that the points need
    """

    def __init__(self, world: World, headers: Sequence[PointFile], images: Sequence[Image], grid: Grid) -> None:
        has_nir = any(h.point_format in NIR_FORMATS for h in headers) and not any("nir" in i.bands for i in images)
        self.columns: tuple[str, ...] = ("red", "nir") if has_nir else ()
        self._world, self._cell_mm = world, round(grid.resolution * 1000)
        self._sums: list[NDArray[np.int64]] = [world.shared(grid.shape, np.int64) for _ in self.columns]
        self._count: NDArray[np.int32] = np.zeros(grid.shape if has_nir else (0, 0), np.int32)  # not asked for

    def add(self, points: Points) -> None:
        """Add points in cells that this rank owns; those without near infrared are left out."""
        if not self.columns:
            return
        chosen = points.extra["nir"] > 0
        x, y = points.x[chosen], points.y[chosen]
        for name, into in zip(self.columns, self._sums, strict=True):
            bin_sums(x, y, points.extra[name][chosen].astype(np.int32), self._cell_mm, into, self._count)

    def finish(self, windows: Sequence[Window]) -> NDArray[np.float32] | None:
        """Return the (ny, nx) float32 index, whole on every rank, NaN where unknown; None without near infrared. Collective."""
        ndvi: NDArray[np.float32] | None = None
        if self.columns:
            for array in self._sums:
                self._world.synchronise(array, windows)
            ndvi = summed_difference(self._sums[1], self._sums[0])
            ndvi = None if np.isnan(ndvi).all() else ndvi
        for array in self._sums:
            self._world.release(array)
        return ndvi


def cover_from_ndvi(ndvi: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return grass (5) where a vegetation index says so, else 0: what points with near infrared say of the ground."""
    green = np.nan_to_num(ndvi, nan=-1.0) >= np.float32(cover_rules().vegetation_ndvi)
    return np.where(green, np.int8(GRASS), np.int8(UNKNOWN))


def roof_sums(
    building_index: NDArray[np.int32],
    ground: NDArray[np.float32],
    surface: NDArray[np.float32],
    first_return: NDArray[np.float32],
    albedo: NDArray[np.float32] | None,
    ndvi: NDArray[np.float32] | None,
    n_building: int,
    rows: tuple[int, int],
) -> NDArray[np.int64]:
    """Add up what the rasters of terrain.nc say of each roof; parts merge by +, see `kernels.imagery.roofs`.

    Parameters
    ----------
    building_index, ground, surface, first_return, albedo, ndvi : (ny, nx)
        Fields `building_index`, `ground_elevation`, `surface_elevation`, `first_return_elevation`, `surface_albedo`, `ndvi` of
        terrain.nc, or some of their rows with one more on either side; None where the file has none.
    n_building : rows of the building table
    rows : first and last row to add, counted in the arrays: without the additional ones

    Returns
    -------
    (n_building, 5) int64
    """
    unknown = np.full(building_index.shape, np.nan, np.float32)
    is_roof = surface - ground >= np.float32(ROOF_MIN_HEIGHT)
    is_clear = ~(first_return - surface > np.float32(OVERHANG))
    is_lit = np.ones(building_index.shape, np.bool_) if albedo is None else ~np.isnan(albedo)
    sums = empty_roof_sums(n_building)
    add_roof_cells(
        np.ascontiguousarray(building_index, np.int32),
        unknown if albedo is None else np.ascontiguousarray(albedo, np.float32),
        unknown if ndvi is None else np.ascontiguousarray(ndvi, np.float32),
        (building_index >= 0) & is_roof & is_clear & is_lit,
        cover_rules().vegetation_ndvi,
        *rows,
        sums,
    )
    return sums


def roof_columns(sums: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return the (n_building,) columns of buildings.nc from complete sums: albedo, NDVI and green share of each roof [1]."""
    return {f"building_roof_{name}": values for name, values in roof_means(sums).items()}


def roofs_of_terrain(
    world: World, ny: int, held: Collection[str], read: Callable[[str, slice], NDArray[np.generic]], n_building: int
) -> dict[str, NDArray[np.float64]]:
    """Return the columns of `roof_columns` for all buildings, whole on every rank; every rank reads its rows. Collective.

    Parameters
    ----------
    ny : rows of the grid
    held : fields of terrain.nc
    read : returns rows of a field of terrain.nc, whole width
    n_building : rows of the building table

    Returns
    -------
    dict
        Empty without images and without points with near infrared; without images, no `building_roof_albedo`.
    """
    if "ndvi" not in held and "surface_albedo" not in held:
        return {}
    sums = empty_roof_sums(n_building)
    mine = world.share_of(ny, BLOCK)
    for first in range(*mine, CHUNK):
        last = min(first + CHUNK, mine[1])
        rows = slice(max(0, first - 1), min(ny, last + 1))
        fields: list[Any] = [read(name, rows) if name in held else None for name in ROOF_FIELDS]
        index, ground, surface, highest, albedo, ndvi = fields
        inner = first - rows.start, last - rows.start
        sums += roof_sums(index, ground, surface, highest, albedo, ndvi, n_building, inner)
    world.reduce_exact(sums, "sum")
    unknown = {"building_roof_albedo"} if "surface_albedo" not in held else set()
    unknown |= {"building_roof_ndvi", "building_roof_green_share"} if "ndvi" not in held else set()
    return {name: values for name, values in roof_columns(sums).items() if name not in unknown}
