"""The page and the pictures of a finished run, of a partial one, and without the analysis extra."""

from __future__ import annotations

import io
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib import image as images

import felsina
from felsina.engine.analysis.canvas import Footprints, hillshade, limits, round_length
from felsina.engine.analysis.figures import key_figures, outcomes
from felsina.engine.analysis.plots import hourly_range, pictures
from felsina.jobs import report
from felsina.jobs.cli import main


class Page(HTMLParser):
    """Counts what opens and closes, and keeps texts and attributes."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.stack, self.tags, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [a for t, a in self.tags if t == tag]

    @property
    def text(self):
        return " ".join(self.words)


@pytest.fixture(scope="module")
def page(finished_run):
    """The report of the small run."""
    assert main(["report", str(finished_run), "-q"]) == 0
    return Page((finished_run / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def drawn(finished_run):
    return {p.name: p for p in pictures(felsina.open(finished_run))}


def partial(run, folder, *names):
    folder.mkdir()
    for name in names:
        shutil.copy(run / name, folder / name)
    return folder


def test_every_element_closes_and_every_picture_has_words(page):
    assert page.stack == []
    assert page.all("html")[0]["lang"] == "en" and len(page.all("h1")) == 1
    assert len(page.all("img")) == len(page.all("figure")) == 7
    assert all(len(a["alt"]) > 20 for a in page.all("img"))
    assert all(a.get("scope") == "col" for a in page.all("th"))


def test_the_page_loads_nothing(finished_run, page):
    text = (finished_run / "report.html").read_text(encoding="utf-8")
    assert not page.all("script") and not page.all("link")
    assert all(a["src"].startswith("data:image/png;base64,") for a in page.all("img"))
    outside = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", text)
    assert "http:" not in outside and "https:" not in outside and "url(" not in outside and "@import" not in outside


def test_what_comes_from_files_is_escaped(finished_run, page):
    text = (finished_run / "report.html").read_text(encoding="utf-8")
    for raw in ("Small <quarter>", "A & <B>", "Wind was <assumed>."):
        assert raw not in text and raw in page.text


def test_figures_quality_inputs_and_notes_are_there(page):
    for words in ("EPSG:7791", "height from attributes", "no points", "CC0-1.0", "felsina.open('run')", "city.vtkhdf", "1.2 s"):
        assert words in page.text, words


def test_energy_totals_are_the_sums_of_the_rows(finished_run):
    figures = {f.name: f for f in key_figures(felsina.open(finished_run))["Energy of a year"]}
    # 40 x 6000 + 155 x 2300 + 96.5 x 2400 + 120 x 3400 kWh over 14,100 m2
    assert figures["heating need"].value == "1\u202f236 MWh"
    assert figures["heating need"].remark.startswith("87.7 kWh")
    assert figures["simulated"].value == "4"


def test_the_warmest_hour_is_in_local_standard_time(finished_run):
    # The air follows cos((h - 14.5)/24 2 pi) at the hours h = 0..23: 14 and 15 are equally warm, the first one is named.
    figures = {f.name: f for f in key_figures(felsina.open(finished_run))["Heat"]}
    assert figures["warmest hour"].value == "14:00–15:00"
    assert "2015-07-15" in figures["warmest hour"].remark


def test_the_frame_counts_in_no_statistics(finished_run):
    air = felsina.open(finished_run)["microclimate"].dataset["air_temperature"]
    low, _, high = hourly_range(air, 0.0)
    inner_low, _, inner_high = hourly_range(air, 20.0)
    assert (inner_low > low).all() and (inner_high < high).all()  # the air warms towards the east


def test_outcomes_count_every_row_once(finished_run):
    rows = outcomes(felsina.open(finished_run)["buildings"].dataset, "building")
    assert rows == [("success", "none", 4), ("fallback", "height from attributes", 1), ("failed", "no points", 1)]


def test_pictures_are_the_same_when_drawn_again(finished_run, drawn):
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 30, "image.cmap": "jet", "axes.facecolor": "red"}):
        again = {p.name: p.data for p in pictures(felsina.open(finished_run))}
    assert again == {n: p.data for n, p in drawn.items()}


def test_pictures_are_1200_pixels_wide(drawn):
    assert {images.imread(io.BytesIO(p.data)).shape[1] for p in drawn.values()} == {1200}


def test_a_building_has_the_colour_of_its_own_need(drawn):
    # b-4 needs least (40) and b-2 most (155) of the four results: the ends of the reversed map, wherever the limits are cut.
    pixels = images.imread(io.BytesIO(drawn["energy"].data))[..., :3]
    for x, y, value in ((75, 77, 1.0), (120, 20, 0.0)):  # metres from the south-west corner of 160 x 120
        seen = pixels[int(8 + (120 - y) / 160 * 1027), int(8 + x / 160 * 1027)]
        np.testing.assert_allclose(seen, colormaps["viridis"](value)[:3], atol=0.03)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("terrain.nc",), ["height"]),
        (("buildings.nc",), []),
        (("buildings.nc", "energy.nc"), ["energy_chart"]),
        (("city.nc",), ["energy"]),
        (("microclimate.nc",), ["air_temperature", "surface_temperature", "day_curve", "sky_view_factor"]),
    ],
)
def test_a_partial_run_shows_what_it_has_and_names_what_it_lacks(finished_run, tmp_path, files, expected):
    folder = partial(finished_run, tmp_path / "part", *files)
    assert main(["report", str(folder), "-q"]) == 0
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert sorted(p.stem for p in (folder / "pictures").iterdir()) == sorted(expected)
    assert "Not there:" in page.text and page.stack == []


def test_without_a_product_it_exits_5(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 5
    assert "felsina run" in capsys.readouterr().err


def test_without_the_extra_it_exits_4_or_says_so(finished_run, monkeypatch, capsys):
    monkeypatch.setattr(report, "NEEDED", ("xarray", "no_such_module"))
    assert main(["report", str(finished_run)]) == 4
    assert "needs no_such_module. Install felsina[analysis]" in capsys.readouterr().err
    assert main(["report", str(finished_run), "--if-possible"]) == 0
    assert capsys.readouterr().out.count("\n") == 1


def test_the_basemap_gives_level_ground_one_shade_and_lights_the_north_west():
    level = hillshade(np.zeros((5, 7)), 1.0)
    np.testing.assert_allclose(level, np.sqrt(0.5), rtol=1e-15)
    y, x = np.mgrid[:5, :7].astype(float)
    towards_light = hillshade(y + x, 1.0)  # rises to the south-east: faces north-west
    # n = (-1, 1, 1)/sqrt(3), s = (-1/2, 1/2, 1/sqrt(2))
    np.testing.assert_allclose(towards_light, (1 + np.sqrt(0.5)) / np.sqrt(3), rtol=1e-12)
    assert (hillshade(-y - x, 1.0) == 0).all()


def test_scale_bars_are_round():
    assert [round_length(v) for v in (1.0, 1.99, 7.0, 33.0, 51.2, 1e4)] == [1.0, 1.0, 5.0, 20.0, 50.0, 1e4]


def test_colour_limits_keep_the_bulk_and_say_what_they_cut():
    values = np.r_[np.full(500, 20.0), np.full(500, 30.0), 90.0, np.nan]
    assert limits(values) == (20.0, 30.0, "max")
    assert limits(np.full(9, np.nan)) == (0.0, 1.0, "neither")
    low, high, _ = limits(np.full(9, 5.0))
    assert low < high


def test_outlines_leave_the_diagonals_of_triangles_out(finished_run):
    footprints = Footprints.of(felsina.open(finished_run)["city"].dataset)
    assert len(footprints.triangles) == 10 and len(footprints.outlines) == 20
    assert (np.abs(np.diff(footprints.outlines, axis=1)) < 1e-9).any(axis=2).all()  # every edge runs along an axis
