"""The file of one simulated building: netCDF-4 (HDF5), zones by months and hours, light by surfaces and windows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from felsina.engine.clock import Clock
from felsina.engine.errors import ProductError
from felsina.engine.io.disk import DiskFile, publish
from felsina.engine.io.layout import FILTERS, TEXT, set_attributes
from felsina.engine.version import __version__


def write_building_file(
    path: Path,
    title: str,
    clock: Clock,
    zones: tuple[str, ...],
    values: Mapping[str, NDArray[np.float64]],
    described: Mapping[str, tuple[str, str]],
    surfaces: Mapping[str, Mapping[str, NDArray[np.float64]]],
    inputs: Mapping[str, str],
) -> None:
    """Write the file at once under its name: no half-written file is ever seen.

    Parameters
    ----------
    path : the file
    values : name -> (zone,), (zone, month) or (zone, time)
    described : name -> (units, long name)
    surfaces : variable -> name of the surface -> (time,) [W m-2]
    inputs : name -> SHA-256 of what it was made from
    """

    def fill(file: h5py.File, _: DiskFile) -> None:
        attributes = {"Conventions": "CF-1.11", "title": title, "source": f"felsina {__version__}"}
        set_attributes(file, attributes | {f"sha256_{k}": v for k, v in sorted(inputs.items())})
        sizes = {"month": 12, "time": clock.n}
        scales = {"zone": _names(file, "zone", zones)}
        scales["month"] = _numbers(file, "month", np.arange(1, 13, dtype=np.int32), "1", "month of the year")
        ends = clock.seconds_since_1970().astype(np.float64)
        scales["time"] = _numbers(file, "time", ends, "seconds since 1970-01-01 00:00:00", "end of the interval, UTC")
        for name, array in values.items():
            dims = ["zone", *(d for d, n in sizes.items() if array.shape[1:] == (n,))]
            _variable(file, name, array, dims, scales, *described[name])
        for name, series in surfaces.items():
            if series:
                dim = f"{name}_surface"
                scales[dim] = _names(file, dim, tuple(series))
                _variable(file, name, np.stack(list(series.values())), [dim, "time"], scales, "W m-2", name.replace("_", " "))

    def check(written: Path) -> None:
        with h5py.File(written, "r") as file:
            for name, array in values.items():
                if file[name].shape != array.shape or not np.isfinite(file[name][...]).all():
                    raise ProductError(f"'{path.name}': {name} has values that are not finite. Check the description.")

    publish(path, fill, check)


def _names(file: h5py.File, name: str, texts: tuple[str, ...]) -> Any:
    scale = file.create_dataset(name, data=np.array(texts, dtype=object), dtype=TEXT)
    scale.make_scale(name)
    return scale


def _numbers(file: h5py.File, name: str, data: NDArray[Any], units: str, long_name: str) -> Any:
    scale = file.create_dataset(name, data=data)
    scale.make_scale(name)
    set_attributes(scale, {"units": units, "long_name": long_name})
    return scale


def _variable(
    file: h5py.File, name: str, array: NDArray[Any], dims: list[str], scales: Mapping[str, Any], units: str, long_name: str
) -> None:
    packed = dict(FILTERS) if array.ndim == 2 and array.size > 1000 else {}
    data = file.create_dataset(name, data=array, **packed)
    for axis, dim in enumerate(dims):
        data.dims[axis].attach_scale(scales[dim])
    set_attributes(data, {"units": units, "long_name": long_name})
