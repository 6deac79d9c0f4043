"""Chunks follow from the grid alone, strips cover a field once and in order, and a writing rank loads little."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from felsina.engine.io.layout import ROW_CHUNK, chunk_shape, strips, window


@pytest.mark.parametrize(
    ("dims", "shape", "chunk"),
    [
        (("y", "x"), (6000, 300), (512, 300)),
        (("time", "y", "x"), (48, 6000, 6000), (1, 512, 512)),
        (("time", "y", "x"), (48, 100, 100), (6, 100, 100)),
        (("building",), (120_000,), (65_536,)),
        (("building",), (0,), (1,)),
        (("building", "month"), (120_000, 12), (5_461, 12)),
        (("time", "building"), (8760, 1000), (65, 1000)),
        (("time", "building"), (8760, 120_000), (1, 65_536)),
    ],
)
def test_chunk_shapes(dims, shape, chunk):
    assert chunk_shape(dims, shape) == chunk


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        (("y", "x"), (1100, 700)),
        (("time", "y", "x"), (3, 600, 530)),
        (("building",), (140_000,)),
        (("time", "building"), (9, 20_000)),
        (("building", "month"), (0, 12)),
    ],
)
def test_strips_cover_a_field_once_in_ascending_order_and_in_whole_chunks(dims, shape):
    seen = np.zeros(shape, np.int8)
    starts = []
    chunk = chunk_shape(dims, shape)
    for box in strips(dims, shape):
        seen[window(box)] += 1
        starts.append([a for a, _ in box])
        assert all(a % c == 0 and (b % c == 0 or b == n) for (a, b), c, n in zip(box, chunk, shape))
    assert (seen == 1).all() and starts == sorted(starts)


def test_a_strip_is_no_larger_than_a_chunk_row_of_one_map():
    ((t, y, x),) = {tuple(b - a for a, b in box) for box in strips(("time", "y", "x"), (2, 512 * 4, 9000))}
    assert (t, y, x) == (1, 512, 9000)
    assert max(b - a for ((a, b),) in strips(("mesh_face",), (10**6,))) == ROW_CHUNK


def test_a_writing_rank_imports_neither_the_analysis_stack_nor_the_readers_of_inputs():
    script = (
        "import sys, felsina.engine.io.results as r; "
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'xarray', 'dask', 'pandas', 'netCDF4', 'h5netcdf', 'mpi4py', 'pyproj', 'shapely', 'laspy', 'numba'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
