"""A gallery of buildings of a run: drawings of every level of detail, points by distance, figures; one HTML page.

The page needs no server, no network and no script. Which buildings it shows follows from the run alone: `RULES`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.engine.analysis.axonometry import (
    COLOURS,
    PALE,
    ROOF,
    SHARED,
    WALL,
    Model,
    View,
    distances,
    draw,
    model_of,
    project,
    view_azimuth,
)
from felsina.engine.analysis.canvas import round_length
from felsina.engine.errors import UsageError
from felsina.engine.fields import fields_of
from felsina.engine.io.cityjson_file import features_of
from felsina.engine.io.disk import write_text
from felsina.engine.io.read import product_attrs, read_table, variables
from felsina.engine.rundir import RunDirectory

LODS = ("1.2", "1.3", "2.2")
MOST_MEASURED = 400  # buildings whose fit is measured, and points of each
_MOST_DRAWN = 6000  # points of a building
_REACH = 0.5  # m: distances beyond this have the last colour
_TINTS = ((0.10, 0.35, 0.90), (0.30, 0.34, 0.32), (0.95, 0.40, 0.0))  # inside, on and outside; dark, to be seen on pale roofs
_WIDTH, _HEIGHT, _MARGIN = 420, 340, 14  # pixels of a drawing
_KINDS = {"GroundSurface": 0, "WallSurface": WALL, "RoofSurface": ROOF}

Table = dict[str, NDArray[Any]]
Clouds = dict[str, NDArray[np.float64]]


class Rule(NamedTuple):
    """Why buildings are shown: words, how many at most, and a key by row, largest first; not finite is not eligible."""

    words: str
    most: int
    key: Callable[[Table], NDArray[np.float64]]


def _column(name: str, sign: float = 1.0) -> Callable[[Table], NDArray[np.float64]]:
    def key(table: Table) -> NDArray[np.float64]:
        values = table.get(name)
        return np.full(len(table["building_id"]), np.nan) if values is None else sign * values.astype(np.float64)

    return key


def _positive(name: str) -> Callable[[Table], NDArray[np.float64]]:
    def key(table: Table) -> NDArray[np.float64]:
        values = _column(name)(table)
        return np.where(values > 0, values, np.nan)

    return key


def _among(name: str, word: str) -> Callable[[Table], NDArray[np.float64]]:
    """Return the key that takes the largest footprints of those whose code is a word."""

    def key(table: Table) -> NDArray[np.float64]:
        flags = fields_of("buildings")[name].flags or {}
        codes = [code for code, meaning in flags.items() if meaning == word]
        area = np.nan_to_num(table["building_footprint_area"].astype(np.float64))
        return np.where(np.isin(_column(name)(table), codes), area, np.nan)

    return key


def _reasons(name: str, ordinary: Collection[str]) -> list[Rule]:
    words = [w for w in (fields_of("buildings")[name].flags or {}).values() if w not in ordinary]
    return [Rule(f"{name.removeprefix('building_')}: {w}", 1, _among(name, w)) for w in words]


RULES: list[Rule] = [
    Rule("worst fit", 3, _column("fit")),
    Rule("best fit", 2, _column("fit", -1.0)),
    *_reasons("building_reason", ("none",)),
    *_reasons("building_reconstruction_reason", ("none", "not_tried")),
    Rule("most roof planes", 3, _positive("building_roof_plane_count")),
    Rule("largest volume", 2, _positive("building_volume")),
    Rule("most parts", 1, lambda t: np.where(t["parts"] > 1, t["parts"], np.nan)),
    *[Rule(f"{w} roof", 1, _among("building_roof_type", w)) for w in ("flat", "monopitch", "gabled", "hipped", "mansard")],
    Rule("most party wall", 1, _positive("building_party_wall_area")),
    Rule("least certain roof height", 1, _column("building_roof_height_standard_deviation")),
    Rule("least of the footprint covered by points", 1, _column("building_coverage", -1.0)),
    Rule("largest overlap with other footprints", 1, _positive("building_overlap_area")),
    Rule("largest portico", 1, _positive("building_portico_area")),
    Rule("largest underpass", 1, _positive("building_underpass_area")),
    Rule("smallest footprint", 1, lambda t: np.where(np.isfinite(t["building_height"]), -t["building_footprint_area"], np.nan)),
]


@dataclass
class Building:
    """What is drawn of one building.

    Attributes
    ----------
    models : by level of detail
    parts : BuildingParts, 1 without
    outline : (n, 2, 2) [m]
    """

    name: str
    models: dict[str, Model] = field(default_factory=dict)
    parts: int = 1
    outline: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2, 2)))


def write_gallery(
    path: str | Path,
    target: Path,
    n: int = 24,
    ids: Sequence[str] = (),
    points: Callable[[RunDirectory, Sequence[str]], Clouds] | None = None,
) -> int:
    """Write the gallery page of a run; return the number of buildings shown.

    Parameters
    ----------
    path : run directory with buildings.nc and buildings.city.jsonl
    target : HTML file to write
    n : buildings to choose by `RULES`
    ids : show these in place of chosen ones
    points : gives the roof points (k, 3) [m] of buildings by name; without it none are drawn, and the fit is that of the table

    Raises
    ------
    UsageError
        When a building of `ids` is not in the run.
    """
    run = RunDirectory(Path(path))
    product = run.needed("buildings")
    source = run.path / "buildings.city.jsonl"
    table = read_table(product, _wanted(product))
    table["parts"] = _part_counts(source, table["building_id"])
    unknown = sorted(set(ids) - set(table["building_id"]))
    if unknown:
        raise UsageError(f"'{product}' has no building {', '.join(map(repr, unknown))}. Names are those of building_id.")
    names = {str(name) for name in ids} or {str(table["building_id"][k]) for k in candidates(table, n)}
    buildings = _buildings(source, names)
    clouds = points(run, sorted(names)) if points is not None else {}
    table["fit"] = _fits(table, buildings, clouds)
    rows = {name: k for k, name in _rows_by_name(table).items()}
    if ids:
        shown = [(rows[name], "asked for") for name in ids]
    else:
        # A rejected duplicate has no solid of its own to show.
        own = [k for k, name in _rows_by_name(table).items() if name in buildings]
        among = np.isin(np.arange(len(table["building_id"])), own)
        shown = choose({c: v[among] for c, v in table.items()}, n)
        at = np.flatnonzero(among)
        shown = [(int(at[k]), words) for k, words in shown]
    cards = [_card(table, k, words, buildings[str(table["building_id"][k])], clouds) for k, words in shown]
    write_text(target, _page(run, product, table, cards, bool(ids), bool(clouds)))
    return len(cards)


def candidates(table: Table, n: int) -> list[int]:
    """Return the rows that may be chosen: the first of every rule and rows evenly spread over the table, in order of rows.

    Parameters
    ----------
    table : columns of the building table
    n : buildings to choose
    """
    usable = np.flatnonzero(np.isfinite(_column("building_footprint_area")(table)))
    spread = usable[np.unique(np.linspace(0, len(usable) - 1, max(n, MOST_MEASURED)).round().astype(np.int64))]
    first = [_order(rule.key(table))[: rule.most + 5] for rule in RULES]
    return sorted({int(k) for k in np.concatenate([spread, *first])}) if len(usable) else []


def choose(table: Table, n: int) -> list[tuple[int, str]]:
    """Return (row, why) of the buildings to show: rule after rule, then evenly by volume until there are `n`.

    Parameters
    ----------
    table : columns of the building table, with `fit` [m] and `parts`
    n : at most so many
    """
    chosen: dict[int, str] = {}
    for rule in RULES:
        fresh = [int(k) for k in _order(rule.key(table)) if int(k) not in chosen]
        for k in fresh[: rule.most]:
            if len(chosen) < n:
                chosen[k] = rule.words
    rest = [int(k) for k in _order(_positive("building_volume")(table)) if int(k) not in chosen]
    for k in np.unique(np.linspace(0, len(rest) - 1, max(n - len(chosen), 0)).round().astype(np.int64)) if rest else ():
        chosen[rest[int(k)]] = "evenly by volume"
    return list(chosen.items())


def _order(key: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the eligible rows, the largest key first; rows of one key in their order."""
    eligible = np.flatnonzero(np.isfinite(key))
    return eligible[np.argsort(-key[eligible], kind="stable")]


