"""Stand-in for CuPy where there is no GPU: its arrays live in host memory that only launches and copies may touch.

What is here behaves as CuPy's own (14.2); whatever felsina does not use is absent. `stand_in` steers it: how many devices there
are and what they claim, what carries a launch out, and in which of the allowed orders streams do their work.
"""

from __future__ import annotations

import numpy as np

from cupy import cuda
from cupy._array import arange, asarray, asnumpy, empty, full, ndarray, zeros
from cupy._memory import pool
from cupy._module import RawModule
from cupy._state import StandInFault, stand_in

bool_, float32, float64, int32, int64, uint8 = np.bool_, np.float32, np.float64, np.int32, np.int64, np.uint8
generic = np.generic
__version__ = "0+stand.in"


def get_default_memory_pool() -> cuda.MemoryPool:
    return pool


__all__ = [
    "RawModule", "StandInFault", "arange", "asarray", "asnumpy", "cuda", "empty", "full", "get_default_memory_pool", "ndarray",
    "stand_in", "zeros",
]  # fmt: skip
