import re
import struct
from fractions import Fraction

import laspy
import numpy as np
import pyproj
import pytest

from felsina.engine.errors import InputError, UsageError
from felsina.engine.io.las import Points, read_chunks, read_header, scan_headers, write_classes

ORIGIN = (684_000.0, 4_930_000.0)  # north-west corner of a grid in EPSG:7791, near Bologna


def write(
    path,
    x,
    y,
    z,
    crs="EPSG:7791",
    scale=0.001,
    offset=(684_000.0, 4_929_000.0, 0.0),
    point_format=6,
    wkt=None,
    chunk=None,
    **columns,
):
    """Write a small LAS or LAZ file."""
    header = laspy.LasHeader(version="1.4" if point_format >= 6 else "1.2", point_format=point_format)
    header.scales, header.offsets = np.full(3, scale), np.array(offset)
    if crs:
        header.add_crs(pyproj.CRS.from_user_input(crs))
    if wkt:
        header.vlrs.append(laspy.vlrs.known.WktCoordinateSystemVlr(wkt))
        header.global_encoding.wkt = True
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = np.asarray(x, float), np.asarray(y, float), np.asarray(z, float)
    for name, values in columns.items():
        cloud[name] = values
    cloud.write(str(path), laz_backend=laspy.LazBackend.Lazrs if path.suffix == ".laz" else None)
    return path


def cloud(n, seed=1):
    """Return x, y, z of n points on whole millimetres south-east of ORIGIN."""
    generator = np.random.default_rng(seed)
    x, y, z = (generator.integers(0, 500_000, n) / 1000 for _ in range(3))
    return 684_000.0 + x, 4_929_400.0 + y, z


def one(path, crs=None):
    return scan_headers([path], crs)[0]


def read(file, origin=ORIGIN, first=0, count=None, **options):
    parts = list(read_chunks(file, first, file.count - first if count is None else count, origin, **options))
    columns = {name: np.concatenate([p.columns()[name] for p in parts]) for name in parts[0].columns()}
    return columns, {reason: sum(p.dropped[reason] for p in parts) for reason in parts[0].dropped}


# -- coordinates ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["las", "laz"])
@pytest.mark.parametrize("point_format", [1, 6, 7])
def test_coordinates_are_the_millimetres_of_the_file(tmp_path, suffix, point_format):
    x, y, z = cloud(1000)
    columns, _ = read(one(write(tmp_path / f"a.{suffix}", x, y, z, point_format=point_format)))
    np.testing.assert_array_equal(columns["x"], np.rint((x - ORIGIN[0]) * 1000))
    np.testing.assert_array_equal(columns["y"], np.rint((ORIGIN[1] - y) * 1000))
    np.testing.assert_array_equal(columns["z"], np.rint(z * 1000))


def test_one_coordinate_gives_one_millimetre_whatever_scale_and_offset_the_file_has(tmp_path):
    # Quarter millimetres hit the tie of the rounding, where binary fractions of scale and offset would decide by chance.
    quarter = np.arange(4000)
    x, y, z = 684_100.0 + quarter * 0.00025, 4_929_500.0 + quarter * 0.00025, 50.0 + quarter * 0.00025
    expected = (100_000 + np.floor(quarter / 4 + 0.5)).astype(int)
    for k, offset in enumerate(
        [(684_000.0, 4_929_000.0, 0.0), (684_100.1, 4_929_499.7, 0.3), (683_999.99975, 4_929_123.45, 7.0)]
    ):
        for scale in (0.00025, 0.00005):
            file = one(write(tmp_path / f"{k}{scale}.laz", x, y, z, scale=scale, offset=offset))
            columns, _ = read(file)
            np.testing.assert_array_equal(columns["x"], expected)
            np.testing.assert_array_equal(columns["z"], 50_000 + np.floor(quarter / 4 + 0.5))
            np.testing.assert_array_equal(columns["y"], 500_000 - np.floor(quarter / 4 + 0.5))


def test_moving_the_corner_of_the_grid_moves_every_point_by_as_much(tmp_path):
    file = one(write(tmp_path / "a.laz", *cloud(500), scale=0.00025))
    here, there = read(file)[0], read(file, (ORIGIN[0] - 1234.567, ORIGIN[1] + 89.001))[0]
    assert set(there["x"] - here["x"]) == {1_234_567}
    assert set(there["y"] - here["y"]) == {89_001}
    np.testing.assert_array_equal(there["z"], here["z"])


