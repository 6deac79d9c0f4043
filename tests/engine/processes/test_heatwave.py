"""Heat of the streets: what is put in comes out, nothing moves where nothing drives it, and the sun is counted in hours."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from felsina.engine.city import HeatwaveOptions
from felsina.engine.parallel.partition import Partition
from felsina.engine.parallel.world import World
from felsina.engine.processes.forcing import Forcing
from felsina.engine.processes.heatwave import Air, StreetHeat
from felsina.engine.processes.materials import INDOOR_TEMPERATURE, Materials
from felsina.engine.processes.scene import Scene, city_obstacles
from felsina.engine.processes.waste_heat import HeatSources, waste_heat_sources
from felsina.kernels.constants import AIR_VOLUMETRIC_HEAT_CAPACITY, STEFAN_BOLTZMANN, ZERO_CELSIUS
from felsina.kernels.radiation.obstacles import block_cells, obstacles

NY = NX = 24  # air columns of 4 m
RATIO, LAYERS = 2, 8
OPTIONS = HeatwaveOptions(resolution_m=2.0, air_resolution_m=4.0, air_levels=LAYERS, azimuths=16, horizon_distance_m=100.0)


def scene(with_house=True) -> Scene:
    """Level ground of asphalt; one house of 12 m, 6 by 5 air columns."""
    layers = np.zeros((NY, NX), np.int32)
    if with_house:
        layers[9:15, 8:13] = 4
    building = np.repeat(np.repeat(layers > 0, RATIO, 0), RATIO, 1)
    surface = np.where(building, np.float32(12.0), np.float32(0.0)).astype(np.float32)
    nothing = np.full(surface.shape, np.nan, np.float32)
    return Scene(
        resolution=2.0,
        ratio=RATIO,
        surface=surface,
        is_block=block_cells(surface / np.float32(2.0), building),
        is_building=building,
        land_cover=np.where(building, np.int8(2), np.int8(1)),
        canopy_top=nothing,
        canopy_base=nothing.copy(),
        roof_layer=layers,
        building_height=np.where(layers > 0, np.float32(12.0), np.float32(0.0)).astype(np.float32),
    )


NOBODY = HeatSources(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def streets(city, sources=NOBODY, temperature=290.0, tile=NX) -> StreetHeat:
    world = World.serial()
    partition = Partition.of((NY, NX), tile, 1, block=8)
    return StreetHeat(world, city, Air(LAYERS, 3.0, 4.0), partition, OPTIONS, sources, temperature, temperature)


def night(temperature=290.0, longwave=None, **rest) -> Forcing:
    still = {
        "air_temperature": temperature,
        "diffuse": 0.0,
        "global_horizontal": 0.0,
        "longwave": STEFAN_BOLTZMANN * temperature**4 if longwave is None else longwave,
        "wind_speed": 2.0,
        "wind_from": 1.0,
        "azimuth": np.zeros(6),
        "elevation": np.full(6, -0.3),
        "direct_normal": np.zeros(6),
        "sine_elevation": np.zeros(6),
    }
    return Forcing(**{**still, **rest})


def noon(direct=800.0, elevation_deg=50.0) -> Forcing:
    elevation = np.full(6, math.radians(elevation_deg))
    return night(
        azimuth=np.full(6, math.pi),
        elevation=elevation,
        direct_normal=np.full(6, direct),
        sine_elevation=np.array([math.sin(e) for e in elevation]),
    )


# -- obstacles --------------------------------------------------------------------------------------------------------------


@pytest.mark.mpi(2, 3)
def test_ranks_prepare_together_the_obstacles_that_one_prepares(world):
    rng = np.random.default_rng(6)
    shape = (200, 90)  # four rows of blocks of heights, the last of them cut
    surface = rng.uniform(0, 30, shape).astype(np.float32)
    top = np.where(rng.random(shape) < 0.1, surface + np.float32(5.0), np.float32(np.nan)).astype(np.float32)
    city = replace(
        scene(), surface=surface, is_block=rng.random(shape) < 0.3, canopy_top=top, canopy_base=top - np.float32(3.0)
    )  # fmt: skip
    shared = city_obstacles(world, city, 70.0)
    alone = obstacles(surface, city.is_block, city.resolution, 70.0, top, top - np.float32(3.0))
    for name, want in alone._asdict().items():
        np.testing.assert_array_equal(getattr(shared, name), want, err_msg=name)


# -- waste heat -------------------------------------------------------------------------------------------------------------


def random_buildings(seed):
    """Buildings of some columns each, on a grid of solid columns; pairs sorted by building, then column."""
    rng = np.random.default_rng(seed)
    layers = np.where(rng.random((NY, NX)) < 0.4, rng.integers(1, LAYERS, (NY, NX)), 0).astype(np.int32)
    pairs = sorted({(b, int(c)) for b in range(12) for c in rng.integers(0, NY * NX, rng.integers(1, 9))})
    building, column = (np.array(v, np.int64) for v in zip(*pairs))
    return layers, building, column


@pytest.mark.parametrize("seed", range(5))
def test_the_weights_of_a_building_add_up_to_one(seed):
    layers, building, column = random_buildings(seed)
    sources = waste_heat_sources(building, column, layers, LAYERS)
    total = np.bincount(sources.building, sources.weight)
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)
    assert (sources.weight > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_waste_heat_enters_open_air_only(seed):
    layers, building, column = random_buildings(seed)
    sources = waste_heat_sources(building, column, layers, LAYERS)
    k, rest = np.divmod(sources.cell, NY * NX)
    assert (k >= layers.reshape(-1)[rest]).all() and (k < LAYERS).all()


def test_a_house_in_the_open_warms_the_columns_around_it_from_ground_to_roof():
    city = scene()
    column = np.flatnonzero(city.roof_layer.reshape(-1))
    sources = waste_heat_sources(np.zeros(len(column), np.int64), column, city.roof_layer, LAYERS)
    k, rest = np.divmod(sources.cell, NY * NX)
    ring = (6 + 2) * (5 + 2) - 6 * 5
    assert set(k) == {0, 1, 2, 3} and len(set(rest)) == ring
    assert len(sources.cell) == 4 * ring and np.ptp(sources.weight) == 0.0


def test_a_courtless_block_gives_its_heat_to_the_air_over_its_roof():
    layers = np.full((NY, NX), 3, np.int32)
    sources = waste_heat_sources(np.zeros(2, np.int64), np.array([30, 31]), layers, LAYERS)
    assert sorted(sources.cell.tolist()) == [3 * NY * NX + 30, 3 * NY * NX + 31]


def test_no_buildings_give_no_sources():
    nothing = np.zeros(0, np.int64)
    assert len(waste_heat_sources(nothing, nothing, np.zeros((NY, NX), np.int32), LAYERS).cell) == 0


@pytest.mark.parametrize("tile", [NX, 8])
def test_the_heat_that_buildings_reject_is_the_heat_that_the_air_gets(tile):
    city = scene()
    column = np.flatnonzero(city.roof_layer.reshape(-1))
    sources = waste_heat_sources(np.zeros(len(column), np.int64), column, city.roof_layer, LAYERS)
    made = streets(city, sources, tile=tile)
    made.step(night(), np.array([54_321.0]))
    volume = 3.0 * 4.0 * 4.0
    got = 0.0
    for t in made.tiles:
        area = 4.0  # of a surface cell [m2]
        got += float(t.fields["anthropogenic_heat_flux"].astype(np.float64).sum()) * area
    # Fluxes are float32: 24 bits, over some hundred cells.
    assert got == pytest.approx(54_321.0, rel=1e-6)
    rate = sum(float(t.source.astype(np.float64).sum()) for t in made.tiles) * volume * AIR_VOLUMETRIC_HEAT_CAPACITY
    # Surfaces are as warm as the air here, but for float32: their heat is the difference.
    surface = sum(float(t.fields["sensible_heat"].astype(np.float64).sum()) * 4.0 for t in made.tiles)
    assert rate - surface == pytest.approx(54_321.0, rel=1e-3)


# -- balance ----------------------------------------------------------------------------------------------------------------


def test_nothing_changes_where_sky_air_ground_and_rooms_are_equally_warm():
    """Without sun, with sigma T^4 from above and T in air, soil and rooms, every flux is zero."""
    made = streets(scene(), temperature=INDOOR_TEMPERATURE)
    for _ in range(5):
        made.step(night(INDOOR_TEMPERATURE), np.zeros(1))
    (tile,) = made.tiles
    # float32 resolves 3e-5 K at 297 K: a hundred steps of it after 30 sub-steps.
    for name in ("surface_temperature", "air_temperature"):
        np.testing.assert_allclose(tile.fields[name], INDOOR_TEMPERATURE - ZERO_CELSIUS, atol=3e-3)
    assert np.abs(tile.fields["sensible_heat"]).max() < 0.1


def test_an_open_plain_in_equilibrium_stays_there():
    made = streets(scene(with_house=False))
    for _ in range(5):
        made.step(night(), np.zeros(0))
    (tile,) = made.tiles
    # float32 resolves 3e-5 K at 290 K: a hundred steps of it after 30 sub-steps.
    for name in ("surface_temperature", "air_temperature"):
        np.testing.assert_allclose(tile.fields[name], 290.0 - ZERO_CELSIUS, atol=3e-3)
    np.testing.assert_allclose(tile.fields["downwelling_longwave"], STEFAN_BOLTZMANN * 290.0**4, rtol=1e-5)
    assert np.abs(tile.fields["sensible_heat"]).max() < 0.1


def test_longwave_of_an_isothermal_city_is_that_of_a_black_body_whatever_the_sky_view():
    made = streets(scene())
    made.step(night(), np.zeros(1), with_air=False)
    (tile,) = made.tiles
    assert tile.sky.min() < 0.8
    np.testing.assert_allclose(tile.fields["downwelling_longwave"], STEFAN_BOLTZMANN * 290.0**4, rtol=1e-5)


def test_a_clear_night_cools_the_ground_below_the_air():
    made = streets(scene())
    made.step(night(longwave=300.0), np.zeros(1))
    (tile,) = made.tiles
    street = ~scene().is_building
    assert tile.fields["surface_temperature"][street].max() < 290.0 - ZERO_CELSIUS


# -- sun --------------------------------------------------------------------------------------------------------------------


def test_sunlit_ground_counts_an_hour_and_shaded_ground_none():
    made = streets(scene())
    made.step(noon(), np.zeros(1))
    (tile,) = made.tiles
    sun, shade = tile.fields["sun_hours"], tile.fields["shadow_fraction"]
    np.testing.assert_allclose(sun + shade, 1.0, atol=1e-6)  # six sixths in float32
    assert sun[0, 0] == pytest.approx(1.0, abs=1e-6)
    north = 9 * RATIO - 1  # the row north of the house: its wall is 12 m high, the sun 50 degrees
    reach = 12.0 / math.tan(math.radians(50.0))
    column = 10 * RATIO
    assert sun[north, column] == pytest.approx(0.0, abs=1e-6)
    assert sun[north - math.ceil(reach / 2.0) - 1, column] == pytest.approx(1.0, abs=1e-6)
    assert tile.fields["surface_temperature"][0, 0] > tile.fields["surface_temperature"][north, column]


def test_a_weak_beam_is_no_sunshine():
    """WMO-No. 8: the sun shines where direct irradiance exceeds 120 W m-2."""
    for direct, hours in ((119.0, 0.0), (121.0, 1.0)):
        made = streets(scene(with_house=False))
        made.step(noon(direct), np.zeros(0))
        np.testing.assert_allclose(made.tiles[0].fields["sun_hours"], hours, atol=1e-6)


def test_shortwave_on_open_ground_is_beam_and_sky():
    made = streets(scene(with_house=False))
    forcing = noon(700.0, 40.0)
    made.step(Forcing(**{**vars(forcing), "diffuse": 100.0}), np.zeros(0))
    expected = 700.0 * math.sin(math.radians(40.0)) + 100.0
    np.testing.assert_allclose(made.tiles[0].fields["downwelling_shortwave"], expected, rtol=1e-5)


def test_tiles_change_no_bit():
    one, many = streets(scene()), streets(scene(), tile=8)
    for forcing in (noon(), night(longwave=320.0)):
        one.step(forcing, np.zeros(1))
        many.step(forcing, np.zeros(1))
    for name, whole in one.tiles[0].fields.items():
        for t in many.tiles:
            box = t.fine
            np.testing.assert_array_equal(t.fields[name], whole[box.j0 : box.j1, box.i0 : box.i1], err_msg=name)


def test_every_land_cover_has_a_material():
    materials = Materials.shipped(600.0)
    codes = np.arange(1, 8, dtype=np.int8)
    np.testing.assert_array_equal(materials.codes[materials.class_of(codes)], codes)
    assert ((materials.emissivity > 0.8) & (materials.emissivity <= 1.0)).all()
