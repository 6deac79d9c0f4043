"""Sun on the surfaces of the LoD2 model: horizons of walls and roofs, their elements, and what these receive by the hour.

Surfaces of a building with one construction, one of eight azimuths and one of three tilts are an element. Areas add up exactly;
views, normals and sunlit shares are means of all points of all surfaces of an element, weighted by exposed area.

The year's shading is held for representative days: the path of the sun moves by 0.4 degrees a day at most, so a few days share
one set of sunlit shares, each hour of the day its own. A zone streams one row of shares per hour: no look-up by angle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from felsina.kernels.radiation.obstacles import Obstacles, block_cells, obstacles
from felsina.kernels.radiation.surface_horizon import (
    Samples,
    SurfaceHorizons,
    group_tops,
    mesh_edges,
    sample_surfaces,
    surface_horizons,
)
from felsina.kernels.radiation.surface_irradiance import (
    area_weights,
    group_irradiance,
    group_means,
    shaded_beam,
    sunlit_share,
    suns_of,
    surface_views,
)
from felsina.kernels.radiation.transposition import sky_states

GROUND, WALL, ROOF = 0, 1, 2
N_SECTOR, N_TILT = 8, 3
FLAT_DEG, STEEP_DEG = 10.0, 60.0  # tilts up to here are level, and from here upright
DAYS = 7  # that share one set of sunlit shares
EAVES = 1.0  # m beside a building in which the surface model is not trusted, no less than a cell
OUTSIDE = 1.0  # cells before a wall at which its neighbour is looked for


@dataclass(frozen=True, kw_only=True)
class Terrain:
    """Rasters around some buildings, (ny, nx), row 0 north, column 0 west; fields of terrain.nc.

    Parameters
    ----------
    west, north : outer corner of the first cell [m]
    resolution : cell size [m]
    max_distance : distance behind which nothing shades [m]: `horizon_distance_m`
    building_index : building of each cell, -1 outside
    city : what rays meet
    tops : of `city`, from `group_tops`
    """

    west: float
    north: float
    resolution: float
    max_distance: float
    building_index: NDArray[np.int32]
    city: Obstacles
    tops: NDArray[np.float32]


class Elements(NamedTuple):
    """Table of elements: surfaces of a building that are one to its zone.

    Attributes
    ----------
    building, kind, sector, tilt_class : (n,) int64
        WALL or ROOF; azimuth from north in eighths, 0 where level; 0 level, 1 inclined, 2 upright or beyond.
    area : (n,) float64
        Exposed area, party walls left out [m2].
    normal : (n, 3) float64
        Area-weighted mean of the normals, not brought to length 1 [1].
    views : (n, 5) float64
        `surface_irradiance.VIEWS` [1].
    of_surface : (n_surface,) int64
        Element of each surface, -1 of ground surfaces and of those without exposed area.
    """

    building: NDArray[np.int64]
    kind: NDArray[np.int64]
    sector: NDArray[np.int64]
    tilt_class: NDArray[np.int64]
    area: NDArray[np.float64]
    normal: NDArray[np.float64]
    views: NDArray[np.float64]
    of_surface: NDArray[np.int64]


class Points(NamedTuple):
    """Exposed points by element: normals (n, 3), weights in their element (n,), horizons, first of each (n_element + 1,)."""

    normal: NDArray[np.float64]
    weight: NDArray[np.float64]
    horizons: SurfaceHorizons
    first: NDArray[np.int64]


class Shading(NamedTuple):
    """Sunlit shares of elements through a year.

    Attributes
    ----------
    row : (n_step,) int64
        Row of each step of the year; -1 where the sun is down.
    projected : (n_row, n_element) float32
        Mean of lit x max(n . s, 0): times the hour's beam it is the direct irradiance.
    sunlit : (n_row, n_element) float32
        The same over max(mean normal . s, 0) of the row's sun.
    """

    row: NDArray[np.int64]
    projected: NDArray[np.float32]
    sunlit: NDArray[np.float32]


def terrain_model(
    surface_elevation: NDArray[np.float32],
    ground_elevation: NDArray[np.float32],
    building_index: NDArray[np.int32],
    corner: tuple[float, float],
    resolution: float,
    max_distance: float,
    canopy_height: NDArray[np.float32] | None = None,
    canopy_base_height: NDArray[np.float32] | None = None,
) -> Terrain:
    """Prepare the rasters of terrain.nc for the horizons of surfaces.

    Cells outside buildings within a metre of one get the height of the ground: eaves, and returns from the wall itself, fill
    them in part, and a wall would stand in its own shade.

    Parameters
    ----------
    surface_elevation, ground_elevation, canopy_height, canopy_base_height : (ny, nx) [m]
        Without trees where `canopy_height` is missing; crowns reach the ground where their base is.
    building_index : (ny, nx) int32
    corner : (west, north) [m]
    resolution, max_distance : [m]
    """
    index = np.ascontiguousarray(building_index, np.int32)
    inside = index >= 0
    near = max(1, round(EAVES / resolution))
    beside = np.zeros_like(inside)
    padded = np.pad(inside, near)
    for dj in range(2 * near + 1):
        for di in range(2 * near + 1):
            beside |= padded[dj : dj + index.shape[0], di : di + index.shape[1]]
    model = np.where(beside & ~inside, ground_elevation, surface_elevation).astype(np.float32)
    crowns: tuple[NDArray[np.float32], ...] = ()
    if canopy_height is not None:
        is_crown = (canopy_height > 0) & ~beside
        base = np.zeros_like(canopy_height) if canopy_base_height is None else canopy_base_height
        top = np.where(is_crown, ground_elevation + canopy_height, np.float32(np.nan)).astype(np.float32)
        crowns = top, np.where(is_crown, ground_elevation + base, np.float32(np.nan)).astype(np.float32)
    is_block = block_cells((model / np.float32(resolution)).astype(np.float32), inside)
    city = obstacles(model, is_block, resolution, max_distance, *crowns)
    return Terrain(
        west=corner[0], north=corner[1], resolution=resolution, max_distance=max_distance, building_index=index, city=city,
        tops=group_tops(city),
    )  # fmt: skip


def covered_points(samples: Samples, owner: NDArray[np.int64], terrain: Terrain) -> NDArray[np.bool_]:
    """Say which points of walls lie behind a neighbour: one cell before them stands another building that is higher."""
    ny, nx = terrain.building_index.shape
    step = OUTSIDE * terrain.resolution
    column = np.floor((samples.position[:, 0] + step * samples.normal[:, 0] - terrain.west) / terrain.resolution).astype(
        np.int64
    )
    row = np.floor((terrain.north - samples.position[:, 1] - step * samples.normal[:, 1]) / terrain.resolution).astype(np.int64)
    here = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
    j, i = np.where(here, row, 0), np.where(here, column, 0)
    index = terrain.building_index[j, i]
    height = np.maximum(terrain.city.faces[j, i], terrain.city.ground[j, i])
    upright = np.abs(samples.normal[:, 2]) < 0.5
    return here & upright & (index >= 0) & (index != owner) & (height > samples.position[:, 2])


def element_keys(building: ArrayLike, kind: ArrayLike, tilt_deg: ArrayLike, azimuth_deg: ArrayLike) -> NDArray[np.int64]:
    """Return one number per surface (n,): the same for surfaces of one element, -1 for ground; it sorts by building first."""
    b, k = np.asarray(building, np.int64), np.asarray(kind, np.int64)
    tilt = np.asarray(tilt_deg, np.float64)
    level = np.where(tilt <= FLAT_DEG, 0, np.where(tilt < STEEP_DEG, 1, 2))
    sector = np.floor(np.asarray(azimuth_deg, np.float64) / (360.0 / N_SECTOR) + 0.5).astype(np.int64) % N_SECTOR
    sector = np.where(level == 0, 0, sector)
    return np.where(k == GROUND, -1, ((b * 3 + k) * N_TILT + level) * N_SECTOR + sector)


def shade_elements(
    terrain: Terrain,
    surfaces: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike, ArrayLike, ArrayLike],
    mesh: tuple[ArrayLike, ArrayLike, ArrayLike],
    n_azimuth: int = 32,
    transmissivity: float = 0.03,
    largest_area: float = 6.0,
) -> tuple[Elements, Points]:
    """Find horizons and views of the surfaces of some buildings, and group them to elements.

    Parameters
    ----------
    terrain : Terrain
        `building_index` counts as `surface_building` does.
    surfaces : (building, kind, area, party_area, tilt, azimuth), each (n_surface,)
        The surface table of buildings.nc: [m2], [degree].
    mesh : vertices (n_vertex, 3) [m], triangles (n_triangle, 3), surface (n_triangle,)
        The mesh of buildings.nc at the level of the table; triangles of other levels have surface -1.
    n_azimuth : azimuths of the horizons
    transmissivity : of crowns [1]
    largest_area : that one point of a surface stands for [m2]

    Returns
    -------
    Elements, and the Points from which shading follows

    Any set of whole buildings gives the same numbers for each of them.
    """
    building, kind = (np.asarray(v, np.int64) for v in surfaces[:2])
    area, party, tilt, azimuth = (np.asarray(v, np.float64) for v in surfaces[2:])
    vertices, triangles, of = mesh[0], np.asarray(mesh[1], np.int64), np.asarray(mesh[2], np.int64)
    key = element_keys(building, kind, tilt, azimuth)
    exposed = np.maximum(area - party, 0.0)
    key = np.where(exposed > 0.0, key, -1)
    # Buildings of the unit get small numbers, or every unit would carry a table of all.
    names, local = np.unique(building, return_inverse=True)
    in_use = of >= 0
    edges, first_edge = mesh_edges(triangles[in_use], local[of[in_use]], len(names))
    span = np.full(int(names[-1]) + 2 if len(names) else 1, 0, np.int64)
    if len(names):
        span[names + 1] = np.diff(first_edge)
    first_edge = np.cumsum(span)
    samples = sample_surfaces(vertices, triangles, np.where(of >= 0, np.where(key[of] >= 0, of, -1), -1), largest_area)
    owner = building[samples.surface]
    hidden = covered_points(samples, owner, terrain)
    # A wall all of whose points seem hidden though some of it is exposed keeps them: the raster is the coarser of the two.
    seen = np.zeros(len(key), np.bool_)
    seen[samples.surface[~hidden]] = True
    keep = ~hidden | ~seen[samples.surface]
    samples = samples.chosen(keep)
    weight = area_weights(samples.area, np.searchsorted(samples.surface, np.arange(len(key) + 1)))
    exposed_area = weight * exposed[samples.surface]
    elements, of_sample = np.unique(key[samples.surface], return_inverse=True)
    order = np.argsort(of_sample, kind="stable")
    samples = samples.chosen(order)
    exposed_area = exposed_area[order]
    first = np.searchsorted(of_sample[order], np.arange(len(elements) + 1))
    horizons = surface_horizons(
        samples, building[samples.surface], (vertices, edges, first_edge), terrain.city, terrain.building_index,
        (terrain.west, terrain.north), terrain.resolution, terrain.max_distance, n_azimuth, terrain.tops,
    )  # fmt: skip
    points = Points(samples.normal, area_weights(exposed_area, first), horizons, first)
    views = group_means(surface_views(samples.normal, horizons, transmissivity), points.weight, first)
    of_surface = np.full(len(key), -1, np.int64)
    with_points = np.unique(samples.surface)
    of_surface[with_points] = np.searchsorted(elements, key[with_points])
    table = Elements(
        building=elements // (3 * N_TILT * N_SECTOR),
        kind=elements // (N_TILT * N_SECTOR) % 3,
        sector=elements % N_SECTOR,
        tilt_class=elements // N_SECTOR % N_TILT,
        area=group_means(exposed_area[:, None], np.ones(len(exposed_area)), first)[:, 0],
        normal=group_means(samples.normal, points.weight, first),
        views=views,
        of_surface=of_surface,
    )
    return table, points


def representative_steps(
    is_day: NDArray[np.bool_], steps_per_day: int, days: int = DAYS
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose the steps whose sun stands for others: for each block of days and step of the day the middle day with sun.

    Parameters
    ----------
    is_day : (n_step,) bool
        Whether the sun is up in a step.

    Returns
    -------
    row (n_step,) place of each step in `chosen`, -1 at night; chosen (n_row,) steps
    """
    n = len(is_day)
    step = np.arange(n)
    day, hour = step // steps_per_day, step % steps_per_day
    block = day // days
    group = block * steps_per_day + hour
    distance = np.abs(2 * (day - block * days) - (days - 1))
    lit = np.flatnonzero(is_day)
    order = lit[np.lexsort((lit, distance[lit], group[lit]))]
    _, where = np.unique(group[order], return_index=True)
    chosen = order[where]
    row = np.full(n, -1, np.int64)
    row[lit] = np.searchsorted(group[chosen], group[lit])
    return row, chosen


