"""The way of a new user: the README's program, a graph in a notebook, two ranks, a CSV, a plot."""

import csv
from pathlib import Path

import jupytext
import nbclient
from nbformat.v4 import new_code_cell
from pages import programs

ROOT = Path(__file__).parent.parent


def test_from_the_readme_to_a_plot(admm, tmp_path):
    # The README, and a graph of one's own, in a notebook; it ends with a file.
    (program,) = programs(ROOT / "README.md")
    first = jupytext.reads(program, "py:percent")
    first.cells.append(new_code_cell("assert (model.predict(X, edges) == y).mean() > 0.9"))
    graph = jupytext.read(ROOT / "examples" / "own_graph.py")
    (parameters,) = (cell for cell in graph.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = "epochs = 5"
    first.cells += graph.cells
    play(first, tmp_path)
    assert (tmp_path / "wines.npz").is_file()

    # That file, on two ranks.
    shape = ("--layers", 3, "--hidden", 32, "--epochs", 5)
    run, table, picture = (tmp_path / name for name in ("run", "wines.csv", "wines.png"))
    for command in (
        ("train", "--dataset", tmp_path / "wines.npz", *shape, "--out", run),
        ("predict", run, "--out", table),
        ("plot", run, "--out", picture),
    ):
        done = admm(*command, ranks=2 if command[0] == "train" else None)
        assert done.returncode == 0, done.stderr
    with table.open() as lines:
        rows = [*csv.DictReader(lines)]
    assert len(rows) == 178
    assert picture.read_bytes().startswith(b"\x89PNG")


def play(notebook, folder):
    """Run the cells of a notebook; raises what one of them raises."""
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
