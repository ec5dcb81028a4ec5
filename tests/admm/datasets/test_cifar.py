"""CIFAR's records: planes and labels, and damaged files."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from admm.datasets.cifar import read_cifar
from admm.errors import InputError

KINDS = {"cifar10": (10,), "cifar100": (20, 100)}


def records(label_classes, count=4):
    """Pixels (N, 32, 32, 3), labels (N, label bytes) and the bytes of a file of them."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 32, 32, 3), np.uint8)
    labels = random.integers(0, label_classes, (count, len(label_classes)), np.uint8)
    planes = [pixels[..., channel].reshape(count, -1) for channel in range(3)]
    return pixels, labels, np.hstack([labels, *planes]).tobytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("cifar") / "file.bin"


@pytest.mark.parametrize("classes", KINDS.values(), ids=KINDS)
def test_planes_become_channels_and_the_last_label_counts(path, classes):
    pixels, labels, content = records(classes)
    path.write_bytes(content)
    found_pixels, found_labels = read_cifar(path, classes)
    np.testing.assert_array_equal(found_pixels, pixels)
    np.testing.assert_array_equal(found_labels, labels[:, -1])
    assert (found_pixels.dtype, found_labels.dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize(
    ("classes", "content", "message"),
    [
        ((10,), b"", "expected records of 3,073 bytes, .* got 0 bytes; fetch the binary version"),
        ((10,), bytes(3072), "got 3,072 bytes"),
        ((10,), bytes(2 * 3074), "records of 3,073 bytes, .* got 6,148 bytes"),
        ((20, 100), bytes(3 * 3073), "records of 3,074 bytes, .* got 9,219 bytes"),
        ((10,), bytes(3073) + b"\x0a" + bytes(3072), "label 10 of image 1 is out of range; .*0…9"),
        ((20, 100), b"\x14" + bytes(3073), "label 20 of image 0 is out of range; expected 0…19"),
        ((20, 100), b"\0\xff" + bytes(3072), "label 255 of image 0 .* expected 0…99"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_files(path, classes, content, message):
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_cifar(path, classes)


def test_a_file_too_large_is_not_read(path):
    with path.open("wb") as file:
        file.truncate(3073 * 400_000)  # no blocks of the disk are taken
    with pytest.raises(InputError, match="at most 1,073,741,824 bytes, got 1,229,200,000 bytes"):
        read_cifar(path, (10,))
    path.unlink()


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="none.bin is not a readable CIFAR file .*No such file"):
        read_cifar(tmp_path / "none.bin", (10,))


@given(data=st.data(), classes=st.sampled_from(list(KINDS.values())))
def test_damage_is_noticed_or_changes_one_byte(path, data, classes):
    pixels, labels, whole = records(classes)
    content = bytearray(whole)
    if data.draw(st.booleans(), label="cut"):
        del content[data.draw(st.integers(0, len(whole) - 1)) :]
    else:
        bit = data.draw(st.integers(0, 8 * len(whole) - 1))
        content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    try:
        found_pixels, found_labels = read_cifar(path, classes)
    except InputError:
        return
    kept = len(found_labels)
    assert kept * (len(classes) + 3072) == len(content)
    assert found_labels.max() < classes[-1]
    wrong_pixels = np.count_nonzero(found_pixels != pixels[:kept])
    assert wrong_pixels + np.count_nonzero(found_labels != labels[:kept, -1]) <= 1
