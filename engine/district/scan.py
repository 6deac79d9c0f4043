"""The survey of a district: which pulses a tile needs, and its returns as the columns of a LAS file.

A tile is scanned on its own and bounded in memory; since a pulse depends on its number alone, cutting the district into other
tiles gives the same points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from felsina.engine.district import shapes
from felsina.engine.district.scene import PITCH, District
from felsina.engine.district.shapes import Point
from felsina.kernels.pointcloud.scanner import Scanner, cast_pulses, pulses_over, returns_within, scanner_of_density

DENSITY = 11.5  # pulses per m2 of level ground
TILE = 250.0  # m, longest edge of a tile
RELIEF = 70.0  # m, roofs, false returns that count and hills above or below the mean plane of the ground
_CHUNK = 1 << 18  # pulses cast at once: 22 MB of returns
_PULSE_RATE = 100_000.0  # s-1
# Share of the pulse energy that comes back, by class; only the order matters.
_REFLECTANCE = {2: 0.25, 3: 0.40, 4: 0.40, 5: 0.45, 6: 0.30, 7: 0.02, 9: 0.06, 18: 0.02}

Window = tuple[int, int, int, int]


def tile_windows(size: float) -> list[Window]:
    """Cut a district into at least four tiles, (west, south, east, north) [mm], through blocks and not along streets."""
    n = max(2, math.ceil(size / TILE))
    cuts = [0, *(round(1000.0 * (size * k / n // PITCH * PITCH + 0.375 * PITCH)) for k in range(1, n)), round(1000.0 * size)]
    return [(cuts[i], cuts[j], cuts[i + 1], cuts[j + 1]) for j in range(n) for i in range(n)]


def visible_depth(scanner: Scanner, side: tuple[Point, Point], height: float) -> float:
    """Return how far pulses reach the ground under a building through an open side of it [m], at the middle of the side.

    A pulse that passes the upper edge of the opening travels on by height x tan(angle) across the flight line, and by
    height x tan(pitch) along it. The interior lies to the left of the side. What stands across the street is not looked at.
    """
    e = shapes.direction(*side)
    outwards = e[1], -e[0]
    x = 0.5 * (side[0][0] + side[1][0])
    reach = scanner.altitude * math.tan(scanner.half_angle) / math.cos(scanner.pitch)
    first, last = math.ceil((x - reach) / scanner.line_spacing - 0.5), math.floor((x + reach) / scanner.line_spacing - 0.5)
    deepest = 0.0
    for line in range(first, last + 1):
        across = (x - (line + 0.5) * scanner.line_spacing) / scanner.altitude
        ahead = math.tan(scanner.pitch) * (1.0 if line % 2 == 0 else -1.0)
        deepest = max(deepest, -height * (across * outwards[0] + ahead * outwards[1]))
    return deepest


def scan_tile(district: District, window: Window, scanner: Scanner | None = None) -> dict[str, NDArray[np.generic]]:
    """Scan one tile.

    Returns arrays of one length, in the order of lines and pulses: `X`, `Y`, `Z` int32 from the district's corner [mm],
    `classification` (the truth), `return_number`, `number_of_returns` uint8, `intensity` uint16, `scan_angle` int16
    [0.006 degree], `point_source_id` uint16 (the flight line), `gps_time` float64 [s].
    """
    scanner = scanner or scanner_of_density(DENSITY)
    parts = [_returns(district, scanner, window, *chunk) for chunk in _pulses(scanner, window)]
    if not parts:
        parts = [_returns(district, scanner, window, *(np.empty(0, np.int64),) * 3)]
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _pulses(scanner: Scanner, window: Window) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    west, south, east, north = (edge / 1000.0 for edge in window)
    for line, (first, last), (begin, end) in pulses_over(scanner, (west, south, east, north), RELIEF):
        step = max(1, _CHUNK // (end - begin))
        for lower in range(first, last, step):
            scan, mirror = np.meshgrid(np.arange(lower, min(last, lower + step)), np.arange(begin, end), indexing="ij")
            yield np.full(scan.size, line), scan.ravel(), mirror.ravel()


def _returns(
    district: District,
    scanner: Scanner,
    window: Window,
    line: NDArray[np.int64],
    scan: NDArray[np.int64],
    mirror: NDArray[np.int64],
) -> dict[str, NDArray[np.generic]]:
    position, kind, bright, count = cast_pulses(scanner, district.surface, district.seed, line, scan, mirror)
    pulse, place = returns_within(position, count, window)
    xyz, classes = position[pulse, place], kind[pulse, place]
    table = np.zeros(256)
    table[list(_REFLECTANCE)] = list(_REFLECTANCE.values())
    energy = table[classes] * (1.0 + 0.12 * bright[pulse, place].astype(np.float64)) / count[pulse]
    share = (mirror[pulse] + 0.5) / scanner.n_mirror
    number = scan[pulse] * scanner.n_mirror + mirror[pulse]
    return {
        "X": np.ascontiguousarray(xyz[:, 0]),
        "Y": np.ascontiguousarray(xyz[:, 1]),
        "Z": np.ascontiguousarray(xyz[:, 2]),
        "classification": classes,
        "return_number": (place + 1).astype(np.uint8),
        "number_of_returns": count[pulse],
        "intensity": np.clip(np.rint(65535.0 * energy), 1, 65535).astype(np.uint16),
        "scan_angle": np.rint(math.degrees(scanner.half_angle) / 0.006 * (2.0 * share - 1.0)).astype(np.int16),
        "point_source_id": (line[pulse] + 2).astype(np.uint16),
        # Each line starts on its own full ten thousand seconds, so no two pulses share a time.
        "gps_time": (line[pulse] + 2) * 1e4 + number / _PULSE_RATE,
    }
