"""The table of output variables: writer, reader, validator, `felsina describe` and the docs read it; nothing repeats a unit.

To add an output variable, add a row. `standard_name` is a CF standard name (version 93) or empty where CF has none. `quantum`
is the quantisation step in the variable's unit: published values are whole multiples of it; 0 keeps every bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SCHEMA_VERSION = "1.2.0"


@dataclass(frozen=True, kw_only=True)
class Field:
    """One output variable of one product."""

    name: str
    product: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    group: str = "/"
    dtype: str = "f4"
    standard_name: str = ""
    quantum: float = 0.0
    cell_methods: str = ""
    flags: dict[int, str] = field(default_factory=dict)
    required: bool = True
    low: float | None = None
    high: float | None = None
    missing: bool = True  # whether NaN may stand for "no value" in a floating-point field


@dataclass(frozen=True, kw_only=True)
class Product:
    """One published file: its name in the run directory, what it is, and whether a `.vtkhdf` hard link goes with it."""

    name: str
    file: str
    title: str
    job: str
    vtkhdf: bool = False


PRODUCTS: dict[str, Product] = {
    p.name: p
    for p in (
        Product(name="terrain", file="terrain.nc", title="Terrain, surface, canopy and land cover", job="terrain"),
        Product(name="buildings", file="buildings.nc", title="Buildings and their surfaces", job="buildings", vtkhdf=True),
        Product(name="energy", file="energy.nc", title="Energy need of the buildings over a year", job="energy"),
        Product(name="microclimate", file="microclimate.nc", title="Heat in the streets", job="heatwave"),
        Product(name="city", file="city.nc", title="The thematic city", job="city", vtkhdf=True),
    )
}

SURFACE_TYPES = {0: "GroundSurface", 1: "WallSurface", 2: "RoofSurface"}
BUILDING_STATUS = {0: "success", 1: "fallback", 2: "failed", 3: "rejected"}
BUILDING_REASONS = {
    0: "none",
    1: "no_points",
    2: "too_few_points",
    3: "height_from_attributes",
    4: "not_a_polygon",
    5: "empty_geometry",
    6: "too_small",
    7: "not_repairable",
    8: "duplicate_id",
    9: "roof_below_ground",
    10: "invalid_solid",
    11: "defect",  # of felsina, in this building alone; the log has it
}
RECONSTRUCTION_REASONS = {
    -1: "not_tried",
    0: "none",
    1: "no_points",
    2: "too_few_points",  # for a plane: all levels are a block at the median of the few there are
    3: "no_plane",  # points, but no roof plane: LoD2.2 is the block of LoD1.2
    4: "relabelled",  # a face took the label of its neighbour, for the roof was no manifold there
    5: "parts_merged",  # the smallest roof parts were merged until the solid was valid
    6: "no_lod2.2",  # LoD2.2 is the solid of LoD1.3
    7: "no_lod1.3",  # LoD2.2 and LoD1.3 are the block of LoD1.2
    8: "roof_below_ground",
    9: "invalid_footprint",  # no valid block over the footprint
    10: "defect",  # of felsina, in this building alone; the log has it
}
OPENING_SOURCES = {0: "none", 1: "attributes", 2: "points", 3: "both"}
ROOF_TYPES = {
    0: "unknown",
    1: "flat",
    2: "monopitch",
    3: "gabled",
    4: "hipped",
    5: "pavilion",
    6: "mansard",
    7: "combination",
}
CHANGES = {-1: "not_judged", 0: "none", 1: "raised", 2: "partly", 3: "demolished"}
CHANGE_REASONS = {
    0: "none",
    1: "points_above_roof",  # far above the model, from pulses with one return: a storey, a crane, scaffolding
    2: "leaves_above_roof",  # far above the model, from pulses with several returns: no change
    3: "higher_than_attributes",
    4: "lower_than_attributes",
    5: "bare_ground",  # ground returns where the footprint has no roof return
    6: "no_roof_returns",  # scanned, but neither roof nor much ground
    7: "not_seen",  # too few returns to say anything
}
ENERGY_STATUS = {0: "success", 1: "failed"}
ENERGY_REASONS = {0: "none", 1: "no_geometry", 2: "no_volume", 3: "not_finite", 4: "unheated_use"}
LAND_COVER = {1: "paved", 2: "building", 3: "evergreen_trees", 4: "deciduous_trees", 5: "grass", 6: "bare_soil", 7: "water"}

_GRID = ("y", "x")
_CUBE = ("time", "y", "x")
_B = ("building",)
_FACE = ("mesh_face",)


def _terrain(name: str, units: str, long_name: str, **rest: object) -> Field:
    return Field(name=name, product="terrain", group="/terrain", dims=_GRID, units=units, long_name=long_name, **rest)  # type: ignore[arg-type]


def _tree(name: str, units: str, long_name: str, **rest: object) -> Field:
    rest = {"required": False, **rest}
    return Field(name=name, product="terrain", dims=("tree",), units=units, long_name=long_name, **rest)  # type: ignore[arg-type]


def _building(name: str, units: str, long_name: str, **rest: object) -> Field:
    return Field(name=name, product="buildings", dims=_B, units=units, long_name=long_name, **rest)  # type: ignore[arg-type]


def _told(name: str, units: str, long_name: str, **rest: object) -> Field:
    """Return a row of the building table that not every file has."""
    return _building(name, units, long_name, **{"required": False, **rest})


def _surface(name: str, units: str, long_name: str, **rest: object) -> Field:
    return Field(name=name, product="buildings", dims=("surface",), units=units, long_name=long_name, **rest)  # type: ignore[arg-type]


def _face(name: str, units: str, long_name: str, **rest: object) -> Field:
    return Field(name=name, product="buildings", dims=_FACE, units=units, long_name=long_name, **rest)  # type: ignore[arg-type]


def _energy(name: str, units: str, long_name: str, dims: tuple[str, ...] = _B, **rest: object) -> Field:
    return Field(name=name, product="energy", dims=dims, units=units, long_name=long_name, **rest)  # type: ignore[arg-type]


def _climate(name: str, units: str, long_name: str, dims: tuple[str, ...] = _CUBE, **rest: object) -> Field:
    rest.setdefault("cell_methods", "time: mean" if "time" in dims else "")
    return Field(
        name=name,
        product="microclimate",
        group="/microclimate",
        dims=dims,
        units=units,
        long_name=long_name,
        **rest,  # type: ignore[arg-type]
    )


def _city(name: str, units: str, long_name: str, **rest: object) -> Field:
    return Field(name=name, product="city", dims=_B, units=units, long_name=long_name, required=False, **rest)  # type: ignore[arg-type]


FIELDS: tuple[Field, ...] = (
    # -- terrain.nc
    _terrain("ground_elevation", "m", "elevation of the bare ground", standard_name="surface_altitude", quantum=0.001),
    _terrain("surface_elevation", "m", "elevation of ground and buildings, vegetation removed", quantum=0.001),
    _terrain("canopy_height", "m", "height of vegetation above ground, 0 where none", quantum=0.01, low=0.0, high=120.0),
    _terrain("land_cover", "1", "land cover (UMEP codes)", dtype="i1", flags=LAND_COVER),
    _terrain("building_index", "1", "row of the building table, -1 outside buildings", dtype="i4", low=-1),
    _terrain("ground_point_count", "1", "ground returns in the cell", dtype="i4", low=0),
    _terrain("building_point_count", "1", "building returns in the cell", dtype="i4", low=0),
    _terrain(
        "first_return_elevation", "m", "highest return in the cell; never used by horizons", quantum=0.001, required=False
    ),
    _terrain("tree_index", "1", "row of the table of trees, -1 outside crowns", dtype="i4", low=-1, required=False),
    _terrain(
        "canopy_base_height",
        "m",
        "height above ground at which the canopy begins, 0 where none",
        quantum=0.01,
        low=0.0,
        required=False,
    ),
    _terrain(
        "leaf_area_index", "m2 m-2", "leaf area over the cell, a proxy from returns", quantum=0.01, low=0.0, required=False
    ),
    _terrain(
        "ndvi",
        "1",
        "normalised difference vegetation index as seen from above",
        quantum=0.001,
        low=-1.0,
        high=1.0,
        required=False,
    ),
    _terrain(
        "surface_albedo",
        "1",
        "broadband albedo as seen from above, unknown in shadow and on water",
        standard_name="surface_albedo",
        quantum=0.001,
        low=0.0,
        high=1.0,
        required=False,
    ),
    _tree("tree_x", "m", "easting of the crown's middle", dtype="f8", quantum=0.001),
    _tree("tree_y", "m", "northing of the crown's middle", dtype="f8", quantum=0.001),
    _tree("tree_height", "m", "highest return of the crown above ground", quantum=0.01, low=0.0, high=120.0),
    _tree("crown_base_height", "m", "height of the crown's base above ground", quantum=0.01, low=0.0, high=120.0),
    _tree("crown_area", "m2", "area of the crown", quantum=0.01, low=0.0),
    _tree("crown_diameter", "m", "diameter of a circle of the crown's area", quantum=0.01, low=0.0),
    _tree("crown_diameter_maximum", "m", "longest extent of the crown", quantum=0.01, low=0.0),
    _tree("crown_gap_fraction", "1", "share of pulses that pass the crown", quantum=0.0001, low=0.0, high=1.0),
    _tree("crown_leaf_area_index", "m2 m-2", "leaf area over the crown's area, a proxy from returns", quantum=0.01, low=0.0),
    _tree("crown_return_count", "1", "returns of the crown", dtype="i4", low=0),
    # -- buildings.nc
    _building("building_id", "1", "identifier of the footprint", dtype="str"),
    _building("building_status", "1", "outcome of the reconstruction", dtype="i1", flags=BUILDING_STATUS),
    _building("building_reason", "1", "why the row fell back or failed", dtype="i1", flags=BUILDING_REASONS),
    _building("building_lod", "1", "highest level of detail of the geometry, empty where none", dtype="str"),
    _building("building_derived", "1", "1 where the footprint was derived from the points", dtype="i1", low=0, high=1),
    _building("building_height", "m", "height of the roof above ground", quantum=0.001, low=0.0, high=1000.0),
    _building("building_ground_elevation", "m", "elevation of the ground at the building", quantum=0.001),
    _building("building_roof_elevation", "m", "elevation of the LoD1.2 roof", quantum=0.001),
    _building("building_footprint_area", "m2", "area of the footprint", quantum=0.001, low=0.0),
    _building("building_volume", "m3", "volume of the solid", quantum=0.001, low=0.0),
    _building("building_rmse", "m", "root mean square vertical distance of roof points to the roof", quantum=0.001, low=0.0),
    _building(
        "building_coverage", "1", "share of the footprint's 0.5 m cells that hold a roof point", quantum=0.0001, low=0, high=1
    ),
    _building("building_point_density", "m-2", "roof points per covered area", quantum=0.001, low=0.0),
    _building("building_point_count", "1", "roof points used", dtype="i4", low=0),
    _building("building_party_wall_area", "m2", "area of walls shared with neighbours", quantum=0.001, low=0.0),
    _building("building_overlap_area", "m2", "area of the footprint that other footprints cover too", quantum=0.001, low=0.0),
    _building("building_x", "m", "easting of the footprint's representative point", dtype="f8", quantum=0.001),
    _building("building_y", "m", "northing of the footprint's representative point", dtype="f8", quantum=0.001),
    _told("building_bias", "m", "mean vertical distance of roof points above the roof", quantum=0.001),
    _told(
        "building_distance_p95",
        "m",
        "95th percentile of the vertical distances of roof points to the roof",
        quantum=0.001,
        low=0.0,
    ),
    _told(
        "building_unexplained_share",
        "1",
        "share of roof points more than 0.5 m from the roof",
        quantum=0.0001,
        low=0.0,
        high=1.0,
    ),
    _told("building_roof_type", "1", "type of the roof (INSPIRE)", dtype="i1", flags=ROOF_TYPES),
    _told("building_ridge_elevation", "m", "elevation of the highest point of the roof", quantum=0.001),
    _told("building_eaves_elevation", "m", "elevation of the eaves, mean along the footprint", quantum=0.001),
    # Of LoD2.2, where [buildings] lods asks for more than LoD1.2.
    _told(
        "building_reconstruction_reason",
        "1",
        "why LoD2.2 fell short, or what it took",
        dtype="i1",
        flags=RECONSTRUCTION_REASONS,
    ),
    _told("building_roof_plane_count", "1", "planes of the LoD2.2 roof, 0 where not made", dtype="i4", low=0),
    _told("building_roof_area", "m2", "area of the LoD2.2 roof along its slopes", quantum=0.001, low=0.0),
    _told("building_lod22_volume", "m3", "volume of the LoD2.2 solid", quantum=0.001, low=0.0),
    _told(
        "building_roof_height_standard_deviation",
        "m",
        "standard deviation of the mean height of the LoD2.2 roof",
        quantum=0.0001,
        low=0.0,
    ),
    _told("building_roof_area_standard_deviation", "m2", "standard deviation of building_roof_area", quantum=0.001, low=0.0),
    _told(
        "building_lod22_volume_standard_deviation", "m3", "standard deviation of building_lod22_volume", quantum=0.001, low=0.0
    ),
    # Open space under the storeys, and roofs over walls: solids know neither.
    _told(
        "building_portico_area",
        "m2",
        "ground under the building that is open to the street, NaN where only its existence is known",
        quantum=0.001,
        low=0.0,
    ),
    _told("building_portico_height", "m", "clear height of the portico", quantum=0.001, low=0.0, high=30.0),
    _told("building_portico_source", "1", "what tells of the portico", dtype="i1", flags=OPENING_SOURCES),
    _told(
        "building_underpass_area",
        "m2",
        "ground of passages through the building, NaN where only their existence is known",
        quantum=0.001,
        low=0.0,
    ),
    _told("building_underpass_source", "1", "what tells of the underpass", dtype="i1", flags=OPENING_SOURCES),
    _told(
        "building_covered_ground_area",
        "m2",
        "ground of porticoes and underpasses that was seen under the roof",
        quantum=0.001,
        low=0.0,
    ),
    _told(
        "building_opening_confidence",
        "1",
        "1 by attributes, by points the share of the open area that was seen, NaN without any",
        quantum=0.001,
        low=0.0,
        high=1.0,
    ),
    _told(
        "building_roof_overhang",
        "m",
        "how far the roof reaches outside the footprint, where it does",
        quantum=0.001,
        low=0.0,
        high=2.0,
    ),
    # From [imagery], or points with near infrared.
    _told("building_roof_albedo", "1", "broadband albedo of the lit roof", quantum=0.001, low=0.0, high=1.0),
    _told("building_roof_ndvi", "1", "mean NDVI of the roof", quantum=0.001, low=-1.0, high=1.0),
    _told("building_roof_green_share", "1", "share of the roof that is green", quantum=0.001, low=0.0, high=1.0),
    # Checks of footprints against points.
    _told("building_change", "1", "whether points and footprint tell of the same building", dtype="i1", flags=CHANGES),
    _told("building_change_reason", "1", "what building_change rests on", dtype="i1", flags=CHANGE_REASONS),
    _told(
        "building_area_above_roof",
        "m2",
        "area with points far above the model (quality.change_height_m)",
        quantum=0.01,
        low=0.0,
    ),
    _told(
        "building_bare_share",
        "1",
        "share of the footprint's scanned cells with ground and no roof returns",
        quantum=0.0001,
        low=0.0,
        high=1.0,
    ),
    _told("building_offset_x", "m", "eastward shift that brings the footprint onto the roof", quantum=0.001),
    _told("building_offset_y", "m", "northward shift that brings the footprint onto the roof", quantum=0.001),
    _told(
        "building_offset_standard_deviation",
        "m",
        "standard deviation of the shift in the direction known least",
        quantum=0.001,
        low=0.0,
    ),
    _told("building_construction_year", "1", "year of construction, 0 where unknown", dtype="i2"),
    _told("building_floors", "1", "storeys above ground, 0 where unknown", dtype="i2"),
    _told("building_use", "1", "use of the building, empty where unknown", dtype="str"),
    _told("building_residents", "1", "residents, -1 where unknown", dtype="i4"),
    _face("mesh_face_building", "1", "row of the building table", dtype="i4", low=0),
    _face("mesh_face_surface", "1", "row of the surface table", dtype="i4", low=0),
    _face("mesh_face_surface_type", "1", "surface type (CityGML)", dtype="i1", flags=SURFACE_TYPES),
    _surface("surface_building", "1", "row of the building table", dtype="i4"),
    _surface("surface_type", "1", "surface type (CityGML)", dtype="i1", flags=SURFACE_TYPES),
    _surface("surface_area", "m2", "area of the surface", quantum=0.001, low=0.0),
    _surface(
        "surface_tilt", "degree", "tilt of the outward normal from vertical, 0 faces up", quantum=0.01, low=0.0, high=180.0
    ),
    _surface(
        "surface_azimuth",
        "degree",
        "azimuth of the outward normal, clockwise from north; 0 for level surfaces",
        quantum=0.01,
        low=0.0,
        high=360.0,
    ),
    _surface("surface_party_area", "m2", "part of the area shared with a neighbour", quantum=0.001, low=0.0),
    # -- energy.nc
    _energy("building_id", "1", "identifier of the footprint", dtype="str"),
    _energy("energy_status", "1", "outcome of the simulation", dtype="i1", flags=ENERGY_STATUS),
    _energy("energy_reason", "1", "why the row failed", dtype="i1", flags=ENERGY_REASONS),
    _energy("energy_archetype", "1", "archetype of the envelope", dtype="str"),
    _energy("energy_assumed", "1", "1 where use or construction period was drawn, not given", dtype="i1", low=0, high=1),
    _energy("conditioned_floor_area", "m2", "heated and cooled floor area", quantum=0.01, low=0.0),
    _energy("annual_heating_need", "kWh", "heat needed in the year", quantum=0.1, low=0.0, cell_methods="time: sum"),
    _energy("annual_cooling_need", "kWh", "cold needed in the year", quantum=0.1, low=0.0, cell_methods="time: sum"),
    _energy("specific_heating_need", "kWh m-2", "heat needed in the year per floor area", quantum=0.01, low=0.0),
    _energy("specific_cooling_need", "kWh m-2", "cold needed in the year per floor area", quantum=0.01, low=0.0),
    _energy("monthly_heating_need", "kWh", "heat needed in the month", ("building", "month"), quantum=0.1, low=0.0),
    _energy("monthly_cooling_need", "kWh", "cold needed in the month", ("building", "month"), quantum=0.1, low=0.0),
    _energy("peak_heating_load", "W", "largest hourly heating load", quantum=1.0, low=0.0, cell_methods="time: maximum"),
    _energy("peak_cooling_load", "W", "largest hourly cooling load", quantum=1.0, low=0.0, cell_methods="time: maximum"),
    _energy(
        "peak_heating_hour", "1", "hour of the year of the heating peak, from 1; 0 where none", dtype="i2", low=0, high=8784
    ),
    _energy(
        "peak_cooling_hour", "1", "hour of the year of the cooling peak, from 1; 0 where none", dtype="i2", low=0, high=8784
    ),
    _energy("overheating_hours", "h", "hours with operative temperature above 26 degC", dtype="i2", low=0, high=8784),
    _energy("indoor_air_temperature", "degC", "indoor air temperature", ("time", "building"), quantum=0.01, required=False),
    _energy("operative_temperature", "degC", "operative temperature", ("time", "building"), quantum=0.01, required=False),
    _energy("heating_load", "W", "heating load", ("time", "building"), quantum=1.0, required=False, cell_methods="time: mean"),
    _energy("cooling_load", "W", "cooling load", ("time", "building"), quantum=1.0, required=False, cell_methods="time: mean"),
    # -- microclimate.nc
    _climate("sky_view_factor", "1", "sky view factor of the ground or roof", _GRID, quantum=0.0001, low=0.0, high=1.0),
    _climate(
        "air_temperature",
        "degC",
        "air temperature near the ground",
        standard_name="air_temperature",
        quantum=0.01,
        low=-90,
        high=70,
        required=False,
    ),
    _climate(
        "surface_temperature",
        "degC",
        "temperature of ground and roofs",
        standard_name="surface_temperature",
        quantum=0.01,
        low=-90,
        high=120,
        required=False,
    ),
    _climate(
        "shadow_fraction",
        "1",
        "share of the direct beam that is blocked, mean over the sub-steps",
        quantum=0.001,
        low=0.0,
        high=1.0,
        required=False,
    ),
    _climate(
        "downwelling_shortwave",
        "W m-2",
        "shortwave radiation onto the level surface",
        standard_name="surface_downwelling_shortwave_flux_in_air",
        quantum=0.1,
        low=0.0,
        required=False,
    ),
    _climate(
        "downwelling_longwave",
        "W m-2",
        "longwave radiation onto the level surface",
        standard_name="surface_downwelling_longwave_flux_in_air",
        quantum=0.1,
        low=0.0,
        required=False,
    ),
    _climate(
        "wind_speed", "m s-1", "wind speed near the ground", standard_name="wind_speed", quantum=0.01, low=0.0, required=False
    ),
    _climate("anthropogenic_heat_flux", "W m-2", "waste heat of the buildings per ground area", quantum=0.01, required=False),
    _climate("air_temperature_mean", "degC", "air temperature near the ground, mean of the days", _GRID, quantum=0.01),
    _climate("air_temperature_maximum", "degC", "air temperature near the ground, largest hourly mean", _GRID, quantum=0.01),
    _climate(
        "surface_temperature_maximum", "degC", "temperature of ground and roofs, largest hourly mean", _GRID, quantum=0.01
    ),
    _climate("sun_hours", "h", "hours of direct sun in the days", _GRID, quantum=0.01, low=0.0),
    # -- city.nc: rebuilt from the products; its building rows come from their tables above, unless a row here wins over them
    _city(
        "energy_status", "1", "outcome of the simulation, -1 without a row", dtype="i1", flags={-1: "absent", **ENERGY_STATUS}
    ),
    _city("energy_reason", "1", "why the row failed, -1 without a row", dtype="i1", flags={-1: "absent", **ENERGY_REASONS}),
    _city("overheating_hours", "h", "hours with operative temperature above 26 degC", low=0, high=8784),
    _city("outdoor_air_temperature_mean", "degC", "air temperature around the building, mean of the days", quantum=0.01),
    _city(
        "outdoor_air_temperature_maximum",
        "degC",
        "air temperature around the building, largest hourly mean of any cell",
        quantum=0.01,
    ),
    _city(
        "outdoor_surface_temperature_maximum",
        "degC",
        "temperature of the ground around the building, largest hourly mean of any cell",
        quantum=0.01,
    ),
    _city(
        "roof_surface_temperature_maximum",
        "degC",
        "temperature of the building's own roof, largest hourly mean of any cell",
        quantum=0.01,
    ),
)


def fields_of(product: str) -> dict[str, Field]:
    """Return the rows of one product by name."""
    return {f.name: f for f in FIELDS if f.product == product}
