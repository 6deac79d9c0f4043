"""The configuration of a city: one frozen dataclass per section of the city file.

The file is read once, on rank 0, and broadcast. Each option is declared here and nowhere else. What may change a result is in
`City.scientific()`; `[execution]` is not part of it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from felsina.engine.errors import InputError, UsageError
from felsina.engine.fields import fields_of
from felsina.engine.options import Options, option, unknown_key

T = TypeVar("T", bound=Options)


@dataclass(frozen=True, kw_only=True)
class CityOptions(Options):
    """`[city]`"""

    name: str = option("city", "Name of the city or quarter.")
    crs: str | None = option(None, "Projected CRS in metres, 'EPSG:7791'; required when the points carry none.")
    purpose: str = option("research", "What the run is for; checked against each input's policy.")


@dataclass(frozen=True, kw_only=True)
class PointOptions(Options):
    """`[points]`"""

    files: tuple[str, ...] = option((), "LAS, LAZ or COPC files; patterns allowed.")
    use_classes: bool = option(True, "Trust ground, building, vegetation and water classes in the files.")


@dataclass(frozen=True, kw_only=True)
class FootprintOptions(Options):
    """`[footprints]`"""

    file: str | None = option(None, "Building footprints; derived from the points when absent.")
    id: str | None = option(None, "Column of the building identifier; the feature number when absent.")
    layer: str | None = option(None, "Layer of a file that has several with polygons.")


@dataclass(frozen=True, kw_only=True)
class LandCoverOptions(Options):
    """`[landcover]`"""

    layers: dict[str, str] = option({}, "Polygon files by kind: road, water, green, bare.")
    raster: str | None = option(None, "GeoTIFF of UMEP land-cover codes.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in self.layers:
            if key not in LAND_COVER_LAYERS:
                raise UsageError(unknown_key("[landcover] layers", key, LAND_COVER_LAYERS))


# Kind of a land-cover layer -> UMEP code; a later kind wins where polygons overlap.
LAND_COVER_LAYERS = {"bare": 6, "green": 5, "road": 1, "water": 7}


@dataclass(frozen=True, kw_only=True)
class ImageryOptions(Options):
    """`[imagery]`: orthophotos, GeoTIFF in any CRS; several files of a kind are one mosaic."""

    rgbn: tuple[str, ...] = option((), "Images of red, green, blue, near infrared; patterns allowed.")
    cir: tuple[str, ...] = option((), "Images of near infrared, red, green; patterns allowed.")
    rgb: tuple[str, ...] = option((), "Images of red, green, blue; patterns allowed.")
    gain: dict[str, float] = option({}, "Reflectance per value of a pixel, by band: blue, green, red, nir.")
    offset: dict[str, float] = option({}, "Reflectance at value 0, by band.")
    targets: str | None = option(None, "CSV of surfaces of known reflectance, in place of `gain`.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("gain", "offset"):
            for band, value in getattr(self, name).items():
                if band not in IMAGE_BANDS:
                    raise UsageError(unknown_key(f"[imagery] {name}", band, IMAGE_BANDS))
                if not math.isfinite(value) or (name == "gain" and value <= 0.0):
                    raise UsageError(f"'imagery.{name}.{band}' is {value}; expected a number{' above 0' * (name == 'gain')}.")
        if self.targets and (self.gain or self.offset):
            raise UsageError("[imagery] has targets, and gain or offset; one of them calibrates the images. Leave one out.")
        if self.offset and not self.gain:
            raise UsageError("[imagery] has offset without gain. Give the gain of each band too.")


IMAGE_BANDS = ("blue", "green", "red", "nir")


@dataclass(frozen=True, kw_only=True)
class WeatherOptions(Options):
    """`[weather]`"""

    file: str | None = option(None, "Weather of a year: EPW.")


@dataclass(frozen=True, kw_only=True)
class TerrainOptions(Options):
    """`[terrain]`"""

    resolution_m: float = option(0.5, "Cell size of terrain, surface and canopy.", "m", 0.1, 100.0)
    snap_m: float = option(4.0, "Edges of the grid lie on multiples of it, so that coarser grids nest.", "m", 0.1, 1000.0)
    margin_m: float = option(0.0, "Ground kept around the bounds of the points.", "m", 0.0, 10_000.0)
    window_m: float = option(18.0, "Radius of the ground filter's largest window: half what it removes.", "m", 2.0, 200.0)
    slope: float = option(0.18, "Tangent of the steepest ground of the ground filter.", "1", 0.01, 5.0)


@dataclass(frozen=True, kw_only=True)
class BuildingOptions(Options):
    """`[buildings]`"""

    lods: tuple[str, ...] = option(
        ("1.2", "1.3", "2.2"), "Levels of detail of the solids; 1.2 is one of them.", choices=("1.2", "1.3", "2.2")
    )
    min_points: int = option(5, "Fewest roof points that give a height.", "1", 1, 1000)
    party_wall_distance_m: float = option(0.10, "Largest gap between two walls that count as shared.", "m", 0.0, 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if "1.2" not in self.lods:
            raise UsageError(
                f"Option 'lods' is {list(self.lods)}; '1.2' must be one of them: the surfaces and the energy rest on it."
            )


@dataclass(frozen=True, kw_only=True)
class ReconstructionOptions(Options):
    """`[reconstruction]`: roofs of LoD1.3 and LoD2.2; tuned on one scene (Delft, AHN3)."""

    plane_distance_m: float = option(
        0.20, "Farther from a plane, a point is not of it; smaller splits rough roofs.", "m", 0.01, 2.0
    )
    plane_cosine: float = option(0.85, "Least cosine between normals of one plane; larger splits curved roofs.", "1", 0.0, 1.0)
    plane_points: int = option(6, "Fewest points of a plane; fewer find dormers, and chimneys.", "1", 3, 1000)
    neighbours: int = option(15, "Neighbours that a plane grows through; more bridge gaps.", "1", 3, 64)
    normal_neighbours: int = option(8, "Neighbours of a normal; more smooth noise, and ridges.", "1", 3, 64)
    sparse_density: float = option(5.0, "With fewer points on a square metre, the `sparse` limits hold.", "m-2", 0.0, 1000.0)
    sparse_plane_distance_m: float = option(0.25, "`plane_distance_m` of a sparse cloud.", "m", 0.01, 2.0)
    sparse_plane_cosine: float = option(0.7, "`plane_cosine` of a sparse cloud.", "1", 0.0, 1.0)
    sparse_plane_points: int = option(5, "`plane_points` of a sparse cloud.", "1", 3, 1000)
    sparse_neighbours: int = option(8, "`neighbours` of a sparse cloud; fewer stay on one roof.", "1", 3, 64)
    sparse_normal_neighbours: int = option(6, "`normal_neighbours` of a sparse cloud.", "1", 3, 64)
    scant_density: float = option(2.0, "With fewer points on a square metre, the `scant` limits hold.", "m-2", 0.0, 1000.0)
    scant_plane_distance_m: float = option(0.45, "`plane_distance_m` of a scant cloud.", "m", 0.01, 2.0)
    scant_plane_cosine: float = option(0.5, "`plane_cosine` of a scant cloud.", "1", 0.0, 1.0)
    scant_plane_points: int = option(4, "`plane_points` of a scant cloud.", "1", 3, 1000)
    scant_neighbours: int = option(10, "`neighbours` of a scant cloud.", "1", 3, 64)
    scant_normal_neighbours: int = option(5, "`normal_neighbours` of a scant cloud.", "1", 3, 64)
    free_angle_deg: float = option(
        97.4, "An edge point has this much without neighbours; larger finds straight edges only.", "degree", 60.0, 180.0
    )
    window_m: float = option(0.45, "Width of the window that gathers edge points; about twice their spacing.", "m", 0.05, 5.0)
    run_gap_m: float = option(1.6, "A wider gap between edge points ends an edge.", "m", 0.1, 20.0)
    least_length_m: float = option(0.3, "Shorter edges are none.", "m", 0.0, 20.0)
    least_points: int = option(3, "Fewest points of an edge.", "1", 2, 1000)
    shift_m: float = option(0.0, "Moves edges outwards: beams see less than the whole roof.", "m", -1.0, 1.0)
    direction_tolerance_deg: float = option(8.6, "Lines this near in direction may be one.", "degree", 0.1, 45.0)
    merge_offset_m: float = option(0.25, "Parallel lines this near are one; larger gives fewer faces.", "m", 0.0, 5.0)
    extension_m: float = option(6.0, "How far lines go on beyond their points; shrinks above `plenty`.", "m", 0.0, 100.0)
    plenty: float = option(60.0, "Lines that are many for a building.", "1", 1.0, 1000.0)
    meeting_distance_m: float = option(
        0.7, "Two planes meet where points of both lie this near to their intersection.", "m", 0.01, 10.0
    )
    least_slope: float = option(0.10, "Least difference of gradients of planes that meet.", "1", 0.001, 10.0)
    smoothness: float = option(
        0.06, "Cost of a metre of edge beside a volume; larger leaves fewer, larger parts.", "m2", 0.0, 100.0
    )
    cap_m: float = option(
        2.0, "A point farther from a plane counts as this far: what points of a wall or a tree can cost.", "m", 0.01, 100.0
    )
    step_m: float = option(3.0, "Parts of LoD1.3 that differ by less in height are one.", "m", 0.0, 100.0)
    least_height_m: float = option(0.5, "A roof lower above its ground is none.", "m", 0.4, 100.0)


@dataclass(frozen=True, kw_only=True)
class QualityOptions(Options):
    """`[quality]`: when a check says something; see docs/quality.md for the sources."""

    offset_m: float = option(0.3, "Largest shift between footprints and roofs that all buildings share.", "m", 0.0, 10.0)
    overlap_m2: float = option(1.0, "Common area of two footprints that is told.", "m2", 0.0, 1e6)
    datum_m: float = option(0.5, "Largest median difference of ground and reference heights.", "m", 0.0, 100.0)
    strip_misfit_m: float = option(0.08, "Largest difference of flight strips on smooth ground.", "m", 0.0, 10.0)
    missing_area_m2: float = option(20.0, "Area of building returns outside footprints that is a missing one.", "m2", 1.0, 1e6)
    change_height_m: float = option(
        2.5, "Height above the model, or of points and attributes apart, that is a change.", "m", 0.5
    )
    change_area_m2: float = option(10.0, "Least area of a building with points that far above the model.", "m2", 1.0, 1e6)
    change_share: float = option(0.1, "Least share of the footprint with points that far above the model.", "1", 0.0, 1.0)
    bare_share: float = option(0.5, "Share of bare ground in a footprint of a building that is gone.", "1", 0.01, 1.0)


@dataclass(frozen=True, kw_only=True)
class EnergyOptions(Options):
    """`[energy]`"""

    method: str = option("5r1c", "Heat balance of a building (iso52016 is not built yet).", choices=("5r1c", "iso52016"))
    archetypes: str = option("tabula-italy", "Envelope table shipped with felsina.", choices=("tabula-italy",))
    variant: str = option("existing", "Refurbishment of all buildings.", choices=("existing", "usual", "advanced"))
    heating_zone: str = option("E", "Italian climatic zone: season of heating.", choices=("A", "B", "C", "D", "E", "F"))
    albedo: float = option(0.2, "Albedo of the ground around buildings.", "1", 0.0, 1.0)
    year: int = option(2015, "Calendar year that the results carry.", "1", 1900, 2200)
    seed: int = option(1, "Key of the draws for unknown use and construction period.", "1", 0, 2**31 - 1)
    precision: str = option("float64", "Precision of the hourly balance.", choices=("float64", "float32"))
    hourly: bool = option(False, "Keep hourly loads and temperatures of every building.")


@dataclass(frozen=True, kw_only=True)
class HeatwaveOptions(Options):
    """`[heatwave]`"""

    start: str = option("2015-07-15", "First local standard day.")
    days: int = option(2, "Number of days.", "d", 1, 366)
    spin_up_days: int = option(1, "Days simulated before the first one, from the weather before it.", "d", 0, 30)
    resolution_m: float = option(2.0, "Cell size of surfaces and people.", "m", 0.25, 100.0)
    air_resolution_m: float = option(4.0, "Cell size of canopy air; a whole multiple of resolution_m.", "m", 0.5, 200.0)
    air_levels: int = option(16, "Levels of canopy air.", "1", 4, 128)
    air_level_m: float = option(3.0, "Height of a level of canopy air.", "m", 0.5, 20.0)
    buffer_m: float = option(0.0, "Frame that is simulated and masked out of statistics.", "m", 0.0, 5000.0)
    azimuths: int = option(32, "Azimuths of the horizon scan.", "1", 8, 256)
    horizon_distance_m: float = option(1000.0, "Farthest obstacle that is looked for.", "m", 10.0, 100_000.0)
    canopy_transmissivity: float = option(0.03, "Share of the beam that passes a crown.", "1", 0.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            datetime.date.fromisoformat(self.start)
        except ValueError as error:
            raise UsageError(f"Option 'heatwave.start' is '{self.start}'; expected a day, '2015-07-15'.") from error


@dataclass(frozen=True, kw_only=True)
class CouplingOptions(Options):
    """`[coupling]`"""

    energy_heatwave: str = option("one-way", "Whether waste heat of the buildings warms the air.", choices=("none", "one-way"))


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions(Options):
    """`[execution]`: never part of the result."""

    tile_m: float = option(
        0.0, "Edge of a tile, in whole 64-cell blocks; 0: a few tiles per rank, 500 m at most.", "m", 0.0, 1e6
    )
    device: str = option("cpu", "Where kernels run.", choices=("cpu", "gpu"))
    gpu_memory: float = option(0.9, "Share of a GPU's memory that the ranks on it may take together.", "1", 0.01, 1.0)
    gpu_aware: bool = option(False, "Give GPU memory to MPI as it is; needs an MPI built for that, and is tested at the start.")
    writer: str = option("auto", "How ranks write.", choices=("auto", "gather", "virtual"))
    threads: int = option(0, "Threads per rank; 0: the cores of the node shared by its ranks.", "1", 0, 1024)
    max_failed: float = option(0.05, "Share of building rows that may fail before the run exits 5.", "1", 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Options):
    """`[output]`"""

    hourly: tuple[str, ...] = option(("air_temperature", "surface_temperature"), "Hourly maps of microclimate.nc.")
    precision: dict[str, float] = option({}, "Quantisation step by field, in its unit.")

    def __post_init__(self) -> None:
        super().__post_init__()
        hourly = [n for n, f in fields_of("microclimate").items() if "time" in f.dims]
        for name in self.hourly:
            if name not in hourly:
                raise UsageError(unknown_key("[output] hourly", name, hourly))
        every = {n for p in ("terrain", "buildings", "energy", "microclimate") for n in fields_of(p)}
        for name, step in self.precision.items():
            if name not in every:
                raise UsageError(unknown_key("[output] precision", name, every))
            if not step >= 0:
                raise UsageError(f"'output.precision.{name}' is {step}; expected a step of 0 or more.")


@dataclass(frozen=True, kw_only=True)
class InputPolicy(Options):
    """One `[[input]]`: licence, holder and purposes of a source."""

    path: str = option("", "The files it covers; patterns allowed.")
    licence: str = option("", "SPDX identifier of the licence.")
    holder: str = option("", "Who holds the rights.")
    purposes: tuple[str, ...] = option((), "What the source may be used for; empty: anything.")


@dataclass(frozen=True, kw_only=True)
class City:
    """A whole city file, paths resolved."""

    city: CityOptions = field(default_factory=CityOptions)
    points: PointOptions = field(default_factory=PointOptions)
    footprints: FootprintOptions = field(default_factory=FootprintOptions)
    landcover: LandCoverOptions = field(default_factory=LandCoverOptions)
    imagery: ImageryOptions = field(default_factory=ImageryOptions)
    weather: WeatherOptions = field(default_factory=WeatherOptions)
    terrain: TerrainOptions = field(default_factory=TerrainOptions)
    buildings: BuildingOptions = field(default_factory=BuildingOptions)
    reconstruction: ReconstructionOptions = field(default_factory=ReconstructionOptions)
    quality: QualityOptions = field(default_factory=QualityOptions)
    energy: EnergyOptions = field(default_factory=EnergyOptions)
    heatwave: HeatwaveOptions = field(default_factory=HeatwaveOptions)
    coupling: CouplingOptions = field(default_factory=CouplingOptions)
    execution: ExecutionOptions = field(default_factory=ExecutionOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    inputs: tuple[InputPolicy, ...] = ()
    source: Path = Path("city.toml")

    def path(self, text: str) -> Path:
        """Return a path of the city file: `${NAME}` replaced, relative to the file."""
        return self.source.parent / expand(text, self.source)

    def files(self, patterns: Iterable[str]) -> list[Path]:
        """Return the files of some patterns, sorted and each once; a pattern without a file is an error."""
        found: dict[Path, None] = {}
        for pattern in patterns:
            path = self.path(pattern)
            hits = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor)))) if _is_pattern(path) else [path]
            if not hits or not all(h.is_file() for h in hits):
                raise InputError(f"'{path}' names no file. Correct [points] files, or fetch the data.")
            found.update(dict.fromkeys(hits))
        return sorted(found)

    def scientific(self) -> dict[str, Any]:
        """Return what may change a result as plain JSON values: everything but `[execution]`, and no path's folder."""
        return {
            f.name: getattr(self, f.name).as_dict()
            for f in fields(self)
            if isinstance(getattr(self, f.name), Options) and f.name != "execution"
        }

    def for_job(self, sections: Iterable[str]) -> str:
        """Return the hash of the sections that a job reads."""
        values = self.scientific()
        return hashlib.sha256(canonical_json({s: values[s] for s in sorted(sections)}).encode()).hexdigest()


