"""IDX files: round trips, damage, and headers that promise too much."""

import gzip
import struct
import tracemalloc

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from admm.datasets.idx import read_idx
from admm.errors import InputError


def idx(array):
    """The bytes of an IDX file."""
    shape = array.shape
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def header(*shape):
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def images(count=3):
    return np.random.default_rng(0).integers(0, 256, (count, 4, 5), np.uint8)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "file"


@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4, max_side=9)),
    zipped=st.booleans(),
)
def test_round_trip(path, array, zipped):
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    found = read_idx(path, array.ndim)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with 00 00 08 03, got an empty file"),
        (b"\0\0\x08", "got 00 00 08$"),
        (idx(images()[0]), "with dimension 3, which begins with 00 00 08 03, got 00 00 08 02"),
        (b"\0\0\x0d\x03" + bytes(100), "of unsigned bytes .* got 00 00 0d 03"),
        (b"<!DOCTYPE html>", "got 3c 21 44 4f"),
        (idx(images())[:15], "ends within its header of 16 bytes"),
        (idx(images())[:-1], r"announces 60 bytes, shape \(3, 4, 5\), got 59; fetch"),
        (idx(images()) + b"\0", r"announces 60 bytes, shape \(3, 4, 5\), got more; fetch"),
        (header(3, 0, 5), "announces 0 bytes, .* expected between 1 and 1,073,741,824"),
        (header(2**30, 2, 1), r"announces 2,147,483,648 bytes, shape \(1073741824, 2, 1\)"),
        (header(*[2**32 - 1] * 3), "expected between 1 and 1,073,741,824"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_files(path, content, zipped, message):
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(InputError, match=message):
        read_idx(path, 3)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="none is not a readable IDX file .*No such file"):
        read_idx(tmp_path / "none", 1)


@pytest.mark.parametrize("keep", [5, 12, 40, -1])
def test_truncated_gzip(path, keep):
    path.write_bytes(gzip.compress(idx(images()))[:keep])
    with pytest.raises(InputError, match="not a readable IDX file .*; fetch it again"):
        read_idx(path, 3)


def test_gzip_with_a_wrong_checksum(path):
    content = bytearray(gzip.compress(idx(images())))
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a readable IDX file .*CRC check failed"):
        read_idx(path, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(images()) + bytes(2**26), "got more"),  # an archive that unpacks to far more
        (header(1000, 1000, 1000), "announces 1,000,000,000 bytes, .* got 0"),
    ],
)
def test_memory_is_taken_for_neither_bombs_nor_promises(path, content, message):
    path.write_bytes(gzip.compress(content))
    del content
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message):
            read_idx(path, 3)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@given(data=st.data(), zipped=st.booleans())
def test_damage_is_noticed_or_harmless(path, data, zipped):
    """One bit flipped or the end cut off: an InputError, or an array of the right shape."""
    whole = gzip.compress(idx(images())) if zipped else idx(images())
    content = bytearray(whole)
    if data.draw(st.booleans(), label="cut"):
        del content[data.draw(st.integers(0, len(whole) - 1)) :]
    else:
        bit = data.draw(st.integers(0, 8 * len(whole) - 1))
        content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    try:
        found = read_idx(path, 3)
    except InputError:
        return
    assert len(content) == len(whole)
    assert found.size == images().size
    # A plain file has no checksum: a bit of a pixel may be another. The gzip has one.
    assert np.count_nonzero(found.ravel() != images().ravel()) <= (0 if zipped else 1)
