"""Coordinate reference systems of inputs: what a file says, what the city file says, and whether that is the same place.

Everything inside is metres. A projected CRS in feet is rescaled about its origin to the same projection in metres, which is
exact; no other change of CRS happens on reading. Files store x as easting and y as northing whatever order a CRS lists its axes
in, so EPSG:6707 (north first) and EPSG:7791 (east first) are the same place here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from felsina.engine.errors import InputError, UsageError

if TYPE_CHECKING:
    from pyproj import CRS

Bounds = tuple[float, float, float, float]

METRE = Fraction(1)
FOOT = Fraction(3048, 10_000)  # international foot [m], 1959 agreement
US_SURVEY_FOOT = Fraction(1200, 3937)  # [m], Mendenhall order of 1893
# GeoTIFF linear unit codes are EPSG unit codes (OGC 19-008r4, ProjLinearUnitsGeoKey and VerticalUnitsGeoKey).
_UNIT_OF_CODE = {9001: METRE, 9002: FOOT, 9003: US_SURVEY_FOOT}
# GeoTIFF keys (OGC 19-008r4)
_MODEL_TYPE, _GEODETIC, _PROJECTED, _LINEAR_UNIT, _VERTICAL_UNIT = 1024, 2048, 3072, 3076, 4099
_PROJECTED_MODEL = 1
_EPSG_CODES = range(1024, 32767)

# EPSG gives false eastings in feet to 0.01 ft = 3 mm: two entries of one projection may differ by that much.
SAME_PROJECTION = 0.005  # m
# Areas of use are coarse boxes around a country; coordinates of another CRS miss them by far more.
AREA_MARGIN = 2.0  # degree


@dataclass(frozen=True)
class Stated:
    """What the header of a file says about its coordinates; None where it says nothing."""

    crs: CRS | None = None
    horizontal: Fraction | None = None
    vertical: Fraction | None = None


@dataclass(frozen=True)
class Reference:
    """How the numbers of a file become metres.

    Attributes
    ----------
    crs : str
        Horizontal CRS in metres: an authority code, or WKT where there is none.
    horizontal, vertical : Fraction
        Metres per unit of x, y and of z, exact.
    notes : what was converted or assumed, one sentence each.
    """

    crs: str
    horizontal: Fraction
    vertical: Fraction
    notes: tuple[str, ...] = ()


def parse_crs(text: str, where: str) -> CRS:
    """Return the CRS that a text of the configuration names ("EPSG:7791", WKT, PROJJSON); `where` is named in the error."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise UsageError(
            f"{where} is '{text}', which PROJ does not know. Write an authority code such as 'EPSG:7791'."
        ) from error


def parse_wkt(text: str) -> CRS | None:
    """Return the CRS of a WKT string, or None when it is empty or damaged."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_wkt(text.strip("\0 \n")) if text.strip("\0 \n") else None
    except CRSError:
        return None


def parse_geokeys(keys: Mapping[int, int]) -> Stated:
    """Return what the short values of a GeoTIFF key directory say (LAS and GeoTIFF files share them).

    A projection that is written out parameter by parameter (code 32767) gives its units, not its CRS.

    References
    ----------
    OGC 19-008r4, GeoTIFF 1.1, requirements classes ProjectedCRSGeoKey, ProjLinearUnitsGeoKey, VerticalUnitsGeoKey.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    crs = None
    wanted = _PROJECTED if keys.get(_PROJECTED) or keys.get(_MODEL_TYPE) == _PROJECTED_MODEL else _GEODETIC
    if keys.get(wanted, 0) in _EPSG_CODES:
        try:
            crs = CRS.from_epsg(keys[wanted])
        except CRSError:
            crs = None
    return Stated(crs, _UNIT_OF_CODE.get(keys.get(_LINEAR_UNIT, 0)), _UNIT_OF_CODE.get(keys.get(_VERTICAL_UNIT, 0)))


def short_geokeys(directory: Sequence[int]) -> dict[int, int]:
    """Return the keys of a GeoKeyDirectory (header of four shorts, then four per key) whose value is a short in place."""
    entries = [directory[k : k + 4] for k in range(4, len(directory) - 3, 4)]
    return {int(key): int(value) for key, location, _, value in entries if location == 0}


