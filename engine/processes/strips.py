"""Misfit of flight strips on smooth ground: tallied by the owners of cells while the points pass, told in one sentence.

Strips are told apart by the point source ids of the files. Where all points have the same, by gaps in their GPS time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.grid import Grid
from felsina.engine.io.las import GPS_SECOND, Points
from felsina.engine.parallel.world import World
from felsina.kernels.quality.strips import (
    LABELS,
    StripDifferences,
    StripTally,
    empty_tally,
    labels_seen,
    merge_differences,
    merge_tallies,
    relabelled,
    strip_differences,
    strips_of_seconds,
    summarise,
    tally_strips,
)

COLUMNS = ("point_source_id", GPS_SECOND)  # optional columns of the points that the check reads
CELL_M = 1.0  # about; whole cells of the grid, so that a cell has one owner
FEWEST_CELLS = 30  # below, a pair of strips says nothing: a median of 30 with 5 cm of noise is good to 1 cm
LISTED = 10  # pairs in the record, the most different first
_PENDING = 2_000_000  # rows that wait to be merged: 64 MB


class StripCheck:
    """Tallies single ground returns by cell and strip.

    Parameters
    ----------
    grid : of the terrain; the points lie in its frame
    """

    def __init__(self, grid: Grid) -> None:
        factor = cells_per_block(grid.resolution)
        self._cell = factor * round(grid.resolution * 1000)
        self._shape = -(-grid.ny // factor), -(-grid.nx // factor)
        self.clear()

    def clear(self) -> None:
        """Forget all points."""
        self._strips, self._seconds = _Pile(), _Pile()
        self._source = -1  # the only source id so far; -1 none yet, LABELS several

    def add(self, points: Points, is_ground: NDArray[np.bool_]) -> None:
        """Take points of cells that this rank owns.

        Parameters
        ----------
        points : with the columns of `COLUMNS`
        is_ground : (n,) bool
            Returns of the ground. Of these, only those that are the only return of their pulse are used.
        """
        chosen = np.flatnonzero(is_ground & (points.number_of_returns <= 1))
        if len(chosen) == 0:
            return
        # Points outside the grid belong to its nearest cell, as in `ingest`.
        row = np.clip(points.y[chosen].astype(np.int64) // self._cell, 0, self._shape[0] - 1)
        column = np.clip(points.x[chosen].astype(np.int64) // self._cell, 0, self._shape[1] - 1)
        cells, z = row * self._shape[1] + column, points.z[chosen]
        source = points.extra["point_source_id"][chosen]
        low, high = int(source.min()), int(source.max())
        self._source = low if low == high and self._source in (-1, low) else LABELS
        self._strips.add(tally_strips(cells, source, z))
        if self._source == LABELS:
            self._seconds = _Pile()  # ids tell strips apart: seconds will not be asked
        else:
            self._seconds.add(tally_strips(cells, points.extra[GPS_SECOND][chosen], z))

    def over(self, world: World) -> tuple[StripDifferences, str]:
        """Return the differences of all ranks, and what told strips apart: "source", "time" or "nothing"; collective."""
        sources = {s for s in world.allgather(self._source) if s >= 0}
        by = "source"
        tally = self._strips.merged()
        if len(sources) == 1 and LABELS not in sources:
            tally = self._seconds.merged()
            seen = world.reduce_exact(labels_seen(tally).astype(np.int64), "max") > 0
            strip = strips_of_seconds(seen)
            by = "time" if strip.max() > 1 else "nothing"
            tally = relabelled(tally, strip)
        return merge_differences(*world.allgather(strip_differences(tally))), by


class _Pile:
    """Tallies that are merged when they are many."""

    def __init__(self) -> None:
        self._parts: list[StripTally] = []
        self._waiting = 0

    def add(self, tally: StripTally) -> None:
        self._parts.append(tally)
        self._waiting += len(tally.key)
        if self._waiting > _PENDING:
            self._parts, self._waiting = [self.merged()], 0

    def merged(self) -> StripTally:
        return merge_tallies(empty_tally(), *self._parts)


def cells_per_block(resolution_m: float, wanted_m: float = CELL_M) -> int:
    """Return the power of two of grid cells whose edge is nearest to what is wanted: it divides the blocks that ranks own."""
    factor = 1
    while factor < 64 and 1.5 * factor * resolution_m <= wanted_m:
        factor *= 2
    return factor


def strip_figures(differences: StripDifferences, by: str, limit_m: float) -> tuple[dict[str, Any], list[str]]:
    """Return the figures of the record and the sentences that a user should read.

    Parameters
    ----------
    differences, by : of `StripCheck.over`
    limit_m : largest root mean square difference that passes [m]
    """
    d = differences
    every = summarise(d.histogram.sum(axis=0), int(d.square.sum()))
    figures: dict[str, Any] = {"told_apart_by": by, "pairs": len(d.first), "cells": every.n_cell}
    if every.n_cell < FEWEST_CELLS:
        return figures, []
    figures |= {"root_mean_square_m": round(every.root_mean_square, 4), "percentile_95_m": round(every.percentile_95, 3)}
    pairs = [
        (int(first), int(second), summarise(histogram, int(square)))
        for first, second, histogram, square in zip(d.first, d.second, d.histogram, d.square, strict=True)
    ]
    pairs = sorted((p for p in pairs if p[2].n_cell >= FEWEST_CELLS), key=lambda p: (-abs(p[2].median), p[:2]))
    figures["worst_pairs"] = [
        {"strips": [first, second], "cells": m.n_cell, "median_m": round(m.median, 3)}
        | {"root_mean_square_m": round(m.root_mean_square, 4), "percentile_95_m": round(m.percentile_95, 3)}
        for first, second, m in pairs[:LISTED]
    ]
    wrong = [p for p in pairs if p[2].root_mean_square > limit_m]
    if not wrong:
        return figures, []
    lower, upper, worst = wrong[0]
    name = "point source id" if by == "source" else "gaps in GPS time"
    side = "above" if worst.median >= 0 else "below"
    sentence = (
        f"{len(wrong):,} of {len(pairs):,} pairs of flight strips disagree on smooth ground: strip {upper} lies "
        f"{abs(worst.median):.3f} m {side} strip {lower} in the median (root mean square {worst.root_mean_square:.3f} m, "
        f"{worst.n_cell:,} cells; strips by {name}), limit {limit_m:g} m (quality.strip_misfit_m). Have the strips adjusted, "
        "or leave one of the two out."
    )
    return figures, [sentence]
