"""Height differences between flight strips where they overlap on smooth ground, from whole numbers that only add up.

A tally holds, for every cell and label, the number, sum and sum of squares of heights: three integers that the tallies of
rounds, tiles and ranks add up to, so that nothing depends on how the points came. A label is a strip, or the second of GPS time
where the files name no strips: a strip passes over a cell within a second or two, and `strips_of_seconds` joins seconds
afterwards.

A cell is used for a pair of strips where both have enough returns and both are smooth: their own standard deviation is small.
Each strip is judged by itself, so that the choice does not know the difference it is made for.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows

Integers = NDArray[np.int64]

LABELS = 65536  # labels are 16 bits wide, as the point source id of LAS
REACH_MM = 1000  # of the histogram of differences; larger ones count as this large
MIN_RETURNS = 3  # of a strip in a cell
SMOOTH_MM = 50  # largest standard deviation of a strip's returns in a cell: range noise on a slope of 10 %, no kerb and no car
GAP_S = 8  # seconds without a return that part two strips: an aircraft takes minutes to turn


class StripTally(NamedTuple):
    """Heights by cell and label, keys ascending and each once.

    key : (n,) int64
        Cell times `LABELS` plus label.
    n_return, total, square : (n,) int64
        Returns, sum of their heights [mm] and of their squares [mm2], about a height that all tallies share.
    """

    key: Integers
    n_return: Integers
    total: Integers
    square: Integers


class StripDifferences(NamedTuple):
    """Differences of the mean heights of pairs of strips; one row a pair, ordered by first, then second strip.

    first, second : (n_pair,) int64
        Labels of the strips, first < second.
    histogram : (n_pair, 2 REACH_MM + 1) int64
        Cells by the height of the second above the first strip, from -REACH_MM to REACH_MM [mm].
    square : (n_pair,) int64
        Sum of the squared differences [mm2].
    """

    first: Integers
    second: Integers
    histogram: Integers
    square: Integers


class MisfitFigures(NamedTuple):
    """Summary of differences: cells, median, root mean square and 95th percentile of the absolute difference [m].

    NaN without cells. Whole millimetres picked from the histogram, but for the root mean square.
    """

    n_cell: int
    median: float
    root_mean_square: float
    percentile_95: float


def empty_tally() -> StripTally:
    """Return the tally before the first point."""
    return StripTally(*(np.empty(0, np.int64) for _ in StripTally._fields))


def tally_strips(cells: Integers, label: NDArray[np.integer], z: NDArray[np.integer], datum_mm: int = 0) -> StripTally:
    """Tally a batch of returns.

    Parameters
    ----------
    cells : (n,) int64
        Number of the cell that holds each return, row times columns plus column, below 2**46.
    label : (n,) integer
        Strip, 0 to 65,535.
    z : (n,) integer
        Heights [mm].
    datum_mm : int
        Subtracted from all heights; the same for all tallies that are merged. Returns of a cell times height about it stay
        below 3e9 mm, such as 700 returns at 4 km.
    """
    height = z.astype(np.int64) - datum_mm
    return _merged(cells.astype(np.int64) * LABELS + label.astype(np.int64), np.ones(len(z), np.int64), height, height * height)


def merge_tallies(*tallies: StripTally) -> StripTally:
    """Add tallies of rounds, tiles or ranks up: the tally that one pass over all their points gives."""
    return _merged(*(np.concatenate(columns) for columns in zip(*tallies, strict=True)))


def relabelled(tally: StripTally, label_of: Integers) -> StripTally:
    """Return the tally with other labels, (LABELS,) int64 `label_of`; returns whose labels become one are added up."""
    key = tally.key // LABELS * LABELS + label_of[tally.key % LABELS]
    return _merged(key, tally.n_return, tally.total, tally.square)


def labels_seen(tally: StripTally) -> NDArray[np.bool_]:
    """Return (LABELS,) which labels the tally holds; tallies of ranks join by `or`."""
    seen = np.zeros(LABELS, np.bool_)
    seen[tally.key % LABELS] = True
    return seen


def strips_of_seconds(seen: NDArray[np.bool_], gap_s: int = GAP_S) -> Integers:
    """Join seconds of GPS time to strips: a strip ends where no return came for `gap_s` seconds.

    Seconds are those of GPS time modulo `LABELS`, 18 hours: flights that many hours apart may share a strip, and what they
    differ by is then not seen. The clock is a circle here; the strip that runs over its end is one.

    Parameters
    ----------
    seen : (LABELS,) bool
        Seconds in which returns came, on any rank.

    Returns
    -------
    (LABELS,) int64
        Number of the strip of each second, from 1; 0 for seconds without returns.
    """
    out = np.zeros(LABELS, np.int64)
    seconds = np.flatnonzero(seen)
    if len(seconds) == 0:
        return out
    begins = np.append(True, np.diff(seconds) > gap_s)
    strip = np.cumsum(begins)
    if strip[-1] > 1 and seconds[0] + LABELS - seconds[-1] <= gap_s:
        strip[strip == strip[-1]] = 1
    out[seconds] = strip
    return out


def strip_differences(tally: StripTally, min_returns: int = MIN_RETURNS, smooth_mm: int = SMOOTH_MM) -> StripDifferences:
    """Compare the strips of each cell, pair by pair.

    Parameters
    ----------
    tally : StripTally
        Of strips; each cell whole, that is on the rank that owns it.
    min_returns : int
        Fewest returns of a strip in a cell.
    smooth_mm : int
        Largest standard deviation of a strip's returns in a cell [mm].
    """
    good = _is_smooth(tally.n_return, tally.total, tally.square, min_returns, smooth_mm)
    where, label = tally.key[good] // LABELS, tally.key[good] % LABELS
    pair, difference = _pairs(where, label, tally.n_return[good], tally.total[good])
    names, inverse = np.unique(pair, return_inverse=True)
    histogram, square = np.zeros((len(names), 2 * REACH_MM + 1), np.int64), np.zeros(len(names), np.int64)
    _fill(inverse.astype(np.int64), difference, histogram, square)
    return StripDifferences(names // LABELS, names % LABELS, histogram, square)


def merge_differences(*parts: StripDifferences) -> StripDifferences:
    """Add the differences of tiles or ranks up."""
    pairs = np.concatenate([p.first * LABELS + p.second for p in parts])
    names, inverse = np.unique(pairs, return_inverse=True)
    histogram, square = np.zeros((len(names), 2 * REACH_MM + 1), np.int64), np.zeros(len(names), np.int64)
    np.add.at(histogram, inverse, np.concatenate([p.histogram for p in parts]))
    np.add.at(square, inverse, np.concatenate([p.square for p in parts]))
    return StripDifferences(names // LABELS, names % LABELS, histogram, square)


def summarise(histogram: Integers, square: int) -> MisfitFigures:
    """Return the figures of one pair, or of all: of the sum of their rows, (2 REACH_MM + 1,)."""
    n = int(histogram.sum())
    if n == 0:
        return MisfitFigures(0, math.nan, math.nan, math.nan)
    signed = np.cumsum(histogram)
    middle = int(np.searchsorted(signed, (n + 1) // 2)) - REACH_MM
    folded = histogram[REACH_MM:].copy()
    folded[1:] += histogram[:REACH_MM][::-1]
    high = int(np.searchsorted(np.cumsum(folded), (19 * n + 19) // 20))
    return MisfitFigures(n, middle * 1e-3, math.sqrt(int(square) / n) * 1e-3, high * 1e-3)


def _merged(key: Integers, n_return: Integers, total: Integers, square: Integers) -> StripTally:
    """Add up rows of one key."""
    if len(key) == 0:
        return empty_tally()
    order = np.argsort(key, kind="stable")
    key = key[order]
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    return StripTally(key[first], *(np.add.reduceat(v[order], first) for v in (n_return, total, square)))


@cell
def _half_up(numerator, denominator):
    """Return numerator / denominator rounded to the nearest whole number, halves up, for a positive denominator."""
    return (2 * numerator + denominator) // (2 * denominator)


@rows
def _is_smooth(count, total, square, min_returns, smooth):
    out = np.zeros(len(count), np.bool_)
    for k in range(len(count)):
        n = count[k]
        # n sum(z2) - sum(z)2 = n (n - 1) s2, in whole numbers
        out[k] = n >= min_returns and n * square[k] - total[k] * total[k] <= n * (n - 1) * smooth * smooth
    return out


@rows
def _pairs(where, label, count, total):
    """Return the pairs of strips that share cells and the difference of their means [mm], cell by cell."""
    n, a = 0, 0
    for turn in range(2):
        if turn == 1:
            pair, difference = np.empty(n, np.int64), np.empty(n, np.int64)
        n, a = 0, 0
        while a < len(where):
            b = a + 1
            while b < len(where) and where[b] == where[a]:
                b += 1
            for i in range(a, b):
                for j in range(i + 1, b):
                    if turn == 1:
                        pair[n] = label[i] * LABELS + label[j]
                        both = count[i] * count[j]
                        difference[n] = _half_up(total[j] * count[i] - total[i] * count[j], both)
                    n += 1
            a = b
    return pair, difference


@rows
def _fill(row, difference, histogram, square):
    for k in range(len(row)):
        d = min(max(difference[k], -REACH_MM), REACH_MM)
        histogram[row[k], d + REACH_MM] += 1
        square[row[k]] += d * d
