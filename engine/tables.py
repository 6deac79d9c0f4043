"""Data tables shipped with felsina: CSV files under `engine/data`, each row with its source."""

from __future__ import annotations

import csv
from importlib import resources


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of a shipped table as texts by column.

    Parameters
    ----------
    name : file name under `engine/data`, "surface_properties.csv"
    """
    text = resources.files("felsina.engine").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
