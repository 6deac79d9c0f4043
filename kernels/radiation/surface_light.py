"""Light of an hour on walls and through windows, from the sunlit shares of representative days: what a zone takes as a stream.

    wall     I = P bn + max(d0 v_s + d1 v_h, 0) + gr v_r
    window   J = P bn f tau(c) + [max(d0 v_s f_s + d1 v_h f_h, 0) + gr v_r f_g] tau_d

P projected sunlit share of the element for the row of the hour, bn beam, v views (`surface_irradiance`), c cosine of incidence
on the element's mean normal, tau polynomials of the glass (`energy.glazing`), f and f_s, f_h, f_g sunlit share and diffuse
shares behind overhang and fins (`devices`).
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange
from numpy.typing import ArrayLike, NDArray

from felsina.kernels._backend import cell, threads

N_NUMBER = 16  # of a glazing: 5 + 1 of transmission, 4 + 1 of the outer and of the inner node
STREAM = ("transmitted", "outer", "inner")
_LEAST_COSINE = 0.05  # of a beam that reaches some points of an element whose mean normal looks away


@cell
def beam_of(row, projected, group, strength):
    """Return the direct irradiance of a group [W m-2]."""
    return projected[row, group] * strength if row >= 0 else 0.0


@threads
def _walls(sky, row, projected, views, out):
    for i in prange(sky.shape[0]):
        bn, d0, d1, gr = sky[i, 3], sky[i, 4], sky[i, 5], sky[i, 6]
        for g in range(views.shape[0]):
            dome = max(d0 * views[g, 0] + d1 * views[g, 1], 0.0) + gr * views[g, 4]
            out[i, g] = np.float32(beam_of(row[i], projected, g, bn) + dome)


def wall_light(sky: ArrayLike, row: ArrayLike, projected: NDArray[np.float32], views: ArrayLike) -> NDArray[np.float32]:
    """Compute the irradiance of elements by the step.

    Parameters
    ----------
    sky : (n_step, 7) float
        Mean of the sub-steps, `transposition.mean_sky` [W m-2].
    row : (n_step,) int
        Row of `projected` of each step, -1 where the sun is down.
    projected : (n_row, n_element) float32
        From `shaded_beam` [1].
    views : (n_element, 5) float
        `surface_irradiance.VIEWS` [1].

    Returns
    -------
    (n_step, n_element) float32 [W m-2]
    """
    s, v = np.ascontiguousarray(sky, np.float64), np.ascontiguousarray(views, np.float64)
    out = np.zeros((s.shape[0], v.shape[0]), np.float32)
    if out.size:
        _walls(s, np.ascontiguousarray(row, np.int64), np.ascontiguousarray(projected), v, out)
    return out


@cell
def _beam_share(numbers, q, first, n_term, c):
    """Return sum_k numbers_k c^k, k from 1."""
    total = 0.0
    for k in range(n_term - 1, -1, -1):
        total = c * (numbers[q, first + k] + total)
    return total


@threads
def _windows(sky, row, projected, normal, views, element, numbers, sunlit, shares, out):
    for i in prange(sky.shape[0]):
        bn, d0, d1, gr = sky[i, 3], sky[i, 4], sky[i, 5], sky[i, 6]
        for q in range(element.size):
            g = element[q]
            direct = beam_of(row[i], projected, g, bn)
            if sunlit.shape[0] > 0:
                direct *= sunlit[i, q]
            c = 0.0
            if direct > 0.0:
                x, y, z = normal[g, 0], normal[g, 1], normal[g, 2]
                length = math.sqrt(x * x + y * y + z * z)
                c = (x * sky[i, 0] + y * sky[i, 1] + z * sky[i, 2]) / (length * bn) if length > 0.0 else 1.0
                c = min(1.0, max(_LEAST_COSINE, c))
            dome = max(d0 * views[g, 0] * shares[q, 0] + d1 * views[g, 1] * shares[q, 1], 0.0)
            dome += gr * views[g, 4] * shares[q, 2]
            out[i, q, 0] = np.float32(direct * _beam_share(numbers, q, 0, 5, c) + dome * numbers[q, 5])
            out[i, q, 1] = np.float32(direct * _beam_share(numbers, q, 6, 4, c) + dome * numbers[q, 10])
            out[i, q, 2] = np.float32(direct * _beam_share(numbers, q, 11, 4, c) + dome * numbers[q, 15])


def window_light(
    sky: ArrayLike,
    row: ArrayLike,
    projected: NDArray[np.float32],
    normal: ArrayLike,
    views: ArrayLike,
    element: ArrayLike,
    numbers: ArrayLike,
    sunlit: ArrayLike | None = None,
    shares: ArrayLike | None = None,
) -> NDArray[np.float32]:
    """Compute what windows let through and take up by the step: the stream of a zone.

    Parameters
    ----------
    sky, row, projected, views : as in `wall_light`
    normal : (n_element, 3) float
        Mean normal of the elements [1].
    element : (n_window,) int
        Element that each window lies in.
    numbers : (n_window, 16) float
        Values of `glazing.window_numbers` in their order: transmittance_1 .. 5, transmittance_diffuse, outer_1 .. 4,
        outer_diffuse, inner_1 .. 4, inner_diffuse [1].
    sunlit : (n_step, n_window) float
        Sunlit share behind devices (`devices.sunlit_fraction`) [1]; 1 where missing.
    shares : (n_window, 3) float
        `devices.diffuse_shares` [1]; 1 where missing.

    Returns
    -------
    (n_step, n_window, 3) float32
        `STREAM` [W per m2 of glass].
    """
    s, v = np.ascontiguousarray(sky, np.float64), np.ascontiguousarray(views, np.float64)
    at = np.ascontiguousarray(element, np.int64)
    glass = np.ascontiguousarray(numbers, np.float64).reshape(at.size, N_NUMBER)
    lit = np.zeros((0, 0)) if sunlit is None else np.ascontiguousarray(sunlit, np.float64)
    kept = np.ones((at.size, 3)) if shares is None else np.ascontiguousarray(shares, np.float64)
    out = np.zeros((s.shape[0], at.size, len(STREAM)), np.float32)
    if out.size:
        _windows(
            s, np.ascontiguousarray(row, np.int64), np.ascontiguousarray(projected), np.ascontiguousarray(normal, np.float64),
            v, at, glass, lit, kept, out,
        )  # fmt: skip
    return out
