"""Files of the built-in district: LAZ tiles, vector layers, truth, weather and city file; a size and a seed fix every byte."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.district.imagery import GAIN, imagery_truth, paint_district
from felsina.engine.district.openings import is_surveyed, open_area
from felsina.engine.district.roof_truth import RoofFaces
from felsina.engine.district.scan import DENSITY, scan_tile, tile_windows
from felsina.engine.district.scene import CRS, ORIGIN, District, build_district
from felsina.engine.district.shapes import Point
from felsina.engine.district.truth import truth_record
from felsina.engine.district.weather import HEATWAVE_DAYS, HEATWAVE_START, epw_text
from felsina.engine.io.imagery import write_image
from felsina.kernels.pointcloud.scanner import scanner_of_density

_DATE = datetime.date(2026, 1, 1)  # in headers instead of today: the same district, the same bytes
_NOW = "2026-01-01T00:00:00.000Z"

_CITY = """\
# The built-in synthetic district. truth.json holds what is true of it.
[city]
name = "felsina district"
crs = "{crs}"
purpose = "research"

[points]
files = ["tiles/*.laz"]
use_classes = true

[footprints]
file = "buildings.gpkg"
id = "building_id"

[landcover]
layers = {{{layers}}}

[imagery]
rgbn = ["orthophoto.tif"]
gain = {{blue = {gain}, green = {gain}, red = {gain}, nir = {gain}}}

[weather]
file = "weather.epw"

[terrain]
resolution_m = 0.5

[buildings]
lods = ["1.2", "1.3", "2.2"]

[energy]
method = "5r1c"
archetypes = "tabula-italy"

[heatwave]
start = "{start}"
days = {days}
resolution_m = 2.0
air_resolution_m = 4.0
air_levels = 16
buffer_m = 0.0