SECTIONS: dict[str, type[Options]] = {
    "city": CityOptions,
    "points": PointOptions,
    "footprints": FootprintOptions,
    "landcover": LandCoverOptions,
    "imagery": ImageryOptions,
    "weather": WeatherOptions,
    "terrain": TerrainOptions,
    "buildings": BuildingOptions,
    "reconstruction": ReconstructionOptions,
    "quality": QualityOptions,
    "energy": EnergyOptions,
    "heatwave": HeatwaveOptions,
    "coupling": CouplingOptions,
    "execution": ExecutionOptions,
    "output": OutputOptions,
}


def read_city(path: Path, overrides: Iterable[str] = ()) -> City:
    """Read and check a city file.

    Parameters
    ----------
    path : the TOML file
    overrides : "section.option=value" texts that win over the file; values are TOML, or plain words

    Raises
    ------
    UsageError
        For an unknown section or key (with the nearest known name), a wrong type or a value out of limits.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The city file '{path}' cannot be read: {error.strerror}.") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"'{path}' is not valid TOML: {error}.") from error
    for override in overrides:
        _override(values, override)
    return city_of(values, path.resolve())


def city_of(values: Mapping[str, Any], source: Path) -> City:
    """Build a `City` from the tables of a city file."""
    policies = values.get("input", [])
    if not isinstance(policies, list):
        raise UsageError("[[input]] is a list of tables: write it with double brackets.")
    made: dict[str, Options] = {}
    for section, table in values.items():
        if section == "input":
            continue
        if section not in SECTIONS:
            raise UsageError(unknown_key(f"'{source.name}'", section, [*SECTIONS, "input"]))
        if not isinstance(table, Mapping):
            raise UsageError(f"'{section}' is {table!r}; expected a table [{section}].")
        made[section] = SECTIONS[section].from_mapping(section, table)
    inputs = tuple(InputPolicy.from_mapping("[input]", p) for p in policies)
    city = City(inputs=inputs, source=source, **made)  # type: ignore[arg-type]
    _check_together(city)
    return city


def expand(text: str, source: Path) -> str:
    """Replace `${NAME}` by the environment; an unset name is an error that names it."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise UsageError(f"'{source.name}' uses '${{{name}}}', which is not set. Set it: export {name}=/path/to/data")
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", value, text)


