from __future__ import annotations

import numpy as np
import pytest

from felsina.kernels.geometry.arrangement import arrange
from felsina.kernels.geometry.face_costs import face_centroids
from felsina.kernels.geometry.roof_levels import connected_parts, level_steps, measure_roof

OUTLINE = np.array([[0, 0, 10_000, 0], [10_000, 0, 10_000, 1000], [10_000, 1000, 0, 1000], [0, 1000, 0, 0]], np.int64)


@pytest.fixture
def strips():
    """Five strips of 2 m x 1 m from west to east, and their order."""
    made = arrange(OUTLINE, np.array([[x, -1, x, 1001] for x in (2000, 4000, 6000, 8000)], np.int64))
    return made, np.argsort(face_centroids(made)[:, 0])


def _along(order, values):
    out = np.empty(len(values), np.int64)
    out[order] = values
    return out


def test_faces_of_one_label_are_one_part_only_where_they_touch(strips):
    made, order = strips
    part = connected_parts(made.face, _along(order, [3, 3, 0, 3, 3]))
    assert len(set(part.tolist())) == 3
    a, b, c, d, e = part[order]
    assert a == b and d == e and len({a, c, d}) == 3


def _levels(strips, heights, step):
    made, order = strips
    label = _along(order, range(5))
    planes = np.column_stack((np.zeros((5, 2)), np.array(heights, float)))
    part = connected_parts(made.face, label)
    group, height = level_steps(made.face, made.area2, part, label, face_centroids(made), planes, step)
    return height[group][order]


def test_the_least_step_is_levelled_first_until_all_are_high_enough(strips):
    np.testing.assert_allclose(_levels(strips, [3000, 4000, 7000, 7500, 12_000], 3000), [3500, 3500, 7250, 7250, 12_000])


def test_joining_changes_later_steps(strips):
    # 5,000 and 6,000 join at 5,500, then 2,600 is 2,900 below: at 4,533 it is 4,467 below the last.
    np.testing.assert_allclose(_levels(strips, [2600, 5000, 6000, 9000, 9000], 3000)[:3], [4533.333] * 3, atol=1e-3)


def test_a_step_of_exactly_the_limit_stays(strips):
    np.testing.assert_allclose(_levels(strips, [3000, 6000, 9000, 12_000, 15_000], 3000), [3000, 6000, 9000, 12_000, 15_000])


def test_the_volume_stays(strips):
    heights = np.random.default_rng(0).uniform(3000, 9000, 5)
    assert _levels(strips, heights, 1500).mean() == pytest.approx(heights.mean())


def test_a_slope_counts_with_its_mean(strips):
    made, _ = strips
    label = np.zeros(5, np.int64)
    part = connected_parts(made.face, label)
    _, height = level_steps(made.face, made.area2, part, label, face_centroids(made), np.array([[0.5, 0.0, 1000.0]]), 3000)
    np.testing.assert_allclose(height, [3500])


def test_area_volume_and_their_variances_are_those_of_the_closed_forms(strips):
    made, order = strips
    label = _along(order, [0, 0, 1, 1, 2])
    planes = np.array([[0.0, 0.5, 3000.0], [0.0, 0.0, 5000.0], [0.0, 0.0, 4000.0]])
    covariance = np.array([np.diag([0.01, 0.0, 0.04]), np.diag([0.04, 0.01, 0.0])])
    plane_centroid = np.array([[2.0, 0.5], [4.0, 0.5]])
    variance = np.array([0.0, 0.0, 0.25])
    sums = measure_roof(made.area2, label, face_centroids(made), variance, planes, plane_centroid, covariance)
    slant = np.sqrt(1.25)
    # The second label's centroid lies 2 m east of where its plane is known best; its slope adds (4 m2 x 2 m)^2 x 0.01.
    # The third, level and of 2 m2, may be tilted by a variance of 6 x 0.25 / 2 along each axis.
    under = 16 * 0.01 + 16 * 0.04 + 64 * 0.01 + 4 * 0.25
    expected = [10, 4 * 3.25 + 4 * 5 + 2 * 4, 4 * slant + 6, under, 16 * 0.2 * 0.04 + 4 * 0.75**2]
    np.testing.assert_allclose(sums, expected, rtol=1e-9)
