"""Show what this machine has: MPI and PMI, HDF5 and filters, GPUs, threads, the kernel cache."""

from __future__ import annotations

import argparse
import json
import sys

from felsina.engine.machine import describe_machine


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina doctor`."""
    parser.add_argument(
        "--need", action="append", default=[], choices=("mpi", "gpu", "parallel-hdf5", "analysis"), help="what must be there"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(options: argparse.Namespace) -> int:
    """Print the findings and check what was asked for."""
    found = describe_machine()
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        width = max(map(len, found))
        for name, value in found.items():
            print(f"{name:<{width}}  {value}")
    missing = [n for n in options.need if not found[n.replace("-", "_")]]
    for name in missing:
        way_out = found["gpu_missing"] if name == "gpu" else _WAY_OUT[name]
        print(f"felsina: '{name}' was asked for and is not there. {way_out}", file=sys.stderr)
    return 4 if missing else 0


_WAY_OUT = {
    "mpi": "Install felsina[mpi], or load an MPI module and pip install mpi4py.",
    "parallel-hdf5": "felsina does not need it: the gather and virtual writers work with any h5py.",
    "analysis": "Install felsina[analysis].",
}
