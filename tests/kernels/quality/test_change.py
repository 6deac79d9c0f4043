"""Heights of roof models and what stands above them."""

from __future__ import annotations

import numpy as np
import pytest

from felsina.kernels.geometry.extrusion import GROUND, ROOF, WALL
from felsina.kernels.geometry.roof_solid import RoofSolid
from felsina.kernels.quality.change import NO_ROOF, measure_above, roof_heights


def gable(width=8_000, length=12_000, eaves=3_000, ridge=6_000):
    """A gabled house with its ridge along x over the middle."""
    half = width // 2
    corners = [(0, 0), (length, 0), (length, width), (0, width)]
    top = [(x, y, eaves) for x, y in corners] + [(0, half, ridge), (length, half, ridge)]
    vertices = np.array([(x, y, 0) for x, y in corners] + top, np.int64)
    faces = [
        (GROUND, [3, 2, 1, 0]),
        (WALL, [0, 1, 5, 4]),
        (WALL, [1, 2, 6, 9, 5]),
        (WALL, [2, 3, 7, 6]),
        (WALL, [3, 0, 4, 8, 7]),
        (ROOF, [4, 5, 9, 8]),
        (ROOF, [8, 9, 6, 7]),
    ]
    rings = np.concatenate([r for _, r in faces]).astype(np.int64)
    offsets = np.cumsum([0, *(len(r) for _, r in faces)]).astype(np.int64)
    kinds = np.array([k for k, _ in faces], np.int8)
    none = np.full(len(faces), -1, np.int64)
    return RoofSolid(vertices, rings, offsets, np.arange(len(faces) + 1), kinds, none, none)


def test_a_roof_is_as_high_as_its_planes():
    random = np.random.default_rng(0)
    xy = np.stack((random.integers(0, 12_000, 500), random.integers(0, 8_000, 500)), axis=1)
    expected = 3_000 + 0.75 * (4_000 - np.abs(xy[:, 1] - 4_000))
    # Whole millimetres.
    assert np.abs(roof_heights(xy, gable()) - expected).max() <= 0.5


def test_beside_the_roof_there_is_none():
    xy = np.array([(-1, 10), (12_000, 10), (10, 8_000), (50_000, 50_000)], np.int64)
    assert (roof_heights(xy, gable()) == NO_ROOF).all()
    assert len(roof_heights(np.empty((0, 2), np.int64), gable())) == 0


def test_what_stands_above_is_measured_by_area():
    # A block of 5 m by 4 m and 3.5 m above the ridge's plane, one return each half metre; noise below the limit beside it.
    x, y = np.meshgrid(np.arange(2_000, 7_000, 500), np.arange(0, 4_000, 500))
    xy = np.stack((x.ravel(), y.ravel()), axis=1)
    roof = roof_heights(xy, gable())
    points = np.column_stack((xy, roof + 3_500))
    low = np.column_stack((xy + np.array([5_000, 0]), roof + 2_500))
    both = np.concatenate((points, low))
    made = measure_above(both, roof_heights(both[:, :2].copy(), gable()), np.where(np.arange(len(both)) < 20, 3, 1), 2_500)
    assert (made.n_cell, made.n_point, made.n_multiple, made.largest) == (20, 80, 20, 3.5)


@pytest.mark.parametrize("seed", [0, 1])
def test_order_does_not_matter_and_points_without_roof_do_not_count(seed):
    random = np.random.default_rng(seed)
    points = np.column_stack((random.integers(-5_000, 20_000, (400, 2)), random.integers(0, 20_000, 400)))
    points = points.astype(np.int64)
    roof = roof_heights(points[:, :2].copy(), gable())
    order = random.permutation(len(points))
    a, b = measure_above(points, roof, None, 2_500), measure_above(points[order], roof[order], None, 2_500)
    inside = roof != NO_ROOF
    assert a == b and a.n_point == np.count_nonzero(points[inside, 2] - roof[inside] > 2_500)
    cells = np.unique(points[inside & (points[:, 2] - roof > 2_500)][:, :2] // 1_000, axis=0)
    assert a.n_cell == len(cells) and a.n_multiple == 0
