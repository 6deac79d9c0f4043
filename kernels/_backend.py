"""CPU drivers of the kernels: three decorators and the cache they share. What a kernel computes is none of its business.

    cell     scalar physics, inlined into whatever calls it
    rows     one contiguous row (or block of lanes): the loop that LLVM turns into SIMD
    threads  `prange` over rows or blocks

`fastmath` allows contraction and ignores the sign of zero, nothing else: re-association, reciprocals and approximate functions
change a value with its place in the row, and published bytes may not depend on where a tile or a rank cuts the row.

Inside a Slurm job of more than one node a kernel that is not in the cache is an error that names it: a thousand ranks that
compile the same thing cost more than the job, and `felsina warmup` does it once.
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
from numba.core import event
from numba.core.caching import UserProvidedCacheLocator

config: Any = _config  # its settings are made at run time, where no type checker sees them

FASTMATH = frozenset({"contract", "nsz"})
_PACKAGE = __name__.rpartition(".")[0] + "."
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


class KernelCacheLocator(UserProvidedCacheLocator):
    """Place the machine code of a kernel by its module within the package, wherever the package is installed.

    numba's own locator hashes the absolute path of the source, so that an environment staged to another disk would compile
    everything again, and it writes a trial file for every function, so that a read-only cache would be passed over in silence.
    """

    def __init__(self, py_func: Any, py_file: str) -> None:
        module = py_func.__module__
        if not module.startswith(_PACKAGE):
            super().__init__(py_func, py_file)
            return
        self._py_file = py_file
        self._lineno = py_func.__code__.co_firstlineno
        self._cache_path = os.path.join(str(cache_directory()), *module.removeprefix(_PACKAGE).split(".")[:-1])

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        made = cls(py_func, py_file)
        made.ensure_cache_path()
        return made

    def ensure_cache_path(self) -> None:
        _ensure_folder(self.get_cache_path())

    def get_source_stamp(self) -> str:
        return cache_directory().name  # a hash of all kernel sources: no file has to be read again


@functools.cache
def _ensure_folder(path: str) -> None:
    if not os.path.isdir(path):
        os.makedirs(path, exist_ok=True)


class KernelNotCached(RuntimeError):
    """A kernel would have to be compiled where that is forbidden."""

    exit_code = 4  # the environment has to be put right


class _CompilationGuard(event.Listener):
    """Refuses to compile a kernel inside a Slurm job of more than one node."""

    allowed = False

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        nodes = os.environ.get("SLURM_JOB_NUM_NODES", "1")
        if self.allowed or not function.__module__.startswith(_PACKAGE) or not nodes.isdigit() or int(nodes) < 2:
            return
        raise KernelNotCached(
            f"The kernel {function.__module__}.{function.__qualname__} is not in the cache '{cache_directory()}' for the "
            f"arguments {event.data['args']}, and a Slurm job of {nodes} nodes compiles nothing. "
            "Run 'felsina warmup' before, on a node of this kind and with the same FELSINA_CACHE_DIR."
        )

    def on_end(self, event: Any) -> None:
        pass


_GUARD = _CompilationGuard()
event.register("numba:compile", _GUARD)


def allow_compilation() -> None:
    """Let this process compile kernels whatever job it is in: it is the one that fills the cache for the others."""
    _GUARD.allowed = True


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    # The place of the cache is fixed when the dispatcher is made, so numba's global settings are borrowed for that moment only.
    keep = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES
    config.CACHE_DIR = str(cache_directory())
    config.CACHE_LOCATOR_CLASSES = f"{__name__}.{KernelCacheLocator.__name__}"
    try:
        return njit(cache=True, **_OPTIONS, **options)(function)
    finally:
        config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = keep


def cell(function: Callable[..., Any]) -> Any:
    """Compile scalar physics that is inlined into its callers; a call instead of inlining costs a stencil a factor of 20."""
    return _compiled(function, forceinline=True)


def rows(function: Callable[..., Any]) -> Any:
    """Compile a loop over one contiguous row."""
    return _compiled(function)


def threads(function: Callable[..., Any]) -> Any:
    """Compile a `prange` driver over independent rows or blocks."""
    return _compiled(function, parallel=True)
