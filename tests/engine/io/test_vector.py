from __future__ import annotations

import numpy as np
import pyogrio
import pytest
import shapely
from shapely import Polygon, box

from felsina.engine.errors import InputError
from felsina.engine.fields import BUILDING_REASONS
from felsina.engine.io.vector import clean_polygons, rasterise, read_footprints, read_polygons, same_horizontal_crs

CRS = "EPSG:28992"


def _write(path, shapes, crs=CRS, **columns):
    pyogrio.raw.write(
        path,
        geometry=np.array([None if s is None else shapely.to_wkb(s) for s in shapes], object),
        field_data=[np.array(v) for v in columns.values()],
        fields=list(columns),
        geometry_type="Unknown" if path.suffix in (".gpkg", ".geojson") else "Polygon",
        crs=crs,
        driver={".sqlite": "SQLite"}.get(path.suffix),
    )
    return path


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp", "a.sqlite", "a.fgb"])
def test_every_format_gives_the_same_footprints(tmp_path, name):
    crs = "EPSG:4326" if name.endswith("json") else CRS
    shapes = [box(10, 0, 20, 10), box(0, 0, 10, 10)]
    made = read_footprints(_write(tmp_path / name, shapes, crs, key=["b", "a"]), crs, "key")
    assert made.ids == ["a", "b"] and not made.rejected.any()
    assert [p[0].bounds for p in made.geometry] == [(0, 0, 10, 10), (10, 0, 20, 10)]


def test_rows_keep_their_reason_and_the_order_of_the_file_does_not_matter(tmp_path):
    rows = [
        ("e", None, "empty_geometry"),
        ("d", box(40, 0, 40.5, 0.5), "too_small"),
        ("b", shapely.LineString([(0, 0), (1, 1)]), "not_a_polygon"),
        ("c", Polygon([(0, 0), (5, 5), (9, 9)]), "not_repairable"),
        ("a", box(0, 0, 10, 10), "none"),
        ("a", box(20, 0, 30, 10), "duplicate_id"),
    ]
    made = []
    for k, order in enumerate(([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0])):
        path = _write(tmp_path / f"{k}.gpkg", [rows[i][1] for i in order], key=[rows[i][0] for i in order])
        made.append(read_footprints(path, CRS, "key"))
    assert made[0].ids == made[1].ids == ["a", "a", "b", "c", "d", "e"]
    names = [BUILDING_REASONS[int(c)] for c in made[0].reason]
    assert names == ["none", "duplicate_id", "not_a_polygon", "not_repairable", "too_small", "empty_geometry"]
    assert made[0].geometry == made[1].geometry and made[0].sentence == made[1].sentence
    assert all(s.endswith(".") for s, bad in zip(made[0].sentence, made[0].rejected, strict=True) if bad)


def test_a_contradicting_crs_is_an_error_that_names_both(tmp_path):
    path = _write(tmp_path / "a.gpkg", [box(0, 0, 9, 9)], key=["a"])
    with pytest.raises(InputError, match=r"EPSG:28992.*EPSG:32632"):
        read_footprints(path, "EPSG:32632", "key")
    assert same_horizontal_crs("EPSG:7415", CRS) and not same_horizontal_crs("EPSG:7415", "EPSG:32632")


@pytest.mark.filterwarnings("ignore:.crs. was not provided")
def test_a_file_without_crs_is_taken_as_the_city_and_says_so(tmp_path):
    path = _write(tmp_path / "a.shp", [box(0, 0, 9, 9)], crs=None, key=["a"])
    made = read_footprints(path, CRS, "key")
    assert len(made) == 1 and "no CRS" in made.notes[0]


def test_missing_files_columns_and_ids_are_input_errors(tmp_path):
    path = _write(tmp_path / "a.gpkg", [box(0, 0, 9, 9)], key=["a"])
    (tmp_path / "b.gpkg").write_bytes(b"no database")
    for bad in (lambda: read_footprints(tmp_path / "none.gpkg", CRS), lambda: read_footprints(tmp_path / "b.gpkg", CRS)):
        with pytest.raises(InputError):
            bad()
    with pytest.raises(InputError, match=r"'nokey'.*key"):
        read_footprints(path, CRS, "nokey")


def test_attributes_are_numbers_with_a_stated_unknown(tmp_path):
    path = _write(
        tmp_path / "a.gpkg",
        [box(0, 0, 9, 9), box(9, 0, 18, 9)],
        key=["b", "a"],
        construction_year=[1930.0, np.nan],
        height_eaves_m=[7.5, np.nan],
        use=["house", None],
    )
    made = read_footprints(path, CRS, "key").attributes
    assert made["construction_year"].tolist() == [0, 1930] and made["use"].tolist() == ["", "house"]
    assert np.isnan(made["height_eaves_m"][0]) and made["height_eaves_m"][1] == 7.5 and "floors" not in made


