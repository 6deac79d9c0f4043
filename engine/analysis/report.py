"""The report of a run: one HTML page with figures, pictures, quality, inputs and how to open the data.

The page needs no server, no network and no script: style and pictures are inside it. All that comes from a file is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from felsina.engine.analysis.figures import Figure, key_figures, number, outcomes
from felsina.engine.analysis.open import open_run
from felsina.engine.analysis.plots import Picture, pictures
from felsina.engine.fields import PRODUCTS
from felsina.engine.io.disk import write_text
from felsina.engine.io.read import product_attrs
from felsina.engine.record import Record
from felsina.engine.rundir import RunDirectory

_WIDE = ("energy_chart", "day_curve")


def write_report(path: str | Path) -> Path:
    """Draw the pictures of a run into `pictures/` and write `report.html`; returns its path.

    Raises
    ------
    InputError
        When the folder holds no product.
    """
    run = RunDirectory(Path(path))
    record = Record.load(run.path).values
    tree = open_run(run.path)
    heatwave = record.get("configuration", {}).get("heatwave", {})
    buffer_m, air_m = (float(heatwave.get(name, 0.0)) for name in ("buffer_m", "air_resolution_m"))
    drawn = pictures(tree, buffer_m, air_m)
    folder = run.path / "pictures"
    folder.mkdir(exist_ok=True)
    for picture in drawn:
        (folder / f"{picture.name}.png").write_bytes(picture.data)
    page = report_html(run, record, key_figures(tree, buffer_m, air_m), _outcomes(tree), drawn)
    write_text(run.path / "report.html", page)
    return run.path / "report.html"


def report_html(
    run: RunDirectory,
    record: dict[str, Any],
    figures: dict[str, list[Figure]],
    quality: list[tuple[str, str, str, int]],
    drawn: Sequence[Picture],
) -> str:
    """Return the page.

    Parameters
    ----------
    run : where the products are
    record : the content of run.json
    figures : heading -> key figures
    quality : (table, status, reason, rows)
    drawn : the pictures
    """
    attrs = {name: product_attrs(path) for name, path in run.products.items()}
    name = str(record.get("city") or run.path.resolve().name)
    sections = [
        _section("Key figures", "".join(_figures(h, f) for h, f in figures.items())),
        _section("Pictures", f'<div class="pictures">{"".join(map(_picture, drawn))}</div>' if drawn else ""),
        _section("Quality", _quality(quality)),
        _section("Notes", _list(record.get("notes", []))),
        _section("Jobs", _jobs(record, run)),
        _section("Inputs and licences", _inputs(record, attrs)),
        _section("Open the data", _recipes(run)),
        _section("Versions and machine", _versions(record)),
    ]
    style = files("felsina.engine.analysis").joinpath("report.css").read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(name)} – felsina</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n{_header(name, record, attrs, run)}\n<main>\n{''.join(sections)}</main>\n"
        f"<footer>Made by felsina {escape(str(record.get('felsina', '')))} from the products in this folder. "
        f"Times, commands and hashes: run.json.</footer>\n</body>\n</html>\n"
    )


def _header(name: str, record: dict[str, Any], attrs: dict[str, Any], run: RunDirectory) -> str:
    crs = sorted({str(a["crs"]) for a in attrs.values()})
    made = [PRODUCTS[p].job for p in run.products]
    absent = [p.file for n, p in PRODUCTS.items() if n not in run.products]
    heat = record.get("configuration", {}).get("heatwave", {})
    words = [f"Coordinates: {', '.join(crs)}.", f"Jobs: {', '.join(made)}."]
    if "microclimate" in run.products and heat:
        days = heat["days"]
        words.append(f"Heat: {days} day{'s' if days != 1 else ''} from {heat['start']}.")
    if record.get("started"):
        words.append(f"Started {record['started']}.")
    missing = f'<p class="warning">Not there: {escape(", ".join(absent))}.</p>' if absent else ""
    return f"<header><h1>{escape(name)}</h1><p>{escape(' '.join(words))}</p>{missing}</header>"


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>\n" if body else ""


def _figures(heading: str, figures: list[Figure]) -> str:
    cells = "".join(
        f'<div><dt>{escape(f.name)}</dt><dd class="value">{escape(f.value)}</dd>'
        f'<dd class="remark">{escape(f.remark)}</dd></div>'
        for f in figures
    )
    return f'<h3>{escape(heading)}</h3>\n<dl class="figures">{cells}</dl>\n'


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.data).decode("ascii")
    kind = ' class="wide"' if picture.name in _WIDE else ""
    return (
        f'<figure{kind}><img src="data:image/png;base64,{data}" alt="{escape(picture.alt)}">'
        f"<figcaption><strong>{escape(picture.title)}</strong>{escape(picture.caption)}</figcaption></figure>\n"
    )


def _quality(quality: list[tuple[str, str, str, int]]) -> str:
    rows = []
    for table in dict.fromkeys(q[0] for q in quality):
        total = sum(q[3] for q in quality if q[0] == table)
        rows += [
            (table, status, "" if reason == "none" else reason, number(n), f"{100 * n / total:.1f} %")
            for which, status, reason, n in quality
            if which == table and total
        ]
    return _table(("table", "outcome", "reason", "rows", "share"), rows, numbers=(3, 4))


def _jobs(record: dict[str, Any], run: RunDirectory) -> str:
    jobs = record.get("jobs", {})
    rows = []
    for product in PRODUCTS.values():
        job = jobs.get(product.job)
        if job is None:
            continue
        slowest = sorted(((max(t), part) for part, t in job.get("timings_s", {}).items() if t), reverse=True)
        parts = ", ".join(f"{part} {seconds:.1f} s" for seconds, part in slowest[:6] if seconds >= 0.05)
        memory = max(job.get("peak_memory_mb") or [float("nan")])
        size = number(job["bytes"] / 1e6, 1)
        rows.append((product.job, f"{job['seconds']:.1f} s", parts, f"{number(memory)} MB", product.file, f"{size} MB"))
    note = (
        "<p>Times are wall clock, those of parts are of the slowest rank. Memory is the largest of any rank.</p>"
        if rows
        else ""
    )
    return note + _table(("job", "time", "of which", "memory", "product", "size"), rows, numbers=(1, 3, 5))


def _inputs(record: dict[str, Any], attrs: dict[str, Any]) -> str:
    policies = [
        (p["path"], p["licence"] or "not stated", p["holder"] or "not stated", ", ".join(p["purposes"]) or "any")
        for p in record.get("policies", [])
    ]
    body = _table(("source", "licence", "holder", "may be used for"), policies)
    if not policies:
        body = '<p class="warning">The city file states no licence for its inputs.</p>'
    purpose = record.get("configuration", {}).get("city", {}).get("purpose")
    if purpose:
        body += f"<p>This run was made for the purpose: {escape(str(purpose))}.</p>"
    read = {(n, str(h)) for a in attrs.values() for n, h in a["inputs"].items() if n not in PRODUCTS}
    return body + _table(("read", "digest"), [(n, h[:24] + "…") for n, h in sorted(read)])


def _recipes(run: RunDirectory) -> str:
    folder = run.path.resolve().name
    recipes = [
        ("Python (xarray)", f"import felsina\ntree = felsina.open({folder!r})   # lazy: an xarray.DataTree, one node a product")
    ]
    meshes = [p.file.replace(".nc", ".vtkhdf") for n, p in PRODUCTS.items() if p.vtkhdf and n in run.products]
    if meshes:
        recipes.append(("ParaView 5.13 or newer", f"File > Open > {folder}/{meshes[-1]}, then colour by any cell array"))
    maps = {"terrain": "surface_elevation", "microclimate": "sky_view_factor"}
    uris = [f'NETCDF:"{folder}/{PRODUCTS[n].file}":/{n}/{v}' for n, v in maps.items() if n in run.products]
    if uris:
        recipes.append(("QGIS or GDAL: Layer > Add Raster Layer, source", "\n".join(uris)))
    recipes.append(("What is in the files; are they whole", f"felsina inspect {folder}\nfelsina validate {folder}"))
    return "".join(f"<h3>{escape(title)}</h3>\n<pre>{escape(text)}</pre>\n" for title, text in recipes)


def _versions(record: dict[str, Any]) -> str:
    machine, world = record.get("machine", {}), record.get("world", {})
    rows = [("ranks × threads", f"{world.get('ranks', '?')} × {world.get('threads') or 'all'}")] if world else []
    rows += [(k, str(machine[k])) for k in ("cpu", "cores", "platform", "python", "hdf5", "geos") if k in machine]
    rows += sorted((k, str(v)) for k, v in machine.get("versions", {}).items())
    commands = [f"{h['time']}  {h['command']}" for h in record.get("history", [])]
    listed = f"<h3>Commands</h3>\n<pre>{escape(chr(10).join(commands))}</pre>" if commands else ""
    return _table(("what", "version"), rows) + listed


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    if not rows:
        return ""
    kinds = [' class="n"' if k in numbers else "" for k in range(len(head))]
    top = "".join(f'<th scope="col"{k}>{escape(h)}</th>' for h, k in zip(head, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{k}>{escape(str(c))}</td>" for c, k in zip(row, kinds, strict=True)) + "</tr>\n" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n'


def _list(items: Iterable[str]) -> str:
    listed = "".join(f"<li>{escape(str(i))}</li>\n" for i in items)
    return f"<ul>\n{listed}</ul>" if listed else ""


def _outcomes(tree: Any) -> list[tuple[str, str, str, int]]:
    return [
        (t, *row)
        for n, t in (("buildings", "building"), ("energy", "energy"))
        if n in tree.children
        for row in outcomes(tree[n].dataset, t)
    ]
