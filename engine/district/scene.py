"""The whole scene: streets in a jittered lattice, the blocks between them, the ground, and the surface a laser sees.

Coordinates are metres from the south-west corner (`ORIGIN`, in `CRS`). A block depends on the seed and on its own place alone:
a larger district holds the smaller one unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from felsina.engine.district import shapes
from felsina.engine.district.blocks import KINDS, Block, Building, Draws, Tree, furnish
from felsina.engine.district.shapes import Point
from felsina.engine.errors import UsageError
from felsina.kernels.counter import uniform
from felsina.kernels.pointcloud.surface import BUILDING, WATER, SurfaceModel, surface_model, terrain_height

CRS = "EPSG:7791"  # RDN2008 / UTM zone 32N, east-north
ORIGIN = (685_000.0, 4_929_000.0)  # m, a round corner in Bologna
PITCH = 64.0  # m, from street to street
_JITTER = 4.0  # m
_STREET = (5.2, 8.0)  # m, half-widths
_WIDE = 6.4  # m, half-width of a street with trees
_N_DRAW = 512
_BLOCK, _VERTEX, _SOUTH, _WEST, _KIND, _TERRAIN = range(1, 7)  # streams of random numbers


@dataclass(frozen=True)
class District:
    """A generated district.

    Attributes
    ----------
    size : float
        Edge of the square [m].
    terrain : (8,) float
        Parameters of `kernels.pointcloud.surface.ground_height`.
    ground : (n_building,) float
        Mean ground elevation under each building [m].
    prism_ring, prism_plane, prism_building
        (n_prism, 4, 2) corners [m], (n_prism, 3) absolute planes [m], (n_prism,) building of each roof face.
    cells : list of rings
        The lattice cell of each block, to the middle of its streets [m].
    outline : list of points
        Outer edge of the lattice [m].
    """

    size: float
    seed: int
    terrain: NDArray[np.float64]
    blocks: list[Block]
    buildings: list[Building]
    trees: list[Tree]
    ground: NDArray[np.float64]
    prism_ring: NDArray[np.float64]
    prism_plane: NDArray[np.float64]
    prism_building: NDArray[np.int64]
    cells: list[list[Point]]
    outline: list[Point]
    surface: SurfaceModel


def build_district(size_m: float, seed: int) -> District:
    """Generate a district.

    Parameters
    ----------
    size_m : float
        Edge of the square [m], at least one block of 64 m. 256 m hold about 65 buildings; their number grows with the area.
    seed : int
        Key of all random numbers, 0 to 2**63 - 1.
    """
    if not (math.isfinite(size_m) and PITCH <= size_m <= 100_000.0):
        raise UsageError(f"The district's size is {size_m} m; expected {PITCH:g} m (one block) to 100,000 m.")
    if not 0 <= seed < 2**63:
        raise UsageError(f"The seed is {seed}; expected 0 to 2**63 - 1.")
    n = int(size_m // PITCH)
    corner = _vertices(seed, n)
    blocks, cells = _blocks(seed, n, corner)
    buildings = [b for block in blocks for b in block.buildings]
    trees = [t for block in blocks for t in block.trees]
    terrain = _terrain(seed)
    owner = np.array([i for i, b in enumerate(buildings) for _ in b.prisms], np.int64)
    ring = np.array([p.ring for b in buildings for p in b.prisms], np.float64).reshape(-1, 4, 2)
    plane = np.array([p.plane for b in buildings for p in b.prisms], np.float64).reshape(-1, 3)
    area, level = ring_integral(ring, lambda x, y: terrain_height(terrain, x, y))
    ground = sum_by(owner, level, len(buildings)) / sum_by(owner, area, len(buildings))
    plane[:, 2] += ground[owner]
    outline = (
        [(0, i) for i in range(n)]
        + [(i, n) for i in range(n)]
        + [(n, n - i) for i in range(n)]
        + [(n - i, 0) for i in range(n)]
    )
    edge = [(float(corner[i, j, 0]), float(corner[i, j, 1])) for i, j in outline]
    surface = _surface(size_m, terrain, buildings, ground, blocks, trees)
    return District(size_m, seed, terrain, blocks, buildings, trees, ground, ring, plane, owner, cells, edge, surface)


def sum_by(owner: NDArray[np.int64], values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Add (m,) values to the (n,) owners they belong to, in the order they stand."""
    return np.bincount(owner, values, n).astype(np.float64)


