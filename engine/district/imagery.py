"""The orthophoto of a district: red, green, blue and near infrared painted from its truth, with sun, shadow and noise.

A pixel shows the highest of ground, roofs, ponds and crowns at its middle. Its brightness is the reflectance of the material
times the light: the beam on the slope of the roof, none in shadow, and the light of the sky. The image is what a perfect survey
would give: no building leans, and values are proportional to reflectance (`GAIN`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.district.scene import ORIGIN, District
from felsina.engine.district.shapes import Point
from felsina.engine.tables import read_table
from felsina.kernels.counter import uniform
from felsina.kernels.pointcloud.surface import terrain_height

PIXEL = 0.25  # m
GAIN = 0.004  # reflectance per value of a pixel: 8 bits reach just over 1
BANDS = ("red", "green", "blue", "nir")
SUN_AZIMUTH, SUN_ELEVATION = math.radians(150.0), math.radians(55.0)  # late on a summer morning, when surveys fly
# Share of the sunlight on level ground that comes as a beam, under a clear sky: the sky is blue.
_BEAM = np.array([0.85, 0.80, 0.70, 0.92])
_SKY_IN_SHADOW = 0.7  # of the sky that a place in shadow sees
_NOISE = 0.06  # width of the noise of a pixel and band, relative
_MARCH = 2  # pixels from one look towards the sun to the next
_STRIP = 256  # rows painted at once
_NOISE_STREAM, _ROOF_STREAM = 41, 42  # streams of random numbers
# Shares of the materials of flat roofs.
_FLAT = (("green_roof", 0.30), ("white_membrane", 0.20), ("bitumen", 0.25), ("concrete", 0.25))
_COVERS = {"green": "grass", "bare": "bare_soil", "road": "asphalt", "water": "water"}
# Roofs that slope get less light than level ground, which nothing corrects: tiles come out 0.04 too dark.
TARGETS = {
    "roof albedo error, median": 0.04,
    "roof albedo error, p95": 0.06,
    "roofs with an albedo": 95.0,
    "green roof F1": 0.95,
    "green share error, largest": 0.10,
}


@dataclass(frozen=True)
class Material:
    """Reflectance in `BANDS` and broadband albedo [1]."""

    reflectance: tuple[float, ...]
    albedo: float


@dataclass(frozen=True)
class Orthophoto:
    """(4, ny, nx) uint8 pixels in `BANDS`, row 0 north; west and north edge [m in the CRS], pixel size [m]."""

    pixels: NDArray[np.uint8]
    west: float
    north: float
    resolution: float


@functools.cache
def materials() -> dict[str, Material]:
    """Return the shipped materials by name."""
    rows = read_table("image_materials.csv")
    return {r["name"]: Material(tuple(float(r[b]) for b in BANDS), float(r["albedo"])) for r in rows}


def roof_materials(district: District) -> list[str]:
    """Return the material of each roof: clay tiles where it slopes, else drawn by the building's own place in the district."""
    return [_flat_material(district.seed, b.ring) if b.roof_type == "flat" else "clay_tile" for b in district.buildings]


def _flat_material(seed: int, ring: Sequence[Point]) -> str:
    draw = float(uniform(seed, _ROOF_STREAM, _key(ring), 1)[0, 0])
    for name, share in _FLAT:
        if draw < share:
            return name
        draw -= share
    return _FLAT[-1][0]


def _key(ring: Sequence[Point]) -> NDArray[np.uint64]:
    """Return an identifier of a place, of its first corner in centimetres: the same in a district of any size."""
    x, y = (np.uint64(round(100.0 * v) + 1_000_000) for v in ring[0])
    return np.array([(x << np.uint64(32)) | y], np.uint64)


