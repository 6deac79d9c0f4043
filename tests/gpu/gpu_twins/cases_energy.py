"""Cases of buildings and of layered columns."""

from __future__ import annotations

import numpy as np

from felsina.kernels.energy import conduction, surface_column, zone
from gpu_twins.harness import Work, case

HOURS, WARM_UP, KEEP = 75, 31, (20, 61)
# Additions, products and comparisons of the formula in an hour, the account of the balance included. What has to be moved are
# the series of the hours kept and, once, parameters and results; all buildings share the weather and the schedules.
YEAR = Work(
    "building-hour", lambda scale: 37 * scale * (HOURS + WARM_UP), 4 * (4 * 41 + 1 + 21 + 24 + 8) / (HOURS + WARM_UP), 95
)


def _buildings(rng, n, kind):
    """Return parameters of a square metre of floor: loads are then of 1 to 100 W, as temperatures are of 10 to 40 degC."""
    p = np.zeros((21, n))
    p[0], p[1] = rng.uniform(0.2, 2.0, n), rng.uniform(0.15, 0.6, n)
    p[2], p[3] = rng.uniform(0.1, 0.4, n), rng.uniform(0.1, 0.3, n)
    p[4], p[5], p[6], p[7] = (
        rng.uniform(8e4, 3e5, n),
        rng.uniform(2.3, 2.7, n),
        rng.uniform(4.3, 4.8, n),
        rng.uniform(0.9, 1, n),
    )
    # Every third is short of heating, every fourth has no cooling or too little.
    p[8] = np.where(np.arange(n) % 3, np.inf, rng.uniform(2, 20, n))
    p[9] = np.where(np.arange(n) % 4, np.inf, np.where(np.arange(n) % 8, rng.uniform(0.5, 5, n), 0.0))
    p[10], p[11:] = rng.uniform(0.01, 0.03, n), rng.uniform(0.002, 0.02, (10, n))
    p[4, 5] = np.nan  # its needs must not come out as 0
    p[4, 8] = 3600.0 * 2.0**60  # so heavy that its warming is lost in rounding: the only balance that does not close
    return p.astype(kind)


def _zone(rng, scale, put, kind, keep, check):
    n, t = 37 * scale, np.arange(HOURS)
    p = _buildings(rng, n, kind)
    wx = rng.uniform(0, 1, (HOURS, 12)) * np.where(t % 24 > 6, 1.0, 0.1)[:, None] * rng.uniform(100, 500, 12)
    wx[:, 0] = 22 + 14 * np.sin(2 * np.pi * t / 24) - t / 4 + rng.normal(0, 1, HOURS)
    wx[:, 1] = rng.uniform(0, 20, HOURS)
    schedules = np.empty((3, HOURS, 4))
    schedules[..., 0] = rng.uniform(0, 6, (3, HOURS))
    for k in range(3):
        schedules[k, :, 1] = ((t % 24 > 5 + k) & (t % 24 < 19)) * (1.0 - 0.2 * k)
        schedules[k, :, 2], schedules[k, :, 3] = np.where(t % 24 > 7, 20.0, 16.0 - k), 25.0 + k
    # Months that are cut and come again, as in twelve months that begin within one.
    month = np.array([3, 7, 3, 11])[np.searchsorted([17, 40, 66], t, side="right")].astype(np.int32)
    classes = np.sort(rng.integers(0, 3, n)).astype(np.int32)
    p, wx, schedules = put(p), put(wx.astype(kind)), put(schedules.astype(kind))
    found = zone.simulate(p, put(classes), schedules, wx, put(month), keep, WARM_UP, check, kind)
    if scale > 1:
        # Among a hundred thousand buildings some are within rounding of 26 degC, or have two hours of the same peak.
        found = {name: v for name, v in found.items() if name != "overheating_hours" and not name.endswith("_hour")}
    return {name: _comparable(v, kind, 36000.0 if name.startswith("monthly") else 1.0) for name, v in found.items()}


def _comparable(values, kind, unit):
    """Return results on the host in the type of the run: the CPU's are double, but for the series; needs in 10 W h."""
    host = values if isinstance(values, np.ndarray) else values.get()
    return (host / unit).astype(kind)


# Runs of 20,000 buildings in float32 differ from those in float64 by up to 1.5e-4 K, 1e-3 W, 8e-3 of 800 K h and 35 of 1.8e6 J:
# the mass carries a rounding of 2e-6 K times 50 W K-1 from hour to hour. A GPU contracts other products than a CPU, so its
# rounding is another draw from the same. The bounds of float64 are 2^29 times less.
@case(zone.simulate_gpu, relative=3e-5, absolute=6e-4, scale=4096, work=YEAR)
def zone_f4(rng, scale, put):
    return _zone(rng, scale, put, np.float32, KEEP, True)


