"""Checking products against their schema: one line per finding, naming file, variable and value."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import ProductError
from felsina.engine.fields import PRODUCTS, Field
from felsina.engine.io.layout import strips, window
from felsina.engine.io.quantise import quantise
from felsina.engine.io.read import attribute, is_bare, opened, text_attribute
from felsina.engine.io.validate_mesh import mesh_findings
from felsina.engine.schema import LAYOUT_VARIABLES, main_group, rows, schema_id, storage_dtype

_REQUIRED_ATTRIBUTES = ("Conventions", "title", "institution", "source", "references", "felsina_schema")
_COORDINATES = ("x", "y", "time", "month")
_TABLES = {"buildings": "building", "energy": "energy", "city": "building"}
# What a row that succeeded cannot lack.
_NEEDED_ON_SUCCESS = {
    "buildings": ("building_height", "building_volume"),
    "energy": ("annual_heating_need", "annual_cooling_need"),
}


def validate_file(path: str | Path) -> list[str]:
    """Return the findings on one product file; empty where it is valid."""
    path = Path(path)
    name = path.name.removesuffix(".part")
    found: list[str] = []
    try:
        with opened(path) as (file, product):
            if name in {p.file for p in PRODUCTS.values()} and name != PRODUCTS[product].file:
                found.append(f"felsina_schema: {schema_id(product)} in a file named {name}")
            found += _file_findings(file, product)
            found += _variable_findings(file, product)
            found += _coordinate_findings(file)
            found += _table_findings(file, product)
            found += mesh_findings(file, product)
    except ProductError as error:
        found.append(str(error))
    except (OSError, RuntimeError, KeyError) as error:
        found.append(f"cannot be read to its end: {error}")
    return [f"{name}: {finding}" for finding in found]


def validate_run(directory: str | Path) -> list[str]:
    """Return the findings on all products of a run directory, and on how they fit together."""
    folder = Path(directory)
    present = {n: folder / p.file for n, p in PRODUCTS.items() if (folder / p.file).exists()}
    if not present:
        return [f"{folder}: no product; expected one of {', '.join(p.file for p in PRODUCTS.values())}"]
    found = [f for path in present.values() for f in validate_file(path)]
    found += [f"{p.name}: left over from an interrupted publication" for p in sorted(folder.glob("*.part"))]
    found += _record_findings(folder, present)
    for name, path in present.items():
        link = path.with_suffix(".vtkhdf")
        if PRODUCTS[name].vtkhdf and link.exists() and not os.path.samefile(path, link):
            found.append(f"{link.name}: is not {path.name} but another file; VTK readers see something else")
    if not found:
        found += _join_findings(present)
    return found


def _file_findings(file: h5py.File, product: str) -> list[str]:
    found = [f"attribute {a} is missing" for a in _REQUIRED_ATTRIBUTES if not text_attribute(file, a)]
    if "history" in file.attrs:
        found.append(f"attribute history is '{text_attribute(file, 'history')}': clocks and commands belong in run.json")
    group = file.get("felsina")
    if group is None:
        return [*found, "group /felsina is missing"]
    if text_attribute(group, "schema") != text_attribute(file, "felsina_schema"):
        found.append(f"/felsina: schema is '{text_attribute(group, 'schema')}'; the file says otherwise")
    for name in ("configuration", "inputs"):
        if name not in group:
            return [*found, f"/felsina/{name} is missing"]
    raw = bytes(group["configuration"][()])
    if hashlib.sha256(raw).hexdigest() != text_attribute(group, "configuration_sha256"):
        found.append("/felsina: configuration_sha256 is not the hash of the configuration")
    if "execution" in json.loads(raw):
        found.append("/felsina: configuration holds [execution], which may not enter a product")
    grid = file.get(main_group(product))
    for where in {"/": file, main_group(product): grid}.values():
        if where is not None and ("crs" not in where or not text_attribute(where["crs"], "crs_wkt")):
            found.append(f"crs: missing, or without crs_wkt, in {where.name}")
    return found


def _variable_findings(file: h5py.File, product: str) -> list[str]:
    found = []
    described = rows(product)
    for name, field in described.items():
        group = file.get(field.group)
        dataset = None if group is None else group.get(name)
        if dataset is None:
            if field.required:
                found.append(f"{name}: required, but missing")
        elif not isinstance(dataset, h5py.Dataset):
            found.append(f"{name}: is no dataset")
        else:
            found += _description_findings(dataset, field) or _value_findings(dataset, field)
    for where in dict.fromkeys(("/", main_group(product))):
        for name, item in file.get(where, {}).items():
            if isinstance(item, h5py.Dataset) and name not in described and name not in LAYOUT_VARIABLES and not is_bare(item):
                found.append(f"{name}: not in the schema {schema_id(product)}")
    return found


def _description_findings(dataset: Any, field: Field) -> list[str]:
    name, found = field.name, []
    if field.dtype == "str":
        if h5py.check_string_dtype(dataset.dtype) is None:
            found.append(f"{name}: dtype is {dataset.dtype}; expected text")
    elif dataset.dtype != storage_dtype(field):
        found.append(f"{name}: dtype is {dataset.dtype}; expected {storage_dtype(field)}")
    dims = dims_of(dataset)
    if dims != field.dims:
        found.append(f"{name}: dims are {dims}; expected {field.dims}")
    if dataset.is_virtual:
        found.append(f"{name}: is a virtual dataset; products hold plain ones")
    if dataset.compression not in (None, "gzip"):
        found.append(f"{name}: compression is {dataset.compression}; expected gzip, which every reader opens")
    expected = {"long_name": field.long_name, "standard_name": field.standard_name}
    if field.flags:
        expected["flag_meanings"] = " ".join(field.flags.values())
        values = np.atleast_1d(dataset.attrs.get("flag_values", ())).tolist()
        if values != list(field.flags):
            found.append(f"{name}: flag_values are {values}; expected {list(field.flags)}")
    elif field.dtype != "str":
        expected["units"] = field.units
    for key, value in expected.items():
        if text_attribute(dataset, key) != value:
            found.append(f"{name}: {key} is '{text_attribute(dataset, key)}'; expected '{value}'")
    return found


def _value_findings(dataset: Any, field: Field) -> list[str]:
    """Look at all values, strip by strip; one finding of a kind, at its first place."""
    found: dict[str, str] = {}
    quantum = float(attribute(dataset, "quantum")) if "quantum" in dataset.attrs else 0.0
    for box in strips(field.dims, dataset.shape):
        values = dataset[window(box)]
        for kind, bad in _bad_values(values, field, quantum).items():
            if kind not in found and bad.any():
                index = tuple(np.argwhere(bad)[0])
                place = tuple(int(i) + a for i, (a, _) in zip(index, box, strict=True))
                value = values[index].decode() if isinstance(values[index], bytes) else values[index].item()
                found[kind] = f"{field.name}: {value!r} at {place} {kind}"
    return list(found.values())


def _bad_values(values: NDArray[Any], field: Field, quantum: float) -> dict[str, NDArray[np.bool_]]:
    if field.dtype == "str":
        empty = values == b""
        return {"is an empty identifier": empty} if field.name.endswith("_id") else {}
    bad: dict[str, NDArray[np.bool_]] = {}
    present = np.ones(values.shape, bool)
    if values.dtype.kind == "f":
        missing = np.isnan(values)
        present = ~missing
        bad["is infinite"] = np.isinf(values)
        if not field.missing:
            bad["is missing, which this field does not allow"] = missing
        if quantum:
            bad[f"is no whole multiple of {quantum:g}"] = present & (values != quantise(values, quantum, values.dtype))
    if field.flags:
        bad[f"is none of {', '.join(map(str, field.flags))}"] = ~np.isin(values, list(field.flags))
    if field.low is not None:
        bad[f"is below {field.low:g} {field.units}"] = present & (values < field.low)
    if field.high is not None:
        bad[f"is above {field.high:g} {field.units}"] = present & (values > field.high)
    return bad


def _coordinate_findings(file: h5py.File) -> list[str]:
    found = []
    groups = [file, *(g for n, g in file.items() if isinstance(g, h5py.Group) and n not in ("VTKHDF", "felsina"))]
    for group in groups:
        for name in _COORDINATES:
            dataset = group.get(name)
            if dataset is None or is_bare(dataset):
                continue
            where = dataset.name
            values = dataset[:].astype(np.float64)
            steps = np.diff(values)
            if not np.isfinite(values).all():
                found.append(f"{where}: has a missing value, which no coordinate may")
            elif len(steps) and not ((steps > 0).all() or (steps < 0).all()):
                at = int(np.argmax(np.sign(steps) != np.sign(steps[0])))
                found.append(f"{where}: is not monotone at {at + 1}: {values[at + 1]}")
            if "_FillValue" in dataset.attrs:
                found.append(f"{where}: has a _FillValue, which no coordinate may")
        if "time" in group:
            found += _time_findings(group)
    return found


def _time_findings(group: Any) -> list[str]:
    found = []
    if text_attribute(group["time"], "units_metadata") != "leap_seconds: none":
        found.append("time: units_metadata is not 'leap_seconds: none'")
    if "time_bnds" not in group:
        return [*found, "time_bnds: missing"]
    bounds, time = group["time_bnds"][:], group["time"][:]
    if not np.array_equal(bounds[:, 1], time):
        found.append("time: is not the end of the interval in time_bnds")
    if (bounds[:, 0] >= bounds[:, 1]).any():
        found.append("time_bnds: an interval ends before it starts")
    return found


def _table_findings(file: h5py.File, product: str) -> list[str]:
    """Check that every building row has a status, and a reason where it did not succeed."""
    prefix = _TABLES.get(product)
    if prefix is None:
        return []
    names = (f"{prefix}_status", f"{prefix}_reason")
    if any(n not in file for n in names):
        return []  # reported as missing before
    status, reason = (file[n][:] for n in names)
    found = []
    silent = np.nonzero((status != 0) & (reason == 0))[0]
    if silent.size:
        found.append(f"{names[1]}: none at row {silent[0]}, whose status is {status[silent[0]]} ({silent.size} such rows)")
    for name in _NEEDED_ON_SUCCESS.get(product, ()):
        if name in file and file[name].shape == status.shape:
            lacking = np.nonzero((status == 0) & ~np.isfinite(file[name][:]))[0]
            if lacking.size:
                found.append(f"{name}: missing at row {lacking[0]}, whose status is success ({lacking.size} such rows)")
    return found


def _record_findings(folder: Path, present: dict[str, Path]) -> list[str]:
    """Compare the files with the hashes in run.json."""
    record = folder / "run.json"
    if not record.exists():
        return []
    try:
        jobs = json.loads(record.read_text(encoding="utf-8")).get("jobs", {})
    except (OSError, json.JSONDecodeError) as error:
        return [f"run.json: cannot be read: {error}"]
    hashes = {entry.get("product"): entry.get("sha256") for entry in jobs.values()}
    found = []
    for path in present.values():
        expected = hashes.get(path.name)
        with path.open("rb") as stream:
            if expected and hashlib.file_digest(stream, "sha256").hexdigest() != expected:
                found.append(f"{path.name}: its SHA-256 is not the one in run.json; it was changed after the run")
    return found


def _join_findings(present: dict[str, Path]) -> list[str]:
    """Check that the products of a run speak of the same buildings."""
    if "buildings" not in present:
        return []
    found = []
    with h5py.File(present["buildings"], "r") as buildings:
        ids = buildings["building_id"][:]
        if "energy" in present:
            with h5py.File(present["energy"], "r") as energy:
                if not np.array_equal(energy["building_id"][:], ids):
                    found.append("energy.nc: building_id: is not that of buildings.nc, row by row")
        if "terrain" in present:
            with h5py.File(present["terrain"], "r") as terrain:
                index = terrain["terrain/building_index"]
                top = max((int(index[window(b)].max()) for b in strips(("y", "x"), index.shape)), default=-1)
                if top >= len(ids):
                    found.append(f"terrain.nc: building_index: {top} has no row in buildings.nc ({len(ids)} rows)")
    return found


def dims_of(dataset: Any) -> tuple[str, ...]:
    """Return the names of the dimension scales of a dataset, in order; empty names where an axis has none."""
    return tuple(d[0].name.rsplit("/", 1)[-1] if len(d) else "" for d in dataset.dims)
