"""Point clouds: binning, gap filling, ground filter, classification. Points are integer millimetres in the frame of a grid.

The frame of the modules on points and grids: `x` [mm] is measured east from the west edge of the grid, `y` [mm] **south from
its north edge**, so a point lies in column `x // cell_mm` and row `y // cell_mm`; rows descend, row 0 is north. `z` [mm] is up.
"""
