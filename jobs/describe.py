"""List every option (default, unit, limits), every field (units, dims, CF name) and every job."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence

from felsina.engine.city import SECTIONS, InputPolicy
from felsina.engine.errors import UsageError
from felsina.engine.fields import FIELDS, PRODUCTS, Field
from felsina.engine.options import declared, unknown_key

_TOPICS = ("options", "fields", "jobs")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina describe`."""
    parser.add_argument(
        "topic", nargs="?", help="options, fields, jobs, a section, a product or a field; everything when absent"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print tables in Markdown")


def main(options: argparse.Namespace) -> int:
    """Print what is known about a topic."""
    found = describe(options.topic)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print(reference_page(options.topic) if options.markdown else as_text(found))
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
    products = {p.file: [_field_row(f) for f in FIELDS if f.product == name] for name, p in PRODUCTS.items()}
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


def _field_row(field: Field) -> dict[str, object]:
    return {
        "name": field.name,
        "group": field.group,
        "dims": ", ".join(field.dims),
        "units": field.units,
        "dtype": field.dtype,
        "standard_name": field.standard_name,
        "cell_methods": field.cell_methods,
        "quantum": field.quantum,
        "low": field.low,
        "high": field.high,
        "required": field.required,
        "long_name": field.long_name,
        "flags": {str(k): v for k, v in field.flags.items()},
    }


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


_OPTION_HEAD = ("option", "default", "unit", "allowed", "meaning")
_FIELD_HEAD = ("field", "dimensions", "type", "unit", "step", "range", "meaning")
_JOB_HEAD = ("verb", "what it does")


def reference_page(topic: str | None = None) -> str:
    """Return what is known about a topic as a page in Markdown, with the command that prints it."""
    command = " ".join(["felsina describe", *([topic] if topic else []), "--markdown"])
    title = {"options": "Options of the city file", "fields": "Fields of the products", "jobs": "Verbs"}.get(
        topic or "", "Reference"
    )
    return f"# {title}\n\nPrinted by `{command}` from the declarations in the code.\n\n{as_markdown(describe(topic))}"


def as_markdown(found: dict[str, list[dict[str, object]]]) -> str:
    """Return rows as one Markdown table a heading: the reference pages of the docs."""
    lines: list[str] = []
    for heading, rows in found.items():
        head = _JOB_HEAD if heading == "jobs" else _FIELD_HEAD if heading.endswith(".nc") else _OPTION_HEAD
        lines += [f"## `{heading}`", ""]
        if head is _FIELD_HEAD and rows:
            lines += [f"Group `{rows[0]['group']}`.", ""]
        lines += [_table_row(head), _table_row(["---"] * len(head))]
        lines += [_table_row(_cells(row)) for row in rows]
        lines.append("")
    return "\n".join(lines).rstrip()


def _table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(c.replace('|', chr(92) + '|') for c in cells)} |"


def _cells(row: dict[str, object]) -> list[str]:
    """Return the cells of an option, a field or a verb."""
    name = f"`{row['name']}`"
    if "default" in row:
        choices = row["choices"]
        among = ", ".join(f"`{c}`" for c in choices) if isinstance(choices, tuple) else ""
        default = "none" if row["default"] is None else f"`{json.dumps(row['default'])}`"
        return [name, default, str(row["unit"]), among or _interval(row), str(row["help"])]
    if "dims" in row:
        flags = row["flags"]
        words = [str(row["long_name"]) + ("" if row["required"] else " (optional)")]
        words += [f"CF `{row['standard_name']}`"] if row["standard_name"] else []
        words += [f"`{row['cell_methods']}`"] if row["cell_methods"] else []
        words += [", ".join(f"{code} {word}" for code, word in flags.items())] if isinstance(flags, dict) and flags else []
        step = f"{row['quantum']:g}" if row["quantum"] else ""
        return [name, str(row["dims"]), str(row["dtype"]), str(row["units"]), step, _interval(row), "; ".join(words)]
    return [name, str(row["help"])]


def _interval(row: dict[str, object]) -> str:
    """Return the limits of a row in words; empty where it has none."""
    low, high = (v if isinstance(v, int | float) and math.isfinite(v) else None for v in (row["low"], row["high"]))
    if low is None:
        return "" if high is None else f"at most {high:g}"
    return f"{low:g} or more" if high is None else f"{low:g} to {high:g}"