def paint_district(district: District) -> Orthophoto:
    """Paint the orthophoto of a district, from edge to edge."""
    n = math.ceil(district.size / PIXEL - 1e-9)
    material, height, slope = _scene(district, n)
    lit = _is_lit(height)
    table = np.array([m.reflectance for m in materials().values()])
    cosine = slope[..., 0] * (math.sin(SUN_AZIMUTH) / math.tan(SUN_ELEVATION))
    cosine = 1.0 - cosine - slope[..., 1] * (math.cos(SUN_AZIMUTH) / math.tan(SUN_ELEVATION))
    steep = np.sqrt(1.0 + slope[..., 0] * slope[..., 0] + slope[..., 1] * slope[..., 1])
    beam = np.where(lit, np.maximum(cosine, 0.0) / steep, 0.0)
    sky = np.where(lit, 1.0, _SKY_IN_SHADOW)
    pixels = np.empty((len(BANDS), n, n), np.uint8)
    for top in range(0, n, _STRIP):
        rows = slice(top, min(top + _STRIP, n))
        noise = 1.0 + _NOISE * (_noise(district.seed, n, rows) - 0.5)
        light = _BEAM * beam[rows, :, None] + (1.0 - _BEAM) * sky[rows, :, None]
        value = np.rint(table[material[rows]] * light * noise / GAIN)
        pixels[:, rows] = np.moveaxis(np.clip(value, 0.0, 255.0), -1, 0).astype(np.uint8)
    return Orthophoto(pixels, ORIGIN[0], ORIGIN[1] + n * PIXEL, PIXEL)


def _noise(seed: int, n: int, rows: slice) -> NDArray[np.float64]:
    """Return (rows, n, 4) numbers of (0, 1), keyed by the place from the district's south-west corner."""
    south = np.arange(n - 1 - rows.start, n - 1 - rows.stop, -1).astype(np.uint64)
    key = (south[:, None] << np.uint64(32)) | np.arange(n).astype(np.uint64)[None, :]
    return uniform(seed, _NOISE_STREAM, key.ravel(), len(BANDS)).reshape(len(south), n, len(BANDS))


def _scene(district: District, n: int) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]:
    """Return the number of the material, the height [m] and the slope (dz/dx, dz/dy) [1] of each pixel."""
    number = {name: np.int8(k) for k, name in enumerate(materials())}
    x = (np.arange(n, dtype=np.float64) + 0.5) * PIXEL
    y: NDArray[np.float64] = x[::-1].copy()
    material = np.full((n, n), number["grass"], np.int8)
    for block, cell in zip(district.blocks, district.cells, strict=True):
        for ring, name in ((cell, "asphalt"), (block.ring, _COVERS[block.cover]), *((p, "water") for p in block.ponds)):
            window, inside = _inside(ring, x, y)
            material[window][inside] = number[name]
    height = terrain_height(district.terrain, *np.meshgrid(x, y)).astype(np.float32)
    slope = np.zeros((n, n, 2), np.float32)
    roofs = roof_materials(district)
    for ring, (a, b, c), owner in zip(district.prism_ring, district.prism_plane, district.prism_building, strict=True):
        window, inside = _inside([(float(p[0]), float(p[1])) for p in ring], x, y)
        z = (a * x[window[1]][None, :] + b * y[window[0]][:, None] + c).astype(np.float32)
        inside &= z > height[window]
        height[window][inside], slope[window][inside] = z[inside], (a, b)
        material[window][inside] = number[roofs[owner]]
    for tree in district.trees:
        _crown(tree, district, x, y, height, slope, material, number["tree"])
    return material, height, slope


def _crown(tree, district, x, y, height, slope, material, number) -> None:  # type: ignore[no-untyped-def]
    """Lay a crown, the upper half of an ellipsoid, over what is lower."""
    radius, middle = 0.5 * tree.crown_diameter, 0.5 * (tree.height + tree.crown_base)
    window = _window(tree.x - radius, tree.y - radius, tree.x + radius, tree.y + radius, x, y)
    dx, dy = (x[window[1]] - tree.x) / radius, (y[window[0]] - tree.y) / radius
    rest = 1.0 - dx[None, :] * dx[None, :] - dy[:, None] * dy[:, None]
    foot = float(terrain_height(district.terrain, np.array([tree.x]), np.array([tree.y]))[0])
    z = (foot + middle + 0.5 * (tree.height - tree.crown_base) * np.sqrt(np.maximum(rest, 0.0))).astype(np.float32)
    inside = (rest > 0.0) & (z > height[window])
    height[window][inside], slope[window][inside], material[window][inside] = z[inside], 0.0, number


