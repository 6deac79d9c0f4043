"""Treetops and crowns of a canopy height raster: local maxima in windows that grow with height, and the cells below them.

Every cell of the canopy is linked to one higher cell, every chain of links ends at a treetop, and a crown is what hangs on it.
"Higher" is a total order: the greater height in whole millimetres, of equal heights the cell that comes first by row, then
column. A cell is therefore told by the canopy around it, on no order of work: rows may be cut anywhere and threads may be many.

    smooth     binomial weights 1 2 1 in both directions; ground, roofs and what lies beyond the edge count as height 0
    link       to the steepest of the 8 neighbours that are higher, of several the first by row, then column; where none is
               higher, to the nearest higher cell within the window, of several the highest
    treetop    a cell without a higher one in its window
    crown      cells whose chain stays within `reach` of them, ends at a treetop, and that are at least a share of its height

The window is that of Popescu and Wynne 2004 (doi:10.14358/PERS.70.5.589), as wide as a crown of that height, deciduous and
pine together: d = 2.51503 m + 0.00901 m-1 h^2. The links are the watershed by steepest ascent (Roerdink and Meijster 2000,
doi:10.3233/FI-2000-411207), with treetops as its only markers; share and reach bound it as Dalponte and Coomes 2016
(doi:10.1111/2041-210X.12575) bound the growth of theirs.

A crown looks no farther than `reach`, a window, a neighbour and a cell for each smoothing: its halo, where a raster is cut.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows, threads

WINDOW = (2.51503, 0.0, 0.00901)  # m, 1, m-1: crown diameter by powers of the height, Popescu and Wynne 2004, combined
SHARE = 450  # of 1000: a cell lower than this share of its treetop is not of its crown (Dalponte and Coomes 2016: 0.45)
TALLEST = 120_000  # mm; no tree is taller
_STRAIGHT, _DIAGONAL = 140, 99  # in the ratio of the square root of 2: 7e-5 off


def canopy_millimetres(canopy: NDArray[np.float32], rows: tuple[int, int], out: NDArray[np.int32]) -> None:
    """Write the rows [j0, j1) of a canopy height raster [m] as whole millimetres; 0 where there is none or it is NaN.

    Parameters
    ----------
    canopy, out : (ny, nx) float32 [m], int32 [mm]
    rows : (j0, j1)
    """
    _canopy_millimetres(canopy, *rows, out)


def smooth_rows(height: NDArray[np.int32], rows: tuple[int, int], out: NDArray[np.int32]) -> None:
    """Smooth the rows [j0, j1) of a canopy once with the weights (1 2 1) x (1 2 1) / 16; what is 0 stays 0.

    Parameters
    ----------
    height, out : (ny, nx) int32 [mm], not the same array
    rows : (j0, j1)
    """
    _smooth(height, *rows, out)


def smoothings(width_m: float, cell_m: float) -> int:
    """Return how many smoothings have the standard deviation `width_m` [m]: each adds half a squared cell to the variance."""
    return max(0, round(2.0 * (width_m / cell_m) ** 2))


def window_table(cell_mm: int, scale: float = 1.0, window: tuple[float, float, float] = WINDOW) -> NDArray[np.int64]:
    """Return the squared radius of the window [cells2] by the height in whole decimetres, as (1201,) int64.

    Parameters
    ----------
    cell_mm : [mm]
    scale : factor of the diameter [1]
    window : coefficients of height to the power 0, 1 and 2 [m, 1, m-1]
    """
    a, b, c = window
    height = np.arange(TALLEST // 100 + 1) / 10.0
    radius = np.maximum(0.5 * scale * (a + (b + c * height) * height), 0.0) / (cell_mm / 1000.0)
    return np.floor(radius * radius).astype(np.int64)


def link_rows(height: NDArray[np.int32], window: NDArray[np.int64], rows: tuple[int, int], link: NDArray[np.int32]) -> None:
    """Link the cells in the rows [j0, j1) to a higher cell each, a treetop to itself.

    Parameters
    ----------
    height : (ny, nx) int32
        Smoothed canopy [mm], 0 where there is none.
    window : `window_table`
    rows : (j0, j1)
    link : (ny, nx) int32
        Flat index of the higher cell, -1 where there is no canopy; written.
    """
    if height.size > np.iinfo(np.int32).max:
        raise ValueError(f"The raster has {height.size:,} cells; links number up to {np.iinfo(np.int32).max:,}.")
    _link(height.reshape(-1), *height.shape, window, *rows, link.reshape(-1))


def crown_rows(
    canopy: NDArray[np.int32],
    height: NDArray[np.int32],
    link: NDArray[np.int32],
    reach: int,
    rows: tuple[int, int],
    crown: NDArray[np.int32],
    share: int = SHARE,
) -> None:
    """Find the treetop that each cell in the rows [j0, j1) belongs to, as its flat index; -1 where it belongs to none.

    Parameters
    ----------
    canopy, height : (ny, nx) int32
        Canopy as measured and as smoothed [mm].
    link : (ny, nx) int32
        `link_rows`, for all rows within `reach` and a window.
    reach : int
        Largest distance from a cell to its treetop [cells].
    rows : (j0, j1)
    crown : (ny, nx) int32
        Written.
    share : int
        Least height of a cell [thousandths of its treetop's].
    """
    flat = (canopy.reshape(-1), height.reshape(-1), link.reshape(-1))
    _crown(*flat, canopy.shape[1], reach * reach, share, *rows, crown.reshape(-1))


def treetops(crown: NDArray[np.int32], rows: tuple[int, int]) -> NDArray[np.int64]:
    """Return the flat indices of the treetops in the rows [j0, j1), ascending: by row, then column."""
    nx = crown.shape[1]
    first, last = rows[0] * nx, rows[1] * nx
    part = crown.reshape(-1)[first:last]
    return np.flatnonzero(part == np.arange(first, last)).astype(np.int64) + first


def number_crowns(crown: NDArray[np.int32], tops: NDArray[np.int64], rows: tuple[int, int]) -> None:
    """Replace treetops by their place in (n,) ascending `tops`, -1 where it has none, in the rows [j0, j1), in place."""
    _number(crown, tops, *rows)


def delineate(
    canopy: NDArray[np.float32],
    cell_m: float,
    smoothing_m: float = 0.5,
    reach_m: float = 10.0,
    scale: float = 1.0,
    share: int = SHARE,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return crowns and treetops of a whole raster.

    Parameters
    ----------
    canopy : (ny, nx) float32
        Height of the canopy above ground [m], 0 or NaN where there is none.
    cell_m : cell size [m]
    smoothing_m : standard deviation of the smoothing [m]
    reach_m : farthest cell of a crown from its treetop [m]
    scale : factor of the window's diameter [1]
    share : least height of a cell [thousandths of its treetop's]

    Returns
    -------
    crown : (ny, nx) int32
        Number of the tree that a cell belongs to, -1 where none.
    tops : (n_tree,) int64
        Flat index of each treetop, ascending.
    """
    whole = 0, canopy.shape[0]
    raw, link, crown = (np.empty(canopy.shape, np.int32) for _ in range(3))
    canopy_millimetres(canopy, whole, raw)
    height, spare = raw.copy(), np.empty_like(raw)
    for _ in range(smoothings(smoothing_m, cell_m)):
        smooth_rows(height, whole, spare)
        height, spare = spare, height
    link_rows(height, window_table(round(cell_m * 1000), scale), whole, link)
    crown_rows(raw, height, link, math.floor(reach_m / cell_m), whole, crown, share)
    tops = treetops(crown, whole)
    number_crowns(crown, tops, whole)
    return crown, tops


@cell
def is_higher(height, a, b):
    """Tell whether the cell a comes before b in the total order of heights."""
    return height[a] > height[b] or (height[a] == height[b] and a < b)


@threads
def _canopy_millimetres(canopy, j0, j1, out):
    for j in prange(j0, j1):
        for i in range(canopy.shape[1]):
            h = canopy[j, i]
            # NaN fails the comparison. Adding a half and cutting: heights are positive here.
            out[j, i] = np.int32(min(np.float64(h) * 1000.0 + 0.5, np.float64(TALLEST))) if h > 0.0 else np.int32(0)


@threads
def _smooth(height, j0, j1, out):
    last = height.shape[0] - 1
    for j in prange(j0, j1):
        north, south = (1 if j > 0 else 0), (1 if j < last else 0)
        _smooth_row(height[max(j - 1, 0)], height[j], height[min(j + 1, last)], north, south, out[j])


@rows
def _smooth_row(north, middle, south, has_north, has_south, out):
    nx = middle.size
    for i in range(nx):
        if middle[i] == 0:
            out[i] = 0
            continue
        w, e = max(i - 1, 0), min(i + 1, nx - 1)
        a, b = (1 if i > 0 else 0), (1 if i + 1 < nx else 0)
        total = 2 * (a * middle[w] + 2 * middle[i] + b * middle[e])
        total += has_north * (a * north[w] + 2 * north[i] + b * north[e])
        total += has_south * (a * south[w] + 2 * south[i] + b * south[e])
        out[i] = max((total + 8) // 16, 1)


@threads
def _link(height, ny, nx, window, j0, j1, link):
    for j in prange(j0, j1):
        for i in range(nx):
            k = j * nx + i
            link[k] = _linked(height, ny, nx, window, j, i) if height[k] > 0 else -1


@rows
def _linked(height, ny, nx, window, j, i):
    """Return the cell that the canopy cell (j, i) hangs on: itself where it is a treetop."""
    k = j * nx + i
    best, steepest = k, np.int64(-1)
    for jj in range(max(j - 1, 0), min(j + 2, ny)):
        for ii in range(max(i - 1, 0), min(i + 2, nx)):
            q = jj * nx + ii
            if is_higher(height, q, k) and q != k:
                rise = np.int64(height[q] - height[k]) * (_DIAGONAL if jj != j and ii != i else _STRAIGHT)
                if rise > steepest:
                    best, steepest = q, rise
    if best != k:
        return best
    radius2 = window[min(height[k] // 100, window.size - 1)]
    radius = np.int64(math.sqrt(radius2)) + 1
    nearest = radius2 + 1
    for jj in range(max(j - radius, 0), min(j + radius + 1, ny)):
        for ii in range(max(i - radius, 0), min(i + radius + 1, nx)):
            q, d2 = jj * nx + ii, (jj - j) ** 2 + (ii - i) ** 2
            is_near = d2 <= radius2 and (d2 < nearest or (d2 == nearest and is_higher(height, q, best)))
            if is_near and is_higher(height, q, k):
                best, nearest = q, d2
    return best


@threads
def _crown(canopy, height, link, nx, reach2, share, j0, j1, crown):
    for j in prange(j0, j1):
        for i in range(nx):
            k = np.int64(j) * nx + i
            crown[k] = _climb(canopy, height, link, nx, reach2, share, k, j, i) if link[k] >= 0 else -1


@rows
def _climb(canopy, height, link, nx, reach2, share, k, j, i):
    """Follow the links of the cell k = (j, i) to its treetop; -1 where the way leads too far or the treetop is too high."""
    q = k
    while link[q] != q:
        q = np.int64(link[q])
        if (q // nx - j) ** 2 + (q % nx - i) ** 2 > reach2:
            return np.int64(-1)
    high_enough = np.int64(canopy[k]) * 1000 >= np.int64(share) * height[q]
    # Smoothing can raise a pit to a treetop, which is of its crown whatever its own height.
    return q if high_enough or q == k else np.int64(-1)


@threads
def _number(crown, tops, j0, j1):
    for j in prange(j0, j1):
        for i in range(crown.shape[1]):
            top = np.int64(crown[j, i])
            if top >= 0:
                rank = np.searchsorted(tops, top)
                crown[j, i] = rank if rank < tops.size and tops[rank] == top else -1
