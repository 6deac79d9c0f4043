"""Drivers of the kernels: decorators, the cache they share, and where an array lives. Kernels only compute.

    cell     scalar physics, inlined into whatever calls it, on either kind of processor
    rows     one contiguous row (or block of lanes): the loop that LLVM turns into SIMD
    threads  `prange` over rows or blocks
    gpu      one element of a GPU launch (`_gpu`)

The arrays decide which driver runs: NumPy arrays the CPU's, CuPy arrays the GPU's. Kernels never move data.

`fastmath` allows contraction and ignores the sign of zero, nothing else: re-association, reciprocals and approximate functions
change a value with its place in the row, and published bytes may not depend on where a tile or a rank cuts the row.

Inside a Slurm job of more than one node a kernel that is not in the cache is an error that names it: a thousand ranks that
compile the same thing cost more than the job, and `felsina warmup` does it once.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba import config as _config
from numba import njit
from numba.core import event
from numba.core.caching import UserProvidedCacheLocator

if TYPE_CHECKING:
    from felsina.kernels._gpu import GpuKernel

config: Any = _config  # its settings are made at run time, where no type checker sees them

FASTMATH = frozenset({"contract", "nsz"})
_PACKAGE = __name__.rpartition(".")[0] + "."
_OPTIONS: dict[str, Any] = {"fastmath": set(FASTMATH), "error_model": "numpy", "nogil": True}


@functools.cache
def cache_directory() -> Path:
    """Return the folder of compiled kernels, named by the compiler (numba, llvmlite) and the CPU target.

    `FELSINA_CACHE_DIR` moves the folder (to node-local storage, or to a read-only staged copy).
    """
    import llvmlite
    from llvmlite import binding

    target = config.CPU_NAME or binding.get_host_cpu_name()
    features = config.CPU_FEATURES if config.CPU_FEATURES is not None else binding.get_host_cpu_features().flatten()
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {target} {features}".encode())
    base = os.environ.get("FELSINA_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "felsina"
    )
    return Path(base) / "kernels" / digest.hexdigest()[:20]


@functools.cache
def source_digest(module: str) -> str:
    """Return a hash of the sources that a kernel module is made of: its own, those that it imports, and this one.

    numba looks only at the file that holds a function: after an edit of a cell in another file it would go on using the old
    machine code. `module` is a name within the package, such as "radiation.sun".
    """
    digest = hashlib.sha256()
    for name in sorted(_made_of(module)):
        digest.update(name.encode() + b"\0" + _source(name).encode() + b"\0")
    return digest.hexdigest()[:20]


@functools.cache
def _made_of(module: str) -> frozenset[str]:
    """Return the modules of the package that a module consists of, by following its imports."""
    found, todo = {"_backend"}, [module]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for package, names in _IMPORT.findall(_source(name)):
            inner = package.removeprefix(_PACKAGE[:-1]).lstrip(".")
            listed = re.findall(r"\w+", re.sub(r"\bas\s+\w+|#.*", "", names))
            candidates = [inner, *(f"{inner}.{n}".lstrip(".") for n in listed)]
            todo += [c for c in candidates if c in _modules()]
    return frozenset(found)


_IMPORT = re.compile(rf"^\s*from ({re.escape(_PACKAGE[:-1])}[\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)


@functools.cache
def _modules() -> dict[str, Path]:
    """Return the files of the package by module, from one walk through its folders: a thousand ranks look here at once."""
    root = Path(__file__).resolve().parent
    return {".".join(path.relative_to(root).with_suffix("").parts): path for path in root.rglob("*.py")}


@functools.cache
def _source(module: str) -> str:
    return _modules()[module].read_text(encoding="utf-8")


class KernelCacheLocator(UserProvidedCacheLocator):
    """Place the machine code of a kernel by its module within the package, wherever the package is installed.

    numba's own locator hashes the absolute path of the source, so that an environment staged to another disk would compile
    everything again, and it writes a trial file for every function, so that a read-only cache would be passed over in silence.
    """

    def __init__(self, py_func: Any, py_file: str) -> None:
        module = py_func.__module__
        if not module.startswith(_PACKAGE):
            super().__init__(py_func, py_file)
            self._digest = ""
            return
        self._py_file = py_file
        self._lineno = py_func.__code__.co_firstlineno
        inner = module.removeprefix(_PACKAGE)
        self._digest = source_digest(inner)
        self._cache_path = os.path.join(str(cache_directory()), *inner.split(".")[:-1])

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        made = cls(py_func, py_file)
        made.ensure_cache_path()
        return made

    def ensure_cache_path(self) -> None:
        _ensure_folder(self.get_cache_path())

    def get_disambiguator(self) -> str:
        return f"{self._lineno}-{self._digest}"  # in the name of the file: another state of the sources has files of its own

    def get_source_stamp(self) -> str:
        return self._digest  # a hash of all sources that count: numba has to read no file again


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
        if function.__module__.startswith(_PACKAGE):
            self.check(f"{function.__module__}.{function.__qualname__}", f"the arguments {event.data['args']}")

    def check(self, kernel: str, what: str) -> None:
        """Raise where the kernel would be compiled and may not."""
        nodes = os.environ.get("SLURM_JOB_NUM_NODES", "1")
        if self.allowed or not nodes.isdigit() or int(nodes) < 2:
            return
        raise KernelNotCached(
            f"The kernel {kernel} is not in the cache '{cache_directory()}' for {what}, and a Slurm job of {nodes} nodes "
            "compiles nothing. Run 'felsina warmup' before, on a node of this kind and with the same FELSINA_CACHE_DIR."
        )

    def on_end(self, event: Any) -> None:
        pass


_GUARD = _CompilationGuard()
event.register("numba:compile", _GUARD)


def refuse_compilation(kernel: str, what: str) -> None:
    """Raise `KernelNotCached` where a kernel may not be compiled now."""
    _GUARD.check(kernel, what)


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


def gpu(signature: str, dims: int = 1, block: tuple[int, ...] = (), shared: tuple[str, int] | None = None) -> Any:
    """Declare the GPU driver of a kernel: the decorated function is what one element of a launch does.

    The function takes the element's index, slowest axis first, then the arguments, and is called only for indices within the
    launch's extent. It returns nothing. Arrays arrive as pointers: flat index, no bounds, no wrap-around.

    Parameters
    ----------
    signature : str
        One word per argument: f4 f8 i1 u1 i2 u2 i4 u4 i8 u8 a scalar, with * a pointer. T and T* are float32 or float64, as the
        first T* array of the launch: two kernels of one function.
    dims : int
        Axes of the launch, 1 to 3.
    block : (x, y, z)
        Threads of a block, fastest axis first; by default 128, 32 x 4 or 32 x 4 x 2.
    shared : (type, number), optional
        Words of shared memory of a block. The function then works as a block: it takes block index and thread index of each
        axis, slowest first, the shared array, then the arguments; it meets the others at `barrier()` and guards its own bounds.

    Returns
    -------
    GpuKernel
        Called as `kernel(extent, *arguments)`, extent (n,), (nj, ni) or (nk, nj, ni) elements.
    """

    def declare(function: Callable[..., Any]) -> GpuKernel:
        from felsina.kernels._gpu import GpuKernel

        return GpuKernel(cell(function), signature, dims, block, shared)

    return declare


def on_gpu(*arrays: Any) -> bool:
    """Say whether arrays live on the GPU.

    Raises
    ------
    TypeError
        When some do and some do not: kernels never move data.
    """
    here = [isinstance(a, np.ndarray) for a in arrays]
    if all(here):
        return False
    if any(here):
        raise TypeError(
            f"Array {here.index(True)} of {len(arrays)} is in the memory of the host and array {here.index(False)} in that of "
            "the GPU. Move all to one place first."
        )
    return True


def array_module(array: Any) -> Any:
    """Return numpy or cupy, whichever the array belongs to."""
    return np if isinstance(array, np.ndarray) else sys.modules[type(array).__module__.partition(".")[0]]