def _wanted(product: Path) -> list[str]:
    have = set(variables(product))
    return [name for name, f in fields_of("buildings").items() if f.dims == ("building",) and name in have]


def _rows_by_name(table: Table) -> dict[int, str]:
    """Return row -> name, a rejected duplicate left out."""
    seen: dict[str, int] = {}
    for k, (name, lod) in enumerate(zip(table["building_id"], table["building_lod"], strict=True)):
        if name not in seen or lod:
            seen[str(name)] = k
    return {k: name for name, k in seen.items()}


def _part_counts(source: Path, names: NDArray[Any]) -> NDArray[np.float64]:
    lines = features_of(source)
    next(lines)
    counts = {f["id"]: max(len(f["CityObjects"]) - 1, 1) for f in lines}
    return np.array([counts.get(name, 0) for name in names], np.float64)


def _buildings(source: Path, names: Collection[str]) -> dict[str, Building]:
    """Read the solids of some buildings."""
    lines = features_of(source)
    place = np.rint(np.array(next(lines)["transform"]["translate"]) * 1000).astype(np.int64)
    return {f["id"]: _building(f, place) for f in lines if f["id"] in names}


def _building(feature: dict[str, Any], place: NDArray[np.int64]) -> Building:
    vertices = np.array(feature["vertices"], np.int64).reshape(-1, 3) + place
    faces: dict[str, list[list[NDArray[np.int64]]]] = {lod: [] for lod in LODS}
    kinds: dict[str, list[int]] = {lod: [] for lod in LODS}
    edges = []
    for thing in feature["CityObjects"].values():
        for geometry in thing.get("geometry", []):
            if geometry["type"] == "MultiSurface":
                for ring in (vertices[r][:, :2] / 1000.0 for polygon in geometry["boundaries"] for r in polygon):
                    edges.append(np.stack((ring, np.roll(ring, -1, axis=0)), axis=1))
            if geometry["type"] != "Solid" or geometry["lod"] not in faces:
                continue
            faces[geometry["lod"]] += [[vertices[ring] for ring in face] for face in geometry["boundaries"][0]]
            surfaces = [_kind(s) for s in geometry["semantics"]["surfaces"]]
            kinds[geometry["lod"]] += [surfaces[v] for v in geometry["semantics"]["values"][0]]
    models = {lod: model_of(faces[lod], kinds[lod]) for lod in LODS if faces[lod]}
    outline = np.concatenate(edges) if edges else np.zeros((0, 2, 2))
    return Building(feature["id"], models, max(len(feature["CityObjects"]) - 1, 1), outline)


