"""Map sheets: a figure of 1200 px with a north-up map, a colour bar with its unit, a scale bar and the CRS beneath.

No global state of matplotlib is used, so a picture does not depend on who drew before, nor on anybody's matplotlibrc.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

Extent = tuple[float, float, float, float]  # west, east, south, north [m]

DPI = 150
WIDTH = 8.0  # inches: 1200 px
INK = "#262626"
NO_VALUE = "#d4d4d4"
_BAR, _STRIP, _TOP = 1.05, 0.46, 0.06  # inches beside, beneath and above the map
_TALLEST = 8.4  # inches

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#8c8c8c",
    "axes.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "felsina",
    "path.simplify": True,
}


def style() -> Any:
    """Return the context in which every picture is drawn: matplotlib's defaults and `STYLE`, whatever the user has set."""
    # Keys are literals to the type checker; the backend is no matter of style.
    settings: Any = {k: v for k, v in mpl.rcParamsDefault.items() if not k.startswith("backend")}
    return mpl.rc_context(settings | STYLE)


def png(figure: Figure) -> bytes:
    """Return a figure as PNG, without a clock or a version in it."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def blank(width: float, height: float) -> Figure:
    """Return an empty figure [inches] that belongs to no window."""
    figure = Figure((width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


@dataclass
class Sheet:
    """A map sheet of an extent; the map fills the width unless it would become too tall."""

    extent: Extent
    crs: str
    figure: Figure = field(init=False)
    axes: Axes = field(init=False)

    def __post_init__(self) -> None:
        west, east, south, north = self.extent
        width = WIDTH - _BAR - 0.1
        height = width * (north - south) / (east - west)
        if height > _TALLEST:
            width, height = width * _TALLEST / height, _TALLEST
        total = height + _STRIP + _TOP
        self.figure = blank(WIDTH, total)
        left = 0.05 + (WIDTH - _BAR - 0.1 - width) / 2
        self.axes = self.figure.add_axes((left / WIDTH, _STRIP / total, width / WIDTH, height / total))
        self.axes.set(xlim=(west, east), ylim=(south, north), xticks=[], yticks=[], aspect="equal", facecolor="#f4f4f2")
        for spine in self.axes.spines.values():
            spine.set_visible(True)
        self._left, self._map_width, self._total = left, width, total
        self._scale_bar()

    def image(self, values: NDArray[Any], extent: Extent, **options: Any) -> Any:
        """Draw a raster whose row 0 is north."""
        return self.axes.imshow(values, extent=extent, origin="upper", interpolation="nearest", **options)

    def colour_bar(self, drawn: Any, label: str, extend: str = "neither") -> None:
        """Draw the colour bar at the right, its unit in the label."""
        box = self.axes.get_position()
        # Not taller than the map, nor so tall that it dominates.
        height = min(box.height, 4.2 / self._total)
        place = ((self._left + self._map_width + 0.12) / WIDTH, box.y0 + (box.height - height) / 2, 0.17 / WIDTH, height)
        bar = self.figure.colorbar(drawn, cax=self.figure.add_axes(place), extend=extend)
        bar.set_label(label, labelpad=5)
        bar.outline.set_linewidth(0.6)
        bar.ax.tick_params(length=3, labelsize=9.5)

    def key(self, patches: list[Patch]) -> None:
        """Draw a key for what the colour bar does not explain, under the map at the right."""
        if patches:
            right = (self._left + self._map_width) / WIDTH
            self.figure.legend(
                handles=patches,
                loc="center right",
                bbox_to_anchor=(right + 0.005, 0.64 * _STRIP / self._total),
                ncols=len(patches),
                frameon=False,
                fontsize=9.5,
                handlelength=1.3,
                handleheight=0.9,
                columnspacing=1.2,
                borderaxespad=0.25,
            )

    def _scale_bar(self) -> None:
        west, east, _, _ = self.extent
        length = round_length((east - west) / 5)
        strip = self.figure.add_axes((self._left / WIDTH, 0, self._map_width / WIDTH, _STRIP / self._total))
        strip.set(xlim=(0, east - west), ylim=(0, 1))
        strip.axis("off")
        for k in range(2):
            face = INK if k == 0 else "white"
            strip.add_patch(
                mpl.patches.Rectangle((k * length / 2, 0.56), length / 2, 0.16, facecolor=face, edgecolor=INK, linewidth=0.8)
            )
        text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
        pad = 0.012 * (east - west)
        strip.text(length + pad, 0.62, f"{text}   N \N{UPWARDS ARROW}   {self.crs}", va="center", fontsize=9.5)


def round_length(length: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a length.

    >>> [round_length(v) for v in (0.7, 60.0, 499.0, 2000.0)]
    [0.5, 50.0, 200.0, 2000.0]
    """
    power = 10.0 ** np.floor(np.log10(length) + 1e-12)
    return float(max(m * power for m in (1, 2, 5) if m * power <= length * (1 + 1e-12)))


