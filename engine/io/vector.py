"""Footprints and land-cover polygons from vector files, snapped to integer millimetres and repaired or refused with a reason.

Reads what GDAL's vector drivers read through pyogrio: GeoPackage, GeoJSON, Shapefile, SpatiaLite, FlatGeobuf, GeoParquet.
Nothing here knows points or heights; no raster library is used, cells are filled by a kernel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from felsina.engine.errors import InputError
from felsina.engine.fields import BUILDING_REASONS
from felsina.kernels.geometry.polygons import rasterise_shapes

if TYPE_CHECKING:
    import pyproj

PRECISION_M = 0.001
MIN_AREA_M2 = 1.0  # smaller than a telephone box: a digitising error, not a building
SHORTEST_EDGE_M = 0.01  # finer than any survey; validators join vertices closer than their tolerance
SPIKE_WIDTH_M = 0.002
# Yes or no: 1 or 0, or the words of OpenStreetMap.
FLAGS = ("portico", "arcade", "building_passage")
ATTRIBUTES = (
    "construction_year", "use", "floors", "height_eaves_m", "height_foot_m", *FLAGS, "portico_area_m2", "portico_length_m",
    "portico_depth_m", "portico_height_m", "underpass_area_m2",
)  # fmt: skip
_EXTENSIONS = {
    ".gpkg": "GPKG",
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".shp": "ESRI Shapefile",
    ".sqlite": "SQLite",
    ".db": "SQLite",
    ".fgb": "FlatGeobuf",
    ".parquet": "Parquet",
    ".geoparquet": "Parquet",
}
REASON_CODE = {name: code for code, name in BUILDING_REASONS.items()}
SENTENCES = {
    "none": "",
    "not_a_polygon": "The geometry is no polygon.",
    "empty_geometry": "The geometry is missing or empty.",
    "too_small": f"The footprint is smaller than {MIN_AREA_M2:g} m2.",
    "not_repairable": "Nothing with an area was left after repair.",
    "duplicate_id": "An earlier row has the same identifier.",
}


class Polygons(NamedTuple):
    """Flat arrays of polygons for the kernels; see `kernels.geometry.polygons`.

    Attributes
    ----------
    xy : (n_vertex, 2) int64
        Vertices [mm].
    ring_offsets : (n_ring + 1,) int64
        Vertices of each ring.
    polygon_offsets : (n_polygon + 1,) int64
        Rings of each polygon, exterior first.
    row_offsets : (n_row + 1,) int64
        Polygons of each row (building); a row without geometry has none.
    """

    xy: NDArray[np.int64]
    ring_offsets: NDArray[np.int64]
    polygon_offsets: NDArray[np.int64]
    row_offsets: NDArray[np.int64]

    @property
    def shape_offsets(self) -> NDArray[np.int64]:
        """(n_row + 1,) rings of each row: a building of several parts is one shape."""
        return self.polygon_offsets[self.row_offsets]


@dataclass(frozen=True)
class Footprints:
    """Footprints in the order of their identifiers; one row per row of the file, also where it was refused.

    Attributes
    ----------
    ids : list of str
        Identifiers, ascending; a refused duplicate follows the row that kept its identifier.
    geometry : list of list of shapely.Polygon
        Parts of each building [m], snapped to 1 mm, exteriors anticlockwise; empty where rejected.
    attributes : dict of str to array
        `construction_year`, `floors` (int32, 0 unknown), `use` (str, empty unknown), and as float64, NaN unknown:
        `height_eaves_m`, `height_foot_m`, `portico_area_m2`, `portico_length_m`, `portico_depth_m`, `portico_height_m`,
        `underpass_area_m2`, and `portico`, `arcade`, `building_passage` (1 yes, 0 no), where the file has them.
    rejected : (n,) bool
        True where the row cannot be used.
    reason : (n,) int8
        Code of `fields.BUILDING_REASONS`.
    sentence : list of str
        What was wrong or repaired, in words; empty where nothing was.
    overlap_area : (n,) float64
        Area of the footprint that others cover too [m2].
    notes : list of str
        What the record of the run should say about the file.
    """

    ids: list[str]
    geometry: list[list[shapely.Polygon]]
    attributes: dict[str, NDArray[Any]]
    rejected: NDArray[np.bool_]
    reason: NDArray[np.int8]
    sentence: list[str]
    overlap_area: NDArray[np.float64]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def polygons(self) -> Polygons:
        """Return all parts as flat integer arrays."""
        return flatten(self.geometry)


def read_footprints(
    path: str | Path,
    crs: str,
    id_column: str | None = None,
    attributes: Sequence[str] = ATTRIBUTES,
    layer: str | None = None,
) -> Footprints:
    """Read building footprints, repair them, and refuse with a reason what cannot be repaired.

    Repair removes repeated vertices, spikes and edges shorter than 1 cm, untangles crossing rings, orients them and pulls holes
    3 mm off rings that they touch, for a wall there would belong to four faces. A multipolygon keeps its parts; parts
    smaller than 1 m2 are dropped where a larger one is there.

    Parameters
    ----------
    path : str or Path
        Vector file.
    crs : str
        CRS of the city; the file must agree horizontally, and is taken to be in it where it states none.
    id_column : str, optional
        Column of identifiers; without it the feature ids of the file are used, which only last as long as the file.
    attributes : sequence of str
        Attribute columns to read where present.
    layer : str, optional
        Layer of the file; needed where it has several with polygons.
    """
    table, fids, shapes, notes = _read(path, crs, layer)
    n = len(shapes)
    if id_column is not None and id_column not in table:
        raise InputError(
            f"'{path}' has no column '{id_column}' for the identifiers; it has {', '.join(sorted(table)) or 'no columns'}."
        )
    ids = [str(fid) for fid in fids] if id_column is None else [_text(v) for v in table[id_column]]
    if id_column is None:
        notes.append(f"'{path}': no id column was named; the feature ids of the file identify the buildings.")
    elif not all(ids):
        raise InputError(
            f"Column '{id_column}' of '{path}' is empty in {ids.count('')} rows; every building needs an identifier."
        )
    cleaned = [clean_polygons(shape) for shape in shapes]
    # Rows with one identifier are told apart by their geometry: the order of the file decides nothing.
    order = sorted(range(n), key=lambda i: (ids[i], shapely.to_wkb(shapely.normalize(shapes[i])) if shapes[i] else b""))
    geometry, reasons, sentences, seen = [], [], [], set()
    for i in order:
        parts, reason, sentence = cleaned[i]
        if reason == "none":
            if ids[i] in seen:
                parts, reason, sentence = [], "duplicate_id", SENTENCES["duplicate_id"]
            seen.add(ids[i])
        geometry.append(parts)
        reasons.append(REASON_CODE[reason])
        sentences.append(sentence)
    columns = {name: _column(path, name, table[name])[order] for name in attributes if name in table}
    codes = np.array(reasons, np.int8)
    return Footprints(
        ids=[ids[i] for i in order],
        geometry=geometry,
        attributes=columns,
        rejected=np.asarray(codes != REASON_CODE["none"]),
        reason=codes,
        sentence=sentences,
        overlap_area=overlap_areas(geometry),
        notes=notes,
    )


def read_polygons(path: str | Path, crs: str, layer: str | None = None) -> tuple[list[list[shapely.Polygon]], list[str]]:
    """Read the polygons of a land-cover layer, repaired; return the parts of each usable row, and notes for the record."""
    _, _, shapes, notes = _read(path, crs, layer)
    rows = [clean_polygons(shape) for shape in shapes]
    kept = [parts for parts, reason, _ in rows if reason == "none"]
    if len(kept) < len(rows):
        notes.append(f"'{path}': {len(rows) - len(kept)} of {len(rows)} rows hold no usable polygon and were left out.")
    return kept, notes


def rasterise(
    polygons: Sequence[Sequence[shapely.Polygon]],
    west: float,
    north: float,
    resolution: float,
    nx: int,
    ny: int,
    first_row: int = 0,
    last_row: int | None = None,
) -> NDArray[np.int32]:
    """Return (rows, nx) the lowest row of `polygons` that contains each cell centre, -1 where none does.

    Parameters
    ----------
    polygons : sequence of sequences of shapely.Polygon
        Parts of each row [m].
    west, north, resolution : float
        Edges of column 0 and row 0 and cell size [m], whole millimetres.
    nx, ny : int
        Columns and rows of the grid.
    first_row, last_row : int
        Rows wanted.
    """
    mm = [round(v * 1000) for v in (west, north, resolution)]
    if any(not math.isclose(v * 1000, m, abs_tol=1e-3) for v, m in zip((west, north, resolution), mm)):
        raise InputError(f"Grid west {west}, north {north}, resolution {resolution} m are no whole millimetres.")
    flat = flatten(polygons)
    return rasterise_shapes(mm[0], mm[1], mm[2], ny, nx, flat.xy, flat.ring_offsets, flat.shape_offsets, first_row, last_row)


def flatten(geometry: Sequence[Sequence[shapely.Polygon]]) -> Polygons:
    """Return polygons as flat arrays of integer millimetres, in the given order; closing vertices are dropped."""
    parts = [polygon for row in geometry for polygon in row]
    rows = np.cumsum([0, *(len(row) for row in geometry)]).astype(np.int64)
    holes = np.array([len(polygon.interiors) for polygon in parts], np.int64)
    polygon_offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(holes + 1)))
    if not parts:
        return Polygons(np.empty((0, 2), np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64), rows)
    coordinates, rings = shapely.get_coordinates(shapely.get_rings(parts), return_index=True)
    is_last = np.append(rings[1:] != rings[:-1], True)
    xy = np.rint(coordinates[~is_last] * 1000.0).astype(np.int64)
    counts = np.bincount(rings[~is_last], minlength=int(polygon_offsets[-1]))
    return Polygons(xy, np.concatenate((np.zeros(1, np.int64), np.cumsum(counts))).astype(np.int64), polygon_offsets, rows)


def unflatten(
    xy: NDArray[np.int64], ring_offsets: NDArray[np.int64], polygon_offsets: NDArray[np.int64]
) -> list[shapely.Polygon]:
    """Return flat arrays of integer millimetres as polygons [m]; they may need repair (`clean_polygons`)."""
    rings = [xy[a:b] / 1000.0 for a, b in itertools.pairwise(ring_offsets)]
    return [shapely.Polygon(rings[a], rings[a + 1 : b]) for a, b in itertools.pairwise(polygon_offsets)]


def overlap_areas(geometry: Sequence[Sequence[shapely.Polygon]]) -> NDArray[np.float64]:
    """Return (n,) the area of each row that other rows cover too [m2], each place counted once, to 1 mm2."""
    shapes = np.array([shapely.MultiPolygon(list(parts)) for parts in geometry], object)
    area = np.zeros(len(shapes))
    if len(shapes) == 0:
        return area
    left, right = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    for i in np.unique(left[left != right]):
        others = np.sort(right[(left == i) & (right != i)])
        common = shapely.intersection(shapes[i], shapes[others])
        area[i] = round(shapely.area(shapely.union_all(common)), 6)
    return area


def clean_polygons(shape: Any) -> tuple[list[shapely.Polygon], str, str]:
    """Repair one geometry; return its parts, the name of the reason why it is refused ("none" if it is not), and a sentence."""
    if shape is None or shape.is_empty:
        return [], "empty_geometry", SENTENCES["empty_geometry"]
    if shape.geom_type not in ("Polygon", "MultiPolygon", "GeometryCollection", "CurvePolygon", "MultiSurface"):
        return [], "not_a_polygon", SENTENCES["not_a_polygon"]
    coordinates = shapely.get_coordinates(shape)
    if not np.isfinite(coordinates).all():
        return [], "not_repairable", "The geometry has coordinates that are no numbers."
    shape = shapely.force_2d(shape)
    # Around its own corner, so that snapping to millimetres is exact and a translated footprint is treated alike.
    origin = np.floor(coordinates[:, :2].min(axis=0))
    local = shapely.transform(shape, lambda c: np.rint((c - origin) / PRECISION_M) * PRECISION_M)
    was_valid = bool(shapely.is_valid(local))
    parts = _polygon_parts(_repaired(local))
    parts = [part for polygon in parts for part in _polygon_parts(_repaired(_without_needles(polygon)))]
    parts = [part for polygon in parts for part in _without_touching_holes(polygon)]
    if not parts:
        return [], "not_repairable", SENTENCES["not_repairable"]
    large = [part for part in parts if part.area >= MIN_AREA_M2]
    if not large:
        return [], "too_small", SENTENCES["too_small"]
    large = [shapely.transform(_canonical(part), lambda c: np.rint((c + origin) * 1000.0) / 1000.0) for part in large]
    large.sort(key=lambda part: part.exterior.coords[0])
    sentence = "" if was_valid else f"Repaired: {shapely.is_valid_reason(local)}."
    return large, "none", sentence


def _repaired(shape: Any) -> Any:
    return shapely.set_precision(shapely.make_valid(shape, method="structure", keep_collapsed=False), PRECISION_M)


def _polygon_parts(shape: Any) -> list[shapely.Polygon]:
    parts = shapely.get_parts(shapely.get_parts([shape]))
    return [part for part in parts if part.geom_type == "Polygon" and not part.is_empty]


def _without_needles(polygon: shapely.Polygon) -> shapely.Polygon:
    """Drop vertices that end a spike or an edge shorter than 1 cm."""
    rings = [_ring_without_needles(np.asarray(ring.coords)[:-1]) for ring in (polygon.exterior, *polygon.interiors)]
    if len(rings[0]) < 3:
        return shapely.Polygon()
    return shapely.Polygon(rings[0], [ring for ring in rings[1:] if len(ring) >= 3])


def _ring_without_needles(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    start = int(np.lexsort((ring[:, 1], ring[:, 0]))[0])
    points = [tuple(p) for p in np.roll(ring, -start, axis=0)]
    i = 0
    while len(points) >= 3 and i < len(points):
        a, b, c = points[i - 1], points[i], points[(i + 1) % len(points)]
        ux, uy, vx, vy = b[0] - a[0], b[1] - a[1], c[0] - b[0], c[1] - b[1]
        u, v = math.sqrt(ux * ux + uy * uy), math.sqrt(vx * vx + vy * vy)
        folds_back = ux * vx + uy * vy < 0 and abs(ux * vy - uy * vx) <= SPIKE_WIDTH_M * max(u, v)
        if u < SHORTEST_EDGE_M or folds_back:
            del points[i]
            i = max(i - 2, 0)
        else:
            i += 1
    return np.array(points).reshape(-1, 2)


def _without_touching_holes(polygon: shapely.Polygon) -> list[shapely.Polygon]:
    """Pull holes 3 mm inwards where they touch another ring: a prism over a touching hole is no 2-manifold."""
    if not polygon.interiors:
        return [polygon]
    rings = [polygon.exterior, *polygon.interiors]
    holes: list[Any] = []
    for k, ring in enumerate(polygon.interiors, start=1):
        others = shapely.MultiLineString([other for j, other in enumerate(rings) if j != k])
        hole = shapely.Polygon(ring)
        if shapely.distance(ring, others) < 0.0025:
            hole = shapely.set_precision(shapely.buffer(hole, -0.003, join_style="mitre", mitre_limit=2.0), PRECISION_M)
        holes.extend(part for part in _polygon_parts(hole) if part.area > 0)
    return [shapely.Polygon(polygon.exterior, [hole.exterior for hole in holes])]


def _canonical(polygon: shapely.Polygon) -> shapely.Polygon:
    """Start each ring at its lowest vertex, exteriors anticlockwise, holes clockwise and in a fixed order."""
    polygon = shapely.orient_polygons(polygon)
    rings = []
    for ring in (polygon.exterior, *polygon.interiors):
        xy = np.asarray(ring.coords)[:-1]
        rings.append(np.roll(xy, -int(np.lexsort((xy[:, 1], xy[:, 0]))[0]), axis=0))
    return shapely.Polygon(rings[0], sorted(rings[1:], key=lambda r: tuple(r[0])))


def _read(path: str | Path, crs: str, layer: str | None) -> tuple[dict[str, Any], list[int], list[Any], list[str]]:
    # Only the rank that reads imports the readers: pyogrio brings thousands of files with it, and pandas where there is one.
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    path = Path(path)
    if not path.exists():
        raise InputError(f"'{path}' does not exist.")
    driver = _EXTENSIONS.get(path.suffix.lower())
    if driver is not None and driver not in pyogrio.list_drivers():
        raise InputError(
            f"'{path}' is {driver}, which this build of GDAL cannot read. Convert it to GeoPackage: "
            f"ogr2ogr {path.stem}.gpkg {path.name}"
        )
    try:
        layers = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
        if layer is None and len(layers) > 1:
            raise InputError(f"'{path}' has several layers: {', '.join(layers)}. Name one.")
        if not layers:
            raise InputError(f"'{path}' has no layer with geometries.")
        meta, fids, wkb, values = pyogrio.raw.read(path, layer=layer or layers[0], return_fids=True)
    except (DataSourceError, DataLayerError) as error:
        raise InputError(f"'{path}' cannot be read as a vector file: {error}") from error
    notes = []
    if meta["crs"] is None:
        notes.append(f"'{path}' states no CRS; it was taken to be in {crs}.")
    elif not same_horizontal_crs(meta["crs"], crs):
        raise InputError(
            f"'{path}' is in {_name(meta['crs'])} but the city is in {_name(crs)}. "
            "Reproject the file or correct `crs` in the city file."
        )
    shapes = list(shapely.from_wkb(wkb, on_invalid="fix"))
    return dict(zip(meta["fields"], values)), list(fids), shapes, notes


def same_horizontal_crs(a: str, b: str) -> bool:
    """Tell whether two CRS agree in plan; heights and the order of axes (files store x before y) do not matter."""
    return _horizontal(a).equals(_horizontal(b), ignore_axis_order=True)


def _horizontal(crs: str) -> pyproj.CRS:
    import pyproj

    made = pyproj.CRS.from_user_input(crs)
    if made.is_compound:
        made = made.sub_crs_list[0]
    if made.is_bound and made.source_crs is not None:
        made = made.source_crs
    code = made.to_authority(min_confidence=70)
    # Shapefiles carry WKT of another dialect: the authority that it resolves to is what counts.
    return pyproj.CRS.from_authority(*code) if code else made.to_2d()


def _name(crs: str) -> str:
    import pyproj

    made = pyproj.CRS.from_user_input(crs)
    code = made.to_authority(min_confidence=70)
    return f"{':'.join(code)} ({made.name})" if code else made.name


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return ""
    if isinstance(value, float | np.floating) and value.is_integer():
        return str(int(value))
    return str(value)


def _column(path: str | Path, name: str, values: NDArray[Any]) -> NDArray[Any]:
    if name == "use":
        return np.array([_text(v) for v in values], dtype=object)
    if name in FLAGS:
        words = {"yes": "1", "true": "1", "no": "0", "false": "0"}
        values = np.array([words.get(_text(v).strip().lower(), _text(v)) for v in values], dtype=object)
    try:
        numbers = np.array([np.nan if _text(v) == "" else float(v) for v in values], np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Column '{name}' of '{path}' holds something that is no number: {error}.") from error
    if name in ("construction_year", "floors"):
        return np.where(np.isfinite(numbers), numbers, 0).astype(np.int32)
    return numbers
