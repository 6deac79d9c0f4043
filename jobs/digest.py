"""Print a digest of values, attributes and order of a product or a run, independent of HDF5 build and compression."""

from __future__ import annotations

import argparse
from pathlib import Path

from felsina.engine.io.digest import digest_file, digest_run


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina digest`."""
    parser.add_argument("path", metavar="FILE|RUN", help="a product file or a run directory")


def main(options: argparse.Namespace) -> int:
    """Print the digest: one line."""
    path = Path(options.path)
    print(f"{digest_run(path) if path.is_dir() else digest_file(path)}  {path}")
    return 0
