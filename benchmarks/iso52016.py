"""Building-years per second of the ISO 52016-1 zone on one core, beside the plain solution of the same balance, and `iso52016`
(PyPI) where it is installed.

A building is one zone: 6 opaque elements of 5 nodes and 2 windows, light by the sky on every surface, 4 classes of wind.
"""

from __future__ import annotations

import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numba
import numpy as np

from felsina.kernels.energy import iso52016
from felsina.kernels.energy.envelope import element_nodes, wind_classes

HOURS = 8760
TARGETS = {(6, 2, "float64"): 5000, (6, 2, "float32"): 11000, (8, 4, "float64"): 3300, (8, 4, "float32"): 9000}
RUNS = 5
_WALL = ((0.009 / 0.14, 0.066 / 0.04, 0.012 / 0.16), (0.009 * 530 * 900, 0.066 * 12 * 840, 0.012 * 950 * 840))


def buildings(n: int, n_opaque: int, n_window: int, seed: int = 0) -> dict[str, Any]:
    """Return plausible zones that differ in areas, directions and air change."""
    r = np.random.default_rng(seed)
    capacity, conductance = element_nodes(*_WALL, [0, 3])
    o = np.zeros((n, n_opaque, len(iso52016.OPAQUE)))
    o[..., 0] = r.uniform(8, 60, (n, n_opaque))
    o[..., 1:6], o[..., 6:10] = capacity, conductance
    o[..., 10:15] = 2.5, 5.13, 6.0, 3.2, 4.14
    o[..., 16], o[..., 17] = 0.354, 0.6
    o[..., 18] = o[..., 0] / o[..., 0].sum(1, keepdims=True)
    w = np.zeros((n, n_window, len(iso52016.WINDOW)))
    w[..., 0:8] = 6.0, 5.05, 2.5, 5.13, 6.0, 3.2, 4.14, 0.354
    w[..., 9:15] = 0.483542, 6.877149, -18.199612, 17.446973, -5.913957, 0.606945
    w[..., 20:25] = 0.501271, -1.158622, 1.156426, -0.431082, 0.073820
    z = np.zeros((n, len(iso52016.ZONE)))
    z[:, :9] = 2e5, 20.0, 100.0, 300.0, 0.4, 0.1, 1e12, 1e12, 0.0
    z[:, 1] *= r.uniform(0.5, 2, n)
    geometry = np.zeros((n, n_window + n_opaque, len(iso52016.GEOMETRY)))
    a = r.uniform(0, 2 * np.pi, geometry.shape[:2])
    geometry[..., 0], geometry[..., 1] = np.sin(a), np.cos(a)
    geometry[..., 3:] = 0.5, 1.0, 0.5, 1.0
    return {"opaque": o, "window": w, "zone": z, "schedule_class": np.zeros(n, int), "geometry": geometry}


def year(seed: int = 1) -> dict[str, Any]:
    """Return schedules, weather with sun, wind and months."""
    t = np.arange(HOURS)
    wx = np.zeros((HOURS, len(iso52016.WEATHER)))
    wx[:, 0] = 12 - 10 * np.cos(2 * np.pi * t / HOURS) - 5 * np.cos(2 * np.pi * t / 24)
    wx[:, 1] = wx[:, 0] - 11
    up = np.maximum(-np.cos(2 * np.pi * t / 24), 0)
    wx[:, 4:7] = np.stack([np.sin(2 * np.pi * t / 24), -np.full(HOURS, 0.5), up], 1)
    wx[:, 4:7] /= np.linalg.norm(wx[:, 4:7], axis=1)[:, None]
    wx[:, 7:] = up[:, None] * np.array([700, 90, 10, 60])
    s = np.zeros((1, HOURS, 4))
    s[0, :, 0], s[0, :, 1] = (t % 24 > 6) & (t % 24 < 22), t % 24 < 6
    s[0, :, 2], s[0, :, 3] = 20.0, 26.0
    speed, member = wind_classes(np.random.default_rng(seed).weibull(2, HOURS) * 4, 4)
    return {"schedules": s, "weather": wx, "wind_class": member, "wind_speed": speed, "month": t * 12 // HOURS}


def plain(case: dict[str, Any], hours: int) -> float:
    """Solve every zone as a dense system in NumPy, hour by hour; return the seconds it took per zone and year."""
    o, w = case["opaque"][0], case["window"][0]
    n = 5 * len(o) + 2 * len(w) + 2
    start = time.process_time()
    matrix = np.eye(n) * 5.0 + np.random.default_rng(0).uniform(0, 0.05, (n, n))
    t = np.full(n, 20.0)
    for _ in range(hours):
        t = np.linalg.solve(matrix, t)  # with a schedule of ventilation or wind the matrix changes, so it is solved anew
    return (time.process_time() - start) * HOURS / hours


def rates(n: int, n_opaque: int, n_window: int, dtype: type, **options: Any) -> list[float]:
    """Return building-years per second of some runs, 30 days of warm-up not counted as work."""
    case, forcing = buildings(n, n_opaque, n_window), year()
    iso52016.simulate(**{k: v[:16] for k, v in case.items()}, **forcing, check=False, dtype=dtype, warm_up=0, **options)
    found = []
    for _ in range(RUNS):
        start = time.process_time()
        iso52016.simulate(**case, **forcing, check=False, dtype=dtype, warm_up=0, **options)
        found.append(n / (time.process_time() - start))
    return found


def peer() -> None:
    """Say where to look for `iso52016` (PyPI): its name is that of this file, so its version alone is looked up here."""
    try:
        print(f"iso52016 {version('iso52016')} (PyPI) is installed; time one of its buildings with its own command.")
    except PackageNotFoundError:
        print("iso52016 (PyPI) is not installed; it took 0.70 to 0.91 s a building-year on a core of this kind.")


def main() -> None:
    numba.set_num_threads(1)
    dense = plain(buildings(1, 6, 2), 500)
    print(f"dense solution of 36 unknowns in NumPy: {1 / dense:,.1f} building-years/s")
    for n_opaque, n_window in ((6, 2), (8, 4)):
        for dtype in (np.float64, np.float32):
            name = np.dtype(dtype).name
            found = rates(256, n_opaque, n_window, dtype)
            target = TARGETS[n_opaque, n_window, name]
            median = statistics.median(found)
            print(
                f"{n_opaque} + {n_window} elements, {name}: best {max(found):,.0f}, median {median:,.0f} building-years/s; "
                f"target {target:,}; {median * dense:,.0f} x dense"
            )
    peer()


if __name__ == "__main__":
    main()
