"""Pictures of runs: what they show is what the histories and summaries say."""

import json
import shutil
import sys

import numpy as np
import pytest
from matplotlib.colors import same_color

from admm import options, plot_runs, read_history, train
from admm.errors import InputError

SMALL = {"layers": 3, "hidden": 4, "hops": 1, "epochs": 4, "workers": 2}
EVERY = ["Loss", "Accuracy", "Lagrangian or objective", "Residuals", "Messages", "Time"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Of three methods, the first in two stages; the third is made of the second."""
    folder = tmp_path_factory.mktemp("runs")
    train(options(**SMALL, grow=(2, 3), out=folder / "pdadmm-g"))
    train(options("adam", **SMALL, out=folder / "adam"))
    other = shutil.copytree(folder / "adam", folder / "gsadmm")
    residuals = {"primal_residual": 2.0, "output_residual": 300.0}
    write(other, [{**line, **residuals} for line in read_history(other)])
    return [folder / solver for solver in ("pdadmm-g", "adam", "gsadmm")]


def write(run, lines):
    (run / "history.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes}


def curves(axes):
    """Lines of data; others are vertical, or stand for a style in the legend."""
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def test_curves_are_the_history(runs):
    history = read_history(runs[0])
    found = panels(plot_runs(runs[:1]))
    assert list(found) == EVERY
    shown = {
        "Loss": (["train_loss"], 1),
        "Accuracy": (["train_accuracy", "val_accuracy", "test_accuracy"], 1),
        "Lagrangian or objective": (["lagrangian"], 1),
        "Residuals": (["primal_residual", "dual_residual"], 1),
        "Messages": (["bytes_sent"], 1e-6),
    }
    for title, (names, scale) in shown.items():
        axes = found[title]
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel()
        for line, name in zip(curves(axes), names, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 9))  # of two stages
            values = [each[name] * scale for each in history]
            np.testing.assert_array_equal(line.get_ydata(), values)
        stages = [line for line in axes.lines if list(line.get_xdata()) == [4, 4]]
        assert [line.get_linestyle() for line in stages] == [":"]
    texts = [text.get_text() for text in found["Accuracy"].get_legend().get_texts()]
    assert texts == ["train", "validation", "test"]
    assert len({line.get_linestyle() for line in curves(found["Accuracy"])}) == 3
    assert found["Accuracy"].get_yscale() == "linear"


def test_bars_are_the_seconds(runs):
    (axes,) = [each for each in plot_runs(runs).axes if each.get_title() == "Time"]
    assert [each.get_text() for each in axes.get_yticklabels()] == [run.name for run in runs]
    assert axes.get_xlabel() == "seconds, mean over processes"
    for row, run in enumerate(runs):
        seconds = json.loads((run / "summary.json").read_text())["seconds"]
        widths = [bar.get_width() for bar in axes.patches if round(bar.get_y() + 0.3) == row]
        widths = [width for width in widths if width > 0]
        order = ("iterate", "wait", "evaluate", "checkpoint", "compile")
        assert widths[:-1] == pytest.approx([seconds[n] for n in order if seconds[n] > 0])
        assert sum(widths) == pytest.approx(seconds["total"])


def test_several_runs_have_a_colour_each(runs):
    figure = plot_runs(runs)
    found = panels(figure)
    assert list(found) == EVERY
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [run.name for run in runs]
    colors = [line.get_color() for line in legend.get_lines()]
    for title, count in {"Loss": 3, "Lagrangian or objective": 3, "Messages": 3}.items():
        lines = curves(found[title])
        assert len(lines) == count
        assert all(same_color(a.get_color(), b) for a, b in zip(lines, colors, strict=True))
        assert {line.get_linestyle() for line in lines} == {"-"}
    residuals = [line.get_color() for line in curves(found["Residuals"])]
    assert sum(same_color(each, colors[1]) for each in residuals) == 0  # backpropagation has none
    assert found["Residuals"].get_yscale() == "log"


def test_what_is_not_there_is_left_out(runs, tmp_path):
    """Before the end of a run, of one process, and of a method of one's own."""
    run = tmp_path / "own"
    run.mkdir()
    lines = [{"stage": 0, "epoch": n, "bytes_sent": 0, "seconds": 1.0 * n} for n in (1, 2, 3)]
    write(run, lines)
    with pytest.raises(InputError, match="there is nothing to plot in own"):
        plot_runs([run])
    write(run, [{**line, "test_accuracy": 0.5, "mse": 2.0, "rho": 1.0} for line in lines])
    figure = plot_runs([run])
    assert list(panels(figure)) == ["Accuracy", "Other values"]
    assert panels(figure)["Other values"].get_ylabel() == "mse"
    assert not figure.legends
    both = panels(plot_runs([run, runs[0]]))
    assert list(both) == [*EVERY[:-1], "Other values", "Time"]
    assert len(curves(both["Accuracy"])) == 4


def test_values_that_are_not_finite(runs, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / "run")
    lines = read_history(run)
    lines[2]["lagrangian"], lines[3]["lagrangian"] = None, -1.0
    write(run, lines)
    (line,) = curves(panels(plot_runs([run]))["Lagrangian or objective"])
    assert np.isnan(line.get_ydata()[2])


def test_values_below_zero_are_seen(runs, tmp_path):
    """A logarithmic axis would hide them; from one magnitude to another it is still one."""
    run = shutil.copytree(runs[0], tmp_path / "run")
    lines = read_history(run)
    for number, line in enumerate(lines):
        line["lagrangian"] = 1e3 / 10**number - 0.5
    write(run, lines)
    axes = panels(plot_runs([run]))["Lagrangian or objective"]
    (line,) = curves(axes)
    assert min(line.get_ydata()) < 0
    assert axes.get_yscale() == "symlog"
    low, high = axes.get_ylim()
    assert low < min(line.get_ydata()) < max(line.get_ydata()) < high


def test_losses_and_scores_of_a_regression_have_a_panel_each(tmp_path):
    names = ("train_loss", "val_loss", "train_r2", "val_r2")
    lines = [{"stage": 0, "epoch": n, **dict.fromkeys(names, 1 / n)} for n in (1, 2, 3)]
    write(tmp_path, lines)
    found = panels(plot_runs([tmp_path]))
    assert list(found) == ["Loss", "R²"]
    for axes in found.values():
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [
            "train",
            "validation",
        ]


def test_names_that_are_alike(runs, tmp_path):
    other = shutil.copytree(runs[0], tmp_path / runs[0].name)
    (legend,) = plot_runs([runs[0], other]).legends
    assert [text.get_text() for text in legend.get_texts()] == [str(runs[0]), str(other)]


def test_mistakes(runs, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot read .*history.jsonl .No such file"):
        plot_runs([tmp_path])
    (tmp_path / "history.jsonl").write_text("")
    with pytest.raises(InputError, match=f"{tmp_path} has no evaluation yet"):
        plot_runs([tmp_path])
    (tmp_path / "history.jsonl").write_text("no JSON\n")
    with pytest.raises(InputError, match="history.jsonl is damaged .line 1"):
        plot_runs([runs[0], tmp_path])
    for count in (0, 11):
        with pytest.raises(InputError, match=f"a plot shows 1 to 10 runs, got {count}"):
            plot_runs(runs[:1] * count)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match="a plot needs matplotlib: pip install matplotlib"):
        plot_runs(runs)


def test_files(command, runs, tmp_path):
    done = command("plot", runs[0])
    path = runs[0] / "history.png"
    assert (done.returncode, done.stdout) == (0, f"picture in {path}\n"), done.stderr
    assert path.read_bytes().startswith(b"\x89PNG")
    done = command("plot", *runs, "--out", tmp_path / "x.svg")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "x.svg").read_text()
    assert text.startswith("<?xml")
    assert text.rstrip().endswith("</svg>")


@pytest.mark.parametrize(
    ("out", "code", "message"),
    [
        ("x.txt", 2, "--out must end in one of ."),
        ("x", 2, "--out must end in one of ."),
        ("none/x.png", 1, "none/x.png (No such file or directory)"),
    ],
)
def test_files_that_cannot_be(command, runs, tmp_path, out, code, message):
    done = command("plot", runs[0], "--out", tmp_path / out)
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("admm: error:") == len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
