"""Cases of what passes between grids and tiles: blocks, the exchange of surfaces and air, and packed boxes.

Most of it only moves numbers, and those are the same bits everywhere.
"""

from __future__ import annotations

import numpy as np

from felsina.kernels import blocks, halo
from felsina.kernels.air import exchange
from felsina.kernels.air.transport import HALO
from gpu_twins.harness import Work, case

LAYERS, ROWS, RATIO = 6, 7, 3


def _columns(scale: int) -> int:
    return 34 * scale  # more than a block is wide


def _fine(scale: int) -> int:
    return ROWS * _columns(scale) * RATIO**2


def _roofs(rng, scale, put):
    return put(rng.integers(0, LAYERS, (ROWS, _columns(scale))).astype(np.int32))


def _padded(scale):
    return LAYERS + 2 * HALO, ROWS + 2 * HALO, _columns(scale) + 2 * HALO


# Sums in double precision, in the same order: contraction has nothing to fuse.
@case(blocks.mean_gpu, scale=2048, work=Work("fine cell", _fine, 4 + 4 / RATIO**2, 1))
def block_mean(rng, scale, put):
    fine = rng.normal(300, 20, (ROWS * RATIO, _columns(scale) * RATIO)).astype(np.float32)
    fine[4, 7] = np.nan
    out = put(np.zeros((ROWS, _columns(scale)), np.float32))
    return {"mean": blocks.block_mean(put(fine), RATIO), "out": blocks.block_mean(put(fine * np.float32(1.5)), RATIO, out)}


@case(blocks.spread_gpu, scale=2048, work=Work("fine cell", _fine, 4 + 4 / RATIO**2, 0))
def spread(rng, scale, put):
    roofs, heat = _roofs(rng, scale, put), put(rng.normal(0, 1, (ROWS, _columns(scale))).astype(np.float32))
    out = put(np.zeros((ROWS * 2, _columns(scale) * 2), np.float32))
    return {"roofs": blocks.spread(roofs, RATIO), "heat": blocks.spread(heat, 2, out)}


def _near(rng, scale, put, kind):
    temperature = rng.normal(300, 5, _padded(scale)).astype(kind)
    temperature[2:5, 6, 7] = np.nan
    temperature = put(temperature)
    roof = _roofs(rng, scale, put)
    fine = ROWS * RATIO, _columns(scale) * RATIO
    kelvin, celsius = put(np.zeros(fine, kind)), put(np.zeros(fine, kind))
    exchange.near_ground(temperature, roof, RATIO, kelvin)
    exchange.near_ground(temperature, roof, RATIO, celsius, 273.15)
    return {"kelvin": kelvin, "celsius": celsius}


@case(exchange.near_ground_gpu, scale=2048, work=Work("fine cell", _fine, 4 + 8 / RATIO**2, 1))
def near_ground_f4(rng, scale, put):
    return _near(rng, scale, put, np.float32)


@case((exchange.near_ground_gpu, "f8"))
def near_ground_f8(rng, scale, put):
    return _near(rng, scale, put, np.float64)


def _profiles(rng, scale, put, kind):
    # A profile of fewer layers than the highest roof: the uppermost serves there.
    short, whole = put(rng.uniform(0, 9, LAYERS - 1).astype(kind)), put(rng.uniform(0, 9, LAYERS).astype(kind))
    beside = put(np.zeros((ROWS * RATIO, _columns(scale) * RATIO), kind))
    filled = put(np.zeros(_padded(scale), kind))
    exchange.beside_surface(short, _roofs(rng, scale, put), RATIO, beside)
    exchange.fill_layers(whole, filled)
    return {"beside": beside, "filled": filled}


@case(
    exchange.beside_surface_gpu, exchange.fill_layers_gpu, scale=2048, work=Work("fine cell", _fine, 4 + 4 / RATIO**2 + 4, 0)
)  # fmt: skip
def profiles_f4(rng, scale, put):
    return _profiles(rng, scale, put, np.float32)


@case((exchange.beside_surface_gpu, "f8"), (exchange.fill_layers_gpu, "f8"))
def profiles_f8(rng, scale, put):
    return _profiles(rng, scale, put, np.float64)


def sources(rng, n_cell, n_row, n_building):
    """Rows of waste heat, sorted by cell, then building: some cells have none, some several."""
    # Most rows in few cells: loops over rows are unrolled, and have to run more than once.
    cell = np.where(rng.random(n_row) < 0.7, rng.integers(0, n_cell // 20, n_row) * 17, rng.integers(0, n_cell, n_row))
    building = rng.integers(0, n_building, n_row)
    order = np.lexsort((building, cell))
    return cell[order], building[order].astype(np.int32), rng.uniform(0.01, 1, n_row)


# Heat is summed in double precision and rounded once to float32; the two parts of a rate are added there.
@case(exchange.heat_gpu, relative=1.2e-7, scale=2048, work=Work("cell", lambda s: LAYERS * ROWS * _columns(s), 8, 4))
def heating_rate(rng, scale, put):
    n = ROWS * _columns(scale)
    cell, building, weight = sources(rng, LAYERS * n, 3 * n, 7)
    heat = rng.uniform(10, 5000, 7)
    heat[4] = np.nan  # of a building that failed
    source, flux = put(np.full(_padded(scale), 5.0, np.float32)), put(np.zeros((ROWS, _columns(scale)), np.float32))
    exchange.heating_rate(
        put(rng.normal(80, 60, (ROWS, _columns(scale))).astype(np.float32)), _roofs(rng, scale, put),
        put(exchange.source_starts(cell, LAYERS * n)), put(building), put(weight), put(heat),
        (2.5, 4.0, 5.0), source, flux,
    )  # fmt: skip
    return {"source": source, "flux": flux}


def _boxes(rng, scale, put, kind):
    shape = _padded(scale)
    values = rng.integers(0, 255, shape).astype(kind)
    boxes = ((0, 10, 0, 2, 1, shape[2] - 2), (2, 6, 2, 7, 2, 4), (3, 3, 0, 4, 0, 4), (1, 10, 8, 9, 0, 1))
    buffer, array = put(np.zeros(4096 * scale, kind)), put(values)
    start = 3
    for box in boxes:
        start = halo.pack(array, box, buffer, start)
    target, start = put(np.zeros(shape, kind)), 3
    for box in boxes:
        start = halo.unpack(buffer, start, box, target)
    return {"buffer": buffer, "target": target}


BOXES = Work("element", lambda scale: 16 * (34 * scale + 1), 2 * 4, 0)


@case(halo.pack_1_gpu, halo.unpack_1_gpu)
def boxes_of_bytes(rng, scale, put):
    return _boxes(rng, scale, put, np.uint8)


@case(halo.pack_4_gpu, halo.unpack_4_gpu, scale=2048, work=BOXES)
def boxes_of_float32(rng, scale, put):
    return _boxes(rng, scale, put, np.float32)


@case(halo.pack_8_gpu, halo.unpack_8_gpu)
def boxes_of_float64(rng, scale, put):
    return _boxes(rng, scale, put, np.float64)
