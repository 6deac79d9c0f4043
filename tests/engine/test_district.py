import json
import math
from collections import Counter

import numpy as np
import pytest

from felsina.engine.district import shapes
from felsina.engine.district.blocks import KINDS
from felsina.engine.district.openings import open_area
from felsina.engine.district.scan import DENSITY, scan_tile, tile_windows, visible_depth
from felsina.engine.district.scene import ORIGIN, PITCH, build_district
from felsina.engine.district.truth import building_truth, compare_with_truth, roof_planes, truth_record
from felsina.engine.errors import UsageError
from felsina.kernels.pointcloud.scanner import scanner_of_density
from felsina.kernels.pointcloud.surface import surface_height, surface_model, terrain_height


@pytest.fixture(scope="module")
def district():
    return build_district(256.0, 1)


@pytest.fixture(scope="module")
def truth(district):
    return building_truth(district)


@pytest.fixture(scope="module")
def points(district):
    tiles = [scan_tile(district, w) for w in tile_windows(256.0)]
    return {name: np.concatenate([t[name] for t in tiles]) for name in tiles[0]}


def ring_area(ring):
    x, y = np.array(ring).T
    x, y = x - x[0], y - y[0]
    return 0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()


# The scene


def test_sixteen_blocks_hold_every_kind_and_about_sixty_buildings(district):
    assert Counter(b.kind for b in district.blocks) == Counter(KINDS)
    assert 50 <= len(district.buildings) <= 80
    assert {b.roof_type for b in district.buildings} == {"flat", "gabled", "hipped", "basilica"}
    assert {"green", "bare"} <= {b.cover for b in district.blocks}
    assert sum(b.residents for b in district.buildings) > 500
    assert 0 < sum(b.portico_length > 0.0 for b in district.buildings) < len(district.buildings)
    for b in district.buildings:
        if b.portico_length:
            assert 3.0 <= b.portico_depth <= 4.0
            assert 3.5 <= b.portico_height <= 4.0


def test_bodies_fill_the_house_but_for_its_openings(district, truth):
    ring_sum = {"portico": 0.0, "underpass": 0.0}
    for i, b in enumerate(district.buildings):
        if not b.openings:
            continue
        volume = 0.0
        for body in b.bodies:
            if body.plane[0] == body.plane[1] == 0.0 and body.base is None and b.roof_type != "flat":
                continue  # a pillar: in the opening
            for p, q, r in ((body.ring[0], body.ring[1], body.ring[2]), (body.ring[0], body.ring[2], body.ring[3])):
                x, y = (p[0] + q[0] + r[0]) / 3.0, (p[1] + q[1] + r[1]) / 3.0
                base = body.base[2] if body.base else 0.0
                volume += ring_area([p, q, r]) * (body.plane[0] * x + body.plane[1] * y + body.plane[2] - base)
        void = 0.0
        for o in b.openings:
            ring_sum[o.kind] += ring_area(o.ring)
            void += ring_area(o.ring) * o.height
            assert 3.5 <= o.height <= 4.0
        if b.roof_type != "flat":
            assert volume + void == pytest.approx(truth["volume_m3"][i], rel=1e-9)
        if b.portico_length:
            # The arcade is as long as the street, less what is passage; at a corner it goes round.
            passage = sum(math.dist(*o.ring[:2]) for o in b.openings if o.kind == "underpass")
            area = open_area(b.openings, "portico") + passage * b.portico_depth
            assert 0.85 * b.portico_length * b.portico_depth < area <= 1.02 * b.portico_length * b.portico_depth
    assert ring_sum["portico"] > 1000.0
    assert 30.0 < ring_sum["underpass"] / sum(o.kind == "underpass" for b in district.buildings for o in b.openings) < 60.0


def test_buildings_grow_with_the_area():
    counts = [len(build_district(n * PITCH, 5).buildings) / n**2 for n in (4, 8, 16)]
    assert max(counts) < 1.15 * min(counts)


