"""Time steps of a product by number or by their end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import UsageError
from felsina.engine.io.read import text_attribute


def ends_of_steps(group: Any) -> NDArray[np.datetime64]:
    """Return the ends of the time steps of an HDF5 group that has `time`, in UTC, as datetime64[s]."""
    time = group["time"]
    day, clock = text_attribute(time, "units").removeprefix("seconds since ").split()
    return np.datetime64(f"{day}T{clock}", "s") + np.rint(time[:]).astype("timedelta64[s]")


def step_of(time: str, ends: NDArray[np.datetime64], where: str) -> int:
    """Return the number of a step, given as a number from 0 or as the end of the step in UTC.

    Raises
    ------
    UsageError
        When there is no such step.
    """
    if time.isdigit() and int(time) < len(ends):
        return int(time)
    try:
        found = np.flatnonzero(ends == np.datetime64(time.removesuffix("Z"), "s"))
    except ValueError:
        found = np.empty(0, np.int64)
    if time.isdigit() or len(found) == 0:
        raise UsageError(
            f"--time is '{time}', but '{where}' has {len(ends)} time steps, which end at {ends[0]} to {ends[-1]} UTC: give a "
            "number from 0, or the end of a step."
        )
    return int(found[0])
