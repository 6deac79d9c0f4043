"""Hourly heat balance of buildings as one zone: five resistances, one capacity (ISO 13790 5R1C), sixteen buildings at a time.

    air      H_ve (T_a - T_e) + H_is (T_a - T_s) = P_ia + Q
    surface  H_is (T_s - T_a) + H_w (T_s - T_e) + H_ms (T_s - T_m) = P_st
    mass     C_m dT_m/dt = H_ms (T_s - T_m) - H_em (T_m - T_e) + P_m          (Crank-Nicolson, 1 h)

    P_ia = P_int/2,  P_m = A_m/A_t x,  P_st = (1 - A_m/A_t - H_w/(9.1 A_t)) x,  x = P_int/2 + P_sol
    H_ms = 9.1 A_m,  H_em = 1/(1/H_op - 1/H_ms),  H_is = 3.45 A_t,  T_op = 0.3 T_a + 0.7 T_s

The answer is linear in the power Q, so the power that holds a set-point comes from two evaluations (none and one watt), cut
at the installed power. A block holds buildings of one schedule class; all its multipliers change only when the ventilation
does.

References
----------
ISO 13790:2008, 12.2.2 and annex C (C.1 to C.11); 11.4.6 for the radiation to the sky.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import ArrayLike, NDArray

from felsina.kernels._backend import cell, rows, threads
from felsina.kernels.radiation.transposition import N_SECTOR

LANES = 16
PARAMETERS = (
    "opaque_transmission",  # H_op [W K-1], thermal bridges and unheated spaces included
    "window_transmission",  # H_w [W K-1]
    "infiltration",  # W K-1
    "ventilation",  # W K-1 at full flow
    "heat_capacity",  # C_m [J K-1]
    "mass_area",  # A_m [m2]
    "internal_area",  # A_t [m2]
    "gain_area",  # floor area of the internal gains [m2]
    "heating_power",  # W, inf where unlimited
    "cooling_power",  # W, 0 where there is no cooling
    "sky_loss",  # W K-1 times air minus sky temperature
    *(f"aperture_{i}" for i in range(N_SECTOR)),  # m2: eight walls, horizontal, ground reflection
)
SCHEDULE = ("gain", "ventilation", "heating_setpoint", "cooling_setpoint")  # W m-2, 1, degC, degC
WEATHER = ("air_temperature", "sky_depression", *(f"irradiance_{i}" for i in range(N_SECTOR)))  # degC, K, W m-2
HOURLY = ("indoor_air_temperature", "operative_temperature", "heating_load", "cooling_load")  # degC, degC, W, W
OVERHEATING_LIMIT = 26.0  # degC operative

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
def _coefficients(p, c, vent):
    """Fill the multipliers of a block for a share of the ventilation."""
    one = p.dtype.type(1)
    half = p.dtype.type(0.5)
    nine = p.dtype.type(9.1)
    for j in range(W):
        ve = p[P_VI + j] + vent * p[P_VF + j]
        at = p[P_AT + j]
        hw = p[P_HW + j]
        ms = nine * p[P_AM + j]
        op = p[P_OP + j]
        em = op * ms / (ms - op)
        si = p.dtype.type(3.45) * at
        ra = p[P_AM + j] / at
        ia = one / (si + ve)
        c1 = si * ia
        h1 = ve * c1
        i2 = one / (ms + hw + h1)
        h3 = (h1 + hw) * ms * i2
        cd = p[P_CM + j] / p.dtype.type(3600)
        den = one / (cd + half * (h3 + em))
        tn = ms * i2 * c1 * den
        ts = (ms * half * tn + c1) * i2
        ta = (si * ts + one) * ia
        c[C_VE + j] = ve
        c[C_RA + j] = ra
        c[C_RS + j] = one - ra - hw / (nine * at)
        c[C_EM + j] = em
        c[C_MS + j] = ms * half
        c[C_IS + j] = si
        c[C_HS + j] = hw + h1
        c[C_C1 + j] = c1
        c[C_IA + j] = ia
        c[C_I2 + j] = i2
        c[C_H3 + j] = ms * i2
        c[C_DEN + j] = den
        c[C_DIF + j] = cd - half * (h3 + em)
        c[C_TN + j] = tn
        c[C_TS + j] = ts
        c[C_TA + j] = ta
        c[C_IQ + j] = one / ta
        c[C_CD + j] = cd


@cell
def _hour(p, c, z, te, sky, gain, th, tc, i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, on, check, limit, hour):
    """Advance a block by one hour; on = 0 in the warm-up, so that nothing is counted."""
    zero = p.dtype.type(0)
    half = p.dtype.type(0.5)
    for j in range(W):
        solar = (
            p[P_A0 + j] * i0 + p[P_A1 + j] * i1 + p[P_A2 + j] * i2 + p[P_A3 + j] * i3 + p[P_A4 + j] * i4
            + p[P_A5 + j] * i5 + p[P_A6 + j] * i6 + p[P_A7 + j] * i7 + p[P_A8 + j] * i8 + p[P_A9 + j] * i9
            - p[P_SK + j] * sky
        )  # fmt: skip
        pia = half * gain * p[P_GA + j]
        x = pia + solar
        pm = c[C_RA + j] * x
        pst = c[C_RS + j] * x
        inner = pst + c[C_HS + j] * te + c[C_C1 + j] * pia
        tm = z[Z_TM + j]
        tn = (tm * c[C_DIF + j] + pm + c[C_EM + j] * te + c[C_H3 + j] * inner) * c[C_DEN + j]
        ts = (c[C_MS + j] * (tm + tn) + inner) * c[C_I2 + j]
        ta = (c[C_IS + j] * ts + c[C_VE + j] * te + pia) * c[C_IA + j]
        qh = min(max((th - ta) * c[C_IQ + j], zero), p[P_PH + j])
        qc = min(max((ta - tc) * c[C_IQ + j], zero), p[P_PC + j])
        q = qh - qc
        tn += c[C_TN + j] * q
        ts += c[C_TS + j] * q
        ta += c[C_TA + j] * q
        top = p.dtype.type(0.3) * ta + p.dtype.type(0.7) * ts
        z[Z_TM + j] = tn
        z[Z_TA + j] = ta
        z[Z_TO + j] = top
        z[Z_QH + j] = qh
        z[Z_QC + j] = qc
        heat = qh * on
        cold = qc * on
        z[Z_SH + j] += heat
        z[Z_SC + j] += cold
        z[Z_HH + j] = hour if heat > z[Z_PH + j] else z[Z_HH + j]
        z[Z_PH + j] = max(z[Z_PH + j], heat)
        z[Z_HC + j] = hour if cold > z[Z_PC + j] else z[Z_HC + j]
        z[Z_PC + j] = max(z[Z_PC + j], cold)
        warm = max(top - limit, zero) * on
        z[Z_DH + j] += warm
        z[Z_OV + j] += on if warm > zero else zero
        if check:
            loss = c[C_VE + j] * (ta - te) + p[P_HW + j] * (ts - te) + c[C_EM + j] * (half * (tm + tn) - te)
            store = c[C_CD + j] * (tn - tm)
            gains = pia + pm + pst
            z[Z_RS + j] += abs(gains + q - loss - store) * on
            z[Z_FL + j] += (abs(gains) + abs(q) + abs(loss) + abs(store)) * on


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
            _coefficients(p, c, vent)
        x = t * N_WEATHER
        _hour(
            p, c, z, wx[x], wx[x + one], s[q], s[q + U(2)], s[q + U(3)], wx[x + U(2)], wx[x + U(3)], wx[x + U(4)], wx[x + U(5)],
            wx[x + U(6)], wx[x + U(7)], wx[x + U(8)], wx[x + U(9)], wx[x + U(10)], wx[x + U(11)], on, check, limit,
            p.dtype.type(t + one),
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

    Parameters
    ----------
    parameters : (21, n) float
        Rows of `PARAMETERS`; H_op must be below 9.1 A_m.
    schedule_class : (n,) int
        Index into `schedules`.
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
        float64 or float32: the precision of the hourly balance.

    Returns
    -------
    dict
        `monthly_heating_need`, `monthly_cooling_need` (n, 12) [J]; `peak_heating_load`, `peak_cooling_load` (n,) [W];
        `peak_heating_hour`, `peak_cooling_hour` (n,), from 1, 0 where none; `overheating_hours` [h], `overheating_degree_hours`
        [K h] above 26 degC operative; `energy_residual` (n,) [1], the sum of |residual| over the sum of |flows|;
        `periodic_error` (n,) [K]; and the series of `HOURLY`, (n, keep) [degC, W].
    """
    parameters = np.asarray(parameters, dtype)
    classes = np.asarray(schedule_class, np.int64)
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
    months = np.append(np.asarray(month, np.uint64), U(99))
    hours = (U(n_hour), U(min(warm_up, n_hour)))
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
