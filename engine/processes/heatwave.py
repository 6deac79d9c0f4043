"""Heat of the streets, first level: radiation with true shadows, ground with thermal memory, canopy air in three dimensions.

Each hour runs in this order. Sub-steps of ten minutes: the beam is marched to the true sun, what falls on ground and roofs is
summed, the surface balance and the layered column below it advance together. Then the air: the sensible heat of the surfaces
and the waste heat of the buildings warm it, wind and turbulence carry it away, and what flows in over the edge has the
temperature of the weather.

First level means: walls have the temperature of the air and reflect a fifth of half of the global radiation; diffuse light is
isotropic; evaporation is a fixed share of net radiation; the wind is a profile fitted between buildings. Each of these has its
own place, so that a better one replaces it.

What a rank holds: tiles of the fine grid (surfaces) with the tiles of the air grid over them, on its device from beginning to
end. Between kernels there are allocations, views and copies, never arithmetic, so a GPU computes what was checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.parallel.device import CpuDevice, Device
from felsina.engine.parallel.halo import HaloExchange
from felsina.engine.parallel.partition import Partition, Tile
from felsina.engine.parallel.world import World
from felsina.engine.processes.forcing import SUB_STEPS, Forcing
from felsina.engine.processes.materials import INDOOR_TEMPERATURE, Materials
from felsina.engine.processes.scene import Scene, city_obstacles
from felsina.engine.processes.waste_heat import HeatSources
from felsina.kernels.accumulate import whole_sum
from felsina.kernels.air.boundary import fill_boundary
from felsina.kernels.air.exchange import beside_surface, fill_layers, heating_rate, near_ground, source_starts
from felsina.kernels.air.implicit import relax_columns, relax_scratch
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
from felsina.kernels.constants import ZERO_CELSIUS
from felsina.kernels.energy.surface_column import balance_columns
from felsina.kernels.radiation.rays import Rays, even_azimuths, ray_tables
from felsina.kernels.radiation.shadow import sun_visible
from felsina.kernels.radiation.skyview import sky_view
from felsina.kernels.radiation.street import add_beam, add_surface, ambient_radiation, kelvin_to_celsius

WALL_ALBEDO = 0.2  # 1; plaster and brick, between the 0.10 and 0.35 of common facades
LEAST_WIND = 0.3  # m s-1; anemometers read 0 below their threshold, air in streets is never still
AIR_TOLERANCE = 1e-3  # K; a tenth of the published step
MOST_SWEEPS = 5000
SUNSHINE = 120.0  # W m-2 direct normal above which the sun shines (WMO-No. 8)
MILLIWATTS = 1000.0  # in a watt: sums over the city are of whole ones

Box = tuple[int, int, int, int]


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

    @property
    def spacing(self) -> tuple[float, float, float]:
        return self.dz, self.dx, self.dx


@dataclass
class TileState:
    """What one tile keeps from step to step, on the device.

    `fields` are the maps of the last hour by published name, (rows, columns) of the fine grid, float32.
    """

    fine: Tile
    air: Tile
    sky: Any  # (rows, columns) of the fine grid, as the next four but flat
    surface_class: Any
    layers: Any  # (n_layer, n)
    surface_temperature: Any
    bottom: Any
    roof_layer: Any  # (rows, columns) of the air grid
    is_air: Any  # with halo, as the rest of the air
    temperature: Any
    source: Any
    wind: tuple[Any, Any, Any]
    diffusivity: Any
    waste: tuple[Any, Any, Any]  # starts by cell, building and weight of each row
    fields: dict[str, Any] = field(default_factory=dict)


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
    device : where the tiles live; the processor by default
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
        device: Device | None = None,
    ) -> None:
        self._world, self._scene, self._air, self._options = world, scene, air, options
        self._device = device or CpuDevice()
        put = self._device.put
        self._materials = Materials.shipped(3600.0 / SUB_STEPS).on(self._device)
        self._halo = HaloExchange(world, partition, HALO, self._device)
        self._obstacles = city_obstacles(world, scene, options.horizon_distance_m).moved(put)
        self._roof_layer = put(scene.roof_layer)
        mine = partition.tiles_of(world.rank)
        self._morphometry = world.reduce_exact(
            sum((morphometry_sums(scene.building_height, _box(t)) for t in mine), np.zeros(4, np.int64)), "sum"
        )
        rays = self._rays(even_azimuths(options.azimuths))
        self.tiles = [self._prepare(t, rays, sources, soil_temperature, start_temperature) for t in mine]
        # Tiles are relaxed one after the other, so the largest working memory does for all.
        scratches = [relax_scratch(t.temperature) for t in self.tiles]
        self._scratch = max(scratches, key=lambda s: int(s.size), default=None)
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
        air, put = self._air, self._device.put
        speed = max(forcing.wind_speed, LEAST_WIND)
        rough = roughness(self._morphometry, self._scene.roof_layer.size, air.dx, forcing.wind_from)
        profile, diffusivity = wind_profile(air.heights, speed, rough)
        layers = put(profile.astype(np.float32))
        suns = [self._rays([float(a)]) if e > 0.0 else None for a, e in zip(forcing.azimuth, forcing.elevation, strict=True)]
        for tile in self.tiles:
            self._surfaces(tile, forcing, layers, suns)
        weather = put(np.full(air.n_layer, forcing.air_temperature, np.float32))
        if with_air:
            convective = free_convection_diffusivity(air.heights, self._mean_sensible_heat(), forcing.air_temperature)
            mixing = put(np.maximum(diffusivity, convective).astype(np.float32))
            self._transport(forcing, layers, mixing, weather, rough.height, put(np.asarray(waste_heat, np.float64)))
        else:
            for tile in self.tiles:
                fill_layers(weather, tile.temperature)
        for tile in self.tiles:
            tile.fields["air_temperature"] = self._map(tile)
            near_ground(tile.temperature, tile.roof_layer, self._scene.ratio, tile.fields["air_temperature"], ZERO_CELSIUS)

    def _surfaces(self, tile: TileState, forcing: Forcing, profile: Any, suns: list[Rays | None]) -> None:
        """Radiation, surface balance and conduction of one tile over the sub-steps of the hour."""
        ratio, materials = self._scene.ratio, self._materials
        air, wind, longwave, diffuse, shortwave = (self._map(tile) for _ in range(5))
        sensible, flux = self._map(tile), self._map(tile)
        names = ("downwelling_shortwave", "surface_temperature", "sensible_heat", "shadow_fraction", "sun_hours")
        mean_short, mean_surface, mean_sensible, shaded, sunlit = means = [
            self._device.zeros(tile.fine.shape, np.float32) for _ in names
        ]
        visible = self._device.zeros(tile.fine.shape, np.float32)
        near_ground(tile.temperature, tile.roof_layer, ratio, air)
        beside_surface(profile, tile.roof_layer, ratio, wind)
        ambient_radiation(
            tile.sky, air, forcing.longwave, forcing.diffuse, forcing.global_horizontal, WALL_ALBEDO, longwave, diffuse
        )
        share, n_up = 1.0 / SUB_STEPS, sum(sun is not None for sun in suns)
        for s, sun in enumerate(suns):
            beam = dark = bright = 0.0
            if sun is not None:
                sun_visible(
                    self._obstacles, sun, float(forcing.elevation[s]), _box(tile.fine), visible,
                    self._options.canopy_transmissivity,
                )  # fmt: skip
                beam, dark = float(forcing.direct_normal[s] * forcing.sine_elevation[s]), 1.0 / n_up
                bright = share if forcing.direct_normal[s] > SUNSHINE else 0.0
            add_beam(diffuse, visible, beam, share, dark, bright, shortwave, mean_short, shaded, sunlit)
            balance_columns(
                tile.layers, tile.surface_class, materials.tables, shortwave.reshape(-1), longwave.reshape(-1), air.reshape(-1),
                wind.reshape(-1), materials.albedo, materials.emissivity, materials.latent_share, tile.bottom,
                tile.surface_temperature, flux.reshape(-1), sensible.reshape(-1),
            )  # fmt: skip
            add_surface(tile.surface_temperature, sensible, share, mean_surface, mean_sensible)
        kelvin_to_celsius(mean_surface, mean_surface)
        tile.fields |= dict(zip(names, means, strict=True)) | {"downwelling_longwave": longwave, "wind_speed": wind}

    def _transport(self, forcing: Forcing, profile: Any, diffusivity: Any, inflow: Any, roof: float, waste_heat: Any) -> None:
        """Carry the heat of the hour through the air: one implicit step, relaxed on all tiles until it stands still."""
        air, ratio = self._air, self._scene.ratio
        shelter = max(2.0 * roof, air.dx)
        for tile in self.tiles:
            fit_wind(self._roof_layer, profile, forcing.wind_from, air.spacing, shelter, *tile.wind, _box(tile.air))
            fill_layers(diffusivity, tile.diffusivity)
            flux, waste = block_mean(tile.fields["sensible_heat"], ratio), self._device.empty(tile.air.shape, np.float32)
            heating_rate(flux, tile.roof_layer, *tile.waste, waste_heat, air.spacing, tile.source, waste)
            tile.fields["anthropogenic_heat_flux"] = spread(waste, ratio)
        starts = [tile.temperature.copy() for tile in self.tiles]
        self._halo.update(self._temperatures())
        self._boundaries(forcing, inflow)
        change, sweeps = float("inf"), 0
        while change > AIR_TOLERANCE and sweeps < MOST_SWEEPS:
            moved = [self._device.zeros(tile.air.shape[0], np.float32) for tile in self.tiles]
            for colour in (0, 1):
                # What neighbours wait for comes first and travels while the rest is computed.
                self._relax(colour, starts, moved, edges=True)
                self._halo.begin(self._temperatures())
                self._relax(colour, starts, moved, edges=False)
                self._halo.finish()
                self._boundaries(forcing, inflow)
            mine = max((float(self._device.get(m).max()) for m in moved), default=0.0)
            # The largest of all ranks is exact in any order, so all stop in the same sweep whatever the ranks.
            change = max(self._world.allgather(mine))
            sweeps += 1
        self.residual, self.sweeps = max(self.residual, change), max(self.sweeps, sweeps)

    def _relax(self, colour: int, starts: list[Any], moved: list[Any], edges: bool) -> None:
        """Solve the columns of a colour along the edges of all tiles, or all others."""
        for tile, start, change in zip(self.tiles, starts, moved, strict=True):
            for box in _parts(tile.air.shape, edges, self._halo.has_neighbours):
                relax_columns(
                    tile.temperature, start, *tile.wind, tile.diffusivity, tile.is_air, tile.source, self._air.spacing, 3600.0,
                    colour, change, (tile.air.j0, tile.air.i0), box, self._scratch,
                )  # fmt: skip

    def _temperatures(self) -> dict[int, Any]:
        return {t.air.index: t.temperature for t in self.tiles}

    def _boundaries(self, forcing: Forcing, inflow: Any) -> None:
        """Fill the frame of the tiles at the edge of the grid."""
        ny, nx = self._scene.roof_layer.shape
        for tile in self.tiles:
            box = tile.air
            sides = (box.i0 == 0, box.i1 == nx, box.j0 == 0, box.j1 == ny)
            fill_boundary(tile.temperature, tile.wind[0], tile.wind[1], inflow, forcing.air_temperature, sides)

    def _mean_sensible_heat(self) -> float:
        """Return the mean sensible heat of all surfaces [W m-2], summed in whole milliwatts so that no cut shows."""
        total = self._device.zeros(1, np.int64)
        for tile in self.tiles:
            whole_sum(tile.fields["sensible_heat"].reshape(-1), MILLIWATTS, total)
        every = self._world.reduce_exact(self._device.get(total).copy(), "sum")
        return float(every[0]) / MILLIWATTS / self._scene.surface.size

    # -- preparation ----------------------------------------------------------------------------------------------------
    def _map(self, tile: TileState) -> Any:
        """Return a new map of a tile's surfaces, with arbitrary content."""
        return self._device.empty(tile.fine.shape, np.float32)

    def _rays(self, azimuths: list[float]) -> Rays:
        """Return the tables of rays towards some azimuths [rad], on the device."""
        return ray_tables(azimuths, self._scene.resolution, self._options.horizon_distance_m).moved(self._device.put)

    def _prepare(self, air_tile: Tile, rays: Rays, sources: HeatSources, soil: float, start: float) -> TileState:
        scene, air, ratio, device = self._scene, self._air, self._scene.ratio, self._device
        put = device.put
        j0, j1, i0, i1 = (v * ratio for v in _box(air_tile))
        fine = Tile(air_tile.index, j0, j1, i0, i1, air_tile.rank)
        sky = sky_view(self._obstacles, rays, _box(fine), None, self._options.canopy_transmissivity)
        cover = np.ascontiguousarray(_window(scene.land_cover, fine)).reshape(-1)
        surface_class = self._materials.class_of(cover)
        n = surface_class.size
        indoor = self._materials.is_indoor[surface_class]
        deep = np.where(indoor, np.float32(INDOOR_TEMPERATURE), np.float32(soil)).astype(np.float32)
        shape = (air.n_layer + 2 * HALO, air_tile.shape[0] + 2 * HALO, air_tile.shape[1] + 2 * HALO)
        # A straight line from the surface to what lies below; the spin-up bends it.
        fraction = self._materials.depth[surface_class].T
        layers = np.ascontiguousarray(np.float32(start) + fraction * (deep - np.float32(start))[None, :], np.float32)
        ny, nx = scene.roof_layer.shape
        k, rest = np.divmod(sources.cell, ny * nx)
        j, i = np.divmod(rest, nx)
        mine = (j >= air_tile.j0) & (j < air_tile.j1) & (i >= air_tile.i0) & (i < air_tile.i1)
        local = (k[mine] * air_tile.shape[0] + j[mine] - air_tile.j0) * air_tile.shape[1] + i[mine] - air_tile.i0
        starts = source_starts(local, air.n_layer * air_tile.shape[0] * air_tile.shape[1])
        u, v, w, source, diffusivity = (device.zeros(shape, np.float32) for _ in range(5))
        return TileState(
            fine=fine,
            air=air_tile,
            sky=sky,
            surface_class=put(surface_class),
            layers=put(layers),
            surface_temperature=put(np.full(n, start, np.float32)),
            bottom=put(deep),
            roof_layer=put(_window(scene.roof_layer, air_tile)),
            is_air=air_cells(self._roof_layer, air.n_layer, _box(air_tile)),
            temperature=device.full(shape, start, np.float32),
            source=source,
            wind=(u, v, w),
            diffusivity=diffusivity,
            waste=(put(starts), put(sources.building[mine].astype(np.int32)), put(sources.weight[mine])),
        )


def _parts(shape: tuple[int, int], edges: bool, has_neighbours: bool) -> list[Box]:
    """Return the boxes of columns along the edges of a tile, as wide as a neighbour's frame, or of those within."""
    ny, nx = shape
    if not has_neighbours or min(ny, nx) <= 2 * HALO:
        return [(0, ny, 0, nx)] if edges else []
    low, high, left, right = HALO, ny - HALO, HALO, nx - HALO
    if not edges:
        return [(low, high, left, right)]
    return [(0, low, 0, nx), (high, ny, 0, nx), (low, high, 0, left), (low, high, right, nx)]


def _window(array: NDArray[Any], tile: Tile) -> NDArray[Any]:
    return array[tile.j0 : tile.j1, tile.i0 : tile.i1]


def _box(tile: Tile) -> Box:
    return tile.j0, tile.j1, tile.i0, tile.i1


__all__ = ["Air", "StreetHeat", "TileState"]
