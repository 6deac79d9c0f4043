"""Advection and diffusion of canopy air on a box grid with solid cells: one explicit stage, its time-step limit, its boundary.

    dT/dt + div(u T) = div(K grad T) + S

Arrays have shape (nz + 4, ny + 4, nx + 4): `HALO` = 2 cells on every side, layers from the ground up, rows from north to south.
Face velocities are staggered: u, v, w of a cell belong to its west, north and lower face, positive towards growing indices, so
v is positive SOUTHWARD. `is_air` is 1 in air and 0 in solid cells, and nothing passes a face of a solid cell, whatever its
velocity: a difference across such a face counts as 0, so that nothing is extrapolated from behind a wall either.

The flux balance is written in differences, -sum_f u_f (T_f - T_c): exactly the flux form where div u = 0, which the wind must
provide to rounding (`wind` does). In return an isothermal field stays isothermal to the bit in float32, where the flux form
drifts by 300 K x rounding each step. Face values are upwind or limited after Koren; no stage makes a new extremum while
dt <= `stable_step`, and strong-stability-preserving stages inherit that.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows, threads

HALO = 2  # cells: the limited face value looks two cells upwind

# Share of the state at the start of the step in each stage: T_next = a T_start + (1 - a) (T + dt L(T)).
FORWARD_EULER = (0.0,)
SSP_RK2 = (0.0, 0.5)
SSP_RK3 = (0.0, 0.75, 1.0 / 3.0)  # Shu and Osher 1988, J. Comput. Phys. 77, 439-471

ROWS = 16  # rows of a block that climbs through all layers, so that the planes of a stencil are still in the second-level cache

Box = tuple[int, int, int, int, int, int]


@threads
def _neighbours(air, bits, sy, sz, nz, ny, nx):
    for kj in prange(nz * ny):
        q0 = (kj // ny + HALO) * sz + (kj % ny + HALO) * sy + HALO
        for i in range(nx):
            q = np.uint64(q0 + i)
            word = np.uint16(air[q] != 0)
            for axis in range(3):
                st = np.uint64(1 if axis == 0 else (sy if axis == 1 else sz))
                two = st + st
                pair = np.uint16(air[q - two] != 0) | np.uint16(air[q - st] != 0) << np.uint16(1)
                pair |= np.uint16(air[q + st] != 0) << np.uint16(2) | np.uint16(air[q + two] != 0) << np.uint16(3)
                word |= np.uint16(pair << np.uint16(1 + 4 * axis))
            bits[q] = word


@cell
def if_air(value, bits, place):
    """A difference, or 0 where bit `place` says that a cell is solid: a choice costs less than a product with the mask."""
    return value if bits & np.uint16(1 << place) != np.uint16(0) else type(value)(0)


@cell
def koren_excess(behind, ahead):
    """Face value less that of the cell which the flow leaves: third-order upwind, limited after Koren, without a division.

    1/2 phi(r) ahead, phi = max(0, min(2 r, (2 + r) / 3, 2)), r = behind / ahead: the differences of the scalar, in the sense of
    the flow, across the cell's upwind face and across this one.
    """
    zero = type(ahead)(0)
    y = abs(ahead)
    x = behind if ahead > zero else -behind
    return math.copysign(max(min(min(x, y), (y * type(ahead)(2) + x) * type(ahead)(1.0 / 6.0)), zero), ahead)


@cell
def koren_face(before, step, after, velocity, k_sum, r, half_r2):
    """Heating rates [K s-1] that one face gives to its lower and its upper cell.

    `before`, `step`, `after` are the differences along the axis across the face below, this one and the one above. With face
    value T_f: lower -u (T_f - T_lower) / h + K step / h^2, upper u (T_f - T_upper) / h - K step / h^2. T_f less either value is
    formed before it is multiplied: it is 0 to the bit where the limiter picks that value, or rounding would make an extremum.
    """
    forward = velocity > type(step)(0)
    excess = koren_excess(before if forward else after, step)
    a, diffusion = velocity * r, k_sum * half_r2 * step
    return diffusion - a * (excess if forward else step - excess), a * (excess - step if forward else -excess) - diffusion


@rows
def _koren_low_faces(t, velocity, k, bits, place, upper, q0, n, st, r, half_r2):
    """Rate through the low faces of a row, for the cells above them: what a row or plane before this box would have left."""
    for i in range(n):
        q = q0 + np.uint64(i)
        c, a1, m = t[q], t[q - st], bits[q] >> place
        before, step, after = if_air(a1 - t[q - st - st], m, 0), if_air(c - a1, m, 1), if_air(t[q + st] - c, m, 2)
        upper[np.uint64(i)] = koren_face(before, step, after, velocity[q], k[q] + k[q - st], r, half_r2)[1]


@rows
def _koren_row(t, start, u, v, w, k, bits, s, out, from_north, from_below, q0, n, sy, sz, rx, ry, rz, dx2, dy2, dz2, dt, keep):
    """One stage of a row of `n` cells from flat index `q0`; r* = 1 / spacing, d*2 = 1 / (2 spacing^2).

    `from_north` and `from_below` hold what the low faces give to this row and leave with what its high faces give to the next.
    """
    one = np.uint64(1)
    for l in range(n):
        i = np.uint64(l)
        q = q0 + i
        c, kc, m = t[q], k[q], bits[q]
        b, a = t[q - one], t[q + one]
        d1, d2, d3, d4 = if_air(b - t[q - one - one], m, 1), if_air(c - b, m, 2), if_air(a - c, m, 3), if_air(t[q + one + one] - a, m, 4)  # noqa: E501 # fmt: skip
        west = koren_face(d1, d2, d3, u[q], kc + k[q - one], rx, dx2)[1]
        east = koren_face(d2, d3, d4, u[q + one], kc + k[q + one], rx, dx2)[0]
        a = t[q + sy]
        d2, d3, d4 = if_air(c - t[q - sy], m, 6), if_air(if_air(a - c, m, 7), m, 0), if_air(t[q + sy + sy] - a, m, 8)
        south, to_south = koren_face(d2, d3, d4, v[q + sy], kc + k[q + sy], ry, dy2)
        a = t[q + sz]
        d2, d3, d4 = if_air(c - t[q - sz], m, 10), if_air(if_air(a - c, m, 11), m, 0), if_air(t[q + sz + sz] - a, m, 12)
        above, to_above = koren_face(d2, d3, d4, w[q + sz], kc + k[q + sz], rz, dz2)
        total = s[q] + west + east + (from_north[i] + south) + (from_below[i] + above)
        from_north[i], from_below[i] = to_south, to_above
        new = c + dt * total if m & np.uint16(1) != np.uint16(0) else c
        out[q] = new + keep * (start[q] - new)


@cell
def upwind_axis(a, c, b, bits, place, low, high, k_low, k_high, r, half_r2):
    """Heating rate [K s-1] of cell c between its neighbours a and b along one axis."""
    zero = type(c)(0)
    from_a = (max(low, zero) * r + k_low * half_r2) * if_air(a - c, bits, place)
    return from_a + (max(-high, zero) * r + k_high * half_r2) * if_air(b - c, bits, place + 1)


@rows
def _upwind_row(t, start, u, v, w, k, bits, s, out, q0, n, sy, sz, rx, ry, rz, dx2, dy2, dz2, dt, keep):
    e = np.uint64(1)
    for i in range(n):
        q = q0 + np.uint64(i)
        c, kc, m = t[q], k[q], bits[q]
        total = s[q] + upwind_axis(t[q - e], c, t[q + e], m, 2, u[q], u[q + e], kc + k[q - e], kc + k[q + e], rx, dx2)
        total += upwind_axis(t[q - sy], c, t[q + sy], m, 6, v[q], v[q + sy], kc + k[q - sy], kc + k[q + sy], ry, dy2)
        total += upwind_axis(t[q - sz], c, t[q + sz], m, 10, w[q], w[q + sz], kc + k[q - sz], kc + k[q + sz], rz, dz2)
        new = c + dt * total if m & np.uint16(1) != np.uint16(0) else c
        out[q] = new + keep * (start[q] - new)


@threads
def _koren_stage(t, start, u, v, w, k, bits, s, out, k0, k1, j0, j1, i0, i1, sy, sz, rx, ry, rz, dx2, dy2, dz2, dt, keep):
    n = i1 - i0
    uy, uz = np.uint64(sy), np.uint64(sz)
    for block in prange((j1 - j0 + ROWS - 1) // ROWS):
        ja = j0 + block * ROWS
        jb = min(j1, ja + ROWS)
        from_north, from_below = np.empty(n, t.dtype), np.empty((ROWS, n), t.dtype)
        for j in range(ja, jb):
            q0 = np.uint64((k0 + HALO) * sz + (j + HALO) * sy + i0 + HALO)
            _koren_low_faces(t, w, k, bits, np.uint16(9), from_below[j - ja], q0, n, uz, rz, dz2)
        for l in range(k0, k1):
            q0 = np.uint64((l + HALO) * sz + (ja + HALO) * sy + i0 + HALO)
            _koren_low_faces(t, v, k, bits, np.uint16(5), from_north, q0, n, uy, ry, dy2)
            for j in range(ja, jb):
                q0 = np.uint64((l + HALO) * sz + (j + HALO) * sy + i0 + HALO)
                _koren_row(t, start, u, v, w, k, bits, s, out, from_north, from_below[j - ja], q0, n, uy, uz, rx, ry, rz, dx2, dy2, dz2, dt, keep)  # fmt: skip # noqa: E501


@threads
def _upwind_stage(t, start, u, v, w, k, bits, s, out, k0, k1, j0, j1, i0, i1, sy, sz, rx, ry, rz, dx2, dy2, dz2, dt, keep):
    for block in prange((j1 - j0 + ROWS - 1) // ROWS):
        ja = j0 + block * ROWS
        for l in range(k0, k1):
            for j in range(ja, min(j1, ja + ROWS)):
                q0 = np.uint64((l + HALO) * sz + (j + HALO) * sy + i0 + HALO)
                _upwind_row(t, start, u, v, w, k, bits, s, out, q0, i1 - i0, np.uint64(sy), np.uint64(sz), rx, ry, rz, dx2, dy2, dz2, dt, keep)  # fmt: skip # noqa: E501


def interior(array: NDArray[Any]) -> Box:
    """Return the box (k0, k1, j0, j1, i0, i1) of all cells of a padded array that are not halo."""
    nz, ny, nx = (max(0, n - 2 * HALO) for n in array.shape)
    return 0, nz, 0, ny, 0, nx


def air_neighbours(is_air: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return for each cell, in one word of bits, which of the cells that a stage looks at are air.

    Bit 0: the cell; from bit 1 along x, bit 5 along y, bit 9 along z the cells at -2, -1, +1, +2. A stage reads one word in
    place of 13 masks. Valid as long as the buildings stand. `is_air`: (nz + 4, ny + 4, nx + 4), 1 air, 0 solid, halo included;
    a solid halo is a closed boundary. The halo of the result is 0.
    """
    _, nz, _, ny, _, nx = interior(is_air)
    bits = np.zeros(is_air.shape, np.uint16)
    _neighbours(is_air.reshape(-1), bits.reshape(-1), is_air.shape[2], is_air.shape[1] * is_air.shape[2], nz, ny, nx)
    return bits


