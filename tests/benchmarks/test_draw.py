"""Pictures drawn of stored results: all of them can be, and mistakes are one message."""

import json
from importlib import import_module
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from admm.errors import InputError
from benchmarks.__main__ import main
from benchmarks.draw import redraw

RESULTS = sorted((Path(__file__).parents[2] / "benchmarks" / "results").glob("*.json"))


def texts(figure):
    """All that a picture says."""
    legends = [legend for axes in figure.axes if (legend := axes.get_legend())] + figure.legends
    return [
        *(text.get_text() for legend in legends for text in legend.get_texts()),
        *(text.get_text() for axes in figure.axes for text in axes.texts),
        *(label.get_text() for axes in figure.axes for label in axes.get_yticklabels()),
        *(axes.get_xlabel() for axes in figure.axes),
        *(axes.get_ylabel() for axes in figure.axes),
        figure.get_supxlabel(),
    ]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_stored_results_are_drawn_with_labels(path):
    content = json.loads(path.read_text())
    figure = Figure()
    module = import_module(f"benchmarks.{content['benchmark'].replace('-', '_')}")
    module.draw(figure, content["rows"])
    said = texts(figure)
    for axes in figure.axes:
        assert axes.lines or axes.patches or axes.collections
    assert any(axes.get_xlabel() for axes in figure.axes) or figure.get_supxlabel()
    methods = {row["method"] for row in content["rows"] if "method" in row}
    assert all(any(method in text for text in said) for method in methods)


RUN = {"codec": "delta4", "offline": 0.3, "late": 0.0}
CURVE = [(0.1, 0.9), (1.0, 0.5), (9.0, 0.3)]
HALO = {"N": 4, "codec": "float32", "test": 0.8, "test_std": 0.01}
EPOCH = {"epoch_ms": 12.5, "network": "mlp", "ranks": 2, "cores": 2, "codec": None}


@pytest.mark.parametrize(
    ("module", "rows", "label"),
    [
        (
            "federated",
            [{"method": name, "curve": CURVE, **RUN} for name in ("fed-admm", "fedavg")],
            "sent up and down [MB]",
        ),
        ("federated", [{"rule": "all", "distance": 1e-6, **RUN}], "distance to the optimum"),
        ("federated", [{"method": "fedavg", "round_ms": 30.0, "ranks": 2}], "round [ms]"),
        (
            "federated",
            [{"method": "lstm", "test": 0.2, "test_std": 0.01, "worst": 0.3}],
            "mean absolute error, scaled",
        ),
        (
            "partitions",
            [{"halo": name, "halo_mb": mb, **HALO} for name, mb in (("drop", 0), ("stale", 3.0))],
            "rows of halos sent [MB]",
        ),
        (
            "partitions",
            [{"halo": "exact", "N": None, "codec": "float32", "ranks": 2, "epoch_ms": 9.0}],
            "epoch [ms]",
        ),
        ("depth", [{"method": "sadmm", **EPOCH}, {"method": "adam", **EPOCH}], "epoch [ms]"),
        (
            "time_to_accuracy",
            [
                {"dataset": "cora", "method": "adam", "layers": layers, "seconds": seconds}
                for layers, seconds in ((2, 0.1), (4, None))
            ],
            "layers",
        ),
    ],
)
def test_rows_that_are_not_stored(module, rows, label):
    """What other parts of the benchmarks measure."""
    figure = Figure()
    import_module(f"benchmarks.{module}").draw(figure, rows)
    (axes,) = figure.axes
    assert axes.get_xlabel() == label
    assert axes.lines or axes.patches


def results(*names):
    return [next(path for path in RESULTS if path.stem == name) for name in names]


def test_the_command(tmp_path):
    picture = tmp_path / "picture.svg"
    files = map(str, results("depth", "depth-passes"))
    assert main(["draw", *files, str(picture)]) == 0
    text = picture.read_text()
    assert text.rstrip().endswith("</svg>")
    assert "<!-- layers -->" in text, "of the first file"
    assert "<!-- passes -->" in text, "of the second"


def test_files_of_two_benchmarks(tmp_path):
    with pytest.raises(InputError, match="are of depth and network; a picture is of one benchmark"):
        redraw(results("depth", "network"), tmp_path / "picture.png")


def test_a_model_says_so():
    figure = Figure()
    rows = json.loads(results("scaling")[0].read_text())["rows"]
    import_module("benchmarks.scaling").draw(figure, rows)
    assert "model, not measured" in figure.axes[0].get_title()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read .*rows.json"),
        ("{", "is no JSON"),
        ("[]", "has no benchmark and rows; pass what --json has written"),
        ('{"benchmark": "network", "rows": 3}', "has no benchmark and rows"),
        ('{"benchmark": "nonsense", "rows": [{}]}', "is of 'nonsense', expected one of accuracy"),
        ('{"benchmark": "network", "rows": []}', "no rows in "),
        ('{"benchmark": "network", "rows": [{"link_mbit": 1}]}', "rows without 'method'"),
    ],
)
def test_mistakes(tmp_path, text, message):
    path = tmp_path / "rows.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        redraw([path], tmp_path / "picture.png")
    assert not (tmp_path / "picture.png").exists()


def test_the_picture_is_checked_before_the_rows_are_read(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["draw", str(tmp_path / "none.json"), "picture.txt"])
    assert ended.value.code == 2
    assert "picture.txt must end with one of " in capsys.readouterr().err
