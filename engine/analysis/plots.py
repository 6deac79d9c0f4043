"""Pictures of a run: heights, energy, heat and sky, the day in hours, the year in months. PNG, the same for the same products.

Colours are sequential and survive colour blindness and grey printing (cividis, viridis, inferno). A large map is thinned to
what 1200 px can show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from felsina.engine.analysis.canvas import (
    INK,
    NO_VALUE,
    WIDTH,
    Extent,
    Footprints,
    Sheet,
    blank,
    hillshade,
    limits,
    png,
    style,
)

AFTERNOON = (12, 18)  # local standard hours: from, to
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
HOURLY = ("air_temperature", "surface_temperature")
_MOST_CELLS = 2400  # along an edge; two a pixel
_TREES, _WATER = "#7fa07a", "#b9d0e0"
_BUILT, _OUTLINE = "#c9c9c9", "#2f6f8f"
_BLUE, _RED = "#2b6ca3", "#b5442c"


@dataclass(frozen=True)
class Picture:
    """A picture with its words.

    Attributes
    ----------
    name : file name without ".png"
    title, caption : what is seen, in plain words
    alt : what a reader who cannot see it should know
    data : PNG
    """

    name: str
    title: str
    caption: str
    alt: str
    data: bytes


def pictures(tree: Any, buffer_m: float = 0.0, air_m: float = 0.0) -> list[Picture]:
    """Draw every picture that the products of a run allow.

    Parameters
    ----------
    tree : xarray.DataTree of `felsina.open`
    buffer_m : frame of the heat maps that counts in no statistics [m]
    air_m : width of a column of air [m]; that of a cell when less
    """
    with style():
        drawn = []
        if _has(tree, "terrain"):
            drawn.append(height_map(tree))
        if _has(tree, "city"):
            drawn.append(energy_map(tree))
        if _has(tree, "energy"):
            drawn.append(energy_chart(tree))
        if _has(tree, "microclimate"):
            drawn += [air_map(tree, air_m), surface_map(tree)]
            if any(name in tree["microclimate"].dataset for name in HOURLY):
                drawn.append(day_curve(tree, buffer_m, air_m))
            drawn.append(sky_map(tree))
        return drawn


def height_map(tree: Any) -> Picture:
    """Draw ground relief, building heights, trees and water."""
    terrain = tree["terrain"].dataset
    ground, extent, step = _raster(terrain, "ground_elevation")
    surface = _raster(terrain, "surface_elevation")[0]
    index = _raster(terrain, "building_index")[0]
    canopy = _raster(terrain, "canopy_height")[0]
    built = index >= 0
    height = np.where(built, surface - ground, np.nan)
    sheet = Sheet(extent, _crs(terrain))
    shade = hillshade(_filled(surface), step, 1.5)
    sheet.image(0.28 + 0.9 * shade, extent, cmap="gray", vmin=0, vmax=1)
    water = _raster(terrain, "land_cover")[0] == 7
    trees = (canopy > 0) & ~built
    sheet.image(_tint(water, _WATER, 0.9), extent)
    sheet.image(_tint(trees, _TREES, 0.75), extent)
    low, high, extend = limits(height[height > 0.5], 1.0)
    scale = Normalize(min(low, 3.0), high)
    # Colour times relief, so that roofs keep their edges.
    colours = colormaps["viridis"](scale(height))[..., :3] * (0.65 + 0.5 * shade[..., None])
    sheet.image(np.dstack([np.clip(colours, 0, 1), built & np.isfinite(height)]), extent)
    drawn = sheet.image(np.full((1, 1), np.nan), extent, cmap="viridis", norm=scale)
    sheet.colour_bar(drawn, "building height [m]", "max" if extend in ("max", "both") else "neither")
    found = [("trees", _TREES, trees), ("water", _WATER, water)]
    sheet.key([Patch(color=c, label=n) for n, c, mask in found if mask.any()])
    top = float(np.nanmax(height)) if np.isfinite(height).any() else 0.0
    rise = float(np.nanmax(ground) - np.nanmin(ground)) if np.isfinite(ground).any() else 0.0
    return Picture(
        "height",
        "Heights",
        f"Height of the buildings above the ground, over the relief of the ground, which rises by {rise:.1f} m. Light from the "
        f"north-west. The highest building cell stands {top:.1f} m above the ground.",
        f"Map of building heights: buildings cover {np.mean(built):.0%} of the area and are up to {top:.0f} m high; "
        f"trees cover {np.mean(trees):.0%}.",
        png(sheet.figure),
    )


def energy_map(tree: Any) -> Picture:
    """Draw footprints coloured by their specific heating need."""
    city = tree["city"].dataset
    need = city["specific_heating_need"].values
    footprints = Footprints.of(city)
    sheet = _base_sheet(tree, footprints)
    known = need[np.isfinite(need)]
    low, high, extend = limits(need, 5.0)
    missing = np.isnan(need)[footprints.building]
    Footprints(footprints.triangles[missing], footprints.building[missing], footprints.outlines).fill(sheet.axes, NO_VALUE)
    drawn = footprints.colour(sheet.axes, need, Normalize(low, high), colormaps["viridis_r"])
    footprints.outline(sheet.axes, INK, 0.4)
    sheet.colour_bar(drawn, "heat needed per floor area in the year [kWh m⁻²]", extend)
    sheet.key([Patch(facecolor=NO_VALUE, edgecolor=INK, linewidth=0.4, label="no result")] if missing.any() else [])
    middle = (
        f"Half of the buildings need more than {np.median(known):.0f} kWh m⁻²." if known.size else "No building has a result."
    )
    return Picture(
        "energy",
        "Heating need",
        f"Heat that each building needs in a standard year, per square metre of heated floor: dark is much. {middle}",
        f"Map of the specific heating need of {known.size} buildings"
        + (f", from {known.min():.0f} to {known.max():.0f} kWh per square metre and year." if known.size else "."),
        png(sheet.figure),
    )


def energy_chart(tree: Any) -> Picture:
    """Draw the distribution of the specific heating need and the need of each month."""
    energy = tree["energy"].dataset
    need = energy["specific_heating_need"].values
    need = need[np.isfinite(need)]
    heat, cold = (np.nansum(energy[f"monthly_{n}_need"].values.astype(float), axis=0) / 1e3 for n in ("heating", "cooling"))
    figure = blank(WIDTH, 3.1)
    left, right = figure.add_axes((0.085, 0.18, 0.39, 0.75)), figure.add_axes((0.59, 0.18, 0.395, 0.75))
    if need.size:
        width = _round_width((need.max() - need.min()) / min(18, 2 * np.sqrt(need.size)))
        edges = np.arange(np.floor(need.min() / width), np.ceil(need.max() / width) + 1.5) * width
        left.hist(need, edges.tolist(), color=_BLUE, edgecolor="white", linewidth=0.6)
        left.axvline(float(np.median(need)), color=INK, linewidth=1.1, linestyle=(0, (4, 2)))
        left.annotate(
            f"median {np.median(need):.0f}",
            (float(np.median(need)), 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(4, -2),
            textcoords="offset points",
            va="top",
            fontsize=9.5,
        )
    left.set(xlabel="heat needed per floor area [kWh m⁻²]", ylabel="buildings")
    left.set_ylim(top=left.get_ylim()[1] * 1.08)  # room for the median's word
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    month = np.arange(12)
    right.bar(month - 0.2, heat, 0.4, color=_RED, label="heating")
    right.bar(month + 0.2, cold, 0.4, color=_BLUE, label="cooling", hatch="////", edgecolor="white", linewidth=0)
    right.set(
        ylabel="need of all buildings [MWh]", xticks=month, xticklabels=list("JFMAMJJASOND"), xlabel="month", xlim=(-0.6, 11.6)
    )
    right.legend(frameon=False, fontsize=9.5, loc="upper center")
    return Picture(
        "energy_chart",
        "Energy of the year",
        "Left: how many buildings need how much heat per floor area. Right: heat and cold that all buildings need, by month.",
        f"Histogram of the specific heating need of {need.size} buildings"
        + (f" with a median of {np.median(need):.0f} kWh per square metre" if need.size else "")
        + f", and bars by month: {heat.sum():,.0f} MWh of heating and {cold.sum():,.0f} MWh of cooling in the year.",
        png(figure),
    )


def air_map(tree: Any, air_m: float = 0.0) -> Picture:
    """Draw the mean air temperature of the afternoons, or of the days where hours were not kept."""
    climate = tree["microclimate"].dataset
    name, words = "air_temperature_mean", "mean of all hours"
    if "air_temperature" in climate and "local_time" in climate.coords:
        hours = _hour(climate)
        chosen = np.flatnonzero((hours >= AFTERNOON[0]) & (hours < AFTERNOON[1]))
        if chosen.size:
            name, words = "air_temperature", f"mean of {AFTERNOON[0]} to {AFTERNOON[1]} o'clock local standard time"
            climate = climate.assign({name: _mean_of(climate[name], chosen)})
    values, extent, _ = _raster(climate, name)
    footprints = _footprints(tree)
    sheet, shown = _heat_sheet(tree, values, extent, "air temperature [°C]", "inferno", footprints, street_cells(tree, air_m))
    return Picture(
        "air_temperature",
        "Air in the afternoon" if name == "air_temperature" else "Air",
        f"Air temperature in the streets, {words}.",
        f"Map of the air temperature in the streets: {_range(shown, '°C')}.",
        png(sheet.figure),
    )


def surface_map(tree: Any) -> Picture:
    """Draw the highest temperature of ground and roofs."""
    values, extent, _ = _raster(tree["microclimate"].dataset, "surface_temperature_maximum")
    sheet, shown = _heat_sheet(tree, values, extent, "surface temperature [°C]", "inferno", _footprints(tree))
    return Picture(
        "surface_temperature",
        "Hottest surfaces",
        "The highest hourly temperature of ground and roofs in the simulated days. Thin lines are buildings.",
        f"Map of the highest surface temperature: {_range(shown, '°C')}.",
        png(sheet.figure),
    )


def sky_map(tree: Any) -> Picture:
    """Draw the sky view factor."""
    values, extent, _ = _raster(tree["microclimate"].dataset, "sky_view_factor")
    sheet = Sheet(extent, _crs(tree["microclimate"].dataset))
    drawn = sheet.image(values, extent, cmap="cividis", vmin=0, vmax=1)
    footprints = _footprints(tree)
    if footprints is not None:
        footprints.outline(sheet.axes, INK, 0.4)
    sheet.colour_bar(drawn, "sky view factor [1]")
    return Picture(
        "sky_view_factor",
        "Open sky",
        "Share of the sky that the ground or roof sees, weighted as radiation is: 1 is an open field. Narrow streets and "
        "courts cool slowly at night.",
        f"Map of the sky view factor: {_range(values, '', 2)}.",
        png(sheet.figure),
    )


def day_curve(tree: Any, buffer_m: float = 0.0, air_m: float = 0.0) -> Picture:
    """Draw the spatial mean, minimum and maximum of air and surface temperature by the hour."""
    climate = tree["microclimate"].dataset
    names = [n for n in HOURLY if n in climate]
    clock = "local_time" if "local_time" in climate.coords else "time"
    time = climate[clock].values.astype("datetime64[m]").astype(float) / 60
    start = np.floor((time[0] - 0.5) / 24) * 24
    hours = time - start - 0.5  # the middle of the interval
    streets = street_cells(tree, air_m)
    figure = blank(WIDTH, 3.3)
    words = []
    for k, name in enumerate(names):
        axes = figure.add_axes((0.083 + 0.5 * k, 0.2, 0.395, 0.71))
        low, mean, high = hourly_range(climate[name], buffer_m, streets if name == HOURLY[0] else None)
        colour = _BLUE if name == "air_temperature" else _RED
        axes.fill_between(hours, low, high, color=colour, alpha=0.22, linewidth=0, label="lowest to highest cell")
        axes.plot(hours, mean, color=colour, linewidth=2.0, label="mean")
        label = name.split("_")[0]
        axes.set(ylabel=f"{label} temperature [°C]", xlim=(hours.min() - 0.5, hours.max() + 0.5))
        _clock_axis(axes, start, hours.max() + 0.5, "local standard time" if clock == "local_time" else "UTC")
        axes.grid(axis="y", color="#e3e3e3", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderaxespad=0.2)
        words.append(f"{label} mean {np.nanmin(mean):.1f} to {np.nanmax(mean):.1f} °C, highest cell {np.nanmax(high):.1f} °C")
    return Picture(
        "day_curve",
        "Through the day",
        "Temperature of the air in the streets and of ground and roofs, hour by hour: the mean of the area as a line, and the "
        "range between its coolest and its hottest cell.",
        "Curves of air and surface temperature over the simulated hours: "
        + ("; ".join(words) or "no hourly maps were kept")
        + ".",
        png(figure),
    )


def hourly_range(
    cube: Any, buffer_m: float = 0.0, cells: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return (n_time,) minimum, mean and maximum inside the frame, over some cells; one time step in memory at a time.

    Parameters
    ----------
    cube : (time, y, x) variable
    buffer_m : width of the frame [m]
    cells : (ny, nx), which cells count; all when absent
    """
    frame = inner(cube, buffer_m)
    counted = True if cells is None else cells[frame]
    rows = []
    for k in range(cube.sizes["time"]):
        values = cube.isel(time=k).values[frame]
        values = values[np.isfinite(values) & counted].astype(np.float64)
        rows.append((values.min(), values.mean(), values.max()) if values.size else (np.nan,) * 3)
    low, mean, high = np.array(rows).T
    return low, mean, high


