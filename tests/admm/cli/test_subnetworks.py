"""Mistakes in commands of gsADMM and gsAM: one message, the documented code, no stack trace."""

import json
import subprocess
import sys

import pytest


def check(code, errors, message, expected=2):
    assert code == expected, errors
    assert message in errors
    assert errors.count("admm: error:") == 1
    assert "Traceback" not in errors


CASES = [
    ("gsam --hops 3", "--hops is not for --solver gsam, which takes --alpha, --batch"),
    ("gsadmm --levels=-1:20", "--levels is not for --solver gsadmm, which takes"),
    (
        "pdadmm-g --batch 5",
        "--batch is not for --solver pdadmm-g, which takes --checkpoint-every",
    ),
    ("adam --no-refresh", "--no-refresh is not for --solver adam, which takes"),
    (
        "gsx",
        "--solver must be one of pdadmm-g, gd, adadelta, adagrad, adam, gsadmm, gsam, sadmm, "
        "partitions, digest, sat, fed-admm, fedavg, fedavgm, fedprox, scaffold, fedsgd, got",
    ),
    ("gsamm", "got 'gsamm'; did you mean gsadmm or gsam or sadmm?"),
    ("gsam --bach 5", "there is no option --bach; did you mean --batch or --reach?"),
    ("gsam --bach=5", "there is no option --bach; did you mean --batch or --reach?"),
    ("gsam five", "unrecognized argument 'five' (see admm train --help)"),
    ("gsam --batch", "argument --batch: expected one argument (see admm train --help)"),
    ("gsam --no-refresh --inner 2", "--inner above 1 and --no-refresh need --alpha: that which"),
    ("gsam --network vgg", "--network must be one of mlp, cnn, resnet, got 'vgg'"),
    ("gsam --optimizer lion", "--optimizer must be one of gd, adadelta, adagrad, adam, got"),
    ("gsam --codec zip", "--codec must be one of float64, float32, bfloat16, uniform16, unif"),
    ("gsam --codec levels", "uniform2, delta8, delta4, delta2, ternary, got levels"),
    ("gsam --dataset cora", "unknown image data set 'cora'; expected one of digits, mnist"),
    ("gsam --alpha 0", "--alpha must be positive and finite, got 0.0"),
    ("gsadmm --relaxation 2", "--relaxation must be in (0, 1], got 2.0"),
    ("gsam --cuts 3,six", "--cuts must be whole numbers such as 3,6, got '3,six'"),
    ("gsam --cuts 3,6", "--cuts needs 1 numbers for --subnetworks 2, got 2"),
    ("gsam --cuts 6,3 --subnetworks 3", "got cuts at modules 6, 3; expected increasing"),
    ("gsam --subnetworks 11", "got 11 subnetworks for 10 modules"),
    ("gsam --batch 1198", "--batch 1198 is larger than the data: 1197 training samples"),
    ("gsam --workers 3", "got 3 workers for 2 subnetworks"),
    ("gsam --rho 0.2", "--rho is not for --solver gsam, which takes --alpha, --batch"),
    ("gsadmm --network cnn --layers 3", "--layers is not for --network cnn"),
    ("pdadmm-g --dataset mnist", "'mnist', which is for --solver gsadmm and gsam; expected"),
    ("gsam --batch few", "--batch must be a whole number, got 'few'"),
]

# One process for all of them: a start takes longer than a mistake, and here the tests' type checker
# would be first to complain. How a mistake ends a process and all ranks is in test_errors.py.
MAIN = """
import contextlib, importlib, io, json, sys
from admm.cli import main
from admm.comm import LocalTransport
module = importlib.import_module("admm.cli.train")
module.start = lambda workers, dtype, comm, **careful: LocalTransport(workers)
for number, arguments in enumerate(json.loads(sys.argv[1])):
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        code = main(["train", "--solver", *arguments.split(), "--out", f"{sys.argv[2]}/{number}"])
    print(json.dumps([code, errors.getvalue()]))
"""


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    """Code and errors of every case."""
    given = json.dumps([arguments for arguments, _ in CASES])
    done = subprocess.run(
        [sys.executable, "-c", MAIN, given, str(tmp_path_factory.mktemp("out"))],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: CASES[n][0].replace(" ", "_"))
def test_bad_usage(mistakes, number):
    check(*mistakes[number], CASES[number][1])


def test_a_network_of_ones_own_is_not_for_the_command(command, tmp_path):
    done = command("train", "--solver", "gsam", "--network", "own", "--out", tmp_path / "o")
    check(done.returncode, done.stderr, "--network must be one of mlp, cnn, resnet, got 'own'")


@pytest.mark.slow
def test_more_ranks_than_subnetworks(admm, tmp_path):
    done = admm("train", "--solver", "gsam", "--out", tmp_path / "out", ranks=3)
    check(done.returncode, done.stderr, "start fewer ranks or raise --subnetworks")


@pytest.mark.slow
def test_divergence_on_two_ranks(admm, tmp_path):
    options = ("--layers", 3, "--hidden", 8, "--optimizer", "gd", "--lr", 1e20, "--epochs", 3)
    done = admm("train", "--solver", "gsadmm", *options, "--out", tmp_path, ranks=2)
    check(done.returncode, done.stderr, "training diverged in epoch 1", expected=3)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["best"]) == ("diverged", None)
