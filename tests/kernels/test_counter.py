import numpy as np
import pytest

from felsina.kernels.counter import philox, uniform


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        # Known answers of Random123 (Salmon et al. 2011, file kat_vectors): zeros, ones, digits of pi.
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_words(counter, key, words):
    assert tuple(int(w) for w in philox(*map(np.uint64, counter + key))) == words


def test_an_entity_keeps_its_numbers_whatever_is_drawn_beside_it():
    many = uniform(7, 3, np.arange(1000, dtype=np.uint64), 12)
    np.testing.assert_array_equal(uniform(7, 3, np.array([17, 999], np.uint64), 5), many[[17, 999], :5])


def test_seed_stream_and_entity_all_change_the_numbers():
    one = np.array([5], np.uint64)
    draws = [uniform(1, 1, one, 8), uniform(2, 1, one, 8), uniform(1, 2, one, 8), uniform(1, 1, one + np.uint64(1 << 32), 8)]
    draws.append(uniform(1 + (1 << 32), 1, one, 8))
    assert len({d.tobytes() for d in draws}) == len(draws)


def test_uniform_numbers_have_the_moments_of_the_unit_interval():
    u = uniform(1, 1, np.arange(50_000, dtype=np.uint64), 4).ravel()
    # Five standard errors of the mean of 200,000: 5 / sqrt(12 * 200,000) = 0.0032.
    assert abs(u.mean() - 0.5) < 0.0033
    assert abs(u.var() - 1.0 / 12.0) < 0.001
    assert u.min() > 0.0
    assert u.max() < 1.0
    assert uniform(1, 1, np.empty(0, np.uint64), 4).shape == (0, 4)
