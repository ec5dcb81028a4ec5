"""Image data sets: small files in the true layouts, the embedded one, and the real MNIST."""

import gzip
import struct

import numpy as np
import pytest

from admm.datasets import IMAGES, Images, Split, load_images
from admm.errors import InputError

PARTS = {"train": 60, "t10k": 12}


def idx(array):
    shape = array.shape
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def write_mnist(folder, seed=0, zipped=True, **changes):
    """Write 60 training and 12 test images; returns all pixels and labels.

    `changes` are arrays to write instead, by `train_images`, `train_labels` and so on.
    """
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for part, count in PARTS.items():
        arrays[f"{part}_images"] = random.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"{part}_labels"] = random.integers(0, 10, count, np.uint8)
    arrays.update(changes)
    for key, array in arrays.items():
        file = folder / f"{key.replace('_', '-')}-idx{array.ndim}-ubyte"
        if zipped:
            file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            file.write_bytes(idx(array))
    return (
        np.concatenate([arrays[f"{part}_{what}"] for part in PARTS])
        for what in ("images", "labels")
    )


def write_cifar(folder, files, label_classes, count):
    """Write `count` records a file; returns pixels (N, 32, 32, 3) and the last labels."""
    random = np.random.default_rng(0)
    folder.mkdir()
    pixels, labels = [], []
    for file in files:
        planes = random.integers(0, 256, (count, 3, 32, 32), np.uint8)
        label = random.integers(0, label_classes, (count, len(label_classes)), np.uint8)
        (folder / file).write_bytes(np.hstack([label, planes.reshape(count, -1)]).tobytes())
        pixels.append(planes.transpose(0, 2, 3, 1))
        labels.append(label[:, -1])
    return np.concatenate(pixels), np.concatenate(labels)


def lengths(split):
    return [len(split.train), len(split.val), len(split.test)]


@pytest.mark.parametrize("zipped", [True, False])
def test_mnist(tmp_path, zipped):
    pixels, labels = write_mnist(tmp_path / "any", zipped=zipped)
    images = load_images("mnist", tmp_path)
    assert (images.name, images.classes) == ("mnist", 10)
    assert (images.pixels.dtype, images.labels.dtype) == (np.uint8, np.int64)
    np.testing.assert_array_equal(images.pixels, pixels[..., None])
    np.testing.assert_array_equal(images.labels, labels)
    np.testing.assert_array_equal(images.split.train, np.arange(54))
    np.testing.assert_array_equal(images.split.val, np.arange(54, 60))
    np.testing.assert_array_equal(images.split.test, np.arange(60, 72))


@pytest.mark.parametrize("zipped", [True, False])
def test_names_with_a_dot(tmp_path, zipped):
    """As `train-images.idx3-ubyte`, which some mirrors have."""
    pixels, labels = write_mnist(tmp_path, zipped=zipped)
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    images = load_images("mnist", tmp_path)
    np.testing.assert_array_equal(images.pixels, pixels[..., None])
    np.testing.assert_array_equal(images.labels, labels)


def test_mnist14_averages_blocks(tmp_path):
    pixels, _ = write_mnist(tmp_path)
    images = load_images("mnist14", tmp_path)
    assert images.pixels.shape == (72, 14, 14, 1)
    blocks = sum(pixels[:, i::2, j::2].astype(np.float64) for i in (0, 1) for j in (0, 1)) / 4
    np.testing.assert_array_equal(images.pixels[..., 0], blocks)
    assert images.pixels.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "."),
        ("mnist", "MNIST/raw"),
        ("mnist", "fashion-and-others/mnist"),
        ("fashion-mnist", "fashion"),
        ("fashion-mnist", "Fashion-MNIST/raw"),
        ("fashion-mnist14", "kmnist/FashionMNIST"),
        ("kmnist", "KMNIST/raw"),
        ("kmnist", "kuzushiji/data"),
        ("kmnist14", "fashion/kuzushiji-mnist"),
    ],
)
def test_folders_tell_the_families_apart(tmp_path, name, folder):
    others = {"mnist": "a/mnist", "fashion-mnist": "a/fashion", "kmnist": "a/kmnist"}
    del others[name.removesuffix("14")]
    data = tmp_path / "data"
    for seed, other in enumerate(others.values()):
        write_mnist(data / other, seed=1 + seed)
    _, labels = write_mnist(data / folder)
    np.testing.assert_array_equal(load_images(name, data).labels, labels)


