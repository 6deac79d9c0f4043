"""Where the heat that buildings reject enters the air of the streets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class HeatSources:
    """Where the waste heat of buildings enters the air: one row per building and air cell, ordered by cell, then building."""

    cell: NDArray[np.int64]  # flat index in (n_layer, ny, nx) of the air grid
    building: NDArray[np.int64]
    weight: NDArray[np.float64]  # of the building's heat; the weights of a building add up to 1


def waste_heat_sources(
    building: NDArray[np.int64], column: NDArray[np.int64], roof_layer: NDArray[np.int32], n_layer: int
) -> HeatSources:
    """Spread the waste heat of each building over the street air around it, evenly from the ground to its roof.

    Condensers hang on facades and stand on roofs, exhaust leaves through windows: the columns of open street that touch those
    of the building, or the air over its roof where none does.

    Parameters
    ----------
    building, column : (n,) int64
        Pairs of a building and a flat air column that it covers, sorted by building, then column.
    roof_layer : (ny, nx) int32
        Solid layers of each air column.
    n_layer : layers of air
    """
    if len(building) == 0:
        return HeatSources(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    ny, nx = roof_layer.shape
    rows: list[tuple[NDArray[np.int64], int, float]] = []
    starts = np.flatnonzero(np.r_[True, building[1:] != building[:-1]])
    for first, last in zip(starts, [*starts[1:], len(building)], strict=True):
        own = column[first:last]
        j, i = np.divmod(own, nx)
        near = {(int(jj) + dj, int(ii) + di) for jj, ii in zip(j, i, strict=True) for dj in (-1, 0, 1) for di in (-1, 0, 1)}
        ring = sorted(jj * nx + ii for jj, ii in near if 0 <= jj < ny and 0 <= ii < nx and roof_layer[jj, ii] == 0)
        top = max(1, int(roof_layer.reshape(-1)[own].max()))
        if ring:
            cells = (np.arange(min(top, n_layer))[:, None] * (ny * nx) + np.array(ring)).reshape(-1)
        else:
            cells = roof_layer.reshape(-1)[own].astype(np.int64) * (ny * nx) + own
        rows.append((cells, int(building[first]), 1.0 / len(cells)))
    cell = np.concatenate([r[0] for r in rows])
    owner = np.concatenate([np.full(len(r[0]), r[1]) for r in rows])
    weight = np.concatenate([np.full(len(r[0]), r[2]) for r in rows])
    order = np.lexsort((owner, cell))
    return HeatSources(cell[order], owner[order], weight[order])
