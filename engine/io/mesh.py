"""Meshes of buildings, once for UGRID and once for VTK: shared arrays are one dataset with two names.

VTKHDF 2.2 PolyData beside UGRID 1.0. What was learnt by opening it: `node_coordinates` has two names (a third breaks uxarray);
connectivity and offsets are both int64 (VTK 9.3 finds no cells otherwise); all four cell kinds exist; a cell array named as a
netCDF dimension breaks `open_datatree`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from felsina.engine.fields import Field
from felsina.engine.io.layout import Layout, boxes, chunk_shape, create, field_attributes, set_attributes
from felsina.engine.io.quantise import published, quantise
from felsina.engine.schema import storage_dtype

POINT_QUANTUM = 0.001  # m
_KINDS = ("Vertices", "Lines", "Strips", "Polygons")
_I8 = np.dtype("<i8")
_F8 = np.dtype("<f8")


@dataclass
class Mesh:
    """The triangles of all buildings, on the root.

    Attributes
    ----------
    points : (n_node, 3) float
        x, y, z in the CRS [m].
    faces : (n_face, 3) int
        Rows of `points`, counter-clockwise seen from outside.
    face_fields : name -> (n_face,) or (n_time, n_face)
        Rows of the table on `mesh_face` become UGRID variables with a second name in VTK; others are VTK arrays alone.
    building_fields : name -> (n_building,) or (n_time, n_building)
        Spread over the faces by `mesh_face_building`; VTK arrays alone.
    """

    points: NDArray[np.float64]
    faces: NDArray[np.int32]
    face_fields: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    building_fields: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def dims(self) -> dict[str, int]:
        """Sizes of the mesh dimensions."""
        return {"mesh_node": len(self.points), "mesh_face": len(self.faces), "mesh_max_face_nodes": 3}


def cell_name(name: str, dims: Mapping[str, int]) -> str:
    """Return the name of a variable as a VTK cell array: `mesh_face_surface_type` -> `surface_type`.

    >>> cell_name("mesh_face_building", {"building": 3})
    'building_index'
    """
    short = name.removeprefix("mesh_face_")
    return f"{short}_index" if short in dims else short


def write_mesh(
    layout: Layout, mesh: Mesh, rows: Mapping[str, Field], precision: Mapping[str, float], check: Callable[[], None]
) -> None:
    """Write the mesh of a file: UGRID variables in the root group, then the group VTKHDF.

    Parameters
    ----------
    layout : of the file; knows the mesh dimensions
    mesh : what to write
    rows : the fields of the product, for units and names
    precision : quantisation steps that differ from the table's
    check : called after each dataset; raises when the disk is full
    """
    points = quantise(mesh.points, POINT_QUANTUM, _F8)
    faces = np.ascontiguousarray(mesh.faces, np.int32)
    shared = _write_ugrid(layout, "/", points, faces, mesh, rows, precision)
    check()
    vtk = layout.file.create_group("VTKHDF", track_order=True)
    vtk.attrs["Version"] = np.array([2, 2], "<i8")
    vtk.attrs.create("Type", b"PolyData", dtype=h5py.string_dtype("ascii", 8))
    _put(vtk, "NumberOfPoints", np.array([len(points)], _I8))
    _put(vtk, "Points", points)
    for kind in _KINDS:
        group = vtk.create_group(kind, track_order=True)
        n = len(faces) if kind == "Polygons" else 0
        _put(group, "NumberOfCells", np.array([n], _I8))
        _put(group, "NumberOfConnectivityIds", np.array([3 * n], _I8))
        _put(group, "Connectivity", faces.reshape(-1).astype(_I8) if n else np.zeros(0, _I8))
        _put(group, "Offsets", np.arange(0, 3 * n + 1, 3, dtype=_I8))
        check()
    cells = vtk.create_group("CellData", track_order=True)
    vtk.create_group("PointData", track_order=True)
    for name, dataset in shared.items():
        cells[cell_name(name, layout.dims)] = dataset  # a hard link
    owner = np.asarray(mesh.face_fields.get("mesh_face_building", np.zeros(len(faces), np.int32)))
    timed: list[str] = []
    extra = {n: (v, None) for n, v in mesh.face_fields.items() if n not in shared}
    for name, (values, rows_of) in {**extra, **{n: (v, owner) for n, v in mesh.building_fields.items()}}.items():
        described = rows.get(name) or Field(name=name, product="", dims=(), units="1", long_name=name.replace("_", " "))
        quantum = precision.get(name, described.quantum)
        cell = cell_name(name, layout.dims)
        _write_cells(cells, cell, np.asarray(values), rows_of, described, quantum, len(faces), check)
        if np.ndim(values) == 2:
            timed.append(cell)
    if timed:
        _write_steps(vtk, layout.seconds("time"), timed, list(cells), len(faces))


def write_further_mesh(
    layout: Layout, group: str, mesh: Mesh, rows: Mapping[str, Field], precision: Mapping[str, float], check: Callable[[], None]
) -> None:
    """Write a mesh of another level of detail: UGRID variables in a group of their own, without a second name for VTK.

    Parameters
    ----------
    group : its name, "/lod12"
    layout, mesh, rows, precision, check : as in `write_mesh`
    """
    # Dimensions of their own: xarray's trees ask that those of a group fit their parent's.
    own = {f"{_prefix(group)}{name}": size for name, size in mesh.dims.items()}
    inner = Layout(layout.file, own, layout.crs, {}, layout.utc_offset)
    points = quantise(mesh.points, POINT_QUANTUM, _F8)
    _write_ugrid(inner, group, points, np.ascontiguousarray(mesh.faces, np.int32), mesh, rows, precision)
    check()


def _write_ugrid(
    layout: Layout,
    group: str,
    points: NDArray[np.float64],
    faces: NDArray[np.int32],
    mesh: Mesh,
    rows: Mapping[str, Field],
    precision: Mapping[str, float],
) -> dict[str, Any]:
    node_dim, face_dim, corner_dim = (f"{_prefix(group)}{name}" for name in mesh.dims)
    file = layout.group(group, (node_dim, face_dim, corner_dim))
    topology = create(file, "mesh", (), np.dtype("<i4"))
    topology[()] = 0
    set_attributes(
        topology,
        {"cf_role": "mesh_topology", "long_name": "surfaces of the buildings", "topology_dimension": np.int32(2)}
        | {"node_coordinates": "mesh_node_x mesh_node_y", "face_node_connectivity": "mesh_face_nodes"}
        | {"face_dimension": face_dim},
    )
    node = {"units": "m", "quantum": np.float64(POINT_QUANTUM)}
    axes: tuple[dict[str, Any], ...] = (
        {"standard_name": "projection_x_coordinate", "long_name": "easting of the node", **node},
        {"standard_name": "projection_y_coordinate", "long_name": "northing of the node", **node},
        {"standard_name": "altitude", "long_name": "elevation of the node", "positive": "up", "mesh": "mesh", **node}
        | {"location": "node"},
    )
    for axis, attributes in zip("xyz", axes, strict=True):
        dataset = _put(file, f"mesh_node_{axis}", np.ascontiguousarray(points[:, "xyz".index(axis)]))
        layout.attach(dataset, group, (node_dim,))
        set_attributes(dataset, attributes)
    dataset = _put(file, "mesh_face_nodes", faces)
    layout.attach(dataset, group, (face_dim, corner_dim))
    set_attributes(
        dataset,
        {"cf_role": "face_node_connectivity", "long_name": "nodes of each face", "start_index": np.int32(0)},
    )
    shared = {}
    for name, described in rows.items():
        if described.dims == ("mesh_face",) and name in mesh.face_fields:
            quantum = precision.get(name, described.quantum)
            values = published(described, mesh.face_fields[name], quantum)
            shared[name] = _put(file, name, values)
            layout.attach(shared[name], group, (face_dim,))
            set_attributes(shared[name], field_attributes(described, quantum, located=False))
    return shared


def _prefix(group: str) -> str:
    """Return what the names of the dimensions of a group's mesh begin with."""
    name = group.strip("/")
    return f"{name}_" if name else ""


