from __future__ import annotations

import numpy as np
import pytest

from felsina.engine.processes import reconstruction, roof_ladder
from felsina.engine.processes.reconstruction import reconstruct
from felsina.engine.processes.roof_ladder import REASON
from felsina.kernels.geometry.extrusion import GROUND, ROOF, WALL
from felsina.kernels.geometry.polygons import canonical_order
from felsina.kernels.geometry.solids import check_solids

RING = np.array([(0, 0), (12_000, 0), (12_000, 8000), (0, 8000)], np.int64)


def _cloud(height, n=1200, size=(12_000, 8000), seed=0, noise=20.0):
    random = np.random.default_rng(seed)
    x, y = random.uniform(0, size[0], n), random.uniform(0, size[1], n)
    return np.rint(np.stack((x, y, height(x, y) + random.normal(0, noise, n)), axis=1)).astype(np.int64)


def _gable(x, y):
    return 3000 + 0.8 * (4000 - np.abs(y - 4000))


def _volume(solid):
    v = solid.vertices / 1000.0
    rings = np.split(solid.face_rings, solid.ring_offsets[1:-1])
    return sum(np.cross(v[r][1:-1] - v[r][0], v[r][2:] - v[r][0]).sum(axis=0) @ v[r][0] / 6 for r in rings)


def _bytes(building):
    return [(lod, [[a.tobytes() for a in solid] for solid in solids]) for lod, solids in sorted(building.solids.items())]


def _assert_valid(building):
    assert set(building.solids) == {"1.2", "1.3", "2.2"}
    for solids in building.solids.values():
        for s in solids:
            offsets = np.array([0, len(s.face_type)], np.int64)
            assert check_solids(s.vertices, s.face_rings, s.ring_offsets, s.face_offsets, offsets)[0] == 0


def test_a_gable_has_two_roofs_and_its_volume():
    made = reconstruct(_cloud(_gable), [[RING]], 0)
    _assert_valid(made)
    assert made.level == "2.2" and made.reason == 0
    (solid,) = made.solids["2.2"]
    assert (solid.face_type == ROOF).sum() == 2
    truth = 12 * 8 * 4.6
    assert _volume(solid) == pytest.approx(truth, abs=0.5)
    assert made.volume == pytest.approx(truth, abs=0.5)
    assert made.area == pytest.approx(96 * np.sqrt(1.64), abs=0.2)
    # All levels enclose the same volume: the block stands at the mean height of the roof.
    assert _volume(made.solids["1.2"][0]) == pytest.approx(truth, abs=0.5)


def test_the_same_points_in_any_order_and_twice_give_the_same_bytes():
    points = _cloud(lambda x, y: np.where(x < 5000, _gable(x, y), 3500.0))
    again = np.random.default_rng(1).permutation(np.concatenate((points, points[:100])))
    assert _bytes(reconstruct(points, [[RING]], 0)) == _bytes(reconstruct(again, [[RING]], 0))


@pytest.mark.parametrize(("step", "roofs"), [(2500, 1), (3500, 2)])
def test_lod13_joins_roofs_that_differ_by_less_than_three_metres(step, roofs):
    made = reconstruct(_cloud(lambda x, y: np.where(x < 5000, 4000.0, 4000.0 + step)), [[RING]], 0)
    _assert_valid(made)
    assert (made.solids["2.2"][0].face_type == ROOF).sum() == 2
    assert (made.solids["1.3"][0].face_type == ROOF).sum() == roofs
    assert (made.solids["1.2"][0].face_type == ROOF).sum() == 1


def test_parts_and_courts_are_kept():
    court = np.array([(4000, 3000), (4000, 5000), (6000, 5000), (6000, 3000)], np.int64)
    other = RING + np.array([20_000, 0])
    points = np.concatenate((_cloud(_gable), _cloud(_gable, seed=1) + np.array([20_000, 0, 2000])))
    made = reconstruct(points, [[RING, court], [other]], 0)
    _assert_valid(made)
    assert [len(made.solids[lod]) for lod in ("1.2", "1.3", "2.2")] == [2, 2, 2]
    assert _volume(made.solids["2.2"][0]) == pytest.approx(12 * 8 * 4.6 - 4 * 5.8, abs=1.0)
    assert _volume(made.solids["2.2"][1]) == pytest.approx(12 * 8 * 6.6, abs=1.0)


