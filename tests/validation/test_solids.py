"""The check of solids on models of other programs, whose validity val3dity has told."""

from __future__ import annotations

import gzip
import json
from types import SimpleNamespace

import numpy as np
import pytest

from felsina.kernels.geometry.repair import repaired
from felsina.kernels.geometry.solids import check_solids, list_errors


def _flat(solids):
    """Return vertices, corners and offsets of solids given as (vertices, faces as lists of rings)."""
    vertices, corners, rings, faces, offsets, base = [], [], [0], [0], [0], 0
    for points, shell in solids:
        vertices.append(points)
        for face in shell:
            for ring in face:
                corners.extend(base + v for v in ring)
                rings.append(len(corners))
            faces.append(len(rings) - 1)
        offsets.append(len(faces) - 1)
        base += len(points)
    return np.concatenate(vertices), *(np.array(x, np.int64) for x in (corners, rings, faces, offsets))


def _cityjson_solids(path):
    with gzip.open(path, "rt") as file:
        scale = json.loads(next(file))["transform"]["scale"]
        for line in file:
            feature = json.loads(line)
            points = np.array(feature["vertices"], np.int64)
            for thing in feature["CityObjects"].values():
                for geometry in thing.get("geometry", ()):
                    if geometry["type"] == "Solid":
                        yield scale[0], points, geometry["boundaries"][0]


def _obj_solid(path):
    points, faces = [], []
    for words in map(str.split, path.read_text().splitlines()):
        if words[:1] == ["v"]:
            points.append([float(w) for w in words[1:4]])
        elif words[:1] == ["f"]:
            faces.append([[int(w.partition("/")[0]) - 1 for w in words[1:]]])
    return np.rint(np.array(points) * 1000).astype(np.int64), faces


@pytest.mark.parametrize(("scene", "n"), [("delft", 480), ("ign", 15)])
def test_solids_of_roofer_are_valid_as_val3dity_says(felsina_data, scene, n):
    path = felsina_data / "lidar" / "peer_outputs" / f"{scene}_roofer_1.1.0b1.city.jsonl.gz"
    solids = list(_cityjson_solids(path))
    assert len(solids) == n and {s for s, _, _ in solids} == {1e-4}
    arrays = _flat([(points, faces) for _, points, faces in solids])
    assert not check_solids(*arrays, planarity_mm=10.0).any()  # 1 mm: the numbers are tenths of millimetres
    assert len(list_errors(*arrays, planarity_mm=10.0).code) == 0
    # Rounded to the millimetres that felsina writes, they stay valid.
    assert not check_solids((arrays[0] + 5) // 10, *arrays[1:]).any()


def test_no_published_model_of_city3d_on_ahn3_is_valid_as_val3dity_says(felsina_data):
    vtk = pytest.importorskip("vtk")
    paths = sorted((felsina_data / "lidar" / "city3d" / "AHN3").glob("*.obj"))
    arrays = _flat([_obj_solid(path) for path in paths])
    codes = check_solids(*arrays)
    assert len(codes) == 101 and (codes != 0).all()
    found = list_errors(*arrays)
    first = np.array([found.code[found.solid == s].min() for s in range(len(codes))])
    assert (first <= codes).all()
    # Where every ring is sound, edges with one face are seen by VTK as well.
    for s, path in enumerate(paths):
        if codes[s] < 300:
            continue
        reader, points, edges = vtk.vtkOBJReader(), vtk.vtkCleanPolyData(), vtk.vtkFeatureEdges()
        reader.SetFileName(str(path))
        points.SetInputConnection(reader.GetOutputPort())
        points.ToleranceIsAbsoluteOn()
        points.SetAbsoluteTolerance(2e-4)
        points.ConvertPolysToLinesOff()
        edges.SetInputConnection(points.GetOutputPort())
        edges.FeatureEdgesOff()
        edges.NonManifoldEdgesOff()
        edges.ManifoldEdgesOff()
        edges.Update()
        assert (302 in found.code[found.solid == s]) == (edges.GetOutput().GetNumberOfLines() > 0), path.name


def test_models_of_city3d_that_only_look_inwards_can_be_repaired(felsina_data):
    n_repaired = 0
    for path in sorted((felsina_data / "lidar" / "city3d" / "AHN3").glob("*.obj")):
        vertices, corners, rings, faces, offsets = _flat([_obj_solid(path)])
        code = check_solids(vertices, corners, rings, faces, offsets)[0]
        solid = SimpleNamespace(vertices=vertices, face_rings=corners, ring_offsets=rings, face_offsets=faces)
        made = repaired(solid)
        assert (made.code == 0) == (code == 307)
        n_repaired += made.code == 0 and made.done.faces_turned > 0
    assert n_repaired == 10