def inner(variable: Any, buffer_m: float) -> tuple[slice, slice]:
    """Return the rows and columns of a map without its frame of `buffer_m` [m]."""
    x = variable["x"].values
    n = round(buffer_m / abs(float(x[1] - x[0]))) if len(x) > 1 else 0
    return slice(n, variable.sizes["y"] - n), slice(n, variable.sizes["x"] - n)


def _heat_sheet(
    tree: Any,
    values: NDArray[Any],
    extent: Extent,
    label: str,
    colours: str,
    footprints: Footprints | None,
    streets: NDArray[np.bool_] | None = None,
) -> tuple[Sheet, NDArray[Any]]:
    """Draw a heat map; where `streets` are given, the rest is hidden under grey."""
    sheet = Sheet(extent, _crs(tree["microclimate"].dataset))
    fill = streets is not None
    # Over a building stands the air above its roof, which is not what people walk in.
    shown = values if streets is None else np.where(_thinned(streets), values, np.nan)
    low, high, extend = limits(shown, 0.1)
    drawn = sheet.image(shown, extent, cmap=colours, vmin=low, vmax=high)
    if fill:
        sheet.axes.set_facecolor(_BUILT)
        sheet.key([Patch(color=_BUILT, label="buildings")])
    if footprints is not None:
        if fill:
            footprints.fill(sheet.axes, _BUILT)
        footprints.outline(sheet.axes, "#6b6b6b" if fill else _OUTLINE, 0.6)
    sheet.colour_bar(drawn, label, extend)
    return sheet, shown


