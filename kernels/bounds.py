"""Bounds that leave an unknown value unknown on either kind of processor.

`max(nan, 0.0)` is NaN on the CPU and 0 on a GPU, whose instruction returns the number: a missing measurement would become a
value. A comparison and a choice do the same on both.
"""

from __future__ import annotations

from felsina.kernels._backend import cell


@cell
def at_least(value, low):
    """Return the value, or `low` where it is less; NaN stays."""
    return low if value < low else value


@cell
def at_most(value, high):
    """Return the value, or `high` where it is more; NaN stays."""
    return high if value > high else value
