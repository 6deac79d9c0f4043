"""Draw the pictures and report.html of a run, whole or partial."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from felsina.engine.errors import MachineError, ProductError
from felsina.engine.fields import PRODUCTS
from felsina.engine.rundir import RunDirectory

NEEDED = ("xarray", "dask", "h5netcdf", "matplotlib")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina report`."""
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument("--if-possible", action="store_true", help="without the analysis extra, say so and exit 0")


def main(options: argparse.Namespace) -> int:
    """Draw the report and say where it is."""
    run = RunDirectory(Path(options.run))
    if not run.products:
        names = ", ".join(p.file for p in PRODUCTS.values())
        raise ProductError(
            f"'{run.path}' holds no product; expected one of {names}. Make some: felsina run CITY.toml --out {run.path}"
        )
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        text = f"The report needs {', '.join(missing)}. Install felsina[analysis], then: felsina report {run.path}"
        if not options.if_possible:
            raise MachineError(text)
        print(text)
        return 0
    from felsina.engine.analysis.report import write_report

    path = write_report(run.path)
    if not options.quiet:
        print(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB).")
    return 0