def transport_stage(
    temperature: NDArray[Any],
    start: NDArray[Any],
    u: NDArray[Any],
    v: NDArray[Any],
    w: NDArray[Any],
    diffusivity: NDArray[Any],
    neighbours: NDArray[np.uint16],
    source: NDArray[Any],
    out: NDArray[Any],
    spacing: tuple[float, float, float],
    time_step: float,
    keep: float = 0.0,
    scheme: Literal["koren", "upwind"] = "koren",
    vertical_diffusion: bool = True,
    box: Box | None = None,
) -> None:
    """Compute one explicit stage of advection, diffusion and sources.

    out = a T_start + (1 - a) (T + dt (-div(u T) + div(K grad T) + S)), a = `keep`; K of a face is the mean of its two cells.

    Parameters
    ----------
    temperature, start : (nz + 4, ny + 4, nx + 4) float32 or float64
        State of this stage, its halo filled, and state at the start of the step [K] (or any other scalar).
    u, v, w : same shape
        Velocity of the west, north and lower faces [m s-1], free of divergence; see the module.
    diffusivity : same shape
        Eddy diffusivity K [m2 s-1], halo included.
    neighbours : same shape, uint16
        Which cells are air, from `air_neighbours`.
    source : same shape
        Heating rate S = Q / (rho c_p) [K s-1].
    out : same shape
        Receives the cells of `box`; must not be `temperature`.
    spacing : (dz, dy, dx)
        [m]
    time_step : float
        [s], at most `stable_step`.
    keep : float
        One of the entries of FORWARD_EULER, SSP_RK2 or SSP_RK3; the halo is filled anew between stages.
    scheme : str
        "koren", third order limited, or "upwind", first order.
    vertical_diffusion : bool
        False where `diffusion.diffuse_vertically` does it implicitly.
    box : (k0, k1, j0, j1, i0, i1)
        Cells to compute, counted without halo; all by default. Any cut gives the same bits.

    References
    ----------
    Koren 1993, in Vreugdenhil and Koren (eds), Numerical Methods for Advection-Diffusion Problems; Sweby 1984, SIAM J. Numer.
    Anal. 21, 995-1011 (the TVD region).
    """
    k0, k1, j0, j1, i0, i1 = box or interior(temperature)
    if k1 <= k0 or j1 <= j0 or i1 <= i0:
        return
    if not out.flags.c_contiguous:
        raise ValueError("The result of a transport stage must be a C-contiguous array; a view of a larger one is not written.")
    if neighbours.dtype != np.uint16:
        raise ValueError("A transport stage takes the words of air_neighbours, not the mask of air cells.")
    kind = temperature.dtype.type
    dz, dy, dx = spacing
    _, ny, nx = temperature.shape
    stage = _koren_stage if scheme == "koren" else _upwind_stage
    flat = (a.reshape(-1) for a in (temperature, start, u, v, w, diffusivity, neighbours, source, out))
    scalars = (1 / dx, 1 / dy, 1 / dz, 0.5 / dx**2, 0.5 / dy**2, 0.5 / dz**2 if vertical_diffusion else 0.0, time_step, keep)
    stage(*flat, k0, k1, j0, j1, i0, i1, nx, ny * nx, *(kind(x) for x in scalars))


