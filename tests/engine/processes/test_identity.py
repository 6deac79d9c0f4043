"""Inputs are the same where they say the same, in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from felsina.engine.io.las import Points
from felsina.engine.parallel.world import World
from felsina.engine.processes.identity import PointDigest, features_digest

SHAPES = [[shapely.box(k, 0, k + 1, 1 + k)] for k in range(5)]
NAMES = [f"b{k}" for k in range(5)]


def points(n=1000, seed=0) -> Points:
    made, rng = Points.empty(n), np.random.default_rng(seed)
    for name in ("x", "y", "z"):
        getattr(made, name)[:] = rng.integers(0, 100_000, n)
    made.classification[:] = rng.integers(0, 7, n)
    return made


def digest(*parts: Points) -> str:
    made = PointDigest()
    for part in parts:
        made.add(part)
    return made.over(World.serial())


def test_order_and_cut_of_points_change_nothing():
    cloud = points()
    order = np.random.default_rng(1).permutation(len(cloud))
    assert digest(cloud.take(order[:300]), cloud.take(order[300:])) == digest(cloud)


@pytest.mark.parametrize("name", ["x", "y", "z", "classification", "return_number", "number_of_returns"])
def test_one_point_that_differs_changes_the_digest(name):
    cloud, other = points(), points()
    getattr(other, name)[500] += 1
    assert digest(other) != digest(cloud)


def test_a_point_twice_is_not_a_point_once():
    cloud = points()
    assert digest(cloud, cloud.take(np.array([3]))) != digest(cloud)


def test_the_order_of_features_changes_nothing():
    order = [3, 1, 4, 0, 2]
    turned = features_digest([SHAPES[k] for k in order], [[NAMES[k] for k in order]])
    assert turned == features_digest(SHAPES, [NAMES])


def test_a_feature_that_differs_in_shape_or_value_changes_the_digest():
    whole = features_digest(SHAPES, [NAMES])
    moved = [*SHAPES[:4], [shapely.box(4, 0, 5, 5.001)]]
    assert features_digest(moved, [NAMES]) != whole
    assert features_digest(SHAPES, [[*NAMES[:4], "other"]]) != whole
    assert features_digest(SHAPES[:4], [NAMES[:4]]) != whole


def test_values_belong_to_their_feature():
    swapped = [NAMES[1], NAMES[0], *NAMES[2:]]
    assert features_digest(SHAPES, [swapped]) != features_digest(SHAPES, [NAMES])


def test_a_layer_without_features_has_a_digest():
    assert features_digest([]).endswith(":0")
