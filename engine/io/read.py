"""Reading products back with HDF5 alone: fields, tables, meshes and the grid, for the jobs that stand on them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import ProductError
from felsina.engine.grid import Grid
from felsina.engine.schema import main_group, product_of

Index = slice | int


@contextmanager
def opened(path: str | Path) -> Iterator[tuple[h5py.File, str]]:
    """Open a product for reading: (file, product).

    Raises
    ------
    ProductError
        When the file is missing, damaged, no product, or of another major schema version.
    """
    path = Path(path)
    if not path.is_file():
        raise ProductError(f"'{path}' is missing. Run the job that makes it first.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ProductError(f"'{path}' is damaged or no HDF5 file: {error}. Make it anew with --force.") from error
    with file:
        yield file, product_of(text_attribute(file, "felsina_schema"), path.name)


def read_field(path: str | Path, name: str, region: Sequence[Index] | Index | None = None) -> NDArray[Any]:
    """Read a variable, or a region of it.

    Parameters
    ----------
    path : a product file
    name : a field, or a variable of the layout ("x", "time", "mesh_node_z", "mesh_face_nodes")
    region : a slice or index per dimension; the whole when absent

    Returns
    -------
    Numbers in the stored dtype; texts as str objects. NaN marks missing floats.
    """
    with opened(path) as (file, product):
        return _read(_variable(file, product, name, path), region)


def read_table(path: str | Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read several whole variables of one product."""
    with opened(path) as (file, product):
        return {name: _read(_variable(file, product, name, path), None) for name in names}


def read_mesh(path: str | Path, group: str = "/") -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Read the triangles of a product: points (n_node, 3) [m] and faces (n_face, 3); those of a further mesh by its group."""
    with opened(path) as (file, _):
        if group not in file or "mesh_face_nodes" not in file[group]:
            raise ProductError(f"'{path}' holds no mesh in '{group}'.")
        held = file[group]
        points = np.stack([held[f"mesh_node_{axis}"][:] for axis in "xyz"], axis=1)
        return points, held["mesh_face_nodes"][:]


def further_meshes(path: str | Path) -> list[str]:
    """Return the names of the groups with meshes of other levels of detail."""
    with opened(path) as (file, _):
        return [name for name, item in file.items() if isinstance(item, h5py.Group) and "mesh" in item]


def variables(path: str | Path) -> list[str]:
    """Return the names of the variables in the main group of a product, dimensions without values left out."""
    with opened(path) as (file, product):
        return [
            name for name, item in file[main_group(product)].items() if isinstance(item, h5py.Dataset) and not is_bare(item)
        ]


def product_attrs(path: str | Path) -> dict[str, Any]:
    """Return the attributes of a product, with `product`, `crs`, `configuration`, its hash and `inputs` as plain values."""
    with opened(path) as (file, product):
        found = {name: attribute(file, name) for name in file.attrs}
        group = file["felsina"]
        found |= {name: attribute(group, name) for name in group.attrs}
        for name in ("configuration", "inputs"):
            found[name] = json.loads(group[name][()])
        return found | {"product": product}


def product_grid(path: str | Path) -> Grid:
    """Return the grid of a gridded product."""
    with opened(path) as (file, product):
        group = file[main_group(product)]
        if "x" not in group or "y" not in group:
            raise ProductError(f"'{path}' holds no grid.")
        x, y = group["x"][:], group["y"][:]
        crs = text_attribute(file["felsina"], "crs")
    if len(x) + len(y) < 3:
        raise ProductError(f"'{path}' holds a grid of one cell, which has no cell size.")
    # Edges of a grid are decimal multiples of its cell size; a nanometre is far below any and above the rounding of centres.
    step = round(float(x[-1] - x[0]) / (len(x) - 1) if len(x) > 1 else float(y[0] - y[-1]) / (len(y) - 1), 9)
    west, north = round(float(x[0]) - 0.5 * step, 9), round(float(y[0]) + 0.5 * step, 9)
    return Grid(crs, west, north, step, len(x), len(y))


def attribute(item: Any, name: str) -> Any:
    """Return an attribute as text, number or list."""
    value = item.attrs[name]
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        values = [v.decode() if isinstance(v, bytes) else v for v in value.reshape(-1).tolist()]
        return values[0] if len(values) == 1 else values
    return value.item() if isinstance(value, np.generic) else value


def text_attribute(item: Any, name: str) -> str:
    """Return an attribute as text; empty where there is none."""
    return str(attribute(item, name)) if name in item.attrs else ""


def is_bare(dataset: Any) -> bool:
    """Return whether a dataset is a netCDF dimension without values."""
    return text_attribute(dataset, "NAME").startswith("This is a netCDF dimension but not a netCDF variable.")


def _variable(file: h5py.File, product: str, name: str, path: str | Path) -> Any:
    for group in dict.fromkeys((main_group(product), "/")):
        item = file[group].get(name)
        if isinstance(item, h5py.Dataset):
            return item
    raise ProductError(f"'{path}' has no variable '{name}'; it has {', '.join(_names(file[main_group(product)]))}.")


def _names(group: Any) -> list[str]:
    return [name for name, item in group.items() if isinstance(item, h5py.Dataset) and not is_bare(item)]


def _read(dataset: Any, region: Sequence[Index] | Index | None) -> NDArray[Any]:
    chosen = () if region is None else tuple(region) if isinstance(region, Sequence) else region
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return np.asarray(dataset.asstr()[chosen], object)
    return np.asarray(dataset[chosen])
