"""Bad clouds and bad footprints: nothing crashes, rows say why, uncertainty rises where data fall, neighbours do not notice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import laspy
import numpy as np
import pyogrio
import pytest
import shapely

from felsina.engine.fields import BUILDING_REASONS, BUILDING_STATUS, RECONSTRUCTION_REASONS, fields_of
from felsina.engine.io.read import product_attrs, read_table
from felsina.kernels.geometry.solids import list_errors

SIZE_M = 192.0
KEPT_IN_STRIP = 0.07
REACH_M = 4.5  # around a footprint; ground returns count within 4 m of it
BUILDING, GROUND = 6, 2
SHORT = ("--until", "buildings", "--no-report", "--threads", 1, "--max-failed", 1.0)
STATUS = {word: code for code, word in BUILDING_STATUS.items()}
UNCERTAINTIES = (
    "building_roof_height_standard_deviation",
    "building_roof_area_standard_deviation",
    "building_lod22_volume_standard_deviation",
)


class Scene(NamedTuple):
    """A spoilt district and what was done to whom."""

    city: Path
    touched: set[str]  # buildings near a point that is not as it was
    roles: dict[str, str]  # role -> building


def footprints(path: Path) -> dict[str, shapely.Polygon]:
    _, _, wkb, (ids,) = pyogrio.raw.read(path, columns=["building_id"])
    return dict(zip(ids.tolist(), shapely.from_wkb(wkb), strict=True))


def features(run: Path) -> dict[str, dict]:
    lines = (run / "buildings.city.jsonl").read_text(encoding="utf-8").splitlines()
    return {f["id"]: f for f in map(json.loads, lines[1:])}


def corners(run: Path) -> dict[str, list]:
    """Return the corners of all faces of all solids of each building, by position [mm] in the CRS."""
    header = json.loads((run / "buildings.city.jsonl").open(encoding="utf-8").readline())
    place = 1000 * np.array(header["transform"]["translate"], np.int64)
    found = {}
    for name, feature in features(run).items():
        vertices = (np.array(feature["vertices"], np.int64).reshape(-1, 3) + place).tolist()
        found[name] = [
            [g["lod"], [[[vertices[v] for v in ring] for ring in face] for face in g["boundaries"][0]]]
            for o in feature["CityObjects"].values()
            for g in o.get("geometry", [])
            if g["type"] == "Solid"
        ]
    return found


def table(run: Path) -> dict[str, dict]:
    """Return the building table by name; of rows with one name the one with a geometry."""
    names = [n for n, f in fields_of("buildings").items() if f.dims == ("building",) and (f.required or n in (*UNCERTAINTIES,))]
    columns = read_table(run / "buildings.nc", [*names, "building_reconstruction_reason"])
    rows: dict[str, dict] = {}
    for k in np.argsort(columns["building_status"] == STATUS["rejected"], kind="stable"):
        rows.setdefault(columns["building_id"][k], {n: v[k] for n, v in columns.items()})
    return rows


# -- the spoilt district ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    from felsina.engine.io.district_files import write_district

    return write_district(tmp_path_factory.mktemp("clean") / "input", SIZE_M)


@pytest.fixture(scope="module")
def hard(clean, tmp_path_factory) -> Scene:
    """The district with holes, a sparse strip, noise, an edge through a building, and footprints nobody would draw."""
    folder = tmp_path_factory.mktemp("hard") / "input"
    (folder / "tiles").mkdir(parents=True)
    for path in (p for p in clean.parent.iterdir() if p.is_file()):
        shutil.copy(path, folder)
    shapes = footprints(clean.parent / "buildings.gpkg")
    roles, strip = _roles(shapes)
    random, touched = np.random.default_rng(5), set()
    for path in sorted((clean.parent / "tiles").glob("*.laz")):
        cloud = laspy.read(path)
        x, y = np.asarray(cloud.x), np.asarray(cloud.y)
        kept = _kept(x, y, shapes, roles, strip, random)
        touched |= {n for n, s in shapes.items() if shapely.contains_xy(s.buffer(REACH_M), x[~kept], y[~kept]).any()}
        cloud.points = cloud.points[kept]
        cloud.points = _with_noise(cloud, shapes[roles["noise"]], random)
        cloud.write(folder / "tiles" / path.name)
    touched |= {n for n, s in shapes.items() if s.distance(shapes[roles["noise"]]) < REACH_M}
    _write_footprints(folder / "buildings.gpkg", clean.parent / "buildings.gpkg", shapes, roles)
    return Scene(folder / "city.toml", touched, roles)


def _roles(shapes: dict[str, shapely.Polygon]) -> tuple[dict[str, str], tuple[float, float]]:
    """Give roles to large buildings that lie apart, and return the strip [m], through the middle."""
    x = {n: s.centroid.x for n, s in shapes.items()}
    west, east = min(x.values()), max(x.values())
    strip = (west + 0.42 * (east - west), west + 0.62 * (east - west))
    free = sorted((n for n in shapes if not strip[0] - 8 < x[n] < strip[1] + 8), key=lambda n: (-shapes[n].area, n))
    cut = max(free[:8], key=lambda n: x[n])
    rest = [n for n in free if x[n] < x[cut] - 8]
    apart: list[str] = []
    for name in rest:
        if all(shapes[name].distance(shapes[other]) > 2 * REACH_M for other in apart):
            apart.append(name)
    return dict(zip(("half", "bare", "noise", "twin"), apart, strict=False)) | {"cut": cut}, strip


def _kept(x, y, shapes, roles, strip, random) -> np.ndarray:
    half, bare, cut = (shapes[roles[r]] for r in ("half", "bare", "cut"))
    hole = half.centroid.buffer(0.45 * np.sqrt(half.area)).intersection(half)
    gone = shapely.contains_xy(hole, x, y) | shapely.contains_xy(bare.buffer(0.3), x, y) | (x > cut.centroid.x)
    in_strip = (x > strip[0]) & (x < strip[1])
    return ~gone & (~in_strip | (random.random(len(x)) < KEPT_IN_STRIP))


def _with_noise(cloud, shape, random):
    """Return the points with some of class building 100 m above and below a building."""
    inside = np.flatnonzero(
        shapely.contains_xy(shape, np.asarray(cloud.x), np.asarray(cloud.y)) & (cloud.classification == BUILDING)
    )
    chosen = random.permutation(inside)[: max(len(inside) // 50, 0)]
    array = np.concatenate([cloud.points.array, cloud.points.array[chosen]])
    array["Z"][len(cloud.points) :] += np.where(np.arange(len(chosen)) % 2 == 0, 100_000, -100_000).astype(np.int32)
    return laspy.ScaleAwarePointRecord(array, cloud.header.point_format, cloud.header.scales, cloud.header.offsets)


def _moved(shape: shapely.Polygon, east: float, north: float) -> shapely.Polygon:
    return shapely.transform(shape, lambda corners: corners + np.array([east, north]))


def _write_footprints(path: Path, source: Path, shapes: dict[str, shapely.Polygon], roles: dict[str, str]) -> None:
    twin, half = shapes[roles["twin"]], shapes[roles["half"]]
    west, south, east, north = twin.bounds
    bow = shapely.Polygon([(west, south), (east, north), (east, south), (west, north)])
    far = _moved(twin, 900.0, 400.0)
    nan_z = shapely.transform(shapely.force_3d(twin, 1.0), lambda c: c * [1.0, 1.0, np.nan], include_z=True)
    touching = shapely.Polygon(
        [(west, south), (east, south), (east, north), (west, north)],
        [[(west, south), (west + 2, south + 4), (west + 4, south + 2)]],
    )
    added = {
        "x-bowtie": bow,
        "x-empty": shapely.Polygon(),
        "x-far": far,
        "x-line": shapely.LineString([(west, south), (east, north)]),
        "x-multi": shapely.MultiPolygon([twin, _moved(twin, 1.0, 1.0), shapely.box(west, south, west + 0.2, south + 0.2)]),
        "x-nan-z": nan_z,
        "x-null": None,
        "x-overlap": _moved(half, 3.0, 2.0),
        "x-point": shapely.Polygon([(west, south), (west, south), (west, south)]),
        "x-sliver": shapely.box(west, south, east, south + 0.001),
        "x-tiny": shapely.box(west, south, west + 0.3, south + 0.3),
        "x-touching": touching,
        "x-twin": twin,
    }  # fmt: skip
    names = ["building_id", "construction_year", "use", "floors", "residents"]
    meta, _, wkb, columns = pyogrio.raw.read(source, columns=names)
    ids, year, use, floors, residents = (dict(zip(meta["fields"], columns, strict=True))[n] for n in names)
    n = len(added) + 1
    # Another row with the name of a building, elsewhere.
    extra = [*added.values(), _moved(half, -2.0, -1.0)]
    data = [
        np.concatenate([ids, np.array([*added, roles["half"]], object)]),
        np.concatenate([year, np.full(n, 1950, year.dtype)]),
        np.concatenate([use, np.full(n, "residential", object)]),
        np.concatenate([floors, np.zeros(n, floors.dtype)]),
        np.concatenate([residents, np.zeros(n, residents.dtype)]),
        np.full(len(ids) + n, np.nan),
        np.full(len(ids) + n, np.nan),
    ]
    path.unlink(missing_ok=True)
    geometry = np.concatenate([shapely.from_wkb(wkb), np.array(extra, object)])
    pyogrio.raw.write(
        path, shapely.to_wkb(geometry, output_dimension=3), data, [*names, "height_eaves_m", "height_foot_m"], crs=meta["crs"],
        driver="GPKG", geometry_type="Unknown",
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(clean, hard, felsina, tmp_path_factory) -> dict[str, Path]:
    """The clean district, the spoilt one on one and on two ranks, and the spoilt one without a class."""
    folder = tmp_path_factory.mktemp("runs")
    blank = _without_classes(hard, folder / "blank")
    made = {}
    for name, city, ranks in (("clean", clean, 1), ("hard", hard.city, 1), ("two", hard.city, 2), ("blank", blank, 1)):
        done = felsina(ranks)("run", city, "--out", folder / name / "run", *SHORT)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        made[name] = folder / name / "run"
    return made


def _without_classes(hard: Scene, folder: Path) -> Path:
    shutil.copytree(hard.city.parent, folder / "input")
    for path in (folder / "input" / "tiles").glob("*.laz"):
        cloud = laspy.read(path)
        cloud.classification = np.zeros(len(cloud.points), np.uint8)
        cloud.write(path)
    return folder / "input" / "city.toml"


# -- what holds -------------------------------------------------------------------------------------------------------------


def test_the_scene_is_as_hard_as_it_claims(hard, clean):
    assert set(hard.roles) == {"half", "bare", "noise", "twin", "cut"}
    shapes = footprints(clean.parent / "buildings.gpkg")
    assert len(hard.touched) < len(shapes)
    counts = [sum(len(laspy.read(p).points) for p in sorted((c.parent / "tiles").glob("*.laz"))) for c in (clean, hard.city)]
    assert counts[1] < 0.8 * counts[0]


@pytest.mark.parametrize("name", ["hard", "blank"])
def test_every_row_has_a_status_and_a_reason_that_agree(name, runs, clean):
    columns = read_table(runs[name] / "buildings.nc", ("building_id", "building_status", "building_reason", "building_lod"))
    assert len(columns["building_id"]) == len(footprints(clean.parent / "buildings.gpkg")) + 14
    for k, building in enumerate(columns["building_id"]):
        status, reason = (
            BUILDING_STATUS[int(columns["building_status"][k])],
            BUILDING_REASONS[int(columns["building_reason"][k])],
        )
        assert (status == "success") == (reason == "none"), (building, status, reason)
        assert reason != "defect", building
        assert (columns["building_lod"][k] in ("1.2", "1.3", "2.2")) == (status in ("success", "fallback")), building


def test_footprints_that_are_none_are_rejected_with_their_reason(runs):
    rows = table(runs["hard"])
    reasons = {n: BUILDING_REASONS[int(r["building_reason"])] for n, r in rows.items() if n.startswith("x-")}
    assert reasons["x-empty"] == reasons["x-null"] == "empty_geometry"
    assert reasons["x-line"] == "not_a_polygon"
    assert {reasons[n] for n in ("x-sliver", "x-tiny", "x-point")} <= {"too_small", "not_repairable", "empty_geometry"}
    assert rows["x-far"]["building_status"] == STATUS["failed"] and reasons["x-far"] == "no_points"
    for name in ("x-bowtie", "x-multi", "x-nan-z", "x-overlap", "x-touching", "x-twin"):
        assert rows[name]["building_status"] == STATUS["success"], (name, reasons[name])


def test_a_second_row_of_a_name_is_rejected_and_the_first_stays(runs, hard):
    columns = read_table(runs["hard"] / "buildings.nc", ("building_id", "building_status", "building_reason"))
    mine = columns["building_id"] == hard.roles["half"]
    words = sorted(BUILDING_REASONS[int(r)] for r in columns["building_reason"][mine])
    assert words == ["duplicate_id", "none"]


@pytest.mark.parametrize("name", ["hard", "blank"])
def test_all_solids_are_valid(name, runs):
    n_solid = 0
    for building, feature in features(runs[name]).items():
        vertices = np.array(feature["vertices"], np.int64).reshape(-1, 3)
        for thing in feature["CityObjects"].values():
            for solid in (g for g in thing.get("geometry", []) if g["type"] == "Solid"):
                faces = solid["boundaries"][0]
                rings = [ring for face in faces for ring in face]
                offsets = [np.cumsum([0, *map(len, parts)]).astype(np.int64) for parts in (rings, faces)]
                whole = np.array([0, len(faces)], np.int64)
                codes = list_errors(vertices, np.concatenate(rings).astype(np.int64), *offsets, whole).code.tolist()
                assert codes == [], (building, solid["lod"])
                n_solid += 1
    assert n_solid > 60


def test_twins_are_one_solid(runs, hard):
    solids = corners(runs["hard"])
    assert solids["x-twin"] == solids["x-nan-z"] == solids[hard.roles["twin"]] and solids["x-twin"]


def test_buildings_away_from_the_damage_keep_their_solids(runs, hard):
    before, after = corners(runs["clean"]), corners(runs["hard"])
    untouched = sorted(set(before) - hard.touched)
    assert len(untouched) >= 4
    for name in untouched:
        assert after[name] == before[name] and len(before[name]) >= 3, name


def test_uncertainty_rises_and_coverage_falls_where_the_data_fall(runs, hard, clean):
    before, after = table(runs["clean"]), table(runs["hard"])
    shapes = footprints(clean.parent / "buildings.gpkg")
    _, strip = _roles(shapes)
    sparse = [n for n, s in shapes.items() if strip[0] < s.bounds[0] and s.bounds[2] < strip[1]]
    assert len(sparse) >= 2
    for name in (*sparse, hard.roles["half"], hard.roles["cut"]):
        told = {n: (before[name][n], after[name][n]) for n in (*UNCERTAINTIES, "building_coverage", "building_point_count")}
        assert after[name]["building_status"] == STATUS["success"], name
        assert after[name]["building_coverage"] < 0.9 * before[name]["building_coverage"], told
        assert after[name]["building_point_count"] < 0.9 * before[name]["building_point_count"], told
        height = UNCERTAINTIES[0]
        assert after[name][height] > before[name][height], (name, told)


def test_a_roof_without_points_falls_back_on_its_storeys(runs, hard):
    row = table(runs["hard"])[hard.roles["bare"]]
    assert row["building_status"] == STATUS["fallback"]
    assert BUILDING_REASONS[int(row["building_reason"])] == "height_from_attributes"
    assert RECONSTRUCTION_REASONS[int(row["building_reconstruction_reason"])] == "not_tried"
    assert row["building_coverage"] == 0 and not np.isfinite(row[UNCERTAINTIES[0]])


def test_noise_far_above_and_below_moves_no_roof(runs, hard):
    name = hard.roles["noise"]
    before, after = table(runs["clean"])[name], table(runs["hard"])[name]
    # A millimetre or two: the median of the points has other neighbours.
    assert abs(after["building_height"] - before["building_height"]) < 0.02
    height = {
        run: max(v[2] for _, faces in corners(runs[run])[name] for face in faces for ring in face for v in ring)
        for run in ("clean", "hard")
    }
    assert abs(height["hard"] - height["clean"]) < 300
    assert abs(after["building_volume"] / before["building_volume"] - 1) < 0.01


def test_two_ranks_give_the_same_bytes(runs, published):
    assert published(runs["two"]) == published(runs["hard"])


def test_without_classes_most_buildings_stand_where_they_stood(runs, hard):
    assert product_attrs(runs["blank"] / "terrain.nc")["point_classes"] == "felsina"
    before, after = table(runs["hard"]), table(runs["blank"])
    good = [n for n, r in before.items() if r["building_status"] == STATUS["success"] and not n.startswith("x-")]
    built = [n for n in good if after[n]["building_status"] == STATUS["success"]]
    assert len(built) >= 0.9 * len(good)
    off = np.array([abs(after[n]["building_height"] - before[n]["building_height"]) for n in built])
    assert np.median(off) < 0.3
