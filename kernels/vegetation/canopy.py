"""Crown base, gap fraction and leaf area of crowns from their returns, and the rasters of a canopy that follow from them.

Crown base: by height, the returns of a crown have a gap between what grows or lies below (hedges, cars, the ground) and the
crown. From the upper quartile down, the first gap of 1 m of layers that are as good as empty ends the crown; its base is the
height that one return in a hundred above the gap lies below. The outermost returns are strays and branches of neighbours.

Leaf area: light and pulses meet the leaves alike. Of n pulses over a crown n_hit end in it, one of several returns shared
evenly by them; the share P of the others passes it, and by Beer and Lambert with the extinction k of leaves at random
(Monsi and Saeki 1953; 0.5 for a spherical distribution of their angles and light from above)

    P = 1 - n_hit / n,    LAI = -ln(P) / k

n is the density of pulses around the crown times its area: returns from the ground below a crown would count pulses that came
aslant beneath it. Counting first returns alone would leave no gaps: whatever a wide pulse meets first sends one back. LAI is
effective, a proxy: wood counts as leaf, clumping is not corrected, and no measurement on the ground calibrates it (Solberg et
al. 2009, Remote Sensing of Environment 113, 2317-2327, share two returns in the same way).
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows, threads
from felsina.kernels.vegetation.returns import LAYER, PULSE

EXTINCTION = 0.5  # 1; leaves at random, light from above
LOWEST = 500  # mm; lower returns are ground, grass and what is parked on it
GAP = 1000  # mm; an understorey is parted from a crown by at least this
PIT_NEIGHBOURS = 4  # of 8 that are canopy: an unseen cell among them is a pit
UPPER_SHARE = 4  # a crown holds at least one in this many of the returns over its cells
BASE_SHARE = 100  # one return in this many lies below the crown base
BASE_OF_SHRUBS = 4  # vegetation that is of no tree begins at its height divided by this, as UMEP takes for trees
_EMPTY = 500  # a layer is as good as empty where it has at most one return in this many


def crown_base(every: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the height of each crown's base above ground [m], NaN without a return from 0.5 m, and how many returns lie from
    0.5 m up: (m,) each, from the (m, n_layer) profiles of all returns."""
    base, count = np.empty(len(every)), np.empty(len(every), np.int64)
    _crown_base(every, base, count)
    return base, count


