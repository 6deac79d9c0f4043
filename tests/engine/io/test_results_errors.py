"""What goes wrong while a product is written is told in a sentence, and leaves no half file."""

from __future__ import annotations

import contextlib
import errno
import os
import resource

import numpy as np
import pytest

from felsina.engine.errors import MachineError, ProductError
from felsina.engine.io import disk
from felsina.engine.io.read import opened, read_field
from felsina.engine.io.results import ProductWriter
from felsina.engine.parallel.world import World


@contextlib.contextmanager
def largest_file(size: int):
    """Let the kernel refuse to grow any file past this size [bytes], as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [1_000, 50_000, 300_000])
@pytest.mark.parametrize("writer", ["gather", "virtual"])
def test_a_full_disk_leaves_the_old_product_and_no_part(maker, tmp_path, writer, size):
    path = maker.make(World.serial(), tmp_path, "microclimate")
    before = path.read_bytes()
    with largest_file(size), pytest.raises(MachineError, match=r"cannot be written: .*Free some space"):
        maker.make(World.serial(), tmp_path, "microclimate", writer=writer)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["microclimate.nc"]
    assert maker.make(World.serial(), tmp_path, "microclimate", writer=writer).read_bytes() == before


def test_a_disk_that_fills_at_the_very_end_is_noticed(maker, tmp_path, monkeypatch):
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk.os, "fsync", refuse)
    with pytest.raises(MachineError, match="No space left on device"):
        maker.make(World.serial(), tmp_path, "terrain", writer="gather")
    assert not list(tmp_path.iterdir())


@pytest.mark.mpi(3)
def test_a_full_disk_on_the_root_ends_every_rank(maker, world, shared_tmp):
    for writer in ("gather", "virtual"):
        made = maker.fill(maker.writer(world, shared_tmp, "microclimate", writer=writer), cut=1)
        with contextlib.nullcontext() if world.rank else largest_file(50_000), pytest.raises(MachineError):
            made.publish()
        world.barrier()
        assert not list(shared_tmp.glob("*.nc*"))


def test_a_folder_that_is_missing_is_told(maker, tmp_path):
    with pytest.raises(MachineError, match="No such file or directory"):
        maker.make(World.serial(), tmp_path / "nowhere", "terrain", writer="gather")


def test_a_refused_hard_link_is_a_note(maker, tmp_path, monkeypatch):
    def refuse(source: object, target: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(disk.os, "link", refuse)
    made = maker.fill(maker.writer(World.serial(), tmp_path, "buildings"))
    assert made.publish().exists()
    assert made.notes == [
        "The file system refused the hard link 'buildings.vtkhdf' (Operation not permitted): "
        "give VTK readers a copy of 'buildings.nc' under that name."
    ]


@pytest.mark.parametrize("writer", ["gather", "virtual"])
def test_cells_that_nobody_wrote_are_an_error(maker, tmp_path, writer):
    made = maker.fill(maker.writer(World.serial(), tmp_path, "terrain", writer=writer), leave_out=("canopy_height",))
    made.write("canopy_height", np.zeros((130, 149)))
    with pytest.raises(ProductError, match=r"canopy_height was never written at \(0, 149\)"):
        made.publish()
    assert not list(tmp_path.glob("*.nc*"))


@pytest.mark.parametrize("writer", ["gather", "virtual"])
def test_cells_written_twice_are_an_error(maker, tmp_path, writer):
    made = maker.fill(maker.writer(World.serial(), tmp_path, "terrain", writer=writer))
    made.write("canopy_height", np.zeros((2, 2)), (60, 60))
    with pytest.raises(ProductError, match="canopy_height was written twice"):
        made.publish()


def test_a_product_that_breaks_its_schema_is_not_published(maker, tmp_path):
    made = maker.fill(maker.writer(World.serial(), tmp_path, "terrain"), leave_out=("canopy_height",))
    made.write("canopy_height", np.full((130, 150), 500.0))
    with pytest.raises(ProductError, match=r"canopy_height: 500.0 at \(0, 0\) is above 120 m"):
        made.publish()
    assert not list(tmp_path.glob("*.nc*"))


def test_wrong_calls_are_refused_where_they_are_made(maker, tmp_path):
    made = maker.writer(World.serial(), tmp_path, "terrain")
    with pytest.raises(ValueError, match="'height' is no field of terrain"):
        made.write("height", np.zeros((2, 2)))
    with pytest.raises(ValueError, match="does not lie in"):
        made.write("canopy_height", np.zeros((2, 2)), (129, 0))
    with pytest.raises(ValueError, match="holds i1; got float64"):
        made.write("land_cover", np.zeros((2, 2)))
    with pytest.raises(ValueError, match="reach from 0 to 300"):
        made.write("land_cover", np.array([[0, 300]]))
    with pytest.raises(ValueError, match="needs 'time_bnds'"):
        ProductWriter(World.serial(), tmp_path, "terrain", dims={}, crs="EPSG:7791", coordinates={"time": np.zeros(1)})
    with pytest.raises(ValueError, match=r"expected '\+01:00'"):
        ProductWriter(World.serial(), tmp_path, "terrain", dims={}, crs="EPSG:7791", attrs={"utc_offset": "CET"})


def test_what_cannot_be_read_is_told_by_name(small_run, tmp_path):
    with pytest.raises(ProductError, match="is missing"):
        read_field(tmp_path / "terrain.nc", "x")
    (tmp_path / "terrain.nc").write_bytes(b"not HDF5")
    with pytest.raises(ProductError, match="damaged or no HDF5 file"):
        read_field(tmp_path / "terrain.nc", "x")
    with pytest.raises(ProductError, match="has no variable 'heigth'; it has "):
        read_field(small_run / "terrain.nc", "heigth")


def test_another_major_schema_version_is_refused(small_run, tmp_path):
    import h5py

    path = tmp_path / "terrain.nc"
    path.write_bytes((small_run / "terrain.nc").read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs["felsina_schema"] = "felsina/terrain/2.0.0"
    with pytest.raises(ProductError, match=r"schema version 2\.0\.0; this felsina reads 1\.x"), opened(path):
        pass
