"""Points in footprints, gathered at the owner of each building."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from felsina.engine.grid import Grid
from felsina.engine.io.las import Points
from felsina.engine.parallel.world import World
from felsina.engine.processes.buildings import GROUND_REACH_MM, Shapes
from felsina.engine.processes.terrain import BUILDING, GROUND, ROOF_MIN_HEIGHT, WATER
from felsina.kernels.geometry.membership import locate_points_in_all, locate_points_nearby
from felsina.kernels.pointcloud.raster import sample_nearest


class FootprintPoints:
    """Takes points round by round; every rank sends those in a footprint to the footprint's owner.

    A point in two overlapping footprints belongs to both.

    Parameters
    ----------
    world : World
    grid : frame of the points
    shapes : footprints of all buildings
    owners : (n_building,) rank that owns each
    ground : (ny, nx) float32 bare ground [m]
    trusts_classes : take the points of class building; else the last returns at least `ROOF_MIN_HEIGHT` above ground that are
        not of class ground or water: no walls of light poles, few leaves
    """

    def __init__(
        self,
        world: World,
        grid: Grid,
        shapes: Shapes,
        owners: NDArray[np.int32],
        ground: NDArray[np.float32],
        trusts_classes: bool,
    ) -> None:
        self._world, self._shapes, self._owners, self._ground = world, shapes, owners, ground
        self._trusts = trusts_classes
        self._west, self._north, self._cell = (round(v * 1000) for v in (grid.west, grid.north, grid.resolution))
        self._taken: list[NDArray[np.int64]] = []
        self._ground_taken: list[NDArray[np.int64]] = []

    def add(self, points: Points) -> None:
        """Take a round of points; collective, also for a rank without any."""
        chosen = self._candidates(points)
        x = points.x[chosen].astype(np.int64) + self._west
        y = self._north - points.y[chosen].astype(np.int64)
        s = self._shapes
        offsets, building = locate_points_in_all(np.stack((x, y), axis=1), s.xy, s.ring_offsets, s.shape_offsets)
        times = np.diff(offsets)
        z = points.z[chosen].astype(np.int64)
        rows = np.stack([np.repeat(v, times) for v in (x, y, z)] + [building.astype(np.int64)], axis=1)
        self._taken += self._sent(rows, building)
        if self._trusts:
            self._add_ground(points)

    def collected(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the points of this rank's buildings, (n, 3) x, y, z [mm] in the CRS, and the building of each, (n,)."""
        rows = np.concatenate(self._taken) if self._taken else np.zeros((0, 4), np.int64)
        return np.ascontiguousarray(rows[:, :3]), np.ascontiguousarray(rows[:, 3])

    def ground(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return heights [mm] of ground returns within `GROUND_REACH_MM` of this rank's buildings, and the building of each."""
        rows = np.concatenate(self._ground_taken) if self._ground_taken else np.zeros((0, 2), np.int64)
        return np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1])

    def _add_ground(self, points: Points) -> None:
        chosen = points.classification == GROUND
        x = points.x[chosen].astype(np.int64) + self._west
        y = self._north - points.y[chosen].astype(np.int64)
        s = self._shapes
        offsets, members = locate_points_nearby(
            np.stack((x, y), axis=1), GROUND_REACH_MM, s.xy, s.ring_offsets, s.shape_offsets
        )
        building = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        z = points.z[chosen].astype(np.int64)[members]
        self._ground_taken += self._sent(np.stack((z, building), axis=1), building)

    def _sent(self, rows: NDArray[np.int64], building: NDArray[np.integer]) -> list[NDArray[np.int64]]:
        """Send each row to the owner of its building and return what comes here; collective."""
        owner = self._owners[building]
        order = np.argsort(owner, kind="stable")
        cuts = np.cumsum(np.bincount(owner, minlength=self._world.size))[:-1]
        return self._world.exchange(np.split(rows[order], cuts))

    def _candidates(self, points: Points) -> NDArray[np.bool_]:
        if self._trusts:
            return points.classification == BUILDING
        ground = sample_nearest(self._ground, points.x.astype(np.int64), points.y.astype(np.int64), self._cell)
        high = points.z - ground >= round(ROOF_MIN_HEIGHT * 1000)
        is_last = points.return_number >= points.number_of_returns
        return high & is_last & ~np.isin(points.classification, (GROUND, WATER))
