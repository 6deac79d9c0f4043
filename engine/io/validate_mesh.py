"""Checking the mesh of a product: indices in range, and UGRID and VTK telling the same."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from felsina.engine.fields import PRODUCTS
from felsina.engine.io.read import is_bare, text_attribute

_KINDS = ("Vertices", "Lines", "Strips", "Polygons")
# Index variable -> the variable that has one entry per thing it points at.
_POINTERS = {
    "mesh_face_building": "building_id",
    "mesh_face_surface": "surface_type",
    "surface_building": "building_id",
    "mesh_face_nodes": "mesh_node_x",
}


def mesh_findings(file: h5py.File, product: str) -> list[str]:
    """Return the findings on `/mesh*`, the surface table and `/VTKHDF`."""
    found = _pointer_findings(file, file)
    for group in file.values():
        if isinstance(group, h5py.Group) and "mesh" in group:
            found += _pointer_findings(group, file)
    if not PRODUCTS[product].vtkhdf:
        return found
    if "mesh" not in file:
        return [*found, "mesh: missing"]
    if text_attribute(file["mesh"], "node_coordinates") != "mesh_node_x mesh_node_y":
        found.append(f"mesh: node_coordinates is '{text_attribute(file['mesh'], 'node_coordinates')}'; expected two names")
    if "VTKHDF" not in file:
        return [*found, "VTKHDF: missing"]
    return found + _vtk_findings(file, file["VTKHDF"])


def _pointer_findings(group: Any, file: h5py.File) -> list[str]:
    """Check that the indices of a group point at something, in the group or else in the tables of the file."""
    found = []
    for name, target in _POINTERS.items():
        held = group.get(target, file.get(target))
        if name in group and held is not None and group[name].size:
            values, n = group[name][:], len(held)
            if values.min() < 0 or values.max() >= n:
                bad = int(values.min()) if values.min() < 0 else int(values.max())
                where = "" if group == file else f"{group.name}/"
                found.append(f"{where}{name}: {bad} points outside the {n} rows of {target}")
    return found


def _vtk_findings(file: h5py.File, vtk: Any) -> list[str]:
    found = []
    if text_attribute(vtk, "Type") != "PolyData" or list(vtk.attrs.get("Version", ())) != [2, 2]:
        found.append(f"VTKHDF: Type '{text_attribute(vtk, 'Type')}', Version {vtk.attrs.get('Version')}; expected PolyData 2.2")
    points = vtk["Points"][:]
    if points.shape != (int(vtk["NumberOfPoints"][0]), 3):
        found.append(f"VTKHDF/Points: has shape {points.shape}; NumberOfPoints is {vtk['NumberOfPoints'][0]}")
    elif not np.isfinite(points).all():
        found.append("VTKHDF/Points: a coordinate is not finite")
    elif any(not np.array_equal(points[:, i], file[f"mesh_node_{axis}"][:]) for i, axis in enumerate("xyz")):
        found.append("VTKHDF/Points: differ from mesh_node_x, mesh_node_y, mesh_node_z")
    for kind in _KINDS:
        found += _cells_findings(vtk, kind)
    if not found and not np.array_equal(vtk["Polygons/Connectivity"][:], file["mesh_face_nodes"][:].reshape(-1)):
        found.append("VTKHDF/Polygons: connectivity differs from mesh_face_nodes")
    return found + _array_findings(file, vtk)


def _cells_findings(vtk: Any, kind: str) -> list[str]:
    if kind not in vtk:
        return [f"VTKHDF/{kind}: missing; VTK needs all four kinds"]
    group, found = vtk[kind], []
    offsets, connectivity = group["Offsets"][:], group["Connectivity"]
    for name, dataset in (("Offsets", group["Offsets"]), ("Connectivity", connectivity)):
        if dataset.dtype != np.int64:
            found.append(f"VTKHDF/{kind}/{name}: dtype is {dataset.dtype}; VTK 9.3 reads int64 only")
    if len(offsets) != int(group["NumberOfCells"][0]) + 1:
        found.append(f"VTKHDF/{kind}/Offsets: {len(offsets)} values for {group['NumberOfCells'][0]} cells")
    elif (np.diff(offsets) < 0).any() or offsets[0] != 0 or offsets[-1] != len(connectivity):
        found.append(f"VTKHDF/{kind}/Offsets: do not end at the {len(connectivity)} connectivity entries")
    if len(connectivity) != int(group["NumberOfConnectivityIds"][0]):
        found.append(f"VTKHDF/{kind}/Connectivity: NumberOfConnectivityIds is {group['NumberOfConnectivityIds'][0]}")
    return found


def _array_findings(file: h5py.File, vtk: Any) -> list[str]:
    """Check the cell arrays: lengths, steps, names, and that shared ones are one dataset with two names."""
    found = []
    n_face = int(vtk["Polygons/NumberOfCells"][0])
    steps = vtk.get("Steps")
    n_step = 1 if steps is None else int(steps.attrs["NSteps"])
    dimensions = {n for n, item in file.items() if isinstance(item, h5py.Dataset) and item.is_scale}
    for name, dataset in vtk["CellData"].items():
        if name in dimensions:
            found.append(f"VTKHDF/CellData/{name}: has the name of a netCDF dimension, which breaks open_datatree")
        if len(dataset) not in (n_face, n_step * n_face):
            found.append(f"VTKHDF/CellData/{name}: {len(dataset)} values for {n_face} faces and {n_step} steps")
        if dataset.dtype.kind == "f":
            for a in range(0, len(dataset), 1 << 20):
                if np.isinf(dataset[a : a + (1 << 20)]).any():
                    found.append(f"VTKHDF/CellData/{name}: inf after value {a}")
                    break
        if steps is not None:
            offsets = steps["CellDataOffsets"].get(name)
            stride = n_face if len(dataset) > n_face else 0
            if offsets is None or not np.array_equal(offsets[:], np.arange(n_step) * stride):
                found.append(f"VTKHDF/Steps/CellDataOffsets/{name}: missing or wrong")
    for name, item in file.items():
        if name.startswith("mesh_face_") and name != "mesh_face_nodes" and not is_bare(item) and not _is_shared(item, vtk):
            found.append(f"{name}: VTKHDF/CellData holds no second name of it")
    if steps is not None:
        found += [
            f"VTKHDF/Steps/{name}: {len(steps[name])} entries for {n_step} steps"
            for name in ("Values", "PartOffsets", "NumberOfParts", "PointOffsets", "CellOffsets", "ConnectivityIdOffsets")
            if len(steps[name]) != n_step
        ]
    return found


def _is_shared(dataset: Any, vtk: Any) -> bool:
    return any(dataset == other for other in vtk["CellData"].values())
