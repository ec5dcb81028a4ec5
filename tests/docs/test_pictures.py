"""The pictures that explain: what is stored is what their modules draw now."""

import re
from pathlib import Path

import numpy as np
import pytest

from docs.pictures import PICTURES
from docs.pictures.__main__ import IMAGES, main

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    main(folder)
    return folder


def shapes_and_numbers(path: Path):
    """What a picture consists of; names of its parts and of its maker do not count."""
    text = re.sub(r"<metadata>.*?</metadata>", "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r'(id|href|clip-path)="[^"]*"', "", text)
    return _NUMBER.sub("#", text), np.array(_NUMBER.findall(text), float)


@pytest.mark.parametrize("name", PICTURES)
def test_the_stored_one_is_not_stale(drawn, name):
    """To half a point: versions of matplotlib and JAX round in their own ways."""
    stored, now = (shapes_and_numbers(folder / f"{name}.svg") for folder in (IMAGES, drawn))
    assert stored[0] == now[0], "run `make pictures`"
    np.testing.assert_allclose(stored[1], now[1], atol=0.5, err_msg="run `make pictures`")


def test_no_others_are_stored():
    assert sorted(path.stem for path in IMAGES.iterdir()) == sorted(PICTURES)


def test_a_second_drawing_has_the_same_bytes(drawn, tmp_path):
    main(tmp_path)
    for name in PICTURES:
        assert (drawn / f"{name}.svg").read_bytes() == (tmp_path / f"{name}.svg").read_bytes()
