"""Buildings as CityJSONSeq 2.0: a header line with the transform and the CRS, then one CityJSONFeature a building.

The bytes depend on the features alone: keys sorted, no spaces, vertices as integer millimetres from the translation, values
that are not finite left out. A file appears under its name only when it is complete and on disk.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import InputError
from felsina.engine.fields import SURFACE_TYPES

SCALE = 0.001  # m; vertices are whole millimetres


@dataclass(frozen=True)
class Solid:
    """A closed shell with its semantic surfaces.

    Attributes
    ----------
    lod : str
        Level of detail, "1.2".
    vertices : (n_vertex, 3) int64
        Positions [mm] in the CRS.
    faces : list of list of list of int
        Vertex numbers of the rings of each face, exterior first, seen from outside anticlockwise.
    types : (n_face,) int
        Code of `fields.SURFACE_TYPES` of each face.
    """

    lod: str
    vertices: NDArray[np.int64]
    faces: Sequence[Sequence[Sequence[int]]]
    types: Sequence[int]


@dataclass(frozen=True)
class Feature:
    """One building: identifier, attributes, footprint and solids.

    Attributes
    ----------
    id : str
        Identifier of the building.
    attributes : mapping
        Names to numbers, texts or truth values; None and what is not finite are left out.
    footprint : sequence of polygons, each a list of (n, 3) int64 rings [mm]
        LoD0 outlines at ground height, anticlockwise from above; empty if there is none.
    solids : sequence of Solid
        Solids of all levels of detail; several of one level are the parts of a building, written as BuildingParts.
    """

    id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    footprint: Sequence[Sequence[NDArray[np.int64]]] = ()
    solids: Sequence[Solid] = ()


def write_cityjsonseq(path: str | Path, metadata: Mapping[str, Any], features: Iterable[Feature]) -> int:
    """Write features in the given order; return their number.

    Parameters
    ----------
    path : str or Path
        File to make, by custom `*.city.jsonl`; replaced at once when the new one is complete.
    metadata : mapping
        `crs` (authority and code, "EPSG:28992" or compound "EPSG:7415"), `translate` (three whole metres, so that no vertex
        number is large), and optionally `title` and `identifier`. CityJSON names a CRS by its code: one without a code is
        left out.
    features : iterable of Feature
        Buildings with unique identifiers.
    """
    path = Path(path)
    translate = [int(v) for v in metadata["translate"]]
    part = path.with_name(path.name + ".part")
    seen: set[str] = set()
    try:
        with open(part, "w", encoding="utf-8", newline="\n") as file:
            file.write(_line(_header(metadata, translate)))
            for feature in features:
                if feature.id in seen:
                    raise InputError(f"Building '{feature.id}' occurs twice; identifiers in '{path}' must be unique.")
                seen.add(feature.id)
                file.write(_line(_feature(feature, np.array(translate, np.int64) * 1000)))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return len(seen)


def prism_solids(prisms: Any, first: int, last: int, lod: str = "1.2") -> list[Solid]:
    """Return the solids `first` to `last` (exclusive) of `kernels.geometry.extrusion.Prisms` for writing."""
    solids = []
    for p in range(first, last):
        start, end = int(prisms.vertex_offsets[p]), int(prisms.vertex_offsets[p + 1])
        faces = []
        for f in range(int(prisms.solid_offsets[p]), int(prisms.solid_offsets[p + 1])):
            rings = range(int(prisms.face_offsets[f]), int(prisms.face_offsets[f + 1]))
            bounds = [(int(prisms.ring_offsets[r]), int(prisms.ring_offsets[r + 1])) for r in rings]
            faces.append([(prisms.face_rings[a:b] - start).tolist() for a, b in bounds])
        types = prisms.face_type[prisms.solid_offsets[p] : prisms.solid_offsets[p + 1]].tolist()
        solids.append(Solid(lod, prisms.vertices[start:end], faces, types))
    return solids


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n"


def _header(metadata: Mapping[str, Any], translate: list[int]) -> dict[str, Any]:
    import pyproj  # only the rank that writes needs it

    authority = pyproj.CRS.from_user_input(metadata["crs"]).to_authority()
    about = {"referenceSystem": f"https://www.opengis.net/def/crs/{authority[0]}/0/{authority[1]}"} if authority else {}
    about |= {key: str(metadata[key]) for key in ("identifier", "title") if key in metadata}
    return {
        "type": "CityJSON",
        "version": "2.0",
        "CityObjects": {},
        "vertices": [],
        "metadata": about,
        "transform": {"scale": [SCALE] * 3, "translate": translate},
    }


def _feature(feature: Feature, origin: NDArray[np.int64]) -> dict[str, Any]:
    vertices: list[list[int]] = []
    numbers: dict[tuple[int, ...], int] = {}

    def place(points: NDArray[np.int64]) -> list[int]:
        """Number positions; equal ones, which faces of several levels of detail share, get one number."""
        out = []
        for point in (np.asarray(points, np.int64) - origin).tolist():
            key = tuple(point)
            if key not in numbers:
                numbers[key] = len(vertices)
                vertices.append(point)
            out.append(numbers[key])
        return out

    geometry: list[dict[str, Any]] = []
    if feature.footprint:
        rings = [[place(ring) for ring in polygon] for polygon in feature.footprint]
        geometry.append({"type": "MultiSurface", "lod": "0", "boundaries": rings})
    by_lod: dict[str, list[dict[str, Any]]] = {}
    for solid in feature.solids:
        by_lod.setdefault(solid.lod, []).append(_solid(solid, place(solid.vertices)))
    n_part = max((len(solids) for solids in by_lod.values()), default=0)
    building: dict[str, Any] = {"type": "Building", "attributes": _plain_attributes(feature.attributes)}
    objects = {feature.id: building}
    if n_part <= 1:
        geometry.extend(solids[0] for _, solids in sorted(by_lod.items()))
    else:
        building["children"] = [f"{feature.id}-{k + 1}" for k in range(n_part)]
        for k, child in enumerate(building["children"]):
            own = [solids[k] for _, solids in sorted(by_lod.items()) if k < len(solids)]
            objects[child] = {"type": "BuildingPart", "parents": [feature.id], "geometry": own}
    if geometry:
        building["geometry"] = geometry
    return {"type": "CityJSONFeature", "id": feature.id, "CityObjects": objects, "vertices": vertices}


def _solid(solid: Solid, numbers: list[int]) -> dict[str, Any]:
    present = sorted(set(solid.types))
    return {
        "type": "Solid",
        "lod": solid.lod,
        "boundaries": [[[[numbers[v] for v in ring] for ring in face] for face in solid.faces]],
        "semantics": {
            "surfaces": [{"type": SURFACE_TYPES[t]} for t in present],
            "values": [[present.index(t) for t in solid.types]],
        },
    }


def _plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in attributes.items():
        value = value.item() if isinstance(value, np.generic) else value
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            continue
        plain[key] = value
    return plain