def street_cells(tree: Any, air_m: float = 0.0) -> NDArray[np.bool_] | None:
    """Return the cells of the heat maps that show the air of a street, (ny, nx); None where the terrain is not there.

    Less than half of them is built (where the grids do not nest: not their centre), and less than half of their column of
    air, `air_m` wide [m]: others show the air above the roof.
    """
    if not _has(tree, "terrain"):
        return None
    climate, terrain = tree["microclimate"].dataset, tree["terrain"].dataset
    index, factor = terrain["building_index"], terrain.sizes["x"] // climate.sizes["x"]
    if _extent(terrain) == _extent(climate) and factor * climate.sizes["x"] == terrain.sizes["x"]:
        blocks = (index.values >= 0).reshape(climate.sizes["y"], factor, climate.sizes["x"], factor)
        is_open = 2 * np.count_nonzero(blocks, axis=(1, 3)) < factor**2
    else:
        west, _, _, north = _extent(terrain)
        cell = _cell(terrain)
        i = np.clip(np.floor((climate["x"].values - west) / cell).astype(int), 0, terrain.sizes["x"] - 1)
        j = np.clip(np.floor((north - climate["y"].values) / cell).astype(int), 0, terrain.sizes["y"] - 1)
        is_open = index.isel(y=j, x=i).values < 0
    ratio = max(1, round(air_m / _cell(climate)))
    rows, columns = (np.arange(n) // ratio for n in is_open.shape)
    column = rows[:, None] * (columns[-1] + 1) + columns
    total = np.bincount(column.reshape(-1))
    return is_open & (2 * np.bincount(column[~is_open], minlength=len(total)) < total)[column]


def _base_sheet(tree: Any, footprints: Footprints) -> Sheet:
    """Return a sheet with the relief of the ground in pale grey where the terrain is there."""
    if not _has(tree, "terrain"):
        return Sheet(footprints.extent, _crs(tree["city"].dataset))
    terrain = tree["terrain"].dataset
    ground, extent, step = _raster(terrain, "ground_elevation")
    sheet = Sheet(extent, _crs(terrain))
    sheet.image(0.55 + 0.57 * hillshade(_filled(ground), step, 3.0), extent, cmap="gray", vmin=0, vmax=1)
    sheet.image(_tint(_raster(terrain, "land_cover")[0] == 7, _WATER, 0.8), extent)
    return sheet


def _raster(dataset: Any, name: str) -> tuple[NDArray[Any], Extent, float]:
    """Return a map thinned to what can be seen, its extent [m] and the distance of its cells [m]."""
    step = _step(dataset[name].shape)
    values = dataset[name].isel(y=slice(None, None, step), x=slice(None, None, step)).values
    return values, _extent(dataset), step * _cell(dataset)


def _thinned(values: NDArray[Any]) -> NDArray[Any]:
    step = _step(values.shape)
    return values[::step, ::step]


def _step(shape: tuple[int, ...]) -> int:
    return max(1, -(-max(shape) // _MOST_CELLS))


def _cell(dataset: Any) -> float:
    for axis in ("x", "y"):
        values = dataset[axis].values
        if len(values) > 1:
            return abs(float(values[1] - values[0]))
    return 1.0


def _extent(dataset: Any) -> Extent:
    x, y, half = dataset["x"].values, dataset["y"].values, 0.5 * _cell(dataset)
    return float(x[0]) - half, float(x[-1]) + half, float(y[-1]) - half, float(y[0]) + half


def _mean_of(cube: Any, chosen: NDArray[np.integer]) -> Any:
    total = sum(cube.isel(time=int(k)).astype("f8") for k in chosen)
    return total / len(chosen)


def _hour(climate: Any) -> NDArray[np.int64]:
    """Return the local standard hour (0-23) in which each interval begins; the label is its end."""
    minutes = climate["local_time"].values.astype("datetime64[m]").astype(np.int64)
    return (minutes - 1) // 60 % 24


def _clock_axis(axes: Any, start: float, end: float, label: str) -> None:
    days = max(1, int(np.ceil((end - 1e-9) / 24)))
    step = 6 if days <= 2 else 12 if days <= 4 else 24
    ticks = np.arange(0, days * 24 + 1, step)
    day0 = np.datetime64(int(start), "h").astype("datetime64[D]")
    names = [f"{int(t) % 24:02d}" for t in ticks]
    for k, t in enumerate(ticks):
        if t % 24 == 0 and t < days * 24:
            year, month, day = str(day0 + int(t) // 24).split("-")
            names[k] += f"\n{int(day)} {_MONTHS[int(month) - 1]}" + (f" {year}" if t == 0 and days <= 2 else "")
    axes.set(xticks=ticks, xticklabels=names, xlabel=label)


def _footprints(tree: Any) -> Footprints | None:
    for name in ("city", "buildings"):
        if _has(tree, name) and "mesh_face_nodes" in tree[name].dataset:
            return Footprints.of(tree[name].dataset)
    return None


def _has(tree: Any, name: str) -> bool:
    return name in tree.children


def _crs(dataset: Any) -> str:
    return str(dataset.attrs.get("crs", ""))


def _filled(values: NDArray[Any]) -> NDArray[np.float64]:
    known = np.isfinite(values)
    return np.where(known, values, values[known].min() if known.any() else 0.0).astype(np.float64)


def _tint(mask: NDArray[np.bool_], colour: str, alpha: float) -> NDArray[np.float64]:
    red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return np.dstack([np.full(mask.shape, c) for c in (red, green, blue)] + [mask * alpha])


def _range(values: NDArray[Any], unit: str, digits: int = 1) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return "no value"
    low, mean, high = known.min(), known.mean(dtype=np.float64), known.max()
    return f"{low:.{digits}f} to {high:.{digits}f} {unit}".rstrip() + f", mean {mean:.{digits}f} {unit}".rstrip()


def _round_width(width: float) -> float:
    power = 10.0 ** np.floor(np.log10(max(width, 1e-3)))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= width))
