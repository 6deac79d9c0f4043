"""The bytes of a product follow from values, grid and configuration alone; what was written is what is read."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from felsina.engine.errors import ProductError
from felsina.engine.fields import fields_of
from felsina.engine.io.pieces import MASTER
from felsina.engine.io.quantise import quantise
from felsina.engine.io.results import ProductWriter, product_attrs, product_grid, read_field, read_mesh, read_table
from felsina.engine.parallel.world import World

PRODUCTS = ("terrain", "buildings", "energy", "microclimate", "city")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("writer", ["gather", "virtual"])
def test_back_end_tiling_and_order_of_the_writes_change_no_byte(maker, small_run, tmp_path, product, writer):
    reference = sha256(next(small_run.glob(f"{product}.nc")))
    for cut, seed in ((1, 3), (2, 4)):
        path = maker.make(World.serial(), tmp_path, product, writer=writer, cut=cut, seed=seed)
        assert sha256(path) == reference


def compare_with_one_rank(maker, world, shared_tmp, products):
    alone = shared_tmp / "alone"
    if world.is_root:
        alone.mkdir(exist_ok=True)
        for product in products:
            maker.make(World.serial(), alone, product)
    world.barrier()
    for product in products:
        for writer in ("gather", "virtual"):
            path = maker.make(world, shared_tmp, product, writer=writer, cut=1, seed=5)
            assert sha256(path) == sha256(alone / path.name)
            world.barrier()


@pytest.mark.mpi(2, 4)
def test_the_number_of_ranks_changes_no_byte(maker, world, shared_tmp):
    compare_with_one_rank(maker, world, shared_tmp, ("buildings", "microclimate"))


@pytest.mark.mpi(3)
def test_an_odd_number_of_ranks_changes_no_byte_and_ranks_that_write_nothing_do_not_hinder(maker, world, shared_tmp):
    compare_with_one_rank(maker, world, shared_tmp, ("energy", "terrain"))
    if world.is_root:
        for path in shared_tmp.glob("*.nc"):
            path.unlink()
    world.barrier()
    for writer in ("gather", "virtual"):
        made = ProductWriter(world, shared_tmp, "microclimate", dims={"y": 4, "x": 4}, crs="EPSG:7791", writer=writer)
        if world.rank == 1:
            made.write("sky_view_factor", np.full((4, 4), 0.5))
        # Other fields of the product are required: the schema refuses the file, on every rank and for the same reason.
        with pytest.raises(ProductError, match="air_temperature_mean: required, but missing"):
            made.publish()
        assert not list(shared_tmp.glob("*.nc*"))


def test_the_clock_changes_no_byte(maker, small_run, tmp_path):
    time.sleep(max(0.0, (small_run / "buildings.nc").stat().st_mtime + 1.1 - time.time()))  # HDF5 counts whole seconds
    assert sha256(maker.make(World.serial(), tmp_path, "buildings")) == sha256(small_run / "buildings.nc")


def test_no_path_clock_or_rank_is_in_a_file(small_run):
    year = time.strftime("%Y-").encode()
    for path in small_run.glob("*.nc"):
        content = path.read_bytes()
        for forbidden in (str(small_run).encode(), b"history", year, os.uname().nodename.encode() + b"\0"):
            assert forbidden not in content


def test_what_is_written_is_read(maker, tmp_path):
    path = maker.make(World.serial(), tmp_path, "buildings")
    ids = read_field(path, "building_id")
    assert ids[0] == "bui-è-0" and ids[1] == "bui-è-1bui-è-1"
    table = read_table(path, ["building_height", "building_x", "surface_tilt"])
    assert table["building_height"].dtype == np.float32 and table["building_x"].dtype == np.float64
    points, faces = read_mesh(path)
    assert points.shape == (40, 3) and faces.shape == (60, 3)
    # A cube of 8 m: the signed volume of its outward triangles is 512 m3; points are kept to 1 mm.
    a, b, c = (points[faces[:12, i]] - points[0] for i in range(3))
    assert np.einsum("ij,ij->", a, np.cross(b, c)) / 6 == pytest.approx(512.0, rel=1e-9)


def test_a_region_is_read_alone(maker, small_run):
    whole = read_field(small_run / "microclimate.nc", "air_temperature")
    part = read_field(small_run / "microclimate.nc", "air_temperature", (1, slice(10, 20), slice(0, 7)))
    np.testing.assert_array_equal(part, whole[1, 10:20, :7])


def test_values_are_whole_quanta_with_one_zero_and_one_nan(small_run):
    field = fields_of("microclimate")["air_temperature"]
    values = read_field(small_run / "microclimate.nc", "air_temperature")
    np.testing.assert_array_equal(values, quantise(values, field.quantum, values.dtype))
    assert not np.signbit(values[..., 2, 1]).any()
    assert set(values[..., 3, 1].view(np.uint32).tolist()) == {0x7FC00000}


def test_precision_replaces_the_quantum_of_a_field(maker, tmp_path):
    path = maker.make(World.serial(), tmp_path, "microclimate", precision={"air_temperature": 0.25})
    values = read_field(path, "air_temperature")
    finite = values[np.isfinite(values)]
    np.testing.assert_array_equal(finite * 4, np.round(finite * 4))
    with h5py.File(path) as file:
        assert file["microclimate/air_temperature"].attrs["quantum"] == 0.25


def test_the_grid_comes_back_exactly(small_run):
    grid = product_grid(small_run / "terrain.nc")
    assert (grid.crs, grid.west, grid.north, grid.resolution, grid.shape) == (
        "EPSG:7791",
        685_000.0,
        4_929_600.0,
        2.0,
        (130, 150),
    )


def test_attributes_tell_configuration_and_inputs(small_run):
    attrs = product_attrs(small_run / "terrain.nc")
    assert attrs["configuration"] == {"terrain": {"resolution_m": 2.0}}
    assert attrs["inputs"] == {"tile.laz": "0" * 64}
    assert attrs["configuration_sha256"] == hashlib.sha256(b'{"terrain":{"resolution_m":2.0}}').hexdigest()
    assert (
        attrs["utc_offset"] == "+01:00"
        and attrs["institution"] == "Città"
        and attrs["felsina_schema"].startswith("felsina/terrain/")
    )


def test_a_city_without_buildings_has_products_too(no_buildings, tmp_path):
    path = no_buildings.make(World.serial(), tmp_path, "buildings")
    assert read_field(path, "building_id").shape == (0,)
    assert read_mesh(path)[1].shape == (0, 3)
    assert no_buildings.make(World.serial(), tmp_path, "energy").exists()


def test_a_vtkhdf_name_is_the_same_file(maker, small_run, tmp_path):
    assert os.path.samefile(small_run / "buildings.nc", small_run / "buildings.vtkhdf")
    assert not (small_run / "energy.vtkhdf").exists()
    maker.make(World.serial(), tmp_path, "buildings")
    maker.make(World.serial(), tmp_path, "buildings", precision={"building_height": 0.5})
    assert os.path.samefile(tmp_path / "buildings.nc", tmp_path / "buildings.vtkhdf")


def test_a_reader_of_the_old_product_is_not_disturbed_by_a_new_one(maker, tmp_path):
    path = maker.make(World.serial(), tmp_path, "microclimate")
    before = read_field(path, "air_temperature")
    with h5py.File(path) as old:
        maker.make(World.serial(), tmp_path, "microclimate", precision={"air_temperature": 0.5})
        np.testing.assert_array_equal(old["microclimate/air_temperature"][:], before)
    assert not np.array_equal(read_field(path, "air_temperature"), before, equal_nan=True)


def test_only_gzip_shuffle_and_checksums_are_used_in_chunks_of_the_grid(maker, small_run):
    with h5py.File(small_run / "microclimate.nc") as file:
        dataset = file["microclimate/air_temperature"]
        assert dataset.chunks == (3, 130, 150)  # a small grid: as many steps as make 65,536 values
        assert (dataset.compression, dataset.shuffle, dataset.fletcher32) == ("gzip", True, True)
        assert dataset.id.get_create_plist().get_nfilters() == 3


def test_chunks_lie_in_the_file_in_the_order_of_the_grid(tmp_path):
    size = 1100  # 3 x 3 chunks
    made = ProductWriter(World.serial(), tmp_path, "terrain", dims={"y": size, "x": size}, crs="EPSG:7791", writer="gather")
    maps = {name: field for name, field in fields_of("terrain").items() if "y" in field.dims}
    for name, field in maps.items():
        values = np.arange(size * size).reshape(size, size) % 7 if not field.flags else np.ones((size, size), int)
        for j in (700, 0):
            rows = slice(j, size if j else 700)
            made.write(name, values[rows] if field.dtype.startswith("i") else values[rows] * 0.125, (j,))
    with h5py.File(made.publish()) as file:
        for name in maps:
            dataset = file["terrain"][name].id
            places = [dataset.get_chunk_info(k) for k in range(dataset.get_num_chunks())]
            by_place = [c.chunk_offset for c in sorted(places, key=lambda c: c.byte_offset)]
            assert by_place == sorted(by_place) and len(by_place) == 9


def test_a_living_run_can_be_looked_at_through_its_master(maker, tmp_path):
    made = maker.writer(World.serial(), tmp_path, "microclimate", writer="virtual")
    for step in range(2):
        made.write("air_temperature", np.full((130, 150), 20.0 + step), (step,))
        made.sync()
        with h5py.File(tmp_path / "work" / "microclimate" / MASTER, locking=False) as live:
            np.testing.assert_array_equal(live["air_temperature"][step], 20.0 + step)
            assert np.isnan(live["air_temperature"][2]).all()
    made.close()


def test_auto_keeps_small_products_in_memory_and_large_ones_in_pieces(tmp_path):
    def chosen(n: int) -> str:
        made = ProductWriter(World.serial(), tmp_path, "terrain", dims={"y": n, "x": n}, crs="EPSG:7791")
        made.close()
        return made.writer

    assert (chosen(100), chosen(20_000)) == ("gather", "virtual")


def test_pieces_are_removed_after_publication(maker, tmp_path):
    maker.make(World.serial(), tmp_path, "energy", writer="virtual")
    assert not (tmp_path / "work" / "energy").exists()
