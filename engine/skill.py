"""How near a run of the built-in district is to the district's known truth."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from felsina.engine.district.roof_truth import FLOORS, compare_openings, compare_roofs
from felsina.engine.district.tree_truth import compare_trees
from felsina.engine.district.truth import compare_with_truth
from felsina.engine.io.district_files import read_roof_faces
from felsina.engine.io.read import read_field, read_table, variables
from felsina.engine.rundir import RunDirectory

_COLUMNS = ("building_id", "building_height", "building_volume", "building_party_wall_area")
# Of LoD2.2 and of openings, where the run has them.
_OPTIONAL = (
    "building_lod22_volume", "building_roof_area", "building_portico_area", "building_portico_height",
    "building_underpass_area", "building_roof_overhang",
)  # fmt: skip
_TREES = ("tree_x", "tree_y", "tree_height", "crown_base_height", "crown_diameter")


def district_skill(inputs: Path, run: RunDirectory) -> list[tuple[str, float, str, str]]:
    """Compare the products of a run with the truth of its district.

    Parameters
    ----------
    inputs : folder that `write_district` filled, with truth.json
    run : the run directory

    Returns
    -------
    list of (metric, value, unit, target in words)
    """
    truth = json.loads((inputs / "truth.json").read_text(encoding="utf-8"))
    results = {name: read_field(run.product("terrain"), name) for name in ("x", "y", "ground_elevation")}
    # The grid reaches beyond the district's edge to whole metres; there is no truth there, nor a point.
    west, south = truth["terrain"]["origin"]
    i = np.flatnonzero((results["x"] > west) & (results["x"] < west + truth["size_m"]))
    j = np.flatnonzero((results["y"] > south) & (results["y"] < south + truth["size_m"]))
    results = {
        "x": results["x"][i],
        "y": results["y"][j],
        "ground_elevation": results["ground_elevation"][np.ix_(j, i)],
    }
    results |= read_table(run.product("buildings"), _COLUMNS)
    bounds = (west, south, west + truth["size_m"], south + truth["size_m"])
    trees = compare_trees(truth["trees"], read_table(run.product("terrain"), _TREES), bounds)
    held = set(variables(run.product("buildings")))
    columns = ("building_id", *(name for name in _OPTIONAL if name in held))
    more = compare_openings(truth["buildings"], read_table(run.product("buildings"), columns))
    if "building_lod22_volume" in held:
        more += compare_roofs(truth["buildings"], read_roof_faces(run.path / "buildings.city.jsonl"))
    rows = []
    for metric, value, unit, target in [*compare_with_truth(truth, results), *more, *trees]:
        is_floor = metric.startswith("footprints") or metric.endswith("F1") or metric in FLOORS
        met = value >= target if is_floor else value <= target
        # A small district may have nothing of a kind: no portico, no gable with eaves.
        verdict = "unknown" if math.isnan(value) else "met" if met else "MISSED"
        rows.append((metric, value, unit, f"{'>=' if is_floor else '<='} {target:g} {verdict}"))
    return rows
