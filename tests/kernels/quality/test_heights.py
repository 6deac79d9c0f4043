"""Heights of one place by two sources: datum, geoid, feet."""

from __future__ import annotations

import numpy as np
import pytest

from felsina.kernels.quality.heights import (
    AGREES,
    ELLIPSOID,
    FEET_FOUND,
    FEET_KNOWN,
    FOOT,
    OFFSET,
    TOO_FEW,
    UNRELATED,
    compare_heights,
)

KNOWN = 55.0 + np.random.default_rng(0).normal(0, 6.0, 300)  # m: a town on a plain beside hills
NOISE = np.random.default_rng(1).normal(0, 0.15, 300)


@pytest.mark.parametrize(
    ("found", "known", "verdict"),
    [
        (KNOWN + NOISE, KNOWN, AGREES),
        (KNOWN + NOISE + 40.2, KNOWN, ELLIPSOID),  # Bologna: the geoid lies about 40 m above the ellipsoid
        (KNOWN + NOISE - 33.0, KNOWN, ELLIPSOID),
        (KNOWN + NOISE - 2.31, KNOWN, OFFSET),  # DNG and TAW, two datums of Belgium
        ((KNOWN + NOISE) / FOOT, KNOWN, FEET_FOUND),
        (KNOWN + NOISE, KNOWN / FOOT, FEET_KNOWN),
        (KNOWN[::-1] + 20.0, KNOWN, UNRELATED),
        (KNOWN[:4], KNOWN[:4], TOO_FEW),
    ],
)
def test_each_cause_has_its_verdict(found, known, verdict):
    a, b = (np.rint(v * 1000).astype(np.int64) for v in (found, known))
    made = compare_heights(a, b, 0.5)
    assert made.verdict == verdict
    order = np.random.default_rng(2).permutation(len(a))
    np.testing.assert_equal(compare_heights(a[order], b[order], 0.5), made)


def test_on_level_ground_an_undulation_is_not_taken_for_feet():
    # 18 m in feet is 59 m: 41 m more, which is Bologna's geoid too. Without relief the geoid is the likelier cause.
    level = 18_000 + np.random.default_rng(3).integers(-100, 100, 200)
    assert compare_heights(level + 41_000, level, 0.5).verdict == ELLIPSOID


def test_median_and_deviation_are_those_of_the_differences():
    d = np.rint(np.random.default_rng(4).normal(3_000, 200, 20_001)).astype(np.int64)
    made = compare_heights(d, np.zeros_like(d), 0.5)
    assert made.median == pytest.approx(np.median(d) / 1000, abs=1e-9)
    assert made.deviation == pytest.approx(0.2, rel=0.03)  # of normal errors: their standard deviation
