"""Published files are the same to the byte, however the work is cut: ranks, tiles, threads, writers, order of the input."""

from __future__ import annotations

import shutil
from pathlib import Path

import laspy
import numpy as np
import pyogrio
import pytest

from felsina.engine.grid import BLOCK
from felsina.engine.io.read import product_grid
from felsina.engine.parallel.partition import Partition

PRODUCTS = {"terrain.nc", "buildings.nc", "buildings.city.jsonl", "energy.nc", "microclimate.nc", "city.nc"}


def options(tile_m=500, threads=1, writer="gather"):
    return ["--no-report", "--threads", threads, "--set", f"execution.tile_m={tile_m}", "--set", f"execution.writer={writer}"]


@pytest.fixture(scope="module")
def shuffled(district, tmp_path_factory) -> Path:
    """The same points permuted and cut into five files at random, and the footprints in another order."""
    folder = tmp_path_factory.mktemp("shuffled") / "district"
    shutil.copytree(district.parent, folder)
    tiles = sorted((folder / "tiles").glob("*.laz"))
    clouds = [laspy.read(t) for t in tiles]
    records = np.concatenate([c.points.array for c in clouds])
    header = clouds[0].header
    for tile in tiles:
        tile.unlink()
    rng = np.random.default_rng(7)
    records = records[rng.permutation(len(records))]
    cuts = np.sort(rng.integers(0, len(records), 4))
    for k, part in enumerate(np.split(records, cuts)):
        made = laspy.LasData(header, laspy.ScaleAwarePointRecord(part, header.point_format, header.scales, header.offsets))
        made.update_header()
        made.write(folder / "tiles" / f"part_{4 - k}.laz")
    reorder_features(folder / "buildings.gpkg", rng)
    reorder_features(folder / "green.gpkg", rng)
    return folder / district.name


def reorder_features(path, rng):
    meta, _, shapes, columns = pyogrio.raw.read(path)
    order = rng.permutation(len(shapes))
    path.unlink()
    pyogrio.raw.write(
        path, shapes[order], [c[order] for c in columns], list(meta["fields"]), crs=meta["crs"], driver="GPKG",
        layer=path.stem, geometry_type="Polygon",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ranks", "tile_m", "threads", "writer"),
    [(1, 97, 2, "virtual"), (2, 32, 1, "virtual"), (3, 173, 1, "gather"), (4, 97, 1, "virtual")],
)
def test_bytes_depend_on_neither_ranks_tiles_threads_nor_writer(
    ranks, tile_m, threads, writer, district, finished, felsina, published, tmp_path
):
    environment = {"NUMBA_NUM_THREADS": str(threads)}
    done = felsina(ranks, environment)("run", district, "--out", tmp_path / "run", *options(tile_m, threads, writer))
    assert done.returncode == 0, done.stderr
    assert published(finished).keys() == PRODUCTS
    assert published(tmp_path / "run") == published(finished)


def test_these_cuts_make_many_tiles_and_leave_a_rank_without_any(finished):
    grid = product_grid(finished / "terrain.nc")
    assert grid.shape == (4 * BLOCK + 16, 4 * BLOCK)  # the last row of blocks is cut short
    tiles = {tile_m: Partition.of(grid.shape, round(tile_m / grid.resolution), 3).tiles for tile_m in (32, 97, 173, 500)}
    assert {tile_m: len(t) for tile_m, t in tiles.items()} == {32: 20, 97: 4, 173: 1, 500: 1}
    assert {t.rank for t in tiles[173]} != {0, 1, 2}


def test_bytes_do_not_depend_on_the_order_of_points_files_and_features(shuffled, finished, felsina, published, tmp_path):
    done = felsina(2)("run", shuffled, "--out", tmp_path / "run", *options(97))
    assert done.returncode == 0, done.stderr
    assert published(tmp_path / "run") == published(finished)


def test_points_without_classes_give_the_same_bytes_on_three_ranks(district, shuffled, felsina, published, tmp_path):
    runs = []
    for ranks, city, tile_m in ((1, district, 500), (3, shuffled, 32)):
        runs.append(tmp_path / f"run{ranks}")
        chosen = ["--set", "points.use_classes=false", "--until", "buildings", *options(tile_m)]
        done = felsina(ranks)("run", city, "--out", runs[-1], *chosen)
        assert done.returncode == 0, done.stderr
    assert published(runs[0]).keys() == {"terrain.nc", "buildings.nc", "buildings.city.jsonl"}
    assert published(runs[0]) == published(runs[1])


def test_derived_footprints_give_the_same_bytes_on_two_ranks(district_copy, felsina, published, tmp_path):
    text = district_copy.read_text()
    start, end = text.index("[footprints]"), text.index("[landcover]")
    district_copy.write_text(text[:start] + text[end:])
    runs = []
    for ranks, tile_m in ((1, 500), (2, 32)):
        runs.append(tmp_path / f"run{ranks}")
        done = felsina(ranks)("run", district_copy, "--out", runs[-1], "--until", "buildings", *options(tile_m))
        assert done.returncode == 0, done.stderr
        assert "derived from building returns" in done.stderr
    assert published(runs[0]) == published(runs[1])
    cityjson = (runs[0] / "buildings.city.jsonl").read_text(encoding="utf-8")
    assert '"building_derived":1' in cityjson and '"building_derived":0' not in cityjson
