"""The record of a run, `run.json`: times, timings, machine, versions, ranks, metrics. None of it may enter a product."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any

from felsina.engine.errors import MachineError, ProductError
from felsina.engine.fields import SCHEMA_VERSION

_VERSIONS = (
    "felsina",
    "numpy",
    "numba",
    "llvmlite",
    "h5py",
    "laspy",
    "lazrs",
    "shapely",
    "pyogrio",
    "pyproj",
    "mpi4py",
    "mpich",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "numba-cuda",
    "cuda-bindings",
    "cuda-toolkit",
)


def utc_now() -> str:
    """Return the time as UTC ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def peak_memory_mb() -> float:
    """Return the largest resident size of this process so far [MB]."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def machine() -> dict[str, Any]:
    """Return what the machine is: facts that explain a timing or a byte."""
    import h5py
    import shapely
    from llvmlite import binding

    versions = {}
    for name in _VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpu": binding.get_host_cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "hdf5": h5py.version.hdf5_version,
        "geos": shapely.geos_version_string,
        "versions": versions,
    }


class Record:
    """The content of `run.json`, saved whole after every change that matters."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "run.json"
        self.values: dict[str, Any] = {"felsina_schema": SCHEMA_VERSION, "jobs": {}, "inputs": {}, "notes": [], "history": []}

    @classmethod
    def load(cls, directory: Path) -> Record:
        """Read the record of a run directory; an empty one where there is none."""
        record = cls(directory)
        if record.path.exists():
            try:
                record.values.update(json.loads(record.path.read_text(encoding="utf-8")))
            except (OSError, json.JSONDecodeError) as error:
                raise ProductError(f"'{record.path}' cannot be read: {error}. Run again with --force.") from error
        return record

    def note(self, text: str) -> None:
        """Keep a remark that a reader of the results should know; each once."""
        if text not in self.values["notes"]:
            self.values["notes"].append(text)

    def save(self) -> None:
        """Write the record atomically."""
        part = self.path.with_suffix(".json.part")
        try:
            with part.open("w", encoding="utf-8") as stream:
                json.dump(self.values, stream, indent=1, sort_keys=True)
                stream.write("\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(part, self.path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise MachineError(
                f"'{self.path}' cannot be written: {error.strerror}. Free some space and use --resume."
            ) from error
