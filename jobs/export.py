"""Write a product of a run in a format of other programs: CityJSON, VTK XML, GeoTIFF or GeoParquet."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from felsina.engine.errors import MachineError, UsageError
from felsina.engine.io.cityjson_file import write_cityjson
from felsina.engine.io.geoparquet import write_buildings, write_trees
from felsina.engine.io.geotiff import gridded_fields, write_geotiffs
from felsina.engine.io.vtp import write_vtp
from felsina.engine.rundir import RunDirectory


class _Format(NamedTuple):
    """What a format takes: its default product, the products it can be told, options, packages, and the default file."""

    product: str
    products: tuple[str, ...]
    options: tuple[str, ...]
    packages: tuple[str, ...]
    file: str


FORMATS = {
    "cityjson": _Format("buildings", ("buildings",), ("lod",), (), "buildings.city.json"),
    "vtp": _Format("city", ("buildings", "city"), ("lod", "field", "time"), (), "{product}.vtp"),
    "geotiff": _Format("microclimate", ("terrain", "microclimate"), ("field", "time"), ("rasterio",), ""),
    "geoparquet": _Format("buildings", ("buildings", "trees"), ("field",), ("pyarrow",), "{product}.parquet"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina export`."""
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument("--to", required=True, choices=tuple(FORMATS), help="format to write")
    parser.add_argument("--out", metavar="PATH", help="file to write, for geotiff a folder (default: in RUN/export)")
    parser.add_argument(
        "--product",
        metavar="NAME",
        help="vtp: city or buildings; geotiff: microclimate or terrain; geoparquet: buildings or trees",
    )
    parser.add_argument(
        "--lod",
        action="append",
        default=[],
        metavar="LOD",
        help="level of detail. cityjson: to keep, may be repeated; vtp of buildings: 1.2, the blocks",
    )
    parser.add_argument("--field", action="append", default=[], metavar="NAME", help="field to write, may be repeated")
    parser.add_argument(
        "--time", metavar="STEP", help="vtp, geotiff: a time step by number or by its end in UTC (default: all)"
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there already")


def main(options: argparse.Namespace) -> int:
    """Write the files and say which."""
    chosen = FORMATS[options.to]
    for name in ("lod", "field", "time"):
        if getattr(options, name) and name not in chosen.options:
            raise UsageError(f"--{name} is of no use with --to {options.to}. Leave it away.")
    product = options.product or chosen.product
    if product not in chosen.products:
        raise UsageError(f"--product is '{product}'; --to {options.to} writes {' or '.join(chosen.products)}.")
    missing = [name for name in chosen.packages if find_spec(name) is None]
    if missing:
        raise MachineError(f"--to {options.to} needs {', '.join(missing)}. Install it: pip install 'felsina[export]'")
    run = RunDirectory(Path(options.run))
    source = run.needed("terrain" if product == "trees" else product)
    target = Path(options.out) if options.out else run.path / "export" / chosen.file.format(product=product)
    if target.exists() and target.is_dir() != (options.to == "geotiff"):
        wanted = "a folder" if options.to == "geotiff" else "a file"
        raise UsageError(f"'{target}' is {'a folder' if target.is_dir() else 'a file'}; --to {options.to} writes {wanted}.")
    if options.to == "geotiff":
        names = options.field or gridded_fields(source)
        _refuse_to_overwrite([target / f"{product}_{name}.tif" for name in names], options.force)
        target.mkdir(parents=True, exist_ok=True)
        made = write_geotiffs(source, target, options.field, options.time)
    else:
        there = [target]
        if options.to == "vtp":
            target = target.with_suffix(".vtp")
            steps = sorted(target.parent.glob(f"{target.stem}_[0-9][0-9][0-9][0-9]*.vtp"))
            there = [target, target.with_suffix(".pvd"), *steps]
        _refuse_to_overwrite(there, options.force)
        target.parent.mkdir(parents=True, exist_ok=True)
        made = [target]
        if options.to == "cityjson":
            write_cityjson(run.path / "buildings.city.jsonl", target, options.lod)
        elif options.to == "vtp":
            made = write_vtp(source, target, options.field, options.time, _group(product, options.lod))
        elif product == "trees":
            write_trees(source, target, options.field)
        else:
            write_buildings(run, target, options.field)
    if not options.quiet:
        size = sum(path.stat().st_size for path in made) / 1e6
        print(f"Wrote {made[0] if len(made) == 1 else f'{len(made)} files, {made[0]} first'} ({size:.1f} MB).")
    return 0


def _group(product: str, lods: Sequence[str]) -> str:
    """Return the group of the mesh of a level of detail."""
    if not lods:
        return "/"
    if product != "buildings" or lods != ["1.2"]:
        raise UsageError(
            f"--lod is {', '.join(lods)} for the mesh of {product}; --product buildings has that of --lod 1.2 beside that of "
            "the highest level, which comes without --lod."
        )
    return "/lod12"


def _refuse_to_overwrite(paths: Sequence[Path], force: bool) -> None:
    for path in paths:
        if path.exists() and not force:
            raise UsageError(f"'{path}' is there already. Choose another place with --out, or replace it with --force.")
