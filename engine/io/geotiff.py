"""Grids of a product as Cloud Optimised GeoTIFF: one file a field, one band a time step, north up.

Bands carry their time as description and as tag, the dataset its name, unit, scale and codes. GDAL writes them, by way of a
plain tiled file, so that memory holds one row of tiles.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from felsina.engine.errors import ProductError, UsageError
from felsina.engine.fields import Field
from felsina.engine.io.read import opened, product_grid, text_attribute, variables
from felsina.engine.io.timesteps import ends_of_steps, step_of
from felsina.engine.schema import main_group, rows

TILE = 512  # cells of a tile's edge
_GRIDS = (("y", "x"), ("time", "y", "x"))


def gridded_fields(path: str | Path) -> dict[str, Field]:
    """Return the rows of the fields on the grid of a product that are there, by name.

    Raises
    ------
    ProductError
        When the product has no grid.
    """
    with opened(path) as (_, product):
        described = rows(product)
    found = {name: described[name] for name in variables(path) if name in described and described[name].dims in _GRIDS}
    if not found:
        raise ProductError(f"'{path}' has no field on a grid; terrain.nc and microclimate.nc have.")
    return found


def write_geotiffs(path: str | Path, folder: str | Path, fields: Sequence[str] = (), time: str | None = None) -> list[Path]:
    """Write the fields on the grid of a product as "PRODUCT_FIELD.tif"; return the files.

    Parameters
    ----------
    path : a product with a grid
    folder : where the files go; it exists
    fields : names; all when empty
    time : "0" for the first time step, or the end of a step, "2015-07-15T13:00"; all steps when absent

    Raises
    ------
    ProductError
        When the product has no grid.
    UsageError
        When a field or a time is not there.
    """
    there = gridded_fields(path)
    for name in fields:
        if name not in there:
            raise UsageError(f"'{path}' has no field '{name}' on its grid; it has {', '.join(there)}.")
    wanted = {name: there[name] for name in (fields or there)}
    if time is not None and not any("time" in f.dims for f in wanted.values()):
        raise UsageError(f"--time is {time}, but what was chosen of '{path}' does not change with time.")
    made = []
    with opened(path) as (file, product):
        for name, field in wanted.items():
            target = Path(folder) / f"{product}_{name}.tif"
            _write(target, file, product, field, Path(path), time)
            made.append(target)
    return made


def _write(target: Path, file: h5py.File, product: str, field: Field, path: Path, time: str | None) -> None:
    import rasterio
    import rasterio.shutil

    group = file[main_group(product)]
    dataset = group[field.name]
    grid = product_grid(path)
    moving = "time" in field.dims
    ends = ends_of_steps(group) if moving else np.empty(0, "datetime64[s]")
    chosen = [None] if not moving else list(range(len(ends))) if time is None else [step_of(time, ends, str(path))]
    floating = dataset.dtype.kind == "f"
    plain, done = target.with_name(target.name + ".tiled.part"), target.with_name(target.name + ".part")
    profile = {
        "driver": "GTiff",
        "width": grid.nx,
        "height": grid.ny,
        "count": len(chosen),
        "dtype": dataset.dtype.name,
        "crs": rasterio.crs.CRS.from_user_input(text_attribute(file["felsina"], "crs")),
        "transform": rasterio.Affine(grid.resolution, 0.0, grid.west, 0.0, -grid.resolution, grid.north),
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
        "interleave": "band",
        "bigtiff": "if_safer",
    } | ({"nodata": np.nan} if floating else {})
    try:
        with rasterio.open(plain, "w", **profile) as raster:
            raster.update_tags(**_tags(file, product, field))
            for band, step in enumerate(chosen, 1):
                for top in range(0, grid.ny, TILE):
                    bottom = min(top + TILE, grid.ny)
                    values = dataset[top:bottom] if step is None else dataset[step, top:bottom]
                    raster.write(values, band, window=((top, bottom), (0, grid.nx)))
                raster.set_band_description(band, field.name if step is None else f"{ends[step]}Z")
                if step is not None:
                    raster.update_tags(band, time=f"{ends[step]}Z", long_name=field.long_name)
            raster.units = [field.units] * len(chosen)
            raster.scales, raster.offsets = [1.0] * len(chosen), [0.0] * len(chosen)
        rasterio.shutil.copy(
            plain,
            done,
            driver="COG",
            compress="DEFLATE",
            predictor="YES",
            blocksize=TILE,
            bigtiff="IF_SAFER",
            overview_resampling="AVERAGE" if floating and not field.flags else "NEAREST",
        )
        with open(done, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(done, target)
    finally:
        for rest in (plain, done, *(p.with_name(p.name + ".aux.xml") for p in (plain, done))):
            rest.unlink(missing_ok=True)


def _tags(file: h5py.File, product: str, field: Field) -> dict[str, Any]:
    tags = {
        "felsina_schema": text_attribute(file, "felsina_schema"),
        "product": product,
        "field": field.name,
        "long_name": field.long_name,
        "standard_name": field.standard_name,
        "units": field.units,
        "scale": "1",
        "cell_methods": field.cell_methods,
        "flags": json.dumps({str(k): v for k, v in field.flags.items()}) if field.flags else "",
        "time_label": "end of the interval, UTC" if "time" in field.dims else "",
    }
    return {name: value for name, value in tags.items() if value}
