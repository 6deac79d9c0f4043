"""One CityJSON 2.0 file from a CityJSONSeq: the features one after the other, with one list of vertices.

Memory holds one feature and the identifiers: vertices wait in a file without a name until the objects are written. Vertices are
those of the features, moved to their place in the common list; what neighbours share stays in it twice.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import ProductError, UsageError

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def features_of(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the header and then every feature of a CityJSONSeq.

    Raises
    ------
    ProductError
        When the file is missing or a line is no JSON, or of another type than it should be.
    """
    path = Path(path)
    if not path.is_file():
        raise ProductError(f"'{path}' is missing. Make it first: felsina buildings CITY.toml --out {path.parent} --force")
    with open(path, encoding="utf-8") as file:
        number = 0
        for number, line in enumerate(file, 1):
            try:
                value = json.loads(line)
            except ValueError as error:
                raise ProductError(f"'{path}', line {number}, is no JSON: {error}. Make it anew with --force.") from error
            wanted = "CityJSON" if number == 1 else "CityJSONFeature"
            if not isinstance(value, dict) or value.get("type") != wanted:
                raise ProductError(f"'{path}', line {number}, is no {wanted}. Make it anew with --force.")
            yield value
    if number == 0:
        raise ProductError(f"'{path}' is empty. Make it anew with --force.")


def write_cityjson(source: str | Path, target: str | Path, lods: Collection[str] = ()) -> int:
    """Write a CityJSON file from a CityJSONSeq; return the number of buildings.

    Parameters
    ----------
    source : path of a CityJSONSeq
    target : path of the file; it is replaced at once when the new one is complete
    lods : levels of detail to keep ("0", "1.2", ...); all when empty

    Raises
    ------
    ProductError
        When the source is missing or damaged.
    UsageError
        When the source has none of a level.
    """
    target = Path(target)
    part = target.with_name(target.name + ".part")
    lines = features_of(source)
    header = next(lines)
    names = {feature["id"] for feature in lines}
    found: set[str] = set()
    n = first = 0
    low, high = np.full(3, np.iinfo(np.int64).max), np.full(3, np.iinfo(np.int64).min)
    try:
        with open(part, "wb", buffering=1 << 20) as file, tempfile.TemporaryFile(dir=target.parent) as waiting:
            file.write(b'{"CityObjects":{')
            lines = features_of(source)
            next(lines)
            for feature in lines:
                found |= {g["lod"] for o in feature["CityObjects"].values() for g in o.get("geometry", ())}
                objects, vertices = _moved(feature, lods, first, names)
                file.write(("," if n else "").encode() + _encode(objects)[1:-1].encode())
                if len(vertices):
                    waiting.write(("," if first else "").encode() + _encode(vertices.tolist())[1:-1].encode())
                    low, high = np.minimum(low, vertices.min(axis=0)), np.maximum(high, vertices.max(axis=0))
                first += len(vertices)
                n += 1
            if missing := sorted(set(lods) - found):
                has = ", ".join(sorted(found)) or "none"
                raise UsageError(f"'{source}' has no solids of LoD {', '.join(missing)}; it has {has}.")
            _finish(file, header, (low, high) if first else None, waiting)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return n


def _finish(
    file: BinaryIO, header: dict[str, Any], extent: tuple[NDArray[np.int64], NDArray[np.int64]] | None, waiting: BinaryIO
) -> None:
    """Write what follows the objects, in the order of the keys: metadata, transform, type, version, vertices."""
    transform = header["transform"]
    about = dict(header.get("metadata", {}))
    if extent is not None:
        scale, translate = (np.array(transform[key], np.float64) for key in ("scale", "translate"))
        about["geographicalExtent"] = [round(float(v), 9) for corner in extent for v in corner * scale + translate]
    rest = {"metadata": about, "transform": transform, "type": "CityJSON", "version": header["version"]}
    file.write(f'}},{_encode(rest)[1:-1]},"vertices":['.encode())
    waiting.seek(0)
    shutil.copyfileobj(waiting, file, 1 << 20)
    file.write(b"]}\n")


def _moved(
    feature: dict[str, Any], lods: Collection[str], first: int, names: set[str]
) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """Return the objects of a feature with vertices numbered from `first`, and the vertices they use.

    A part whose identifier is that of another building gets another: identifiers are unique in a feature, not yet in a file.
    """
    objects = feature["CityObjects"]
    taken = {old: _free(old, names) for old in objects if old != feature["id"]}
    vertices = np.array(feature["vertices"], np.int64).reshape(-1, 3)
    kept = {key: [g for g in thing.get("geometry", ()) if not lods or g["lod"] in lods] for key, thing in objects.items()}
    used = np.zeros(len(vertices), bool)
    for geometry in (g for geometries in kept.values() for g in geometries):
        used[list(_corners(geometry["boundaries"]))] = True
    numbers = (first - 1 + np.cumsum(used)).tolist()
    moved = {}
    for key, thing in objects.items():
        new = {name: value for name, value in thing.items() if name != "geometry"}
        if kept[key]:
            new["geometry"] = [g | {"boundaries": _numbered(g["boundaries"], numbers)} for g in kept[key]]
        if "children" in new:
            new["children"] = [taken.get(child, child) for child in new["children"]]
        moved[taken.get(key, key)] = new
    return moved, vertices[used]


def _free(name: str, names: set[str]) -> str:
    while name in names:
        name += "_"
    names.add(name)
    return name


def _corners(boundaries: list[Any]) -> Iterator[int]:
    for item in boundaries:
        if isinstance(item, list):
            yield from _corners(item)
        else:
            yield item


def _numbered(boundaries: list[Any], numbers: list[int]) -> list[Any]:
    if boundaries and not isinstance(boundaries[0], list):
        return [numbers[v] for v in boundaries]
    return [_numbered(item, numbers) for item in boundaries]
