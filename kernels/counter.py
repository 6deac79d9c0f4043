"""Random numbers by counter: a draw is a function of its key and its place, of nothing that happened before.

Philox4x32-10 has no state, so a block of houses or a laser pulse gets the same numbers whatever is drawn beside it, in whatever
order and on however many threads.

References
----------
Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3. SC'11, doi:10.1145/2063384.2063405.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows, threads

_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)
# Multipliers and Weyl increments of Philox4x32 (Salmon et al. 2011, section 4.3 and their Random123 1.0).
_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)


@cell
def philox(c0, c1, c2, c3, k0, k1):
    """Return the four 32-bit words (held in uint64) of Philox4x32-10 for a counter of four words and a key of two."""
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> _WORD) ^ c1 ^ k0, p1 & _LOW, (p0 >> _WORD) ^ c3 ^ k1, p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@cell
def unit(word):
    """Return a 32-bit word as a number of the open interval (0, 1)."""
    return (np.float64(word) + 0.5) * 2.0**-32


@cell
def normal_pair(word0, word1):
    """Return two independent standard normal numbers from two 32-bit words (Box and Muller 1958)."""
    radius = math.sqrt(-2.0 * math.log(unit(word0)))
    angle = 2.0 * math.pi * unit(word1)
    return radius * math.cos(angle), radius * math.sin(angle)


@rows
def _fill(seed, stream, entity, out):
    low, high = entity & _LOW, entity >> _WORD
    k0, k1 = seed & _LOW, (seed >> _WORD) ^ stream
    for block in range((out.size + 3) // 4):
        words = philox(np.uint64(block), np.uint64(0), low, high, k0, k1)
        for lane in range(4):
            if 4 * block + lane < out.size:
                out[4 * block + lane] = unit(words[lane])


@threads
def _uniform(seed, stream, entity, out):
    for i in prange(entity.size):
        _fill(seed, stream, entity[i], out[i])


def uniform(seed: int, stream: int, entity: NDArray[np.uint64], n_draw: int) -> NDArray[np.float64]:
    """Draw uniform numbers of (0, 1) for entities, each keyed by its own identifier.

    Parameters
    ----------
    seed : int
        Key of the whole, 0 to 2**64 - 1.
    stream : int
        What the draws are for, 0 to 2**32 - 1; two purposes never share a number.
    entity : (n,) uint64
        Identifiers.
    n_draw : int
        Draws per entity; the first of them do not depend on how many follow.

    Returns
    -------
    (n, n_draw) float
        Numbers in the open interval (0, 1) [1].
    """
    entity = np.ascontiguousarray(entity, np.uint64)
    out = np.empty((entity.size, n_draw))
    _uniform(np.uint64(seed), np.uint64(stream), entity, out)
    return out
