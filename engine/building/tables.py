"""Tables of a description: laid over one another, and read key by key with sentences about what is wrong."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from felsina.engine.errors import InputError
from felsina.engine.options import unknown_key


def merged(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the tables of a file, laid over those of the file it extends."""
    if path in seen:
        raise InputError(f"'{path.name}' extends itself by way of {', '.join(p.name for p in seen)}. Remove one 'extends'.")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"'{path.name}' is no TOML: {error}.") from None
    base = table.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise InputError(f"'{path.name}': 'extends' is {base!r}; expected the name of a file beside it.")
    return _laid_over(merged((path.parent / base).resolve(), (*seen, path)), table)


def _laid_over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay tables over tables, key by key; `absent = true` in a table removes what is below."""
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping) and value.get("absent") is True:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _laid_over(dict(merged[key]), value)
        else:
            merged[key] = value
    return merged


def sources(path: Path) -> list[Path]:
    """Return a description and those that it extends, in this order."""
    found, base = [path], tomllib.loads(path.read_text(encoding="utf-8")).get("extends")
    return found if base is None else found + sources((path.parent / base).resolve())


class Table:
    """A table of the description that takes each key once and then has none left over."""

    def __init__(self, values: Any, where: str, file: str) -> None:
        if not isinstance(values, Mapping):
            raise InputError(f"'{file}': {where} is {values!r}; expected a table.")
        self.values, self.where, self.file, self.known = values, where, file, set[str]()

    def fail(self, what: str) -> InputError:
        return InputError(f"'{self.file}': {self.where} {what}")

    def take(self, key: str, default: Any = ...) -> Any:
        self.known.add(key)
        value = self.values.get(key, default)
        if value is ...:
            raise self.fail(f"has no '{key}'. Give one.")
        return value

    def number(self, key: str, unit: str, low: float, high: float, default: Any = ..., above: bool = False) -> float:
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.fail(f"has {key} = {value!r}; expected a number [{unit}].")
        if not low <= value <= high or (above and value <= low):
            edge = f"above {low:g} and up to {high:g}" if above else f"{low:g} to {high:g}"
            raise self.fail(f"has {key} = {value:g} {unit}; expected {edge}.")
        return float(value)

    def text(self, key: str, choices: Iterable[str], default: Any = ...) -> str:
        value = self.take(key, default)
        names = list(choices)
        if value not in names:
            raise self.fail(
                f"has {key} = {value!r}; expected one of {', '.join(map(repr, names)) or 'none: declare it first'}."
            )
        return str(value)

    def numbers(self, key: str, unit: str, low: float, high: float, default: Any = ...) -> tuple[float, ...]:
        value = self.take(key, default)
        if not isinstance(value, list | tuple) or any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
            raise self.fail(f"has {key} = {value!r}; expected a list of numbers [{unit}].")
        for v in value:
            if not low <= v <= high:
                raise self.fail(f"has {v:g} {unit} in {key}; expected {low:g} to {high:g}.")
        return tuple(float(v) for v in value)

    def table(self, key: str, default: Any = ...) -> Table:
        return Table(self.take(key, default), f"{self.where}.{key}".lstrip("."), self.file)

    def tables(self, key: str, least: int = 0) -> dict[str, Table]:
        inner = self.table(key, {})
        if len(inner.values) < least:
            raise self.fail(f"has no [{key}.NAME]. A building needs at least {least}.")
        return {name: Table(v, f"{key}.{name}", self.file) for name, v in inner.values.items()}

    def done(self) -> None:
        for key in self.values:
            if key not in self.known:
                raise InputError(f"'{self.file}': {unknown_key(self.where or 'the description', key, self.known)}")
