"""Building-years per second of the 5R1C zone on one thread, beside the same balance in NumPy over all buildings."""

from __future__ import annotations

import time

import numba
import numpy as np

from felsina.kernels.energy.zone import LANES, PARAMETERS, simulate

HOURS = 8760


def buildings(n: int, seed: int = 0) -> np.ndarray:
    """Return (21, n) plausible parameters."""
    r = np.random.default_rng(seed)
    floor = r.uniform(60, 3000, n)
    p = np.zeros((len(PARAMETERS), n))
    p[0], p[1] = floor * r.uniform(0.2, 2, n), floor * 0.125 * r.uniform(1.2, 5, n)
    p[2], p[3] = floor * 0.3, floor * 0.2
    p[4], p[5], p[6], p[7] = 165000 * floor, 2.5 * floor, 4.5 * floor, floor
    p[8], p[9], p[10] = np.inf, np.inf, 0.02 * floor
    p[11:] = floor * r.uniform(0.001, 0.02, (10, n))
    return p


def forcing(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return schedules (1, n_hour, 4), weather (n_hour, 12) and the month."""
    t = np.arange(HOURS)
    wx = np.empty((HOURS, 12))
    wx[:, 0] = 13 - 12 * np.cos(2 * np.pi * t / HOURS) - 4 * np.cos(2 * np.pi * t / 24)
    wx[:, 1] = 10
    wx[:, 2:] = np.maximum(-np.cos(2 * np.pi * t / 24), 0)[:, None] * np.random.default_rng(seed).uniform(50, 400, (HOURS, 10))
    s = np.empty((1, HOURS, 4))
    s[0, :, 0], s[0, :, 1] = 3, (t % 24 > 6) & (t % 24 < 20)
    s[0, :, 2], s[0, :, 3] = 20, 26
    return s, wx, t * 12 // HOURS


def plain(p: np.ndarray, s: np.ndarray, wx: np.ndarray, hours: int) -> np.ndarray:
    """Return the heating need [W h] of the first hours in NumPy, one array operation at a time."""
    op, hw, vi, vf, cm, am, at, ga, ph, pc, sk = p[:11]
    tm, heat = np.full(p.shape[1], 20.0), np.zeros(p.shape[1])
    for t in range(hours):
        te, (g, v, th, tc) = wx[t, 0], s[0, t]
        ve, ms, si = vi + v * vf, 9.1 * am, 3.45 * at
        em = 1 / (1 / op - 1 / ms)
        h1 = 1 / (1 / ve + 1 / si)
        h2 = h1 + hw
        h3 = 1 / (1 / h2 + 1 / ms)
        pint, sol = g * ga, wx[t, 2:] @ p[11:] - sk * wx[t, 1]
        x = 0.5 * pint + sol
        pm, pst = am / at * x, (1 - am / at - hw / 9.1 / at) * x

        def air(q, tm=tm, te=te, ve=ve, h1=h1, h2=h2, h3=h3, em=em, ms=ms, si=si, pint=pint, pm=pm, pst=pst):
            inner = pst + hw * te + h1 * ((0.5 * pint + q) / ve + te)
            new = (tm * (cm / 3600 - 0.5 * (h3 + em)) + pm + em * te + h3 * inner / h2) / (cm / 3600 + 0.5 * (h3 + em))
            ts = (ms * 0.5 * (tm + new) + inner) / (ms + hw + h1)
            return (si * ts + ve * te + 0.5 * pint + q) / (si + ve), new

        t0, _ = air(0.0)
        t1, _ = air(10.0 * ga)
        rise = (t1 - t0) / (10.0 * ga)
        q = np.clip((th - t0) / rise, 0, ph) - np.clip((t0 - tc) / rise, 0, pc)
        _, tm = air(q)
        heat += np.maximum(q, 0)
    return heat


def main() -> None:
    numba.set_num_threads(1)
    s, wx, month = forcing()
    p = buildings(512)
    hours = 438
    start = time.process_time()
    plain(p, s, wx, hours)
    reference = 512 * hours / HOURS / (time.process_time() - start)
    print(f"NumPy, 512 buildings, {hours} h: {reference:,.0f} building-years/s")
    for dtype in (np.float64, np.float32):
        for check in (True, False):
            simulate(p[:, :LANES], np.zeros(LANES, int), s, wx, month, check=check, dtype=dtype)
            rate = []
            for _ in range(5):
                start = time.process_time()
                simulate(p, np.zeros(512, int), s, wx, month, check=check, dtype=dtype)
                rate.append(512 / (time.process_time() - start))
            word = "with balance check" if check else "without check"
            print(
                f"lanes {np.dtype(dtype).name} {word}: best {max(rate):,.0f}, median {np.median(rate):,.0f} building-years/s "
                f"of one thread (30 days of warm-up included); {np.median(rate) / reference:.0f} x NumPy"
            )


if __name__ == "__main__":
    main()