def test_a_scale_that_no_decimal_stands_for_is_rounded_in_floating_point(tmp_path):
    scale = 0.001 * np.sqrt(2)
    raw = np.arange(0, 100_000, 37)
    x = 684_000.0 + raw * scale
    columns, _ = read(one(write(tmp_path / "a.las", x, x * 0 + 4_929_500.0, x * 0, scale=scale)))
    # The nearest millimetre, to half of one and the rounding of the coordinate itself.
    assert np.abs(columns["x"] - (x - ORIGIN[0]) * 1000).max() <= 0.5 + 1e-6


def test_bounds_hold_every_point_with_east_and_south_edges_outside(tmp_path):
    file = one(write(tmp_path / "a.laz", [684_000.0, 684_100.0], [4_929_900.0, 4_930_000.0], [1.0, 2.5]))
    west, south, east, north = file.bounds
    assert (west, north) == (684_000.0, 4_930_000.0)
    assert 684_100.0 < east <= 684_100.001
    assert 4_929_899.999 <= south < 4_929_900.0
    assert file.heights == (1.0, 2.5)


# -- classes and flags ----------------------------------------------------------------------------------------------------


def test_noise_and_withheld_points_are_dropped_and_counted_and_overlap_is_kept(tmp_path):
    x, y, z = cloud(8)
    classes = np.array([2, 7, 18, 6, 65, 1, 7, 5], np.uint8)
    withheld, overlap = np.array([0, 0, 0, 1, 0, 0, 1, 0]), np.array([1, 1, 0, 0, 0, 0, 0, 1])
    path = write(tmp_path / "a.laz", x, y, z, classification=classes, withheld=withheld, overlap=overlap)
    columns, dropped = read(one(path))
    np.testing.assert_array_equal(columns["classification"], [2, 1, 5])
    np.testing.assert_array_equal(columns["number"], [0, 5, 7])
    assert dropped == {"noise": 3, "withheld": 2, "overlap": 2}


def test_all_points_are_kept_as_they_are_when_asked(tmp_path):
    classes = np.array([2, 7, 67, 18], np.uint8)
    columns, dropped = read(one(write(tmp_path / "a.laz", *cloud(4), classification=classes)), keep_all=True)
    np.testing.assert_array_equal(columns["classification"], classes)
    assert not any(dropped.values())


@pytest.mark.parametrize(
    ("point_format", "given", "expected"),
    [
        (6, [0, 1, 10, 11, 12, 17, 20, 26, 67, 200], [1, 1, 2, 2, 12, 17, 2, 17, 6, 200]),
        (1, [0, 8, 12, 26, 9], [1, 2, 1, 17, 9]),
    ],
)
def test_classes_are_translated_by_the_table(tmp_path, point_format, given, expected):
    path = write(tmp_path / "a.laz", *cloud(len(given)), point_format=point_format, classification=np.array(given, np.uint8))
    np.testing.assert_array_equal(read(one(path))[0]["classification"], expected)


def test_legacy_flags_do_not_leak_into_the_class(tmp_path):
    path = write(
        tmp_path / "a.laz", *cloud(4), point_format=3, classification=np.array([2, 2, 6, 2], np.uint8),
        synthetic=np.array([1, 0, 0, 0]), key_point=np.array([0, 1, 0, 0]), withheld=np.array([0, 0, 0, 1]),
    )  # fmt: skip
    columns, dropped = read(one(path))
    np.testing.assert_array_equal(columns["classification"], [2, 2, 6])
    assert dropped["withheld"] == 1