def hillshade(elevation: NDArray[Any], step: float, exaggeration: float = 1.0) -> NDArray[np.float64]:
    """Return how bright a surface is under a light in the north-west, 45 degrees high: level ground is 0.71 everywhere.

    cos(i) = n . s with the unit normal n of the exaggerated surface and the unit vector s to the light; 0 where it is negative.
    matplotlib's own stretches the contrast, so that flat ground shows its rounding as stripes.

    Parameters
    ----------
    elevation : (ny, nx) [m], row 0 is north
    step : distance of the cells [m]
    """
    if min(elevation.shape) < 2:
        return np.full(elevation.shape, np.sqrt(0.5))
    south, east = np.gradient(np.asarray(elevation, np.float64) * exaggeration, step)
    # s = (-1/2, 1/2, 1/sqrt(2)) towards east, north and up.
    return np.maximum(0.0, (0.5 * east + 0.5 * south + np.sqrt(0.5)) / np.sqrt(1.0 + east**2 + south**2))


def limits(values: NDArray[Any], quantum: float = 0.0) -> tuple[float, float, str]:
    """Return colour limits that leave out one per cent at either end, and which ends the colour bar extends."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0, "neither"
    low, high = (float(v) for v in np.percentile(known, (1, 99)))
    if quantum:
        low, high = np.floor(low / quantum) * quantum, np.ceil(high / quantum) * quantum
    if high <= low:
        high = low + (quantum or abs(low) * 1e-3 or 1.0)
    below, above = known.min() < low, known.max() > high
    return low, high, "both" if below and above else "min" if below else "max" if above else "neither"


@dataclass(frozen=True)
class Footprints:
    """The ground surfaces of the buildings in plan.

    Attributes
    ----------
    triangles : (n, 3, 2) [m]
    building : (n,) row of the building table
    outlines : (m, 2, 2) [m], the edges of one triangle of a building only
    """

    triangles: NDArray[np.float64]
    building: NDArray[np.int64]
    outlines: NDArray[np.float64]

    @classmethod
    def of(cls, mesh: Any) -> Footprints:
        """Take them from a dataset with a mesh (buildings or city)."""
        ground = mesh["mesh_face_surface_type"].values == 0
        faces = mesh["mesh_face_nodes"].values[ground].astype(np.int64)
        nodes = np.stack([mesh["mesh_node_x"].values, mesh["mesh_node_y"].values], axis=1)
        building = mesh["mesh_face_building"].values[ground].astype(np.int64)
        edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        # By building, so that the wall between two that share nodes is drawn as well.
        edges = np.column_stack([np.tile(building, 3), edges])
        once, count = np.unique(edges, axis=0, return_counts=True)
        return cls(nodes[faces], building, nodes[once[count == 1, 1:]])

    def fill(self, axes: Axes, colour: str) -> None:
        """Draw all footprints in one colour."""
        axes.add_collection(PolyCollection(list(self.triangles), facecolors=colour, edgecolors=colour, linewidths=0.2))

    def colour(self, axes: Axes, values: NDArray[Any], scale: Normalize, colours: Colormap) -> Any:
        """Draw footprints coloured by a value of their building; those without a value stay away."""
        own = np.asarray(values, float)[self.building]
        known = np.isfinite(own)
        drawn = PolyCollection(list(self.triangles[known]), array=own[known], norm=scale, cmap=colours, linewidths=0.3)
        drawn.set_edgecolor("face")
        axes.add_collection(drawn)
        return drawn

    def outline(self, axes: Axes, colour: str, width: float = 0.5) -> None:
        """Draw the outlines."""
        axes.add_collection(LineCollection(list(self.outlines), colors=colour, linewidths=width))

    @property
    def extent(self) -> Extent:
        """Extent with a margin of a twentieth."""
        low, high = self.triangles.min(axis=(0, 1)), self.triangles.max(axis=(0, 1))
        margin = 0.05 * max(float((high - low).max()), 1.0)
        return low[0] - margin, high[0] + margin, low[1] - margin, high[1] + margin
