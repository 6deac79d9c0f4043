"""Advection and diffusion of canopy air on a box grid with solid cells: one explicit stage, its time-step limit, its boundary.

    dT/dt + div(u T) = div(K grad T) + S

Arrays have shape (nz + 4, ny + 4, nx + 4): `HALO` = 2 cells on every side, layers from the ground up, rows from north to south.
Face velocities are staggered: u, v, w of a cell belong to its west, north and lower face, positive towards growing indices, so
v is positive SOUTHWARD. `is_air` is 1 in air and 0 in solid cells, and nothing passes a face of a solid cell, whatever its
velocity.

The flux balance is written in differences, -sum_f u_f (T_f - T_c): exactly the flux form where div u = 0, which the wind must
provide to rounding (`wind` does). In return an isothermal field stays isothermal to the bit in float32, where the flux form
drifts by 300 K x rounding each step. Face values are upwind or limited after Koren; no stage makes a new extremum while
dt <= `stable_step`, and strong-stability-preserving stages inherit that.
"""

from __future__ import annotations

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

Box = tuple[int, int, int, int, int, int]


@cell
def koren_excess(behind, ahead):
    """Face value less that of the cell which the flow leaves: third-order upwind, limited after Koren, without a division.

    1/2 phi(r) ahead, phi = max(0, min(2 r, (2 + r) / 3, 2)), r = behind / ahead: the differences of the scalar, in the sense of
    the flow, across the cell's upwind face and across this one.
    """
    zero = type(ahead)(0)
    x, y = abs(behind), abs(ahead)
    m = min(min(x, y), (y + y + x) * type(ahead)(1.0 / 6.0))
    m = m if ahead > zero else -m
    return m if behind * ahead > zero else zero


@cell
def koren_axis(a2, a1, c, b1, b2, m2, m1, p1, p2, low, high, k_low, k_high, r, d2):
    """Heating rate [K s-1] of cell c along one axis, of its neighbours a2, a1 | c | b1, b2 with masks m2, m1 | p1, p2.

    A difference across a face of a solid cell counts as 0: then neither advection nor diffusion passes that face, and nothing
    is extrapolated from behind a wall. Against the axis the excess changes its sign, since both differences do.
    """
    zero = type(c)(0)
    d1, step, d3, d4 = m2 * (a1 - a2), m1 * (c - a1), p1 * (b1 - c), p2 * (b2 - b1)
    forward = low > zero
    e = koren_excess(d1 if forward else d3, step)
    rate = low * r * (e - step if forward else -e) - k_low * d2 * step
    forward = high > zero
    e = koren_excess(step if forward else d4, d3)
    return rate - high * r * (e if forward else d3 - e) + k_high * d2 * d3


@rows
def _koren_row(t, start, u, v, w, k, air, s, out, q0, n, sy, sz, rx, ry, rz, dx2, dy2, dz2, dt, keep):
    """One stage of a row of `n` cells from flat index `q0`; r* = 1 / spacing, d*2 = 1 / (2 spacing^2)."""
    one = np.uint64(1)
    for i in range(n):
        q = q0 + np.uint64(i)
        c, kc = t[q], k[q]
        total = s[q]
        for axis in range(3):
            st = one if axis == 0 else (sy if axis == 1 else sz)
            r = rx if axis == 0 else (ry if axis == 1 else rz)
            d2 = dx2 if axis == 0 else (dy2 if axis == 1 else dz2)
            vel = u if axis == 0 else (v if axis == 1 else w)
            m2, m1, p1, p2 = (
                type(dt)(air[q - st - st]),
                type(dt)(air[q - st]),
                type(dt)(air[q + st]),
                type(dt)(air[q + st + st]),
            )
            total += koren_axis(
                t[q - st - st], t[q - st], c, t[q + st], t[q + st + st], m2, m1, p1, p2,
                vel[q], vel[q + st], kc + k[q - st], kc + k[q + st], r, d2,
            )  # fmt: skip
        new = c + type(dt)(air[q]) * dt * total
        out[q] = new + keep * (start[q] - new)


@rows
def _upwind_row(t, start, u, v, w, k, air, s, out, q0, n, sy, sz, rx, ry, rz, dx2, dy2, dz2, dt, keep):
    zero = dt * type(dt)(0)
    one = np.uint64(1)
    for i in range(n):
        q = q0 + np.uint64(i)
        c, kc, mc = t[q], k[q], type(dt)(air[q])
        total = s[q]
        for axis in range(3):
            st = one if axis == 0 else (sy if axis == 1 else sz)
            r = rx if axis == 0 else (ry if axis == 1 else rz)
            d2 = dx2 if axis == 0 else (dy2 if axis == 1 else dz2)
            vel = u if axis == 0 else (v if axis == 1 else w)
            low, high = vel[q], vel[q + st]
            into_low = max(low, zero) * r + (kc + k[q - st]) * d2
            into_high = max(-high, zero) * r + (kc + k[q + st]) * d2
            total += type(dt)(air[q - st]) * into_low * (t[q - st] - c) + type(dt)(air[q + st]) * into_high * (t[q + st] - c)
        new = c + mc * dt * total
        out[q] = new + keep * (start[q] - new)


@threads
def _koren_stage(t, start, u, v, w, k, air, s, out, k0, k1, j0, j1, i0, i1, sy, sz, rx, ry, rz, dx2, dy2, dz2, dt, keep):
    nj = j1 - j0
    for kj in prange((k1 - k0) * nj):
        q0 = np.uint64((k0 + kj // nj + HALO) * sz + (j0 + kj % nj + HALO) * sy + i0 + HALO)
        _koren_row(t, start, u, v, w, k, air, s, out, q0, i1 - i0, np.uint64(sy), np.uint64(sz), rx, ry, rz, dx2, dy2, dz2, dt, keep)  # fmt: skip # noqa: E501


@threads
def _upwind_stage(t, start, u, v, w, k, air, s, out, k0, k1, j0, j1, i0, i1, sy, sz, rx, ry, rz, dx2, dy2, dz2, dt, keep):
    nj = j1 - j0
    for kj in prange((k1 - k0) * nj):
        q0 = np.uint64((k0 + kj // nj + HALO) * sz + (j0 + kj % nj + HALO) * sy + i0 + HALO)
        _upwind_row(t, start, u, v, w, k, air, s, out, q0, i1 - i0, np.uint64(sy), np.uint64(sz), rx, ry, rz, dx2, dy2, dz2, dt, keep)  # fmt: skip # noqa: E501


def interior(array: NDArray[Any]) -> Box:
    """Return the box (k0, k1, j0, j1, i0, i1) of all cells of a padded array that are not halo."""
    nz, ny, nx = (max(0, n - 2 * HALO) for n in array.shape)
    return 0, nz, 0, ny, 0, nx


def transport_stage(
    temperature: NDArray[Any],
    start: NDArray[Any],
    u: NDArray[Any],
    v: NDArray[Any],
    w: NDArray[Any],
    diffusivity: NDArray[Any],
    is_air: NDArray[np.uint8],
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
    is_air : same shape, uint8
        1 air, 0 solid; halo included. A solid halo is a closed boundary.
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
    kind = temperature.dtype.type
    dz, dy, dx = spacing
    _, ny, nx = temperature.shape
    stage = _koren_stage if scheme == "koren" else _upwind_stage
    flat = (a.reshape(-1) for a in (temperature, start, u, v, w, diffusivity, is_air, source, out))
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
    Arrays as in `transport_stage`.
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