@pytest.mark.parametrize("point_format", [3, 8])
def test_returns_and_optional_columns_are_read(tmp_path, point_format):
    n = 50
    number, of = np.arange(n) % 3 + 1, np.full(n, 3)
    extra = {"intensity": np.arange(n) * 7, "red": np.arange(n) * 11, "green": np.arange(n), "blue": np.arange(n) + 5}
    extra |= {"nir": np.arange(n) * 13} if point_format == 8 else {}
    path = write(
        tmp_path / "a.laz", *cloud(n), point_format=point_format, return_number=number, number_of_returns=of, **extra
    )  # fmt: skip
    columns, _ = read(one(path), columns=("red", "nir", "intensity"))
    np.testing.assert_array_equal(columns["return_number"], number)
    np.testing.assert_array_equal(columns["number_of_returns"], of)
    np.testing.assert_array_equal(columns["red"], extra["red"])
    np.testing.assert_array_equal(columns["intensity"], extra["intensity"])
    np.testing.assert_array_equal(columns["nir"], extra.get("nir", np.zeros(n)))
    assert "green" not in columns


# -- CRS and units --------------------------------------------------------------------------------------------------------


def test_a_missing_crs_names_the_file_and_the_key(tmp_path):
    path = write(tmp_path / "nowhere.laz", *cloud(5), crs=None)
    with pytest.raises(InputError, match=r"nowhere\.laz.*\[city\] crs"):
        scan_headers([path], None)
    assert one(path, "EPSG:7791").crs == "EPSG:7791"


def test_a_contradiction_names_both_crs(tmp_path):
    path = write(tmp_path / "a.laz", *cloud(5))
    with pytest.raises(InputError, match=r"EPSG:7791.*EPSG:25833"):
        scan_headers([path], "EPSG:25833")


def test_files_that_contradict_each_other_are_refused(tmp_path):
    files = [write(tmp_path / "a.laz", *cloud(5)), write(tmp_path / "b.laz", *cloud(5), crs="EPSG:3003")]
    with pytest.raises(InputError, match=r"a\.laz|b\.laz"):
        scan_headers(files, None)


@pytest.mark.parametrize("suffix", ["las", "laz"])
@pytest.mark.parametrize("point_format", [0, 1, 6])
def test_strip_and_second_of_every_point_are_read(tmp_path, suffix, point_format):
    n = 400
    source = np.arange(n) * 150
    # Adjusted GPS time as in LAS 1.4; a day after 2**16 s the second is that of the remainder, before zero too.
    time = np.r_[np.linspace(2.5e8, 2.5e8 + 200_000, n - 1), -0.25]
    extra = {"gps_time": time} if point_format else {}
    path = write(tmp_path / f"a.{suffix}", *cloud(n), point_format=point_format, point_source_id=source, **extra)
    columns, _ = read(one(path), columns=("gps_second", "point_source_id"))
    np.testing.assert_array_equal(columns["point_source_id"], source)
    expected = np.floor(time) % 65_536 if point_format else np.zeros(n)
    np.testing.assert_array_equal(columns["gps_second"], expected)


@pytest.mark.parametrize(
    ("header", "city"), [("EPSG:7791", "EPSG:6707"), ("EPSG:6707", "EPSG:7791"), ("EPSG:7791+5214", "EPSG:7791")]
)
def test_axis_order_and_a_vertical_part_are_no_contradiction(tmp_path, header, city):
    path = write(tmp_path / "a.laz", *cloud(5), crs=None, wkt=pyproj.CRS(header).to_wkt("WKT2_2019"))
    file = one(path, city)
    assert file.crs == city
    assert (file.bounds is not None) and 684_000 <= file.bounds[0] < 684_500
    assert any("north first" in note for note in file.notes) == (header == "EPSG:6707")


def test_x_and_y_swapped_are_told(tmp_path):
    x, y, z = cloud(5)
    path = write(tmp_path / "a.laz", y, x, z, offset=(4_929_000.0, 684_000.0, 0.0))
    with pytest.raises(InputError, match="swapped"):
        scan_headers([path], None)


def test_coordinates_far_outside_the_area_of_the_crs_are_refused(felsina_data):
    delft = felsina_data / "lidar/3dfier_delft_ahn3/ahn3_cropped_2.laz"
    assert one(delft, "EPSG:28992").crs == one(delft, "EPSG:7415").crs == "EPSG:28992"
    with pytest.raises(InputError, match=r"ahn3_cropped_2\.laz.*outside the area of EPSG:7791"):
        scan_headers([delft], "EPSG:7791")


