"""Buildings as CityJSONSeq 2.0: a header line with the transform and the CRS, then one CityJSONFeature a building.

The bytes depend on the features alone: keys sorted, no spaces, vertices as integer millimetres from the translation, values
that are not finite left out. Any rank may format its features (`feature_line`); one writes the lines (`write_lines`). A file
appears under its name only when it is complete and on disk.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import InputError
from felsina.engine.fields import SURFACE_TYPES

SCALE = 0.001  # m; vertices are whole millimetres

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_TYPES = {code: _encode({"type": name}) for code, name in SURFACE_TYPES.items()}


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
    attributes : sequence of (mapping or None), one a face, or empty
        What the semantic surface of a face says beside its type (azimuth, slope ...), as `Feature.attributes`. Faces of one
        type that say the same share a semantic surface.
    """

    lod: str
    vertices: NDArray[np.int64]
    faces: Sequence[Sequence[Sequence[int]]]
    types: Sequence[int]
    attributes: Sequence[Mapping[str, Any] | None] = ()


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
        See `header_line`.
    features : iterable of Feature
        Buildings with unique identifiers.
    """
    translate = metadata["translate"]
    seen: set[str] = set()

    def lines() -> Iterator[bytes]:
        yield header_line(metadata)
        for feature in features:
            if feature.id in seen:
                raise InputError(f"Building '{feature.id}' occurs twice; identifiers in '{path}' must be unique.")
            seen.add(feature.id)
            yield feature_line(feature, translate)

    write_lines(path, lines())
    return len(seen)


def write_lines(path: str | Path, lines: Iterable[bytes]) -> None:
    """Write lines that end in a newline, one after the other; the file is replaced at once when the new one is complete."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb", buffering=1 << 20) as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def header_line(metadata: Mapping[str, Any]) -> bytes:
    """Return the first line of a CityJSONSeq.

    Parameters
    ----------
    metadata : mapping
        `crs` (authority and code, "EPSG:28992" or compound "EPSG:7415"), `translate` (three whole metres, so that no vertex
        number is large), and optionally `title` and `identifier`. CityJSON names a CRS by its code: one without a code is
        left out.
    """
    import pyproj  # only the rank that writes needs it

    authority = pyproj.CRS.from_user_input(metadata["crs"]).to_authority()
    about = {"referenceSystem": f"https://www.opengis.net/def/crs/{authority[0]}/0/{authority[1]}"} if authority else {}
    about |= {key: str(metadata[key]) for key in ("identifier", "title") if key in metadata}
    header = {
        "type": "CityJSON",
        "version": "2.0",
        "CityObjects": {},
        "vertices": [],
        "metadata": about,
        "transform": {"scale": [SCALE] * 3, "translate": [int(v) for v in metadata["translate"]]},
    }
    return f"{_encode(header)}\n".encode()


def feature_line(feature: Feature, translate: Sequence[float]) -> bytes:
    """Return the line of a building.

    Parameters
    ----------
    feature : Feature
    translate : three whole numbers [m]
        As the header has them.
    """
    place = _Vertices([int(v) * 1000 for v in translate])
    geometry: list[str] = []
    if feature.footprint:
        rings = _digits([[place(ring) for ring in polygon] for polygon in feature.footprint])
        geometry.append(f'{{"boundaries":{rings},"lod":"0","type":"MultiSurface"}}')
    by_lod: dict[str, list[str]] = {}
    for solid in feature.solids:
        by_lod.setdefault(solid.lod, []).append(_solid(solid, place(solid.vertices)))
    levels = [solids for _, solids in sorted(by_lod.items())]
    n_part = max(map(len, levels), default=0)
    children = [f"{feature.id}-{k + 1}" for k in range(n_part)] if n_part > 1 else []
    if not children:
        geometry.extend(solids[0] for solids in levels)
    entries = [f'"attributes":{_encode(_plain_attributes(feature.attributes))}']
    entries += [f'"children":{_encode(children)}'] if children else []
    entries += [f'"geometry":[{",".join(geometry)}]'] if geometry else []
    objects = {feature.id: f'{{{",".join(entries)},"type":"Building"}}'}
    for k, child in enumerate(children):
        own = ",".join(solids[k] for solids in levels if k < len(solids))
        objects[child] = f'{{"geometry":[{own}],"parents":[{_encode(feature.id)}],"type":"BuildingPart"}}'
    members = ",".join(f"{_encode(name)}:{objects[name]}" for name in sorted(objects))
    name, vertices = _encode(feature.id), _digits(place.positions())
    return f'{{"CityObjects":{{{members}}},"id":{name},"type":"CityJSONFeature","vertices":{vertices}}}\n'.encode()


