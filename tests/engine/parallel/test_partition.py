import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from felsina.engine.parallel.partition import Partition


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 300), st.integers(1, 9))
def test_every_cell_has_exactly_one_owner(ny, nx, tile, ranks):
    partition = Partition.of((ny, nx), tile, ranks)
    count = np.zeros((ny, nx), int)
    owner = np.full((ny, nx), -1)
    for t in partition.tiles:
        count[t.window] += 1
        owner[t.window] = t.rank
    assert (count == 1).all()
    j, i = np.mgrid[:ny, :nx]
    np.testing.assert_array_equal(partition.owner(j, i), owner)
    assert sum(len(partition.tiles_of(r)) for r in range(ranks)) == len(partition.tiles)


@pytest.mark.parametrize(("wanted", "edge"), [(1, 64), (97, 128), (173, 192), (500, 512), (64, 64)])
def test_tiles_are_whole_blocks(wanted, edge):
    partition = Partition.of((2000, 1000), wanted, 3)
    assert partition.tile_cells == edge
    assert all(t.j0 % 64 == 0 and t.i0 % 64 == 0 for t in partition.tiles)


def test_more_ranks_than_tiles_leave_ranks_without_work():
    partition = Partition.of((64, 128), 64, 5)
    assert sorted(len(partition.tiles_of(r)) for r in range(5)) == [0, 0, 0, 1, 1]


def test_a_costly_tile_gets_a_rank_of_its_own():
    cost = np.ones((4, 4))
    cost[0, 0] = 100.0
    partition = Partition.of((256, 256), 64, 2, cost=cost)
    first = next(t for t in partition.tiles if t.j0 == t.i0 == 0)
    assert [t for t in partition.tiles if t.rank == first.rank] == [first]


def test_cells_outside_the_grid_belong_to_its_edge():
    partition = Partition.of((128, 128), 64, 4)
    assert partition.owner(np.array([-5]), np.array([500]))[0] == partition.owner(np.array([0]), np.array([127]))[0]
