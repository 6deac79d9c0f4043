"""The versioned description of a product, made from the table of fields: writer, validator and docs read it.

Within a major version the schema only grows, so a reader checks the major version alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from felsina.engine.errors import ProductError
from felsina.engine.fields import FIELDS, PRODUCTS, SCHEMA_VERSION, Field, fields_of

# The thematic city joins the tables of these products by building; a row of its own wins over theirs.
CITY_SOURCES = ("buildings", "energy")
_CITY_REQUIRED = ("building_id", "building_status", "building_reason", "mesh_face_building", "mesh_face_surface_type")

# What the layout adds to the rows of a product: coordinates, their bounds, the grid mapping and the mesh.
LAYOUT_VARIABLES: dict[str, tuple[str, ...]] = {
    "crs": (),
    "x": ("x",),
    "y": ("y",),
    "time": ("time",),
    "time_bnds": ("time", "bnds"),
    "month": ("month",),
    "mesh": (),
    "mesh_node_x": ("mesh_node",),
    "mesh_node_y": ("mesh_node",),
    "mesh_node_z": ("mesh_node",),
    "mesh_face_nodes": ("mesh_face", "mesh_max_face_nodes"),
}


def rows(product: str) -> dict[str, Field]:
    """Return the rows that a product may hold, by name; those of the city include the tables it joins."""
    own = fields_of(product)
    if product != "city":
        return own
    joined = {
        f.name: replace(f, product="city", required=f.name in _CITY_REQUIRED) for f in FIELDS if f.product in CITY_SOURCES
    }
    return joined | own


def main_group(product: str) -> str:
    """Return the HDF5 group that holds the rows of a product."""
    return next(iter(rows(product).values())).group


def schema_id(product: str) -> str:
    """Return the identifier that a file carries: `felsina/<product>/<version>`."""
    return f"felsina/{product}/{SCHEMA_VERSION}"


def product_of(identifier: str, where: str) -> str:
    """Return the product that a schema identifier names.

    Raises
    ------
    ProductError
        When it is no felsina schema, or one of another major version.
    """
    parts = identifier.split("/")
    if len(parts) != 3 or parts[0] != "felsina" or parts[1] not in PRODUCTS:
        raise ProductError(f"'{where}' carries the schema '{identifier}'; expected 'felsina/<product>/{SCHEMA_VERSION}'.")
    if parts[2].split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise ProductError(
            f"'{where}' has the schema version {parts[2]}; this felsina reads {SCHEMA_VERSION.split('.')[0]}.x. "
            "Open it with the version that made it, or make it anew."
        )
    return parts[1]


def storage_dtype(field: Field) -> np.dtype[Any]:
    """Return the NumPy dtype of a field's values; object for texts."""
    return np.dtype(object) if field.dtype == "str" else np.dtype("<" + field.dtype)


def schema(product: str) -> dict[str, Any]:
    """Return the schema of a product as plain JSON values: version, file and variables."""
    described = PRODUCTS[product]
    return {
        "schema": schema_id(product),
        "version": SCHEMA_VERSION,
        "product": product,
        "file": described.file,
        "title": described.title,
        "vtkhdf": described.vtkhdf,
        "variables": [
            {
                "name": f.name,
                "group": f.group,
                "dims": list(f.dims),
                "dtype": f.dtype,
                "units": f.units,
                "long_name": f.long_name,
                "standard_name": f.standard_name,
                "cell_methods": f.cell_methods,
                "quantum": f.quantum,
                "flags": {str(k): v for k, v in f.flags.items()},
                "required": f.required,
                "missing_allowed": f.missing,
                "low": f.low,
                "high": f.high,
            }
            for f in rows(product).values()
        ],
    }
