"""A scene that a ray can hit: analytic ground, prisms between sloping planes, crowns, and a grid that finds them.

A prism stands on the ground or has an underside, as the storeys over an arcade or the eaves of a roof have. Heights are
evaluated on the planes and on the ground formula themselves; the grid only says which of them to try, so no resolution enters
a height.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows, threads

GROUND, BUILDING, WATER = 2, 6, 9  # ASPRS LAS 1.4 R15, table 17


class SurfaceModel(NamedTuple):
    """The scene and its index.

    Attributes
    ----------
    terrain : (8,) float
        z0 [m], slope in x, slope in y [1], amplitude [m], wavelengths in x and y [m], phases in x and y [rad].
    prism_edge : (n_prism, 4, 3) float
        Outward edge normals and offsets of convex footprints of four edges: inside where n_x x + n_y y + d <= 0 [m].
    prism_plane : (n_prism, 3) float
        Top plane z = a x + b y + c.
    prism_base : (n_prism, 3) float
        Plane of the underside, the same way; its c is -inf where the prism stands on the ground.
    prism_class : (n_prism,) uint8
        ASPRS class of what the prism is.
    crown : (n_crown, 5) float
        Crown ellipsoids: x, y, z of the centre, horizontal and vertical semi-axis [m].
    west, south, cell : float
        Origin and cell size of the index [m].
    cell_top : (ny, nx) float
        Highest point of prisms and crowns per cell; -inf where there is none [m].
    prism_start, crown_start : (ny * nx + 1,) int64
        First entry of a cell in `prism_index`, `crown_index`.
    prism_index, crown_index : (n,) int32
        Candidates of each cell.
    top : float
        Highest point of prisms and crowns [m].
    """

    terrain: NDArray[np.float64]
    prism_edge: NDArray[np.float64]
    prism_plane: NDArray[np.float64]
    prism_base: NDArray[np.float64]
    prism_class: NDArray[np.uint8]
    crown: NDArray[np.float64]
    west: float
    south: float
    cell: float
    cell_top: NDArray[np.float64]
    prism_start: NDArray[np.int64]
    prism_index: NDArray[np.int32]
    crown_start: NDArray[np.int64]
    crown_index: NDArray[np.int32]
    top: float


@cell
def ground_height(terrain, x, y):
    """Return the ground elevation at a point [m]: a plane and low hills.

    z = z0 + s_x x + s_y y + A sin(2 pi x / L_x + phi_x) sin(2 pi y / L_y + phi_y)
    """
    wave = math.sin(2.0 * math.pi * x / terrain[4] + terrain[6]) * math.sin(2.0 * math.pi * y / terrain[5] + terrain[7])
    return terrain[0] + terrain[1] * x + terrain[2] * y + terrain[3] * wave


@rows
def _box_cells(box, west, south, cell, nx, ny):
    i0 = max(0, int(math.floor((box[0] - west) / cell)))
    j0 = max(0, int(math.floor((box[1] - south) / cell)))
    i1 = min(nx - 1, int(math.floor((box[2] - west) / cell)))
    j1 = min(ny - 1, int(math.floor((box[3] - south) / cell)))
    return i0, j0, i1, j1


@rows
def _touches(edge, x0, y0, x1, y1):
    # A convex footprint misses a cell for certain when one of its edges has the whole cell on its outer side.
    for e in range(4):
        nx, ny = edge[e, 0], edge[e, 1]
        if nx * (x0 if nx > 0.0 else x1) + ny * (y0 if ny > 0.0 else y1) + edge[e, 2] > 0.0:
            return False
    return True


@rows
def _index(box, top, edge, west, south, cell, cell_top):
    """Return candidates per cell (start, index) and raise `cell_top`; without edges the box itself is the candidate."""
    ny, nx = cell_top.shape
    start = np.zeros(nx * ny + 1, np.int64)
    index = np.empty(0, np.int32)
    for filling in range(2):
        cursor = start[:-1].copy() if filling else start[1:]
        for k in range(box.shape[0]):
            i0, j0, i1, j1 = _box_cells(box[k], west, south, cell, nx, ny)
            for j in range(j0, j1 + 1):
                for i in range(i0, i1 + 1):
                    x, y = west + i * cell, south + j * cell
                    if edge.shape[0] and not _touches(edge[k], x, y, x + cell, y + cell):
                        continue
                    c = j * nx + i
                    if filling:
                        index[cursor[c]] = k
                        cell_top[j, i] = max(cell_top[j, i], top[k])
                    cursor[c] += 1
        if not filling:
            for c in range(nx * ny):
                start[c + 1] += start[c]
            index = np.empty(start[-1], np.int32)
    return start, index


def surface_model(
    terrain: NDArray[np.float64],
    prism_ring: NDArray[np.float64],
    prism_plane: NDArray[np.float64],
    prism_class: NDArray[np.uint8],
    crown: NDArray[np.float64],
    bounds: tuple[float, float, float, float],
    cell: float = 2.0,
    prism_base: NDArray[np.float64] | None = None,
) -> SurfaceModel:
    """Build the model of a scene and its index.

    Parameters
    ----------
    terrain, prism_plane, prism_class, crown, prism_base
        As in `SurfaceModel`; without `prism_base` every prism stands on the ground.
    prism_ring : (n_prism, 4, 2) float
        Corners of the convex footprints, counter-clockwise; a triangle repeats a corner [m].
    bounds : tuple
        (west, south, east, north) that the index covers [m].
    cell : float
        Cell size of the index [m]; 2 m is the fastest for houses of 10 m.
    """
    # Copies: an array that came read-only would be another type to the compiler, and every kernel would be compiled again.
    ring = np.array(prism_ring, np.float64).reshape(-1, 4, 2)
    plane = np.array(prism_plane, np.float64, order="C").reshape(-1, 3)
    step = np.roll(ring, -1, axis=1) - ring
    length = np.sqrt(step[..., 0] * step[..., 0] + step[..., 1] * step[..., 1])
    real = length > 0.0
    safe = np.where(real, length, 1.0)
    edge = np.stack([step[..., 1] / safe, -step[..., 0] / safe, np.where(real, 0.0, -1.0)], axis=-1)
    edge[..., 2] -= edge[..., 0] * ring[..., 0] + edge[..., 1] * ring[..., 1]
    crown = np.array(crown, np.float64, order="C").reshape(-1, 5)
    box = np.concatenate([ring.min(axis=1), ring.max(axis=1)], axis=1)
    height = (plane[:, None, 0] * ring[..., 0] + plane[:, None, 1] * ring[..., 1] + plane[:, None, 2]).max(axis=1)
    reach = crown[:, 3:4]
    crown_box = np.concatenate([crown[:, :2] - reach, crown[:, :2] + reach], axis=1)
    crown_top = crown[:, 2] + crown[:, 4]
    west, south, east, north = bounds
    nx, ny = max(1, math.ceil((east - west) / cell)), max(1, math.ceil((north - south) / cell))
    cell_top = np.full((ny, nx), -np.inf)
    none = np.empty((0, 4, 3))
    prism_start, prism_index = _index(box, height, edge, float(west), float(south), float(cell), cell_top)
    crown_start, crown_index = _index(crown_box, crown_top, none, float(west), float(south), float(cell), cell_top)
    top = max(height.max(initial=-np.inf), crown_top.max(initial=-np.inf))
    kind = np.array(prism_class, np.uint8, order="C")
    standing = np.tile([0.0, 0.0, -np.inf], (len(plane), 1))
    base = standing if prism_base is None else np.array(prism_base, np.float64, order="C").reshape(-1, 3)
    return SurfaceModel(
        np.array(terrain, np.float64, order="C"), np.ascontiguousarray(edge), plane, base, kind, crown, float(west),
        float(south), float(cell), cell_top, prism_start, prism_index, crown_start, crown_index, float(top),
    )  # fmt: skip


@rows
def _height_at(model, x, y):
    z, kind = -math.inf, np.uint8(GROUND)
    ny, nx = model.cell_top.shape
    i, j = int(math.floor((x - model.west) / model.cell)), int(math.floor((y - model.south) / model.cell))
    if 0 <= i < nx and 0 <= j < ny:
        c = j * nx + i
        for k in range(model.prism_start[c], model.prism_start[c + 1]):
            p = model.prism_index[k]
            inside = True
            for e in range(4):
                edge = model.prism_edge[p, e]
                inside &= edge[0] * x + edge[1] * y + edge[2] <= 0.0
            if inside:
                plane = model.prism_plane[p]
                height = plane[0] * x + plane[1] * y + plane[2]
                if height > z:
                    z, kind = height, model.prism_class[p]
    return (z, kind) if kind != GROUND else (ground_height(model.terrain, x, y), kind)


@threads
def _surface_height(model, x, y, height, kind):
    for i in prange(x.size):
        height[i], kind[i] = _height_at(model, x[i], y[i])


def surface_height(
    model: SurfaceModel, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Evaluate the surface from above, without crowns: (n,) height [m] and (n,) ASPRS class (2, 6 or 9) at (n,) x, y [m]."""
    x, y = np.ascontiguousarray(x, np.float64).ravel(), np.ascontiguousarray(y, np.float64).ravel()
    height, kind = np.empty(x.size), np.empty(x.size, np.uint8)
    _surface_height(model, x, y, height, kind)
    return height, kind


@threads
def _terrain_height(terrain, x, y, out):
    for i in prange(x.size):
        out[i] = ground_height(terrain, x[i], y[i])


def terrain_height(terrain: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate the ground formula of `ground_height` at points of any shape [m]."""
    shape = np.shape(x)
    x, y = np.ascontiguousarray(x, np.float64).ravel(), np.ascontiguousarray(y, np.float64).ravel()
    out = np.empty(x.size)
    _terrain_height(np.ascontiguousarray(terrain, np.float64), x, y, out)
    return out.reshape(shape)
