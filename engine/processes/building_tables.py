"""What units leave in their journals, and the published columns and features that follow from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.engine.fields import fields_of
from felsina.engine.io.cityjson import Feature, Solid, nested_faces
from felsina.engine.io.vector import Footprints
from felsina.engine.processes.building_facts import COLUMNS
from felsina.engine.processes.building_surfaces import Mesh, Shells, Surfaces
from felsina.engine.processes.building_unit import UnitResult
from felsina.engine.processes.buildings import Heights, footprint_areas
from felsina.engine.processes.reconstruction import LODS
from felsina.engine.processes.roof_models import RoofTable, roof_columns
from felsina.engine.processes.solids import Solids
from felsina.kernels.geometry.extrusion import ROOF, WALL
from felsina.kernels.geometry.heights import NO_HEIGHT
from felsina.kernels.geometry.party_walls import Walls

Arrays = Mapping[str, NDArray[Any]]


class Rows(NamedTuple):
    """Tables of consecutive rows; see `building_unit.UnitResult`."""

    heights: Heights
    roofs: RoofTable
    volume: NDArray[np.float64]
    columns: Arrays
    evidence: NDArray[np.float64]


_FIELDS = fields_of("buildings")
_SHELLS: dict[str, Any] = {"surfaces": Surfaces, "walls": Walls, "mesh": Mesh, "lowest": Mesh}
_RESULT: dict[str, Any] = {"heights": Heights, "roofs": RoofTable, "solids": Solids}
TABLES = [f"{t}.{n}" for t, kind in {**_SHELLS, **_RESULT}.items() for n in kind._fields if t != "solids"]
TABLES += ["volume", "evidence", *(f"columns.{n}" for n in COLUMNS)]
SOLIDS = [f"solids.{n}" for n in Solids._fields]


def packed(result: UnitResult, shells: Shells) -> dict[str, NDArray[Any]]:
    """Return all that a unit leaves, as named arrays."""
    tables = {t: getattr(shells, t) for t in _SHELLS} | {t: getattr(result, t) for t in _RESULT}
    return {f"{t}.{n}": getattr(v, n) for t, v in tables.items() for n in v._fields} | {
        "volume": result.volume,
        "evidence": result.evidence,
        **{f"columns.{n}": result.columns[n] for n in COLUMNS},
    }


def unpacked_shells(arrays: Arrays) -> Shells:
    """Return the shells of a unit."""
    return Shells(**{t: _table(arrays, t, kind) for t, kind in _SHELLS.items()})


def unpacked_solids(arrays: Arrays) -> Solids:
    """Return the solids of a unit."""
    solids: Solids = _table(arrays, "solids", Solids)
    return solids


def unpacked_rows(arrays: Arrays) -> Rows:
    """Return the tables of a unit."""
    columns = {n: arrays[f"columns.{n}"] for n in COLUMNS}
    heights, roofs = _table(arrays, "heights", Heights), _table(arrays, "roofs", RoofTable)
    return Rows(heights, roofs, arrays["volume"], columns, arrays["evidence"])


def joined_rows(parts: Sequence[Rows]) -> Rows:
    """Put tables of consecutive rows together; there is at least one."""
    return Rows(
        Heights(*(np.concatenate(column) for column in zip(*(p.heights for p in parts), strict=True))),
        RoofTable(*(np.concatenate(column) for column in zip(*(p.roofs for p in parts), strict=True))),
        np.concatenate([p.volume for p in parts]),
        {name: np.concatenate([p.columns[name] for p in parts]) for name in COLUMNS},
        np.concatenate([p.evidence for p in parts]),
    )


def _table(arrays: Arrays, name: str, kind: Any) -> Any:
    return kind(*(arrays[f"{name}.{n}"] for n in kind._fields))


def rows_between(footprints: Footprints, first: int, last: int) -> Footprints:
    """Return the footprints `first` to `last` (exclusive)."""
    f, s = footprints, slice(first, last)
    return replace(
        f,
        ids=f.ids[s],
        geometry=f.geometry[s],
        attributes={name: values[s] for name, values in f.attributes.items()},
        rejected=f.rejected[s],
        reason=f.reason[s],
        sentence=f.sentence[s],
        overlap_area=f.overlap_area[s],
    )


def building_columns(
    footprints: Footprints,
    rows: Rows,
    party_wall_area: NDArray[np.float64],
    derived: bool,
    only_blocks: bool,
) -> dict[str, Any]:
    """Return the columns of the building table by field.

    Parameters
    ----------
    footprints, rows : of n buildings
    party_wall_area : (n,) of the solid of the highest level [m2]
    derived : whether the outlines come from the points
    only_blocks : nothing above LoD1.2 was wanted
    """
    h, roofs, n = rows.heights, rows.roofs, len(footprints)
    has_solid = h.roof != NO_HEIGHT
    x, y = representative_points(footprints)
    columns: dict[str, Any] = {
        "building_id": np.array(footprints.ids, object),
        "building_status": h.status,
        "building_reason": h.reason,
        "building_lod": np.where(has_solid, np.array(LODS, object)[roofs.level], np.where(footprints.rejected, "", "0")).astype(
            object
        ),
        "building_derived": np.full(n, derived, np.int8),
        "building_height": np.where(has_solid, (h.roof - h.ground) / 1000.0, np.nan),
        "building_ground_elevation": np.where(footprints.rejected, np.nan, h.ground / 1000.0),
        "building_roof_elevation": np.where(has_solid, h.roof / 1000.0, np.nan),
        "building_footprint_area": footprint_areas(footprints.polygons()),
        "building_volume": np.where(has_solid, rows.volume, np.nan),
        "building_coverage": h.coverage,
        "building_point_density": h.density,
        "building_point_count": h.n_point.astype(np.int32),
        "building_party_wall_area": np.where(has_solid, party_wall_area, np.nan),
        "building_overlap_area": footprints.overlap_area,
        "building_x": np.where(footprints.rejected, np.nan, x),
        "building_y": np.where(footprints.rejected, np.nan, y),
    }
    columns |= rows.columns
    columns |= {} if only_blocks else roof_columns(roofs)
    known = footprints.attributes
    if "construction_year" in known:
        columns["building_construction_year"] = np.clip(known["construction_year"], 0, 32767).astype(np.int16)
    if "floors" in known:
        columns["building_floors"] = np.clip(known["floors"], 0, 32767).astype(np.int16)
    if "use" in known:
        columns["building_use"] = known["use"]
    if "residents" in known:
        columns["building_residents"] = known["residents"].astype(np.int32)
    return columns


def surface_columns(surfaces: Surfaces, party_area: NDArray[np.float64], first_row: int) -> dict[str, NDArray[Any]]:
    """Return the columns of the surface table by field; the buildings start at `first_row`."""
    return {
        "surface_building": (surfaces.row + first_row).astype(np.int32),
        "surface_type": surfaces.kind,
        "surface_area": surfaces.area,
        "surface_tilt": surfaces.tilt,
        "surface_azimuth": surfaces.azimuth,
        "surface_party_area": party_area,
    }


def representative_points(footprints: Footprints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return easting and northing [m] of a point inside each footprint; of the largest part; 0 where there is no geometry."""
    places = []
    for parts in footprints.geometry:
        largest = max(parts, key=lambda p: p.area, default=None)
        point = None if largest is None else largest.representative_point()
        places.append((0.0, 0.0) if point is None else (point.x, point.y))
    xy = np.array(places, np.float64).reshape(-1, 2)
    return xy[:, 0], xy[:, 1]