def test_degrees_are_refused(tmp_path):
    path = write(tmp_path / "a.laz", [11.3, 11.4], [44.4, 44.5], [0, 1], crs="EPSG:4326", scale=1e-7, offset=(11.0, 44.0, 0.0))
    with pytest.raises(InputError, match="eastings and northings"):
        scan_headers([path], None)
    with pytest.raises(UsageError, match="EPSG:nonsense"):
        scan_headers([path], "EPSG:nonsense")


@pytest.mark.parametrize(
    ("crs", "metres", "foot"),
    [("EPSG:2264", "EPSG:32119", Fraction(1200, 3937)), ("EPSG:2256", "EPSG:32100", Fraction(3048, 10_000))],
)
def test_feet_become_metres_of_the_same_projection(tmp_path, crs, metres, foot):
    to_feet = pyproj.Transformer.from_crs(metres, crs, always_xy=True)
    x0, y0 = (np.array([600_000.0, 600_123.456]), np.array([200_000.0, 200_077.7]))
    x, y = to_feet.transform(x0, y0)
    path = write(tmp_path / "a.laz", x, y, [10.0, 100.0], crs, point_format=1, offset=(np.floor(x[0]), np.floor(y[0]), 0.0))
    for city in (None, crs, metres):
        file = one(path, city)
        assert (file.horizontal, file.vertical) == (foot, foot)
        assert any("feet to metres" in note for note in file.notes)
        columns, _ = read(file, (600_000.0, 200_100.0))
        # The file rounds to a thousandth of a foot, and EPSG gives false eastings in feet to 3 mm.
        np.testing.assert_allclose(columns["x"], [0, 123_456], atol=4)
        np.testing.assert_allclose(columns["y"], [100_000, 22_300], atol=4)
        np.testing.assert_array_equal(columns["z"], np.floor(np.array([10_000, 100_000]) * float(foot) + 0.5))
        # The working CRS says metres: the file's own CRS leads to the same coordinates by way of PROJ.
        there = pyproj.Transformer.from_crs(crs, file.crs, always_xy=True).transform(x, y)
        np.testing.assert_allclose(there, [x0, y0], atol=0.004)
        assert all(axis.unit_name == "metre" for axis in pyproj.CRS(file.crs).axis_info)


def test_heights_in_feet_over_metres_are_converted_alone(tmp_path):
    wkt = pyproj.CRS("EPSG:26917+6360").to_wkt("WKT1_GDAL")  # NAVD88 in US survey feet
    path = write(tmp_path / "a.laz", [500_000.0], [5_000_000.0], [3937.0], None, offset=(5e5, 5e6, 0.0), wkt=wkt)
    file = one(path)
    assert (file.horizontal, file.vertical) == (1, Fraction(1200, 3937))
    assert read(file, (499_000.0, 5_001_000.0))[0]["z"][0] == 1_200_000


def test_the_real_file_in_feet_is_read_in_metres(felsina_data):
    file = one(felsina_data / "lidar/pdal/autzen_trim.laz")
    assert file.horizontal == Fraction(3048, 10_000)
    # The header's corners (636001.76, 848935.20) ft.
    assert abs(file.bounds[0] - 636_001.76 * 0.3048) <= 0.0005
    columns, _ = read(file, (np.floor(file.bounds[0]), np.ceil(file.bounds[3])))
    stored = laspy.read(file.path)
    height = np.asarray(stored.z) * 304.8
    assert np.abs(columns["z"] - height).max() <= 0.5 + 1e-6  # the nearest millimetre


# -- damaged and odd files ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(felsina_data):
    return (felsina_data / "lidar/3dfier_delft_ahn3/ahn3_cropped_2.laz").read_bytes()


def read_delft(path):
    return read(one(path, "EPSG:28992"), (84_000.0, 448_000.0))


@pytest.mark.parametrize("cut", [0, 3, 100, 226, 227, 300, 375, 390, 1000, 585_053, -2000, -100, -25, -10, -1])
def test_a_truncated_laz_is_one_sentence(tmp_path, whole, cut):
    path = tmp_path / "cut.laz"
    path.write_bytes(whole[:cut])
    with pytest.raises(InputError, match=r"cut\.laz"):
        read_delft(path)


