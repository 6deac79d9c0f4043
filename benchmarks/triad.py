"""STREAM triad on the threads that numba uses now: the memory bandwidth against which kernels are measured in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable

import numba
import numpy as np


@numba.njit(parallel=True, fastmath=True)
def _triad(a, b, c, s):
    for i in numba.prange(a.size):
        a[i] = b[i] + s * c[i]


def best_time(function: Callable[[], object], repeats: int = 7) -> float:
    """Return the least CPU time per thread of `function()` [s]; the first call, which compiles, is not counted.

    CPU time, because another user's load lengthens the wall-clock and not the work.
    """
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times) / numba.get_num_threads()


def triad_bandwidth(n: int = 20_000_000) -> float:
    """Return the bandwidth of a[i] = b[i] + s c[i] in float32, 12 bytes counted per element [B s-1]."""
    a, b, c = np.zeros(n, np.float32), np.ones(n, np.float32), np.ones(n, np.float32)
    return 12.0 * n / best_time(lambda: _triad(a, b, c, np.float32(3.0)))


if __name__ == "__main__":
    print(f"triad, {numba.get_num_threads()} threads: {triad_bandwidth() / 1e9:.1f} GB/s")
