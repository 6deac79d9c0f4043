"""The identity of inputs by what they say: order of points and features, cut into files and ranks do not matter."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.io.las import Points
from felsina.engine.io.vector import Footprints
from felsina.engine.parallel.world import World

_COLUMNS = ("x", "y", "z", "classification", "return_number", "number_of_returns")
# Two streams make 128 bits; odd constants of SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195).
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SEEDS = (np.uint64(0x243F6A8885A308D3), np.uint64(0x13198A2E03707344))


class PointDigest:
    """Sums the hashes of points modulo 2**64: addition knows no order."""

    def __init__(self) -> None:
        self._sums = np.zeros(3, np.uint64)

    def add(self, points: Points) -> None:
        """Take some points; each counts once, wherever it comes."""
        columns = [getattr(points, name) for name in _COLUMNS]
        for k, seed in enumerate(_SEEDS):
            state = np.full(len(points), seed)
            for column in columns:
                state = _mixed(state ^ column.astype(np.int64).view(np.uint64))
            self._sums[k : k + 1] += np.add.reduce(state)  # an array wraps round silently, as it should
        self._sums[2:] += np.uint64(len(points))

    def over(self, world: World) -> str:
        """Return the digest of the points of all ranks; collective."""
        first, second, count = (int(v) for v in world.reduce_exact(self._sums.copy(), "sum"))
        return f"points:{first:016x}{second:016x}:{count}"


def features_digest(geometry: Sequence[Sequence[Any]], columns: Iterable[Sequence[Any]] = ()) -> str:
    """Return the digest of features: the SHA-256 of their sorted SHA-256.

    Parameters
    ----------
    geometry : parts of each feature, shapely polygons; empty where it was refused
    columns : values of each feature, as far as they can change a result
    """
    texts = [tuple(map(str, values)) for values in zip(*columns, strict=True)] or [()] * len(geometry)
    rows = []
    for parts, text in zip(geometry, texts, strict=True):
        row = hashlib.sha256(repr(text).encode())
        for part in parts:
            row.update(part.wkb)
        rows.append(row.hexdigest())
    return f"features:{hashlib.sha256(''.join(sorted(rows)).encode()).hexdigest()}:{len(rows)}"


def footprints_digest(footprints: Footprints) -> str:
    """Return the digest of footprints with their identifiers, outcomes and attributes."""
    columns = [footprints.ids, footprints.reason.tolist()]
    columns += [[name] * len(footprints) for name in sorted(footprints.attributes)]
    columns += [footprints.attributes[name].tolist() for name in sorted(footprints.attributes)]
    return features_digest(footprints.geometry, columns)


def _mixed(state: NDArray[Any]) -> NDArray[np.uint64]:
    z = state + _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _MIX[0]
    z = (z ^ (z >> np.uint64(27))) * _MIX[1]
    return np.asarray(z ^ (z >> np.uint64(31)), np.uint64)