def ring_integral(ring: NDArray[np.float64], height) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # type: ignore[no-untyped-def]
    """Integrate a height over quadrilaterals by the edge-midpoint rule of their two triangles, exact to second order.

    Returns (n,) areas [m2] and (n,) integrals [m3]; `height(x, y)` takes and gives arrays of one shape [m].
    """
    area = np.zeros(ring.shape[0])
    total = np.zeros(ring.shape[0])
    for a, b, c in ((0, 1, 2), (0, 2, 3)):
        p, q, r = ring[:, a], ring[:, b], ring[:, c]
        triangle = 0.5 * ((q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (r[:, 0] - p[:, 0]) * (q[:, 1] - p[:, 1]))
        middle = [0.5 * (p + q), 0.5 * (q + r), 0.5 * (r + p)]
        values = [height(m[:, 0], m[:, 1]) for m in middle]
        area += triangle
        total += triangle * (values[0] + values[1] + values[2]) / 3.0
    return area, total


def _terrain(seed: int) -> NDArray[np.float64]:
    """Ground that falls to the north-east as Bologna does, with hills of a metre and a half."""
    u = uniform(seed, _TERRAIN, np.zeros(1, np.uint64), 4)[0]
    wave = (290.0 + 60.0 * u[0], 250.0 + 60.0 * u[1], 2.0 * math.pi * u[2], 2.0 * math.pi * u[3])
    return np.array([60.0, -0.004, -0.008, 1.5, *wave])


def _identifier(i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.uint64]:
    return (i.astype(np.uint64) << np.uint64(32)) | j.astype(np.uint64)


def _lattice(seed: int, stream: int, ni: int, nj: int, n_draw: int) -> NDArray[np.float64]:
    """Return (ni, nj, n_draw) numbers keyed by the place in the lattice."""
    i, j = np.meshgrid(np.arange(ni), np.arange(nj), indexing="ij")
    return uniform(seed, stream, _identifier(i.ravel(), j.ravel()), n_draw).reshape(ni, nj, n_draw)


def _vertices(seed: int, n: int) -> NDArray[np.float64]:
    """Return the (n + 1, n + 1, 2) crossings of the streets [m]."""
    i, j = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    return np.stack([i, j], axis=-1) * PITCH + _JITTER * (2.0 * _lattice(seed, _VERTEX, n + 1, n + 1, 2) - 1.0)


def _blocks(seed: int, n: int, corner: NDArray[np.float64]) -> tuple[list[Block], list[list[Point]]]:
    south = _STREET[0] + (_STREET[1] - _STREET[0]) * _lattice(seed, _SOUTH, n, n + 1, 1)[..., 0]
    west = _STREET[0] + (_STREET[1] - _STREET[0]) * _lattice(seed, _WEST, n + 1, n, 1)[..., 0]
    # Sixteen draws order the kinds of each group of four by four blocks.
    kinds = np.argsort(_lattice(seed, _KIND, n // 4 + 1, n // 4 + 1, 16), axis=-1, kind="stable")
    blocks, cells = [], []
    for i in range(n):
        draws = uniform(seed, _BLOCK, _identifier(np.full(n, i), np.arange(n)), _N_DRAW)
        for j in range(n):
            crossing = [corner[i, j], corner[i + 1, j], corner[i + 1, j + 1], corner[i, j + 1]]
            cell = [(float(p[0]), float(p[1])) for p in crossing]
            half = [float(south[i, j]), float(west[i + 1, j]), float(south[i, j + 1]), float(west[i, j])]
            kind = KINDS[kinds[i // 4, j // 4, 4 * (i % 4) + j % 4]]
            block = Block(name=f"B{i:04d}-{j:04d}", kind=kind, ring=shapes.inset(cell, half))
            furnish(block, Draws(draws[j].tolist()), [h > _WIDE for h in half])
            blocks.append(block)
            cells.append(cell)
    return blocks, cells


def _surface(
    size: float,
    terrain: NDArray[np.float64],
    buildings: list[Building],
    ground: NDArray[np.float64],
    blocks: list[Block],
    trees: list[Tree],
) -> SurfaceModel:
    stood = [(body, float(z)) for b, z in zip(buildings, ground, strict=True) for body in b.standing()]
    ring = np.array([body.ring for body, _ in stood], np.float64).reshape(-1, 4, 2)
    plane = np.array([_raised(body.plane, z) for body, z in stood], np.float64).reshape(-1, 3)
    on_ground = 0.0, 0.0, -math.inf
    base = np.array([on_ground if body.base is None else _raised(body.base, z) for body, z in stood], np.float64).reshape(-1, 3)
    ponds = np.array([p for b in blocks for p in b.ponds], np.float64).reshape(-1, 4, 2)
    brim = terrain_height(terrain, ponds[..., 0], ponds[..., 1]).max(axis=1, initial=-np.inf) + 0.05
    level = np.stack([np.zeros(len(brim)), np.zeros(len(brim)), brim], axis=-1)
    kind = np.concatenate([np.full(len(ring), BUILDING, np.uint8), np.full(len(ponds), WATER, np.uint8)])
    t = np.array([(t.x, t.y, t.height, t.crown_base, t.crown_diameter) for t in trees], np.float64).reshape(-1, 5)
    foot = terrain_height(terrain, t[:, 0], t[:, 1])
    crown = np.stack([t[:, 0], t[:, 1], foot + 0.5 * (t[:, 2] + t[:, 3]), 0.5 * t[:, 4], 0.5 * (t[:, 2] - t[:, 3])], axis=-1)
    bounds = (-8.0, -8.0, size + 8.0, size + 8.0)
    base = np.concatenate([base, np.tile(on_ground, (len(ponds), 1))])
    plane = np.concatenate([plane, level])
    return surface_model(terrain, np.concatenate([ring, ponds]), plane, kind, crown, bounds, prism_base=base)


def _raised(plane: shapes.Plane, z: float) -> shapes.Plane:
    return plane[0], plane[1], plane[2] + z
