"""The hours of a year around the cells of ISO 52016-1 on the CPU: sixteen zones to a block, time outside, lanes inside.

Zones of a block may differ in schedules; those of one building stand side by side in a block, where they see the middles of
their common walls. No result depends on which others share a block.
"""

# ruff: noqa: I001  one name a line would be longer than the code

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import rows, threads
from felsina.kernels.energy.iso52016_audit import audit
from felsina.kernels.energy.iso52016_cells import OVERHEATING_LIMIT
from felsina.kernels.energy.iso52016_rows import (
    F_SIZE, G_SIZE, HOURLY, LANES, L_AN, L_AT, L_AX, L_DH, L_FL, L_GF, L_HC, L_HH, L_MA, L_MC, L_MH, L_MO, L_OV, L_PC, L_PH,
    L_RS, L_SC, L_SH, L_SIZE, L_T0, L_TA, L_TC, L_TH, L_TM, L_VF, NONE, N_SCHEDULE, N_WX, ONE, O_B, O_G, O_SIZE, O_W0, O_W1,
    O_W2, O_W3, R0, R1, R2, R3, R4, R_SIZE, START, STREAM, U, W, W_SIZE, X_BN, X_D0, X_D1, X_GR, X_SX, X_SY, X_SZ, X_TE, X_TS,
    X_YC, X_YS, Z_SIZE, prepare_block,
)  # fmt: skip
from felsina.kernels.energy.iso52016_steps import (
    close,
    count,
    elements_sky,
    elements_stream,
    fill,
    neighbours,
    start,
    windows_sky,
    windows_stream,
)  # fmt: skip

LINE = U(64)  # bytes of a cache line


@rows
def _run_block(
    po, pw, co, cw, zs, fx, ge, r, z, tb, middle, partner, schedule, sid, wx, wset, speed, stream, month, n_hour,
    n_sub, warm, n_opaque, n_window, dt, by_sky, coupled, mixed, audited, keep0, keep1, sums, hourly,
):  # fmt: skip
    """Run the last `warm` hours of the year uncounted, then the year. Arrays are flat, lanes innermost.

    `audited` is None or not: the compiler leaves the audit out where it is None.
    """
    real = z.dtype.type
    zero, one, limit = real(0), real(1), real(OVERHEATING_LIMIT)
    no, nw, nz = n_opaque * O_SIZE, n_window * W_SIZE, Z_SIZE
    per_step = (n_opaque + STREAM * n_window) * W
    weight = one / real(n_sub)
    kept = (keep1 - keep0) * W
    first = (n_hour - warm) * n_sub if warm > NONE else NONE
    prev = wset[first]
    gain, vent, warm_to, cool_to = zero, zero, zero, zero  # of the hour before
    if audited is not None:
        old = np.full(n_opaque * R_SIZE, real(START))
    for q in range(n_opaque):
        c = prev * no + q * O_SIZE
        y = q * R_SIZE
        for j in range(W):
            t = real(START)
            r[y + R0 + j] = t - co[c + O_W0 + j] * t
            r[y + R1 + j] = t - co[c + O_W1 + j] * t
            r[y + R2 + j] = t - co[c + O_W2 + j] * t
            r[y + R3 + j] = t - co[c + O_W3 + j] * t
            r[y + R4 + j] = t - co[c + O_B + j] * t - co[c + O_G + j] * t
    for h in range(warm + n_hour):
        counted = h >= warm
        t = h - warm if counted else n_hour - warm + h
        on = one if counted else zero
        if h == warm:
            for j in range(W):
                z[L_T0 + j] = z[L_TM + j]
        if mixed:
            for j in range(W):
                s = (sid[j] * n_hour + t) * N_SCHEDULE
                z[L_GF + j] = schedule[s]
                z[L_VF + j] = schedule[s + ONE]
                z[L_TH + j] = schedule[s + U(2)]
                z[L_TC + j] = schedule[s + U(3)]
        else:
            # Filling a row costs sixteen single stores, and schedules change a few times a day.
            s = (sid[NONE] * n_hour + t) * N_SCHEDULE
            g, f, th, tc = schedule[s], schedule[s + ONE], schedule[s + U(2)], schedule[s + U(3)]
            if h == 0 or g != gain or f != vent:
                gain, vent = g, f
                fill(z, L_GF, g)
                fill(z, L_VF, f)
            if h == 0 or th != warm_to or tc != cool_to:
                warm_to, cool_to = th, tc
                fill(z, L_TH, th)
                fill(z, L_TC, tc)
        for k in range(n_sub):
            step = t * n_sub + k
            s = wset[step]
            x = step * N_WX
            te, ts = wx[x + X_TE], wx[x + X_TS]
            start(fx, z, te, wx[x + X_YC], wx[x + X_YS], audited)
            if coupled:
                neighbours(co, prev * no, n_opaque, r, z, middle, partner, tb)
            if by_sky:
                sx, sy, sz, bn = wx[x + X_SX], wx[x + X_SY], wx[x + X_SZ], wx[x + X_BN]
                d0, d1, gr = wx[x + X_D0], wx[x + X_D1], wx[x + X_GR]
                windows_sky(
                    cw, s * nw, n_window, z, r, n_opaque * R_SIZE, ge, te, ts, sx, sy, sz, bn, d0, d1, gr, audited
                )  # fmt: skip
                elements_sky(
                    co, prev * no, s * no, n_opaque, r, z, tb, coupled, ge, n_window * G_SIZE, te, ts, sx, sy, sz, bn, d0, d1,
                    gr, audited,
                )  # fmt: skip
            else:
                i = step * per_step
                windows_stream(cw, s * nw, n_window, z, r, n_opaque * R_SIZE, stream, i, te, ts, audited)
                i += STREAM * n_window * W
                elements_stream(co, prev * no, s * no, n_opaque, r, z, tb, coupled, stream, i, te, ts, audited)
            close(zs, s * nz, fx, z, zero if k == 0 else one, weight, audited)
            if audited is not None:
                audit(po, pw, n_opaque, n_window, co, s * no, fx, r, old, tb, coupled, z, te, ts, speed[s], dt, on)
            prev = s
        count(z, on, zero if counted else real(1e9), limit, real(t + ONE))
        # A month is summed in the precision of the run, the year from its months in double.
        if counted and (t + ONE == n_hour or month[t + ONE] != month[t]):
            m = month[t] * U(2) * W
            for j in range(W):
                sums[m + j] += z[L_SH + j]
                sums[m + W + j] += z[L_SC + j]
                z[L_SH + j] = zero
                z[L_SC + j] = zero
        if counted and t >= keep0 and t < keep1:
            y = (t - keep0) * W
            for j in range(W):
                hourly[y + j] = z[L_MA + j]
                hourly[y + kept + j] = z[L_MO + j]
                hourly[y + kept + kept + j] = z[L_MH + j]
                hourly[y + kept + kept + kept + j] = z[L_MC + j]


