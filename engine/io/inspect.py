"""What is in a product, with HDF5 alone: every variable with its shape, storage and range, and the table of outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from felsina.engine.fields import PRODUCTS
from felsina.engine.io.layout import strips, window
from felsina.engine.io.read import attribute, is_bare, opened, text_attribute
from felsina.engine.io.validate import dims_of
from felsina.engine.schema import main_group

_OUTCOMES = ("building", "energy")


def inspect_product(path: str | Path) -> dict[str, Any]:
    """Return what a product file holds, as plain JSON values.

    Returns
    -------
    dict
        `file`, `bytes`, `product`, `schema`, `title`, `producer`, `crs`, `configuration_sha256`, `sizes` (dimension -> size),
        `variables` (list of `inspect_variable`) and `outcomes` (list of table, status, reason, rows).
    """
    path = Path(path)
    with opened(path) as (file, product):
        group = file[main_group(product)]
        variables = [
            inspect_variable(item)
            for item in group.values()
            if isinstance(item, h5py.Dataset) and not is_bare(item) and item.shape != ()
        ]
        about = file["felsina"]
        return {
            "file": path.name,
            "bytes": path.stat().st_size,
            "product": product,
            "schema": text_attribute(about, "schema"),
            "title": text_attribute(file, "title") or PRODUCTS[product].title,
            "producer": text_attribute(about, "producer"),
            "crs": text_attribute(about, "crs"),
            "configuration_sha256": text_attribute(about, "configuration_sha256"),
            "sizes": {dim: size for v in variables for dim, size in zip(v["dims"], v["shape"], strict=True)},
            "variables": variables,
            "outcomes": [row for table in _OUTCOMES for row in _outcomes(group, table)],
        }


def inspect_variable(dataset: Any) -> dict[str, Any]:
    """Return name, dims, shape, dtype, units, chunks, compression, stored bytes and the range of one variable.

    `minimum`, `mean` and `maximum` leave missing values out; they are absent for texts and where all is missing, the mean also
    for codes. `missing` is the share of missing values. A variable is read strip by strip, never whole.
    """
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    name = dataset.name.rsplit("/", 1)[-1]
    found: dict[str, Any] = {
        "name": name,
        "dims": [dim or name for dim in dims_of(dataset)],  # a coordinate is its own dimension
        "shape": list(dataset.shape),
        "dtype": "str" if is_text else str(dataset.dtype),
        "units": text_attribute(dataset, "units"),
        "long_name": text_attribute(dataset, "long_name"),
        "chunks": list(dataset.chunks) if dataset.chunks else None,
        "compression": _compression(dataset),
        "stored_bytes": int(dataset.id.get_storage_size()),
        "quantum": float(attribute(dataset, "quantum")) if "quantum" in dataset.attrs else None,
    }
    if is_text or not dataset.size:
        return found
    low, high, total, known = np.inf, -np.inf, 0.0, 0
    for box in strips(found["dims"], dataset.shape):
        values = dataset[window(box)]
        values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if values.size:
            low, high = min(low, values.min().item()), max(high, values.max().item())
            total += float(values.sum(dtype=np.float64))
            known += values.size
    if known:
        found |= {"minimum": low, "maximum": high}
        if "flag_values" not in dataset.attrs:  # the mean of codes says nothing
            found["mean"] = total / known
    return found | {"missing": 1.0 - known / dataset.size}


def _compression(dataset: Any) -> str:
    parts = [f"{dataset.compression}-{dataset.compression_opts}"] if dataset.compression else []
    return "+".join(parts + [name for name in ("shuffle", "fletcher32") if getattr(dataset, name)]) or "none"


def _outcomes(group: Any, table: str) -> list[dict[str, Any]]:
    """Return how many rows of a table have which status and reason, most frequent first within a status."""
    names = (f"{table}_status", f"{table}_reason")
    if any(n not in group for n in names):
        return []
    pairs, counts = np.unique(np.stack([group[n][:] for n in names], axis=1), axis=0, return_counts=True)
    statuses, reasons = (flag_words(group[n]) for n in names)
    found = sorted((int(s), -int(n), int(r)) for (s, r), n in zip(pairs, counts, strict=True))
    return [
        {"table": table, "status": statuses.get(s, str(s)), "reason": reasons.get(r, str(r)), "rows": -n} for s, n, r in found
    ]


def flag_words(dataset: Any) -> dict[int, str]:
    """Return the meaning of each value of a flag variable."""
    values = np.atleast_1d(dataset.attrs.get("flag_values", ())).tolist()
    return dict(zip(values, text_attribute(dataset, "flag_meanings").split(), strict=False))
