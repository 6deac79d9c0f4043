from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapely

from felsina.kernels.geometry.outlines import derive_outlines


def _points(shape, per_m2, seed=0):
    random = np.random.default_rng(seed)
    west, south, east, north = shape.bounds
    n = int((east - west) * (north - south) * per_m2)
    xy = random.uniform((west, south), (east, north), (n, 2))
    return np.rint(xy[shapely.contains_xy(shape, xy[:, 0], xy[:, 1])] * 1000).astype(np.int64)


def _polygons(xy, rings, polygons):
    ring = [xy[a:b] / 1000 for a, b in itertools.pairwise(rings)]
    return [shapely.Polygon(ring[a], ring[a + 1 : b]) for a, b in itertools.pairwise(polygons)]


def _iou(a, b):
    return a.intersection(b).area / a.union(b).area


COURT = shapely.Polygon([(0, 0), (30, 0), (30, 20), (0, 20)], [[(10, 6), (20, 6), (20, 14), (10, 14)]])


@pytest.mark.parametrize("turn", [0.0, 37.0])
def test_a_house_around_a_court_is_found_with_its_court(turn):
    house = shapely.affinity.rotate(COURT, turn, origin=(0, 0))
    made = _polygons(*derive_outlines(_points(house, 8)))
    assert len(made) == 1 and len(made[0].interiors) == 1 and made[0].is_valid
    # Half a cell along all 136 m of wall would be 34 m2 of 520: IoU 0.93.
    assert _iou(made[0], house) > 0.93
    # The traced ring has some 250 corners; a turned house keeps a few short sides at its corners.
    assert len(made[0].exterior.coords) - 1 <= (8 if turn == 0 else 20)


def test_order_and_whole_cells_of_translation_change_no_bit():
    points = _points(COURT, 8)
    reference = derive_outlines(points)
    shuffled = derive_outlines(np.random.default_rng(1).permutation(points))
    assert all(np.array_equal(a, b) for a, b in zip(shuffled, reference, strict=True))
    moved = derive_outlines(points + 100_000_000)
    assert np.array_equal(moved[0], reference[0] + 100_000_000)


def test_buildings_far_away_do_not_change_an_outline():
    near = _points(COURT, 8)
    alone = derive_outlines(near)
    both = derive_outlines(np.concatenate((near, _points(shapely.box(100, -80, 120, -60), 8))))
    assert np.array_equal(both[0][: len(alone[0])], alone[0]) and len(both[2]) == len(alone[2]) + 1


def test_scattered_points_and_no_points_make_no_building():
    assert len(derive_outlines(np.random.default_rng(2).integers(0, 10**6, (200, 2)))[0]) == 0
    assert derive_outlines(np.empty((0, 2), np.int64))[2].tolist() == [0]


def test_outlines_of_delft_match_its_footprints(felsina_data):
    laspy = pytest.importorskip("laspy")
    from felsina.engine.io.vector import clean_polygons, read_footprints, unflatten

    folder = felsina_data / "lidar" / "3dfier_delft_ahn3"
    if not folder.is_dir():
        pytest.skip("no Delft data")
    truth = shapely.union_all([p for row in read_footprints(folder / "bgt_pand.sqlite", "EPSG:28992").geometry for p in row])
    clouds = [laspy.read(folder / f"ahn3_cropped_{k}.laz") for k in (1, 2)]
    points = np.concatenate([np.stack((c.X, c.Y), 1)[np.asarray(c.classification) == 6] for c in clouds]).astype(np.int64)
    made = shapely.union_all([p for shape in unflatten(*derive_outlines(points)) for p in clean_polygons(shape)[0]])
    # The cloud holds buildings that the file leaves out: compared within 2 m of the footprints. Roofs overhang them: the
    # density of roof points is undiminished up to 0.25 m outside, which alone limits the ratio to 0.93.
    near = truth.buffer(2.0)
    assert _iou(made.intersection(near), truth) >= 0.85
