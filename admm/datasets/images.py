"""Image classification data sets by name."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from admm.datasets.cifar import read_cifar
from admm.datasets.digits import read_digits
from admm.datasets.files import Source, data_folder, downloads, find_files
from admm.datasets.idx import read_idx
from admm.datasets.samples import check_finite
from admm.datasets.scaling import unless_constant
from admm.datasets.splits import Split
from admm.errors import InputError, did_you_mean, spelled

_IDX = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
# In this order: the first two words are more special than the last.
_FAMILIES = {
    "fashion": "fashion-mnist",
    "kmnist": "kmnist",
    "kuzushiji": "kmnist",
    "mnist": "mnist",
}


def _family(folders: tuple[str, ...]) -> str:
    for folder in reversed(folders):
        for word, family in _FAMILIES.items():
            if word in folder.lower():
                return family
    return "mnist"


def _idx_source(family: str, page: str, folder: str) -> Source:
    return Source(_IDX, page, downloads(folder, _IDX), lambda folders: _family(folders) == family)


_MNIST = _idx_source(
    "mnist",
    "yann.lecun.com/exdb/mnist or a mirror of it",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_FASHION = _idx_source(
    "fashion-mnist",
    "github.com/zalandoresearch/fashion-mnist (to be kept in a folder with 'fashion' in its name)",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
_KMNIST = _idx_source(
    "kmnist",
    "codh.rois.ac.jp/kmnist (to be kept in a folder with 'kmnist' or 'kuzushiji' in its name)",
    "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
)
_CIFAR = "https://www.cs.toronto.edu/~kriz/"
_CIFAR_PAGE = "www.cs.toronto.edu/~kriz/cifar.html, binary version"

IMAGES: dict[str, Source] = {
    "digits": Source((), "embedded, from scikit-learn"),
    "mnist": _MNIST,
    "mnist14": _MNIST,
    "fashion-mnist": _FASHION,
    "fashion-mnist14": _FASHION,
    "kmnist": _KMNIST,
    "kmnist14": _KMNIST,
    "cifar10": Source(
        tuple(
            f"cifar-10-batches-bin/{part}.bin"
            for part in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
        ),
        _CIFAR_PAGE,
        downloads(_CIFAR, ["cifar-10-binary.tar.gz"]),
    ),
    "cifar100": Source(
        ("cifar-100-binary/train.bin", "cifar-100-binary/test.bin"),
        _CIFAR_PAGE,
        downloads(_CIFAR, ["cifar-100-binary.tar.gz"]),
    ),
}
"""Data sets that `load_images` knows by name.

| name | training | validation | test | pixels | channels | classes |
|---|---|---|---|---|---|---|
| digits | 1,197 | 300 | 300 | 8×8 | 1 | 10 |
| mnist, fashion-mnist, kmnist | 55,000 | 5,000 | 10,000 | 28×28 | 1 | 10 |
| mnist14, fashion-mnist14, kmnist14 | 55,000 | 5,000 | 10,000 | 14×14 | 1 | 10 |
| cifar10 | 45,000 | 5,000 | 10,000 | 32×32 | 3 | 10 |
| cifar100 | 45,000 | 5,000 | 10,000 | 32×32 | 3 | 100 |

Those of 14×14 pixels are means over blocks of 2×2. CIFAR-100's labels are the fine ones.

