"""How roofs, openings and overhangs are compared with the truth, and how near to it the district's openings are found."""

import math

import numpy as np
import pytest

from felsina.engine.district.openings import is_surveyed, open_area
from felsina.engine.district.roof_truth import FLOORS, RoofFaces, compare_openings, compare_roofs, roof_type
from felsina.engine.district.scan import scan_tile, tile_windows
from felsina.engine.district.scene import ORIGIN, build_district
from felsina.engine.district.truth import truth_record
from felsina.engine.processes.porticoes import find_openings, opening_columns, roof_overhang, with_attributes
from felsina.kernels.geometry.membership import locate_points_in_all, locate_points_nearby


@pytest.fixture(scope="module")
def scene():
    district = build_district(256.0, 1)
    return district, truth_record(district)["buildings"]


def exact_faces(scene, shift=(0.0, 0.0, 0.0)) -> RoofFaces:
    """Each face of the truth as a surface of its own, but one surface for the flat top of a tower."""
    import shapely

    district, truth = scene
    names, faces = [], []
    for i, b in enumerate(truth):
        plane = district.prism_plane[district.prism_building == i]
        ring = district.prism_ring[district.prism_building == i]
        done = {}
        for k, p in enumerate(plane.tolist()):
            done.setdefault(tuple(np.round(p, 6)), []).append(k)
        for mine in done.values():
            whole = shapely.union_all(shapely.polygons(ring[mine]), grid_size=0.001)
            for part in shapely.get_parts(whole):
                a, c, level = plane[mine[0]]
                rings = []
                for line in (shapely.orient_polygons(part).exterior, *part.interiors):
                    xy = np.asarray(line.coords)[:-1]
                    rings.append(np.column_stack([xy + ORIGIN, a * xy[:, 0] + c * xy[:, 1] + level]) + shift)
                names.append(b["building_id"])
                faces.append(rings)
    return RoofFaces(names, faces)


def figures(rows):
    return {metric: value for metric, value, _, _ in rows}


def test_the_true_roofs_have_no_error(scene):
    found = figures(compare_roofs(scene[1], exact_faces(scene)))
    for metric, value in found.items():
        # truth.json holds heights and angles to a millimetre and a thousandth of a degree.
        assert value == pytest.approx(1.0 if metric in FLOORS else 0.0, abs=0.0 if metric in FLOORS else 2e-3), metric


def test_a_plane_too_high_too_far_or_turned_is_missed_and_wrong(scene):
    one = [b for b in scene[1] if b["kind"] == "detached" and b["roof_type"] == "gabled"][:1]
    faces = exact_faces(scene)
    mine = [r for name, r in zip(faces.building, faces.rings, strict=True) if name == one[0]["building_id"]]

    def share(rings):
        found = figures(compare_roofs(one, RoofFaces([one[0]["building_id"]] * len(rings), rings)))
        return found["roof plane recall"], found["roof plane precision"]

    def moved(face, shift):
        return [ring + np.array(shift) for ring in face]

    assert share(mine) == (1.0, 1.0)
    assert share(mine[:1]) == (0.5, 1.0)
    assert share([mine[0], moved(mine[1], (0.0, 0.0, 0.4))]) == (1.0, 1.0)
    assert share([mine[0], moved(mine[1], (0.0, 0.0, 0.6))]) == (0.5, 0.5)
    assert share([mine[0], moved(mine[1], (40.0, 0.0, 0.0))]) == (0.5, 0.5)
    level = [np.column_stack([ring[:, :2], np.full(len(ring), ring[:, 2].mean())]) for ring in mine[1]]
    assert share([mine[0], level]) == (0.5, 0.5)
    sliver = [mine[1][0][:3] * np.array([0.0, 0.0, 1.0]) + np.array([*mine[1][0][0, :2], 0.0]) + np.eye(3)]
    assert share([*mine, sliver]) == (1.0, 1.0)  # half a square metre counts on neither side


def test_a_building_without_surfaces_misses_all_of_its_planes(scene):
    found = figures(compare_roofs(scene[1][:1], RoofFaces([], [])))
    assert found["roof plane recall"] == found["roof type accuracy"] == 0.0
    assert math.isnan(found["roof plane precision"]) and math.isnan(found["ridge height error, median"])


@pytest.mark.parametrize(
    ("planes", "name"),
    [
        ([(2.0, 80.0, 50.0), (0.0, 0.0, 50.0)], "flat"),
        ([(25.0, 10.0, 50.0), (24.0, 189.0, 50.0)], "gabled"),
        ([(25.0, 355.0, 30.0), (25.0, 4.0, 30.0), (24.0, 181.0, 50.0), (60.0, 90.0, 3.0)], "gabled"),
        ([(25.0, 10.0, 50.0)], "shed"),
        ([(25.0, 90.0 * k, 20.0) for k in range(4)], "other"),
        ([(25.0, 0.0, 50.0), (25.0, 90.0, 50.0)], "other"),
    ],
)
def test_roof_types_follow_from_the_planes(planes, name):
    assert roof_type(planes) == name
    assert roof_type([(slope, (azimuth + 77.0) % 360.0, area) for slope, azimuth, area in planes]) == name