def _window(
    west: float, south: float, east: float, north: float, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[slice, slice]:
    """Return the rows and columns whose middles lie in a box; y descends."""
    i0, i1 = np.searchsorted(x, (west, east))
    j0, j1 = np.searchsorted(-y, (-north, -south))
    return slice(int(j0), int(j1)), slice(int(i0), int(i1))


def _inside(
    ring: Sequence[Point], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Return the window of a convex counter-clockwise ring, and which of its pixels have their middle inside."""
    xs, ys = [p[0] for p in ring], [p[1] for p in ring]
    window = _window(min(xs), min(ys), max(xs), max(ys), x, y)
    px, py = x[window[1]][None, :], y[window[0]][:, None]
    inside = np.ones((py.shape[0], px.shape[1]), np.bool_)
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        inside &= (x1 - x0) * (py - y0) - (y1 - y0) * (px - x0) >= 0.0
    return window, inside


def _is_lit(height: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which pixels the sun shines on: nothing towards it stands above the ray."""
    n = height.shape[0]
    lit = np.ones((n, n), np.bool_)
    east, north, rise = math.sin(SUN_AZIMUTH), math.cos(SUN_AZIMUTH), math.tan(SUN_ELEVATION) * PIXEL
    reach = float(height.max() - height.min()) / rise
    for k in range(_MARCH, math.ceil(reach) + 1, _MARCH):
        di, dj = round(k * east), round(-k * north)
        j0, j1, i0, i1 = max(0, -dj), min(n, n - dj), max(0, -di), min(n, n - di)
        if j0 >= j1 or i0 >= i1:
            break
        here = height[j0:j1, i0:i1] + np.float32(k * rise)
        lit[j0:j1, i0:i1] &= height[j0 + dj : j1 + dj, i0 + di : i1 + di] <= here
    return lit


def imagery_truth(district: District) -> list[dict[str, Any]]:
    """Return `building_id`, `roof_material`, `roof_albedo` [1] and `green_roof` of each building as plain JSON values."""
    return [
        {
            "building_id": b.building_id,
            "roof_material": name,
            "roof_albedo": materials()[name].albedo,
            "green_roof": name == "green_roof",
        }
        for b, name in zip(district.buildings, roof_materials(district), strict=True)
    ]


def compare_imagery(
    truth: Sequence[Mapping[str, Any]], results: Mapping[str, NDArray[Any]]
) -> list[tuple[str, float, str, float]]:
    """Compare roofs with the truth of a district.

    Parameters
    ----------
    truth : what `imagery_truth` returns
    results : `building_id`, `building_roof_albedo` and `building_roof_green_share` (n,), NaN where unknown

    Returns
    -------
    list of (metric, value, unit, target)
        Errors should lie below their targets, the share of roofs and F1 above. A roof is green where half of it is.
    """
    place = {str(name): i for i, name in enumerate(np.asarray(results["building_id"]).tolist())}
    pick = np.array([place.get(str(row["building_id"]), -1) for row in truth], np.int64)
    albedo, share = (
        np.append(np.asarray(results[f"building_roof_{name}"], np.float64), np.nan)[pick] for name in ("albedo", "green_share")
    )
    is_green = np.array([row["green_roof"] for row in truth], np.bool_)
    error = np.abs(albedo - np.array([row["roof_albedo"] for row in truth]))
    error = np.sort(error[np.isfinite(error)])
    found = np.nan_to_num(share, nan=0.0) >= 0.5
    hits, total = np.count_nonzero(found & is_green), np.count_nonzero(found) + np.count_nonzero(is_green)
    difference = np.abs(share - is_green)[np.isfinite(share)]

    def quantile(q: float) -> float:
        return float(error[max(0, math.ceil(q * error.size) - 1)]) if error.size else math.nan

    values = {
        "roof albedo error, median": (quantile(0.5), "1"),
        "roof albedo error, p95": (quantile(0.95), "1"),
        "roofs with an albedo": (100.0 * error.size / max(1, len(truth)), "%"),
        "green roof F1": (2.0 * hits / total if total else math.nan, "1"),
        "green share error, largest": (float(difference.max(initial=0.0)), "1"),
    }
    return [(metric, value, unit, TARGETS[metric]) for metric, (value, unit) in values.items()]