def features(
    footprints: Footprints,
    columns: Mapping[str, Any],
    ground: NDArray[np.int64],
    solids: Solids,
    columns_of_faces: Mapping[str, NDArray[Any]],
) -> Iterator[Feature]:
    """Yield the buildings of some rows as CityJSON features.

    Parameters
    ----------
    footprints, columns, ground : of n buildings; `ground` [mm]
    solids : of all levels, by building and level
    columns_of_faces : the surface table of the same buildings, of the highest level of each: its faces get attributes
    """
    names = [n for n in columns if n.startswith("building_") and n not in ("building_id", "building_x", "building_y")]
    first = np.searchsorted(solids.row, np.arange(len(footprints) + 1))
    surface = 0
    for row, name in enumerate(footprints.ids):
        attributes = {n: plain(n, columns[n][row]) for n in names}
        mine = range(int(first[row]), int(first[row + 1]))
        top = max((int(solids.level[k]) for k in mine), default=0)
        made = []
        for k in mine:
            f, g = (int(v) for v in solids.solid_offsets[k : k + 2])
            meaning = []
            if solids.level[k] == top:
                meaning = _meanings(columns_of_faces, surface, surface + g - f)
                surface += g - f
            a, b = (int(v) for v in solids.vertex_offsets[k : k + 2])
            faces = nested_faces(solids.face_rings, solids.ring_offsets, solids.face_offsets[f : g + 1], a)
            lod = LODS[int(solids.level[k])]
            made.append(Solid(lod, solids.vertices[a:b], faces, solids.face_type[f:g].tolist(), meaning))
        outline = [] if footprints.rejected[row] else _outline(footprints, row, int(ground[row]))
        yield Feature(name, attributes, outline, made)


def _meanings(columns: Mapping[str, NDArray[Any]], first: int, last: int) -> list[dict[str, float] | None]:
    """Return what semantic surfaces say of themselves: roofs their slope and azimuth, walls what they share."""
    kind, tilt, azimuth, shared = (
        columns[f"surface_{n}"][first:last].tolist() for n in ("type", "tilt", "azimuth", "party_area")
    )
    out: list[dict[str, float] | None] = []
    for k, t, a, s in zip(kind, tilt, azimuth, shared, strict=True):
        if k == ROOF:
            out.append({"azimuth": round(a, 2), "slope": round(t, 2)})
        else:
            out.append({"party_wall_area": round(s, 3)} if k == WALL and s > 0 else None)
    return out


def _outline(footprints: Footprints, row: int, ground_mm: int) -> list[list[NDArray[np.int64]]]:
    """Return the polygons of a footprint at ground height, as rings of whole millimetres."""
    return [
        [
            np.column_stack(
                (np.rint(np.asarray(ring.coords)[:-1, :2] * 1000).astype(np.int64), np.full(len(ring.coords) - 1, ground_mm))
            )
            for ring in (polygon.exterior, *polygon.interiors)
        ]
        for polygon in footprints.geometry[row]
    ]


def plain(name: str, value: Any) -> Any:
    """Return a value of a building field as JSON takes it: codes as words, numbers to their published step."""
    described = _FIELDS[name]
    if described.flags:
        return described.flags[int(value)]
    if described.dtype == "str":
        return str(value)
    if described.dtype.startswith("i"):
        return int(value)
    return round(float(value), 4) if np.isfinite(value) else None
