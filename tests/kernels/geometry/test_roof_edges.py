from __future__ import annotations

import numpy as np
import pytest

from felsina.kernels.geometry.polygons import canonical_order
from felsina.kernels.geometry.roof_edges import MOST_LINES, find_roof_lines
from felsina.kernels.pointcloud.planes import detect_planes, find_neighbours

OUTLINE = np.array([[0, 0, 12_000, 0], [12_000, 0, 12_000, 8000], [12_000, 8000, 0, 8000], [0, 8000, 0, 0]], np.int64)


def _lines(height, seed=0, n=1500, outline=OUTLINE):
    random = np.random.default_rng(seed)
    size = outline[:, :2].max(axis=0)
    x, y = random.uniform(0, size[0], n), random.uniform(0, size[1], n)
    points = np.rint(np.stack((x, y, height(x, y) + random.normal(0, 20, n)), axis=1)).astype(np.int64)
    points = np.ascontiguousarray(points[canonical_order(*points.T)])
    near = find_neighbours(points)
    planes = detect_planes(points, near)
    return find_roof_lines(points, near.nearest, planes.label, planes.coefficients, outline)


def test_a_gable_has_one_line_along_its_ridge():
    lines = _lines(lambda x, y: 3000 + 0.8 * (4000 - np.abs(y - 4000)))
    # Planes of 750 points with 20 mm of noise meet within a few centimetres of the truth.
    ridge = lines[(np.abs(lines[:, [1, 3]] - 4000) < 50).all(axis=1)]
    assert len(ridge) == 1
    assert min(ridge[0, [0, 2]]) < 0 and max(ridge[0, [0, 2]]) > 12_000
    # Step lines beside it would be the same edge seen worse.
    assert ((np.abs(lines[:, 1] - 4000) < 250) & (np.abs(lines[:, 3] - 4000) < 250)).sum() == 1


@pytest.mark.parametrize("step_x", [4000, 7300])
def test_a_step_has_a_line_where_the_upper_plane_ends(step_x):
    lines = _lines(lambda x, y: np.where(x < step_x, 3000.0, 6000.0))
    across = lines[np.abs(lines[:, 0] - lines[:, 2]) < 100]
    # One window of offsets is 0.45 m wide; points are 0.25 m apart.
    assert np.abs(across[:, 0] - step_x).min() < 250


def test_lines_are_whole_numbers_that_do_not_depend_on_the_place_of_the_building():
    here = _lines(lambda x, y: np.where(x + y < 9000, 3000.0, 5000.0))
    again = _lines(lambda x, y: np.where(x + y < 9000, 3000.0, 5000.0))
    assert here.dtype == np.int64
    np.testing.assert_array_equal(here, again)


def test_the_number_of_lines_is_bounded_on_a_roof_of_steps_everywhere():
    outline = OUTLINE * 5
    lines = _lines(lambda x, y: 3000.0 + 1500 * ((x // 2500 * 7 + y // 2500 * 5) % 4), n=20_000, outline=outline)
    assert 20 < len(lines) <= MOST_LINES


def test_no_planes_give_no_lines():
    none = np.empty((0, 3))
    points = np.zeros((4, 3), np.int64)
    assert len(find_roof_lines(points, np.zeros((4, 1), np.int32), np.full(4, -1, np.int32), none, OUTLINE)) == 0