def gap_fraction(energy: NDArray[np.int32], base: NDArray[np.float64], pulses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the pulses over each crown that pass it.

    P = max(1 - n_hit / n, 1 / (2 n))

    Where none passes, the share lies between 0 and 1 / n, and half a pulse stands for it.

    Parameters
    ----------
    energy : (m, n_layer) int32
        Pulses that ended in each layer [1 / `PULSE`].
    base : (m,)
        Height of the crown's base [m].
    pulses : (m,)
        Pulses n that were sent to the crown.

    Returns
    -------
    (m,) float64
        NaN where a crown has no base or less than a pulse.
    """
    gap = np.empty(len(energy))
    _gap_fraction(energy, base, pulses, gap)
    return gap


def leaf_area_index(gap: NDArray[np.float64], extinction: float = EXTINCTION) -> NDArray[np.float64]:
    """Return the effective leaf area index [m2 m-2] behind a gap fraction: -ln(P) / k, as (m,)."""
    index = np.empty(len(gap))
    _leaf_area_index(gap, np.float64(extinction), index)
    return index


def close_rows(height: NDArray[np.int32], unseen: NDArray[np.bool_], rows: tuple[int, int], out: NDArray[np.int32]) -> None:
    """Fill pits of a canopy once, in the rows [j0, j1): unseen cells at least half of whose 8 neighbours are canopy.

    Parameters
    ----------
    height, out : (ny, nx) int32
        Canopy [mm], 0 where there is none; not the same array. A pit gets the mean of the neighbours that are canopy.
    unseen : (ny, nx) bool
        Cells without any return: a return from the ground is a gap in the canopy and stays one.
    rows : (j0, j1)
    """
    _close(height, unseen, *rows, out)


def base_rows(
    crown: NDArray[np.int32],
    canopy: NDArray[np.int32],
    base: NDArray[np.int32],
    rows: tuple[int, int],
    out: NDArray[np.float32],
) -> None:
    """Write the height above ground at which the canopy begins, in the rows [j0, j1): 0 where there is none.

    Parameters
    ----------
    crown, canopy : (ny, nx) int32
        Number of the tree, -1 where none; height [mm].
    base : (n_tree,) int32
        Crown bases [mm]. Vegetation that is of no tree begins at a quarter of its height.
    rows : (j0, j1)
    out : (ny, nx) float32
        [m]; not above the canopy's height.
    """
    _base(crown, canopy, base, *rows, out)


def add_depths(
    crown: NDArray[np.int32],
    canopy: NDArray[np.int32],
    base: NDArray[np.int32],
    rows: tuple[int, int],
    slot: NDArray[np.int32],
    depth: NDArray[np.int64],
) -> None:
    """Add the depth of each crown, from its base to its height, over the cells in the rows [j0, j1) to (m,) `depth` [mm]."""
    _add_depths(crown, canopy, base, *rows, slot, depth)


def leaf_rows(
    crown: NDArray[np.int32],
    canopy: NDArray[np.int32],
    base: NDArray[np.int32],
    leaf_area: NDArray[np.float64],
    rows: tuple[int, int],
    out: NDArray[np.float32],
) -> None:
    """Write the leaf area over each cell [m2 m-2] in the rows [j0, j1), spread evenly in the volume of its crown.

    Parameters
    ----------
    crown, canopy, base : as in `base_rows`
    leaf_area : (n_tree,)
        Leaf area per volume of crown [m2 m-3]; NaN where unknown.
    rows : (j0, j1)
    out : (ny, nx) float32
        0 where there is no canopy, NaN where vegetation is of no tree or its leaf area is unknown.
    """
    _leaf(crown, canopy, base, leaf_area, *rows, out)


@threads
def _close(height, unseen, j0, j1, out):
    ny, nx = height.shape
    for j in prange(j0, j1):
        for i in range(nx):
            out[j, i] = height[j, i]
            if height[j, i] == 0 and unseen[j, i]:
                total, n = np.int64(0), np.int64(0)
                for jj in range(max(j - 1, 0), min(j + 2, ny)):
                    for ii in range(max(i - 1, 0), min(i + 2, nx)):
                        total += height[jj, ii]
                        n += height[jj, ii] > 0
                if n >= PIT_NEIGHBOURS:
                    out[j, i] = (2 * total + n) // (2 * n)


@rows
def _crown_base(every, base, count):
    lowest, gap = LOWEST // LAYER, GAP // LAYER
    for s in range(every.shape[0]):
        n = np.int64(0)
        for k in range(lowest, every.shape[1]):
            n += every[s, k]
        count[s] = n
        base[s] = _base_of(every[s], n, lowest, gap) if n > 0 else np.nan


@rows
def _base_of(profile, n, lowest, gap):
    """Return the base [m] of a crown with n returns from the layer `lowest` up, its profile ended by `gap` empty layers."""
    start = profile.size - 1
    above = np.int64(profile[start])
    while above * UPPER_SHARE < n:
        start -= 1
        above += profile[start]
    floor, empty = lowest, 0
    for k in range(start, lowest - 1, -1):
        empty = empty + 1 if profile[k] * _EMPTY <= n else 0
        if empty == gap:
            floor = k + gap
            break
    total = np.int64(0)
    for k in range(floor, profile.size):
        total += profile[k]
    below, k = np.int64(0), floor
    while (below + profile[k]) * BASE_SHARE < total:
        below += profile[k]
        k += 1
    return (k + (total / BASE_SHARE - below) / profile[k]) * (LAYER / 1000.0)


@rows
def _gap_fraction(energy, base, pulses, gap):
    for s in range(energy.shape[0]):
        hit = np.int64(0)
        for k in range(energy.shape[1]):
            hit += energy[s, k] if (k + 1) * LAYER > base[s] * 1000.0 else 0
        n = pulses[s]
        gap[s] = max(1.0 - hit / (n * PULSE), 0.5 / n) if n >= 1.0 and base[s] >= 0.0 else np.nan


@rows
def _leaf_area_index(gap, extinction, index):
    for s in range(gap.size):
        index[s] = -math.log(gap[s]) / extinction


@cell
def base_at(crown, canopy, base):
    """Return the base [mm] of the canopy in a cell of this height [mm] and crown."""
    return min(base[crown], canopy) if crown >= 0 else canopy // BASE_OF_SHRUBS


@threads
def _base(crown, canopy, base, j0, j1, out):
    for j in prange(j0, j1):
        for i in range(crown.shape[1]):
            out[j, i] = np.float32(base_at(crown[j, i], canopy[j, i], base) / 1000.0) if canopy[j, i] > 0 else np.float32(0.0)


@rows
def _add_depths(crown, canopy, base, j0, j1, slot, depth):
    for j in range(j0, j1):
        for i in range(crown.shape[1]):
            t = crown[j, i]
            if t >= 0:
                depth[slot[t]] += canopy[j, i] - base_at(t, canopy[j, i], base)


@threads
def _leaf(crown, canopy, base, leaf_area, j0, j1, out):
    for j in prange(j0, j1):
        for i in range(crown.shape[1]):
            t = crown[j, i]
            if t >= 0:
                depth = canopy[j, i] - base_at(t, canopy[j, i], base)
                out[j, i] = np.float32(leaf_area[t] * (depth / 1000.0))
            else:
                out[j, i] = np.float32(np.nan) if canopy[j, i] > 0 else np.float32(0.0)
