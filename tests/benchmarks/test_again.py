"""Files of results measured again: by their own command, and unharmed where one fails."""

import json
from pathlib import Path

import pytest

from admm.errors import InputError
from benchmarks.__main__ import main
from benchmarks.again import command

RESULTS = sorted((Path(__file__).parents[2] / "benchmarks" / "results").glob("*.json"))

KERNELS = "python -m benchmarks kernels --nodes 40 --width 8 --seconds 1e-3"


@pytest.fixture
def stored(tmp_path):
    """Write a file of results with a command; returns its path."""

    def stored(told, name="rows.json"):
        path = tmp_path / name
        path.write_text(json.dumps({"benchmark": "kernels", "command": told, "rows": [{}]}))
        return path

    return stored


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_stored_results_name_a_command_of_their_benchmark(path):
    assert command(path)[0] == json.loads(path.read_text())["benchmark"]


def test_files_are_replaced(stored):
    told = {stored(KERNELS): 40, stored(KERNELS.replace("40", "50"), "more.json"): 50}
    assert main(["again", *map(str, told)]) == 0
    for path, nodes in told.items():
        content = json.loads(path.read_text())
        assert content["command"] == KERNELS.replace("40", str(nodes))
        (row,) = content["rows"]
        assert (row["nodes"], row["width"]) == (nodes, 8)
        assert content["seconds"] >= 0


def test_a_file_is_kept_where_its_command_fails(stored, capfd):
    path = stored("python -m benchmarks kernels --nodes -3")
    before = path.read_text()
    assert main(["again", str(path)]) == 1
    assert path.read_text() == before
    assert "'kernels --nodes -3' ended with code 2; its file is unchanged" in capfd.readouterr().err


@pytest.mark.parametrize("told", [None, [KERNELS], "kernels", "python -m benchmarks", "rm -r x y"])
def test_files_without_a_command(stored, told):
    with pytest.raises(InputError, match=r"has the command .*, expected 'python -m benchmarks"):
        command(stored(told))
