"""The tables of buildings or trees as GeoParquet 1.1: footprints as polygons, results of all products joined by building.

Codes become the words they stand for, what is not finite becomes null. Rows are those of the table, in its order; one whose
identifier belongs to another building has no polygon.

GeoParquet 1.1.0: https://geoparquet.org/releases/v1.1.0/
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import ProductError, UsageError
from felsina.engine.fields import Field
from felsina.engine.io.cityjson_file import features_of
from felsina.engine.io.read import opened, product_attrs, read_table
from felsina.engine.rundir import RunDirectory
from felsina.engine.schema import rows

BATCH = 50_000  # rows of a row group
_JOINED = ("energy", "city")
_BUILDING = (("building",), ("building", "month"))


def write_buildings(run: RunDirectory, target: str | Path, fields: Sequence[str] = ()) -> int:
    """Write the building table of a run with what other products say of the same buildings; return the number of rows.

    Parameters
    ----------
    run : RunDirectory
    target : path of the file; it is replaced at once when the new one is complete
    fields : names of columns to write beside `building_id`; all when empty

    Raises
    ------
    ProductError
        When buildings.nc or buildings.city.jsonl is missing, or products are of different runs.
    UsageError
        When a field is not there.
    """
    source = run.needed("buildings")
    table, described = _table(source, "buildings", _BUILDING)
    ids = table["building_id"]
    for product in _JOINED:
        if product not in run.products:
            continue
        more, of_product = _table(run.product(product), product, _BUILDING)
        if not np.array_equal(more["building_id"], ids):
            raise ProductError(
                f"'{run.product(product)}' and '{source}' speak of different buildings. Make it anew: "
                f"felsina {product} --out {run.path} --force"
            )
        table |= {name: values for name, values in more.items() if name not in table}
        described = of_product | described
    table, described = _chosen(table, described, fields, "building_id", str(source))
    outlines = run.path / "buildings.city.jsonl"
    return _write(Path(target), table, described, lambda: _footprints(outlines, ids), product_attrs(source)["crs"])


def write_trees(path: str | Path, target: str | Path, fields: Sequence[str] = ()) -> int:
    """Write the table of trees of a product, a point a tree; return their number. See `write_buildings`."""
    import shapely

    table, described = _table(Path(path), product_attrs(path)["product"], (("tree",),))
    if not {"tree_x", "tree_y"} <= table.keys():
        raise ProductError(f"'{path}' has no trees.")
    points = shapely.points(table["tree_x"], table["tree_y"])
    table, described = _chosen(table, described, fields, "", str(path))
    return _write(Path(target), table, described, lambda: iter(points), product_attrs(path)["crs"])


def _table(path: Path, product: str, dims: tuple[tuple[str, ...], ...]) -> tuple[dict[str, NDArray[Any]], dict[str, Field]]:
    described = rows(product)
    with opened(path) as (file, _):
        names = [n for n, field in described.items() if field.dims in dims and n in file[field.group]]
    return read_table(path, names), {n: described[n] for n in names}


def _chosen(
    table: dict[str, NDArray[Any]], described: dict[str, Field], fields: Sequence[str], key: str, where: str
) -> tuple[dict[str, NDArray[Any]], dict[str, Field]]:
    for name in fields:
        if name not in table:
            raise UsageError(f"'{where}' and what is joined to it have no column '{name}'; they have {', '.join(table)}.")
    names = [n for n in table if not fields or n in fields or n == key]
    return {n: table[n] for n in names}, {n: described[n] for n in names}


def _footprints(path: Path, ids: NDArray[Any]) -> Iterator[Any]:
    """Yield the outline of each row, None where it has none; the features are in the order of the rows."""
    import shapely

    features = features_of(path)
    transform = next(features)["transform"]
    per_metre = round(1.0 / transform["scale"][0])
    origin = [round(t * per_metre) for t in transform["translate"][:2]]
    feature = next(features, None)
    for name in ids:
        if feature is None or feature["id"] != name:
            yield None
            continue
        # Whole numbers until the division, so that a coordinate is the nearest to its decimal.
        xy = (np.array(feature["vertices"], np.int64).reshape(-1, 3)[:, :2] + origin) / per_metre
        outlines = [g["boundaries"] for g in feature["CityObjects"][name].get("geometry", ()) if g["lod"] == "0"]
        polygons = [shapely.Polygon(xy[p[0]], [xy[r] for r in p[1:]]) for outline in outlines for p in outline]
        yield None if not polygons else polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
        feature = next(features, None)
    if feature is not None:
        raise ProductError(f"'{path}' speaks of building '{feature['id']}', which the table has not. Make both anew: --force.")


def _write(
    target: Path,
    table: dict[str, NDArray[Any]],
    described: dict[str, Field],
    shapes: Callable[[], Iterator[Any]],
    crs: str,
) -> int:
    """Write columns and shapes. Shapes come twice: readers look for bounds and kinds in the schema, which is written first."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import shapely

    n = len(next(iter(table.values())))
    columns = [pa.field(name, _type(pa, table[name], described[name]), metadata=_about(described[name])) for name in table]
    geo = json.dumps(_geo(_batches(shapes(), n), crs), sort_keys=True)
    schema = pa.schema([*columns, pa.field("geometry", pa.binary())], metadata={"geo": geo})
    part = target.with_name(target.name + ".part")
    try:
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for k, some in enumerate(_batches(shapes(), n)):
                rows_of = slice(k * BATCH, k * BATCH + len(some))
                arrays = [_column(pa, table[name][rows_of], described[name]) for name in table]
                arrays.append(pa.array(shapely.to_wkb(some, byte_order=1, flavor="iso").tolist(), pa.binary()))
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        with open(part, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return n


def _batches(shapes: Iterator[Any], n: int) -> Iterator[NDArray[Any]]:
    """Yield the shapes of n rows, by row group; goes on to the end of the shapes, whose maker checks that all were used."""
    for first in range(0, n, BATCH):
        some = np.empty(min(n - first, BATCH), object)
        for k in range(len(some)):
            some[k] = next(shapes)
        yield some
    for _ in shapes:
        raise ProductError("There are more shapes than rows.")


def _geo(batches: Iterator[NDArray[Any]], crs: str) -> dict[str, Any]:
    """Return the metadata `geo` of GeoParquet 1.1."""
    import pyproj
    import shapely

    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    kinds: set[str] = set()
    for some in batches:
        there = some[[shape is not None for shape in some]]
        if len(there):
            box = shapely.bounds(there)
            low, high = np.minimum(low, box[:, :2].min(axis=0)), np.maximum(high, box[:, 2:].max(axis=0))
            kinds |= {shape.geom_type for shape in there}
    about: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted(kinds)}
    about |= {"crs": pyproj.CRS.from_user_input(crs).to_json_dict(), "orientation": "counterclockwise"}
    about |= {"bbox": [*low.tolist(), *high.tolist()]} if kinds else {}
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": about}}


def _about(field: Field) -> dict[str, str]:
    return {"long_name": field.long_name} | ({} if field.flags or field.dtype == "str" else {"units": field.units})


def _type(pa: Any, values: NDArray[Any], field: Field) -> Any:
    if field.flags or field.dtype == "str":
        return pa.string()
    plain = pa.from_numpy_dtype(values.dtype)
    return pa.list_(plain) if values.ndim == 2 else plain


def _column(pa: Any, values: NDArray[Any], field: Field) -> Any:
    if field.flags:
        return pa.array([field.flags.get(code, str(code)) for code in values.tolist()], pa.string())
    if field.dtype == "str":
        return pa.array(values.tolist(), pa.string())
    flat = values.reshape(-1)
    array = pa.array(flat, mask=~np.isfinite(flat) if flat.dtype.kind == "f" else None)
    if values.ndim == 1:
        return array
    return pa.ListArray.from_arrays(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1], array)
