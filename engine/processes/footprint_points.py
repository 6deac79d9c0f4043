"""Points in and around footprints, kept on disk by units of buildings until a unit is worked on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.engine.grid import Grid
from felsina.engine.io.las import Points
from felsina.engine.io.spool import Spool
from felsina.engine.processes.buildings import GROUND_REACH_MM, Shapes, rows_of
from felsina.engine.processes.terrain import BUILDING, GROUND, ROOF_MIN_HEIGHT, WATER
from felsina.kernels.geometry.membership import locate_points_in_all, locate_points_nearby
from felsina.kernels.geometry.polygons import shape_bounds
from felsina.kernels.pointcloud.raster import sample_nearest

ROOF_REACH_MM = 2000  # around a footprint: what an overhang or a footprint out of place leaves outside
# Bits of `kind`.
INSIDE, ON_ROOF, ON_GROUND, ELSEWHERE = 1, 2, 4, 8

RECORD = np.dtype(
    [(name, "<i4") for name in ("x", "y", "z", "row")]
    + [(name, "u1") for name in ("kind", "classification", "return_number", "number_of_returns")]
)


class UnitPoints(NamedTuple):
    """Points of some buildings; a point near two of them is there twice.

    Attributes
    ----------
    xyz : (n, 3) int64
        Positions in the CRS [mm].
    row : (n,) int64
        Building of each.
    kind : (n,) uint8
        Bits: INSIDE its footprint, else near it; ON_ROOF, a return that may be of a roof; ON_GROUND, of the ground; ELSEWHERE,
        near it and inside another footprint.
    classification, return_number, number_of_returns : (n,) uint8
        As the files have them.
    """

    xyz: NDArray[np.int64]
    row: NDArray[np.int64]
    kind: NDArray[np.uint8]
    classification: NDArray[np.uint8]
    return_number: NDArray[np.uint8]
    number_of_returns: NDArray[np.uint8]

    def take(self, which: NDArray[Any] | slice) -> UnitPoints:
        """Return some of the points."""
        return UnitPoints(
            self.xyz[which],
            self.row[which],
            self.kind[which],
            self.classification[which],
            self.return_number[which],
            self.number_of_returns[which],
        )


class FootprintPoints:
    """Takes points round by round and appends those in and around footprints to a spool, by units.

    Kept are all points in a footprint, roof returns within `ROOF_REACH_MM` and ground returns within `GROUND_REACH_MM` of one.
    A point near two footprints is kept for both.

    Parameters
    ----------
    grid : frame of the points
    shapes : footprints of all buildings
    ground : (ny, nx) float32 bare ground [m]
    trusts_classes : roof returns are those of class building, ground returns those of class ground; else roof returns are the
        last returns at least `ROOF_MIN_HEIGHT` above ground that are not of class ground or water (no walls of light poles, few
        leaves), and there are no ground returns
    spool : takes the records
    unit : consecutive buildings of one unit
    """

    def __init__(
        self, grid: Grid, shapes: Shapes, ground: NDArray[np.float32], trusts_classes: bool, spool: Spool, unit: int
    ) -> None:
        self._ground, self._trusts, self._spool, self._unit = ground, trusts_classes, spool, unit
        self._west, self._north, self._cell = (round(v * 1000) for v in (grid.west, grid.north, grid.resolution))
        self._shapes = shapes
        self._bounds = shape_bounds(shapes.xy, shapes.ring_offsets, shapes.shape_offsets)

    def add(self, points: Points) -> None:
        """Take a round of points."""
        if len(points) == 0:
            return
        x = points.x.astype(np.int64) + self._west
        y = self._north - points.y.astype(np.int64)
        b, reach = self._bounds, max(GROUND_REACH_MM, ROOF_REACH_MM)
        beside = (b[:, 0] > x.max() + reach) | (b[:, 2] < x.min() - reach) | (b[:, 1] > y.max() + reach)
        rows = np.flatnonzero(~beside & ~(b[:, 3] < y.min() - reach))
        if len(rows) == 0:
            return
        shapes = rows_of(self._shapes, rows)
        xy = np.stack((x, y), axis=1)
        on_roof, on_ground = self._meaning(points)
        kind = (np.where(on_roof, ON_ROOF, 0) | np.where(on_ground, ON_GROUND, 0)).astype(np.uint8)
        offsets, member = locate_points_in_all(xy, shapes.xy, shapes.ring_offsets, shapes.shape_offsets)
        inside = np.repeat(np.arange(len(points)), np.diff(offsets))
        self._keep(points, inside, rows[member], kind[inside] | np.uint8(INSIDE))
        kind[np.diff(offsets) > 0] |= np.uint8(ELSEWHERE)
        for picked, distance in ((on_roof, ROOF_REACH_MM), (on_ground, GROUND_REACH_MM)):
            which = np.flatnonzero(picked)
            near, members = locate_points_nearby(
                np.ascontiguousarray(xy[which]), distance, shapes.xy, shapes.ring_offsets, shapes.shape_offsets
            )
            which = which[members]
            self._keep(points, which, np.repeat(rows, np.diff(near)), kind[which])

    def _keep(self, points: Points, which: NDArray[np.int64], row: NDArray[np.int64], kind: NDArray[np.uint8]) -> None:
        records = np.empty(len(which), RECORD)
        for name in ("x", "y", "z", "classification", "return_number", "number_of_returns"):
            records[name] = getattr(points, name)[which]
        records["row"], records["kind"] = row, kind
        self._spool.add(records, row // self._unit)

    def _meaning(self, points: Points) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Tell which points may be of a roof, and which are of the ground."""
        if self._trusts:
            return points.classification == BUILDING, points.classification == GROUND
        ground = sample_nearest(self._ground, points.x.astype(np.int64), points.y.astype(np.int64), self._cell)
        high = points.z - ground >= round(ROOF_MIN_HEIGHT * 1000)
        is_last = points.return_number >= points.number_of_returns
        roof = high & is_last & ~np.isin(points.classification, (GROUND, WATER))
        return roof, np.zeros(len(points), np.bool_)


def unit_points(records: NDArray[Any], grid: Grid) -> UnitPoints:
    """Return records of a spool, in the frame of `grid`, as points in the CRS, sorted: the same for any files and ranks."""
    wide = {name: records[name].astype(np.int64) for name in RECORD.names or ()}
    place = (wide["y"] << 32) + wide["z"]  # a carry from z keeps the order total
    what = (wide["kind"] << 24) | (wide["classification"] << 16) | (wide["return_number"] << 8) | wide["number_of_returns"]
    r = records[np.lexsort((what, place, (wide["row"] << 32) + wide["x"]))]
    west, north = round(grid.west * 1000), round(grid.north * 1000)
    xyz = np.stack((r["x"] + np.int64(west), north - r["y"].astype(np.int64), r["z"]), axis=1).astype(np.int64)
    flags = (np.ascontiguousarray(r[n]) for n in ("kind", "classification", "return_number", "number_of_returns"))
    return UnitPoints(xyz, r["row"].astype(np.int64), *flags)