[[input]]
path = "*"
licence = "CC0-1.0"
holder = "felsina"
"""


def write_district(directory: str | Path, size_m: float = 256.0, seed: int = 1) -> Path:
    """Generate a district and write all that a run needs, and the truth; return the path of its city.toml.

    Files: tiles/*.laz, buildings.gpkg, one .gpkg per kind of land cover, orthophoto.tif, weather.epw, truth.json and
    truth_imagery.json, city.toml. The same size and seed give the same bytes.
    """
    folder = Path(directory)
    district = build_district(size_m, seed)
    (folder / "tiles").mkdir(parents=True, exist_ok=True)
    for stale in (folder / "tiles").glob("*.laz"):
        stale.unlink()
    scanner = scanner_of_density(DENSITY)
    for window in tile_windows(size_m):
        name = f"tile_{window[0] // 1000:05d}_{window[1] // 1000:05d}.laz"
        write_tile(folder / "tiles" / name, scan_tile(district, window, scanner))
    write_buildings(folder / "buildings.gpkg", district)
    layers = write_landcover(folder, district)
    photo = paint_district(district)
    write_image(folder / "orthophoto.tif", photo.pixels, photo.west, photo.north, photo.resolution, CRS)
    write_json(folder / "truth.json", truth_record(district))
    write_json(folder / "truth_imagery.json", {"buildings": imagery_truth(district)})
    (folder / "weather.epw").write_text(epw_text(seed), encoding="ascii", newline="\n")
    return write_city(folder / "city.toml", layers, HEATWAVE_START, HEATWAVE_DAYS)


def write_tile(path: Path, points: Mapping[str, NDArray[Any]]) -> None:
    """Write the columns of `scan_tile` as LAZ 1.4, point format 6, millimetres, with the CRS."""
    import laspy
    import pyproj

    header = laspy.LasHeader(version="1.4", point_format=6)
    header.creation_date = _DATE
    header.system_identifier, header.generating_software = "felsina scanner", "felsina"
    header.scales = np.full(3, 0.001)
    header.offsets = np.array([*ORIGIN, 0.0])
    header.add_crs(pyproj.CRS.from_user_input(CRS))
    record = laspy.LasData(header, laspy.ScaleAwarePointRecord.zeros(points["X"].size, header=header))
    for name, values in points.items():
        record[name] = values
    record.write(str(path), laz_backend=laspy.LazBackend.Lazrs)


def write_buildings(path: Path, district: District) -> None:
    """Write footprints with `building_id`, `construction_year`, `use`, `floors`, `residents`, and what is known of openings.

    `portico` (0 or 1), `portico_area_m2`, `portico_depth_m`, `portico_height_m`, `underpass_area_m2` are empty where no survey
    has been; the footprint covers porticoes and underpasses, for it is the outline of the storeys above.
    """
    buildings = district.buildings
    unknown = np.array([not is_surveyed(b.building_id) for b in buildings])
    closed = unknown | np.array([b.portico_length == 0.0 for b in buildings])
    columns = {
        "building_id": np.array([b.building_id for b in buildings], object),
        "construction_year": np.array([b.construction_year for b in buildings], np.int32),
        "use": np.array([b.use for b in buildings], object),
        "floors": np.array([b.floors for b in buildings], np.int32),
        "residents": np.array([b.residents for b in buildings], np.int32),
        "portico": np.array([int(b.portico_length > 0.0) for b in buildings], np.int32),
        "portico_area_m2": np.array([round(open_area(b.openings, "portico"), 2) for b in buildings]),
        "portico_depth_m": np.array([round(b.portico_depth, 2) for b in buildings]),
        "portico_height_m": np.array([round(b.portico_height, 2) for b in buildings]),
        "underpass_area_m2": np.array([round(open_area(b.openings, "underpass"), 2) for b in buildings]),
    }
    empty = {"portico": unknown, "portico_area_m2": unknown, "underpass_area_m2": unknown}
    empty |= {"portico_depth_m": closed, "portico_height_m": closed}
    _write_polygons(path, [[b.ring] for b in buildings], columns, empty)


def read_roof_faces(path: Path, lod: str = "2.2") -> RoofFaces:
    """Read the roof surfaces of the solids of a level from a CityJSONSeq."""
    names: list[str] = []
    faces: list[list[NDArray[np.float64]]] = []
    with open(path, encoding="utf-8") as file:
        transform = json.loads(file.readline())["transform"]
        scale, shift = np.array(transform["scale"]), np.array(transform["translate"])
        for line in file:
            feature = json.loads(line)
            vertices = np.array(feature["vertices"], np.float64).reshape(-1, 3) * scale + shift
            solids = [g for o in feature["CityObjects"].values() for g in o.get("geometry", []) if g["type"] == "Solid"]
            for solid in (g for g in solids if g["lod"] == lod):
                kinds = [s["type"] for s in solid["semantics"]["surfaces"]]
                for face, value in zip(solid["boundaries"][0], solid["semantics"]["values"][0], strict=True):
                    if kinds[value] == "RoofSurface":
                        names.append(feature["id"])
                        faces.append([vertices[ring] for ring in face])
    return RoofFaces(names, faces)


def write_landcover(folder: Path, district: District) -> dict[str, str]:
    """Write one polygon layer per kind of cover that the district has; return file names by kind.

    Streets run from the middle of the carriageway to the block; what lies outside the last street is green.
    """
    s = district.size
    square = [(0.0, 0.0), (s, 0.0), (s, s), (0.0, s)]
    covers: dict[str, list[list[list[Point]]]] = {"green": [], "road": [], "water": [], "bare": []}
    for block, cell in zip(district.blocks, district.cells, strict=True):
        covers["road"].append([cell, block.ring])
        covers[block.cover].append([block.ring])
        covers["water"] += [[pond] for pond in block.ponds]
    layers = {}
    for kind, polygons in covers.items():
        if kind == "green":
            polygons = [*polygons, [_frame(square), district.outline]]
        if polygons:
            layers[kind] = f"{kind}.gpkg"
            _write_polygons(folder / layers[kind], polygons, {"cover": np.array([kind] * len(polygons), object)})
    return layers


def _frame(square: list[Point]) -> list[Point]:
    """Return the square with eight metres to spare: streets wander a few metres over its edge."""
    (w, s), _, (e, n), _ = square
    return [(w - 8.0, s - 8.0), (e + 8.0, s - 8.0), (e + 8.0, n + 8.0), (w - 8.0, n + 8.0)]


def _write_polygons(
    path: Path,
    polygons: Iterable[list[list[Point]]],
    columns: Mapping[str, NDArray[Any]],
    empty: Mapping[str, NDArray[np.bool_]] | None = None,
) -> None:
    """Write polygons (shell, then holes, from the district's corner) as a GeoPackage whose time stamps stand still.

    `empty` tells for columns which of their values are not known.
    """
    import pyogrio
    import shapely

    made = [
        shapely.Polygon([(x + ORIGIN[0], y + ORIGIN[1]) for x, y in rings[0]], [_absolute(r) for r in rings[1:]])
        for rings in polygons
    ]
    path.unlink(missing_ok=True)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _NOW})
    try:
        pyogrio.raw.write(
            path, shapely.to_wkb(np.array(made, object)), list(columns.values()), list(columns), crs=CRS, driver="GPKG",
            layer=path.stem, geometry_type="Polygon", field_mask=[(empty or {}).get(name) for name in columns],
        )  # fmt: skip
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _absolute(ring: list[Point]) -> list[Point]:
    return [(x + ORIGIN[0], y + ORIGIN[1]) for x, y in ring]


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write plain values as JSON, one building or tree a line."""
    rows = []
    for key, value in record.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            text = "[\n" + ",\n".join("  " + json.dumps(v) for v in value) + "\n ]"
        else:
            text = json.dumps(value)
        rows.append(f" {json.dumps(key)}: {text}")
    path.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8", newline="\n")


def write_city(path: Path, layers: Mapping[str, str], start: str, days: int) -> Path:
    """Write the city file, last and in one step: where it lies, everything that it names lies too."""
    covers = ", ".join(f'{k} = "{v}"' for k, v in layers.items())
    text = _CITY.format(crs=CRS, layers=covers, gain=GAIN, start=start, days=days)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)
    return path