def test_a_footprint_without_points_is_flagged_and_not_invented():
    made = reconstruct(np.empty((0, 3), np.int64), [[RING]], 0)
    assert made.solids == {} and made.level == "" and made.reason == REASON["no_points"]


def test_a_few_points_make_a_block_that_says_so():
    points = _cloud(_gable, n=3)
    made = reconstruct(points, [[RING]], 0)
    _assert_valid(made)
    assert made.level == "1.2" and made.reason == REASON["too_few_points"]
    assert made.roof_height == pytest.approx(np.median(points[:, 2]) / 1000, abs=1e-3)
    assert made.uncertainty.height > 0.5


def test_points_without_a_plane_make_a_block_that_says_so():
    points = np.array([(1000 * i, 900 * i, 4000 + 1700 * (i % 3)) for i in range(1, 7)], np.int64)
    made = reconstruct(points, [[RING]], 0)
    _assert_valid(made)
    assert made.level == "1.2" and made.reason == REASON["no_plane"]


def test_a_roof_at_the_ground_is_no_roof():
    made = reconstruct(_cloud(lambda x, y: 0 * x + 200), [[RING]], 0)
    assert made.solids == {} and made.reason == REASON["roof_below_ground"]


@pytest.mark.parametrize("n", [60, 300, 1200])
def test_the_stated_uncertainty_of_the_height_covers_the_error(n):
    z, stated = [], []
    for seed in range(40):
        made = reconstruct(_cloud(lambda x, y: 4000 + 0.1 * x, n=n, seed=seed, noise=40.0), [[RING]], 0)
        z.append((made.roof_height - 4.6) / made.uncertainty.height)
        stated.append(made.uncertainty.height)
        assert made.uncertainty.volume == pytest.approx(96 * made.uncertainty.height)
    # Of 40 draws of a normal deviate, 90 % lie within 1.64 of 0; 31 is the 1 % quantile of that binomial.
    assert (np.abs(z) < 1.64).sum() >= 31
    # It may be careful, not useless: 0.8 m is what a roof of this slope varies by.
    assert np.median(stated) < 0.8 * np.sqrt(60 / n) / 4


def test_the_stated_uncertainty_grows_as_points_become_fewer():
    stated = [reconstruct(_cloud(_gable, n=n), [[RING]], 0).uncertainty.height for n in (40, 200, 1000)]
    assert stated[0] > stated[1] > stated[2]


def _delft(felsina_data, every):
    import laspy
    import shapely

    from felsina.engine.io.vector import read_footprints

    folder = felsina_data / "lidar" / "3dfier_delft_ahn3"
    cloud = laspy.read(folder / "ahn3_cropped_2.laz")
    points = np.rint(np.stack((cloud.x, cloud.y, cloud.z), axis=1)[np.asarray(cloud.classification) == 6] * 1000)
    points = points.astype(np.int64)
    geometry = read_footprints(folder / "bgt_pand.sqlite", "EPSG:28992", "gml_id").geometry
    for parts in geometry[::every]:
        inside = shapely.contains_xy(shapely.MultiPolygon(parts), points[:, 0] / 1000, points[:, 1] / 1000)
        if inside.sum() < 5:
            continue
        rings = [
            [np.rint(np.asarray(r.coords)[:-1] * 1000).astype(np.int64) for r in (p.exterior, *p.interiors)] for p in parts
        ]
        origin = np.concatenate([r for part in rings for r in part]).min(axis=0)
        yield points[inside] - np.array([*origin, 0]), [[r - origin for r in part] for part in rings]


def test_buildings_of_delft_are_valid_also_when_thinned(felsina_data):
    random = np.random.default_rng(0)
    n = 0
    for points, parts in _delft(felsina_data, every=3):
        for keep in (1.0, 0.25):
            some = points[random.random(len(points)) < keep]
            if len(some) < 5:
                continue
            made = reconstruct(some, parts, int(points[:, 2].min()) - 3000)
            _assert_valid(made)
            n += 1
    assert n >= 16


def _circle(n, r):
    a = np.arange(n) * 2 * np.pi / n
    return np.rint(np.stack((r * np.cos(a), r * np.sin(a)), axis=1)).astype(np.int64)


