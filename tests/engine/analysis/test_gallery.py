"""The gallery: drawings show what is in front, distances are those of closed forms, the page is whole."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from felsina.engine.analysis import axonometry
from felsina.engine.analysis.axonometry import (
    GROUND,
    ROOF,
    SHARED,
    WALL,
    View,
    distances,
    draw,
    model_of,
    project,
    view_azimuth,
)
from felsina.engine.analysis.gallery import RULES, candidates, choose, write_gallery
from felsina.engine.city import read_city
from felsina.engine.errors import UsageError
from felsina.engine.fields import BUILDING_REASONS
from felsina.engine.io.read import read_table
from felsina.engine.rundir import RunDirectory
from felsina.jobs.cli import main
from felsina.jobs.gallery import roof_points

pytest.importorskip("matplotlib")


def box(west=0, south=0, width=10_000, depth=6_000, height=4_000):
    """Return faces [mm] and kinds of a box: ground, walls from the south anticlockwise, roof."""
    x, y = west + np.array([0, width, width, 0]), south + np.array([0, 0, depth, depth])
    low, high = (np.column_stack((x, y, np.full(4, z))).astype(np.int64) for z in (0, height))
    walls = [[np.array([low[k], low[(k + 1) % 4], high[(k + 1) % 4], high[k]])] for k in range(4)]
    return [[low[::-1]], *walls, [high]], [GROUND, WALL, WALL, WALL, WALL, ROOF]


def picture_of(data: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(data), format="png")


# -- drawings ---------------------------------------------------------------------------------------------------------------


def test_the_axes_of_a_view_are_orthonormal_and_north_is_up_seen_from_the_south():
    axes = project(np.eye(3), 217.0)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-15)
    east, north, top = project(np.eye(3), 180.0)
    assert east[0] == pytest.approx(1.0) and north[1] > 0 and top[1] > 0
    # Isometric: the three axes of a cube seen over its corner are equally long.
    np.testing.assert_allclose(np.hypot(*project(np.eye(3), 225.0)[:, :2].T), np.sqrt(2 / 3), rtol=1e-14)


def test_triangles_enclose_the_volume_and_holes_stay_open():
    model = model_of(*box())
    a, b, c = np.moveaxis(model.triangles, 1, 0)
    assert np.einsum("ij,ij->", np.cross(a, b), c) / 6 == pytest.approx(10 * 6 * 4)
    outer = np.array([[0, 0, 0], [9000, 0, 0], [9000, 9000, 0], [0, 9000, 0]])
    hole = np.array([[3000, 3000, 0], [3000, 6000, 0], [6000, 6000, 0], [6000, 3000, 0]])
    a, b, c = np.moveaxis(model_of([[outer, hole]], [ROOF]).triangles, 1, 0)
    assert np.cross(b - a, c - a)[:, 2].sum() / 2 == pytest.approx(81 - 9)


def test_a_hole_that_touches_its_ring_leaves_no_face_out():
    outer = np.array([[0, 0, 0], [9000, 0, 0], [9000, 9000, 0], [0, 9000, 0]])
    hole = np.array([[0, 0, 0], [3000, 6000, 0], [6000, 3000, 0]])
    a, b, c = np.moveaxis(model_of([[outer, hole]], [ROOF]).triangles, 1, 0)
    assert np.cross(b - a, c - a)[:, 2].sum() / 2 == pytest.approx(81 - 13.5)


def test_of_a_box_three_faces_are_seen():
    model = model_of(*box())
    view = View.of(model.triangles.reshape(-1, 3), 215.0, 200, 160, 10)
    _, nearest = axonometry._depth_buffer(model, view)
    # South, west and roof: the ground, north and east look away.
    assert set(model.face[nearest[nearest >= 0]]) == {1, 4, 5}


def test_what_stands_in_front_hides_what_is_behind():
    front, back = box(height=9_000), box(south=8_000, depth=4_000, height=3_000)
    model = model_of(front[0] + back[0], front[1] + back[1])
    view = View.of(model.triangles.reshape(-1, 3), 180.0, 200, 160, 10)
    _, nearest = axonometry._depth_buffer(model, view)
    assert not {6, 7, 8, 9, 10, 11} & set(model.face[nearest[nearest >= 0]])


def test_a_drawing_fills_its_picture_and_keeps_its_margin():
    model = model_of(*box())
    view = View.of(model.triangles.reshape(-1, 3), 215.0, 200, 160, 10)
    alpha = picture_of(draw(model, view))[..., 3] > 0
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    assert alpha.shape == (160, 200)
    # The margin, less the width of an edge.
    assert rows[0] >= 8 and rows[-1] < 152 and columns[0] >= 8 and columns[-1] < 192
    assert len(rows) >= 138 or len(columns) >= 178


def test_points_behind_a_wall_are_not_drawn():
    model = model_of(*box())
    view = View.of(model.triangles.reshape(-1, 3), 180.0, 200, 160, 10)
    red, plain = np.array([[1.0, 0.0, 0.0]]), draw(model, view)
    assert draw(model, view, points=np.array([[5.0, 5.9, 1.0]]), point_colours=red) == plain
    assert draw(model, view, points=np.array([[5.0, -0.1, 2.0]]), point_colours=red) != plain


def test_walls_are_not_seen_edge_on():
    ring = np.array([[0.0, 0.0], [20.0, 0.0], [20.0, 8.0], [0.0, 8.0]])
    for turn in np.radians(np.arange(0.0, 90.0, 7.0)):
        c, s = np.cos(turn), np.sin(turn)
        turned = ring @ np.array([[c, s], [-s, c]])
        azimuth = view_azimuth(np.stack((turned, np.roll(turned, -1, axis=0)), axis=1))
        direction = np.degrees(np.arctan2(c, s))  # of the long wall, clockwise from north
        assert min((azimuth - direction) % 90, (direction - azimuth) % 90) == pytest.approx(32.0)
        assert 180.0 <= azimuth <= 250.0


def test_distances_are_those_of_a_plane_an_edge_and_a_corner():
    roof = np.array([[[0.0, 0, 3], [4, 0, 3], [4, 4, 3]], [[0, 0, 3], [4, 4, 3], [0, 4, 3]]])
    points = np.array([[1.0, 2, 3.5], [3.0, 1, 2.75], [2, -3, 7], [-2, -3, 9]])
    np.testing.assert_allclose(distances(points, roof), [0.5, -0.25, 5.0, 7.0])


# -- the choice -------------------------------------------------------------------------------------------------------------


def table(n=600, seed=4):
    random = np.random.default_rng(seed)
    return {
        "building_id": np.array([f"b{k:04d}" for k in range(n)], object),
        "building_footprint_area": random.uniform(20, 500, n),
        "building_height": random.uniform(3, 20, n),
        "building_volume": random.uniform(60, 9000, n),
        "building_roof_plane_count": random.integers(0, 9, n),
        "building_reason": np.where(random.random(n) < 0.01, 3, 0),
        "building_coverage": random.uniform(0.3, 1, n),
        "fit": random.uniform(0.02, 1.0, n),
        "parts": np.where(np.arange(n) == 77, 3, 1),
    }


def test_each_rule_gets_its_own_and_no_building_comes_twice():
    rows = table()
    chosen = choose(rows, 24)
    words = dict(chosen)
    assert len(chosen) == len(words) == 24
    assert [k for k, why in chosen if why == "worst fit"] == np.argsort(-rows["fit"])[:3].tolist()
    assert words[77] == "most parts"
    assert int(np.argmax(rows["building_volume"])) in words
    fallback = [k for k, why in chosen if why == f"reason: {BUILDING_REASONS[3]}"]
    assert len(fallback) == 1 and rows["building_reason"][fallback[0]] == 3
    assert "evenly by volume" in words.values()


def test_candidates_hold_what_the_rules_on_the_table_choose():
    rows = table(5000)
    among = candidates(rows, 24)
    assert len(among) < 600
    for rule in RULES:
        key = rule.key({**rows, "fit": np.full(5000, np.nan)})
        if np.isfinite(key).any():
            assert int(np.nanargmax(key)) in among, rule.words


@pytest.mark.parametrize(("n", "rows"), [(24, 3), (1, 50), (24, 24)])
def test_no_more_buildings_are_chosen_than_there_are_or_wanted(n, rows):
    assert len(choose(table(rows), n)) == min(n, rows)


# -- the page ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(finished, district, tmp_path_factory) -> str:
    target = tmp_path_factory.mktemp("gallery") / "page.html"
    assert main(["gallery", str(finished), "--city", str(district), "--out", str(target), "-q"]) == 0
    return target.read_text(encoding="utf-8")


def test_the_page_needs_nothing_else_and_is_well_formed(page):
    assert "<script" not in page and not re.search(r'(src|href)="(?!data:)', page) and "url(" not in page
    body = page[page.index("<main>") : page.index("</main>") + 7]
    tree = ElementTree.fromstring(body)
    assert len(tree.findall("section")) == 9
    # Three levels and the points of each.
    assert len(tree.findall(".//svg")) == 9 * 4
    for data in re.findall(r'base64,([^"]+)"', page):
        assert (picture_of(base64.b64decode(data))[..., 3] > 0).mean() > 0.08


def test_the_page_says_how_buildings_were_chosen_and_what_is_known_of_them(page, finished):
    rows = read_table(finished / "buildings.nc", ("building_id", "building_roof_plane_count"))
    for name, planes in zip(rows["building_id"], rows["building_roof_plane_count"], strict=True):
        card = page[page.index(f"<h2>{name}</h2>") :]
        assert f"<dt>planes</dt><dd>{planes}</dd>" in card[: card.index("</section>")]
    assert "Chosen by rule" in page and page.count('class="why">worst fit') == 3


def test_the_same_run_gives_the_same_page(page, finished, district, tmp_path):
    assert main(["gallery", str(finished), "--city", str(district), "--out", str(tmp_path / "again.html"), "-q"]) == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_buildings_asked_for_are_shown_without_points_where_no_city_is_named(finished, tmp_path, capsys):
    names = read_table(finished / "buildings.nc", ("building_id",))["building_id"][[4, 1]]
    target = tmp_path / "two.html"
    assert main(["gallery", str(finished), "--ids", ",".join(names), "--out", str(target)]) == 0
    text = target.read_text(encoding="utf-8")
    assert re.findall("<h2>(.*?)</h2>", text) == list(names) and text.count("<svg") == 6
    assert "No points" in text and "2 buildings" in capsys.readouterr().out


def test_an_unknown_building_is_named(finished, tmp_path):
    with pytest.raises(UsageError, match="'nobody'"):
        write_gallery(finished, tmp_path / "x.html", ids=["nobody"])
    assert not (tmp_path / "x.html").exists()


def test_the_points_are_those_that_the_job_took(finished, district):
    rows = read_table(finished / "buildings.nc", ("building_id", "building_point_count"))
    clouds = roof_points(read_city(district), RunDirectory(finished), list(rows["building_id"]))
    found = np.array([len(clouds[name]) for name in rows["building_id"]])
    used = rows["building_point_count"]
    # The job leaves out points below 1.5 m above ground and outliers above the roof: few.
    assert (found >= used).all() and found.sum() <= 1.1 * used.sum() and used.min() > 0


def test_shared_walls_have_a_colour_of_their_own(finished):
    from felsina.engine.analysis.gallery import _buildings

    rows = read_table(finished / "buildings.nc", ("building_id", "building_party_wall_area"))
    made = _buildings(finished / "buildings.city.jsonl", set(rows["building_id"]))
    for name, area in zip(rows["building_id"], rows["building_party_wall_area"], strict=True):
        assert (SHARED in made[name].models["2.2"].kind) == (area > 0)
    assert (rows["building_party_wall_area"] > 0).any()
