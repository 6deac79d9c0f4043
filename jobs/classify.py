"""Classify points: ground (2), vegetation (3-5), building (6), noise (7). One LAZ out per LAZ in, same order, all else kept."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import MachineError, UsageError
from felsina.engine.grid import Grid
from felsina.engine.io.las import PointFile, Points, read_chunks, read_header, scan_headers, write_classes
from felsina.engine.log import LOGGER
from felsina.engine.processes.classify import CLASS_NAMES, classify_points
from felsina.engine.processes.ingest import concatenated
from felsina.engine.threads import use_threads

CELL_M = 1.0  # of the ground filter; finer than the width of a street, coarser than the spacing of points
_PLANE = "+proj=tmerc +ellps=GRS80 +units=m +type=crs"  # metres somewhere: classes need no place


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina classify`."""
    parser.add_argument("files", nargs="+", metavar="IN.laz", help="LAS, LAZ or COPC files; neighbours are classified together")
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="folder of the classified files")
    parser.add_argument("--crs", help="CRS of files that carry none")
    parser.add_argument("--force", action="store_true", help="write over files that are there already")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads (default: all cores)")


def main(options: argparse.Namespace) -> int:
    """Classify the files and print what was found."""
    use_threads(options.threads)
    files = [Path(f) for f in options.files]
    out = Path(options.out)
    present = [f.name for f in files if (out / _name(f)).exists()]
    if present and not options.force:
        raise UsageError(f"'{out}' already holds {', '.join(present)}. Use --force to write over them, or another -o.")
    for path, counts in classify_files(files, out, options.crs).items():
        found = ", ".join(f"{n:,} {name}" for name, n in counts.items() if n)
        print(f"{path}: {found}")
    return 0


def classify_files(files: Sequence[Path], out: Path, crs: str | None = None) -> dict[Path, dict[str, int]]:
    """Classify files together and write each to a folder; returns the number of points by class and file.

    Parameters
    ----------
    files : LAS, LAZ or COPC; what they say of classes is not used
    out : folder of the results
    crs : of files that carry none
    """
    repeated = sorted({f.name for f in files if sum(_name(g) == _name(f) for g in files) > 1})
    if repeated:
        raise UsageError(f"Several inputs are called {', '.join(repeated)}; one folder cannot hold them all.")
    headers = _headers(files, crs)
    bounds = np.array([h.bounds for h in headers if h.bounds is not None])
    grid = Grid.covering(headers[0].crs, (*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)), CELL_M)
    parts = [_whole(h, grid) for h in headers]
    labels = classify_points(concatenated(parts, ("red", "nir")), grid.shape, round(CELL_M * 1000))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"'{out}' cannot be made: {error.strerror}. Choose another -o.") from error
    found: dict[Path, dict[str, int]] = {}
    start = 0
    for header, part in zip(headers, parts, strict=True):
        classes: NDArray[np.uint8] = labels[start : start + len(part)]
        start += len(part)
        target = out / _name(header.path)
        write_classes(header.path, target, classes)
        LOGGER.info("Classified %s points of %s.", f"{len(part):,}", header.path.name)
        found[target] = {name: int(np.count_nonzero(classes == code)) for code, name in CLASS_NAMES.items()}
    return found


def _headers(files: Sequence[Path], crs: str | None) -> list[PointFile]:
    """Return the headers; where no file states a CRS and none is given, the coordinates are taken for metres on a plane."""
    if crs is None and all(read_header(f)[1].crs is None for f in files):
        LOGGER.info("No file states a CRS: coordinates are taken for metres.")
        crs = _PLANE
    return scan_headers(files, crs)


def _whole(header: PointFile, grid: Grid) -> Points:
    """Return all points of a file, in its order."""
    chunks = list(read_chunks(header, 0, header.count, (grid.west, grid.north), columns=("red", "nir"), keep_all=True))
    return concatenated(chunks, ("red", "nir"))


def _name(path: Path) -> str:
    """Return the name of the result: always LAZ; the index of a COPC file does not survive."""
    stem = (
        path.name.removesuffix(".copc.laz").removesuffix(".laz").removesuffix(".las").removesuffix(".LAS").removesuffix(".LAZ")
    )
    return f"{stem}.laz"
