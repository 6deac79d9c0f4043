"""Stand-in for CuPy where there is no GPU: its arrays live in host memory that only launches and copies may touch.

What is here behaves as CuPy's own; whatever felsina uses and is not here fails. `stand_in` steers it: which compute capability
the device claims, and what carries a launch out.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from cupy import cuda
from cupy._array import arange, asarray, asnumpy, empty, full, ndarray, zeros
from cupy._device import RawModule, stand_in

bool_, float32, float64, int32, int64, uint8 = np.bool_, np.float32, np.float64, np.int32, np.int64, np.uint8
__version__ = "0 (stand-in)"
__all__ = [
    "RawModule", "arange", "asarray", "asnumpy", "cuda", "empty", "full", "ndarray", "stand_in", "zeros",
]  # fmt: skip