def year_shading(
    points: Points,
    normal: NDArray[np.float64],
    interval_end: NDArray[np.float64],
    step: float,
    latitude: float,
    longitude: float,
    days: int = DAYS,
    minutes: float = 10.0,
    transmissivity: float = 0.03,
) -> Shading:
    """Compute the sunlit shares of elements for the steps of a year.

    Parameters
    ----------
    points : Points
    normal : (n_element, 3) float
        `Elements.normal`.
    interval_end, step, latitude, longitude : as in `transposition.sky_states`
        Steps from the beginning of a day, so that step k of each day is the same hour.
    days : that share one set of shares; 1 for every day its own
    minutes : longest sub-step [min]
    transmissivity : of crowns [1]
    """
    n = len(interval_end)
    ones, none = np.ones(n), np.zeros(n)
    suns = sky_states(interval_end, step, latitude, longitude, ones, none, none, 0.0, minutes)
    row, chosen = representative_steps(np.any(suns[:, :, 3] > 0.0, axis=1), max(1, round(86400.0 / step)), days)
    beam, mean = suns_of(suns[chosen])
    projected = shaded_beam(beam, points.normal, points.weight, points.horizons, points.first, transmissivity)
    return Shading(row, projected, sunlit_share(projected, mean, normal))


def element_irradiance(
    sky: NDArray[np.float64], points: Points, elements: Elements, transmissivity: float = 0.03
) -> NDArray[np.float32]:
    """Compute the irradiance of elements with the sun of every sub-step: (n_step, n_element) [W m-2]."""
    return group_irradiance(sky, *points[:3], points.first, elements.views, transmissivity)


def zone_geometry(elements: Elements) -> NDArray[np.float64]:
    """Return the numbers of `iso52016_rows.GEOMETRY` (n_element, 7): mean normal, sky, horizon and reflected view, sunlit 1.

    The sunlit share is 1 here: it changes by the hour (`Shading`).
    """
    views = elements.views
    ones = np.ones((len(views), 1))
    return np.concatenate([elements.normal, views[:, [0, 1, 4]], ones], axis=1)
