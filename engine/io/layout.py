"""How a product looks inside: CF grid groups, dimension scales, attributes, chunk shapes. What it says, not when it is written.

Every group that holds variables is complete in itself (coordinates, `crs`), so that readers which open one group need nothing
else. Attributes are fixed-length texts; texts in tables are variable-length UTF-8, the only form that xarray decodes alike
with both engines.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from felsina.engine.fields import Field
from felsina.engine.schema import storage_dtype

Box = tuple[tuple[int, int], ...]

GRID_CHUNK = 512  # cells of a chunk edge in y and x: 1 MiB of f4
ROW_CHUNK = 65_536  # values of a chunk everywhere else
GZIP_LEVEL = 1  # level 4 made hourly maps 8 % smaller in 1.4 times the time
FILTERS: dict[str, Any] = {"compression": "gzip", "compression_opts": GZIP_LEVEL, "shuffle": True, "fletcher32": True}
TEXT = h5py.string_dtype("utf-8")
_BARE = "This is a netCDF dimension but not a netCDF variable."

_COORDINATES: dict[str, dict[str, Any]] = {
    "x": {"standard_name": "projection_x_coordinate", "long_name": "easting", "units": "m", "axis": "X"},
    "y": {"standard_name": "projection_y_coordinate", "long_name": "northing", "units": "m", "axis": "Y"},
    "month": {"long_name": "month of the year", "units": "1"},
}


def chunk_shape(dims: Sequence[str], shape: Sequence[int]) -> tuple[int, ...]:
    """Return the chunk shape of a variable; it follows from its dimensions and sizes alone.

    512 cells in y and x; elsewhere up to 65,536 values, the first axis taking what the others leave (at least 1).
    """
    chunk = [min(n, GRID_CHUNK if d in ("y", "x") else ROW_CHUNK) for d, n in zip(dims, shape, strict=True)]
    if dims and dims[0] not in ("y", "x"):
        chunk[0] = max(1, min(shape[0], ROW_CHUNK // max(1, prod(chunk[1:]))))
    return tuple(max(1, n) for n in chunk)


def strips(dims: Sequence[str], shape: Sequence[int]) -> Iterator[Box]:
    """Yield the boxes that are written one after the other: a row of chunks along the last axis, in ascending order.

    A table of one axis goes chunk by chunk. No strip is larger than one time step of a map or one chunk row.
    """
    if 0 in shape:
        return
    chunk = list(chunk_shape(dims, shape))
    if len(shape) > 1:
        chunk[-1] = shape[-1]
    yield from boxes(shape, chunk)


def boxes(shape: Sequence[int], chunk: Sequence[int], start: Sequence[int] | None = None) -> Iterator[Box]:
    """Yield the boxes of a regular cut in ascending (C) order, shifted by `start`."""
    first = start or [0] * len(shape)
    counts = [-(-n // c) for n, c in zip(shape, chunk, strict=True)]
    for index in np.ndindex(*counts):
        yield tuple((s + i * c, s + min(n, (i + 1) * c)) for s, i, c, n in zip(first, index, chunk, shape, strict=True))


def window(box: Box) -> tuple[slice, ...]:
    """Return a box as slices."""
    return tuple(slice(a, b) for a, b in box)


def set_attributes(target: Any, attributes: Mapping[str, Any]) -> None:
    """Write attributes: texts as fixed-length ASCII or UTF-8, numbers as arrays of one axis. Empty texts are left out."""
    for name, value in attributes.items():
        if isinstance(value, str):
            raw = value.encode()
            if raw:
                target.attrs.create(name, raw, dtype=h5py.string_dtype("ascii" if value.isascii() else "utf-8", len(raw)))
        else:
            target.attrs[name] = np.atleast_1d(value)


@dataclass
class Layout:
    """Makes groups, dimensions and variables of one file.

    Attributes
    ----------
    file : the file that is written
    dims : size of every dimension
    crs : horizontal CRS, "EPSG:7791"
    coordinates : x, y [m], time and time_bnds as datetime64 in UTC, month
    utc_offset : "+01:00", or empty
    """

    file: h5py.File
    dims: Mapping[str, int]
    crs: str
    coordinates: Mapping[str, NDArray[Any]]
    utc_offset: str = ""
    _scales: dict[tuple[str, str], Any] = field(default_factory=dict)

    def group(self, name: str, dims: Sequence[str]) -> Any:
        """Return a group; the first call writes its grid mapping, dimensions and coordinates."""
        target = self.file if name == "/" else self.file.get(name)
        if target is None:
            target = self.file.create_group(name, track_order=True)
        if "crs" not in target:
            _write_crs(target, self.crs)
        for dim in dims:
            if (name, dim) not in self._scales:
                self._scales[name, dim] = self._dimension(target, dim)
        return target

    def variable(self, described: Field, attributes: Mapping[str, Any]) -> Any:
        """Create the dataset of a field, empty; chunked and compressed unless it holds texts or nothing."""
        group = self.group(described.group, described.dims)
        shape = tuple(self.dims[d] for d in described.dims)
        if described.dtype == "str":
            dataset = create(group, described.name, shape, TEXT)
        else:
            dtype = storage_dtype(described)
            dataset = create(group, described.name, shape, dtype, chunk_shape(described.dims, shape))
        self.attach(dataset, described.group, described.dims)
        set_attributes(dataset, attributes)
        return dataset

    def attach(self, dataset: Any, group: str, dims: Sequence[str]) -> None:
        """Attach the dimension scales of a group to a dataset."""
        for axis, dim in enumerate(dims):
            dataset.dims[axis].attach_scale(self._scales[group, dim])

    def seconds(self, name: str) -> NDArray[np.float64]:
        """Return `time` or `time_bnds` as seconds since the reference day."""
        stamps = np.asarray(self.coordinates[name]).astype("datetime64[s]")
        return (stamps - np.datetime64(self._reference())).astype("timedelta64[s]").astype(np.float64)

    def _reference(self) -> datetime.date:
        first = np.asarray(self.coordinates["time_bnds"]).astype("datetime64[s]").reshape(-1)[0]
        return first.astype("datetime64[D]").astype(datetime.date)

    def _dimension(self, group: Any, dim: str) -> Any:
        if dim == "time":
            return self._time(group)
        if dim == "month" and "month" not in self.coordinates:
            values: Any = np.arange(1, self.dims[dim] + 1, dtype="i1")
        elif dim in self.coordinates:
            values = np.asarray(self.coordinates[dim])
        else:
            scale = create(group, dim, (self.dims[dim],), np.dtype("<f4"))
            scale.make_scale(f"{_BARE}{self.dims[dim]:10d}")
            return scale
        scale = create(group, dim, values.shape, values.dtype)
        scale[...] = values
        scale.make_scale(dim)
        set_attributes(scale, _COORDINATES.get(dim, {}))
        return scale

    def _time(self, group: Any) -> Any:
        units = f"seconds since {self._reference().isoformat()} 00:00:00"
        scale = create(group, "time", (self.dims["time"],), np.dtype("<f8"))
        scale[...] = self.seconds("time")
        scale.make_scale("time")
        set_attributes(
            scale,
            {"standard_name": "time", "long_name": "end of the interval, UTC", "units": units, "calendar": "standard"}
            | {"units_metadata": "leap_seconds: none", "axis": "T", "bounds": "time_bnds", "utc_offset": self.utc_offset},
        )
        if "bnds" not in group:
            pair = create(group, "bnds", (2,), np.dtype("<f4"))
            pair.make_scale(f"{_BARE}{2:10d}")
        bounds = create(group, "time_bnds", (self.dims["time"], 2), np.dtype("<f8"))
        bounds[...] = self.seconds("time_bnds")
        bounds.dims[0].attach_scale(scale)
        bounds.dims[1].attach_scale(group["bnds"])
        return scale


def create(group: Any, name: str, shape: tuple[int, ...], dtype: Any, chunks: tuple[int, ...] | None = None) -> Any:
    """Create a dataset without a clock in it; compressed when it has chunks and values."""
    options: dict[str, Any] = {"track_times": False, "track_order": True}
    if chunks is not None and 0 not in shape:
        # Filled on allocation: the unused rim of an edge chunk is otherwise whatever was in memory.
        options |= {**FILTERS, "chunks": chunks, "fill_time": "alloc"}
        options["fillvalue"] = dtype.type(np.nan) if dtype.kind == "f" else dtype.type(0)
    return group.create_dataset(name, shape, dtype, **options)


def field_attributes(described: Field, quantum: float, *, located: bool, coordinate: bool = False) -> dict[str, Any]:
    """Return the attributes of a field's variable.

    Parameters
    ----------
    described : the row of the table
    quantum : the quantisation step in force
    located : whether `building_x` and `building_y` are in the same group
    coordinate : whether the variable serves as a coordinate (no `_FillValue`)
    """
    dtype = storage_dtype(described)
    attributes: dict[str, Any] = {"long_name": described.long_name, "standard_name": described.standard_name}
    if described.flags:
        attributes["flag_values"] = np.array(list(described.flags), dtype)
        attributes["flag_meanings"] = " ".join(described.flags.values())
    elif described.dtype != "str":
        attributes["units"] = described.units
    attributes["cell_methods"] = described.cell_methods
    if "y" in described.dims and "x" in described.dims:
        attributes["grid_mapping"] = "crs"
    if "mesh_face" in described.dims:
        attributes |= {"mesh": "mesh", "location": "face"}
    if "building" in described.dims and located and not coordinate:
        attributes |= {"coordinates": "building_x building_y", "grid_mapping": "crs"}
    if dtype.kind == "f":
        if quantum:
            attributes["quantum"] = np.float64(quantum)
        if not coordinate:
            attributes["_FillValue"] = dtype.type(np.nan)
    return attributes


def _write_crs(group: Any, crs: str) -> None:
    import pyproj  # only the rank that writes needs it

    variable = create(group, "crs", (), np.dtype("<i4"))
    variable[()] = 0
    set_attributes(variable, pyproj.CRS.from_user_input(crs).to_cf())