def _junk(random):
    """Return points and rings as they should never be."""
    n = int(random.choice([0, 1, 2, 3, 4, 7, 30, 300]))
    size = int(random.choice([1, 50, 12_000, 10**6, 10**9, 2**61]))
    points = random.integers(-size, size + 1, (n, 3))
    kind = random.integers(6)
    if kind == 0 and n:
        points[:] = points[0]
    elif kind == 1 and n:  # on one line
        points = np.rint(points[:1] % 1000 + np.arange(n)[:, None] * random.integers(-99, 99, 3)).astype(np.int64)
    elif kind == 2:
        points[:, 2] = 5000
    elif kind == 3:
        points %= (12_000, 8000, 9000)
    rings = [
        [[RING]],
        [[RING[::-1]]],
        [[RING[[0, 2, 1, 3]]]],  # crosses itself
        [[np.concatenate((RING, RING[:1]))]],
        [[np.array([(0, 0), (9000, 0), (4000, 0)], np.int64)]],  # no area
        [[RING[:2]]],
        [[RING, RING]],
        [[RING, np.array([(0, 0), (0, 4000), (4000, 4000)], np.int64)]],  # a hole that touches
        [[RING], [RING + 3000]],  # parts that overlap
        [[RING], [np.zeros((4, 2), np.int64)]],
        [[RING * 10**6]],
        [[random.integers(-6000, 6000, (int(random.integers(3, 12)), 2))]],
        [[_circle(200, 7000)]],
        [[np.concatenate((_circle(6, 4000), RING + np.array([4000, 0])))]],
        [[]],
        [[np.empty((0, 2), np.int64)]],
        [],
    ]
    return points, rings[random.integers(len(rings))], int(random.choice([0, -3000, 4000, 10**12, -(2**62)]))


@pytest.mark.parametrize("seed", range(10))
def test_no_junk_raises_and_what_is_built_of_it_is_valid(seed):
    random = np.random.default_rng(seed)
    for _ in range(60):
        made = reconstruct(*_junk(random))
        for solids in made.solids.values():
            for s in solids:
                offsets = np.array([0, len(s.face_type)], np.int64)
                assert check_solids(s.vertices, s.face_rings, s.ring_offsets, s.face_offsets, offsets)[0] == 0
        assert (made.level != "") == (len(made.solids) == 3)


def test_a_part_without_points_stands_as_high_as_the_building():
    made = reconstruct(_cloud(_gable), [[RING], [RING + np.array([20_000, 0])]], 0)
    _assert_valid(made)
    heights = [s.vertices[:, 2].max() for s in made.solids["2.2"]]
    # The upper median is a point; neighbours in height are a few millimetres apart.
    assert heights[0] > 6000 and heights[1] == pytest.approx(np.median(_cloud(_gable)[:, 2]), abs=10)


@pytest.mark.parametrize("damage", ["face turned over", "corner repeated", "vertex doubled"])
def test_a_broken_solid_is_mended_before_anything_is_given_up(damage, monkeypatch):
    whole = reconstruct(_cloud(_gable), [[RING]], 0)
    build = reconstruction.build_solid

    def broken(*arguments, **named):
        solid, outcome, uneven = build(*arguments, **named)
        if solid is None:
            return solid, outcome, uneven
        rings, offsets, vertices = solid.face_rings.copy(), solid.ring_offsets.copy(), solid.vertices
        if damage == "face turned over":
            rings[offsets[1] : offsets[2]] = rings[offsets[1] : offsets[2]][::-1]
        elif damage == "corner repeated":
            rings = np.insert(rings, offsets[1], rings[offsets[1]])
            offsets[2:] += 1
        else:  # one face has a vertex of its own, a millimetre away
            rings[offsets[1]], vertices = len(vertices), np.vstack((vertices, vertices[rings[offsets[1]]] + (0, 0, 1)))
        return solid._replace(face_rings=rings, ring_offsets=offsets, vertices=vertices), outcome, uneven

    monkeypatch.setattr(reconstruction, "build_solid", broken)
    points = _cloud(_gable)
    points = np.ascontiguousarray(points[canonical_order(*points.T)])
    part = reconstruction._label_part(reconstruction._outline([RING]), points, 0, 5000, reconstruction.Options())
    solid, reason = roof_ladder.attempt(part, part.label, part.coefficients, 0)
    assert reason == 0 and roof_ladder.solid_code(solid) == 0
    assert set(np.unique(solid.face_rings)) == set(range(len(solid.vertices)))
    # The walls of a side may be parted where they are one wall else; a millimetre over a wall is 0.1 m3.
    assert {GROUND, WALL, ROOF} == set(solid.face_type) and (solid.face_type == ROOF).sum() == 2
    assert _volume(solid) == pytest.approx(_volume(whole.solids["2.2"][0]), abs=0.1)
