"""Hourly heat balance of buildings, one zone each: the balance of `five_resistances` over the hours of a year.

On the CPU sixteen buildings share a block (`zone_lanes`). A GPU thread runs one building, its state in registers. The threads
of a warp read the same hour of the weather, and of the schedules where they are of one class: buildings sorted by class run
fastest, but their order never changes a result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from felsina.kernels._backend import array_module, gpu, on_gpu
from felsina.kernels.energy.five_resistances import (
    HOURLY,
    OVERHEATING_LIMIT,
    PARAMETERS,
    SCHEDULE,
    WEATHER,
    greatest,
    hour,
    imbalance,
    multipliers,
    overheating,
    solar_gain,
)
from felsina.kernels.energy.zone_lanes import LANES, simulate_lanes

__all__ = ["HOURLY", "LANES", "OVERHEATING_LIMIT", "PARAMETERS", "SCHEDULE", "WEATHER", "simulate", "simulate_gpu"]

TOTALS = (
    "peak_heating_load", "peak_heating_hour", "peak_cooling_load", "peak_cooling_hour", "overheating_hours",
    "overheating_degree_hours", "energy_residual", "periodic_error",
)  # fmt: skip
U4, U8 = np.uint32, np.uint64
SECONDS = 3600.0  # of an hour


@gpu("T* i4* T* T* i4* T* T* T* u4 u4 u4 u4 u4 u4", block=(64,))
def simulate_gpu(i, p, classes, schedules, wx, month, monthly, totals, hourly, n, n_hour, warm_up, check, keep0, keep1):
    """Run the hours of building i. Flat: monthly (2, n, 12), totals (8, n), hourly (4, n, kept), the rest as in `simulate`."""
    real = type(p[i])
    zero, one, half, limit = real(0), real(1), real(0.5), real(OVERHEATING_LIMIT)
    a = U4(11) * n + i
    apertures = (
        p[a], p[a + n], p[a + U4(2) * n], p[a + U4(3) * n], p[a + U4(4) * n], p[a + U4(5) * n], p[a + U4(6) * n],
        p[a + U4(7) * n], p[a + U4(8) * n], p[a + U4(9) * n],
    )  # fmt: skip
    window, area, sky_loss = p[n + i], p[U4(7) * n + i], p[U4(10) * n + i]
    heating_power, cooling_power = p[U4(8) * n + i], p[U4(9) * n + i]
    share = real(-1)
    m = (zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero)
    tm, start = real(20), zero
    sum_heat, sum_cold, peak_heat, hour_heat, peak_cold, hour_cold = zero, zero, zero, zero, zero, zero
    warm_hours, degree_hours, residuals, flows = zero, zero, zero, zero
    first = U4(classes[i]) * n_hour
    for k in range(U4(warm_up + n_hour)):
        # The last hours come first, uncounted.
        on = zero if k < warm_up else one
        t = U4(n_hour - warm_up + k) if k < warm_up else U4(k - warm_up)
        if k == warm_up:
            start = tm
        s = U4(U4(first + t) * U4(4))
        if schedules[s + U4(1)] != share:
            share = schedules[s + U4(1)]
            m = multipliers(
                p[i], window, p[U4(2) * n + i], p[U4(3) * n + i], p[U4(4) * n + i], p[U4(5) * n + i], p[U4(6) * n + i], share
            )  # fmt: skip
        x = U4(t * U4(12))
        outdoor = wx[x]
        irradiances = (
            wx[x + U4(2)], wx[x + U4(3)], wx[x + U4(4)], wx[x + U4(5)], wx[x + U4(6)], wx[x + U4(7)], wx[x + U4(8)],
            wx[x + U4(9)], wx[x + U4(10)], wx[x + U4(11)],
        )  # fmt: skip
        solar = solar_gain(apertures, irradiances, sky_loss, wx[x + U4(1)])
        internal = half * schedules[s] * area
        old = tm
        tm, ts, ta, operative, heating, cooling = hour(
            old, outdoor, internal, solar, schedules[s + U4(2)], schedules[s + U4(3)], heating_power, cooling_power, m
        )
        heat, cold, number = heating * on, cooling * on, real(U4(t + U4(1)))
        sum_heat += heat
        sum_cold += cold
        peak_heat, hour_heat = greatest(heat, number, peak_heat, hour_heat)
        peak_cold, hour_cold = greatest(cold, number, peak_cold, hour_cold)
        warm, warm_hour = overheating(operative, limit, on)
        degree_hours += warm
        warm_hours += warm_hour
        if k < warm_up:
            continue
        if check:
            residual, flow = imbalance(old, tm, ts, ta, outdoor, internal, solar, heating - cooling, window, m)
            residuals += residual
            flows += flow
        if t + U4(1) == n_hour or month[t + U4(1)] != month[t]:
            y = U4(i * U4(12) + U4(month[t]))
            monthly[y] += sum_heat * real(SECONDS)
            monthly[U4(12) * n + y] += sum_cold * real(SECONDS)
            sum_heat, sum_cold = zero, zero
        if t >= keep0 and t < keep1:
            # 64 bits: a year of 122,000 buildings has 2^32 values. Threads write far apart, into sectors that the second-level
            # cache fills up; the series of a building stay in one piece, and the bus to the host takes ten times as long.
            size = U8(keep1 - keep0) * U8(n)
            z = U8(i) * U8(keep1 - keep0) + U8(t - keep0)
            hourly[z] = ta
            hourly[z + size] = operative
            hourly[z + size + size] = heating
            hourly[z + size + size + size] = cooling
    totals[i] = peak_heat
    totals[n + i] = hour_heat
    totals[U4(2) * n + i] = peak_cold
    totals[U4(3) * n + i] = hour_cold
    totals[U4(4) * n + i] = warm_hours
    totals[U4(5) * n + i] = degree_hours
    totals[U4(6) * n + i] = residuals / (flows if flows > zero else one)
    totals[U4(7) * n + i] = abs(tm - start)


def _on_gpu(p: Any, classes: Any, schedules: Any, wx: Any, month: Any, keep: tuple[int, int], warm_up: int, check: bool) -> Any:
    """Return results as `simulate` does; arguments are arrays on the GPU."""
    xp = array_module(p)
    n, n_hour = p.shape[1], wx.shape[0]
    monthly = xp.zeros((2, n, 12), p.dtype)
    totals = xp.empty((len(TOTALS), n), p.dtype)
    hourly = xp.empty((len(HOURLY), n, keep[1] - keep[0]), p.dtype)
    sizes = (n, n_hour, warm_up, check, *keep)
    simulate_gpu((n,), p, classes, schedules, wx, month, monthly, totals, hourly, *sizes)
    return {
        "monthly_heating_need": monthly[0],
        "monthly_cooling_need": monthly[1],
        **{name: totals[k] for k, name in enumerate(TOTALS)},
        **{name: hourly[k] for k, name in enumerate(HOURLY)},
    }


def simulate(
    parameters: NDArray[np.floating],
    schedule_class: ArrayLike,
    schedules: NDArray[np.floating],
    weather: NDArray[np.floating],
    month: ArrayLike,
    keep: tuple[int, int] = (0, 0),
    warm_up: int = 720,
    check: bool = True,
    dtype: type = np.float64,
) -> dict[str, NDArray[np.float64]]:
    """Simulate buildings hour by hour.

    The last `warm_up` hours are run first, from 20 degC, so that the mass is periodic; `periodic_error` says how nearly.

    On the GPU all five arrays lie there, of floats of one type and of int32, and so do the results, in the precision of the
    run; the CPU returns all but the series in float64. Classes and months are taken as they are: one that is not in the tables
    reads outside them.

    Parameters
    ----------
    parameters : (21, n) float
        Rows of `PARAMETERS`; H_op must be below 9.1 A_m.
    schedule_class : (n,) int
        Index into `schedules`; a GPU is fastest where neighbours share it.
    schedules : (n_class, n_hour, 4) float
        Columns of `SCHEDULE`: internal gain [W m-2], share of the ventilation [1], set-points of heating and cooling [degC].
    weather : (n_hour, 12) float
        Columns of `WEATHER`: air temperature [degC], air minus sky temperature [K], irradiance of the sectors [W m-2].
    month : (n_hour,) int
        Month of each hour, 0 to 11.
    keep : (int, int)
        First hour and end of the hours whose series are returned.
    warm_up : int
        Hours of the warm-up, 30 days by default; all hours when there are fewer.
    check : bool
        Track the residual of the heat balance.
    dtype : type
        float64 or float32: the precision of the hourly balance; on the GPU it must be that of the arrays.

    Returns
    -------
    dict
        `monthly_heating_need`, `monthly_cooling_need` (n, 12) [J]; `peak_heating_load`, `peak_cooling_load` (n,) [W];
        `peak_heating_hour`, `peak_cooling_hour` (n,), from 1, 0 where none; `overheating_hours` [h], `overheating_degree_hours`
        [K h] above 26 degC operative; `energy_residual` (n,) [1], the sum of |residual| over the sum of |flows|;
        `periodic_error` (n,) [K]; and the series of `HOURLY`, (n, keep) [degC, W].
    """
    n, n_hour = parameters.shape[1], weather.shape[0]
    is_on_gpu = on_gpu(parameters, schedules, weather)
    classes: Any = schedule_class if is_on_gpu else np.asarray(schedule_class, np.int64)
    months: Any = month if is_on_gpu else np.asarray(month, np.uint64)
    expected: tuple[tuple[str, Any, tuple[int, ...]], ...] = (
        ("parameters", parameters, (len(PARAMETERS), n)),
        ("classes", classes, (n,)),
        ("schedules", schedules, (schedules.shape[0], n_hour, len(SCHEDULE))),
        ("weather", weather, (n_hour, len(WEATHER))),
        ("months", months, (n_hour,)),
    )
    for name, array, shape in expected:
        if array.shape != shape:
            raise ValueError(f"The {name} have shape {array.shape}; expected {shape}.")
    if not 0 <= keep[0] <= keep[1] <= n_hour:
        raise ValueError(f"The hours {keep[0]} to {keep[1]} cannot be kept of {n_hour}.")
    hours = min(warm_up, n_hour)
    if is_on_gpu:
        if parameters.dtype != dtype:
            raise TypeError(
                f"The parameters are {parameters.dtype}; on the GPU they must be {np.dtype(dtype)}, as `dtype` says."
            )
        return _on_gpu(parameters, classes, schedules, weather, months, keep, hours, check)
    return simulate_lanes(np.asarray(parameters, dtype), classes, schedules, weather, months, keep, hours, check, dtype)
