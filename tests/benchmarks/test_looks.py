"""The look of pictures: colours that tell methods apart, names that do not meet."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from benchmarks.looks import OURS, RIVALS, Name, color_of, draw_bars, line_look, name_ends

# Methods that one picture shows beside each other.
TOGETHER = [
    ("pdadmm-g", "pdadmm-g-at-once", "pdadmm-g-q", "gd", "adadelta", "adagrad", "adam", "shallow"),
    ("sadmm", "gsadmm", "gsam", "adam", "adamw", "sgd", "frozen"),
    ("fed-admm", "fedavg", "fedavgm", "fedprox", "scaffold", "fedsgd"),
    ("exact", "refresh", "stale", "admm", "pipe", "drop"),
]


@pytest.mark.parametrize("methods", TOGETHER, ids=lambda methods: methods[0])
def test_methods_of_one_picture_have_colours_of_their_own(methods):
    for one, other in combinations(methods, 2):
        gap = np.abs(np.subtract(to_rgb(color_of(one)), to_rgb(color_of(other)))).sum()
        assert gap > 0.25, (one, other)


def test_ours_are_solid_and_rivals_dashed():
    assert {line_look(method)["linestyle"] for method in OURS} == {"-"}
    assert {line_look(f"{method} pipeline")["linestyle"] for method in RIVALS} == {"--"}


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_names_of_lines_that_end_together_do_not_meet(scale):
    axes = Figure().subplots()
    axes.plot([1, 2], [1, 10])
    axes.set_yscale(scale)
    name_ends(axes, [Name(str(y), 2, y, "black") for y in (9.9, 10.0, 9.95, 1.0)])
    placed = {text.get_text(): text.xyann[1] for text in axes.texts}
    assert list(placed) == ["1.0", "9.9", "9.95", "10.0"]
    heights = list(placed.values())
    assert min(np.diff(heights)) > 0.06 - 1e-9
    assert heights[-1] <= 1
    # What is alone stays where its line ends.
    shape = axes.transData + axes.transAxes.inverted()
    assert heights[0] == pytest.approx(shape.transform((2, 1.0))[1])


def test_bars_tell_what_was_not_reached():
    axes = Figure().subplots()
    draw_bars(axes, ["ours", "theirs", "none"], ["sadmm", "adam", "gd"], [1234.5, 0.5, None])
    assert [text.get_text() for text in axes.texts] == ["1,234", "0.5", "not reached"]
    assert [bool(bar.get_hatch()) for bar in axes.patches] == [False, True, True]
