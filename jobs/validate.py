"""Check a product or a run against the versioned schema: exit 0, or 1 with one line per finding."""

from __future__ import annotations

import argparse
from pathlib import Path

from felsina.engine.io.validate import validate_file, validate_run


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina validate`."""
    parser.add_argument("path", metavar="FILE|RUN", help="a product file or a run directory")


def main(options: argparse.Namespace) -> int:
    """Print the findings."""
    path = Path(options.path)
    findings = validate_run(path) if path.is_dir() else validate_file(path)
    for finding in findings:
        print(finding)
    if not findings and not options.quiet:
        print(f"{path}: valid")
    return 1 if findings else 0