def prism_solids(prisms: Any, first: int, last: int, lod: str = "1.2") -> list[Solid]:
    """Return the solids `first` to `last` (exclusive) of `kernels.geometry.extrusion.Prisms` for writing."""
    solids = []
    for p in range(first, last):
        start, end = prisms.vertex_offsets[p : p + 2]
        f, g = prisms.solid_offsets[p : p + 2]
        faces = nested_faces(prisms.face_rings, prisms.ring_offsets, prisms.face_offsets[f : g + 1], start)
        solids.append(Solid(lod, prisms.vertices[start:end], faces, prisms.face_type[f:g].tolist()))
    return solids


def nested_faces(
    face_rings: NDArray[np.int64], ring_offsets: NDArray[np.int64], face_offsets: NDArray[np.int64], first_vertex: int = 0
) -> list[list[list[int]]]:
    """Return the faces of a solid as lists of rings of vertex numbers, as `Solid` takes them.

    Parameters
    ----------
    face_rings : (n_corner,) int64
        Vertex numbers of all rings.
    ring_offsets : (n_ring + 1,) int64
        Corners of each ring.
    face_offsets : (n_face + 1,) int64
        Rings of the faces that are wanted; they follow one another.
    first_vertex : int
        Vertex that gets number 0.
    """
    r, s = int(face_offsets[0]), int(face_offsets[-1])
    corner = int(ring_offsets[r])
    # Slices of one list of Python numbers are some ten times quicker than slices of arrays.
    corners = (face_rings[corner : ring_offsets[s]] - first_vertex).tolist()
    rings = [corners[a:b] for a, b in itertools.pairwise((ring_offsets[r : s + 1] - corner).tolist())]
    return [rings[a:b] for a, b in itertools.pairwise((face_offsets - r).tolist())]


class _Vertices:
    """Numbers the positions of a feature; equal ones, which faces of several levels of detail share, get one number."""

    def __init__(self, origin: Sequence[int]) -> None:
        self._origin = np.array(origin, np.int64)
        self._numbers: dict[bytes, int] = {}

    def __call__(self, points: NDArray[np.int64]) -> list[int]:
        """Return the number of each of (n, 3) positions [mm]."""
        place = self._numbers.setdefault
        local = np.ascontiguousarray(np.asarray(points, np.int64) - self._origin)
        # The 24 bytes of a position are a key that is quicker to make and to look up than three numbers.
        return [place(key, len(self._numbers)) for key in local.view("V24").ravel().tolist()]

    def positions(self) -> list[list[int]]:
        """Return the positions by number, from the origin."""
        raw = b"".join(self._numbers)
        found: list[list[int]] = np.frombuffer(raw, np.int64).reshape(-1, 3).tolist()
        return found


def _solid(solid: Solid, numbers: list[int]) -> str:
    faces = _digits([[[numbers[v] for v in ring] for ring in face] for face in solid.faces])
    surfaces, values = _surfaces(solid)
    return (
        f'{{"boundaries":[{faces}],"lod":{_encode(solid.lod)},"semantics":{{"surfaces":[{",".join(surfaces)}],'
        f'"values":[{_digits(values)}]}},"type":"Solid"}}'
    )


def _surfaces(solid: Solid) -> tuple[list[str], list[int]]:
    """Return the semantic surfaces, by type and then as they come, and the number of that of each face."""
    types = [int(t) for t in solid.types]
    if not solid.attributes:
        present = sorted(set(types))
        number = {t: k for k, t in enumerate(present)}
        return [_TYPES[t] for t in present], [number[t] for t in types]
    said = [
        (t, _encode(_plain_attributes(own) | {"type": SURFACE_TYPES[t]}) if own else _TYPES[t])
        for t, own in zip(types, solid.attributes, strict=True)
    ]
    order = {what: k for k, what in enumerate(sorted(dict.fromkeys(said), key=lambda what: what[0]))}
    return [text for _, text in order], [order[what] for what in said]


def _digits(value: Sequence[Any]) -> str:
    """Return nested lists of whole numbers as JSON."""
    return str(value).replace(" ", "")


def _plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in attributes.items():
        value = value.item() if isinstance(value, np.generic) else value
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            continue
        plain[key] = value
    return plain
