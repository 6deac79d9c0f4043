"""List every option (default, unit, limits), every field (units, dims, CF name) and every job."""

from __future__ import annotations

import argparse
import json

from felsina.engine.city import SECTIONS, InputPolicy
from felsina.engine.errors import UsageError
from felsina.engine.fields import FIELDS, PRODUCTS
from felsina.engine.options import declared, unknown_key

_TOPICS = ("options", "fields", "jobs")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina describe`."""
    parser.add_argument(
        "topic", nargs="?", help="options, fields, jobs, a section, a product or a field; everything when absent"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(options: argparse.Namespace) -> int:
    """Print what is known about a topic."""
    found = describe(options.topic)
    print(json.dumps(found, indent=1) if options.json else as_text(found))
    return 0


def describe(topic: str | None = None) -> dict[str, list[dict[str, object]]]:
    """Return the rows of a topic by heading: options by section, fields by product, jobs.

    Raises
    ------
    UsageError
        For an unknown topic, with the nearest known one.
    """
    from felsina.jobs.cli import JOBS

    sections = {f"[{name}]": declared(kind) for name, kind in SECTIONS.items()} | {"[[input]]": declared(InputPolicy)}
    products = {
        product.file: [
            {"name": f.name, "dims": ", ".join(f.dims), "units": f.units, "dtype": f.dtype, "standard_name": f.standard_name}
            | {
                "quantum": f.quantum,
                "required": f.required,
                "long_name": f.long_name,
                "flags": {str(k): v for k, v in f.flags.items()},
            }
            for f in FIELDS
            if f.product == name
        ]
        for name, product in PRODUCTS.items()
    }
    jobs: dict[str, list[dict[str, object]]] = {"jobs": [{"name": n, "help": verb.help} for n, verb in JOBS.items()]}
    everything: dict[str, list[dict[str, object]]] = {**sections, **products, **jobs}
    if topic is None:
        return everything
    if topic in _TOPICS:
        return {"options": sections, "fields": products, "jobs": jobs}[topic]
    by_name = {name.strip("[]").removesuffix(".nc"): name for name in everything}
    if topic.removesuffix(".nc") in by_name and topic not in JOBS:
        name = by_name[topic.removesuffix(".nc")]
        return {name: everything[name]}
    # A word may be a section and a product (terrain, buildings, energy): show both; or one option or field.
    both = {n: rows for n, rows in everything.items() if n in (f"[{topic}]", f"{topic}.nc")}
    rows = {n: [r for r in rows if r["name"] == topic] for n, rows in everything.items()}
    found = both or {n: r for n, r in rows.items() if r}
    if not found:
        names = {str(r["name"]) for rows in everything.values() for r in rows}
        raise UsageError(unknown_key("felsina describe", topic, names | set(_TOPICS) | set(by_name)))
    return found


def as_text(found: dict[str, list[dict[str, object]]]) -> str:
    """Return rows as aligned text."""
    lines: list[str] = []
    for heading, rows in found.items():
        lines.append(heading)
        width = max((len(str(r["name"])) for r in rows), default=0)
        for row in rows:
            lines.append(f"  {row['name']:<{width}}  {_line(row)}")
        lines.append("")
    return "\n".join(lines).rstrip()


def _line(row: dict[str, object]) -> str:
    if "default" in row:
        limits = "" if row["low"] == float("-inf") and row["high"] == float("inf") else f", {row['low']:g} to {row['high']:g}"
        choices = row["choices"]
        among = f", one of {', '.join(map(str, choices))}" if isinstance(choices, tuple) and choices else ""
        return f"{row['help']} (default {row['default']!r} [{row['unit']}]{limits}{among})"
    if "dims" in row:
        name = f", CF {row['standard_name']}" if row["standard_name"] else ""
        step = f", step {row['quantum']:g}" if row["quantum"] else ""
        return f"({row['dims']}) {row['dtype']} [{row['units']}] {row['long_name']}{name}{step}"
    return str(row["help"])
