"""Whether two sets of heights of the same places share their datum and their unit."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows

Integers = NDArray[np.int64]

FOOT = 0.3048  # [m] international foot; the US survey foot differs by 2 in a million
AGREES, FEET_FOUND, FEET_KNOWN, ELLIPSOID, OFFSET, UNRELATED, TOO_FEW = range(7)
FEWEST = 5  # places that tell anything
# Extremes of the geoid above the ellipsoid (EGM2008): -107 m south of India, 86 m north of New Guinea.
GEOID_LOW_M, GEOID_HIGH_M = -107.0, 86.0
LEAST_UNDULATION_M = 5.0  # smaller constant offsets are datums of levelling, not ellipsoid against geoid
CONSTANT_M = 1.0  # a spread up to this is a constant offset: attributes are rounded, and footprints reach over steps


class HeightDifference(NamedTuple):
    """Found less known heights: places, median [m], normalised median absolute deviation [m], and what it looks like.

    verdict : AGREES; FEET_FOUND, the found heights are feet taken for metres; FEET_KNOWN, the known ones are; ELLIPSOID, a
    constant offset as between heights above the ellipsoid and above the geoid; OFFSET, another constant one; UNRELATED;
    TOO_FEW.
    """

    n: int
    median: float
    deviation: float
    verdict: int


def compare_heights(found: Integers, known: Integers, tolerance_m: float) -> HeightDifference:
    """Compare heights found with heights known of the same places, by medians.

    The normalised median absolute deviation is 1.4826 times the median absolute deviation (Hoehle and Hoehle 2009,
    doi:10.1016/j.isprsjprs.2009.02.003).

    Parameters
    ----------
    found, known : (n,) int64
        Heights [mm]; pairs, in any order.
    tolerance_m : float
        Largest median difference of heights that agree [m].
    """
    if len(found) < FEWEST:
        return HeightDifference(len(found), math.nan, math.nan, TOO_FEW)
    median, deviation = _centre(found, known, 1.0, 1.0)
    made = HeightDifference(len(found), median, deviation, AGREES)
    if abs(median) <= tolerance_m:
        return made
    looks_like_geoid = GEOID_LOW_M <= median <= GEOID_HIGH_M and abs(median) >= LEAST_UNDULATION_M
    for verdict, factors in ((FEET_FOUND, (FOOT, 1.0)), (FEET_KNOWN, (1.0, FOOT))):
        centre, spread = _centre(found, known, *factors)
        # Where the ground is level, a constant offset and a factor look alike: then the geoid decides.
        if abs(centre) <= tolerance_m and (spread < 0.7 * deviation or not looks_like_geoid):
            return made._replace(verdict=verdict)
    if deviation > CONSTANT_M:
        return made._replace(verdict=UNRELATED)
    return made._replace(verdict=ELLIPSOID if looks_like_geoid else OFFSET)


@rows
def _centre(found, known, factor_found, factor_known):
    """Return median and normalised median absolute deviation [m] of the scaled difference."""
    n = len(found)
    d = np.empty(n)
    for i in range(n):
        d[i] = found[i] * 1e-3 * factor_found - known[i] * 1e-3 * factor_known
    d = np.sort(d)
    median = 0.5 * (d[(n - 1) // 2] + d[n // 2])
    for i in range(n):
        d[i] = abs(d[i] - median)
    d = np.sort(d)
    return median, 1.4826 * 0.5 * (d[(n - 1) // 2] + d[n // 2])