def test_a_block_stays_the_same_when_the_district_grows():
    small, large = build_district(2 * PITCH, 4), build_district(5 * PITCH + 10.0, 4)
    grown = {b.name: b for b in large.blocks}
    assert len(small.blocks) == 4
    assert all(grown[b.name] == b for b in small.blocks)
    mine = {b.building_id: g for b, g in zip(large.buildings, large.ground, strict=True)}
    assert all(mine[b.building_id] == g for b, g in zip(small.buildings, small.ground, strict=True))
    # A laser pulse reaches at most 30 m through the roofs, so half a block from the border nothing can differ.
    window = (0, 0, 90_000, 90_000)
    for a, b in zip(scan_tile(small, window).values(), scan_tile(large, window).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_seed_gives_another_district():
    one, two = build_district(4 * PITCH, 1), build_district(4 * PITCH, 2)
    assert [b.kind for b in one.blocks] != [b.kind for b in two.blocks]
    assert one.terrain.tolist() != two.terrain.tolist()


@pytest.mark.parametrize(("size", "seed"), [(10.0, 1), (math.nan, 1), (256.0, -1), (1e9, 1)])
def test_an_impossible_size_or_seed_is_refused(size, seed):
    with pytest.raises(UsageError, match="expected"):
        build_district(size, seed)


def test_roof_faces_partition_the_footprint(district, truth):
    x, y = district.prism_ring[..., 0], district.prism_ring[..., 1]
    step_x, step_y = np.roll(x, -1, axis=1) - x, np.roll(y, -1, axis=1) - y
    turn = step_x * np.roll(step_y, -1, axis=1) - np.roll(step_x, -1, axis=1) * step_y
    assert (turn > -1e-9).all()  # convex and counter-clockwise
    outline = [ring_area(b.ring) for b in district.buildings]
    np.testing.assert_allclose(truth["footprint_area_m2"], outline, rtol=1e-9)


def test_no_two_buildings_overlap(district):
    import shapely

    outlines = [shapely.Polygon(b.ring) for b in district.buildings]
    assert all(p.is_valid for p in outlines)
    one, two = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    shared = shapely.area(shapely.intersection(np.array(outlines)[one[one < two]], np.array(outlines)[two[one < two]]))
    assert shared.size > 40
    assert shared.max() < 1e-6
    assert shapely.union_all(outlines).within(shapely.box(0, 0, 256, 256))


# Its truth


def test_true_volumes_are_the_integral_of_the_surface(district, truth):
    step = 0.05
    kinds = {b.kind: i for i, b in enumerate(district.buildings)}
    assert len(kinds) == len(set(KINDS)) - 1  # a park has no building
    for kind, i in kinds.items():
        own = district.prism_building == i
        ring = district.prism_ring[own]
        west, south = ring.reshape(-1, 2).min(axis=0) - step
        east, north = ring.reshape(-1, 2).max(axis=0) + step
        model = surface_model(
            district.terrain,
            ring,
            district.prism_plane[own],
            np.full(own.sum(), 6),
            np.empty((0, 5)),
            (west, south, east, north),
        )
        x, y = np.meshgrid(np.arange(west, east, step), np.arange(south, north, step))
        z, cls = surface_height(model, x, y)
        built = cls == 6
        ground = terrain_height(district.terrain, x, y).ravel()
        # Cells on the outline are in or out as a whole: at the very worst half a cell along all of it.
        outline = district.buildings[i].ring
        error = 0.5 * step * sum(math.dist(p, q) for p, q in zip(outline, [*outline[1:], outline[0]], strict=True))
        assert built.sum() * step**2 == pytest.approx(truth["footprint_area_m2"][i], abs=error), kind
        # What is lost or won at the edge has nearly the mean height, so the mean is ten times as good.
        assert (z - ground)[built].mean() == pytest.approx(truth["height_m"][i], rel=1e-3), kind
        assert truth["volume_m3"][i] == pytest.approx(truth["height_m"][i] * truth["footprint_area_m2"][i]), kind
        assert z[built].max() - district.ground[i] == pytest.approx(truth["ridge_height_m"][i], abs=0.05), kind


def test_truth_agrees_with_the_surface_that_is_scanned(district):
    rng = np.random.default_rng(2)
    faces = rng.integers(0, len(district.prism_ring), 200)
    centre = district.prism_ring[faces].mean(axis=1)
    z, kind = surface_height(district.surface, centre[:, 0], centre[:, 1])
    plane = district.prism_plane[faces]
    assert (kind == 6).all()
    np.testing.assert_allclose(z, plane[:, 0] * centre[:, 0] + plane[:, 1] * centre[:, 1] + plane[:, 2], atol=1e-9)


def test_roofs_have_the_volumes_of_the_textbook():
    def volume(prisms):
        total = 0.0
        for ring, (a, b, c) in prisms:
            for p, q, r in ((ring[0], ring[1], ring[2]), (ring[0], ring[2], ring[3])):
                x, y = (p[0] + q[0] + r[0]) / 3.0, (p[1] + q[1] + r[1]) / 3.0
                total += ring_area([p, q, r]) * (a * x + b * y + c)
        return total

    centre, e = (31.0, -7.0), (0.8, 0.6)
    box, wedge = 4.0 * 7.0 * 5.0 * 6.0, 0.5 * 5.0 * 5.0  # a = 7, b = 5, eaves 6, slope 0.5: gable triangle of b * slope b
    assert volume(shapes.gabled_roof(centre, e, 7.0, 5.0, 6.0, 0.5)) == pytest.approx(box + wedge * 14.0)
    # A hip is a pyramid over the two ends and a gable over the ridge.
    assert volume(shapes.hipped_roof(centre, e, 7.0, 5.0, 6.0, 0.5)) == pytest.approx(box + 100.0 * 2.5 / 3.0 + wedge * 4.0)
    assert volume(shapes.hipped_roof(centre, e, 5.0, 5.0, 6.0, 0.5)) == pytest.approx(600.0 + 100.0 * 2.5 / 3.0)
    assert volume(shapes.tower_roof(centre, e, 7.0, 5.0, 6.0, 3.0)) == pytest.approx(box + 140.0 / 9.0 * 3.0)
    # Aisles of 4 m rise from 3.3 by 0.4; the nave is a gable on 6.
    aisles = 2.0 * 14.0 * 4.0 * (3.3 + 0.4 * 2.0)
    assert volume(shapes.basilica_roof(centre, e, 7.0, 5.0, 4.0, 6.0, 0.5)) == pytest.approx(box + wedge * 14.0 + aisles)


def test_an_inset_ring_lies_at_its_distances():
    ring = [(0.0, 0.0), (50.0, 4.0), (47.0, 52.0), (-3.0, 48.0)]
    inner = shapes.inset(ring, [5.0, 6.0, 7.0, 8.0])
    for k, distance in enumerate((5.0, 6.0, 7.0, 8.0)):
        n = shapes.left(shapes.direction(ring[k], ring[(k + 1) % 4]))
        for corner in (inner[k], inner[(k + 1) % 4]):
            assert (corner[0] - ring[k][0]) * n[0] + (corner[1] - ring[k][1]) * n[1] == pytest.approx(distance)


def test_party_walls_are_the_lower_of_two_walls(district, truth):
    walls = truth["party_wall_area_m2"]
    by_kind = {k: [i for i, b in enumerate(district.buildings) if b.kind == k] for k in set(KINDS)}
    assert all(walls[i] == 0.0 for k in ("detached", "tower", "church") for i in by_kind[k])
    assert all(walls[i] > 30.0 for k in ("perimeter", "row", "commercial") for i in by_kind[k])
    for hall in by_kind["commercial"][::2]:
        (_, p, q, _), office = district.buildings[hall].ring, hall + 1
        end = (0.5 * (p[0] + q[0]), 0.5 * (p[1] + q[1]))
        floor = terrain_height(district.terrain, np.array([end[0]]), np.array([end[1]]))[0]
        top = min(district.ground[i] + district.buildings[i].eaves for i in (hall, office))
        # The ground bends by less than a centimetre along 20 m of wall.
        assert walls[hall] == pytest.approx(math.dist(p, q) * (top - floor), rel=2e-3)
        assert walls[office] == walls[hall]


def test_party_walls_equal_a_walk_along_them(district, truth):
    import shapely

    outlines = np.array([shapely.Polygon(b.ring) for b in district.buildings])
    faces = shapely.polygons(district.prism_ring)
    one, two = shapely.STRtree(outlines).query(outlines, predicate="dwithin", distance=1e-6)
    walked = np.zeros(outlines.size)
    n_step, crossings = 400, 0
    for i, j in zip(one[one < two], two[one < two], strict=True):
        # Outlines meet to a rounding error, so the walk is along what lies within a tenth of a millimetre of the other.
        wall = shapely.intersection(outlines[i].exterior, shapely.buffer(outlines[j].exterior, 1e-4))
        share = (np.arange(n_step) + 0.5) / n_step
        at = shapely.line_interpolate_point(shapely.line_merge(wall), share, normalized=True)
        x, y = shapely.get_coordinates(at).T
        height = []
        for b in (i, j):
            own = np.flatnonzero(district.prism_building == b)
            nearest = own[np.argmin(shapely.distance(faces[own][:, None], at), axis=0)]
            plane = district.prism_plane[nearest]
            height.append(plane[:, 0] * x + plane[:, 1] * y + plane[:, 2])
        crossings += 0 < np.count_nonzero(height[0] < height[1]) < n_step
        area = (np.minimum(*height) - terrain_height(district.terrain, x, y)).mean() * wall.length
        walked[[i, j]] += area
    assert crossings > 0  # or the hard case was not met
    # The midpoint rule in 400 steps meets the kink of a ridge and a crossing to 1e-4 of the height.
    np.testing.assert_allclose(walked, truth["party_wall_area_m2"], rtol=1e-3)


def test_true_planes_cover_the_roof_and_face_away_from_the_ridge(district, truth):
    for i, planes in enumerate(roof_planes(district)):
        b = district.buildings[i]
        assert sum(p["area_m2"] for p in planes) == pytest.approx(truth["roof_area_m2"][i], abs=0.01)
        if b.kind in ("detached", "tower", "commercial", "church", "row"):
            count = {"flat": 2 if b.kind == "tower" else 1, "gabled": 2, "hipped": 4, "basilica": 8}[b.roof_type]
            assert len(planes) == count, b.building_id
        for p in planes:
            plan = sum(ring_area(np.array(r) - np.array(ORIGIN)) for r in p["rings"])
            assert plan == pytest.approx(p["area_m2"] * math.cos(math.radians(p["slope_deg"])), rel=1e-3, abs=0.05)
            assert p["height_m"] < truth["ridge_height_m"][i] + 0.01
        if b.roof_type == "gabled" and b.kind == "detached":
            assert abs(abs(planes[0]["azimuth_deg"] - planes[1]["azimuth_deg"]) - 180.0) < 0.01
            # The first face starts at its eaves: it looks to the right of its first edge.
            e = shapes.direction(b.prisms[0].ring[0], b.prisms[0].ring[1])
            assert math.cos(math.radians(planes[0]["azimuth_deg"]) - math.atan2(e[1], -e[0])) == pytest.approx(1.0, abs=1e-6)


def test_exact_results_have_no_error_and_wrong_ones_have_theirs(district, truth):
    record = json.loads(json.dumps(truth_record(district)))
    x, y = np.arange(2.0, 250.0, 4.0), np.arange(250.0, 2.0, -4.0)
    ground = terrain_height(district.terrain, *np.meshgrid(x, y))
    names = np.array([b.building_id for b in district.buildings])[::-1]
    classes = np.array([2, 2, 6, 5, 3, 9])
    results = {
        "x": x + ORIGIN[0], "y": y + ORIGIN[1], "ground_elevation": ground, "building_id": names,
        "building_height": truth["height_m"][::-1], "building_volume": truth["volume_m3"][::-1],
        "building_party_wall_area": truth["party_wall_area_m2"][::-1], "point_class": classes, "point_class_true": classes,
    }  # fmt: skip
    exact = {m: v for m, v, _, _ in compare_with_truth(record, results)}
    assert {m for m, v in exact.items() if v == 1.0} == {"ground F1", "building F1", "vegetation F1"}
    assert exact["footprints with geometry"] == 100.0
    # The record is rounded to a tenth of a millimetre; the ground is compared in millimetres.
    assert all(v < 1e-3 for m, v in exact.items() if "error" in m or "RMSE" in m)

    wrong = dict(results)
    wrong["ground_elevation"] = np.where(np.arange(x.size) == 0, np.nan, ground + 0.25)
    wrong["building_height"] = results["building_height"] - 0.5
    wrong["building_volume"] = results["building_volume"] * 1.1
    wrong["building_volume"][:7] = np.nan
    wrong["point_class"] = np.array([2, 6, 6, 5, 2, 9])
    off = {m: v for m, v, _, _ in compare_with_truth(record, wrong)}
    assert off["ground RMSE"] == pytest.approx(0.25, abs=1e-3)
    assert off["building height error, median"] == pytest.approx(0.5, abs=1e-3)
    assert off["building volume error, p95"] == pytest.approx(10.0, abs=1e-2)
    assert off["footprints with geometry"] == pytest.approx(100.0 * (1.0 - 7.0 / len(names)))
    assert off["ground F1"] == pytest.approx(0.5)
    assert off["vegetation F1"] == pytest.approx(2.0 / 3.0)
    shifted = {m: v for m, v, _, _ in compare_with_truth(record, results | {"x": results["x"] + 30.0})}
    assert shifted["ground RMSE"] > 0.1


# Its scan


def test_density_is_as_planned(points):
    assert points["X"].size / 256.0**2 == pytest.approx(DENSITY, rel=0.2)
    assert 10.0 < points["X"].size / 256.0**2 < 15.0


def test_every_return_lies_on_what_its_class_says(district, points):
    x, y, z = (points[n] / 1000.0 for n in ("X", "Y", "Z"))
    ground = terrain_height(district.terrain, x, y)
    kind = points["classification"]
    assert set(np.unique(kind)) == {2, 3, 4, 5, 6, 7, 9, 18}
    # Range noise is 2 cm, so six of it hold all of half a million returns.
    assert np.abs(z - ground)[kind == 2].max() < 0.12
    assert (z - ground)[kind == 6].min() > -0.12
    assert (z - ground)[kind == 5].min() > 1.88
    assert (z < ground - 1.5)[kind == 7].all()
    roof, _ = surface_height(district.surface, x, y)
    on_roof = np.abs(z - roof)[kind == 6]
    assert np.quantile(on_roof, 0.8) < 0.1  # the rest: walls, and points that noise moved over an edge


def test_ground_under_houses_is_seen_through_open_sides_only(district, points):
    import shapely

    ground = points["classification"] == 2
    xy = np.stack([points["X"][ground], points["Y"][ground]], axis=1) / 1000.0
    # Horizontal noise is 4 cm: six of it.
    houses = np.array([shapely.Polygon(b.ring) for b in district.buildings])
    place, house = shapely.STRtree(shapely.buffer(houses, -0.25)).query(shapely.points(xy), predicate="within")
    scanner = scanner_of_density(DENSITY)
    seen = {"portico": 0, "underpass": 0}
    for i in np.unique(house):
        under = shapely.points(xy[place[house == i]])
        explained = np.zeros(under.size, bool)
        for kind, ring, height in district.buildings[i].openings:
            sides = [(ring[0], ring[1])] + ([(ring[2], ring[3])] if kind == "underpass" else [])
            for side in sides:
                # The ground is up to half a metre lower than on average along a house, and the angle changes along a side.
                reach = 1.25 * visible_depth(scanner, side, height) + 0.3
                lit = shapely.distance(shapely.LineString(side), under) <= reach
                explained |= lit
                seen[kind] += int(lit.sum())
        assert explained.all(), district.buildings[i].building_id
    assert seen["portico"] > 300
    assert seen["underpass"] > 20


def test_arcades_that_face_the_line_are_lit_to_their_visible_depth(district, points):
    import shapely

    ground = points["classification"] == 2
    xy = shapely.points(points["X"][ground] / 1000.0, points["Y"][ground] / 1000.0)
    scanner, n_lit = scanner_of_density(DENSITY), 0
    for b in district.buildings:
        for kind, ring, height in b.openings:
            depth = visible_depth(scanner, (ring[0], ring[1]), height)
            if kind == "portico" and depth > 0.6 and math.dist(ring[0], ring[1]) > 8.0:
                inner = shapely.intersection(shapely.Polygon(ring), shapely.buffer(shapely.LineString(ring[:2]), 0.8 * depth))
                n_lit += 1
                # One strip of two sends its 5.75 pulses/m2 here, trees and what stands across the street keep some.
                assert shapely.contains(inner, xy).sum() > 0.25 * 5.75 * inner.area, b.building_id
    assert n_lit > 5


def test_eaves_are_seen_outside_the_footprint(district, points):
    import shapely

    building = points["classification"] == 6
    xyz = np.stack([points[n][building] for n in ("X", "Y", "Z")], axis=1) / 1000.0
    at = shapely.points(xyz[:, :2])
    hung = [i for i, b in enumerate(district.buildings) if b.roof_overhang]
    assert len(hung) > 5
    assert {district.buildings[i].kind for i in hung} == {"row", "detached"}
    for i in hung:
        b, own = district.buildings[i], district.prism_plane[district.prism_building == i]
        distance = shapely.distance(shapely.Polygon(b.ring), at)
        outside = (distance > 0.2) & (distance < 1.0)
        height = own[:, 0] * xyz[outside, :1] + own[:, 1] * xyz[outside, 1:2] + own[:, 2]
        on_roof = (np.abs(height - xyz[outside, 2:]) < 0.1).any(axis=1)
        assert 0.4 <= b.roof_overhang <= 0.6
        assert on_roof.sum() > 20
        if b.kind == "detached":
            # A corner of the eaves is farther off by the root of two; noise adds its 4 cm a few times.
            assert b.roof_overhang - 0.1 < np.quantile(distance[outside][on_roof], 0.95) < 1.5 * b.roof_overhang + 0.15


def test_only_vegetation_gives_several_returns(points):
    order = np.lexsort((points["return_number"], points["gps_time"]))
    p = {n: v[order] for n, v in points.items()}
    several = p["number_of_returns"] > 1
    assert 0.01 < several.mean() < 0.2
    assert np.isin(p["classification"][several & (p["return_number"] < p["number_of_returns"])], (3, 4, 5)).all()
    assert (p["return_number"] <= p["number_of_returns"]).all()
    same = np.diff(p["gps_time"]) == 0.0
    assert (np.diff(p["return_number"].astype(int))[same] >= 1).all()
    assert (np.diff(p["number_of_returns"].astype(int))[same] == 0).all()


def test_tiles_share_the_points_out_and_cut_through_buildings(district, points):
    windows = tile_windows(256.0)
    assert len(windows) >= 4
    assert sum((w[2] - w[0]) * (w[3] - w[1]) for w in windows) == 256_000**2
    whole = scan_tile(district, (0, 0, 256_000, 256_000))
    key = [np.lexsort((p["return_number"], p["gps_time"])) for p in (whole, points)]
    for name in whole:
        np.testing.assert_array_equal(whole[name][key[0]], points[name][key[1]])
    cut = windows[0][2] / 1000.0
    assert any(min(p[0] for p in b.ring) < cut < max(p[0] for p in b.ring) for b in district.buildings)
