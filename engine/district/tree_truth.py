"""How far a table of trees is from the trees of the district. Plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_HEIGHT = 2.0  # m; what is lower is a bush, and no canopy
NEAR = 2.0  # m that a tree found may stand from a true one, or half its crown's radius where that is more
# What each figure should reach. One tree in ten of the district's parks grows below the crown of another: a survey sees one.
TARGETS = {
    "crown F1": 0.90,
    "tree height error, median": 0.30,
    "tree height error, p95": 1.00,
    "crown base error, median": 0.60,
    "crown base error, p95": 1.50,
    "crown diameter error, median": 0.30,
    "crown diameter error, p95": 1.50,
}


def match_trees(
    truth: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    found: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair trees, each with one at most, the nearest first.

    Parameters
    ----------
    truth : x, y and crown diameter, (n,) each [m]
    found : x, y, (m,) each [m]

    Returns
    -------
    (k,) int64 rows of truth, (k,) int64 rows of found
    """
    x, y, diameter = truth
    order = np.argsort(found[0], kind="stable")
    sorted_x = found[0][order]
    candidates: list[tuple[int, int, int]] = []
    for i in range(len(x)):
        limit = max(NEAR, 0.25 * float(diameter[i]))
        near = order[np.searchsorted(sorted_x, x[i] - limit) : np.searchsorted(sorted_x, x[i] + limit, side="right")]
        dx, dy = found[0][near] - x[i], found[1][near] - y[i]
        d2 = dx * dx + dy * dy
        candidates += [(round(1e6 * d), i, int(k)) for d, k in zip(d2.tolist(), near, strict=True) if d <= limit * limit]
    pairs: list[tuple[int, int]] = []
    true_taken, found_taken = set(), set()
    for _, i, k in sorted(candidates):
        if i not in true_taken and k not in found_taken:
            true_taken.add(i)
            found_taken.add(k)
            pairs.append((i, k))
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def compare_trees(
    truth: Sequence[Mapping[str, Any]], results: Mapping[str, NDArray[Any]], bounds: tuple[float, float, float, float]
) -> list[tuple[str, float, str, float]]:
    """Compare a table of trees with the truth.

    Parameters
    ----------
    truth : the rows `trees` of what `engine.district.truth.truth_record` returns
    results : `tree_x`, `tree_y` [m in the CRS], `tree_height`, `crown_base_height`, `crown_diameter` [m], (m,) each
    bounds : (west, south, east, north) of the survey [m]; true trees outside are not asked for

    Returns
    -------
    list of (metric, value, unit, target)
        F1 of true trees of at least 2 m and trees found; absolute errors of the pairs. F1 should lie above its target, the
        errors below.
    """
    names = ("x", "y", "height_m", "crown_base_m", "crown_diameter_m")
    x, y, height, base, diameter = (np.array([t[name] for t in truth], np.float64) for name in names)
    west, south, east, north = bounds
    asked = (height >= MIN_HEIGHT) & (x >= west) & (x < east) & (y >= south) & (y < north)
    true = {"tree_height": height[asked], "crown_base_height": base[asked], "crown_diameter": diameter[asked]}
    found = {name: np.asarray(values, np.float64) for name, values in results.items()}
    i, k = match_trees((x[asked], y[asked], diameter[asked]), (found["tree_x"], found["tree_y"]))
    total = int(asked.sum()) + len(found["tree_x"])
    rows = [("crown F1", 2.0 * len(i) / total if total else float("nan"), "1", TARGETS["crown F1"])]
    words = {"tree_height": "tree height", "crown_base_height": "crown base", "crown_diameter": "crown diameter"}
    for name, word in words.items():
        error = np.sort(np.abs(found[name][k] - true[name][i]))
        error = error[np.isfinite(error)]
        for label, share in (("median", 0.5), ("p95", 0.95)):
            metric = f"{word} error, {label}"
            value = float(error[max(0, int(np.ceil(share * error.size)) - 1)]) if error.size else float("nan")
            rows.append((metric, value, "m", TARGETS[metric]))
    return rows
