import numpy as np
import pytest

from felsina.engine.errors import UsageError
from felsina.engine.grid import Grid


def test_the_grid_covers_the_bounds_and_row_0_is_north():
    grid = Grid.covering("EPSG:7791", (10.3, 20.7, 15.1, 29.9), 0.5, 4.0)
    west, south, east, north = grid.bounds
    assert west <= 10.3 and south <= 20.7 and east >= 15.1 and north >= 29.9
    assert (grid.y[0], grid.y[-1]) == (north - 0.25, south + 0.25)
    assert (np.diff(grid.x) == 0.5).all() and (np.diff(grid.y) == -0.5).all()


def test_edges_lie_on_multiples_of_the_snap_wherever_the_scene_is():
    here = Grid.covering("EPSG:7791", (1.0, 1.0, 7.0, 9.0), 1.0, 4.0)
    there = Grid.covering("EPSG:7791", (100_001.0, 1.0, 100_007.0, 9.0), 1.0, 4.0)
    assert there.west - here.west == 100_000.0
    assert here.shape == there.shape


def test_coarser_grids_nest():
    grid = Grid.covering("EPSG:7791", (0, 0, 40, 80), 0.5, 4.0)
    coarse = grid.coarsened(4.0)
    assert coarse.bounds == grid.bounds
    assert coarse.shape == (20, 10)
    with pytest.raises(UsageError, match="does not nest"):
        grid.coarsened(3.0)


def test_a_snap_that_is_no_multiple_is_refused():
    with pytest.raises(UsageError, match="no whole multiple"):
        Grid.covering("EPSG:7791", (0, 0, 4, 4), 0.7, 4.0)


def test_a_point_makes_a_grid_of_one_cell_at_least():
    assert Grid.covering("EPSG:7791", (5.0, 5.0, 5.0, 5.0), 1.0).shape == (1, 1)
