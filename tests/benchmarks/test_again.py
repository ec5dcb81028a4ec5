"""Files of results measured again: by their own commands, and unharmed where one fails."""

import json
from pathlib import Path

import pytest

from admm.errors import InputError
from benchmarks.__main__ import main
from benchmarks.again import commands

RESULTS = sorted((Path(__file__).parents[2] / "benchmarks" / "results").glob("*.json"))

KERNELS = "python -m benchmarks kernels --nodes 40 --width 8 --seconds 1e-3"


@pytest.fixture
def stored(tmp_path):
    """Write a file of results with a command; returns its path."""

    def stored(command):
        path = tmp_path / "rows.json"
        path.write_text(json.dumps({"benchmark": "kernels", "command": command, "rows": [{}]}))
        return path

    return stored


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_stored_results_name_commands_of_their_benchmark(path):
    assert {words[0] for words in commands(path)} == {json.loads(path.read_text())["benchmark"]}


def test_one_command(stored):
    path = stored(KERNELS)
    assert main(["again", str(path)]) == 0
    content = json.loads(path.read_text())
    assert content["command"] == KERNELS
    (row,) = content["rows"]
    assert (row["nodes"], row["width"]) == (40, 8)
    assert content["seconds"] >= 0


def test_rows_of_several_commands_are_joined(stored):
    told = [KERNELS, KERNELS.replace("40", "50")]
    path = stored(told)
    assert main(["again", str(path)]) == 0
    content = json.loads(path.read_text())
    assert content["command"] == told
    assert [row["nodes"] for row in content["rows"]] == [40, 50]


def test_a_file_is_kept_where_a_command_fails(stored, capfd):
    path = stored([KERNELS, "python -m benchmarks kernels --nodes -3"])
    before = path.read_text()
    assert main(["again", str(path)]) == 1
    assert path.read_text() == before
    assert "'kernels --nodes -3' ended with code 2; its file is unchanged" in capfd.readouterr().err


@pytest.mark.parametrize("command", [None, [], "kernels", "python -m benchmarks", ["rm -r x"]])
def test_files_without_commands(stored, command):
    with pytest.raises(InputError, match=r"has the command .*, expected 'python -m benchmarks"):
        commands(stored(command))
