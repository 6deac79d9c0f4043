"""Opening a run as one lazy tree: one node per product, dask chunks as stored, CRS decoded, local time beside UTC."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np
import xarray as xr

from felsina.engine.errors import InputError, ProductError
from felsina.engine.fields import PRODUCTS
from felsina.engine.io.read import further_meshes, product_attrs
from felsina.engine.schema import main_group


def open_run(path: str | PathLike[str]) -> xr.DataTree:
    """Open a run directory, or one product of it.

    Parameters
    ----------
    path : a run directory, or a product file

    Returns
    -------
    xarray.DataTree
        Nodes named as the products that are there (terrain, buildings, energy, microclimate, city). Variables are dask arrays
        in the chunks of the file; `crs` is a coordinate; `local_time` stands beside `time`, which is UTC and labels the end
        of an interval. Meshes of other levels of detail are nodes below their product, `buildings/lod12`.

    Raises
    ------
    InputError
        When there is no product, or a file is not felsina's.
    """
    path = Path(path)
    files = [path] if path.is_file() else [path / p.file for p in PRODUCTS.values() if (path / p.file).is_file()]
    if not files:
        names = ", ".join(p.file for p in PRODUCTS.values())
        raise InputError(f"'{path}' holds no product of felsina; expected a run directory with one of {names}.")
    nodes = {name: dataset for file in files for name, dataset in _nodes(file)}
    return xr.DataTree.from_dict(nodes, name=path.name)


def _nodes(path: Path) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield the names and contents of the nodes of a product."""
    product, dataset = _node(path)
    yield product, dataset
    for group in further_meshes(path):
        yield f"{product}/{group}", xr.open_dataset(path, engine="h5netcdf", group=group, chunks={}, decode_coords="all")


def _node(path: Path) -> tuple[str, xr.Dataset]:
    try:
        attrs = product_attrs(path)
    except ProductError as error:
        raise InputError(str(error)) from error
    product = attrs["product"]
    # Both engines open the file; h5netcdf needs no second HDF5 library beside that of h5py.
    dataset = xr.open_dataset(
        path,
        engine="h5netcdf",
        group=main_group(product),
        chunks={},
        decode_coords="all",
        decode_timedelta=False,
    )
    dataset = dataset.set_coords("crs")  # also where no variable is on a map
    dataset.attrs = {k: v for k, v in attrs.items() if k not in ("configuration", "inputs")}
    offset = attrs.get("utc_offset", "")
    if "time" in dataset.dims and offset:
        dataset = dataset.assign_coords(local_time=("time", dataset["time"].values + _minutes(offset)))
        dataset["local_time"].attrs = {"long_name": f"end of the interval, UTC{offset}"}
    return product, dataset


def _minutes(offset: str) -> np.timedelta64:
    """Return "+01:30" as 90 minutes."""
    sign = -1 if offset.startswith("-") else 1
    hours, minutes = offset[1:].split(":")
    return np.timedelta64(sign * (60 * int(hours) + int(minutes)), "m")
