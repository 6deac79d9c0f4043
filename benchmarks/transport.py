"""Speed of the canopy-air transport against the triad of the same run.

Bytes counted per cell: T, u, v, w, K, source and result once each at 4 B and the mask at 1 B = 29 B in float32 (the state at
the start of the step is one more stream in the later Runge-Kutta stages). Target: 40 % of the triad.
"""

from __future__ import annotations

import sys

import numba
import numpy as np
from triad import best_time, triad_bandwidth

from felsina.kernels.air.transport import HALO, stable_step, transport_stage


def main() -> None:
    numba.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    bandwidth = triad_bandwidth()
    print(f"{numba.get_num_threads()} threads, CPU time; triad {bandwidth / 1e9:.1f} GB/s")
    shape = (32 + 2 * HALO, 384 + 2 * HALO, 384 + 2 * HALO)
    rng = np.random.default_rng(0)
    t, u, v, w, k = (rng.normal(0, 1, shape).astype(np.float32) for _ in range(5))
    air = (rng.random(shape) > 0.2).astype(np.uint8)
    k, s, out, spacing = np.abs(k), np.zeros_like(t), t.copy(), (2.0, 4.0, 4.0)
    dt = stable_step(u, v, w, k, air, spacing)
    n = 32 * 384 * 384
    for scheme in ("koren", "upwind"):
        time = best_time(lambda s_=scheme: transport_stage(t, t, u, v, w, k, air, s, out, spacing, dt, 0.0, s_), 5)  # type: ignore[misc]
        rate = n / time
        share = 29 * rate / bandwidth
        print(f"{scheme}: {rate / 1e6:.0f} Mcell/s, 29 B/cell = {29 * rate / 1e9:.1f} GB/s = {share:.2f} of the triad")


if __name__ == "__main__":
    main()
