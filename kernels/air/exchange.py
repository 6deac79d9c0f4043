"""Between surfaces and canopy air: what air a surface meets, and the heat that surfaces and buildings give to it.

The fine grid of surfaces lies under the air grid, `ratio` x `ratio` cells to a column. A surface meets the lowest open layer of
its column: in the street, or over the roof. `roof_layer` counts the solid layers of each column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, gpu, on_gpu, threads
from felsina.kernels.air.transport import HALO, interior
from felsina.kernels.constants import AIR_VOLUMETRIC_HEAT_CAPACITY


@threads
def _near_ground(t, roof, ratio, zero_point, out):
    for j in prange(out.shape[0]):
        for i in range(out.shape[1]):
            row, column = j // ratio, i // ratio
            out[j, i] = t[roof[row, column] + HALO, row + HALO, column + HALO] - zero_point


@gpu("T* i4* T* u4 u4 u4 u4 T u4", dims=2)
def near_ground_gpu(j, i, t, roof, out, ratio, nx, sy, sz, zero_point, halo):
    row, column = np.uint32(j // ratio), np.uint32(i // ratio)
    layer = np.uint32(np.uint32(roof[np.uint32(np.uint32(row * nx) + column)]) + halo)
    q = np.uint32(np.uint32(np.uint32(layer * sz) + np.uint32(np.uint32(row + halo) * sy)) + np.uint32(column + halo))
    out[np.uint32(np.uint32(np.uint32(j * nx) * ratio) + i)] = t[q] - zero_point


def near_ground(
    temperature: NDArray[Any], roof_layer: NDArray[np.int32], ratio: int, out: NDArray[Any], zero_point: float = 0.0
) -> None:
    """Look up the air temperature of the lowest open layer above each surface.

    Parameters
    ----------
    temperature : (nz + 4, ny + 4, nx + 4) float
        [K]
    roof_layer : (ny, nx) int32
        Of the tile, less than nz.
    ratio : surface cells along the edge of an air column
    out : (ny ratio, nx ratio) float, of the type of `temperature`
        Out: temperature less `zero_point` [K].
    zero_point : float
        [K]; 273.15 gives degrees Celsius.
    """
    _, _, _, ny, _, nx = interior(temperature)
    _require_shapes(roof_layer, (ny, nx), out, ratio)
    if on_gpu(temperature, roof_layer, out):
        sy, sz = temperature.shape[2], temperature.shape[1] * temperature.shape[2]
        near_ground_gpu(out.shape, temperature, roof_layer, out, ratio, nx, sy, sz, zero_point, HALO)
    else:
        _near_ground(temperature, roof_layer, ratio, temperature.dtype.type(zero_point), out)


@cell
def of_layer(profile, roof, n_layer):
    """Value of a profile in the lowest open layer of a column, or in the uppermost where none is open."""
    return profile[min(np.uint32(roof), np.uint32(n_layer - np.uint32(1)))]


@threads
def _beside_surface(profile, roof, ratio, n_layer, out):
    for j in prange(out.shape[0]):
        for i in range(out.shape[1]):
            out[j, i] = of_layer(profile, roof[j // ratio, i // ratio], np.uint32(n_layer))


@gpu("T* i4* T* u4 u4 u4", dims=2)
def beside_surface_gpu(j, i, profile, roof, out, ratio, nx, n_layer):
    column = np.uint32(np.uint32(np.uint32(j // ratio) * nx) + np.uint32(i // ratio))
    out[np.uint32(np.uint32(np.uint32(j * nx) * ratio) + i)] = of_layer(profile, roof[column], n_layer)


def beside_surface(profile: NDArray[Any], roof_layer: NDArray[np.int32], ratio: int, out: NDArray[Any]) -> None:
    """Look up a profile over height, such as the wind speed, in the lowest open layer above each surface.

    Parameters
    ----------
    profile : (nz,) float
        By layer from the ground up.
    roof_layer : (ny, nx) int32
        Of the tile.
    ratio : surface cells along the edge of an air column
    out : (ny ratio, nx ratio) float, of the type of `profile`
    """
    _require_shapes(roof_layer, roof_layer.shape, out, ratio)
    if on_gpu(profile, roof_layer, out):
        beside_surface_gpu(out.shape, profile, roof_layer, out, ratio, roof_layer.shape[1], len(profile))
    else:
        _beside_surface(profile, roof_layer, ratio, len(profile), out)


@threads
def _fill_layers(profile, nz, out):
    for k in prange(out.shape[0]):
        out[k] = profile[min(max(k - HALO, 0), nz - 1)]


@gpu("T* T* u4 u4 u4", dims=2)
def fill_layers_gpu(k, q, profile, out, nz, plane, halo):
    one = np.uint32(1)
    layer = np.uint32(max(k, halo) - halo)
    out[np.uint64(np.uint32(np.uint32(k * plane) + q))] = profile[min(layer, np.uint32(nz - one))]


def fill_layers(profile: NDArray[Any], out: NDArray[Any]) -> None:
    """Fill the layers of a padded array with a profile over height; halo layers take the lowest and the uppermost value.

    Parameters
    ----------
    profile : (nz,) float
    out : (nz + 4, ny + 4, nx + 4) float, of the type of `profile`
    """
    nz = len(profile)
    if nz == 0 or out.shape[0] != nz + 2 * HALO:
        raise ValueError(f"A profile of {nz} layers does not fill an array of {out.shape[0] - 2 * HALO}.")
    if on_gpu(profile, out):
        plane = out.shape[1] * out.shape[2]
        fill_layers_gpu((out.shape[0], plane), profile, out, nz, plane, HALO)
    else:
        _fill_layers(profile, nz, out)


@cell
def waste_heat_of(c, start, building, weight, waste_heat):
    """Heat [W] of all buildings in air cell c, summed in the order of the rows."""
    total = 0.0
    r, end = np.int64(start[c]), np.int64(start[c + 1])
    while r < end:  # `range` costs a GPU a second counter
        total += weight[r] * waste_heat[building[r]]
        r += np.int64(1)
    return total


@cell
def heat_column(c, nz, n, sensible, roof, start, building, weight, waste_heat, source, q, sz, layer_capacity, area):
    """Fill the heating rates of column c of `n`, from flat index q of the source; return its waste heat [W m-2]."""
    column = 0.0
    k = np.int64(0)
    while k < np.int64(nz):
        rate = sensible / np.float32(layer_capacity) if k == roof else np.float32(0)
        heat = waste_heat_of(k * np.int64(n) + np.int64(c), start, building, weight, waste_heat)
        source[q] = rate + np.float32(heat / (layer_capacity * area))
        column += heat
        q += sz
        k += np.int64(1)
    return np.float32(column / area)


@threads
def _heat(sensible, roof, start, building, weight, waste_heat, source, waste_flux, nz, ny, nx, capacity, area):
    for j in prange(ny):
        for i in range(nx):
            c = j * nx + i
            sz = np.uint64((ny + 2 * HALO) * (nx + 2 * HALO))
            q = np.uint64(HALO) * sz + np.uint64((j + HALO) * (nx + 2 * HALO) + i + HALO)
            waste_flux[j, i] = heat_column(
                c, nz, ny * nx, sensible[j, i], roof[j, i], start, building, weight, waste_heat, source, q, sz, capacity, area
            )


@gpu("f4* i4* i4* i4* f8* f8* f4* f4* u4 u4 u4 u4 u4 f8 f8", dims=2)
def heat_gpu(j, i, sensible, roof, start, building, weight, waste_heat, source, waste_flux, nz, n, nx, sy, sz, capacity, area):
    halo = np.uint32(HALO)
    c = np.uint32(np.uint32(j * nx) + i)
    q = np.uint32(np.uint32(np.uint32(halo * sz) + np.uint32(np.uint32(j + halo) * sy)) + np.uint32(i + halo))
    waste_flux[c] = heat_column(
        c, nz, n, sensible[c], roof[c], start, building, weight, waste_heat, source, np.uint64(q), np.uint64(sz), capacity, area
    )


def source_starts(cell_of_row: NDArray[np.integer[Any]], n_cell: int) -> NDArray[np.int32]:
    """Return where the rows of each air cell start in a list sorted by cell.

    Parameters
    ----------
    cell_of_row : (n,) int, on the host
        Flat index in (nz, ny, nx) of the tile's air grid, ascending.
    n_cell : int
        nz ny nx

    Returns
    -------
    (n_cell + 1,) int32
        Rows of cell c are start[c] to start[c + 1].
    """
    if len(cell_of_row) and ((np.diff(cell_of_row) < 0).any() or not 0 <= cell_of_row[0] <= cell_of_row[-1] < n_cell):
        raise ValueError(f"Heat sources must be sorted by cell and lie in the {n_cell} cells of the tile.")
    return np.searchsorted(cell_of_row, np.arange(n_cell + 1)).astype(np.int32)


def heating_rate(
    sensible_heat: NDArray[np.float32],
    roof_layer: NDArray[np.int32],
    start: NDArray[np.int32],
    building: NDArray[np.int32],
    weight: NDArray[np.float64],
    waste_heat: NDArray[np.float64],
    spacing: tuple[float, float, float],
    source: NDArray[np.float32],
    waste_flux: NDArray[np.float32],
) -> None:
    """Turn the sensible heat of surfaces and the waste heat of buildings into a heating rate of the air.

    S = H / (rho c_p dz) in the lowest open layer + Q / (rho c_p dz dx dy),   Q = sum of weight x waste heat over a cell's rows

    Waste heat is summed in double precision in the order of the rows: a city's largest and smallest sources differ by more than
    single precision resolves.

    Parameters
    ----------
    sensible_heat : (ny, nx) float32
        H upwards of the surfaces below each column, mean over the column's area [W m-2].
    roof_layer : (ny, nx) int32
        Of the tile.
    start : (nz ny nx + 1,) int32
        From `source_starts`.
    building : (n,) int32
        Building of each row; within a cell in ascending order.
    weight : (n,) float64
        Share of the building's heat that enters the cell [1].
    waste_heat : (n_building,) float64
        To the street [W].
    spacing : (dz, dy, dx)
        [m]
    source : (nz + 4, ny + 4, nx + 4) float32
        Out: S of the inner cells [K s-1]; the halo is left alone.
    waste_flux : (ny, nx) float32
        Out: waste heat of each column [W m-2].
    """
    _, nz, _, ny, _, nx = interior(source)
    _require_shapes(roof_layer, (ny, nx), waste_flux, 1)
    if len(start) != nz * ny * nx + 1 or sensible_heat.shape != (ny, nx):
        raise ValueError(f"Heat sources of {len(start) - 1} cells and {sensible_heat.shape} columns, for {nz} x {ny} x {nx}.")
    if not source.flags.c_contiguous:
        raise ValueError("Heating rates are written to a C-contiguous array; a view of a larger one is not written.")
    dz, dy, dx = spacing
    capacity, area = AIR_VOLUMETRIC_HEAT_CAPACITY * dz, dy * dx
    arrays = (sensible_heat, roof_layer, start, building, weight, waste_heat)
    if on_gpu(*arrays, source, waste_flux):
        sy, sz = source.shape[2], source.shape[1] * source.shape[2]
        heat_gpu((ny, nx), *arrays, source, waste_flux, nz, ny * nx, nx, sy, sz, capacity, area)
    else:
        _heat(*arrays, source.reshape(-1), waste_flux, nz, ny, nx, capacity, area)


def _require_shapes(roof_layer: NDArray[Any], columns: tuple[int, ...], out: NDArray[Any], ratio: int) -> None:
    ny, nx = columns
    if roof_layer.shape != (ny, nx) or out.shape != (ny * ratio, nx * ratio):
        raise ValueError(
            f"Air columns {roof_layer.shape} and surfaces {out.shape} do not fit a tile of {ny} x {nx} columns with "
            f"{ratio} x {ratio} surfaces each."
        )