@pytest.mark.parametrize("more", [1, 5, 1000, 50_000, 1_000_000_000])
def test_a_header_that_promises_more_points_than_the_laz_holds_is_refused_with_both_counts(tmp_path, whole, more):
    path = tmp_path / "short.laz"
    path.write_bytes(whole[:107] + struct.pack("<I", 208_432 + more) + whole[111:])
    with pytest.raises(InputError, match=rf"short\.laz.*{208_432 + more:,}") as caught:
        read_delft(path)
    assert re.search(r"(holds|gives) (at most|no more than) [\d,]+", str(caught.value))


def test_a_las_that_is_cut_tells_how_many_points_it_holds(tmp_path):
    path = write(tmp_path / "a.las", *cloud(100))
    path.write_bytes(path.read_bytes()[:-75])  # two points and a half of 30 bytes each
    with pytest.raises(InputError, match=r"holds 97 points but its header promises 100"):
        scan_headers([path], None)


def test_a_file_that_is_cut_between_header_and_reading_is_refused(tmp_path):
    path = write(tmp_path / "a.las", *cloud(100))
    file = one(path)
    path.write_bytes(path.read_bytes()[:-75])
    with pytest.raises(InputError, match=r"holds 97 points but its header promises 100"):
        read(file)


def test_damaged_points_are_found_by_the_bounds_of_the_header(tmp_path):
    path = write(tmp_path / "a.las", *cloud(100))
    content = bytearray(path.read_bytes())
    content[-30:-26] = struct.pack("<i", 2_000_000_000)
    path.write_bytes(content)
    with pytest.raises(InputError, match="outside the bounds"):
        read(one(path))


def test_other_files_are_no_las(tmp_path):
    (tmp_path / "a.laz").write_text("Not Found")
    with pytest.raises(InputError, match="no LAS or LAZ"):
        scan_headers([tmp_path / "a.laz"], None)
    with pytest.raises(InputError, match="cannot be read"):
        scan_headers([tmp_path / "absent.laz"], None)


@pytest.mark.parametrize("suffix", ["las", "laz"])
def test_an_empty_tile_is_noted_beside_others_and_an_error_alone(tmp_path, suffix):
    empty = write(tmp_path / f"empty.{suffix}", [], [], [])
    full = write(tmp_path / "full.laz", *cloud(10))
    files = scan_headers([empty, full], None)
    assert files[0].count == 0 and files[0].bounds is None and "no points" in files[0].notes[0]
    assert list(read_chunks(files[0], 0, 0, ORIGIN)) == []
    with pytest.raises(InputError, match="no points at all"):
        scan_headers([empty], None)


# -- chunks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["3dfier_delft_ahn3/ahn3_cropped_2.laz", "pdal/lone-star.copc.laz"])
def test_any_part_of_a_file_is_that_part_of_the_whole(felsina_data, name):
    file, _ = read_header(felsina_data / "lidar" / name)
    origin = (np.floor(file.stated_bounds[0]), np.ceil(file.stated_bounds[4]))
    everything = laspy.read(file.path)
    x = np.rint((np.asarray(everything.x) - origin[0]) * 1000 + 1e-7)
    for first, count in [(0, 212), (212, 1), (49_999, 2), (123_456, 60_000), (file.count - 1, 1)]:
        columns, _ = read(file, origin, first, count, keep_all=True, chunk=20_000)
        assert len(columns["x"]) == count
        assert np.abs(columns["x"] - x[first : first + count]).max() <= 1  # ties of quarter millimetres
        np.testing.assert_array_equal(columns["number"], np.arange(first, first + count))
        np.testing.assert_array_equal(columns["classification"], np.asarray(everything.classification)[first : first + count])


def test_copc_is_read_in_file_order_and_says_so(felsina_data):
    file, _ = read_header(felsina_data / "lidar/pdal/lone-star.copc.laz")
    assert file.chunk_first[-1] == file.count == 518_862
    assert len(set(np.diff(file.chunk_first))) > 1  # chunks of varying size
    assert any("COPC" in note for note in file.notes)
    with pytest.raises(InputError, match="EPSG:32614"):  # its header says geocentric, which its coordinates are not
        scan_headers([file.path], "EPSG:32614")


