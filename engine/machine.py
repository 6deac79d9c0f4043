"""What this machine has, for `felsina doctor`: found by asking, never assumed."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

from felsina.engine.errors import MachineError, UsageError
from felsina.engine.parallel.gpu import LEAST_CAPABILITY
from felsina.engine.parallel.world import promised_size
from felsina.engine.record import machine


def describe_machine() -> dict[str, object]:
    """Return the findings by name; a false value means absent."""
    import h5py

    facts = machine()
    gpus, why_no_gpu = _gpus()
    versions = facts["versions"]
    filters = [
        n
        for n, code in (("gzip", h5py.h5z.FILTER_DEFLATE), ("shuffle", h5py.h5z.FILTER_SHUFFLE))
        if h5py.h5z.filter_avail(code)
    ]
    return {
        "felsina": versions.get("felsina", "not installed"),
        "platform": facts["platform"],
        "python": facts["python"],
        "cpu": facts["cpu"],
        "cores": facts["cores"],
        "threads": _threads(),
        "mpi": _mpi(),
        "launcher": _launcher(),
        "hdf5": facts["hdf5"],
        "parallel_hdf5": bool(h5py.get_config().mpi),
        "filters": ", ".join(filters),
        "geos": facts["geos"],
        "gpu": "; ".join(gpus),
        "gpu_missing": why_no_gpu,
        "cupy": _version("cupy-cuda12x", "cupy-cuda13x", "cupy"),
        "numba_cuda": _version("numba-cuda"),
        "cuda_toolkit": _version("cuda-toolkit"),
        "analysis": all(importlib.util.find_spec(n) is not None for n in ("xarray", "dask", "h5netcdf", "matplotlib")),
        "kernel_cache": _cache(),
        "versions": ", ".join(f"{n} {v}" for n, v in versions.items()),
    }


def allow_compilation() -> None:
    """Let this process compile kernels even inside a job of several nodes: it fills the cache for the others."""
    from felsina.kernels._backend import allow_compilation as allow

    allow()


def gpu_architecture(capability: str) -> tuple[int, int]:
    """Return a compute capability, such as "8.0", as (8, 0), where GPU drivers can be compiled for it; no GPU is needed.

    Raises
    ------
    MachineError
        Where the compiler is not installed.
    UsageError
        For something that is no compute capability, or one that the compiler does not know.
    """
    if not re.fullmatch(r"\d+\.\d", capability):
        raise UsageError(f"'{capability}' is no compute capability; expected such as 8.0 for an A100, 9.0 for an H100.")
    for name in ("numba-cuda", "cuda-bindings"):
        if not _version(name):
            raise MachineError(
                f"GPU drivers are compiled by {name}, which is not installed. Run pip install 'felsina[cuda12]' (or [cuda13], "
                "for a driver of CUDA 13)."
            )
    major, minor = map(int, capability.split("."))
    compiler = importlib.import_module("numba.cuda.cudadrv.nvrtc")
    known = [cc for cc in compiler.get_supported_ccs() if cc >= LEAST_CAPABILITY]
    if (major, minor) not in known:
        listed = ", ".join(f"{a}.{b}" for a, b in known)
        raise UsageError(f"GPU drivers cannot be compiled for compute capability {capability}; expected one of {listed}.")
    return major, minor


def compile_gpu_drivers(architecture: tuple[int, int]) -> int:
    """Compile every GPU driver for a compute capability into the cache; return how many there are."""
    import felsina.kernels
    from felsina.kernels._gpu import KERNELS

    for module in pkgutil.walk_packages(felsina.kernels.__path__, "felsina.kernels."):
        importlib.import_module(module.name)
    return len([kernel.cubin(architecture, kind) for kernel in KERNELS.values() for kind in kernel.types])


def _threads() -> int:
    from felsina.engine.threads import use_threads

    return use_threads()


def _mpi() -> str:
    """Ask a child process, so that looking never initialises MPI here."""
    if importlib.util.find_spec("mpi4py") is None:
        return ""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMPI_", "PMIX"))}
    code = "from mpi4py import MPI; print(MPI.Get_library_version().splitlines()[0].strip(chr(0)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    return done.stdout.strip().replace("\t", " ") if done.returncode == 0 else ""


def _launcher() -> str:
    promised = promised_size(os.environ)
    here = shutil.which("mpiexec") or shutil.which("srun") or "no mpiexec on PATH"
    return f"{promised} processes promised by the launcher" if promised else f"none ({here})"


_GPUS = """
import json
from felsina.engine.errors import MachineError
from felsina.engine.parallel.gpu import find_gpus
try:
    print(json.dumps([[g.describe() for g in find_gpus()], ""]))
except MachineError as error:
    print(json.dumps([[], str(error)]))
"""


def _gpus() -> tuple[list[str], str]:
    """Return what a run would find, and what it would say where it finds none; a child asks, for drivers are no part of us."""
    done = subprocess.run([sys.executable, "-c", _GPUS], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return [], f"Looking for GPUs ended with {done.returncode}: {last}."
    found, why = json.loads(done.stdout.splitlines()[-1])
    return found, why


def _version(*names: str) -> str:
    """Return the version of the first of these packages that is installed, "" without any."""
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _cache() -> str:
    from felsina.kernels._backend import cache_directory

    folder: Path = cache_directory()
    count = len(list(folder.rglob("*.nbc"))) if folder.exists() else 0
    return f"{folder} ({count} compiled)"
