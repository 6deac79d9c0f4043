from pathlib import Path

import pytest

from felsina.engine.city import SECTIONS, city_of, read_city
from felsina.engine.errors import InputError, UsageError
from felsina.engine.options import declared


def write(tmp_path, text):
    path = tmp_path / "city.toml"
    path.write_text(text)
    return path


def test_an_empty_file_is_a_city_of_defaults(tmp_path):
    city = read_city(write(tmp_path, ""))
    assert city.terrain.resolution_m == 0.5
    assert city.energy.method == "5r1c"


def test_an_unknown_key_names_the_nearest_known_one(tmp_path):
    with pytest.raises(UsageError, match=r"\[terrain\] has an unknown key 'resolution'. Did you mean 'resolution_m'\?"):
        read_city(write(tmp_path, "[terrain]\nresolution = 1.0"))


def test_an_unknown_section_names_the_nearest_known_one(tmp_path):
    with pytest.raises(UsageError, match=r"unknown key 'terain'. Did you mean 'terrain'\?"):
        read_city(write(tmp_path, "[terain]\nresolution_m = 1.0"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[terrain]\nresolution_m = 'fine'", "'terrain.resolution_m' is 'fine'; expected a number"),
        ("[terrain]\nresolution_m = true", "expected a number"),
        ("[terrain]\nresolution_m = 0.0", r"Option 'resolution_m' is 0.0; expected 0.1 to 100 \[m\]"),
        ("[heatwave]\nazimuths = 32.5", "expected a whole number"),
        ("[points]\nfiles = 'a.laz'", "expected a list"),
        ("[energy]\nmethod = 'magic'", "Option 'method' is 'magic'; expected one of '5r1c'"),
        ("[heatwave]\nstart = '15 July'", "expected a day"),
        ("[buildings]\nlods = ['1.2', '3.0']", "Option 'lods' is '3.0'; expected one of '1.2', '1.3', '2.2'"),
        ("[buildings]\nlods = ['2.2']", r"Option 'lods' is \['2.2'\]; '1.2' must be one of them"),
        ("[buildings]\nlods = []", r"Option 'lods' is \[\]; '1.2' must be one of them"),
        ("[heatwave]\nresolution_m = 0.7", "expected a whole multiple of 0.5 m"),
        ("[output]\nhourly = ['air_temp']", "Did you mean 'air_temperature'"),
        ("[output.precision]\nutcy = 0.1", "unknown key 'utcy'"),
        ("[landcover.layers]\nwood = 'a.gpkg'", "unknown key 'wood'. Did you mean 'road'"),
        ("[terrain\n", "not valid TOML"),
    ],
)
def test_a_bad_value_gets_a_sentence(tmp_path, text, sentence):
    with pytest.raises(UsageError, match=sentence):
        read_city(write(tmp_path, text))


def test_overrides_win_over_the_file(tmp_path):
    city = read_city(
        write(tmp_path, "[heatwave]\ndays = 5"), ["heatwave.days=1", "city.name=Delft", "points.use_classes=false"]
    )
    assert (city.heatwave.days, city.city.name, city.points.use_classes) == (1, "Delft", False)


def test_an_override_without_a_section_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"not 'section.option=value'"):
        read_city(write(tmp_path, ""), ["days=1"])


def test_an_unset_variable_in_a_path_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_DATA", raising=False)
    city = read_city(write(tmp_path, "[points]\nfiles = ['${NO_SUCH_DATA}/a.laz']"))
    with pytest.raises(UsageError, match=r"uses '\$\{NO_SUCH_DATA\}', which is not set"):
        city.files(city.points.files)


def test_patterns_name_sorted_files_once_relative_to_the_city_file(tmp_path, monkeypatch):
    for name in ("b.laz", "a.laz"):
        (tmp_path / name).touch()
    city = read_city(write(tmp_path, "[points]\nfiles = ['*.laz', 'a.laz']"))
    monkeypatch.chdir("/")
    assert city.files(city.points.files) == [tmp_path / "a.laz", tmp_path / "b.laz"]
    with pytest.raises(InputError, match="names no file"):
        city.files(["*.las"])


def test_execution_is_no_part_of_the_scientific_configuration(tmp_path):
    fine = city_of({"execution": {"tile_m": 97, "threads": 1}}, tmp_path / "c.toml")
    plain = city_of({}, tmp_path / "c.toml")
    assert fine.scientific() == plain.scientific()
    assert "execution" not in plain.scientific()


def test_a_jobs_hash_changes_with_its_own_sections_only(tmp_path):
    plain, warm = (city_of(v, tmp_path / "c.toml") for v in ({}, {"heatwave": {"days": 3}}))
    assert plain.for_job(["terrain"]) == warm.for_job(["terrain"])
    assert plain.for_job(["heatwave"]) != warm.for_job(["heatwave"])


def test_a_source_that_forbids_the_purpose_is_refused(tmp_path):
    with pytest.raises(UsageError, match="may be used for planning, not for 'research'"):
        city_of({"input": [{"path": "a.laz", "purposes": ["planning"]}]}, tmp_path / "c.toml")


def test_every_option_says_what_it_is():
    for kind in SECTIONS.values():
        for row in declared(kind):
            assert row["help"].endswith("."), row["name"]
            assert row["unit"]


def imagery(**options):
    return city_of({"imagery": options}, Path("city.toml")).imagery


def test_images_gains_and_targets_are_options():
    made = imagery(rgbn=["a.tif"], gain={"red": 1, "nir": 0.5}, offset={"red": -0.1})
    assert made.rgbn == ("a.tif",) and made.gain == {"red": 1.0, "nir": 0.5}
    assert imagery(cir=["b.tif"], targets="t.csv").targets == "t.csv"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gain": {"infrared": 1.0}}, "unknown key 'infrared'"),
        ({"gain": {"red": 0.0}}, "imagery.gain.red' is 0.0; expected a number above 0"),
        ({"offset": {"red": float("inf")}, "gain": {"red": 1.0}}, "imagery.offset.red"),
        ({"gain": {"red": 1.0}, "targets": "t.csv"}, "Leave one out"),
        ({"offset": {"red": 0.1}}, "offset without gain"),
    ],
)
def test_calibrations_that_cannot_be_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        imagery(**options)
