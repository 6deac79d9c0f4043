"""A run opens as one lazy tree."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("xarray")

import felsina
from felsina.engine.analysis.open import open_run
from felsina.engine.errors import InputError
from felsina.engine.fields import PRODUCTS
from felsina.engine.io.results import read_field
from felsina.engine.parallel.world import World


def test_every_product_is_a_node_with_its_attributes(small_run):
    tree = felsina.open(small_run)
    assert list(tree.children) == list(PRODUCTS)
    assert tree["terrain"].attrs["crs"] == "EPSG:7791"
    assert tree["terrain"].attrs["felsina_schema"].startswith("felsina/terrain/")
    assert "VTKHDF" not in tree["buildings"].children
    tree.close()


def test_values_are_lazy_in_the_chunks_of_the_file(maker, tmp_path):
    maker.make(World.serial(), tmp_path, "microclimate")
    tree = open_run(tmp_path)
    data = tree["microclimate/air_temperature"]
    assert data.chunks == ((3,), (130,), (150,))
    np.testing.assert_array_equal(data.values, read_field(tmp_path / "microclimate.nc", "air_temperature"))
    tree.close()


def test_texts_numbers_and_crs_are_decoded(small_run):
    tree = open_run(small_run)
    assert tree["buildings/building_id"].values[0] == "bui-è-0"
    assert "7791" in tree["terrain"].coords["crs"].attrs["crs_wkt"]
    assert {"building_x", "building_y"} <= set(tree["buildings"].coords)
    # Hours are numbers, not durations.
    assert tree["microclimate/sun_hours"].dtype == np.float32
    tree.close()


def test_local_time_is_utc_plus_the_offset(small_run):
    tree = open_run(small_run)
    climate = tree["microclimate"].dataset
    assert climate.time.values[0] == np.datetime64("2015-07-15T00:00:00")
    assert climate.local_time.values[0] == np.datetime64("2015-07-15T01:00:00")
    tree.close()


@pytest.mark.parametrize(("offset", "minutes"), [("-03:30", -210), (5.5, 330), (0.0, 0)])
def test_any_offset_is_understood(maker, tmp_path, offset, minutes):
    maker.make(World.serial(), tmp_path, "microclimate", attrs={"utc_offset": offset})
    climate = open_run(tmp_path)["microclimate"].dataset
    assert ((climate.local_time - climate.time) == np.timedelta64(minutes, "m")).all()


def test_one_product_opens_alone(small_run):
    assert list(open_run(small_run / "energy.nc").children) == ["energy"]


def test_a_folder_without_products_is_an_error(tmp_path):
    with pytest.raises(InputError, match="holds no product of felsina"):
        open_run(tmp_path)
    with pytest.raises(InputError, match="holds no product of felsina"):
        open_run(tmp_path / "nowhere")


def test_a_file_of_somebody_else_is_an_error(tmp_path):
    import h5py

    with h5py.File(tmp_path / "terrain.nc", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="carries the schema ''"):
        open_run(tmp_path)
