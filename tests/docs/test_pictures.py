"""The pictures that explain are what their modules draw; those that measure, of the rows of now."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.report import digest, read_results
from docs.pictures import MEASURED, PICTURES
from docs.pictures.__main__ import DOCS, IMAGES, RESULTS, explain

# What is drawn, and where markers are; the shapes of letters have names of their own.
_PATH = re.compile(r'<path d="(.*?)"', re.DOTALL)
_PLACE = re.compile(r'<use [^>]* x="(.*?)" y="(.*?)"')
_TEXT = re.compile(r"<!-- (.*?) -->", re.DOTALL)
_COLOR = re.compile(r"(?:fill|stroke): (#\w+)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    explain(folder)
    return folder


def content(path: Path):
    """Texts, colours, kinds of lines, and coordinates of a picture, in points."""
    text = path.read_text()
    drawn = " ".join([*_PATH.findall(text), *(" ".join(place) for place in _PLACE.findall(text))])
    coordinates = np.array(_NUMBER.findall(drawn), float)
    return _TEXT.findall(text), _COLOR.findall(text), _NUMBER.sub("", drawn).split(), coordinates


@pytest.mark.parametrize("name", PICTURES)
def test_the_stored_one_is_not_stale(drawn, name):
    """To three points: versions of matplotlib have letters, and so margins, of their own."""
    stored, now = (content(folder / f"{name}.svg") for folder in (IMAGES, drawn))
    assert stored[:3] == now[:3], "run `make pictures`"
    np.testing.assert_allclose(stored[3], now[3], atol=3, err_msg="run `make pictures`")
    assert min(map(len, stored)) > 5


def test_no_others_are_stored():
    assert sorted(path.stem for path in IMAGES.iterdir()) == sorted(PICTURES)
    reports = {"costs", "runs"}  # by `admm report` and `admm plot`
    assert {path.stem for path in DOCS.glob("*.png")} == MEASURED.keys() | reports


@pytest.mark.parametrize("name", MEASURED)
def test_a_picture_is_of_the_stored_rows(name):
    """If this fails: `make pictures`."""
    rows = [
        row for file in MEASURED[name] for row in read_results(RESULTS / f"{file}.json")["rows"]
    ]
    with Image.open(DOCS / f"{name}.png") as picture:
        assert picture.text["Source"] == digest(rows)


def test_a_second_drawing_has_the_same_bytes(drawn, tmp_path):
    explain(tmp_path)
    for name in PICTURES:
        assert (drawn / f"{name}.svg").read_bytes() == (tmp_path / f"{name}.svg").read_bytes()
