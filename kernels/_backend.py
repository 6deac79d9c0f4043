"""CPU drivers of the kernels: three decorators and the cache they share. What a kernel computes is none of its business.

    cell     scalar physics, inlined into whatever calls it
    rows     one contiguous row (or block of lanes): the loop that LLVM turns into SIMD
    threads  `prange` over rows or blocks

`fastmath` allows contraction and ignores the sign of zero, nothing else: re-association, reciprocals and approximate functions
change a value with its place in the row, and published bytes may not depend on where a tile or a rank cuts the row.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import config as _config
from numba import njit

config: Any = _config  # its settings are made at run time, where no type checker sees them

FASTMATH = frozenset({"contract", "nsz"})
_OPTIONS: dict[str, Any] = {"fastmath": set(FASTMATH), "error_model": "numpy", "nogil": True}


@functools.cache
def cache_directory() -> Path:
    """Return the folder of compiled kernels, named by a hash of everything that they depend on.

    numba looks only at the file that holds a function: after an edit of a cell in another file it would go on using the old
    machine code. The hash covers all kernel sources, the numba and llvmlite versions and the CPU target.
    `FELSINA_CACHE_DIR` moves the folder (to node-local storage, or to a read-only staged copy).
    """
    import llvmlite
    from llvmlite import binding

    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent
    for source in sorted(root.rglob("*.py")):
        digest.update(source.relative_to(root).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    target = config.CPU_NAME or binding.get_host_cpu_name()
    features = config.CPU_FEATURES if config.CPU_FEATURES is not None else binding.get_host_cpu_features().flatten()
    digest.update(f"{numba.__version__} {llvmlite.__version__} {target} {features}".encode())
    base = os.environ.get("FELSINA_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "felsina"
    )
    return Path(base) / "kernels" / digest.hexdigest()[:20]


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    # The cache path is fixed when the dispatcher is made, so numba's global setting is borrowed for that moment only.
    keep = config.CACHE_DIR
    config.CACHE_DIR = str(cache_directory())
    try:
        return njit(cache=True, **_OPTIONS, **options)(function)
    finally:
        config.CACHE_DIR = keep


def cell(function: Callable[..., Any]) -> Any:
    """Compile scalar physics that is inlined into its callers; a call instead of inlining costs a stencil a factor of 20."""
    return _compiled(function, forceinline=True)


def rows(function: Callable[..., Any]) -> Any:
    """Compile a loop over one contiguous row."""
    return _compiled(function)


def threads(function: Callable[..., Any]) -> Any:
    """Compile a `prange` driver over independent rows or blocks."""
    return _compiled(function, parallel=True)