def test_threads_and_chunk_size_change_nothing(felsina_data):
    file = one(felsina_data / "lidar/3dfier_delft_ahn3/ahn3_cropped_2.laz", "EPSG:28992")
    first, _ = read(file, (84_000.0, 448_000.0))
    for options in ({"chunk": 1}, {"chunk": 120_000, "threads": 2}):
        other, _ = read(file, (84_000.0, 448_000.0), **options)
        for name, values in first.items():
            np.testing.assert_array_equal(other[name], values)


def test_extra_dimensions_do_not_disturb(felsina_data):
    file = one(felsina_data / "lidar/ign_lidarhd/870000_6618000.postValidation.laz")
    columns, _ = read(file, (870_000.0, 6_618_000.0), keep_all=True, columns=("red", "nir"))
    stored = laspy.read(file.path)
    np.testing.assert_array_equal(columns["classification"], np.asarray(stored.classification))
    np.testing.assert_array_equal(columns["nir"], np.asarray(stored.nir))
    np.testing.assert_array_equal(columns["red"], np.asarray(stored.red))


def test_points_are_taken_with_all_their_columns():
    points = Points.empty(5, ("red",))
    points.number[:] = np.arange(5)
    points.extra["red"][:] = np.arange(5) * 2
    chosen = points.take(np.array([3, 1]))
    assert len(chosen) == 2
    np.testing.assert_array_equal(chosen.extra["red"], [6, 2])


# -- classes written back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "ign_lidarhd/870000_6618000.postValidation.laz",
        "3dfier_delft_ahn3/ahn3_cropped_2.laz",
        "pdal/autzen_trim.laz",
        "lidR/Topography.laz",
    ],
)
def test_written_classes_leave_all_else_as_it_was(tmp_path, felsina_data, name):
    source = felsina_data / "lidar" / name
    before = laspy.read(source)
    classes = (np.arange(len(before.points)) % 7).astype(np.uint8)
    write_classes(source, tmp_path / "out.laz", classes)
    after = laspy.read(tmp_path / "out.laz")
    np.testing.assert_array_equal(np.asarray(after.classification), classes)
    assert list(after.point_format.dimension_names) == list(before.point_format.dimension_names)
    for dimension in before.point_format.dimension_names:
        if dimension != "classification":
            np.testing.assert_array_equal(np.asarray(after[dimension]), np.asarray(before[dimension]))
    for attribute in ("version", "creation_date", "system_identifier", "generating_software", "uuid", "file_source_id"):
        assert getattr(after.header, attribute) == getattr(before.header, attribute)
    assert after.header.global_encoding.value == before.header.global_encoding.value
    np.testing.assert_array_equal(after.header.scales, before.header.scales)
    np.testing.assert_array_equal(after.header.offsets, before.header.offsets)

    def records(cloud):
        return sorted(description(v) for v in cloud.header.vlrs if v.record_id != 22_204)

    def description(record):
        data = record.record_data_bytes()
        if (record.user_id, record.record_id) == ("LASF_Spec", 4):
            # One structure of 192 bytes per extra dimension; laspy states its range (bytes 3 and 64 to 112) anew.
            data = b"".join(data[k : k + 3] + data[k + 4 : k + 64] + data[k + 112 : k + 192] for k in range(0, len(data), 192))
        return record.user_id, record.record_id, data

    assert records(after) == records(before)
    assert [p.name for p in tmp_path.iterdir()] == ["out.laz"]


def test_a_copc_index_is_left_out_and_the_order_stays(tmp_path, felsina_data):
    source = felsina_data / "lidar/pdal/lone-star.copc.laz"
    before = laspy.read(source)
    write_classes(source, tmp_path / "out.laz", np.full(len(before.points), 2, np.uint8))
    after = laspy.read(tmp_path / "out.laz")
    np.testing.assert_array_equal(after.X, before.X)
    assert not [v for v in (*after.header.vlrs, *(after.evlrs or ())) if v.user_id == "copc"]


def test_classes_that_do_not_fit_leave_nothing_behind(tmp_path):
    path = write(tmp_path / "in.laz", *cloud(10), point_format=1)
    with pytest.raises(InputError, match=r"10 points but 9 classes"):
        write_classes(path, tmp_path / "out.laz", np.zeros(9, np.uint8))
    with pytest.raises(InputError, match="up to 31"):
        write_classes(path, tmp_path / "out.laz", np.full(10, 64, np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["in.laz"]
