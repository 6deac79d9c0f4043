"""Heat of the streets, first level: radiation with true shadows, ground with thermal memory, canopy air in three dimensions.

Each hour runs in this order. Sub-steps of ten minutes: the beam is marched to the true sun, what falls on ground and roofs is
summed, the surface balance is linearised about the last surface temperature and the layered column below it advances. Then the
air: the sensible heat of the surfaces and the waste heat of the buildings warm it, wind and turbulence carry it away, and what
flows in over the edge has the weather's temperature.

First level means: walls have the temperature of the air and reflect a fifth of half of the global radiation; diffuse light is
isotropic; evaporation is a fixed share of net radiation; the wind is a profile fitted between buildings. Each of these has its
own place, so that a better one replaces it.

What a rank holds: tiles of the fine grid (surfaces) with the tiles of the air grid over them. City-wide rasters are shared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.parallel.halo import HaloExchange
from felsina.engine.parallel.partition import Partition, Tile
from felsina.engine.parallel.world import World
from felsina.engine.tables import read_table
from felsina.kernels.air.boundary import fill_boundary
from felsina.kernels.air.implicit import relax_columns
from felsina.kernels.air.surface_balance import linearise_surface, surface_fluxes
from felsina.kernels.air.transport import HALO
from felsina.kernels.air.wind import (
    air_cells,
    fit_wind,
    free_convection_diffusivity,
    morphometry_sums,
    roughness,
    wind_profile,
)
from felsina.kernels.blocks import block_mean, spread
from felsina.kernels.constants import AIR_VOLUMETRIC_HEAT_CAPACITY, STEFAN_BOLTZMANN, ZERO_CELSIUS
from felsina.kernels.energy.conduction import ConductionTables, conduct, conduction_tables
from felsina.kernels.radiation.obstacles import (
    HEIGHT_BLOCK,
    Obstacles,
    cells_in_reach,
    height_blocks,
    highest_in_reach,
    highest_of_blocks,
    split_heights,
)
from felsina.kernels.radiation.rays import even_azimuths, ray_tables
from felsina.kernels.radiation.shadow import sun_visible
from felsina.kernels.radiation.skyview import sky_view

SUB_STEPS = 6  # per hour; conduction needs 600 s to hold amplitude and phase of the day
WALL_ALBEDO = 0.2  # 1; plaster and brick, between the 0.10 and 0.35 of common facades
INDOOR_TEMPERATURE = 297.15  # K, under roofs in summer
INDOOR_FILM = 6.0  # W m-2 K-1, ceiling with heat flowing down (ISO 6946: R_si = 0.17 m2 K W-1)
LEAST_WIND = 0.3  # m s-1; anemometers read 0 below their threshold, air in streets is never still
AIR_TOLERANCE = 1e-3  # K; a tenth of the published step
MOST_SWEEPS = 5000
SUNSHINE = 120.0  # W m-2 direct normal above which the sun shines (WMO-No. 8)

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """City-wide rasters that all ranks of a node see.

    Fine grid (ny, nx): surface and ground [m], block cells of the horizon scan, building mask, UMEP land cover, crown top and
    base [m]. Air grid (ny / r, nx / r): solid layers of each column and building height [m].
    """

    resolution: float
    ratio: int
    surface: NDArray[np.float32]
    is_block: NDArray[np.bool_]
    is_building: NDArray[np.bool_]
    land_cover: NDArray[np.int8]
    canopy_top: NDArray[np.float32]
    canopy_base: NDArray[np.float32]
    roof_layer: NDArray[np.int32]
    building_height: NDArray[np.float32]


@dataclass(frozen=True)
class Air:
    """The air grid: layers, their height and what its time needs."""

    n_layer: int
    dz: float
    dx: float

    @property
    def heights(self) -> NDArray[np.float64]:
        """(n_layer,) middle of each layer above ground [m]."""
        return np.asarray((np.arange(self.n_layer) + 0.5) * self.dz, np.float64)


@dataclass(frozen=True)
class Forcing:
    """Weather of one hour: interval means, and the sun at the middle of each sub-step.

    Temperature [K]; diffuse and global horizontal irradiance and downwelling longwave [W m-2]; wind [m s-1] and where it comes
    from [rad]; per sub-step, (n_sub,): sun azimuth and elevation [rad], its sine, direct normal irradiance [W m-2].
    """

    air_temperature: float
    diffuse: float
    global_horizontal: float
    longwave: float
    wind_speed: float
    wind_from: float
    azimuth: NDArray[np.float64]
    elevation: NDArray[np.float64]
    direct_normal: NDArray[np.float64]
    sine_elevation: NDArray[np.float64]


@dataclass
class HeatSources:
    """Where the waste heat of buildings enters the air: one row per building and air cell, ordered by cell, then building."""

    cell: NDArray[np.int64]  # flat index in (n_layer, ny, nx) of the air grid
    building: NDArray[np.int64]
    weight: NDArray[np.float64]  # of the building's heat; the weights of a building add up to 1


@dataclass
class _TileState:
    """What one tile keeps from step to step."""

    fine: Tile
    air: Tile
    sky: NDArray[np.float32]
    surface_class: NDArray[np.int8]
    layers: NDArray[np.float32]
    surface_temperature: NDArray[np.float32]
    bottom: NDArray[np.float32]
    is_air: NDArray[np.uint8]
    temperature: NDArray[np.float32]
    source: NDArray[np.float32]
    start: NDArray[np.float32]
    wind: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
    diffusivity: NDArray[np.float32]
    waste: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
    fields: dict[str, NDArray[np.float32]] = field(default_factory=dict)


class StreetHeat:
    """The streets of a city through some hours.

    Parameters
    ----------
    world : World
    scene : Scene
    air : Air
    partition : tiles of the air grid; the tiles of surfaces are the same, refined
    options : section [heatwave]
    sources : HeatSources
    soil_temperature : of the deep ground [K]
    start_temperature : of air and surfaces at the start [K]
    """

    def __init__(
        self,
        world: World,
        scene: Scene,
        air: Air,
        partition: Partition,
        options: Any,
        sources: HeatSources,
        soil_temperature: float,
        start_temperature: float,
    ) -> None:
        self._world, self._scene, self._air, self._options = world, scene, air, options
        self._materials = Materials.shipped(3600.0 / SUB_STEPS)
        self._halo = HaloExchange(world, partition, HALO)
        self._obstacles = city_obstacles(world, scene, options.horizon_distance_m)
        self._rays = ray_tables(even_azimuths(options.azimuths), scene.resolution, options.horizon_distance_m)
        self._morphometry = world.reduce_exact(
            sum(
                (morphometry_sums(scene.building_height, _box(t)) for t in partition.tiles_of(world.rank)),
                np.zeros(4, np.int64),
            ),
            "sum",
        )
        self.tiles = [self._prepare(t, sources, soil_temperature, start_temperature) for t in partition.tiles_of(world.rank)]
        self.residual = 0.0  # K, largest change of the air in the last sweep of any hour
        self.sweeps = 0  # most sweeps of any hour

    # -- the hour -------------------------------------------------------------------------------------------------------
    def step(self, forcing: Forcing, waste_heat: NDArray[np.float64], with_air: bool = True) -> None:
        """Advance all tiles by one hour; `tile.fields` then holds what the hour's maps show.

        Parameters
        ----------
        forcing : weather of the hour
        waste_heat : (n_building,) mean heat to the street [W]
        with_air : False in the spin-up of the ground, where the air has the weather's temperature everywhere
        """
        speed = max(forcing.wind_speed, LEAST_WIND)
        rough = roughness(self._morphometry, self._scene.roof_layer.size, self._air.dx, forcing.wind_from)
        profile, diffusivity = wind_profile(self._air.heights, speed, rough)
        for tile in self.tiles:
            self._surfaces(tile, forcing, profile)
        if with_air:
            convective = free_convection_diffusivity(self._air.heights, self._mean_sensible_heat(), forcing.air_temperature)
            diffusivity = np.maximum(diffusivity, convective)
            self._transport(forcing, profile, diffusivity, rough.height, waste_heat)
        else:
            for tile in self.tiles:
                tile.temperature[...] = np.float32(forcing.air_temperature)
        for tile in self.tiles:
            tile.fields["air_temperature"] = self._near_ground(tile) - np.float32(ZERO_CELSIUS)

    def _surfaces(self, tile: _TileState, forcing: Forcing, profile: NDArray[np.float64]) -> None:
        """Radiation, surface balance and conduction of one tile over the sub-steps of the hour."""
        scene = self._scene
        shape = tile.fine.shape
        air = self._near_ground(tile)
        layer = np.minimum(spread(_window(scene.roof_layer, tile.air), scene.ratio), self._air.n_layer - 1)
        wind = profile.astype(np.float32)[layer]
        closed = np.float32(1.0) - tile.sky
        # Walls are as warm as the air, so a street in radiative balance with it neither gains nor loses.
        squared = air * air
        longwave = tile.sky * np.float32(forcing.longwave) + closed * np.float32(STEFAN_BOLTZMANN) * squared * squared
        diffuse = tile.sky * np.float32(forcing.diffuse) + closed * np.float32(0.5 * WALL_ALBEDO * forcing.global_horizontal)
        sums = {n: np.zeros(shape, np.float32) for n in ("shortwave", "surface", "sensible", "shaded", "sunlit")}
        visible = np.zeros(shape, np.float32)
        share = np.float32(1.0 / SUB_STEPS)
        up = [s for s in range(SUB_STEPS) if forcing.elevation[s] > 0.0]
        for s in range(SUB_STEPS):
            shortwave = diffuse.copy()
            if s in up:
                ray = ray_tables([forcing.azimuth[s]], scene.resolution, self._options.horizon_distance_m)
                sun_visible(
                    self._obstacles, ray, float(forcing.elevation[s]), _box(tile.fine), visible,
                    self._options.canopy_transmissivity,
                )  # fmt: skip
                shortwave += np.float32(forcing.direct_normal[s] * forcing.sine_elevation[s]) * visible
                sums["shaded"] += (np.float32(1.0) - visible) * np.float32(1.0 / len(up))
                if forcing.direct_normal[s] > SUNSHINE:
                    sums["sunlit"] += share * visible
            sensible = self._balance(tile, shortwave, longwave, air, wind)
            sums["shortwave"] += share * shortwave
            sums["surface"] += share * tile.surface_temperature.reshape(shape)
            sums["sensible"] += share * sensible.reshape(shape)
        tile.fields["downwelling_shortwave"] = sums["shortwave"]
        tile.fields["downwelling_longwave"] = longwave
        tile.fields["surface_temperature"] = sums["surface"] - np.float32(ZERO_CELSIUS)
        tile.fields["shadow_fraction"] = sums["shaded"]
        tile.fields["wind_speed"] = wind
        tile.fields["sun_hours"] = sums["sunlit"]
        tile.fields["sensible_heat"] = sums["sensible"]

    def _balance(self, tile: _TileState, shortwave: Map, longwave: Map, air: Map, wind: Map) -> NDArray[np.float32]:
        """Advance surfaces and the columns below by one sub-step and return the sensible heat to the air [W m-2]."""
        materials, group = self._materials, tile.surface_class
        k, l, t, v = shortwave.reshape(-1), longwave.reshape(-1), air.reshape(-1), wind.reshape(-1)
        a, b, flux, net, sensible, latent = (np.zeros(group.size, np.float32) for _ in range(6))
        # The second pass expands emission about the temperature of the first: the residual falls below 0.1 W m-2.
        for is_last in (False, True):
            about = tile.surface_temperature.copy()
            linearise_surface(k, l, t, v, about, group, materials.albedo, materials.emissivity, materials.latent_share, a, b)
            layers = tile.layers if is_last else tile.layers.copy()
            conduct(layers, group, materials.tables, a, b, tile.bottom, tile.surface_temperature, flux)
        surface_fluxes(
            k, l, t, v, tile.surface_temperature, about, group, materials.albedo, materials.emissivity, materials.latent_share,
            net, sensible, latent,
        )  # fmt: skip
        return sensible

    def _transport(
        self,
        forcing: Forcing,
        profile: NDArray[np.float64],
        diffusivity: NDArray[np.float64],
        roof: float,
        waste_heat: NDArray[np.float64],
    ) -> None:
        """Carry the heat of the hour through the air: one implicit step, relaxed on all tiles until it stands still."""
        air, scene = self._air, self._scene
        spacing = (air.dz, air.dx, air.dx)
        for tile in self.tiles:
            shelter = max(2.0 * roof, air.dx)
            fit_wind(scene.roof_layer, profile, forcing.wind_from, spacing, shelter, *tile.wind, _box(tile.air))
            tile.diffusivity[HALO:-HALO] = diffusivity.astype(np.float32)[:, None, None]
            tile.diffusivity[:HALO], tile.diffusivity[-HALO:] = tile.diffusivity[HALO], tile.diffusivity[-HALO - 1]
            self._heat_sources(tile, waste_heat)
            tile.start[...] = tile.temperature
        inflow = np.full(air.n_layer, forcing.air_temperature, np.float32)
        change, sweeps = float("inf"), 0
        while change > AIR_TOLERANCE and sweeps < MOST_SWEEPS:
            moved = [np.zeros(tile.air.shape[0], np.float32) for tile in self.tiles]
            for colour in (0, 1):
                self._boundaries(forcing, inflow)
                for tile, change_of_rows in zip(self.tiles, moved, strict=True):
                    relax_columns(
                        tile.temperature, tile.start, *tile.wind, tile.diffusivity, tile.is_air, tile.source, spacing, 3600.0,
                        colour, change_of_rows, (tile.air.j0, tile.air.i0),
                    )  # fmt: skip
            # The largest of all ranks is exact in any order, so all stop in the same sweep whatever the ranks.
            change = max(self._world.allgather(max((float(m.max()) for m in moved), default=0.0)))
            sweeps += 1
        self.residual, self.sweeps = max(self.residual, change), max(self.sweeps, sweeps)

    def _mean_sensible_heat(self) -> float:
        """Return the mean sensible heat of all surfaces [W m-2], summed in whole milliwatts so that no cut shows."""
        total = sum(
            int(np.rint(t.fields["sensible_heat"].astype(np.float64) * 1000.0).astype(np.int64).sum()) for t in self.tiles
        )
        every = self._world.reduce_exact(np.array([total], np.int64), "sum")
        return float(every[0]) / 1000.0 / self._scene.surface.size

    def _heat_sources(self, tile: _TileState, waste_heat: NDArray[np.float64]) -> None:
        """Turn the sensible heat of surfaces and the waste heat of buildings into a heating rate [K s-1]."""
        air = self._air
        volume_capacity = AIR_VOLUMETRIC_HEAT_CAPACITY * air.dz
        tile.source[...] = 0.0
        flux = block_mean(tile.fields["sensible_heat"], self._scene.ratio)
        layer = _window(self._scene.roof_layer, tile.air)
        j, i = np.indices(layer.shape)
        tile.source[layer + HALO, j + HALO, i + HALO] = flux / np.float32(volume_capacity)
        where, building, weight = tile.waste
        heat = np.bincount(where, weight * waste_heat[building], minlength=air.n_layer * layer.size) if len(where) else None
        column = np.zeros(layer.shape, np.float32)
        if heat is not None:
            rate = heat.reshape(air.n_layer, *layer.shape) / (volume_capacity * air.dx**2)
            tile.source[HALO:-HALO, HALO:-HALO, HALO:-HALO] += rate.astype(np.float32)
            total = np.zeros(layer.shape)
            for level in heat.reshape(air.n_layer, *layer.shape):
                total += level
            column = (total / air.dx**2).astype(np.float32)
        tile.fields["anthropogenic_heat_flux"] = spread(column, self._scene.ratio)

    def _boundaries(self, forcing: Forcing, inflow: NDArray[np.float32]) -> None:
        ny, nx = self._scene.roof_layer.shape
        self._halo.update({t.air.index: t.temperature for t in self.tiles})
        for tile in self.tiles:
            box = tile.air
            sides = (box.i0 == 0, box.i1 == nx, box.j0 == 0, box.j1 == ny)
            fill_boundary(tile.temperature, tile.wind[0], tile.wind[1], inflow, forcing.air_temperature, sides)

    def _near_ground(self, tile: _TileState) -> NDArray[np.float32]:
        """Return the air temperature [K] of the lowest open layer on the fine grid: in the street, or over the roof."""
        layer = _window(self._scene.roof_layer, tile.air)
        j, i = np.indices(layer.shape)
        return spread(tile.temperature[layer + HALO, j + HALO, i + HALO], self._scene.ratio)

    def _prepare(self, air_tile: Tile, sources: HeatSources, soil: float, start: float) -> _TileState:
        scene, air, ratio = self._scene, self._air, self._scene.ratio
        j0, j1, i0, i1 = (v * ratio for v in _box(air_tile))
        fine = Tile(air_tile.index, j0, j1, i0, i1, air_tile.rank)
        sky = sky_view(self._obstacles, self._rays, _box(fine), None, self._options.canopy_transmissivity)
        cover = np.ascontiguousarray(_window(scene.land_cover, fine)).reshape(-1)
        surface_class = self._materials.class_of(cover)
        n = surface_class.size
        indoor = self._materials.is_indoor[surface_class]
        deep = np.where(indoor, np.float32(INDOOR_TEMPERATURE), np.float32(soil))
        shape = (air.n_layer + 2 * HALO, air_tile.shape[0] + 2 * HALO, air_tile.shape[1] + 2 * HALO)
        n_layer = self._materials.depth.shape[1]
        # A straight line from the surface to what lies below; the spin-up bends it.
        fraction = self._materials.depth[surface_class].T
        layers = (np.float32(start) + fraction * (deep - np.float32(start))[None, :]).astype(np.float32)
        ny, nx = scene.roof_layer.shape
        k, rest = np.divmod(sources.cell, ny * nx)
        j, i = np.divmod(rest, nx)
        mine = (j >= air_tile.j0) & (j < air_tile.j1) & (i >= air_tile.i0) & (i < air_tile.i1)
        local = (k[mine] * air_tile.shape[0] + j[mine] - air_tile.j0) * air_tile.shape[1] + i[mine] - air_tile.i0
        zeros = [np.zeros(shape, np.float32) for _ in range(6)]
        return _TileState(
            fine=fine,
            air=air_tile,
            sky=sky,
            surface_class=surface_class,
            layers=np.ascontiguousarray(layers.reshape(n_layer, n)),
            surface_temperature=np.full(n, start, np.float32),
            bottom=deep.astype(np.float32),
            is_air=air_cells(scene.roof_layer, air.n_layer, _box(air_tile)),
            temperature=np.full(shape, start, np.float32),
            source=zeros[0],
            start=zeros[1],
            wind=(zeros[2], zeros[3], zeros[4]),
            diffusivity=zeros[5],
            waste=(local, sources.building[mine], sources.weight[mine]),
        )


@dataclass(frozen=True)
class Materials:
    """Surfaces and what lies below them by land cover, from the shipped tables; all by class.

    albedo, emissivity, latent_share (n_class,); depth (n_class, n_layer): middle of each layer over the whole depth; tables: of
    the conduction for one time step; is_indoor (n_class,): a room lies below instead of deep ground.
    """

    codes: NDArray[np.int64]
    albedo: NDArray[np.float32]
    emissivity: NDArray[np.float32]
    latent_share: NDArray[np.float32]
    depth: NDArray[np.float32]
    is_indoor: NDArray[np.bool_]
    tables: ConductionTables

    @classmethod
    def shipped(cls, time_step: float) -> Materials:
        """Read the shipped tables for a time step [s]."""
        properties = read_table("surface_properties.csv")
        layers = read_table("surface_materials.csv")
        codes = np.array([int(r["land_cover"]) for r in properties])

        def column(name: str) -> NDArray[np.float64]:
            rows = [[float(r[name]) for r in layers if int(r["land_cover"]) == code] for code in codes]
            return np.array(rows)

        def one(name: str) -> NDArray[np.float32]:
            return np.array([float(r[name]) for r in properties], np.float32)

        thickness, conductivity = column("thickness_m"), column("conductivity_W_m_K")
        indoor = np.array([r["bottom"] == "indoor" for r in properties])
        half = 0.5 * thickness[:, -1] / conductivity[:, -1]
        below = np.where(indoor, 1.0 / (half + 1.0 / INDOOR_FILM), 1.0 / half)
        total = np.cumsum(thickness, axis=1)
        depth = (total - 0.5 * thickness) / total[:, -1:]
        tables = conduction_tables(conductivity, column("heat_capacity_J_m3_K"), thickness, time_step, below, np.float32)
        return cls(codes, one("albedo"), one("emissivity"), one("latent_share"), depth.astype(np.float32), indoor, tables)

    def class_of(self, land_cover: NDArray[np.int8]) -> NDArray[np.int8]:
        """Return the class of UMEP land-cover codes."""
        table = np.zeros(int(self.codes.max()) + 1, np.int8)
        table[self.codes] = np.arange(len(self.codes), dtype=np.int8)
        return table[land_cover]


def city_obstacles(world: World, scene: Scene, max_distance: float) -> Obstacles:
    """Prepare the city for all marches up to a distance [m], once per node: every rank does its share of the rows."""
    shape = scene.surface.shape
    faces, ground = world.shared(shape, np.float32), world.shared(shape, np.float32)
    blocks = world.shared(height_blocks(shape), np.float32)
    j0, j1 = world.share_of(shape[0], HEIGHT_BLOCK)
    b0, b1 = j0 // HEIGHT_BLOCK, -(-j1 // HEIGHT_BLOCK)
    split_heights(scene.surface, scene.is_block, faces, ground, (j0, j1))
    highest_of_blocks(faces, ground, scene.canopy_top, blocks, (b0, b1))
    world.synchronise(faces, [(slice(j0, j1),)])
    world.synchronise(ground, [(slice(j0, j1),)])
    world.synchronise(blocks, [(slice(b0, b1),)])
    reach = cells_in_reach(scene.resolution, max_distance)
    return Obstacles(faces, ground, scene.canopy_top, scene.canopy_base, highest_in_reach(blocks, reach), reach)


def waste_heat_sources(
    building: NDArray[np.int64], column: NDArray[np.int64], roof_layer: NDArray[np.int32], n_layer: int
) -> HeatSources:
    """Spread the waste heat of each building over the street air around it, evenly from the ground to its roof.

    Condensers hang on facades and stand on roofs, exhaust leaves through windows: the columns of open street that touch those
    of the building, or the air over its roof where none does.

    Parameters
    ----------
    building, column : (n,) int64
        Pairs of a building and a flat air column that it covers, sorted by building, then column.
    roof_layer : (ny, nx) int32
        Solid layers of each air column.
    n_layer : layers of air
    """
    if len(building) == 0:
        return HeatSources(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    ny, nx = roof_layer.shape
    rows: list[tuple[NDArray[np.int64], int, float]] = []
    starts = np.flatnonzero(np.r_[True, building[1:] != building[:-1]])
    for first, last in zip(starts, [*starts[1:], len(building)], strict=True):
        own = column[first:last]
        j, i = np.divmod(own, nx)
        near = {(int(jj) + dj, int(ii) + di) for jj, ii in zip(j, i, strict=True) for dj in (-1, 0, 1) for di in (-1, 0, 1)}
        ring = sorted(jj * nx + ii for jj, ii in near if 0 <= jj < ny and 0 <= ii < nx and roof_layer[jj, ii] == 0)
        top = max(1, int(roof_layer.reshape(-1)[own].max()))
        if ring:
            cells = (np.arange(min(top, n_layer))[:, None] * (ny * nx) + np.array(ring)).reshape(-1)
        else:
            cells = roof_layer.reshape(-1)[own].astype(np.int64) * (ny * nx) + own
        rows.append((cells, int(building[first]), 1.0 / len(cells)))
    cell = np.concatenate([r[0] for r in rows])
    owner = np.concatenate([np.full(len(r[0]), r[1]) for r in rows])
    weight = np.concatenate([np.full(len(r[0]), r[2]) for r in rows])
    order = np.lexsort((owner, cell))
    return HeatSources(cell[order], owner[order], weight[order])


def _window(array: NDArray[Any], tile: Tile) -> NDArray[Any]:
    return array[tile.j0 : tile.j1, tile.i0 : tile.i1]


def _box(tile: Tile) -> tuple[int, int, int, int]:
    return tile.j0, tile.j1, tile.i0, tile.i1


__all__ = ["Air", "Forcing", "HeatSources", "Materials", "Scene", "StreetHeat", "waste_heat_sources"]
