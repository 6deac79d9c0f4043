"""Ray tables: cells follow one another without a gap, and two cells per step are all that a ray touches."""

import math

import numpy as np
import pytest

from felsina.kernels.radiation.rays import even_azimuths, ray_tables

AZIMUTHS = [0.0, math.pi / 4, math.pi / 2, math.pi, 1.5 * math.pi, 0.3, 4.0, math.atan(0.5), math.pi / 4 - 1e-8, 1e-7]


@pytest.mark.parametrize("azimuth", AZIMUTHS)
def test_a_ray_enters_each_cell_where_it_left_the_last(azimuth):
    table = ray_tables([azimuth], 1.0, 50.0)
    offset, distance = table.offset[0], table.distance[0]
    ends = [0.5 / max(abs(math.sin(azimuth)), abs(math.cos(azimuth)))]
    for k in range(len(offset)):
        for which in (0, 1):
            entry, leave = distance[k, 2 * which], distance[k, 2 * which + 1]
            if entry >= 0:
                assert entry == pytest.approx(ends[-1], abs=1e-4)
                ends.append(float(leave))
                middle = 0.5 * (entry + leave)
                expected = (-math.cos(azimuth) * middle, math.sin(azimuth) * middle)
                assert np.abs(offset[k, which] - expected).max() <= 0.5 + 1e-5
    assert ends[-1] > 49.0


@pytest.mark.parametrize("azimuth", AZIMUTHS)
def test_a_ray_passes_between_the_centres_of_the_near_and_the_far_cell(azimuth):
    table = ray_tables([azimuth], 2.0, 50.0)
    offset, between, far = table.offset[0], table.distance[0, :, 4], table.weight[0]
    seen = between >= 0
    point = (1 - far)[:, None] * offset[:, 0] + far[:, None] * offset[:, 1]
    expected = between[:, None] / 2.0 * np.array([-math.cos(azimuth), math.sin(azimuth)])
    assert seen.sum() >= 50 / 2 / math.sqrt(2) - 1
    np.testing.assert_allclose(point[seen], expected[seen], atol=2e-5)  # weights below 1e-6 count as none, of 25 steps


def test_no_sample_lies_beyond_the_distance_and_none_is_missing_before_it():
    table = ray_tables(even_azimuths(16), 1.5, 40.0)
    entries = table.distance[:, :, [0, 2, 4]]
    assert entries.max() <= 40.0
    assert (entries.max(axis=(1, 2)) > 40.0 - 1.5 * math.sqrt(2)).all()


def test_one_ray_of_many_is_that_ray():
    many = ray_tables([0.2, 1.7, 4.0], 1.0, 30.0)
    for name, value in ray_tables([1.7], 1.0, 30.0)._asdict().items():
        np.testing.assert_array_equal(getattr(many.one(1), name), value)


def test_inverse_distances_are_those_of_the_distances():
    table = ray_tables([0.2], 1.0, 30.0)
    np.testing.assert_array_equal(table.inverse, np.float32(1.0) / table.distance)