def test_recall_asks_for_what_can_be_known_and_precision_for_what_is_true():
    def building(name, area, surveyed, visible):
        opening = {"kind": "portico", "area_m2": area, "height_m": 3.5, "visible_depth_m": visible}
        return {
            "building_id": name, "is_surveyed": surveyed, "openings": [opening] if area else [], "portico_area_m2": area,
            "underpass_area_m2": 0.0, "portico_height_m": 3.5, "roof_overhang_m": 0.0,
        }  # fmt: skip

    truth = [
        building("a", 80.0, True, 0.1),
        building("b", 100.0, False, 0.8),
        building("c", 60.0, False, 0.2),
        building("d", 0.0, True, 0),
    ]
    names = np.array(["d", "c", "b", "a"])
    found = figures(
        compare_openings(truth, {"building_id": names, "building_portico_area": np.array([20.0, 30.0, 50.0, np.nan])})
    )
    assert found["portico recall"] == pytest.approx(50.0 / 180.0)
    assert found["portico precision"] == pytest.approx(80.0 / 100.0)


def test_the_openings_of_the_district_are_found_within_the_targets(scene):
    """Points as a run has them, attributes as the footprints' file has them; roofs are the true ones."""
    district, truth = scene
    tiles = [scan_tile(district, w) for w in tile_windows(256.0)]
    points = {n: np.concatenate([t[n] for t in tiles]) for n in ("X", "Y", "Z", "classification")}
    shift = np.array([round(ORIGIN[0] * 1000.0), round(ORIGIN[1] * 1000.0), 0])
    xyz = np.stack([points["X"], points["Y"], points["Z"]], axis=1).astype(np.int64) + shift
    is_ground, is_building = points["classification"] == 2, points["classification"] == 6
    rings = [np.rint((np.array(b.ring) + ORIGIN) * 1000.0).astype(np.int64) for b in district.buildings]
    xy, offsets = np.concatenate(rings), np.cumsum([0, *map(len, rings)]).astype(np.int64)
    shapes = np.arange(len(rings) + 1)
    starts, member = locate_points_in_all(np.ascontiguousarray(xyz[:, :2]), xy, offsets, shapes)
    point = np.repeat(np.arange(len(xyz)), np.diff(starts))
    beside = xyz[is_building & (np.diff(starts) == 0)]
    near, neighbour = locate_points_nearby(np.ascontiguousarray(beside[:, :2]), 1_000, xy, offsets, shapes)
    rows, reach = [], []
    for i, (b, ring) in enumerate(zip(district.buildings, rings, strict=True)):
        mine, own = point[member == i], np.array([0, len(ring)])
        outside = beside[neighbour[near[i] : near[i + 1]]]
        ground, building = xyz[mine[is_ground[mine]]], xyz[mine[is_building[mine]]]
        found = find_openings(ground, building, ring, own, round(1000.0 * district.ground[i]), outside)
        stated = {}
        if is_surveyed(b.building_id):
            stated = {"portico": float(b.portico_length > 0.0), "portico_area_m2": open_area(b.openings, "portico")}
            stated |= {"underpass_area_m2": open_area(b.openings, "underpass")}
            stated |= {"portico_height_m": b.portico_height} if b.portico_length else {}
        rows.append(with_attributes(found, stated))
        plane = district.prism_plane[district.prism_building == i].copy()
        x, y = (ring[0] - shift[:2]) / 1000.0
        plane[:, 2] = 1000.0 * (plane[:, 0] * x + plane[:, 1] * y + plane[:, 2])
        reach.append(roof_overhang(outside, ring, own, plane))
    columns = opening_columns(rows, reach) | {"building_id": np.array([b["building_id"] for b in truth])}
    assert len(compare_openings(truth, columns)) == 6
    for metric, value, _, target in compare_openings(truth, columns):
        assert value >= target if metric in FLOORS else value <= target, metric
    # What no survey knows and no pulse sees deep enough is not invented: houses without openings have none.
    none = np.array([not b["openings"] for b in truth])
    assert columns["building_portico_area"][none].sum() == columns["building_underpass_area"][none].sum() == 0.0
    assert {row.portico_source for row in rows} == {0, 1, 2, 3}
    # Roofs that end at their walls have no overhang but for a noisy metre or two.
    assert np.median(columns["building_roof_overhang"][np.array([b["roof_overhang_m"] == 0.0 for b in truth])]) == 0.0
