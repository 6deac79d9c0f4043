"""Cases of the sums over maps and over time."""

from __future__ import annotations

import numpy as np

from felsina.kernels import accumulate
from gpu_twins.harness import Work, case


@case(accumulate.whole_sum_gpu, scale=1 << 16, work=Work("value", lambda scale: 1537 * scale, 4, 2))
def whole_sum(rng, scale, put):
    # Integers: no order of threads changes them.
    total = put(np.array([-3], np.int64))
    # In the last round of a stride some threads have no value left, and some have one.
    for n in (768 * scale, 769 * scale):
        values = rng.normal(20, 300, n).astype(np.float32)
        values[100] = np.nan
        accumulate.whole_sum(put(values), 1000.0, total)
    return {"total": total}


@case(accumulate.take_hour_gpu, scale=1 << 16, work=Work("cell", lambda scale: 300 * scale, 3 * 4 + 4 * 8 + 4 * 4, 4))
def take_hour(rng, scale, put):
    # Additions and comparisons alone: the same bits everywhere.
    n = 300 * scale
    hour = [rng.normal(25, 6, n).astype(np.float32) for _ in range(3)]
    sums = [put(rng.normal(500, 6, n)) for _ in range(2)]
    most = [np.where(rng.random(n) < 0.2, -np.inf, rng.normal(25, 6, n)).astype(np.float32) for _ in range(2)]
    hour[0][5:9], hour[1][7:9], most[0][8], most[1][2] = np.nan, np.nan, np.nan, np.nan  # unknown: on either side of a maximum
    hour, most = [put(a) for a in hour], [put(a) for a in most]
    accumulate.take_hour(*hour, *sums, *most)
    return {"air_sum": sums[0], "sun_sum": sums[1], "air_most": most[0], "surface_most": most[1]}
