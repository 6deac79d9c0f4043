"""What a ray over a surface model can meet, split by height model once for the whole model.

Two height models are declared per cell, because one alone is wrong somewhere:

    block       the cell is a column with vertical faces; a ray meets it where it ENTERS the cell (walls, roof edges)
    continuous  the surface runs through the cell centres; heights are linear between neighbours along the ray (ground, roofs)

The entry edge alone lowers the sky view of a 30 degree slope by 0.11; interpolation alone smears every wall over a cell.

Beside the heights stands the highest of them that is in reach of each block of 64 x 64 cells: a march stops where nothing as
high as that could change its result. It bounds only what can be left out, so results do not depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows, threads

HEIGHT_BLOCK = 64  # cells along a side of the blocks whose highest height in reach is kept
ABSENT = np.float32(-1e30)  # [m] height of "nothing stands here": never above any pixel, and finite, so 0 * absent = 0
_NAN = np.float32(np.nan)
_INFINITE = np.float32(np.inf)
_NO_CROWNS = np.empty((0, 0), np.float32)


class Obstacles(NamedTuple):
    """Heights that rays meet [m], all float32, in the memory of the host or of the GPU.

    faces, ground : (ny, nx)
        Height of block cells and of the continuous surface; -1e30 in the cells of the other kind and where nothing is known.
    crown_top, crown_base : (ny, nx), or (0, 0) without crowns
        Top and base of a crown that rises above a known surface; NaN where there is none.
    highest : (ceil(ny / 64), ceil(nx / 64))
        Highest of all heights within `reach` of any cell of a block.
    reach : int
        Longest march that `highest` allows [cells].
    """

    faces: NDArray[Any]
    ground: NDArray[Any]
    crown_top: NDArray[Any]
    crown_base: NDArray[Any]
    highest: NDArray[Any]
    reach: int

    def moved(self, put: Callable[[Any], Any]) -> Obstacles:
        """Return the same with all arrays moved by `put`, such as to the GPU."""
        faces, ground, crown_top, crown_base, highest = (put(array) for array in self[:5])
        return Obstacles(faces, ground, crown_top, crown_base, highest, self.reach)


@cell
def surface_height(face, ground):
    """Height of the surface in a cell of either kind [m]; NaN where nothing is known."""
    height = face if face > ground else ground
    return height if height > ABSENT else _NAN


def block_cells(surface: NDArray[np.float32], is_building: NDArray[np.bool_], step_slope: float = 2.0) -> NDArray[np.bool_]:
    """Return the cells that stand as blocks with vertical faces.

    A building cell is a block where a neighbour (of 8) outside the building is lower; any cell is a block where a neighbour is
    lower by more than `step_slope` per cell. The rest of the ground and of the roofs is continuous.

    Parameters
    ----------
    surface : (ny, nx) float32
        Surface height divided by the resolution [cells].
    is_building : (ny, nx) bool
        Building mask.
    step_slope : float
        Height step per unit of distance that is a wall, not a slope (2 = 63 degrees).

    Returns
    -------
    (ny, nx) bool
    """
    ny, nx = surface.shape
    block = np.zeros((ny, nx), np.bool_)
    for dj in (-1, 0, 1):
        for di in (-1, 0, 1):
            if dj == 0 and di == 0:
                continue
            here = (slice(max(0, -dj), ny - max(0, dj)), slice(max(0, -di), nx - max(0, di)))
            there = (slice(max(0, dj), ny - max(0, -dj)), slice(max(0, di), nx - max(0, -di)))
            drop = surface[here] - surface[there]
            edge = is_building[here] & ~is_building[there] & (drop > 0)
            block[here] |= edge | (drop > np.float32(step_slope * math.hypot(dj, di)))
    return block


def obstacles(
    surface: NDArray[np.float32],
    is_block: NDArray[np.bool_],
    resolution: float,
    max_distance: float,
    canopy_top: NDArray[np.float32] | None = None,
    canopy_base: NDArray[np.float32] | None = None,
) -> Obstacles:
    """Prepare a surface model for all marches over it, on the host.

    Parameters
    ----------
    surface : (ny, nx) float32
        Surface height without trees [m]; not finite where there is no surface.
    is_block : (ny, nx) bool
        Height model of each cell (`block_cells`).
    resolution, max_distance : float
        Cell size and longest ray of the marches to come [m].
    canopy_top, canopy_base : (ny, nx) float32
        Height of crown top and crown base on the datum of `surface` [m]; no crown where NaN or top <= surface.

    Returns
    -------
    Obstacles
        New arrays in the memory of the host.
    """
    surface = np.ascontiguousarray(surface, np.float32)
    faces, ground = np.empty_like(surface), np.empty_like(surface)
    split_heights(surface, np.ascontiguousarray(is_block, np.bool_), faces, ground)
    top, base = _NO_CROWNS, _NO_CROWNS
    if canopy_top is not None and canopy_base is not None:
        with np.errstate(invalid="ignore"):
            crown = np.isfinite(surface) & np.isfinite(canopy_top) & (canopy_top > surface)
        top, base = (np.where(crown, c, _NAN).astype(np.float32) for c in (canopy_top, canopy_base))
    blocks = np.empty(height_blocks(surface.shape), np.float32)
    highest_of_blocks(faces, ground, top, blocks)
    reach = cells_in_reach(resolution, max_distance)
    return Obstacles(faces, ground, top, base, highest_in_reach(blocks, reach), reach)


def cells_in_reach(resolution: float, max_distance: float) -> int:
    """Return the number of steps of a ray table: no sample lies more cells away along either axis."""
    return int(max_distance / resolution) + 1


@rows
def _split(surface, is_block, faces, ground):
    for i in range(surface.size):
        known = abs(surface[i]) < _INFINITE
        faces[i] = surface[i] if known & is_block[i] else ABSENT
        ground[i] = surface[i] if known & (not is_block[i]) else ABSENT


@threads
def _split_driver(surface, is_block, faces, ground, j0, j1):
    for j in prange(j0, j1):
        _split(surface[j], is_block[j], faces[j], ground[j])


def split_heights(
    surface: NDArray[np.float32],
    is_block: NDArray[np.bool_],
    faces: NDArray[np.float32],
    ground: NDArray[np.float32],
    band: tuple[int, int] | None = None,
) -> None:
    """Fill `faces` and `ground` of `Obstacles` from surface heights [m] and height model, all (ny, nx), in rows `band`."""
    j0, j1 = band or (0, surface.shape[0])
    if j1 > j0 and surface.size:
        _split_driver(surface, is_block, faces, ground, j0, j1)


def height_blocks(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the number of blocks of 64 x 64 cells along both axes of a model."""
    return -(-shape[0] // HEIGHT_BLOCK), -(-shape[1] // HEIGHT_BLOCK)


@threads
def _block_driver(faces, ground, top, out, b0, b1):
    ny, nx = faces.shape
    for b in prange(b0, b1):
        for c in range(out.shape[1]):
            best = ABSENT
            for j in range(b * HEIGHT_BLOCK, min(ny, (b + 1) * HEIGHT_BLOCK)):
                for i in range(c * HEIGHT_BLOCK, min(nx, (c + 1) * HEIGHT_BLOCK)):
                    best = faces[j, i] if faces[j, i] > best else best
                    best = ground[j, i] if ground[j, i] > best else best
            if top.shape[0] > 0:
                for j in range(b * HEIGHT_BLOCK, min(ny, (b + 1) * HEIGHT_BLOCK)):
                    for i in range(c * HEIGHT_BLOCK, min(nx, (c + 1) * HEIGHT_BLOCK)):
                        best = top[j, i] if top[j, i] > best else best
            out[b, c] = best


def highest_of_blocks(
    faces: NDArray[np.float32],
    ground: NDArray[np.float32],
    crown_top: NDArray[np.float32],
    out: NDArray[np.float32],
    band: tuple[int, int] | None = None,
) -> None:
    """Find the highest height [m] of each block of 64 x 64 cells: out (`height_blocks`), in block rows `band`.

    Heights as in `Obstacles`; a block where nothing stands has -1e30.
    """
    b0, b1 = band or (0, out.shape[0])
    if b1 > b0 and out.size:
        _block_driver(faces, ground, crown_top, out, b0, b1)


def highest_in_reach(blocks: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Widen the highest height of blocks to what lies within `reach` cells of any cell of a block: `Obstacles.highest`."""
    radius = (HEIGHT_BLOCK - 1 + reach) // HEIGHT_BLOCK
    found = blocks
    for axis in (0, 1):
        before, found, n = found, found.copy(), blocks.shape[axis]
        for shift in range(1, min(radius, n - 1) + 1):
            low = tuple(slice(None, n - shift) if a == axis else slice(None) for a in (0, 1))
            high = tuple(slice(shift, None) if a == axis else slice(None) for a in (0, 1))
            np.maximum(found[low], before[high], out=found[low])
            np.maximum(found[high], before[low], out=found[high])
    return found


__all__ = [
    "ABSENT", "HEIGHT_BLOCK", "Obstacles", "block_cells", "cells_in_reach", "height_blocks", "highest_in_reach",
    "highest_of_blocks", "obstacles", "split_heights", "surface_height",
]  # fmt: skip
