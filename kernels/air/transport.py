"""Advection and diffusion of canopy air on a box grid with solid cells: one explicit stage and its time-step limit.

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

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows, threads
from felsina.kernels._gpu import atomic_raise
from felsina.kernels.bounds import at_least, at_most

HALO = 2  # cells: the limited face value looks two cells upwind

# Share of the state at the start of the step in each stage: T_next = a T_start + (1 - a) (T + dt L(T)).
FORWARD_EULER = (0.0,)
SSP_RK2 = (0.0, 0.5)
SSP_RK3 = (0.0, 0.75, 1.0 / 3.0)  # Shu and Osher 1988, J. Comput. Phys. 77, 439-471

ROWS = 16  # rows of a block that climbs through all layers, so that the planes of a stencil are still in the second-level cache
_GPU_THREADS = 1 << 17  # of a stage, where there are enough cells: they keep the memory of an A100 busy (108 x 2048 can run)
_GPU_LAYERS = 4  # that a thread climbs at least: 260 instructions a cell in place of 358 (236 through sixteen layers)
_MOST_ELEMENTS = 2**32 - 1  # of a padded array on the GPU, where indices are 32-bit

Box = tuple[int, int, int, int, int, int]


@cell
def neighbour_word(air, q, sy, sz):
    """Bits of `air_neighbours` of the cell at flat index q."""
    word = np.uint16(air[q] != 0)
    for axis in range(3):
        st = np.uint64(1) if axis == 0 else (sy if axis == 1 else sz)
        two = st + st
        pair = np.uint16(air[q - two] != 0) | np.uint16(air[q - st] != 0) << np.uint16(1)
        pair |= np.uint16(air[q + st] != 0) << np.uint16(2) | np.uint16(air[q + two] != 0) << np.uint16(3)
        word |= np.uint16(pair << np.uint16(1 + 4 * axis))
    return word


@threads
def _neighbours(air, bits, sy, sz, nz, ny, nx):
    for kj in prange(nz * ny):
        q0 = (kj // ny + HALO) * sz + (kj % ny + HALO) * sy + HALO
        for i in range(nx):
            q = np.uint64(q0 + i)
            bits[q] = neighbour_word(air, q, np.uint64(sy), np.uint64(sz))


@gpu("u1* u2* u4 u4 u4", dims=3)
def neighbours_gpu(l, j, i, air, bits, q0, sy, sz):
    q = flat_index(q0, l, j, i, sy, sz)
    bits[q] = neighbour_word(air, q, np.uint64(sy), np.uint64(sz))


@cell
def flat_index(q0, l, j, i, sy, sz):
    """Flat index of a cell of a box: summed in 32 bits, then 64 bits wide, so that neighbours are offsets of one address."""
    return np.uint64(np.uint32(np.uint32(q0 + np.uint32(l * sz)) + np.uint32(np.uint32(j * sy) + i)))


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
    excess = at_most(at_most(x, y), (y * type(ahead)(2) + x) * type(ahead)(1.0 / 6.0))
    return math.copysign(at_least(excess, zero), ahead)


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


@cell
def koren_low_face(a2, a, c, b, bits, place, velocity, k_sum, r, half_r2):
    """Rate that cell c gets through its low face; cells a2, a, c, b along the axis, whose bits begin at `place`."""
    before, step, after = if_air(a - a2, bits, place), if_air(c - a, bits, place + 1), if_air(b - c, bits, place + 2)
    return koren_face(before, step, after, velocity, k_sum, r, half_r2)[1]


@cell
def koren_high_face(a, c, b, b2, bits, place, velocity, k_sum, r, half_r2):
    """Rates that cell c and the next cell b get through the face between them; cells a, c, b, b2, bits from `place`."""
    before, after = if_air(c - a, bits, place), if_air(b2 - b, bits, place + 2)
    step = if_air(if_air(b - c, bits, place + 1), bits, 0)
    return koren_face(before, step, after, velocity, k_sum, r, half_r2)


@cell
def koren_axis(t, k, velocity, bits, q, st, place, r, half_r2):
    """Rates that the cell at q gets through its low and its high face across one axis, bits from `place`; nothing if solid."""
    a, c, b = t[q - st], t[q], t[q + st]
    d1, d2 = if_air(a - t[q - st - st], bits, place), if_air(c - a, bits, place + 1)
    d3, d4 = if_air(b - c, bits, place + 2), if_air(t[q + st + st] - b, bits, place + 3)
    low = koren_face(d1, d2, d3, velocity[q], k[q] + k[q - st], r, half_r2)[1]
    return low, koren_face(d2, d3, d4, velocity[q + st], k[q] + k[q + st], r, half_r2)[0]


@cell
def advanced(c, rate, start, bits, dt, keep):
    """State after a stage: a T_start + (1 - a) (T + dt rate); a solid cell stays."""
    new = c + dt * rate if bits & np.uint16(1) != np.uint16(0) else c
    return new + keep * (start - new)


@rows
def _koren_low_faces(t, velocity, k, bits, place, upper, q0, n, st, r, half_r2):
    """Rate through the low faces of a row, for the cells above them: what a row or plane before this box would have left."""
    for i in range(n):
        q = q0 + np.uint64(i)
        a, m = q - st, bits[q] >> place
        upper[np.uint64(i)] = koren_low_face(t[a - st], t[a], t[q], t[q + st], m, 0, velocity[q], k[q] + k[a], r, half_r2)


@rows
def _koren_row(t, start, u, v, w, k, bits, s, out, from_north, from_below, q0, n, sy, sz, rx, ry, rz, dx2, dy2, dz2, dt, keep):
    """One stage of a row of `n` cells from flat index `q0`; r* = 1 / spacing, d*2 = 1 / (2 spacing^2).

    `from_north` and `from_below` hold what the low faces give to this row and leave with what its high faces give to the next.
    """
    for l in range(n):
        i = np.uint64(l)
        q = q0 + i
        c, kc, m = t[q], k[q], bits[q]
        west, east = koren_axis(t, k, u, m, q, np.uint64(1), 1, rx, dx2)
        h = q + sy
        south, to_south = koren_high_face(t[q - sy], c, t[h], t[h + sy], m, 6, v[h], kc + k[h], ry, dy2)
        h = q + sz
        above, to_above = koren_high_face(t[q - sz], c, t[h], t[h + sz], m, 10, w[h], kc + k[h], rz, dz2)
        total = s[q] + west + east + (from_north[i] + south) + (from_below[i] + above)
        from_north[i], from_below[i] = to_south, to_above
        out[q] = advanced(c, total, start[q], m, dt, keep)


@cell
def upwind_axis(a, c, b, bits, place, low, high, k_low, k_high, r, half_r2):
    """Heating rate [K s-1] of cell c between its neighbours a and b along one axis."""
    zero = type(c)(0)
    from_a = (at_least(low, zero) * r + k_low * half_r2) * if_air(a - c, bits, place)
    return from_a + (at_least(-high, zero) * r + k_high * half_r2) * if_air(b - c, bits, place + 1)


@cell
def upwind_rate(t, u, v, w, k, bits, s, q, sy, sz, rx, ry, rz, dx2, dy2, dz2):
    """Heating rate [K s-1] of the cell at q, whose word of neighbours is `bits`."""
    c, kc, e = t[q], k[q], np.uint64(1)
    total = s[q] + upwind_axis(t[q - e], c, t[q + e], bits, 2, u[q], u[q + e], kc + k[q - e], kc + k[q + e], rx, dx2)
    total += upwind_axis(t[q - sy], c, t[q + sy], bits, 6, v[q], v[q + sy], kc + k[q - sy], kc + k[q + sy], ry, dy2)
    return total + upwind_axis(t[q - sz], c, t[q + sz], bits, 10, w[q], w[q + sz], kc + k[q - sz], kc + k[q + sz], rz, dz2)


@rows
def _upwind_row(t, start, u, v, w, k, bits, s, out, q0, n, sy, sz, rx, ry, rz, dx2, dy2, dz2, dt, keep):
    for i in range(n):
        q = q0 + np.uint64(i)
        rate = upwind_rate(t, u, v, w, k, bits[q], s, q, sy, sz, rx, ry, rz, dx2, dy2, dz2)
        out[q] = advanced(t[q], rate, start[q], bits[q], dt, keep)


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


_STAGE = "T* T* T* T* T* T* u2* T* T* u4 u4 u4 u4 u4 T T T T T T T T"


@gpu(_STAGE, dims=3, block=(32, 8, 1))
def koren_gpu(part, j, i, t, start, u, v, w, k, bits, s, out, n, nk, q0, sy, sz, rx, ry, rz, dx2, dy2, dz2, dt, keep):
    """Climb through `n` of `nk` layers: cells above and the flux through the upper face are those below of the next layer."""
    one, uy, uz = np.uint64(1), np.uint64(sy), np.uint64(sz)
    l = np.uint32(part * n)
    end = min(np.uint32(l + n), nk)
    q = flat_index(q0, l, j, i, sy, sz)
    below, c, above, kc = t[q - uz], t[q], t[q + uz], k[q]
    from_below = koren_low_face(t[q - uz - uz], below, c, above, bits[q], 9, w[q], kc + k[q - uz], rz, dz2)
    while l < end:
        m, h = bits[q], q + uz
        higher, k_above = t[h + uz], k[h]
        from_above, to_above = koren_high_face(below, c, above, higher, m, 10, w[h], kc + k_above, rz, dz2)
        rate = type(c)(0)
        if m & np.uint16(1) != np.uint16(0):
            west, east = koren_axis(t, k, u, m, q, one, 1, rx, dx2)
            north, south = koren_axis(t, k, v, m, q, uy, 5, ry, dy2)
            rate = s[q] + west + east + (north + south) + (from_below + from_above)
        out[q] = advanced(c, rate, start[q], m, dt, keep)
        from_below, below, c, above, kc, q = to_above, c, above, higher, k_above, h
        l = np.uint32(l + np.uint32(1))


@gpu(_STAGE, dims=3, block=(32, 8, 1))
def upwind_gpu(part, j, i, t, start, u, v, w, k, bits, s, out, n, nk, q0, sy, sz, rx, ry, rz, dx2, dy2, dz2, dt, keep):
    """Climb through `n` of `nk` layers, so that what a layer reads of the next is still in the first-level cache there."""
    uy, uz = np.uint64(sy), np.uint64(sz)
    l = np.uint32(part * n)
    end = min(np.uint32(l + n), nk)
    q = flat_index(q0, l, j, i, sy, sz)
    while l < end:
        m, rate = bits[q], type(dt)(0)
        if m & np.uint16(1) != np.uint16(0):
            rate = upwind_rate(t, u, v, w, k, m, s, q, uy, uz, rx, ry, rz, dx2, dy2, dz2)
        out[q] = advanced(t[q], rate, start[q], m, dt, keep)
        q += uz
        l = np.uint32(l + np.uint32(1))


def interior(array: NDArray[Any]) -> Box:
    """Return the box (k0, k1, j0, j1, i0, i1) of all cells of a padded array that are not halo."""
    nz, ny, nx = (max(0, n - 2 * HALO) for n in array.shape)
    return 0, nz, 0, ny, 0, nx


def strides(array: NDArray[Any], corner: tuple[int, int, int] = (0, 0, 0)) -> tuple[int, int, int]:
    """Return for a padded array the flat index of an inner cell (layer, row, column) and the steps to next row and layer.

    Raises
    ------
    OverflowError
        When an array on the GPU has more cells than a 32-bit index can tell apart.
    """
    sy, sz = array.shape[2], array.shape[1] * array.shape[2]
    if array.size > _MOST_ELEMENTS and on_gpu(array):
        raise OverflowError(f"A tile of {array.shape} cells is too large for the GPU; use smaller tiles.")
    k, j, i = corner
    return (k + HALO) * sz + (j + HALO) * sy + i + HALO, sy, sz


def air_neighbours(is_air: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return for each cell, in one word of bits, which of the cells that a stage looks at are air.

    Bit 0: the cell; from bit 1 along x, bit 5 along y, bit 9 along z the cells at -2, -1, +1, +2. A stage reads one word in
    place of 13 masks. Valid as long as the buildings stand. `is_air`: (nz + 4, ny + 4, nx + 4), 1 air, 0 solid, halo included;
    a solid halo is a closed boundary. The halo of the result is 0.
    """
    _, nz, _, ny, _, nx = interior(is_air)
    bits = array_module(is_air).zeros(is_air.shape, np.uint16)
    q0, sy, sz = strides(is_air)
    if on_gpu(is_air):
        neighbours_gpu((nz, ny, nx), is_air, bits, q0, sy, sz)
    else:
        _neighbours(is_air.reshape(-1), bits.reshape(-1), sy, sz, nz, ny, nx)
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
    arrays = (temperature, start, u, v, w, diffusivity, neighbours, source, out)
    scalars = (1 / dx, 1 / dy, 1 / dz, 0.5 / dx**2, 0.5 / dy**2, 0.5 / dz**2 if vertical_diffusion else 0.0, time_step, keep)
    q0, sy, sz = strides(temperature, (k0, j0, i0))
    if on_gpu(*arrays):
        nk, nj, ni = k1 - k0, j1 - j0, i1 - i0
        parts = min(nk, -(-_GPU_THREADS // (nj * ni)))
        n = max(_GPU_LAYERS, -(-nk // parts))
        launch = koren_gpu if scheme == "koren" else upwind_gpu
        launch((-(-nk // n), nj, ni), *arrays, n, nk, q0, sy, sz, *scalars)
        return
    stage = _koren_stage if scheme == "koren" else _upwind_stage
    stage(*(a.reshape(-1) for a in arrays), k0, k1, j0, j1, i0, i1, sy, sz, *(kind(x) for x in scalars))


@cell
def outflow_rate(u, v, w, k, air, q, sy, sz, rx, ry, rz, dx2, dy2, dz2):
    """Sum over the open faces of the cell at q of |u_f| / h + K_f / h^2 [s-1]; 0 for a solid cell."""
    zero, kc, e = type(rx)(0), k[q], np.uint64(1)
    total = abs(u[q]) * rx + (kc + k[q - e]) * dx2 if air[q - e] != 0 else zero
    total += abs(u[q + e]) * rx + (kc + k[q + e]) * dx2 if air[q + e] != 0 else zero
    total += abs(v[q]) * ry + (kc + k[q - sy]) * dy2 if air[q - sy] != 0 else zero
    total += abs(v[q + sy]) * ry + (kc + k[q + sy]) * dy2 if air[q + sy] != 0 else zero
    total += abs(w[q]) * rz + (kc + k[q - sz]) * dz2 if air[q - sz] != 0 else zero
    total += abs(w[q + sz]) * rz + (kc + k[q + sz]) * dz2 if air[q + sz] != 0 else zero
    return total if air[q] != 0 else zero


@rows
def _raise_rates(u, v, w, k, air, most, q0, sy, sz, rx, ry, rz, dx2, dy2, dz2):
    for l in range(most.size):
        i = np.uint64(l)
        most[i] = max(most[i], outflow_rate(u, v, w, k, air, q0 + i, sy, sz, rx, ry, rz, dx2, dy2, dz2))


@threads
def _row_rates(u, v, w, k, air, rate, nz, ny, nx, sy, sz, rx, ry, rz, dx2, dy2, dz2):
    uy, uz = np.uint64(sy), np.uint64(sz)
    for row in prange(ny):
        most = np.zeros(nx, u.dtype)
        for l in range(nz):
            q0 = np.uint64((l + HALO) * sz + (row + HALO) * sy + HALO)
            _raise_rates(u, v, w, k, air, most, q0, uy, uz, rx, ry, rz, dx2, dy2, dz2)
        for i in range(nx):
            rate[row] = max(rate[row], most[i])


@gpu("T* T* T* T* u1* T* u4 u4 u4 u4 T T T T T T", dims=2)
def row_rates_gpu(row, i, u, v, w, k, air, rate, nz, q0, sy, sz, rx, ry, rz, dx2, dy2, dz2):
    q = flat_index(q0, np.uint32(0), row, i, sy, sz)
    most, l = type(rx)(0), np.uint32(0)
    while l < nz:
        most = max(most, outflow_rate(u, v, w, k, air, q, np.uint64(sy), np.uint64(sz), rx, ry, rz, dx2, dy2, dz2))
        q += np.uint64(sz)
        l = np.uint32(l + np.uint32(1))
    atomic_raise(rate, row, most)


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
    Arrays as in `transport_stage`, `is_air` as in `air_neighbours`; the sums are made in the type of `u`. On the GPU this waits
    for the result.
    """
    _, nz, _, ny, _, nx = interior(u)
    if nz * ny * nx == 0:
        return float("inf")
    dz, dy, dx = spacing
    rate = array_module(u).zeros(ny, u.dtype)
    arrays = (u, v, w, diffusivity, is_air, rate)
    scalars = (1 / dx, 1 / dy, 1 / dz, 0.5 / dx**2, 0.5 / dy**2, 0.5 / dz**2 if vertical_diffusion else 0.0)
    q0, sy, sz = strides(u)
    if on_gpu(*arrays):
        row_rates_gpu((ny, nx), *arrays, nz, q0, sy, sz, *scalars)
        rate = rate.get()
    else:
        kind = u.dtype.type
        _row_rates(*(a.reshape(-1) for a in arrays), nz, ny, nx, sy, sz, *(kind(x) for x in scalars))
    most = float(rate.max())
    return 1.0 / most if most > 0.0 else float("inf")