@threads
def _row_rates(u, v, w, k, air, rate, nz, ny, nx, sy, sz, rx, ry, rz, dx2, dy2, dz2):
    for kj in prange(nz * ny):
        q0 = (kj // ny + HALO) * sz + (kj % ny + HALO) * sy + HALO
        most = 0.0
        for i in range(nx):
            q = q0 + i
            if air[q] == 0:
                continue
            total = 0.0
            for axis in range(3):
                st = 1 if axis == 0 else (sy if axis == 1 else sz)
                r = rx if axis == 0 else (ry if axis == 1 else rz)
                d2 = dx2 if axis == 0 else (dy2 if axis == 1 else dz2)
                vel = u if axis == 0 else (v if axis == 1 else w)
                total += air[q - st] * (abs(vel[q]) * r + (k[q] + k[q - st]) * d2)
                total += air[q + st] * (abs(vel[q + st]) * r + (k[q] + k[q + st]) * d2)
            most = max(most, total)
        rate[kj] = most


def stable_step(
    u: NDArray[Any],
    v: NDArray[Any],
    w: NDArray[Any],
    diffusivity: NDArray[Any],
    is_air: NDArray[np.uint8],
    spacing: tuple[float, float, float],
    vertical_diffusion: bool = True,
) -> float:
    """Return the longest time step [s] of a stage that makes no new extremum; infinite where nothing moves.

    dt = 1 / max over cells of sum over open faces (|u_f| / h + K_f / h^2). A tile's own value: the grid's is the least of all.
    Arrays as in `transport_stage`, `is_air` as in `air_neighbours`.
    """
    _, nz, _, ny, _, nx = interior(u)
    if nz * ny * nx == 0:
        return float("inf")
    dz, dy, dx = spacing
    rate = np.zeros(nz * ny)
    flat = (a.reshape(-1) for a in (u, v, w, diffusivity, is_air))
    half_dz2 = 0.5 / dz**2 if vertical_diffusion else 0.0
    sy, sz = u.shape[2], u.shape[1] * u.shape[2]
    _row_rates(*flat, rate, nz, ny, nx, sy, sz, 1 / dx, 1 / dy, 1 / dz, 0.5 / dx**2, 0.5 / dy**2, half_dz2)
    most = float(rate.max())
    return 1.0 / most if most > 0.0 else float("inf")


@threads
def _sides(t, u, v, profile, west, east, north, south):
    nz, ny, nx = t.shape[0] - 2 * HALO, t.shape[1] - 2 * HALO, t.shape[2] - 2 * HALO
    for k in prange(HALO, HALO + nz):
        p = profile[k - HALO]
        for j in range(HALO, HALO + ny):
            for h in range(HALO):
                if west:
                    t[k, j, h] = p if u[k, j, HALO] > 0 else t[k, j, HALO]
                if east:
                    t[k, j, HALO + nx + h] = p if u[k, j, HALO + nx] < 0 else t[k, j, HALO + nx - 1]
        for i in range(HALO, HALO + nx):
            for h in range(HALO):
                if north:
                    t[k, h, i] = p if v[k, HALO, i] > 0 else t[k, HALO, i]
                if south:
                    t[k, HALO + ny + h, i] = p if v[k, HALO + ny, i] < 0 else t[k, HALO + ny - 1, i]


def fill_boundary(
    temperature: NDArray[Any],
    u: NDArray[Any],
    v: NDArray[Any],
    profile: NDArray[Any],
    top: float,
    sides: tuple[bool, bool, bool, bool] = (True, True, True, True),
) -> None:
    """Fill the halo beyond the grid's edge: inflow brings `profile`, outflow has no gradient, the top is at `top`.

    Parameters
    ----------
    temperature, u, v : (nz + 4, ny + 4, nx + 4) float
        The halo of `temperature` [K] is written; below the ground it takes the lowest cell.
    profile : (nz,) float
        Temperature of the air that flows in [K].
    top : float
        Temperature above the uppermost layer [K].
    sides : (west, east, north, south)
        Which sides of this tile lie on the grid's edge; the others belong to the halo exchange.
    """
    if 0 in interior(temperature)[1::2]:
        return
    kind = temperature.dtype.type
    _sides(temperature, u, v, profile.astype(kind), *sides)
    temperature[:HALO] = temperature[HALO]
    temperature[-HALO:] = kind(top)
