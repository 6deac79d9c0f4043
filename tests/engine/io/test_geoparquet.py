"""Arrow and, where it is there, GeoPandas open the tables and see rows, polygons and CRS."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shapely

from felsina.engine.errors import ProductError, UsageError
from felsina.engine.io import geoparquet
from felsina.engine.io.cityjson import Feature, write_cityjsonseq
from felsina.engine.io.geoparquet import write_buildings, write_trees
from felsina.engine.io.read import read_field
from felsina.engine.parallel.world import World
from felsina.engine.rundir import RunDirectory
from felsina.engine.schema import rows

pq = pytest.importorskip("pyarrow.parquet")

WEST, SOUTH = 685_000, 4_929_000


def _ring(x, y, size, turn=1):
    corners = np.array([(0, 0, 0), (size, 0, 0), (size, size, 0), (0, size, 0)], np.int64)[::turn]
    return corners + np.array([WEST * 1000 + x, SOUTH * 1000 + y, 50_000])


@pytest.fixture(scope="module")
def run(maker, tmp_path_factory):
    """All products of five rows: with a hole, of two parts, without outline, with none of its own, plain."""
    folder = tmp_path_factory.mktemp("run")
    for product in ("terrain", "buildings", "energy", "city"):
        maker.make(World.serial(), folder, product)
    ids = read_field(folder / "buildings.nc", "building_id")
    outlines = {
        0: [[_ring(0, 0, 9001), _ring(2000, 2000, 1500, -1)]],
        1: [[_ring(20_000, 0, 5000)], [_ring(30_000, 0, 5000)]],
        2: [],
        4: [[_ring(50_000, 7, 3000)]],
    }
    meta = {"crs": "EPSG:7791", "translate": (WEST, SOUTH, 0)}
    write_cityjsonseq(folder / "buildings.city.jsonl", meta, [Feature(ids[k], {}, o) for k, o in outlines.items()])
    return RunDirectory(folder)


@pytest.fixture(scope="module")
def table(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("parquet") / "b.parquet"
    assert write_buildings(run, path) == 5
    return path


def test_columns_are_those_of_all_products_with_words_for_codes_and_null_for_nan(run, table):
    read = pq.read_table(table)
    wanted = {n: f for p in ("buildings", "energy", "city") for n, f in rows(p).items() if f.dims[:1] == ("building",)}
    assert set(read.column_names) == {*wanted, "geometry"} and read.num_rows == 5
    for name in wanted:
        product = next(p for p in ("buildings", "energy", "city") if name in rows(p))
        field, values = rows(product)[name], read_field(run.product(product), name)
        if field.flags:
            expected = [field.flags[int(v)] for v in values]
        elif values.dtype.kind == "f":
            expected = np.where(np.isfinite(values), values, None).tolist()
        else:
            expected = values.tolist()
        assert read[name].to_pylist() == expected, name
        about = read.schema.field(name).metadata
        assert about[b"long_name"].decode() == field.long_name
        assert field.flags or field.dtype == "str" or about[b"units"].decode() == field.units


def test_polygons_lie_where_the_footprints_do(table):
    shapes = shapely.from_wkb(np.array(pq.read_table(table)["geometry"].to_pylist(), object))
    assert shapes[2] is None and shapes[3] is None
    assert [s.geom_type for s in shapes[[0, 1, 4]]] == ["Polygon", "MultiPolygon", "Polygon"]
    assert shapes[0].area == pytest.approx(9.001**2 - 1.5**2, abs=1e-6) and shapes[1].area == pytest.approx(50.0, abs=1e-6)
    assert shapes[4].bounds == (685_050.0, 4_929_000.007, 685_053.0, 4_929_003.007)
    for shape in shapes[[0, 4]]:
        assert shape.exterior.is_ccw and not any(r.is_ccw for r in shape.interiors)


def test_geo_metadata_follow_geoparquet_1_1(table):
    geo = json.loads(pq.read_schema(table).metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    about = geo["columns"]["geometry"]
    assert about["encoding"] == "WKB" and about["geometry_types"] == ["MultiPolygon", "Polygon"]
    assert about["crs"]["id"] == {"authority": "EPSG", "code": 7791} and about["orientation"] == "counterclockwise"
    assert about["bbox"] == [685_000.0, 4_929_000.0, 685_053.0, 4_929_009.001]


def test_geopandas_reads_it(table):
    geopandas = pytest.importorskip("geopandas")
    frame = geopandas.read_parquet(table)
    assert frame.crs.to_epsg() == 7791 and frame.geometry.notna().tolist() == [True, True, False, False, True]


def test_row_groups_of_any_size_hold_the_same_rows(run, table, tmp_path, monkeypatch):
    monkeypatch.setattr(geoparquet, "BATCH", 2)
    write_buildings(run, tmp_path / "b.parquet")
    assert pq.ParquetFile(tmp_path / "b.parquet").num_row_groups == 3
    one, other = pq.read_table(table), pq.read_table(tmp_path / "b.parquet")
    assert one.to_pylist() == other.to_pylist() and one.schema.metadata[b"geo"] == other.schema.metadata[b"geo"]


def test_only_the_columns_asked_for_are_written(run, tmp_path):
    write_buildings(run, tmp_path / "b.parquet", ["building_height"])
    assert pq.read_schema(tmp_path / "b.parquet").names == ["building_id", "building_height", "geometry"]
    with pytest.raises(UsageError, match="no column 'price'"):
        write_buildings(run, tmp_path / "c.parquet", ["price"])
    assert [p.name for p in tmp_path.iterdir()] == ["b.parquet"]


def test_trees_are_points(run, tmp_path):
    assert write_trees(run.product("terrain"), tmp_path / "t.parquet") == 4
    read = pq.read_table(tmp_path / "t.parquet")
    shapes = shapely.from_wkb(read["geometry"].to_pylist())
    x, y = (read_field(run.product("terrain"), n) for n in ("tree_x", "tree_y"))
    np.testing.assert_array_equal(shapely.get_coordinates(shapes), np.column_stack((x, y)))
    np.testing.assert_array_equal(read["tree_height"].to_numpy(), read_field(run.product("terrain"), "tree_height"))


def test_the_same_run_gives_the_same_bytes(run, table, tmp_path):
    write_buildings(run, tmp_path / "b.parquet")
    assert (tmp_path / "b.parquet").read_bytes() == table.read_bytes()


def test_features_of_another_run_are_refused(run, tmp_path):
    other = RunDirectory(tmp_path)
    (tmp_path / "buildings.nc").symlink_to(run.product("buildings"))
    meta = {"crs": "EPSG:7791", "translate": (WEST, SOUTH, 0)}
    write_cityjsonseq(tmp_path / "buildings.city.jsonl", meta, [Feature("elsewhere")])
    with pytest.raises(ProductError, match="building 'elsewhere', which the table has not"):
        write_buildings(other, tmp_path / "x.parquet")
    assert not list(tmp_path.glob("x.parquet*"))


def test_without_footprints_the_way_out_is_told(run, tmp_path):
    (tmp_path / "buildings.nc").symlink_to(run.product("buildings"))
    with pytest.raises(ProductError, match=r"buildings\.city\.jsonl' is missing"):
        write_buildings(RunDirectory(tmp_path), tmp_path / "x.parquet")
