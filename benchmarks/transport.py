"""Speed of the canopy-air transport against the triad of the same run: explicit stages, and one implicit sweep of both colours.

Bytes counted per cell: T, u, v, w, K, source and result once each at 4 B and the mask at 1 B = 29 B in float32 (the mask's word
of neighbours has 2 B, and the state at the start of the step is one more stream in the later Runge-Kutta stages). Target: 40 %
of the triad. Each ratio is that of a triad measured just before; the median of the ratios is printed.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable

import numba
import numpy as np
from triad import best_time, triad_bandwidth

from felsina.kernels.air.implicit import relax_columns
from felsina.kernels.air.transport import HALO, air_neighbours, stable_step, transport_stage


def main() -> None:
    numba.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    shape = (32 + 2 * HALO, 384 + 2 * HALO, 384 + 2 * HALO)
    rng = np.random.default_rng(0)
    t, u, v, w, k = (rng.normal(0, 1, shape).astype(np.float32) for _ in range(5))
    air = (rng.random(shape) > 0.2).astype(np.uint8)
    k, s, out, spacing = np.abs(k), np.zeros_like(t), t.copy(), (2.0, 4.0, 4.0)
    dt = stable_step(u, v, w, k, air, spacing)
    bits, held, change = air_neighbours(air), t.copy(), np.zeros(384, np.float32)

    def sweep() -> None:
        for colour in (0, 1):
            relax_columns(held, t, u, v, w, k, air, s, spacing, 300.0, colour, change)

    runs: dict[str, Callable[[], None]] = {
        "koren": lambda: transport_stage(t, t, u, v, w, k, bits, s, out, spacing, dt, 0.0, "koren"),
        "upwind": lambda: transport_stage(t, t, u, v, w, k, bits, s, out, spacing, dt, 0.0, "upwind"),
        "implicit sweep": sweep,
    }
    n = 32 * 384 * 384
    shares: dict[str, list[float]] = {name: [] for name in runs}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    triads = []
    for _ in range(5):
        triads.append(triad_bandwidth())
        for name, run in runs.items():
            rates[name].append(n / best_time(run, 3))  # of all threads together, as the triad
            shares[name].append(29 * rates[name][-1] / triads[-1])
    print(f"{numba.get_num_threads()} threads, CPU time; triad {statistics.median(triads) / 1e9:.1f} GB/s; medians of 5")
    for name in runs:
        rate, share = statistics.median(rates[name]), statistics.median(shares[name])
        print(f"{name}: {rate / numba.get_num_threads() / 1e6:.0f} Mcell per core-second, 29 B/cell = {share:.2f} of the triad")


if __name__ == "__main__":
    main()
