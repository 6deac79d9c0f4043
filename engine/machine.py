"""What this machine has, for `felsina doctor`: found by asking, never assumed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

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