def test_the_data_directory_itself_may_tell_the_family(tmp_path, monkeypatch):
    write_mnist(tmp_path / "fashion")
    assert load_images("fashion-mnist", tmp_path / "fashion").name == "fashion-mnist"
    with pytest.raises(InputError, match="mnist: train-images"):
        load_images("mnist", tmp_path / "fashion")
    monkeypatch.chdir(tmp_path / "fashion")
    monkeypatch.setenv("ADMM_DATA", ".")
    assert load_images("fashion-mnist14").name == "fashion-mnist14"
    # A folder above the data directory says nothing.
    write_mnist(tmp_path / "fashion" / "data", seed=1)
    assert load_images("mnist", tmp_path / "fashion" / "data").name == "mnist"


CIFAR10 = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]


@pytest.mark.parametrize("inside", [False, True])
def test_cifar10(tmp_path, inside):
    folder = tmp_path / "cifar-10-batches-bin"
    pixels, labels = write_cifar(folder, CIFAR10, (10,), count=4)
    images = load_images("cifar10", folder if inside else tmp_path)
    np.testing.assert_array_equal(images.pixels, pixels)
    np.testing.assert_array_equal(images.labels, labels)
    assert (images.classes, lengths(images.split)) == (10, [18, 2, 4])
    assert (images.pixels.dtype, images.labels.dtype) == (np.uint8, np.int64)


def test_cifar100_has_fine_labels(tmp_path):
    files = ["train.bin", "test.bin"]
    pixels, labels = write_cifar(tmp_path / "cifar-100-binary", files, (20, 100), count=30)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "test.bin").write_bytes(b"of something else")
    images = load_images("cifar100", tmp_path)
    np.testing.assert_array_equal(images.pixels, pixels)
    np.testing.assert_array_equal(images.labels, labels)
    assert (images.classes, lengths(images.split)) == (100, [27, 3, 30])


def test_digits():
    images = load_images("digits", split_seed=1)
    assert (images.pixels.shape, images.pixels.dtype) == ((1797, 8, 8, 1), np.uint8)
    assert (images.pixels.max(), images.classes) == (16, 10)
    split = images.split
    assert lengths(split) == [1197, 300, 300]
    assert len(np.unique(np.concatenate([split.train, split.val, split.test]))) == 1797
    again, other = (load_images("digits", split_seed=seed).split for seed in (1, 2))
    np.testing.assert_array_equal(split.test, again.test)
    assert (split.test != other.test).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inputs_are_standardised_by_the_training_images(dtype):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (50, 6, 5, 3), np.uint8) // np.array([1, 2, 4], np.uint8)
    pixels[40:] //= 2
    split = Split(np.arange(0, 40), np.arange(40, 45), np.arange(45, 50))
    inputs = Images("toy", pixels, np.arange(50) % 2, 2, split).inputs(dtype)
    scaled = pixels / 255
    mean, deviation = (f(scaled[:40], axis=(0, 1, 2)) for f in (np.mean, np.std))
    expected = (scaled - mean) / deviation
    assert inputs.dtype == dtype
    assert inputs.flags.c_contiguous
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(inputs, expected, rtol=tolerance, atol=tolerance)


def test_inputs_of_a_constant_channel_are_zero():
    pixels = np.full((4, 2, 2, 1), 77, np.uint8)
    split = Split(np.arange(2), np.array([2]), np.array([3]))
    assert not Images("toy", pixels, np.arange(4) % 2, 2, split).inputs().any()


