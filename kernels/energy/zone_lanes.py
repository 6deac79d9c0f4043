"""The loop over the hours around `five_resistances` on the CPU: sixteen buildings of one schedule class at a time.

All multipliers of such a block change only when its ventilation does. No result depends on which buildings share a block.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows, threads
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

LANES = 16
U = np.uint64
W = U(LANES)


def _names(text: str) -> list[np.uint64]:
    return [U(i * LANES) for i in range(len(text.split()))]


_IN = "op hw vi vf cm am at ga ph pc sk a0 a1 a2 a3 a4 a5 a6 a7 a8 a9"
(P_OP, P_HW, P_VI, P_VF, P_CM, P_AM, P_AT, P_GA, P_PH, P_PC, P_SK,
 P_A0, P_A1, P_A2, P_A3, P_A4, P_A5, P_A6, P_A7, P_A8, P_A9) = _names(_IN)  # fmt: skip
_COEFFICIENTS = "ve ra rs em ms is hs c1 ia i2 h3 den dif tn ts ta iq cd"
(C_VE, C_RA, C_RS, C_EM, C_MS, C_IS, C_HS, C_C1, C_IA, C_I2, C_H3, C_DEN, C_DIF, C_TN, C_TS, C_TA,
 C_IQ, C_CD) = _names(_COEFFICIENTS)  # fmt: skip
_STATE = "tm ta to qh qc sh sc ph hh pc hc ov dh rs fl t0"
Z_TM, Z_TA, Z_TO, Z_QH, Z_QC, Z_SH, Z_SC, Z_PH, Z_HH, Z_PC, Z_HC, Z_OV, Z_DH, Z_RS, Z_FL, Z_T0 = _names(_STATE)
N_COEFFICIENT = len(_COEFFICIENTS.split())
N_STATE = len(_STATE.split())
N_WEATHER = U(len(WEATHER))
N_SCHEDULE = U(len(SCHEDULE))


@cell
def _multipliers(p, c, share):
    """Fill the multipliers of a block for a share of the ventilation."""
    for j in range(W):
        (
            c[C_VE + j], c[C_RA + j], c[C_RS + j], c[C_EM + j], c[C_MS + j], c[C_IS + j], c[C_HS + j], c[C_C1 + j], c[C_IA + j],
            c[C_I2 + j], c[C_H3 + j], c[C_DEN + j], c[C_DIF + j], c[C_TN + j], c[C_TS + j], c[C_TA + j], c[C_IQ + j],
            c[C_CD + j],
        ) = multipliers(
            p[P_OP + j], p[P_HW + j], p[P_VI + j], p[P_VF + j], p[P_CM + j], p[P_AM + j], p[P_AT + j], share
        )  # fmt: skip


@cell
def _hour(p, c, z, te, sky, gain, th, tc, irradiances, on, check, limit, number):
    """Advance a block by one hour; on = 0 in the warm-up, so that nothing is counted."""
    half = p.dtype.type(0.5)
    for j in range(W):
        m = (
            c[C_VE + j], c[C_RA + j], c[C_RS + j], c[C_EM + j], c[C_MS + j], c[C_IS + j], c[C_HS + j], c[C_C1 + j], c[C_IA + j],
            c[C_I2 + j], c[C_H3 + j], c[C_DEN + j], c[C_DIF + j], c[C_TN + j], c[C_TS + j], c[C_TA + j], c[C_IQ + j],
            c[C_CD + j],
        )  # fmt: skip
        apertures = (
            p[P_A0 + j], p[P_A1 + j], p[P_A2 + j], p[P_A3 + j], p[P_A4 + j], p[P_A5 + j], p[P_A6 + j], p[P_A7 + j], p[P_A8 + j],
            p[P_A9 + j],
        )  # fmt: skip
        solar = solar_gain(apertures, irradiances, p[P_SK + j], sky)
        internal = half * gain * p[P_GA + j]
        tm = z[Z_TM + j]
        tn, ts, ta, top, qh, qc = hour(tm, te, internal, solar, th, tc, p[P_PH + j], p[P_PC + j], m)
        z[Z_TM + j] = tn
        z[Z_TA + j] = ta
        z[Z_TO + j] = top
        z[Z_QH + j] = qh
        z[Z_QC + j] = qc
        heat = qh * on
        cold = qc * on
        z[Z_SH + j] += heat
        z[Z_SC + j] += cold
        z[Z_PH + j], z[Z_HH + j] = greatest(heat, number, z[Z_PH + j], z[Z_HH + j])
        z[Z_PC + j], z[Z_HC + j] = greatest(cold, number, z[Z_PC + j], z[Z_HC + j])
        warm, warm_hour = overheating(top, limit, on)
        z[Z_DH + j] += warm
        z[Z_OV + j] += warm_hour
        if check:
            residual, flows = imbalance(tm, tn, ts, ta, te, internal, solar, qh - qc, p[P_HW + j], m)
            z[Z_RS + j] += residual * on
            z[Z_FL + j] += flows * on


@rows
def _run_block(p, c, z, s, wx, month, first, last, on, check, keep0, keep1, sums, hourly):
    """Run hours first to last of one block. Flat: p (parameters x W), s (hours x 4), wx (hours x 12), hourly (4 x kept x W)."""
    one = U(1)
    zero = p.dtype.type(0)
    limit = p.dtype.type(OVERHEATING_LIMIT)
    vent = p.dtype.type(-1)
    kept = (keep1 - keep0) * W
    for t in range(first, last):
        q = t * N_SCHEDULE
        if s[q + one] != vent:
            vent = s[q + one]
            _multipliers(p, c, vent)
        x = t * N_WEATHER
        _hour(
            p, c, z, wx[x], wx[x + one], s[q], s[q + U(2)], s[q + U(3)],
            (
                wx[x + U(2)], wx[x + U(3)], wx[x + U(4)], wx[x + U(5)], wx[x + U(6)], wx[x + U(7)], wx[x + U(8)], wx[x + U(9)],
                wx[x + U(10)], wx[x + U(11)],
            ),
            on, check, limit, p.dtype.type(t + one),
        )  # fmt: skip
        # A month is summed in the precision of the run, the year from its months in double.
        if on > zero and (t + one == last or month[t + one] != month[t]):
            m = month[t] * U(2) * W
            for j in range(W):
                sums[m + j] += z[Z_SH + j]
                sums[m + W + j] += z[Z_SC + j]
                z[Z_SH + j] = zero
                z[Z_SC + j] = zero
        if on > zero and t >= keep0 and t < keep1:
            y = (t - keep0) * W
            for j in range(W):
                hourly[y + j] = z[Z_TA + j]
                hourly[y + kept + j] = z[Z_TO + j]
                hourly[y + kept + kept + j] = z[Z_QH + j]
                hourly[y + kept + kept + kept + j] = z[Z_QC + j]


@threads
def _run(p, c, z, schedule, sid, wx, month, n, warm, check, keep0, keep1, sums, hourly):
    for b in prange(p.shape[0]):
        zero = p.dtype.type(0)
        one = p.dtype.type(1)
        _run_block(p[b], c[b], z[b], schedule[sid[b]], wx, month, n - warm, n, zero, False, keep0, keep1, sums[b], hourly[b])
        for j in range(W):
            z[b, Z_T0 + j] = z[b, Z_TM + j]
        _run_block(p[b], c[b], z[b], schedule[sid[b]], wx, month, U(0), n, one, check, keep0, keep1, sums[b], hourly[b])


def simulate_lanes(
    parameters: NDArray[np.floating],
    classes: NDArray[np.int64],
    schedules: NDArray[np.floating],
    weather: NDArray[np.floating],
    month: NDArray[np.uint64],
    keep: tuple[int, int],
    warm_up: int,
    check: bool,
    dtype: type,
) -> dict[str, NDArray[np.float64]]:
    """Simulate buildings on the CPU; arguments and results as in `zone.simulate`, a class or a month in the type given."""
    n, n_hour = parameters.shape[1], weather.shape[0]
    # Whole blocks per class; a short block is filled with its last building, whose copies are thrown away.
    blocks, sid = [], []
    for k in range(schedules.shape[0]):
        member = np.flatnonzero(classes == k)
        if member.size:
            member = np.concatenate([member, np.full(-member.size % LANES, member[-1])])
            blocks.append(member.reshape(-1, LANES))
            sid += [k] * blocks[-1].shape[0]
    lane = np.concatenate(blocks) if blocks else np.empty((0, LANES), np.int64)
    n_block = lane.shape[0]
    p = np.ascontiguousarray(parameters[:, lane].transpose(1, 0, 2)).reshape(n_block, len(PARAMETERS) * LANES)
    c: NDArray[np.floating] = np.zeros((n_block, N_COEFFICIENT * LANES), dtype)
    z: NDArray[np.floating] = np.zeros((n_block, N_STATE * LANES), dtype)
    z[:, int(Z_TM) : int(Z_TM) + LANES] = 20.0
    sums = np.zeros((n_block, 12 * 2 * LANES))
    hourly: NDArray[np.floating] = np.zeros((n_block, len(HOURLY) * (keep[1] - keep[0]) * LANES), dtype)
    flat: NDArray[np.floating] = np.ascontiguousarray(schedules, dtype).reshape(schedules.shape[0], -1)
    wx: NDArray[np.floating] = np.ascontiguousarray(weather, dtype).ravel()
    months = np.append(month, U(99))
    hours = (U(n_hour), U(warm_up))
    _run(p, c, z, flat, np.asarray(sid, np.int64), wx, months, *hours, check, U(keep[0]), U(keep[1]), sums, hourly)

    where = np.empty(n, np.int64)
    where[lane.ravel()] = np.arange(lane.size)

    def row(index: np.uint64) -> NDArray[np.float64]:
        return z[:, int(index) : int(index) + LANES].astype(np.float64).ravel()[where]

    by_month = sums.reshape(n_block, 12, 2, LANES).transpose(2, 0, 3, 1).reshape(2, -1, 12)[:, where] * 3600.0
    series = hourly.reshape(n_block, len(HOURLY), keep[1] - keep[0], LANES).transpose(1, 0, 3, 2)
    series = series.reshape(len(HOURLY), n_block * LANES, keep[1] - keep[0])[:, where]
    flow = row(Z_FL)
    return {
        "monthly_heating_need": by_month[0],
        "monthly_cooling_need": by_month[1],
        "peak_heating_load": row(Z_PH),
        "peak_heating_hour": row(Z_HH),
        "peak_cooling_load": row(Z_PC),
        "peak_cooling_hour": row(Z_HC),
        "overheating_hours": row(Z_OV),
        "overheating_degree_hours": row(Z_DH),
        "energy_residual": row(Z_RS) / np.where(flow > 0, flow, 1.0),
        "periodic_error": np.abs(row(Z_TM) - row(Z_T0)),
        **dict(zip(HOURLY, series)),
    }
