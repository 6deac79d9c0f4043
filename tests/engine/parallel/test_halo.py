import numpy as np
import pytest

from felsina.engine.parallel.halo import HaloExchange
from felsina.engine.parallel.partition import Partition


@pytest.mark.mpi(2, 3, 4)
@pytest.mark.parametrize(("shape", "tile", "width"), [((130, 200), 64, 2), ((64, 64), 64, 1), ((300, 70), 128, 3)])
def test_frames_hold_the_owners_cells_including_corners(world, shape, tile, width):
    check_frames(world, shape, tile, width)


@pytest.mark.parametrize(("shape", "tile", "width"), [((130, 200), 64, 2), ((5, 5), 64, 1)])
def test_frames_are_filled_without_mpi(world, shape, tile, width):
    check_frames(world, shape, tile, width)


def check_frames(world, shape, tile, width):
    partition = Partition.of(shape, tile, world.size)
    truth = np.arange(2 * shape[0] * shape[1], dtype="f4").reshape(2, *shape)
    outside = -1.0
    arrays = {}
    for t in partition.tiles_of(world.rank):
        array = np.full((2, t.j1 - t.j0 + 2 * width, t.i1 - t.i0 + 2 * width), outside, "f4")
        array[:, width:-width, width:-width] = truth[:, t.j0 : t.j1, t.i0 : t.i1]
        arrays[t.index] = array
    HaloExchange(world, partition, width).update(arrays)
    framed = np.pad(truth, ((0, 0), (width, width), (width, width)), constant_values=outside)
    for t in partition.tiles_of(world.rank):
        np.testing.assert_array_equal(arrays[t.index], framed[:, t.j0 : t.j1 + 2 * width, t.i0 : t.i1 + 2 * width])
