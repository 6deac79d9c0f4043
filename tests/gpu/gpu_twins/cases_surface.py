"""Cases of the surface energy balance."""

from __future__ import annotations

import numpy as np

from felsina.kernels.air import surface_balance
from gpu_twins.harness import Work, case

CLASSES = 5
WORK = Work("surface", lambda scale: 150 * scale, 8 * 4 + 1, 30)


def _balance(rng, scale, put, kind, fluxes):
    n = 150 * scale
    skin = rng.uniform(280, 330, n)
    inputs = [rng.uniform(0, 900, n), rng.uniform(250, 450, n), rng.uniform(285, 312, n), rng.uniform(0, 6, n), skin]
    if fluxes:
        inputs.append(skin + rng.normal(0, 3, n))
    for k, values in enumerate(inputs):
        values[7 + k] = np.nan  # one unknown at a time
    group = put(rng.integers(0, CLASSES, n).astype(np.int8))
    tables = [put(rng.uniform(a, b, CLASSES).astype(kind)) for a, b in ((0.1, 0.4), (0.9, 0.98), (0.0, 0.6))]
    out = [put(np.full(n, np.nan, kind)) for _ in range(3 if fluxes else 2)]
    driver = surface_balance.surface_fluxes if fluxes else surface_balance.linearise_surface
    driver(*(put(v.astype(kind)) for v in inputs), group, *tables, *out, surfaces=(3, n - 2))
    return {f"out_{k}": values for k, values in enumerate(out)}


@case(surface_balance.linearise_gpu, relative=1e-6, absolute=3e-4, work=WORK)
def linearised_surface_f4(rng, scale, put):
    return _balance(rng, scale, put, np.float32, False)


@case((surface_balance.linearise_gpu, "f8"), relative=1e-14, absolute=1e-12)
def linearised_surface_f8(rng, scale, put):
    return _balance(rng, scale, put, np.float64, False)


@case(surface_balance.fluxes_gpu, relative=1e-6, absolute=3e-4, work=WORK)
def surface_fluxes_f4(rng, scale, put):
    return _balance(rng, scale, put, np.float32, True)


@case((surface_balance.fluxes_gpu, "f8"), relative=1e-14, absolute=1e-12)
def surface_fluxes_f8(rng, scale, put):
    return _balance(rng, scale, put, np.float64, True)
