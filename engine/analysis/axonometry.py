"""Axonometric drawings of solids: parallel projection, hidden faces removed by a depth buffer, edges, points coloured by value.

A drawing is a picture without text, in numpy alone; who shows it adds scale and north.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.kernels.geometry.faces import triangulate_faces

GROUND, WALL, ROOF, SHARED = 0, 1, 2, 3
COLOURS = {GROUND: "#b9b2a3", WALL: "#e6dfd0", ROOF: "#c9694d", SHARED: "#8f93bd"}
PALE = {GROUND: "#d8d8d8", WALL: "#e9e9e9", ROOF: "#dedede", SHARED: "#e9e9e9"}
INK = np.array([0.16, 0.16, 0.16])
_SINE, _COSINE = 3**-0.5, (2 / 3) ** 0.5  # of the elevation of the view: the isometric one
_FINE = 2  # depth-buffer pixels along an edge of a picture's pixel
_SEEN = 0.25  # m: points this far behind a face are still drawn, for they lie on both sides of the surface that they measure


@dataclass(frozen=True)
class Model:
    """Triangles of the solids of a level.

    Attributes
    ----------
    triangles : (n, 3, 3) [m], anticlockwise from outside
    face : (n,) number of the face that each is part of
    kind : (n,) GROUND, WALL, ROOF or SHARED
    """

    triangles: NDArray[np.float64]
    face: NDArray[np.int64]
    kind: NDArray[np.int64]

    @property
    def normals(self) -> NDArray[np.float64]:
        """Unit normals (n, 3); 0 for a triangle without area."""
        a, b, c = np.moveaxis(self.triangles, 1, 0)
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        return np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)

    @property
    def shell(self) -> NDArray[np.float64]:
        """The triangles that a laser may meet: all but the ground surface."""
        return self.triangles[self.kind != GROUND]


@dataclass(frozen=True)
class View:
    """A parallel view from above.

    Attributes
    ----------
    azimuth_deg : where the viewer stands, clockwise from north
    centre : (2,) what lies in the middle, in the axes of `project` [m]
    scale : pixels of the picture per metre
    width, height : of the picture [pixels]
    """

    azimuth_deg: float
    centre: tuple[float, float]
    scale: float
    width: int
    height: int

    @classmethod
    def of(cls, points: NDArray[np.float64], azimuth_deg: float, width: int, height: int, margin: int) -> View:
        """Return the view that shows points (n, 3) as large as the picture allows."""
        seen = project(points, azimuth_deg)[:, :2]
        low, high = seen.min(axis=0), seen.max(axis=0)
        size = np.maximum(high - low, 1.0)
        scale = float(min((width - 2 * margin) / size[0], (height - 2 * margin) / size[1]))
        middle = (low + high) / 2
        return cls(azimuth_deg, (float(middle[0]), float(middle[1])), scale, width, height)

    def pixels(self, points: NDArray[np.float64], fine: int = 1) -> NDArray[np.float64]:
        """Return column, row [pixels of 1 / `fine`] and depth [m, larger is nearer] of points (..., 3)."""
        seen = project(points, self.azimuth_deg)
        column = (seen[..., 0] - self.centre[0]) * self.scale + self.width / 2
        row = self.height / 2 - (seen[..., 1] - self.centre[1]) * self.scale
        return np.stack((column * fine, row * fine, seen[..., 2]), axis=-1)


def project(points: NDArray[np.float64], azimuth_deg: float) -> NDArray[np.float64]:
    """Return right, up and towards the viewer [m] of points (..., 3) in an isometric view from an azimuth.

    With v = (sin A, cos A) towards the viewer in plan and e the elevation of the view: right (-v_y, v_x, 0),
    up (-v sin e, cos e), towards the viewer (v cos e, sin e).
    """
    a = np.radians(azimuth_deg)
    vx, vy = np.sin(a), np.cos(a)
    axes = [
        (-vy, vx, 0.0),
        (-vx * _SINE, -vy * _SINE, _COSINE),
        (vx * _COSINE, vy * _COSINE, _SINE),
    ]
    return np.asarray(points @ np.array(axes).T)


def model_of(faces: Sequence[Sequence[NDArray[np.int64]]], kinds: Sequence[int]) -> Model:
    """Cut faces into triangles.

    Parameters
    ----------
    faces : for each face its rings (n, 3) [mm]: the exterior anticlockwise from outside, then holes
    kinds : of the faces
    """
    if not faces:
        return Model(np.zeros((0, 3, 3)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    rings = [ring for face in faces for ring in face]
    ring_offsets = np.cumsum([0, *map(len, rings)]).astype(np.int64)
    face_offsets = np.cumsum([0, *map(len, faces)]).astype(np.int64)
    vertices = np.ascontiguousarray(np.concatenate(rings))
    triangles, face, _ = triangulate_faces(vertices, np.arange(len(vertices)), ring_offsets, face_offsets)
    return Model(vertices[triangles] / 1000.0, face, np.asarray(kinds, np.int64)[face])


def view_azimuth(outline: NDArray[np.float64]) -> float:
    """Return an azimuth between south and west from which no main wall is seen edge on [degree].

    Walls are weighted by length; their direction is a mean of angles modulo 90 degrees. The view is 32 degrees off the walls.

    Parameters
    ----------
    outline : (n, 2, 2) edges in plan [m]
    """
    d = outline[:, 1] - outline[:, 0]
    angle, length = np.arctan2(d[:, 0], d[:, 1]), np.hypot(*d.T)
    main = np.degrees(np.arctan2((length * np.sin(4 * angle)).sum(), (length * np.cos(4 * angle)).sum()) / 4)
    choices = [(main + 90 * k + side) % 360 for k in range(4) for side in (-32.0, 32.0)]
    return float(min(choices, key=lambda a: (round(abs(a - 215.0), 6), a)))


def draw(
    model: Model,
    view: View,
    colours: dict[int, str] = COLOURS,
    points: NDArray[np.float64] | None = None,
    point_colours: NDArray[np.float64] | None = None,
) -> bytes:
    """Draw a model, and points on it, as PNG on a transparent ground.

    Parameters
    ----------
    model : Model
    view : View
    colours : "#rrggbb" by kind
    points, point_colours : (n, 3) [m] and (n, 3) in 0 to 1; later ones lie on earlier ones
    """
    depth, nearest = _depth_buffer(model, view)
    base = np.array([[int(colours[k][i : i + 2], 16) / 255 for i in (1, 3, 5)] for k in range(4)])
    rgb = np.ones((*nearest.shape, 3))
    hit = nearest >= 0
    shaded = base[model.kind] * _brightness(model, view)[:, None]
    rgb[hit] = shaded[nearest[hit]]
    face = np.where(hit, model.face[nearest] if len(model.face) else -1, -1)
    rgb[_edges(face)] = INK
    alpha = (hit | _edges(face)).astype(np.float64)
    if points is not None and point_colours is not None and len(points):
        _splat(rgb, alpha, depth, view.pixels(points, _FINE), point_colours, view)
    return _png(_averaged(rgb, alpha))


def _depth_buffer(model: Model, view: View) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return depth [m] and number of the nearest triangle of each fine pixel; -inf and -1 where there is none."""
    shape = view.height * _FINE, view.width * _FINE
    depth, nearest = np.full(shape, -np.inf), np.full(shape, -1, np.int64)
    corners = view.pixels(model.triangles, _FINE)
    for number, ((ax, ay, az), (bx, by, bz), (cx, cy, cz)) in enumerate(corners):
        # Rows grow downwards: what is seen from outside is clockwise here. The rest looks away, and solids are closed.
        twice = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if twice >= -1e-9:
            continue
        x0, x1 = max(int(np.floor(min(ax, bx, cx))), 0), min(int(np.ceil(max(ax, bx, cx))) + 1, shape[1])
        y0, y1 = max(int(np.floor(min(ay, by, cy))), 0), min(int(np.ceil(max(ay, by, cy))) + 1, shape[0])
        x, y = np.arange(x0, x1) + 0.5, (np.arange(y0, y1) + 0.5)[:, None]
        u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / twice
        v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / twice
        w = 1.0 - u - v
        z = u * az + v * bz + w * cz
        window = slice(y0, y1), slice(x0, x1)
        closer = (u >= 0) & (v >= 0) & (w >= 0) & (z > depth[window])
        depth[window][closer] = z[closer]
        nearest[window][closer] = number
    return depth, nearest


