"""One declaration per option: default, unit, limits and help sit together; the command line, validation, `felsina describe`
and the docs read them from here."""

from __future__ import annotations

import datetime
import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from felsina.engine.errors import UsageError


def option(
    default: Any,
    help: str,
    unit: str = "1",
    low: float = float("-inf"),
    high: float = float("inf"),
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare an option of a component; see `Options`."""
    metadata = {"help": help, "unit": unit, "low": low, "high": high, "choices": choices}
    if isinstance(default, dict | list):
        kind = type(default)
        return field(default_factory=lambda: kind(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of every component's options: checks limits, choices and types once, when made."""

    @classmethod
    def from_mapping(cls, section: str, values: Mapping[str, Any]) -> typing.Self:
        """Build the options from a table of the city file; unknown keys are errors with the nearest known name."""
        known = {f.name: f for f in fields(cls)}
        hints = typing.get_type_hints(cls)
        for key in values:
            if key not in known:
                raise UsageError(unknown_key(f"[{section}]", key, known))
        return cls(**{k: _converted(f"{section}.{k}", v, hints[k]) for k, v in values.items()})

    def __post_init__(self) -> None:
        for f in fields(self):
            value, limits = getattr(self, f.name), f.metadata
            if not limits:
                continue
            if isinstance(value, int | float) and not isinstance(value, bool) and not limits["low"] <= value <= limits["high"]:
                raise UsageError(
                    f"Option '{f.name}' is {value}; expected {limits['low']:g} to {limits['high']:g} [{limits['unit']}]."
                )
            for item in value if isinstance(value, tuple) else (value,):
                if limits["choices"] and item is not None and item not in limits["choices"]:
                    raise UsageError(
                        f"Option '{f.name}' is '{item}'; expected one of {', '.join(map(repr, limits['choices']))}."
                    )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def declared(cls: type[Options]) -> list[dict[str, Any]]:
    """List the options of a component: name, default, unit, limits, choices, help."""
    rows = []
    for f in fields(cls):
        default = f.default if f.default is not MISSING else f.default_factory() if f.default_factory is not MISSING else None
        rows.append({"name": f.name, "default": _plain(default), **f.metadata})
    return rows


def unknown_key(where: str, key: str, known: typing.Iterable[str]) -> str:
    """Return the sentence about a key that nobody declared, with the nearest known name."""
    names = sorted(known)
    near = difflib.get_close_matches(key, names, 1, 0.5)
    hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(names)}."
    return f"{where} has an unknown key '{key}'. {hint}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _converted(name: str, value: Any, hint: Any) -> Any:
    """Check a TOML value against a declared type; integers stand for floats, lists for tuples."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        hint = next(a for a in args if a is not type(None))
        origin, args = typing.get_origin(hint), typing.get_args(hint)
    kind = origin or hint
    if kind is tuple:
        if not isinstance(value, list | tuple):
            raise UsageError(f"'{name}' is {value!r}; expected a list.")
        return tuple(_converted(name, v, args[0]) for v in value)
    if kind is dict:
        if not isinstance(value, Mapping):
            raise UsageError(f"'{name}' is {value!r}; expected a table.")
        return {str(k): _converted(f"{name}.{k}", v, args[1]) for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is str and isinstance(value, datetime.date):  # TOML has dates: quotes around one are a matter of taste
        return value.isoformat()
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        raise UsageError(f"'{name}' is {value!r}; expected {words.get(kind, kind.__name__)}.")
    return value