def canonical_json(value: Any) -> str:
    """Serialise plain values to the same text every time."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _override(values: dict[str, Any], text: str) -> None:
    name, equals, raw = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot:
        raise UsageError(f"--set {text!r} is not 'section.option=value'.")
    try:
        value = tomllib.loads(f"v = {raw}")["v"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()
    values.setdefault(section, {})[key] = value


def _is_pattern(path: Path) -> bool:
    return any(c in str(path) for c in "*?[")


def _check_together(city: City) -> None:
    """Check what no single option can know: that the grids nest, and that every policy allows the purpose."""
    heat, fine = city.heatwave, city.terrain.resolution_m
    for name, coarse, base in (
        ("heatwave.resolution_m", heat.resolution_m, fine),
        ("heatwave.air_resolution_m", heat.air_resolution_m, heat.resolution_m),
        ("terrain.snap_m", city.terrain.snap_m, heat.air_resolution_m),
    ):
        if abs(coarse / base - round(coarse / base)) > 1e-9 or coarse < base:
            raise UsageError(f"'{name}' is {coarse} m; expected a whole multiple of {base} m, so that the grids nest.")
    if city.energy.method != "5r1c":
        raise UsageError(f"'energy.method' is '{city.energy.method}', which is not built yet. Use '5r1c'.")
    for policy in city.inputs:
        if policy.purposes and city.city.purpose not in policy.purposes:
            raise UsageError(
                f"'{policy.path}' may be used for {', '.join(policy.purposes)}, not for '{city.city.purpose}' "
                f"(holder: {policy.holder or 'not stated'}). Change [city] purpose, or leave the source out."
            )