def _put(group: Any, name: str, values: NDArray[Any]) -> Any:
    """Write an array that is in memory, chunk by chunk in ascending order."""
    chunk = tuple(max(1, n) for n in (min(values.shape[0], 65_536), *values.shape[1:]))
    dataset = create(group, name, values.shape, values.dtype, chunk)
    for box in boxes(values.shape, chunk):
        part = tuple(slice(a, b) for a, b in box)
        dataset[part] = values[part]
    return dataset


def _write_cells(
    cells: Any,
    name: str,
    values: NDArray[Any],
    owner: NDArray[Any] | None,
    described: Field,
    quantum: float,
    n_face: int,
    check: Callable[[], None],
) -> None:
    """Write a VTK cell array: (n_face,), or all steps one after the other, never more than two steps in memory."""
    steps = values if values.ndim == 2 else values[None]
    dtype = storage_dtype(described)
    total = len(steps) * n_face
    chunk = chunk_shape(("cell",), (total,))
    dataset = create(cells, name, (total,), dtype, chunk)
    set_attributes(dataset, {"long_name": described.long_name, "units": described.units})
    held: dict[int, NDArray[Any]] = {}
    for ((first, last),) in boxes((total,), chunk):
        wanted = range(first // n_face, (last - 1) // n_face + 1)
        for step in wanted:
            if step not in held:
                row = published(described, steps[step], quantum)
                held[step] = row if owner is None else row[owner]
        held = {s: held[s] for s in wanted}
        joined = np.concatenate([held[s] for s in wanted]) if len(held) > 1 else held[wanted[0]]
        offset = wanted[0] * n_face
        dataset[first:last] = joined[first - offset : last - offset]
        check()


def _write_steps(vtk: Any, seconds: NDArray[np.float64], timed: list[str], arrays: list[str], n_face: int) -> None:
    n = len(seconds)
    steps = vtk.create_group("Steps", track_order=True)
    steps.attrs["NSteps"] = np.int64(n)
    zero = np.zeros(n, _I8)
    _put(steps, "Values", seconds)
    _put(steps, "PartOffsets", zero)
    _put(steps, "NumberOfParts", np.ones(n, _I8))
    _put(steps, "PointOffsets", zero)
    _put(steps, "CellOffsets", np.zeros((n, len(_KINDS)), _I8))
    _put(steps, "ConnectivityIdOffsets", np.zeros((n, len(_KINDS)), _I8))
    offsets = steps.create_group("CellDataOffsets", track_order=True)
    for name in arrays:
        _put(offsets, name, np.arange(n, dtype=_I8) * n_face if name in timed else zero)
    steps.create_group("PointDataOffsets", track_order=True)
