"""Show what is in a product or a run: the record, every field with its range and storage, and how rows came out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from felsina.engine.errors import ProductError
from felsina.engine.fields import PRODUCTS
from felsina.engine.io.inspect import inspect_product
from felsina.engine.record import Record
from felsina.engine.rundir import RunDirectory


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina inspect`."""
    parser.add_argument("path", metavar="FILE|RUN", help="a product file or a run directory")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(options: argparse.Namespace) -> int:
    """Print what is there."""
    found = inspect_path(Path(options.path))
    print(json.dumps(found, indent=1, ensure_ascii=False) if options.json else as_text(found))
    return 0


def inspect_path(path: Path) -> dict[str, Any]:
    """Return `record` (of a run; empty for a file) and `products`, as plain JSON values.

    Raises
    ------
    ProductError
        When there is no product, or a file is damaged or not felsina's.
    """
    if not path.is_dir():
        return {"path": str(path), "record": {}, "products": [inspect_product(path)]}
    products = RunDirectory(path).products
    if not products:
        names = ", ".join(p.file for p in PRODUCTS.values())
        raise ProductError(
            f"'{path}' holds no product; expected one of {names}. Run a city file into it: felsina run CITY.toml"
        )
    return {"path": str(path), "record": _record(path), "products": [inspect_product(p) for p in products.values()]}


def as_text(found: dict[str, Any]) -> str:
    """Return the findings as aligned text."""
    lines = [found["path"], *_record_lines(found["record"])] if found["record"] else []
    for product in found["products"]:
        lines += ["", *_product_lines(product)]
    return "\n".join(lines).strip("\n")


def _record(path: Path) -> dict[str, Any]:
    values = Record.load(path).values
    made = [p.job for p in PRODUCTS.values() if p.job in values["jobs"]]  # in the order of the chain
    jobs = {n: {k: values["jobs"][n].get(k) for k in ("product", "finished", "seconds", "metrics")} for n in made}
    about = {k: values.get(k) for k in ("city", "felsina", "started", "world")}
    commands = [f"{h['time']} {h['command']}" for h in values["history"]]
    return about | {"commands": commands, "jobs": jobs, "notes": values["notes"]}


def _record_lines(record: dict[str, Any]) -> list[str]:
    if not record or not record["felsina"]:
        return []
    world = record["world"] or {}
    ranks = world.get("ranks", "?")
    lines = [
        f"  {record['city']}: felsina {record['felsina']}, started {record['started']}, {ranks} rank{'' if ranks == 1 else 's'}"
    ]
    lines += [f"  $ {command}" for command in record["commands"]]
    for name, job in record["jobs"].items():
        figures = [f"{k} {_number(v)}" for k, v in (job["metrics"] or {}).items() if isinstance(v, int | float)]
        lines.append(f"  {name:<10} {job['seconds']:9.1f} s  {job['finished']}  {', '.join(figures)}".rstrip())
    return lines + [f"  note: {note}" for note in record["notes"]]


def _product_lines(product: dict[str, Any]) -> list[str]:
    sizes = ", ".join(f"{k} {v:,}" for k, v in product["sizes"].items())
    about = (f"{product['bytes'] / 1e6:,.1f} MB", product["schema"], product["producer"], product["crs"])
    lines = [f"{product['file']}  {product['title']}  ({', '.join(about)})", f"  {sizes}"]
    rows: list[tuple[str, ...]] = [("field", "dims", "dtype", "units", "min", "mean", "max", "missing", "chunks", "stored")]
    rows += [_row(v) for v in product["variables"]]
    widths = [max(len(r[c]) for r in rows) for c in range(len(rows[0]))]
    for row in rows:
        cells = [f"{t:>{w}}" if 4 <= c <= 7 else f"{t:<{w}}" for c, (t, w) in enumerate(zip(row, widths, strict=True))]
        lines.append(("  " + "  ".join(cells)).rstrip())
    if product["outcomes"]:
        lines.append("  outcome of the rows")
        lines += [f"    {o['table']:<9} {o['status']:<9} {o['reason']:<24} {o['rows']:>9,}" for o in product["outcomes"]]
    return lines


def _row(v: dict[str, Any]) -> tuple[str, ...]:
    numbers = tuple(_number(v[k]) if k in v else "" for k in ("minimum", "mean", "maximum"))
    missing = f"{v['missing']:.1%}" if v.get("missing") else ""
    chunks = "x".join(map(str, v["chunks"])) if v["chunks"] else "-"
    stored = f"{v['stored_bytes']:,} B {v['compression']}"
    return (v["name"], ",".join(v["dims"]), v["dtype"], v["units"], *numbers, missing, chunks, stored)


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:,.3f}" if 1e-3 <= abs(value) < 1e7 or value == 0 else f"{value:.4g}"