def _brightness(model: Model, view: View) -> NDArray[np.float64]:
    """Return how bright each triangle is under a lamp above the viewer's left shoulder."""
    towards = project(model.normals, view.azimuth_deg)
    lamp = np.array([-0.45, 0.62, 0.64])
    return 0.66 + 0.40 * np.clip(towards @ (lamp / np.linalg.norm(lamp)), 0.0, 1.0)


def _edges(face: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the fine pixels at which the face changes to the right or below: edges and outlines, and only those in sight."""
    edge = np.zeros(face.shape, np.bool_)
    edge[:, :-1] |= face[:, 1:] != face[:, :-1]
    edge[:-1] |= face[1:] != face[:-1]
    wide = edge.copy()
    wide[:, 1:] |= edge[:, :-1]
    wide[1:] |= edge[:-1]
    return wide


def _splat(
    rgb: NDArray[np.float64],
    alpha: NDArray[np.float64],
    depth: NDArray[np.float64],
    places: NDArray[np.float64],
    colours: NDArray[np.float64],
    view: View,
) -> None:
    """Draw discs of 0.1 m, of a few pixels at any scale, at places (column, row, depth) that no face hides."""
    radius = float(np.clip(0.10 * view.scale, 0.8, 2.2)) * _FINE
    reach = int(np.ceil(radius))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    keep = dx**2 + dy**2 <= radius**2
    dx, dy = dx[keep], dy[keep]
    column, row = (places[:, k].astype(np.int64) for k in (0, 1))
    ny, nx = depth.shape
    inside = (column >= reach) & (column < nx - reach) & (row >= reach) & (row < ny - reach)
    column, row, z, colours = column[inside], row[inside], places[inside, 2], colours[inside]
    seen = z >= depth[row, column] - _SEEN
    for c, r, colour in zip(column[seen], row[seen], colours[seen], strict=True):
        rgb[r + dy, c + dx] = colour
        alpha[r + dy, c + dx] = 1.0


def _averaged(rgb: NDArray[np.float64], alpha: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the picture from its fine pixels, as RGBA."""
    ny, nx = alpha.shape[0] // _FINE, alpha.shape[1] // _FINE
    blocks = alpha.reshape(ny, _FINE, nx, _FINE)
    cover = blocks.mean(axis=(1, 3))
    colour = (rgb * alpha[..., None]).reshape(ny, _FINE, nx, _FINE, 3).mean(axis=(1, 3))
    colour = np.divide(colour, cover[..., None], out=np.ones_like(colour), where=cover[..., None] > 0)
    return np.rint(255 * np.dstack((colour, cover))).astype(np.uint8)


def _png(picture: NDArray[np.uint8]) -> bytes:
    from matplotlib.image import imsave

    stream = io.BytesIO()
    nothing: Any = None  # matplotlib's stubs know texts alone
    imsave(stream, picture, format="png", metadata={"Software": nothing})
    return stream.getvalue()


def distances(points: NDArray[np.float64], triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each point to the nearest of some triangles [m], negative where it is behind that.

    Parameters
    ----------
    points : (n, 3) [m]
    triangles : (m, 3, 3) [m]; infinite distances without any
    """
    least, before = np.full(len(points), np.inf), np.zeros(len(points))
    for a, b, c in triangles:
        normal = np.cross(b - a, c - a)
        size = float(normal @ normal)
        if size < 1e-12:
            continue
        height = (points - a) @ normal
        inside = np.ones(len(points), np.bool_)
        squared = np.full(len(points), np.inf)
        for p, q in ((a, b), (b, c), (c, a)):
            inside &= (points - p) @ np.cross(normal, q - p) >= 0
            t = np.clip((points - p) @ (q - p) / float((q - p) @ (q - p)), 0, 1)
            squared = np.minimum(squared, ((points - p - t[:, None] * (q - p)) ** 2).sum(axis=1))
        squared = np.where(inside, height**2 / size, squared)
        closer = squared < least
        least[closer] = squared[closer]
        before[closer] = height[closer]
    return np.sqrt(least) * np.where(before < 0, -1.0, 1.0)