def test_porticoes_are_read_as_numbers_and_in_the_words_of_openstreetmap(tmp_path):
    squares = [box(9 * k, 0, 9 * k + 9, 9) for k in range(3)]
    path = _write(
        tmp_path / "a.gpkg", squares, key=["a", "b", "c"], arcade=["yes", "no", None], portico=[1.0, 0.0, np.nan],
        portico_depth_m=[3.5, np.nan, np.nan],
    )  # fmt: skip
    made = read_footprints(path, CRS, "key").attributes
    for name in ("arcade", "portico"):
        np.testing.assert_array_equal(made[name], [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(made["portico_depth_m"], [3.5, np.nan, np.nan])
    bad = _write(tmp_path / "b.gpkg", squares, key=["a", "b", "c"], arcade=["perhaps", "no", None])
    with pytest.raises(InputError, match="arcade"):
        read_footprints(bad, CRS, "key")


BAD = {
    "bow tie": (Polygon([(0, 0), (10, 10), (10, 0), (0, 10)]), 50.0, 2),
    "spike": (Polygon([(0, 0), (10, 0), (10, 10), (5, 10), (5, 30), (5, 10), (0, 10)]), 100.0, 1),
    "repeated vertices": (Polygon([(0, 0), (0, 0), (10, 0), (10, 0), (10, 10), (0, 10)]), 100.0, 1),
    "clockwise": (Polygon([(0, 10), (10, 10), (10, 0), (0, 0)]), 100.0, 1),
    "sliver part": (shapely.MultiPolygon([box(0, 0, 10, 10), box(20, 0, 20.001, 10)]), 100.0, 1),
    "two parts": (shapely.MultiPolygon([box(0, 0, 10, 10), box(20, 0, 30, 10)]), 200.0, 2),
}


@pytest.mark.parametrize("name", BAD)
def test_what_can_be_repaired_is_a_valid_oriented_polygon(name):
    shape, area, n = BAD[name]
    parts, reason, _ = clean_polygons(shape)
    assert reason == "none" and len(parts) == n
    assert sum(p.area for p in parts) == pytest.approx(area, abs=1e-9)
    assert all(p.is_valid and p.exterior.is_ccw for p in parts)


def test_a_hole_that_touches_the_exterior_is_pulled_off_it():
    touching = Polygon([(0, 0), (10, 0), (10, 10), (0, 10)], [[(0, 5), (3, 4), (3, 6)]])
    (made,), _, _ = clean_polygons(touching)
    assert len(made.interiors) == 1 and made.interiors[0].distance(made.exterior) > 0.001
    assert made.area == pytest.approx(touching.area, abs=0.05)  # 3 mm along the 8 m of the hole


def test_a_footprint_100_km_away_is_repaired_alike():
    for shape, _, _ in BAD.values():
        here, there = clean_polygons(shape)[0], clean_polygons(shapely.affinity.translate(shape, 1e5, 1e5))[0]
        moved = [np.rint(shapely.get_coordinates(p) * 1000) for p in there]
        for a, b in zip(here, moved, strict=True):
            assert np.array_equal(np.rint(shapely.get_coordinates(a) * 1000) + 1e8, b)


def test_overlaps_count_each_place_once(tmp_path):
    shapes = [box(0, 0, 10, 10), box(8, 0, 18, 10), box(8, 0, 18, 10)]
    made = read_footprints(_write(tmp_path / "a.gpkg", shapes, key=["a", "b", "c"]), CRS, "key")
    assert made.overlap_area.tolist() == [20, 100, 100]


def test_land_cover_polygons_fill_the_cells_whose_centre_they_hold(tmp_path):
    rows, notes = read_polygons(_write(tmp_path / "a.gpkg", [box(0, 0, 2, 1), None], key=["a", "b"]), CRS)
    assert (
        rasterise(rows, -1.0, 2.0, 0.5, 8, 6).tolist() == [[-1] * 8] * 2 + [[-1, -1, 0, 0, 0, 0, -1, -1]] * 2 + [[-1] * 8] * 2
    )
    assert "1 of 2 rows" in notes[0]
    with pytest.raises(InputError):
        rasterise(rows, 0.0, 0.0, 1 / 3, 4, 4)


def test_both_files_of_delft_hold_the_same_160_footprints(felsina_data):
    folder = felsina_data / "lidar"
    a = read_footprints(folder / "3dfier_delft_ahn3" / "bgt_pand.sqlite", "EPSG:7415", "gml_id")
    b = read_footprints(folder / "peer_outputs" / "delft_pand.gpkg", "EPSG:7415", "gml_id")
    assert len(a) == 160 and not a.rejected.any() and a.ids == b.ids
    assert np.array_equal(a.polygons().xy, b.polygons().xy)