@rows
def _aligned(n, like):
    """Return n zeros of the type of `like` on a cache line: rows of sixteen that straddle two lines cost a third more."""
    size = U(like.itemsize)
    raw = np.zeros(n + LINE // size, like.dtype)
    first = (LINE - U(raw.ctypes.data) % LINE) % LINE // size
    return raw[first : first + n]


@threads
def _run(
    po, pw, pz, ge, z, partner, schedule, sid, wx, wset, speed, stream, month, n_hour, n_sub, warm, n_opaque, n_window, dt,
    by_sky, coupled, mixed, audited, keep0, keep1, sums, hourly,
):  # fmt: skip
    n_class = U(speed.size)
    for b in prange(pz.shape[0]):
        co = _aligned(n_class * n_opaque * O_SIZE, z)
        cw = _aligned(n_class * n_window * W_SIZE, z)
        zs = _aligned(n_class * Z_SIZE, z)
        fx = _aligned(F_SIZE, z)
        prepare_block(po[b], pw[b], pz[b], n_opaque, n_window, dt, speed, co, cw, zs, fx)
        r = _aligned(n_opaque * R_SIZE + n_window * W, z)
        tb = _aligned(n_opaque * W, z)
        middle = _aligned(n_opaque * W, z)
        own = _aligned(L_SIZE, z)
        own[:] = z[b]
        light = _aligned(U(ge.shape[1]), z)
        light[:] = ge[b]
        _run_block(
            po[b], pw[b], co, cw, zs, fx, light, r, own, tb, middle, partner[b], schedule, sid[b], wx, wset,
            speed, stream[b], month, n_hour, n_sub, warm, n_opaque, n_window, dt, by_sky, coupled[b], mixed[b],
            audited, keep0, keep1, sums[b], hourly[b],
        )  # fmt: skip
        z[b] = own


def _blocks(n: int, group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the zones of each lane, (n_block, LANES), -1 where none: zones of one group stand together."""
    lanes: list[int] = []
    edges = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if n else np.empty(0, np.int64)
    for first, end in zip(edges, [*edges[1:], n]):
        if len(lanes) % LANES + (end - first) > LANES:
            lanes += [-1] * (-len(lanes) % LANES)
        lanes += range(first, end)
    lanes += [-1] * (-len(lanes) % LANES)
    return np.array(lanes, np.int64).reshape(-1, LANES)


def simulate_lanes(
    opaque: NDArray[np.float64],
    window: NDArray[np.float64],
    zone: NDArray[np.float64],
    geometry: NDArray[np.floating] | None,
    stream: NDArray[np.floating] | None,
    partner: NDArray[np.int64] | None,
    building: NDArray[np.int64],
    classes: NDArray[np.int64],
    schedules: NDArray[np.floating],
    weather: NDArray[np.floating],
    wind: NDArray[np.uint64],
    speed: NDArray[np.float64],
    month: NDArray[np.uint64],
    n_sub: int,
    keep: tuple[int, int],
    warm_up: int,
    check: bool,
    dtype: type,
) -> dict[str, NDArray[np.float64]]:
    """Simulate zones on the CPU; arguments and results as in `iso52016.simulate`."""
    n, n_opaque, n_window = opaque.shape[0], opaque.shape[1], window.shape[1]
    n_hour = schedules.shape[1]
    if partner is None:
        building = np.arange(n)
    lane = _blocks(n, building)
    n_block = lane.shape[0]
    # An empty lane runs a copy of the first zone of its block, which is thrown away.
    source = np.where(lane < 0, lane[:, :1], lane)

    def packed(values: NDArray[np.floating], kind: type) -> NDArray[np.floating]:
        spread = np.moveaxis(values[source], 1, -1)
        return np.ascontiguousarray(spread, kind).reshape(n_block, int(np.prod(spread.shape[1:])))

    nothing: NDArray[np.floating] = np.zeros((n_block, 1), dtype)
    ge = nothing if geometry is None else packed(geometry, dtype)
    streams = nothing if stream is None else packed(stream, dtype)
    where = np.zeros(n, np.int64)
    where[lane[lane >= 0]] = np.flatnonzero(lane.ravel() >= 0)
    mates = np.full((n_block, n_opaque, LANES), -1, np.int64)
    coupled = np.zeros(n_block, np.bool_)
    if partner is not None:
        block, place = where // LANES, where % LANES
        i, k = np.nonzero(partner[:, :, 0] >= 0)
        other = partner[i, k]
        mates[block[i], k, place[i]] = other[:, 1] * LANES + place[other[:, 0]]
        coupled[block[i]] = True
    audited = True if check else None
    sid = np.ascontiguousarray(classes[source], np.uint64) if n_block else np.zeros((0, LANES), np.uint64)
    mixed = (sid != sid[:, :1]).any(axis=1)
    z: NDArray[np.floating] = np.zeros((n_block, int(L_SIZE)), dtype)
    z[:, int(L_TA) : int(L_TM) + LANES] = START
    z[:, int(L_AN) : int(L_AN) + LANES] = 1e9
    z[:, int(L_AX) : int(L_AX) + LANES] = -1e9
    sums = np.zeros((n_block, 12 * 2 * LANES))
    hourly: NDArray[np.floating] = np.zeros((n_block, len(HOURLY) * (keep[1] - keep[0]) * LANES), dtype)
    flat: NDArray[np.floating] = np.ascontiguousarray(schedules, dtype).ravel()
    wx: NDArray[np.floating] = np.ascontiguousarray(weather, dtype).ravel()
    _run(
        packed(opaque, np.float64), packed(window, np.float64), packed(zone, np.float64), ge, z,
        mates.reshape(n_block, n_opaque * LANES), flat, sid, wx, wind, speed, streams, np.append(month, U(99)), U(n_hour),
        U(n_sub), U(warm_up), U(n_opaque), U(n_window), 3600.0 / n_sub, geometry is not None, coupled, mixed, audited,
        U(keep[0]), U(keep[1]), sums, hourly,
    )  # fmt: skip

    def row(index: np.uint64) -> NDArray[np.float64]:
        return z[:, int(index) : int(index) + LANES].astype(np.float64).ravel()[where]

    by_month = sums.reshape(n_block, 12, 2, LANES).transpose(2, 0, 3, 1).reshape(2, -1, 12)[:, where] * 3600.0
    series = hourly.reshape(n_block, len(HOURLY), keep[1] - keep[0], LANES).transpose(1, 0, 3, 2)
    series = series.reshape(len(HOURLY), n_block * LANES, keep[1] - keep[0])[:, where]
    flow = row(L_FL)
    return {
        "monthly_heating_need": by_month[0],
        "monthly_cooling_need": by_month[1],
        "peak_heating_load": row(L_PH),
        "peak_heating_hour": row(L_HH),
        "peak_cooling_load": row(L_PC),
        "peak_cooling_hour": row(L_HC),
        "overheating_hours": row(L_OV),
        "overheating_degree_hours": row(L_DH),
        "mean_air_temperature": row(L_AT) / n_hour,
        "least_air_temperature": row(L_AN),
        "greatest_air_temperature": row(L_AX),
        "energy_residual": row(L_RS) / np.where(flow > 0, flow, 1.0),
        "periodic_error": np.abs(row(L_TM) - row(L_T0)),
        **dict(zip(HOURLY, series)),
    }
