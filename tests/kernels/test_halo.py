import numpy as np
import pytest

from felsina.kernels.halo import box_size, pack, unpack

SHAPE = (5, 7, 9)
BOXES = ((0, 5, 0, 2, 0, 9), (1, 4, 5, 7, 2, 3), (2, 2, 0, 7, 0, 9), (0, 5, 2, 5, 7, 9))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_boxes_come_out_of_the_buffer_as_they_went_in(dtype):
    rng = np.random.default_rng(0)
    array, target = rng.integers(0, 250, SHAPE).astype(dtype), np.zeros(SHAPE, dtype)
    buffer = np.zeros(2 + sum(map(box_size, BOXES)), dtype)
    stop = 2
    for box in BOXES:
        first, stop = stop, pack(array, box, buffer, stop)
        assert stop - first == box_size(box)
    assert stop == buffer.size and (buffer[:2] == 0).all()
    start, touched = 2, np.zeros(SHAPE, bool)
    for box in BOXES:
        start = unpack(buffer, start, box, target)
        touched[box[0] : box[1], box[2] : box[3], box[4] : box[5]] = True
    np.testing.assert_array_equal(target, np.where(touched, array, 0))


def test_a_box_is_packed_layer_by_layer_row_by_row():
    array, buffer = np.arange(24, dtype=np.int32).reshape(2, 3, 4), np.zeros(8, np.int32)
    pack(array, (0, 2, 1, 3, 1, 3), buffer)
    assert buffer.tolist() == [5, 6, 9, 10, 17, 18, 21, 22]


def test_bits_of_a_nan_are_kept():
    array = np.array([0x7FA00001], np.uint32).view(np.float32).reshape(1, 1, 1)
    buffer = np.zeros(1, np.float32)
    pack(array, (0, 1, 0, 1, 0, 1), buffer)
    assert buffer.view(np.uint32)[0] == 0x7FA00001


def test_what_does_not_fit_is_refused():
    array, buffer = np.zeros(SHAPE, np.float32), np.zeros(10, np.float32)
    with pytest.raises(ValueError, match="does not fit a buffer"):
        pack(array, (0, 1, 0, 1, 0, 9), buffer, 2)
    with pytest.raises(ValueError, match="reaches beyond"):
        unpack(buffer, 0, (0, 1, 0, 1, 5, 10), array)
    with pytest.raises(TypeError, match="through a buffer of float64"):
        pack(array, (0, 1, 0, 1, 0, 1), buffer.astype(np.float64))
    assert pack(array, (0, 0, 0, 7, 0, 9), buffer, 10) == 10