@case((zone.simulate_gpu, "f8"), relative=1e-13, absolute=5e-12, scale=4096)
def zone_f8(rng, scale, put):
    return _zone(rng, scale, put, np.float64, KEEP, True)


@case(zone.simulate_gpu, relative=3e-5, absolute=6e-4, scale=4096)
def zone_without_series_or_check(rng, scale, put):
    return _zone(rng, scale, put, np.float32, (0, 0), False)


CLASSES, LAYERS = 5, 12
COLUMN = Work("column", lambda scale: 151 * scale, 4 * (2 * LAYERS + 5) + 1, 12 * LAYERS + 12)
BALANCED = Work("column", lambda scale: 151 * scale, 4 * (2 * LAYERS + 9) + 1, 12 * LAYERS + 2 * 40 + 4)


def _tables(rng, put, kind, n_layer):
    shape = (CLASSES, n_layer)
    bottom = np.where(np.arange(CLASSES) % 2, rng.uniform(0.5, 20, CLASSES), 0.0)
    material = rng.uniform(0.1, 2.0, shape), rng.uniform(0.3e6, 3e6, shape), rng.uniform(0.01, 0.3, shape)
    made = conduction.conduction_tables(*material, 600.0, bottom, kind)
    return conduction.ConductionTables(*(put(v) for v in made))


def _columns(rng, scale, put, kind, fused):
    """Run columns of 1 to 17 layers, more than a block of those of 12; the first three and the last two are left alone."""
    out = {}
    for n_layer in range(1, conduction.MOST_LAYERS + 1) if scale == 1 else (LAYERS,):
        n = 151 * scale if n_layer == LAYERS else 19
        tables = _tables(rng, put, kind, n_layer)
        layers = rng.uniform(280, 320, (n_layer, n)).astype(kind)
        layers[n_layer // 2, 9] = np.nan
        layers = put(layers)
        group = put(rng.integers(0, CLASSES, n).astype(np.int8))
        surface, flux, sensible = put(rng.uniform(280, 330, n).astype(kind)), put(np.ones(n, kind)), put(np.ones(n, kind))
        bottom = put(rng.uniform(285, 295, n).astype(kind))
        if fused:
            ranges = (0, 900), (250, 450), (285, 312), (0.1, 1)
            sky = [rng.uniform(low, high, n).astype(kind) for low, high in ranges]
            for k, values in enumerate(sky):
                values[5 + k] = np.nan  # one unknown at a time
            sky = [put(values) for values in sky]
            ranges = (0.1, 0.4), (0.9, 0.98), (0.0, 0.6)
            properties = [put(rng.uniform(low, high, CLASSES).astype(kind)) for low, high in ranges]
            surface_column.balance_columns(
                layers, group, tables, *sky, *properties, bottom, surface, flux, sensible, columns=(3, n - 2)
            )
            out[f"sensible_{n_layer}"] = sensible
        else:
            b = rng.uniform(1, 5, n)
            a, b = put((b * rng.uniform(270, 400, n)).astype(kind)), put(b.astype(kind))
            conduction.conduct(layers, group, tables, a, b, bottom, surface, flux, (3, n - 2))
        out |= {f"layers_{n_layer}": layers, f"surface_{n_layer}": surface, f"flux_{n_layer}": flux}
    return out


# float32 against float64: up to 3e-5 K, a rounding of 300 K, and 1e-4 W m-2 of G; here both may be off.
@case(conduction.conduct_gpu, relative=2e-7, absolute=5e-4, scale=16384, work=COLUMN)
def conduction_f4(rng, scale, put):
    return _columns(rng, scale, put, np.float32, False)


@case((conduction.conduct_gpu, "f8"), relative=1e-15, absolute=1e-12, scale=16384)
def conduction_f8(rng, scale, put):
    return _columns(rng, scale, put, np.float64, False)


# A rounding of the surface temperature is worth 8 times as much in W m-2 to the air.
@case(surface_column.balance_columns_gpu, relative=2e-7, absolute=1e-3, scale=16384, work=BALANCED)
def balanced_columns_f4(rng, scale, put):
    return _columns(rng, scale, put, np.float32, True)


@case((surface_column.balance_columns_gpu, "f8"), relative=1e-15, absolute=5e-12, scale=16384)
def balanced_columns_f8(rng, scale, put):
    return _columns(rng, scale, put, np.float64, True)
