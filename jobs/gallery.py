"""Draw a gallery of buildings of a run: every level of detail, points by distance, figures; one HTML page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.city import City, read_city
from felsina.engine.errors import MachineError, UsageError
from felsina.engine.io.cityjson_file import features_of
from felsina.engine.io.las import read_chunks, scan_headers
from felsina.engine.io.read import product_attrs, product_grid, read_field
from felsina.engine.io.vector import Polygons
from felsina.engine.processes.footprint_points import INSIDE, ON_ROOF, RECORD, FootprintPoints, unit_points
from felsina.engine.rundir import RunDirectory
from felsina.jobs.common import point_files

_MARGIN_M = 5.0  # beyond the reach of points around footprints


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina gallery`."""
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument("--buildings", type=int, default=24, metavar="N", help="how many to choose (default: 24)")
    parser.add_argument("--ids", default="", metavar="A,B", help="show these buildings instead")
    parser.add_argument("--city", metavar="CITY.toml", help="the city file of the run: its points are drawn and measured")
    parser.add_argument("--out", metavar="FILE", help="HTML file (default: RUN/gallery.html)")


def main(options: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    if options.buildings < 1:
        raise UsageError(f"--buildings is {options.buildings}; expected at least 1.")
    run = RunDirectory(Path(options.run))
    run.needed("buildings")
    if find_spec("matplotlib") is None:
        raise MachineError(f"The gallery needs matplotlib. Install felsina[analysis], then: felsina gallery {run.path}")
    target = Path(options.out) if options.out else run.path / "gallery.html"
    if target.is_dir():
        raise UsageError(f"--out '{target}' is a folder; name a file, such as {target / 'gallery.html'}.")
    from felsina.engine.analysis.gallery import write_gallery

    ids = [name for name in options.ids.split(",") if name]
    points = None
    if options.city:
        city = read_city(Path(options.city))

        def points(run: RunDirectory, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
            return roof_points(city, run, names)

    n = write_gallery(run.path, target, options.buildings, ids, points)
    if not options.quiet:
        print(f"Wrote {target}: {n} buildings ({target.stat().st_size / 1e6:.1f} MB).")
    return 0


class _Records:
    """Keeps what a spool would put on disk: points of few buildings."""

    def __init__(self) -> None:
        self.kept = [np.empty(0, RECORD)]

    def add(self, records: NDArray[Any], unit: NDArray[np.int64]) -> None:
        self.kept.append(records)


def roof_points(city: City, run: RunDirectory, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return the points that the job took for the roofs of some buildings, (n, 3) [m] by name.

    Parameters
    ----------
    city : its point files are read, of those only the ones that reach a footprint
    run : with terrain.nc and buildings.city.jsonl
    names : identifiers
    """
    terrain = run.needed("terrain")
    grid = product_grid(terrain)
    trusts = product_attrs(terrain)["point_classes"] == "input"
    # Where classes are trusted the ground is not looked at.
    ground = np.zeros((1, 1), np.float32) if trusts else read_field(terrain, "ground_elevation")
    shapes, found = _footprints(run.path / "buildings.city.jsonl", names)
    if not found:
        return {}
    low, high = shapes.xy.min(axis=0) / 1000.0 - _MARGIN_M, shapes.xy.max(axis=0) / 1000.0 + _MARGIN_M
    records = _Records()
    taken = FootprintPoints(grid, shapes, ground, trusts, records, 1)  # type: ignore[arg-type]
    for header in scan_headers(point_files(city), grid.crs):
        west, south, east, north = header.bounds or (np.inf,) * 4
        if west <= high[0] and east >= low[0] and south <= high[1] and north >= low[1]:
            for chunk in read_chunks(header, 0, header.count, (grid.west, grid.north)):
                taken.add(chunk)
    points = unit_points(np.concatenate(records.kept), grid)
    mine = points.take((points.kind & INSIDE != 0) & (points.kind & ON_ROOF != 0))
    cuts = np.searchsorted(mine.row, np.arange(len(found) + 1))
    return {name: mine.xyz[a:b] / 1000.0 for name, a, b in zip(found, cuts[:-1], cuts[1:], strict=True)}


def _footprints(path: Path, names: Sequence[str]) -> tuple[Polygons, list[str]]:
    """Return the LoD0 outlines of some buildings and the names of those that have one."""
    import shapely

    from felsina.engine.io.vector import flatten

    lines = features_of(path)
    place = np.rint(np.array(next(lines)["transform"]["translate"]) * 1000).astype(np.int64)
    wanted, geometry, found = set(names), [], []
    for feature in lines:
        if feature["id"] not in wanted:
            continue
        vertices = (np.array(feature["vertices"], np.int64).reshape(-1, 3) + place)[:, :2] / 1000.0
        own = [g for g in feature["CityObjects"][feature["id"]].get("geometry", []) if g["lod"] == "0"]
        parts = [shapely.Polygon(vertices[p[0]], [vertices[h] for h in p[1:]]) for g in own for p in g["boundaries"]]
        if parts:
            geometry.append(parts)
            found.append(feature["id"])
    return flatten(geometry), found