def horizontal(crs: CRS) -> CRS:
    """Return the horizontal part of a compound CRS, or the CRS itself."""
    if crs.is_compound:
        return horizontal(crs.sub_crs_list[0])
    return horizontal(crs.source_crs) if crs.is_bound and crs.source_crs is not None else crs


def label(crs: CRS) -> str:
    """Return how messages name a CRS: its code and name."""
    authority = crs.to_authority(min_confidence=100)
    return f"{':'.join(authority)} ({crs.name})" if authority else f"'{crs.name}'"


def crs_text(crs: CRS) -> str:
    """Return the authority code of a CRS, or its WKT (ISO 19162:2019) where no authority lists it."""
    authority = crs.to_authority(min_confidence=100)
    return ":".join(authority) if authority else crs.to_wkt()


def units(crs: CRS) -> tuple[Fraction, Fraction | None]:
    """Return metres per horizontal unit of a projected CRS, and per vertical unit where it has a vertical axis."""
    up = [a for a in crs.axis_info if a.direction == "up"]
    across = [a for a in crs.axis_info if a.direction != "up"]
    return _exact_unit(across[0].unit_conversion_factor), _exact_unit(up[0].unit_conversion_factor) if up else None


def in_metres(crs: CRS) -> CRS:
    """Return the same horizontal projection with axes in metres, east first: coordinates times the unit are its coordinates."""
    from pyproj import CRS as Crs

    tree = horizontal(crs).to_json_dict()
    changed = False
    for axis in tree["coordinate_system"]["axis"]:
        changed |= axis.get("unit") != "metre"
        axis["unit"] = "metre"
    order = sorted(tree["coordinate_system"]["axis"], key=lambda axis: axis["direction"] != "east")
    if not changed and order == tree["coordinate_system"]["axis"]:
        return horizontal(crs)
    tree["coordinate_system"]["axis"] = order
    tree.pop("id", None)
    if changed:
        tree["name"] = f"{tree['name']}, in metres"
    return Crs.from_json_dict(tree)


def same_place(a: CRS, b: CRS, bounds: Bounds | None = None) -> bool:
    """Tell whether two projected CRS in metres give every point of `bounds` the same coordinates on the same datum."""
    from pyproj import Transformer

    a, b = in_metres(a), in_metres(b)
    if a == b or a.equals(b):
        return True
    if bounds is None or a.geodetic_crs is None or not a.geodetic_crs.equals(b.geodetic_crs, ignore_axis_order=True):
        return False
    west, south, east, north = bounds
    x, y = [west, east, west, east], [south, south, north, north]
    to_x, to_y = Transformer.from_crs(a, b, always_xy=True).transform(x, y)
    return all(abs(p - q) <= SAME_PROJECTION for p, q in zip((*x, *y), (*to_x, *to_y), strict=True))


def require_projected(crs: CRS, where: str) -> None:
    """Raise InputError unless `crs` has eastings and northings."""
    flat = horizontal(crs)
    directions = {axis.direction for axis in flat.axis_info}
    if not flat.is_projected or "west" in directions:
        raise InputError(
            f"{where} is {label(crs)}, which has no eastings and northings. felsina works in a projected CRS: "
            "reproject the data, or correct the CRS if it is wrong."
        )