def _kind(surface: dict[str, Any]) -> int:
    return SHARED if surface.get("party_wall_area", 0) > 0 else _KINDS[surface["type"]]


def _fits(table: Table, buildings: dict[str, Building], clouds: Clouds) -> NDArray[np.float64]:
    """Return the root mean square distance of points to roofs and walls by row [m]; that of the table without points."""
    if not clouds:
        return _column("building_rmse")(table)
    fit = np.full(len(table["building_id"]), np.nan)
    for k, name in _rows_by_name(table).items():
        cloud = clouds.get(name, np.zeros((0, 3)))
        if name in buildings and buildings[name].models and len(cloud) >= 20:
            fit[k] = rmse(_top(buildings[name]), cloud)
    return fit


def rmse(model: Model, cloud: NDArray[np.float64]) -> float:
    """Return the root mean square distance of at most 400 points, evenly taken, to roofs and walls of a model [m]."""
    some = cloud[:: -(-len(cloud) // MOST_MEASURED)]
    return float(np.sqrt(np.mean(distances(some, model.shell) ** 2)))


def _top(building: Building) -> Model:
    return building.models[max(building.models)]


def _card(table: Table, row: int, words: str, building: Building, clouds: Clouds) -> str:
    cloud = clouds.get(building.name, np.zeros((0, 3)))
    figures = _figures(table, row, building, cloud)
    drawings = _drawings(building, cloud) if building.models else '<p class="warning">No geometry.</p>'
    cells = "".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd></div>" for a, b in figures)
    return (
        f'<section class="card">\n<h2>{escape(building.name)}</h2><p class="why">{escape(words)}</p>\n'
        f'<div class="drawings">{drawings}</div>\n<dl class="facts">{cells}</dl>\n</section>\n'
    )


def _drawings(building: Building, cloud: NDArray[np.float64]) -> str:
    corners = np.concatenate([m.triangles.reshape(-1, 3) for m in building.models.values()])
    azimuth = view_azimuth(building.outline) if len(building.outline) else 215.0
    view = View.of(corners, azimuth, _WIDTH, _HEIGHT, _MARGIN)
    out = []
    for lod in LODS:
        if lod in building.models:
            model = building.models[lod]
            n_face = len(np.unique(model.face))
            out.append(_drawing(draw(model, view), view, f"LoD{lod}", f"{n_face} faces"))
    if len(cloud):
        model = _top(building)
        some = cloud[:: -(-len(cloud) // _MOST_DRAWN)]
        away = distances(some, model.shell)
        # The largest distances last, for they are what one looks for.
        order = np.lexsort((some[:, 2], some[:, 1], some[:, 0], np.abs(away)))
        picture = draw(model, view, PALE, some[order], _tints(away[order]))
        out.append(_drawing(picture, view, "Points", f"on LoD{max(building.models)}"))
    return "".join(out)


def _tints(away: NDArray[np.float64]) -> NDArray[np.float64]:
    position = 0.5 + 0.5 * np.clip(away / _REACH, -1.0, 1.0)
    return np.stack([np.interp(position, (0.0, 0.5, 1.0), [stop[k] for stop in _TINTS]) for k in range(3)], axis=1)


def _drawing(picture: bytes, view: View, title: str, remark: str) -> str:
    data = base64.b64encode(picture).decode("ascii")
    length = round_length(_WIDTH / view.scale / 4)
    bar = length * view.scale
    y = _HEIGHT - 8
    dx, up = (float(v) for v in project(np.array([0.0, 1.0, 0.0]), view.azimuth_deg)[:2])
    dy = -up  # rows grow downwards
    x0, y0 = _WIDTH - 24, _HEIGHT - 24
    arrow = f'<line x1="{x0 - 14 * dx:.1f}" y1="{y0 - 14 * dy:.1f}" x2="{x0 + 14 * dx:.1f}" y2="{y0 + 14 * dy:.1f}"/>'
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<image href="data:image/png;base64,{data}" width="{_WIDTH}" height="{_HEIGHT}"/>'
        f'<g stroke="#444" stroke-width="1.5"><line x1="8" y1="{y}" x2="{8 + bar:.1f}" y2="{y}"/>{arrow}</g>'
        f'<text x="{12 + bar:.1f}" y="{y + 4}">{length:g} m</text>'
        f'<text x="{x0 + 21 * dx - 4:.1f}" y="{y0 + 21 * dy + 4:.1f}">N</text></svg>'
        f"<figcaption><strong>{escape(title)}</strong> {escape(remark)}</figcaption></figure>"
    )


def _figures(table: Table, row: int, building: Building, cloud: NDArray[np.float64]) -> list[tuple[str, str]]:
    """Return names and values of what is known of a building."""

    def number(name: str, unit: str, digits: int) -> str:
        values = table.get(f"building_{name}")
        if values is None or not np.isfinite(values[row]):
            return ""
        spread = table.get(f"building_{name}_standard_deviation")
        more = f" ± {spread[row]:.{digits + 1}f}" if spread is not None and np.isfinite(spread[row]) else ""
        return f"{values[row]:,.{digits}f}{more} {unit}".strip().replace(",", "\u202f")

    def word(name: str) -> str:
        code = table.get(f"building_{name}")
        flags = fields_of("buildings")[f"building_{name}"].flags or {}
        return "" if code is None else flags.get(int(code[row]), "").replace("_", " ")

    fits = [f"{rmse(m, cloud):.2f}" for m in building.models.values()] if len(cloud) else []
    found = [
        ("status", f"{word('status')}, {word('reason')}"),
        ("LoD2.2", word("reconstruction_reason")),
        ("roof", word("roof_type")),
        ("planes", number("roof_plane_count", "", 0)),
        ("parts", str(building.parts)),
        ("footprint", number("footprint_area", "m²", 1)),
        ("roof area", number("roof_area", "m²", 1)),
        ("volume", number("volume", "m³", 0)),
        ("LoD2.2 volume", number("lod22_volume", "m³", 0)),
        ("height of the block", number("height", "m", 2)),
        ("roof height sd", number("roof_height_standard_deviation", "m", 3)),
        ("eaves", number("eaves_elevation", "m", 2)),
        ("ridge", number("ridge_elevation", "m", 2)),
        ("ground", number("ground_elevation", "m", 2)),
        ("RMSE in the table", number("rmse", "m", 2)),
        ("RMSE by level", f"{' / '.join(fits)} m" if fits else ""),
        ("points", number("point_count", "", 0)),
        ("covered", f"{100 * table['building_coverage'][row]:.0f} %" if np.isfinite(table["building_coverage"][row]) else ""),
        ("party walls", number("party_wall_area", "m²", 1)),
        ("overlap", number("overlap_area", "m²", 1)),
    ]
    return [(a, b) for a, b in found if b]


_STYLE = """
.card { border-top: 2px solid var(--line); margin-top: 1.6rem; padding-top: .2rem; break-inside: avoid; }
.card h2 { border: 0; margin: .6rem 0 0; font-size: 1.05rem; overflow-wrap: anywhere; }
.why { margin: 0 0 .4rem; color: var(--soft); }
.drawings { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .6rem; }
.drawings svg { width: 100%; height: auto; display: block; background: #f8f8f6; border-radius: .3rem; }
.drawings text { font: 12px system-ui, sans-serif; fill: #444; }
dl.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(11.5rem, 1fr)); gap: .1rem 1rem;
  margin: .6rem 0 0; font-size: .88rem; }
dl.facts div { display: flex; justify-content: space-between; border-bottom: 1px solid var(--line); }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; font-variant-numeric: tabular-nums; text-align: right; }
.key span { display: inline-block; width: 1rem; height: .8rem; margin: 0 .3rem 0 1rem;
  vertical-align: middle; border: 1px solid #999; }
.key .scale { width: 9rem; background: linear-gradient(to right, COLOURS); }
body { max-width: 84rem; }
"""


def _page(run: RunDirectory, product: Path, table: Table, cards: Sequence[str], asked: bool, has_points: bool) -> str:
    attrs = product_attrs(product)
    title = str(attrs["configuration"].get("city", {}).get("name") or run.path.resolve().name)
    stops = ", ".join(f"rgb({', '.join(f'{100 * v:.0f}%' for v in stop)})" for stop in _TINTS)
    style = files("felsina.engine.analysis").joinpath("report.css").read_text(encoding="utf-8")
    style += _STYLE.replace("COLOURS", stops)
    keys = [(ROOF, "roof"), (WALL, "wall"), (SHARED, "wall shared with a neighbour, highest level only")]
    key = "".join(f'<span style="background:{COLOURS[k]}"></span>{w}' for k, w in keys)
    if has_points:
        key += f'<span class="scale"></span>points {_REACH:g} m and more inside to outside the solid'
    rule = "The buildings were asked for by name." if asked else _rule_in_words(has_points)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}: buildings</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}: {len(cards)} of {len(table['building_id']):,} buildings</h1>"
        f"<p>{escape(rule)}</p><p>Isometric views from the south-west quarter, turned so that no main wall is seen edge on; "
        f"all drawings of a building have one scale. {'' if has_points else 'No points: name the city file with --city.'}</p>"
        f'<p class="key">{key}</p></header>\n<main>\n{"".join(cards)}</main>\n'
        f"<footer>Made by felsina {escape(str(attrs.get('felsina_version', '')))} from {escape(product.name)} and "
        f"buildings.city.jsonl. Coordinates: {escape(str(attrs.get('crs', '')))}.</footer>\n</body>\n</html>\n"
    )


def _rule_in_words(has_points: bool) -> str:
    listed = [f"{r.words} ({r.most})" for r in RULES if ":" not in r.words]
    fit = (
        f"root mean square distance of points to roofs and walls of the highest level; of at most {MOST_MEASURED} buildings, "
        f"evenly taken, and those that lead another rule; {MOST_MEASURED} points each"
        if has_points
        else "building_rmse of the table"
    )
    return (
        f"Chosen by rule, one after the other, none twice: {', '.join(listed[:2])}, the largest of each reason but none, "
        f"{', '.join(listed[2:])}; then evenly by volume. Fit: {fit}."
    )
