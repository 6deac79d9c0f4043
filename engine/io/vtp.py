"""Meshes as VTK XML PolyData (`.vtp`), for VTK older than 9.3 and all that reads no VTKHDF; several times as a `.pvd`.

Arrays are appended raw, in blocks that zlib compresses. The geometry and what does not change with time is compressed once and
copied into the file of each time. Bytes depend on the product alone.

The formats: VTK file formats, https://docs.vtk.org/en/latest/vtk_file_formats/vtkxml_file_format.html
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from xml.sax.saxutils import quoteattr

import h5py
import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import ProductError, UsageError
from felsina.engine.fields import Field
from felsina.engine.io.mesh import cell_name
from felsina.engine.io.read import opened, read_mesh, variables
from felsina.engine.io.timesteps import ends_of_steps, step_of
from felsina.engine.schema import rows

BLOCK = 1 << 20  # bytes that are compressed together
_LEVEL = 1
_TYPES = {"f4": "Float32", "f8": "Float64", "i1": "Int8", "i2": "Int16", "i4": "Int32", "i8": "Int64", "u1": "UInt8"}
_FACE = "mesh_face_"
_OWNERS = {"building": "mesh_face_building", "surface": "mesh_face_surface"}


class _Cells(NamedTuple):
    """Values on the faces: of a dataset of the file, by way of a table row of each face (None: face by face)."""

    dataset: str
    owner: NDArray[np.int64] | None
    n_step: int
    month: int | None = None


class _Array(NamedTuple):
    """An array in the appended data: its XML and where its bytes lie."""

    xml: str
    offset: int


def write_vtp(
    path: str | Path, target: str | Path, fields: Sequence[str] = (), time: str | None = None, group: str = "/"
) -> list[Path]:
    """Write the mesh of a product with all that lies on its faces, buildings and surfaces; return the files.

    Parameters
    ----------
    path : a product with a mesh
    target : the file "NAME.vtp"; for several times "NAME.pvd" beside "NAME_0000.vtp" ... is written
    fields : names of fields to write; all numbers when empty
    time : "0" for the first time step, or the end of a step, "2015-07-15T13:00"; all steps when absent
    group : of the mesh; that of blocks is "/lod12", of buildings.nc

    Raises
    ------
    ProductError
        When the product has no mesh.
    UsageError
        When a field or a time is not there.
    """
    path, target = Path(path), Path(target).with_suffix(".vtp")
    with opened(path) as (file, product):
        if group not in file or "mesh_face_nodes" not in file[group]:
            what = (
                "mesh; buildings.nc and city.nc have one" if group == "/" else f"mesh in '{group}'; make it with buildings.lods"
            )
            raise ProductError(f"'{path}' has no {what}.")
        cells = _chosen(_cells(path, file, product, group), fields, path)
        seconds, steps = _steps(path, file, max((c.n_step for c in cells.values()), default=0), time)
        points, faces = read_mesh(path, group)
        with tempfile.TemporaryFile(dir=target.parent) as fixed:
            shape = [_put(fixed, "Points", points)]
            polygons = [_put(fixed, "connectivity", faces.reshape(-1).astype("<i8"))]
            polygons.append(_put(fixed, "offsets", np.arange(3, 3 * len(faces) + 1, 3, dtype="<i8")))
            still = {n: _put(fixed, n, _values(file, c, 0, len(faces))) for n, c in cells.items() if not c.n_step}
            size = (len(points), len(faces))
            made = []
            for step in steps:
                name = target if len(steps) == 1 else target.with_name(f"{target.stem}_{step:04d}.vtp")
                moving = {n: _values(file, c, step, len(faces)) for n, c in cells.items() if c.n_step}
                _write(name, size, shape, polygons, still, moving, fixed, None if seconds is None else seconds[step])
                made.append(name)
    if len(steps) > 1 and seconds is not None:
        collection = target.with_suffix(".pvd")
        parts = "".join(
            f'<DataSet timestep="{seconds[step]:.17g}" part="0" file={quoteattr(p.name)}/>\n'
            for step, p in zip(steps, made, strict=True)
        )
        text = f'<VTKFile type="Collection" version="1.0" byte_order="LittleEndian">\n<Collection>\n{parts}</Collection>\n'
        part = collection.with_name(collection.name + ".part")
        part.write_text(text + "</VTKFile>\n", encoding="utf-8")
        os.replace(part, collection)
        made.insert(0, collection)
    return made


def _cells(path: Path, file: h5py.File, product: str, group: str) -> dict[str, _Cells]:
    """Return everything that lies on faces, by the name of its cell array: VTK arrays of the product, then its tables."""
    mesh = file[group]
    n_face = len(mesh["mesh_face_nodes"])
    described = rows(product)
    found: dict[str, _Cells] = {}
    dims = {d: 0 for f in described.values() for d in f.dims}
    shared = file["VTKHDF/CellData"] if group == "/" else {n: d for n, d in mesh.items() if n.startswith(_FACE)}
    for long_name, dataset in shared.items():
        name = cell_name(long_name, dims)
        if name == "nodes":
            continue
        n = len(dataset) // n_face if n_face else 0
        found[name] = _Cells(dataset.name, None, n if n > 1 else 0)
    owners = {dim: mesh[name][:].astype(np.int64) for dim, name in _OWNERS.items() if name in mesh}
    for name in variables(path):
        field = described.get(name)
        if field is None or field.dtype == "str" or not field.dims or cell_name(name, dims) in found:
            continue
        found |= _table_cells(field, owners, file)
    return found


def _table_cells(field: Field, owners: dict[str, NDArray[np.int64]], file: h5py.File) -> dict[str, _Cells]:
    name = field.name
    if field.dims == ("building", "month") and "building" in owners:
        return {f"{name}_{m + 1:02d}": _Cells(name, owners["building"], 0, m) for m in range(file[name].shape[1])}
    if field.dims == ("time", "building") and "building" in owners:
        return {name: _Cells(name, owners["building"], len(file[name]))}
    if len(field.dims) == 1 and field.dims[0] in owners:
        return {name: _Cells(name, owners[field.dims[0]], 0)}
    return {}


def _chosen(cells: dict[str, _Cells], fields: Sequence[str], path: Path) -> dict[str, _Cells]:
    wanted: dict[str, _Cells] = {}
    for name in fields:
        short = name.removeprefix("mesh_face_")
        of_name = {n: c for n, c in cells.items() if short in (n, n.removesuffix("_index"), c.month is not None and n[:-3])}
        if not of_name:
            raise UsageError(f"'{path}' has no field '{name}' of numbers on its mesh; it has {', '.join(cells)}.")
        wanted |= of_name
    return wanted if fields else cells


def _steps(path: Path, file: h5py.File, n: int, time: str | None) -> tuple[NDArray[np.float64] | None, list[int]]:
    """Return the seconds of all steps (None without time) and the steps to write."""
    if n == 0:
        if time is not None:
            raise UsageError(f"--time is {time}, but what was chosen of '{path}' does not change with time.")
        return None, [0]
    steps = "VTKHDF/Steps/Values"
    seconds = np.asarray(file[steps][:] if steps in file else file["time"][:])
    return seconds, list(range(n)) if time is None else [step_of(time, ends_of_steps(file), str(path))]


def _values(file: h5py.File, cells: _Cells, step: int, n_face: int) -> NDArray[Any]:
    dataset = file[cells.dataset]
    if cells.owner is None:
        first = step * n_face if cells.n_step else 0
        return np.asarray(dataset[first : first + n_face])
    if cells.month is not None:
        return np.asarray(dataset[:, cells.month])[cells.owner]
    return np.asarray(dataset[step] if cells.n_step else dataset[:])[cells.owner]


def _put(file: BinaryIO, name: str, values: NDArray[Any]) -> _Array:
    """Append an array: number of blocks, size of a block, of the last one, of each compressed; the blocks."""
    offset = file.tell()
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    raw = little.tobytes()
    blocks = [zlib.compress(raw[a : a + BLOCK], _LEVEL) for a in range(0, len(raw), BLOCK)]
    # The size of the last block counts only where it is not full.
    file.write(np.array([len(blocks), BLOCK, len(raw) % BLOCK, *map(len, blocks)], "<u8").tobytes())
    file.writelines(blocks)
    several = f' NumberOfComponents="{values.shape[1]}"' if values.ndim == 2 else ""
    kind = _TYPES[little.dtype.str[1:]]
    return _Array(f'<DataArray type="{kind}" Name={quoteattr(name)}{several} format="appended" offset="{{}}"/>', offset)


def _write(
    target: Path,
    size: tuple[int, int],
    points: list[_Array],
    polygons: list[_Array],
    still: dict[str, _Array],
    moving: dict[str, NDArray[Any]],
    fixed: BinaryIO,
    seconds: float | None,
) -> None:
    """Write one file: its XML, then the bytes that all times share, then those of this time."""
    fixed.seek(0, os.SEEK_END)
    shared = fixed.tell()
    part = target.with_name(target.name + ".part")
    try:
        with tempfile.TemporaryFile(dir=target.parent) as own, open(part, "wb") as file:
            of_time = {n: _put(own, n, v) for n, v in moving.items()}
            when = "" if seconds is None else _time(seconds)
            arrays = [*still.values(), *(a._replace(offset=a.offset + shared) for a in of_time.values())]
            file.write(
                '<?xml version="1.0"?>\n<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian" header_type="UInt64" '
                f'compressor="vtkZLibDataCompressor">\n<PolyData>\n{when}<Piece NumberOfPoints="{size[0]}" NumberOfVerts="0" '
                f'NumberOfLines="0" NumberOfStrips="0" NumberOfPolys="{size[1]}">\n'
                f"<Points>\n{_xml(points)}</Points>\n<Polys>\n{_xml(polygons)}</Polys>\n<CellData>\n{_xml(arrays)}</CellData>\n"
                '</Piece>\n</PolyData>\n<AppendedData encoding="raw">\n_'.encode()
            )
            for source in (fixed, own):
                source.seek(0)
                shutil.copyfileobj(source, file, 1 << 20)
            file.write(b"\n</AppendedData>\n</VTKFile>\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _xml(arrays: Sequence[_Array]) -> str:
    return "".join(a.xml.format(a.offset) + "\n" for a in arrays)


def _time(seconds: float) -> str:
    return (
        '<FieldData>\n<DataArray type="Float64" Name="TimeValue" NumberOfTuples="1" format="ascii">'
        f"{seconds:.17g}</DataArray>\n</FieldData>\n"
    )
