"""Glass and the sun: what any number of panes lets through, throws back and takes up, by angle of incidence.

A plain pane follows from its refractive index n and its absorption K d (Fresnel, both polarisations, all inner reflections):

    r_s = (sin(t2 - t1) / sin(t2 + t1))^2,  r_p = (tan(t2 - t1) / tan(t2 + t1))^2,  sin t2 = sin t1 / n,  a = exp(-K d / cos t2)
    tau = a (1 - r)^2 / (1 - r^2 a^2),      rho = r (1 + a tau),                    alpha = 1 - tau - rho

Measured values at normal incidence give n and K d back. A coated pane has measured values only; by angle it follows a plain
clear pane (tau in proportion, rho between its own value and 1 as that of the clear one). Panes are put together by the net
radiation method: R_k, what panes k.. throw back together, then the light that reaches each,

    R_k = rho_f + tau^2 R_(k+1) / (1 - rho_b R_(k+1)),    I_(k+1) = tau I_k / (1 - rho_b R_(k+1)),    R_(n+1) = 0
    absorbed in k: I_k (1 - tau - rho_f) + R_(k+1) I_(k+1) (1 - tau - rho_b)

so transmission, reflection and absorption add up to 1. Parallel panes keep the polarisation of the light, so each polarisation
goes through the stack for itself; EnergyPlus, WINDOW and the tables of ASHRAE 140 average over both in every pane, which is
0.025 less for two clear panes at 70 degrees (`polarised=False`). Diffuse light is the cosine-weighted mean over the hemisphere.

References
----------
Duffie and Beckman (2013), Solar Engineering of Thermal Processes, 4th ed., 5.1-5.3. EnergyPlus Engineering Reference, "Window
calculation module": optical properties of glass layers, of glass layers by angle, of a stack.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from felsina.kernels._backend import cell, rows

N_ANGLE = 10  # 0, 10 .. 90 degrees
N_MEAN = 180  # angles of the hemispherical mean: half a degree; errs by 2e-5
PLAIN, COATED = 0, 1
CLEAR_INDEX, CLEAR_ABSORPTION = 1.526, 0.0457  # 3 mm float glass; K d from tau 0.834 and rho 0.075 at normal incidence
TRANSMITTED_TERMS, ABSORBED_TERMS = 5, 4  # of polynomials of the cosine of incidence
_GRID = 90  # angles of a fit


class Panes(NamedTuple):
    """Panes of a glazing from outside to inside, each (n_pane,).

    Attributes
    ----------
    kind : int64, PLAIN or COATED
    transmittance, front, back : solar, at normal incidence [1]; reflectances seen from outside and inside
    refraction, absorption : n [1] and K d [1] of a plain pane
    """

    kind: NDArray[np.int64]
    transmittance: NDArray[np.float64]
    front: NDArray[np.float64]
    back: NDArray[np.float64]
    refraction: NDArray[np.float64]
    absorption: NDArray[np.float64]


class Glazing(NamedTuple):
    """Solar properties of a glazing [1]; all count as shares of the light that falls on it.

    Attributes
    ----------
    transmittance, reflectance : (10,) at 0, 10 .. 90 degrees of incidence
    absorptance : (10, n_pane) taken up by each pane
    transmittance_diffuse, reflectance_diffuse : float, hemispherical
    absorptance_diffuse : (n_pane,)
    transmittance_terms : (5,) t_k of tau = sum t_k cos^k, k from 1
    absorptance_terms : (n_pane, 4) likewise
    """

    transmittance: NDArray[np.float64]
    reflectance: NDArray[np.float64]
    absorptance: NDArray[np.float64]
    transmittance_diffuse: float
    reflectance_diffuse: float
    absorptance_diffuse: NDArray[np.float64]
    transmittance_terms: NDArray[np.float64]
    absorptance_terms: NDArray[np.float64]


@cell
def fresnel(cosine, index):
    """Return the reflectance of a surface of glass for both polarisations [1] and the cosine within the glass."""
    sine2 = 1.0 - cosine * cosine
    inside = math.sqrt(1.0 - sine2 / (index * index))
    s = (cosine - index * inside) / (cosine + index * inside)
    p = (index * cosine - inside) / (index * cosine + inside)
    return s * s, p * p, inside


@cell
def plain_pane(r, a):
    """Return transmittance and reflectance of a pane from those of its surfaces r and of its body a [1]."""
    tau = a * (1.0 - r) * (1.0 - r) / (1.0 - r * r * a * a)
    return tau, r * (1.0 + a * tau)


@cell
def from_normal(transmittance, reflectance):
    """Return n [1] and K d [1] of a plain pane from its values at normal incidence."""
    beta = transmittance * transmittance - reflectance * reflectance + 2.0 * reflectance + 1.0
    r = (beta - math.sqrt(beta * beta - 4.0 * (2.0 - reflectance) * reflectance)) / (2.0 * (2.0 - reflectance))
    root = math.sqrt(r)
    return (1.0 + root) / (1.0 - root), -math.log((reflectance - r) / (r * transmittance))


@cell
def _pane(kind, tau0, front, back, index, absorption, cosine, polarisation):
    """Return transmittance, front and back reflectance of one pane for one polarisation (0 s, 1 p)."""
    n = index if kind == PLAIN else CLEAR_INDEX
    kd = absorption if kind == PLAIN else CLEAR_ABSORPTION
    rs, rp, inside = fresnel(cosine, n)
    tau, rho = plain_pane(rs if polarisation == 0 else rp, math.exp(-kd / inside))
    if kind == PLAIN:
        return tau, rho, rho
    r0, _, _ = fresnel(1.0, n)
    clear_tau, clear_rho = plain_pane(r0, math.exp(-kd))
    # Below zero where p-light is thrown back less than at normal incidence.
    toward = (rho - clear_rho) / (1.0 - clear_rho)
    tau = tau0 * tau / clear_tau
    rf, rb = max(0.0, front + (1.0 - front) * toward), max(0.0, back + (1.0 - back) * toward)
    return min(tau, 1.0 - max(rf, rb)), rf, rb


@rows
def _stack(kind, tau0, front, back, index, absorption, polarised, cosine, out):
    """Fill out (2 + n_pane) with transmittance, reflectance and absorptances at one angle."""
    n = kind.size
    t, f, b, behind = np.empty(n), np.empty(n), np.empty(n), np.zeros(n + 1)
    out[:] = 0.0
    for polarisation in range(2):
        for k in range(n):
            t[k], f[k], b[k] = _pane(kind[k], tau0[k], front[k], back[k], index[k], absorption[k], cosine, polarisation)
            if not polarised:
                other = _pane(kind[k], tau0[k], front[k], back[k], index[k], absorption[k], cosine, 1 - polarisation)
                t[k], f[k], b[k] = 0.5 * (t[k] + other[0]), 0.5 * (f[k] + other[1]), 0.5 * (b[k] + other[2])
        for k in range(n - 1, -1, -1):
            behind[k] = f[k] + t[k] * t[k] * behind[k + 1] / (1.0 - b[k] * behind[k + 1])
        light = 1.0
        for k in range(n):
            onward = t[k] * light / (1.0 - b[k] * behind[k + 1])
            out[2 + k] += 0.5 * (light * (1.0 - t[k] - f[k]) + behind[k + 1] * onward * (1.0 - t[k] - b[k]))
            light = onward
        out[0] += 0.5 * light
        out[1] += 0.5 * behind[0]


@rows
def _solve(matrix, vector):
    """Solve a small positive definite system in place, by elimination without pivoting."""
    n = vector.size
    for p in range(n):
        for q in range(p + 1, n):
            share = matrix[q, p] / matrix[p, p]
            for m in range(p, n):
                matrix[q, m] -= share * matrix[p, m]
            vector[q] -= share * vector[p]
    for p in range(n - 1, -1, -1):
        for m in range(p + 1, n):
            vector[p] -= matrix[p, m] * vector[m]
        vector[p] /= matrix[p, p]


@rows
def _fit(cosine, value, terms):
    """Fit sum terms_k cosine^(k + 1), least squares weighted by the cosine: what counts is the light on the glass."""
    n = terms.size
    matrix, vector = np.zeros((n, n)), np.zeros(n)
    power = np.empty(n)
    for i in range(cosine.size):
        power[0] = cosine[i]
        for k in range(1, n):
            power[k] = power[k - 1] * cosine[i]
        for p in range(n):
            vector[p] += cosine[i] * power[p] * value[i]
            for q in range(n):
                matrix[p, q] += cosine[i] * power[p] * power[q]
    _solve(matrix, vector)
    for k in range(n):
        terms[k] = vector[k]


@rows
def _solve_glazing(kind, tau0, front, back, index, absorption, polarised, table, diffuse, t_terms, a_terms):
    n = kind.size
    step = 0.5 * math.pi / (N_ANGLE - 1)
    for i in range(N_ANGLE - 1):
        _stack(kind, tau0, front, back, index, absorption, polarised, math.cos(i * step), table[i])
    table[N_ANGLE - 1, :] = 0.0
    table[N_ANGLE - 1, 1] = 1.0
    one = np.empty(2 + n)
    for m in range(N_MEAN):
        angle = (m + 0.5) * 0.5 * math.pi / N_MEAN
        # Share of the hemisphere's light between two angles: the difference of their squared sines.
        low, high = math.sin(m * 0.5 * math.pi / N_MEAN), math.sin((m + 1) * 0.5 * math.pi / N_MEAN)
        _stack(kind, tau0, front, back, index, absorption, polarised, math.cos(angle), one)
        for k in range(2 + n):
            diffuse[k] += (high * high - low * low) * one[k]
    cosine, value = np.empty(_GRID), np.empty((2 + n, _GRID))
    for m in range(_GRID):
        cosine[m] = math.cos((m + 0.5) * 0.5 * math.pi / _GRID)
        _stack(kind, tau0, front, back, index, absorption, polarised, cosine[m], one)
        value[:, m] = one
    _fit(cosine, value[0], t_terms)
    for k in range(n):
        _fit(cosine, value[2 + k], a_terms[k])


def fit_terms(cosine: ArrayLike, value: ArrayLike, n_term: int = TRANSMITTED_TERMS) -> NDArray[np.float64]:
    """Fit value = sum_k terms_k cosine^k, k from 1, to a table by angle, such as that of a standard: (n_term,).

    Least squares weighted by the cosine. The table has to cover normal incidence to 80 degrees at least, evenly.
    """
    c, v = np.ascontiguousarray(cosine, np.float64).ravel(), np.ascontiguousarray(value, np.float64).ravel()
    out = np.zeros(n_term)
    _fit(c, v, out)
    return out


@rows
def _indices(kind, transmittance, front, index, absorption):
    for k in range(kind.size):
        index[k], absorption[k] = CLEAR_INDEX, CLEAR_ABSORPTION
        if kind[k] == PLAIN:
            index[k], absorption[k] = from_normal(transmittance[k], front[k])


def panes(transmittance: ArrayLike, front: ArrayLike, back: ArrayLike, coated: ArrayLike) -> Panes:
    """Describe panes by their solar values at normal incidence, outside to inside.

    Parameters
    ----------
    transmittance, front, back : (n_pane,) float
        Transmittance and reflectances from outside and inside [1]; a plain pane has front = back > 0.
    coated : (n_pane,) bool
    """
    t, f, b = (np.atleast_1d(np.asarray(v, np.float64)).copy() for v in (transmittance, front, back))
    kind = np.where(np.atleast_1d(np.asarray(coated, np.bool_)), COATED, PLAIN).astype(np.int64)
    index, absorption = np.empty(t.size), np.empty(t.size)
    _indices(kind, t, f, index, absorption)
    return Panes(kind, t, f, b, index, absorption)


def plain_panes(index: ArrayLike, absorption: ArrayLike) -> Panes:
    """Describe plain panes by refractive index n [1] and absorption K d [1], each (n_pane,)."""
    n, kd = (np.atleast_1d(np.asarray(v, np.float64)).copy() for v in (index, absorption))
    unknown = np.zeros(n.size)
    return Panes(np.full(n.size, PLAIN), unknown, unknown, unknown, n, kd)


def solve_glazing(layers: Panes, polarised: bool = True) -> Glazing:
    """Compute transmission, reflection and absorption of a glazing by angle, for diffuse light, and as polynomials.

    The polynomials tau = sum_k t_k cos^k (5 terms) and alpha = sum_k a_k cos^k (4 terms) are what the zone takes: no table is
    looked up in its loop. Up to 80 degrees they err by 0.006 and 0.014 at most for one to three panes.

    Parameters
    ----------
    layers : Panes
        From `panes` or `plain_panes`, outside to inside.
    polarised : bool
        Whether each polarisation goes through the stack for itself; if not, panes have the mean of both.

    Returns
    -------
    Glazing
    """
    n = layers.kind.size
    table, diffuse = np.zeros((N_ANGLE, 2 + n)), np.zeros(2 + n)
    t_terms, a_terms = np.zeros(TRANSMITTED_TERMS), np.zeros((n, ABSORBED_TERMS))
    _solve_glazing(*layers, bool(polarised), table, diffuse, t_terms, a_terms)
    return Glazing(table[:, 0], table[:, 1], table[:, 2:], float(diffuse[0]), float(diffuse[1]), diffuse[2:], t_terms, a_terms)


@rows
def _at_angles(kind, tau0, front, back, index, absorption, polarised, cosine, out):
    for i in range(cosine.size):
        _stack(kind, tau0, front, back, index, absorption, polarised, cosine[i], out[i])


def glazing_at(layers: Panes, cosine: ArrayLike, polarised: bool = True) -> NDArray[np.float64]:
    """Compute (n, 2 + n_pane) transmittance, reflectance and absorptance of each pane [1] at cosines of incidence (n,), > 0."""
    c = np.ascontiguousarray(cosine, np.float64).ravel()
    out = np.empty((c.size, 2 + layers.kind.size))
    _at_angles(*layers, bool(polarised), c, out)
    return out


def window_numbers(glazing: Glazing) -> dict[str, float]:
    """Return the numbers of `iso52016_rows.WINDOW` that a glazing gives: transmitted, absorbed at the outer and the inner node.

    The outermost pane belongs to the outer node, the innermost to the inner one; what a pane between takes up is shared by
    how many gaps lie on either side (a middle pane of three gives half to each). A single pane gives half to each face.
    """
    n = len(glazing.absorptance_diffuse)
    inner = [0.5] if n == 1 else [k / (n - 1) for k in range(n)]
    numbers = {f"transmittance_{k + 1}": float(t) for k, t in enumerate(glazing.transmittance_terms)}
    numbers["transmittance_diffuse"] = glazing.transmittance_diffuse
    for name, shares in (("outer", [1.0 - i for i in inner]), ("inner", inner)):
        for k in range(ABSORBED_TERMS):
            numbers[f"{name}_{k + 1}"] = sum(s * float(a) for s, a in zip(shares, glazing.absorptance_terms[:, k], strict=True))
        numbers[f"{name}_diffuse"] = sum(s * float(a) for s, a in zip(shares, glazing.absorptance_diffuse, strict=True))
    return numbers