@pytest.mark.parametrize("value", [0.1, 1e5 / 3])
def test_a_constant_channel_of_floats_is_zero_beside_another(value):
    """Whatever rounding leaves of its variance."""
    random = np.random.default_rng(0)
    pixels = np.full((90, 6, 5, 2), value, np.float32)
    pixels[..., 1] = random.normal(size=(90, 6, 5))
    split = Split(*np.split(np.arange(90), 3))
    inputs = Images("toy", pixels, np.arange(90) % 2, 2, split).inputs()
    assert not inputs[..., 0].any()
    np.testing.assert_allclose(inputs[:30, ..., 1].std(), 1, rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_refused(value):
    pixels = np.ones((4, 2, 2, 1), np.float32)
    pixels[3, 0, 1] = value
    split = Split(np.arange(2), np.array([2]), np.array([3]))
    images = Images("toy", pixels, np.arange(4) % 2, 2, split)
    with pytest.raises(InputError, match="toy has NaN or infinity in 1 of 4 rows, row 3 the first"):
        images.inputs()


def zeros(*shape):
    return np.zeros(shape, np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": zeros(59)}, "a label for each of the 60 images of .*images.*, got 59"),
        ({"t10k_labels": zeros(13)}, "t10k-labels.*: expected a label for each of the 12 images"),
        ({"t10k_labels": zeros(12) + np.uint8(11)}, "label 11 of image 0 is out of range; .*0…9"),
        ({"train_images": zeros(60, 28, 27)}, r"images of 28×28, got \(28, 27\)"),
        (
            {"train_images": zeros(9, 28, 28), "train_labels": zeros(9)},
            "mnist: expected at least 10 images in the training files, .* got 9",
        ),
    ],
)
def test_files_that_do_not_fit(tmp_path, changes, message):
    write_mnist(tmp_path, **changes)
    with pytest.raises(InputError, match=message):
        load_images("mnist", tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist", "mnist: train-images-idx3-ubyte.gz, .* below .*; get it from yann.lecun.com"),
        ("mnist14", "mnist14: train-images-idx3-ubyte.gz, .*yann.lecun.com/exdb/mnist"),
        ("fashion-mnist", "github.com/zalandoresearch/fashion-mnist .*in a folder with 'fashion'"),
        ("kmnist14", "codh.rois.ac.jp/kmnist .*folder with 'kmnist' or 'kuzushiji' in its name"),
        ("cifar10", "cifar-10-batches-bin/data_batch_1.bin, .*www.cs.toronto.edu/~kriz/cifar.html"),
        ("cifar100", "cifar-100-binary/train.bin, cifar-100-binary/test.bin not found .*kriz"),
    ],
)
def test_missing_files(tmp_path, name, message):
    with pytest.raises(InputError, match=message) as error:
        load_images(name, tmp_path)
    assert str(tmp_path) in str(error.value)
    with pytest.raises(InputError, match="nowhere does not exist; pass data_dir= or set ADMM_DATA"):
        load_images(name, tmp_path / "nowhere")


def test_files_of_one_folder_belong_together(tmp_path):
    """A half copy, first or last in order, is never mixed with a whole one."""
    _, labels = write_mnist(tmp_path / "b")
    for other in ("a", "c"):
        write_mnist(tmp_path / other, seed=1)
        (tmp_path / other / "t10k-labels-idx1-ubyte.gz").unlink()
    np.testing.assert_array_equal(load_images("mnist", tmp_path).labels, labels)


def test_scattered_files(tmp_path):
    write_mnist(tmp_path / "a")
    write_mnist(tmp_path / "b")
    (tmp_path / "a" / "t10k-labels-idx1-ubyte.gz").unlink()
    (tmp_path / "b" / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(InputError, match="no folder below .* has all of .*put them together"):
        load_images("mnist", tmp_path)


def test_one_missing_file_is_named_alone(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").mkdir()  # a folder is not a file
    with pytest.raises(InputError, match="^mnist: t10k-labels-idx1-ubyte.gz not found below"):
        load_images("mnist", tmp_path)


def test_unknown_name():
    with pytest.raises(InputError, match="unknown image data set 'svhn'; expected one of digits, "):
        load_images("svhn")
    assert len(IMAGES) == 9


def test_the_real_mnist(data_dir):
    images = load_images("mnist", data_dir)
    assert images.pixels.shape == (70000, 28, 28, 1)
    assert lengths(images.split) == [55000, 5000, 10000]
    train, test = np.split(images.labels, [60000])
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train).tolist() == counts
    assert np.bincount(test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    small = load_images("mnist14", data_dir)
    assert small.pixels.shape == (70000, 14, 14, 1)
    some = slice(None, None, 500)
    blocks = images.pixels[some].reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4))
    np.testing.assert_array_equal(small.pixels[some], blocks)
    inputs = small.inputs(np.float32)
    assert inputs.shape == (70000, 14, 14, 1)
    trained = inputs[small.split.train]
    assert abs(trained.mean(dtype=np.float64)) < 1e-5
    assert abs(trained.std(dtype=np.float64) - 1) < 1e-5
