"""The digest is about what a file says, not about how it is stored."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest

from felsina.engine.errors import ProductError
from felsina.engine.io.digest import digest_file, digest_run


def repacked(source, target, **storage):
    """Copy a product with another storage: no chunks and no compression, or what is asked for."""
    with h5py.File(source) as old, h5py.File(target, "w", track_order=True) as new:
        copies = {}

        def copy(group, into):
            for name, value in group.attrs.items():
                into.attrs.create(name, value, dtype=group.attrs.get_id(name).dtype)
            for name, item in group.items():
                place = h5py.h5o.get_info(item.id).addr
                if place in copies:
                    into[name] = copies[place]
                elif isinstance(item, h5py.Group):
                    copies[place] = into.create_group(name, track_order=True)
                    copy(item, copies[place])
                else:
                    options = {k: v for k, v in storage.items() if item.chunks}
                    made = into.create_dataset(name, item.shape, item.dtype, track_order=True, **options)
                    copies[place] = made
                    if item.id.get_storage_size():
                        made[...] = item[...]

        copy(old, new)

        def describe(name, item):
            if not isinstance(item, h5py.Dataset):
                return
            made = new[name]
            for key, value in item.attrs.items():
                if key not in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"):
                    made.attrs.create(key, value, dtype=item.attrs.get_id(key).dtype)
            for axis, dimension in enumerate(item.dims):
                for scale in dimension.values():
                    made.dims[axis].attach_scale(new[scale.name])

        scales = []
        old.visititems(lambda name, item: scales.append(name) if getattr(item, "is_scale", False) else None)
        for name in scales:  # before they are attached
            new[name].make_scale(old[name].attrs["NAME"].decode())
        old.visititems(describe)
    return target


@pytest.mark.parametrize("product", ["terrain", "microclimate", "energy"])
@pytest.mark.parametrize("storage", [{}, {"chunks": True, "compression": "lzf"}])
def test_chunks_and_compression_do_not_change_it(small_run, tmp_path, product, storage):
    source = small_run / f"{product}.nc"
    copy = repacked(source, tmp_path / "copy.nc", **storage)
    assert copy.read_bytes() != source.read_bytes()
    assert digest_file(copy) == digest_file(source)


def _value(file):
    file["terrain/ground_elevation"][100, 100] += 0.001


def _attribute(file):
    file["terrain/ground_elevation"].attrs["long_name"] = "elevation"


def _order(file):
    # Removed and made anew, the second name comes last.
    file["terrain"].move("canopy_height", "away")
    file["terrain"].move("away", "canopy_height")


def _name(file):
    file["terrain"].move("canopy_height", "crown_height")


def _dtype(file):
    values = file["terrain/land_cover"][:]
    del file["terrain/land_cover"]
    file["terrain"].create_dataset("land_cover", data=values.astype("i2"))


def _dimension(file):
    file["terrain/ground_elevation"].dims[0].detach_scale(file["terrain/y"])


def _missing(file):
    file["terrain/ground_elevation"][3, 1] = 0.0


@pytest.mark.parametrize("change", [_value, _attribute, _order, _name, _dtype, _dimension, _missing])
def test_any_change_of_content_changes_it(small_run, tmp_path, change):
    copy = tmp_path / "terrain.nc"
    shutil.copy(small_run / "terrain.nc", copy)
    with h5py.File(copy, "a") as file:
        change(file)
    assert digest_file(copy) != digest_file(small_run / "terrain.nc")


def test_the_digest_of_a_run_is_that_of_its_products_in_order(small_run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(small_run, copy)
    assert digest_run(copy) == digest_run(small_run)
    (copy / "run.json").write_text("{}")  # the record of a run is not its result
    assert digest_run(copy) == digest_run(small_run)
    (copy / "city.nc").unlink()
    assert digest_run(copy) != digest_run(small_run)


def test_cityjson_counts_by_its_bytes(small_run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(small_run, copy)
    (copy / "buildings.city.jsonl").write_text("{}\n")
    first = digest_run(copy)
    (copy / "buildings.city.jsonl").write_text("{} \n")
    assert len({first, digest_run(copy), digest_run(small_run)}) == 3


def test_what_is_no_product_is_told(tmp_path):
    with pytest.raises(ProductError, match="is missing"):
        digest_file(tmp_path / "terrain.nc")
    with pytest.raises(ProductError, match="holds no product"):
        digest_run(tmp_path)
    (tmp_path / "terrain.nc").write_bytes(np.zeros(100, "u1").tobytes())
    with pytest.raises(ProductError, match="damaged"):
        digest_file(tmp_path / "terrain.nc")