MNIST, Fashion-MNIST and KMNIST name their files alike. The nearest folder with `fashion`, `kmnist`,
`kuzushiji` or `mnist` in its name, up to the data directory, says which of them a file belongs to;
where there is none it is MNIST's.
"""


@dataclass(frozen=True)
class Images:
    """Labelled images of one size.

    Args:
        name: For messages and summaries.
        pixels: Shape (N, H, W, C), in the range of the files: uint8, or float32 where blocks of
            pixels were averaged.
        labels: Shape (N,), int64, 0…classes−1.
        classes: How many there are.
        split: Training, validation and test images.

    Example:
        >>> pixels = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2, 1)
        >>> split = Split(*(np.array([image]) for image in range(3)))
        >>> Images("three", pixels, np.array([0, 1, 0]), 2, split).inputs().shape
        (3, 2, 2, 1)
    """

    name: str
    pixels: np.ndarray
    labels: np.ndarray
    classes: int
    split: Split

    def inputs(self, dtype: DTypeLike = np.float32) -> np.ndarray:
        """Inputs of a network, shape (N, H, W, C): of mean 0 and standard deviation 1.

        Mean and deviation are of all pixels of the training images, one each per channel. Scaling
        the pixels to [0, 1] first would give the same. A channel without deviation becomes zero.

        Raises:
            InputError: If a pixel is NaN or infinite.

        Example:
            >>> load_images("digits").inputs().shape
            (1797, 8, 8, 1)
        """
        check_finite(self.name, self.pixels)
        train = self.pixels[self.split.train]
        count = train[..., 0].size
        # Sums of float64: exact for bytes and for quarters of them.
        mean = np.einsum("nhwc->c", train, dtype=np.float64) / count
        squares = np.einsum("nhwc,nhwc->c", train, train, dtype=np.float64) / count
        deviation = np.sqrt(np.maximum(squares - mean**2, 0))
        low, high = (f(train, axis=(0, 1, 2)).astype(np.float64) for f in (np.min, np.max))
        scale = unless_constant(deviation, low, high)
        inputs = self.pixels.astype(dtype)
        inputs -= mean.astype(dtype)
        inputs /= scale.astype(dtype)
        return inputs


def load_images(name: str, data_dir: str | Path | None = None, split_seed: int = 100) -> Images:
    """Load an image data set.

    Validation images are the last 5,000 of the files' training images, or the last tenth where
    that is less; test images are those of the test file. Of the digits 300 random ones are for
    the test and 300 for validation.

    Args:
        name: A key of `IMAGES`.
        data_dir: Folder that is searched; `$ADMM_DATA` by default, else the user's cache.
        split_seed: Seed of the random split of the digits.

    Raises:
        InputError: If the name is unknown, a file is missing, or its contents are invalid.

    Example:
        >>> load_images("digits").pixels.shape
        (1797, 8, 8, 1)
    """
    if name not in IMAGES:
        raise InputError(
            f"unknown image data set {name!r}; expected one of {', '.join(IMAGES)} "
            f"(graphs are for {spelled('solver')} pdadmm-g and backpropagation)"
            f"{did_you_mean(name, IMAGES)}"
        )
    if name == "digits":
        return _load_digits(split_seed)
    if name.startswith("cifar"):
        return _load_cifar(name, data_folder(data_dir))
    return _load_mnist(name, data_folder(data_dir))


def _load_digits(split_seed: int) -> Images:
    pixels, labels = read_digits()
    test, val, train = np.split(
        np.random.default_rng(split_seed).permutation(len(labels)), [300, 600]
    )
    split = Split(np.sort(train), np.sort(val), np.sort(test))
    return Images("digits", pixels.reshape(-1, 8, 8, 1).astype(np.uint8), labels.copy(), 10, split)


def _load_mnist(name: str, folder: Path) -> Images:
    source = IMAGES[name]
    files = find_files(name, source, folder)
    train, test = (
        _read_mnist(files[images], files[labels])
        for images, labels in (source.files[:2], source.files[2:])
    )
    return _joined(name, train, test, classes=10)


def _read_mnist(images_file: Path, labels_file: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if images.shape[1:] != (28, 28):
        raise InputError(f"{images_file}: expected images of 28×28, got {images.shape[1:]}")
    if len(images) != len(labels):
        raise InputError(
            f"{labels_file}: expected a label for each of the {len(images):,} images of "
            f"{images_file}, got {len(labels):,}"
        )
    if labels.max() > 9:
        at = int(np.argmax(labels > 9))
        raise InputError(
            f"{labels_file}: label {labels[at]} of image {at} is out of range; expected 0…9"
        )
    return images[..., None], labels.astype(np.int64)


def _load_cifar(name: str, folder: Path) -> Images:
    label_classes = (10,) if name == "cifar10" else (20, 100)
    files = find_files(name, IMAGES[name], folder)
    *train, test = (read_cifar(files[file], label_classes) for file in IMAGES[name].files)
    pixels, labels = (np.concatenate(parts) for parts in zip(*train, strict=True))
    return _joined(name, (pixels, labels), test, label_classes[-1])


def _joined(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: int,
) -> Images:
    trained = len(train[1])
    if trained < 10:
        raise InputError(
            f"{name}: expected at least 10 images in the training files, of which a tenth "
            f"is for validation, got {trained}"
        )
    pixels, labels = (np.concatenate(parts) for parts in zip(train, test, strict=True))
    if name.endswith("14"):
        blocks = pixels.reshape(-1, 14, 2, 14, 2, 1)
        pixels = blocks.mean(axis=(2, 4), dtype=np.float32)
    first_val = trained - min(5000, trained // 10)
    return Images(
        name,
        pixels,
        labels,
        classes,
        Split(*np.split(np.arange(len(labels)), [first_val, trained])),
    )