def reference(
    path: Path, stated: Stated, city: str | None, bounds: Bounds | None, key: str = "[city] crs", reproject: str = "PDAL"
) -> Reference:
    """Decide how the numbers of a file become metres in the CRS of the city.

    Parameters
    ----------
    path : the file, for messages
    stated : what its header says
    city : CRS of the city file, None when it has none; `key` names it in messages
    bounds : (west, south, east, north) in the file's own numbers; None for a file without points
    reproject : the tool that messages recommend

    Raises
    ------
    InputError
        When neither the file nor the city has a CRS, when the two contradict each other, or when the numbers lie outside the
        area of the CRS.
    """
    chosen = parse_crs(city, key) if city else None
    if chosen is not None:
        require_projected(chosen, key)
    if stated.crs is None and chosen is None:
        raise InputError(
            f"'{path}' carries no CRS that can be read, and the city file gives none. Set {key} to the CRS of the data."
        )
    if stated.crs is not None and not (chosen is not None and not horizontal(stated.crs).is_projected):
        require_projected(stated.crs, f"The CRS of '{path}'")
    source = stated.crs if stated.crs is not None else chosen
    assert source is not None
    in_source = horizontal(source)
    notes = []
    flat, vertical = units(source)
    # A header that states its unit and no readable CRS is right about its numbers.
    if stated.crs is None and stated.horizontal is not None:
        flat = stated.horizontal
    vertical = stated.vertical or vertical or (units(chosen)[1] if chosen is not None else None)
    up = vertical or flat
    metres = None if bounds is None else tuple(v * float(flat) for v in bounds)
    if stated.crs is not None and chosen is not None:
        agrees = horizontal(stated.crs).is_projected and same_place(stated.crs, chosen, metres)  # type: ignore[arg-type]
        if not agrees:
            raise InputError(
                f"'{path}' says its CRS is {label(stated.crs)}, but {key} is {label(chosen)}. Correct {key}, or reproject the "
                f"file ({reproject} can) if the city is right."
            )
    if flat != METRE:
        notes.append(
            f"x and y converted from {_unit_name(flat)} to metres (factor {flat}) about the origin of {label(in_source)}."
        )
    if up != METRE:
        known = "the stated vertical unit" if vertical else "no vertical unit stated, taken as that of x and y"
        notes.append(f"z converted from {_unit_name(up)} to metres (factor {up}); {known}.")
    if in_source.axis_info[0].direction == "north":
        notes.append(f"{label(in_source)} lists north first; x was read as easting and y as northing.")
    if bounds is not None:
        _require_in_area(path, in_source, bounds, flat, key if stated.crs is None else "its header")
    target = horizontal(chosen if chosen is not None else source)
    return Reference(crs_text(target if units(target)[0] == METRE else in_metres(target)), flat, up, tuple(notes))


def distance_km(crs: str, x: float, y: float, longitude: float, latitude: float) -> float:
    """Return the geodesic distance [km] between a position in a CRS and a place on the WGS 84 ellipsoid [degree]."""
    from pyproj import Geod, Transformer

    here = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    return Geod(ellps="WGS84").inv(*here, longitude, latitude)[2] / 1000.0


def _require_in_area(path: Path, crs: CRS, bounds: Bounds, flat: Fraction, origin: str) -> None:
    """Raise InputError when the middle of the data lies far outside the area that the CRS was made for."""
    from pyproj import Transformer

    area = crs.area_of_use
    if area is None:
        return
    unit = float(flat / units(crs)[0])
    x, y = unit * 0.5 * (bounds[0] + bounds[2]), unit * 0.5 * (bounds[1] + bounds[3])
    to_degrees = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)

    def inside(x: float, y: float) -> bool:
        longitude, latitude = to_degrees.transform(x, y)
        width = (area.east - area.west) % 360.0
        east = (longitude - area.west + AREA_MARGIN) % 360.0
        return area.south - AREA_MARGIN <= latitude <= area.north + AREA_MARGIN and east <= width + 2.0 * AREA_MARGIN

    if inside(x, y):
        return
    found = (
        f"'{path}' lies around x = {x / unit:,.0f}, y = {y / unit:,.0f}, far outside the area of {label(crs)} given by {origin}"
    )
    if inside(y, x):
        raise InputError(f"{found}; with x and y swapped it lies inside. Store easting as x and northing as y.")
    raise InputError(f"{found}. The CRS is wrong: correct it.")


def _exact_unit(factor: float) -> Fraction:
    for unit in (METRE, FOOT, US_SURVEY_FOOT):
        if abs(factor - float(unit)) <= 1e-12:
            return unit
    return Fraction(repr(factor))


def _unit_name(unit: Fraction) -> str:
    return {FOOT: "feet", US_SURVEY_FOOT: "US survey feet"}.get(unit, f"units of {float(unit)} m")


def has_code(crs: str) -> bool:
    """Tell whether an authority has a code for a CRS."""
    return parse_crs(crs, "The CRS").to_authority() is not None
