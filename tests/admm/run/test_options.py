"""Options as people write them, in Python and in a shell: what is read, and each refusal."""

import argparse
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from admm import (
    BackpropOptions,
    FederatedOptions,
    PartitionOptions,
    PDADMMGOptions,
    StochasticOptions,
    SubnetworkOptions,
    options,
)
from admm.cli.main import main
from admm.errors import InputError, hyphenated, shell_spelling, spelled, switched_off
from admm.run.registry import find_method, options_of, solver_places
from quant import Levels


def of_words(*words):
    """The options that a command makes of words."""
    train = import_module("admm.cli.train")
    arguments = import_module("admm.cli.main")._parse(["train", *words])
    given = {name: value for name, value in vars(arguments).items() if name != "command"}
    return train._options(given)


# Solver; what is given in Python, and the message; words in a shell, and the message.
REFUSED = {
    "a fraction of an epoch": (
        "pdadmm-g",
        {"epochs": 5.5},
        "epochs= must be a whole number, got 5.5",
        "--epochs 5.5",
        "--epochs must be a whole number, got '5.5'",
    ),
    "true as a number": (
        "pdadmm-g",
        {"hidden": True},
        "hidden= must be a whole number, got True",
        "--hidden True",
        "--hidden must be a whole number, got 'True'",
    ),
    "no number": (
        "pdadmm-g",
        {"eval_every": None},
        "eval_every= must be a whole number, got None",
        "--eval-every=",
        "--eval-every must be a whole number, got ''",
    ),
    "a list of numbers": (
        "adam",
        {"layers": [3]},
        "layers= must be a whole number, got [3]",
        "--layers 3,4",
        "--layers must be a whole number, got '3,4'",
    ),
    "a schedule": (
        "adam",
        {"lr": sum},
        "lr= must be a number, got <built-in function sum>",
        "--lr fast",
        "--lr must be a number, got 'fast'",
    ),
    "true as a rate": (
        "gsam",
        {"lr": True},
        "lr= must be a number, got True",
        "--lr True",
        "--lr must be a number, got 'True'",
    ),
    "not a number": (
        "gsam",
        {"lr": float("nan")},
        "lr= must be positive and finite, got nan",
        "--lr nan",
        "--lr must be positive and finite, got nan",
    ),
    "beyond the floating-point numbers": (
        "adam",
        {"lr": 10**400},
        "lr= must be",
        "--lr 1e400",
        "--lr must be positive and finite, got inf",
    ),
    "a data set by number": (
        "pdadmm-g",
        {"dataset": 7},
        "dataset= must be text, got 7",
        "--dataset 7",
        None,  # nothing is wrong with the word
    ),
    "a folder by number": (
        "pdadmm-g",
        {"out": 7},
        "out= must be a path, got 7",
        "--out 7",
        None,
    ),
    "numbers of a word": (
        "gsam",
        {"cuts": "3,six"},
        "cuts= must be whole numbers such as 3,6, got '3,six'",
        "--cuts 3,six",
        "--cuts must be whole numbers such as 3,6, got '3,six'",
    ),
    "one number for several": (
        "gsam",
        {"cuts": 3},
        "cuts= must be whole numbers such as 3,6, got 3",
        "--cuts 3;6",
        "--cuts must be whole numbers such as 3,6, got '3;6'",
    ),
    "stages of a word": (
        "pdadmm-g",
        {"grow": "some"},
        "grow= must be whole numbers such as 3,6 or one of none, got 'some'",
        "--grow some",
        "--grow must be whole numbers such as 3,6 or one of none, got 'some'",
    ),
    "levels of one number": (
        "pdadmm-g",
        {"levels": "20"},
        "levels= must be levels LOW:HIGH[:STEP], got '20': levels are LOW:HIGH or LOW:HIGH:STEP",
        "--levels 20",
        "--levels must be levels LOW:HIGH[:STEP], got '20': levels are LOW:HIGH or LOW:HIGH:STEP",
    ),
    "too many levels": (
        "pdadmm-g",
        {"levels_q": "0:300"},
        "levels_q= must be levels LOW:HIGH[:STEP], got '0:300': at most 256 levels fit an 8-bit",
        "--levels-q 0:300",
        "--levels-q must be levels LOW:HIGH[:STEP], got '0:300': at most 256 levels fit an 8-bit",
    ),
    "levels of a pair": (
        "pdadmm-g",
        {"levels": (-1, 20)},
        "levels= must be levels LOW:HIGH[:STEP], got (-1, 20)",
        "--levels=-1,20",
        "--levels must be levels LOW:HIGH[:STEP], got '-1,20'",
    ),
    "a word that is no choice": (
        "pdadmm-g",
        {"step": "big"},
        "step= must be one of exact, joint, backtracking, newton, got 'big'",
        "--step big",
        "--step must be one of exact, joint, backtracking, newton, got 'big'",
    ),
    "a type by itself": (
        "gsadmm",
        {"dtype": np.float32},
        "dtype= must be one of float32, float64, got <class 'numpy.float32'>",
        "--dtype half",
        "--dtype must be one of float32, float64, got 'half'",
    ),
    "a truth by number": (
        "pdadmm-g",
        {"checksum": 1},
        "checksum= must be True or False, got 1",
        "--checksum=1",
        "argument --checksum: ignored explicit argument '1'",
    ),
    "a codec that is none": (
        "pdadmm-g",
        {"codec": "zip"},
        "codec= must be one of float64, float32, bfloat16, uniform16, uniform8, uniform4, uniform2,"
        " delta8, delta4, delta2, ternary, levels, got zip",
        "--codec zip",
        "--codec must be one of float64, float32, bfloat16, uniform16, uniform8, uniform4, "
        "uniform2, delta8, delta4, delta2, ternary, levels, got zip",
    ),
    "an option that looks alike": (
        "pdadmm-g",
        {"leyers": 3},
        "there is no option leyers=; did you mean layers=",
        "--leyers 3",
        "there is no option --leyers; did you mean --layers",
    ),
    "an option with an underscore": (
        "pdadmm-g",
        {"checkpoint-every": 3},
        "there is no option checkpoint-every=; did you mean checkpoint_every=",
        "--checkpointevery 3",
        "there is no option --checkpointevery; did you mean --checkpoint-every",
    ),
    "an option like no other": (
        "pdadmm-g",
        {"zzz": 3},
        "there is no option zzz=",
        "--zzz 3",
        "there is no option --zzz",
    ),
    "an option of another solver": (
        "adam",
        {"levels_q": "-1:20"},
        "levels_q= is not for solver=adam, which takes checkpoint_every=, checksum=, data_dir=",
        "--levels-q=-1:20",
        "--levels-q is not for --solver adam, which takes --checkpoint-every, --checksum",
    ),
    "no epochs": (
        "pdadmm-g",
        {"epochs": 0},
        "epochs= must be at least 1, got 0",
        "--epochs 0",
        "--epochs must be at least 1, got 0",
    ),
    "more layers than any": (
        "pdadmm-g",
        {"layers": 10**9},
        "layers= must be in 1…10,000, got 1000000000",
        "--layers 1000000000",
        "--layers must be in 1…10,000, got 1000000000",
    ),
    "more workers than any": (
        "pdadmm-g",
        {"workers": 10**6},
        "workers= must be in 1…1,024, got 1000000",
        "--workers 1000000",
        "--workers must be in 1…1,024, got 1000000",
    ),
    "a seed below 0": (
        "pdadmm-g",
        {"split_seed": -1},
        "split_seed= must be in 0…2³²−1, got -1",
        "--split-seed=-1",
        "--split-seed must be in 0…2³²−1, got -1",
    ),
    "a folder beside that of the run": (
        "pdadmm-g",
        {"out": "a", "resume": "b"},
        f"resume={Path.cwd() / 'b'} goes on in that folder; leave out out={Path.cwd()}/a",
        "--resume b --out a",
        "b holds no complete checkpoint",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_python_is_told(case):
    solver, given, message, _, _ = REFUSED[case]
    with pytest.raises(InputError, match=f"^{re.escape(message)}") as error:
        options(solver, **given)
    assert "--" not in str(error.value)
    if set(given) <= set(options_of(solver)):
        with pytest.raises(InputError, match=f"^{re.escape(message)}"):
            replace(options(solver), **given)


@pytest.mark.parametrize("case", [case for case in REFUSED if REFUSED[case][-1] is not None])
def test_what_the_shell_is_told(case, capsys):
    """Once, on standard error, with code 2, before anything starts."""
    solver, _, _, words, message = REFUSED[case]
    asked = [] if "--resume" in words else ["--solver", solver]
    assert main(["train", *asked, *words.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("admm: error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert not re.search(r"\b[a-z_]+= ", printed.err)  # Python's way to name an option


READ = [
    ("pdadmm-g", "epochs", "5", 5),
    ("pdadmm-g", "epochs", " 5 ", 5),
    ("pdadmm-g", "epochs", np.int64(5), 5),
    ("pdadmm-g", "epochs", np.array(5), 5),
    ("pdadmm-g", "out", "x", Path("x").absolute()),
    ("pdadmm-g", "out", Path("x"), Path("x").absolute()),
    ("pdadmm-g", "trace", "x/t.json", Path("x/t.json").absolute()),
    ("pdadmm-g", "dataset", Path("x") / "graph.npz", str(Path("x/graph.npz").absolute())),
    ("pdadmm-g", "dataset", Path("folder"), str(Path("folder").absolute())),
    ("pdadmm-g", "data_dir", "data", Path("data").absolute()),
    ("pdadmm-g", "levels", "-1:20", Levels(-1, 20)),
    ("pdadmm-g", "levels_q", "0:1:0.5", Levels(0, 1, 0.5)),
    ("pdadmm-g", "levels", Levels(-1, 20), Levels(-1, 20)),
    ("pdadmm-g", "levels", None, None),
    ("pdadmm-g", "rho", "1e-2", 0.01),
    ("pdadmm-g", "rho", 1, 1.0),
    ("pdadmm-g", "rho", np.float32(0.5), 0.5),
    ("pdadmm-g", "timeout", "30", 30.0),
    ("pdadmm-g", "layers", 4, 4),
    ("pdadmm-g", "grow", "5,10", (5, 10)),
    ("pdadmm-g", "grow", [5, 10], (5, 10)),
    ("pdadmm-g", "grow", "none", "none"),
    ("gsam", "cuts", "3", (3,)),
    ("gsam", "cuts", [np.int32(3)], (3,)),
    ("gsam", "cuts", np.array([3]), (3,)),
    ("gsam", "refresh", True, True),
]


@pytest.mark.parametrize(("solver", "name", "value", "expected"), READ, ids=str)
def test_what_is_read(solver, name, value, expected):
    for found in (options(solver, **{name: value}), replace(options(solver), **{name: value})):
        assert getattr(found, name) == expected
        assert type(getattr(found, name)) is type(expected)


@pytest.mark.parametrize(
    ("words", "name", "expected"),
    [
        ("--epochs 5", "epochs", 5),
        ("--levels=-1:20", "levels", Levels(-1, 20)),
        ("--out x", "out", Path("x").absolute()),
        ("--rho 1e-2", "rho", 0.01),
        ("--grow 5,10", "grow", (5, 10)),
        ("--grow none", "grow", "none"),
        ("--checksum", "checksum", True),
        ("--solver gsam --no-refresh --alpha 0.1", "refresh", False),
        ("--solver gsam --cuts 3", "cuts", (3,)),
        ("--solver gsam --frozen-lower", "frozen_lower", True),
        ("--dataset graph.npz", "dataset", str(Path("graph.npz").absolute())),
        ("--data-dir data", "data_dir", Path("data").absolute()),
    ],
)
def test_what_is_read_of_words(words, name, expected):
    found = of_words(*words.split())
    assert getattr(found, name) == expected
    assert type(getattr(found, name)) is type(expected)


def test_what_is_not_given_has_its_default(monkeypatch):
    monkeypatch.delenv("ADMM_DATA", raising=False)
    for solver in solver_places():
        assert of_words("--solver", solver) == options(solver)
    assert of_words() == options() == PDADMMGOptions()


def test_options_do_not_change():
    given = options()
    with pytest.raises(AttributeError):
        given.epochs = 3


# Solvers.

FEDERATED = ("fed-admm", "fedavg", "fedavgm", "fedprox", "scaffold", "fedsgd")


def test_solvers_and_their_options():
    assert list(solver_places()) == [
        "pdadmm-g",
        "gd",
        "adadelta",
        "adagrad",
        "adam",
        "gsadmm",
        "gsam",
        "sadmm",
        "partitions",
        "digest",
        "sat",
        *FEDERATED,
    ]
    kinds = {"pdadmm-g": PDADMMGOptions, "gsadmm": SubnetworkOptions, "gsam": SubnetworkOptions}
    kinds["sadmm"] = StochasticOptions
    kinds |= dict.fromkeys(("partitions", "digest", "sat"), PartitionOptions)
    kinds |= dict.fromkeys(FEDERATED, FederatedOptions)
    for solver in solver_places():
        assert find_method(solver) is type(options(solver)) is kinds.get(solver, BackpropOptions)
        assert options(solver).solver == solver


@pytest.mark.parametrize(
    ("solver", "hint"),
    [
        ("admm", "; did you mean sadmm or gsadmm or adam?"),
        ("gsamm", "; did you mean gsadmm or gsam or sadmm?"),
        ("pdadmm_g", "; did you mean pdadmm-g or fed-admm or sadmm?"),
        ("sgd", "; did you mean gd or fedsgd?"),
        ("zzz", ""),
    ],
)
def test_a_solver_that_looks_alike(solver, hint, capsys):
    known = "pdadmm-g, gd, adadelta, adagrad, adam, gsadmm, gsam, sadmm, partitions, digest, sat, "
    message = f"must be one of {known}{', '.join(FEDERATED)}, got {solver!r}"
    with pytest.raises(InputError) as error:
        options(solver)
    assert str(error.value) == f"solver= {message}{hint}"
    assert main(["train", "--solver", solver]) == 2
    assert capsys.readouterr().err == f"admm: error: --solver {message}{hint}\n"


def test_a_solver_without_a_name(capsys):
    assert main(["train", "--solver"]) == 2
    assert "argument --solver: expected one argument" in capsys.readouterr().err


@pytest.mark.parametrize("solver", solver_places())
def test_every_option_explains_itself(solver, capsys):
    """A text, a heading that exists, and what stands for a value; there are no others."""
    groups = import_module("admm.cli.train").GROUPS
    with pytest.raises(SystemExit):
        main(["train", "--solver", solver, "--help"])
    text = capsys.readouterr().out
    assert text.count("usage: admm train") == 1
    assert f"Train with {solver}." in text
    assert all(other in text for other in solver_places())
    switches = {f"no-{n}" if f.default is True else n for n, f in options_of(solver).items()}
    flags = {f"--{hyphenated(name)}" for name in switches}
    _, _, listed = text.partition("data:\n")
    found = set(re.findall(r"^  (--[a-z-]+)(?= |$)", listed, re.MULTILINE))
    assert found == {"--no-cache", "--progress", "--dry-run", *flags}
    for name, each in options_of(solver).items():
        assert each.metadata["help"], name
        assert each.metadata["group"] in groups, name
        flag = f"--{hyphenated(name)}"
        if isinstance(each.default, bool):
            flag = f"--no-{hyphenated(name)}" if each.default else flag
            assert re.search(rf"^  {flag}$|^  {flag}  ", text, re.MULTILINE), name
        else:
            assert re.search(rf"^  {flag} [A-Z0-9]\S*", text, re.MULTILINE), name
        if isinstance(each.default, int | float) and not isinstance(each.default, bool):
            value = "N" if isinstance(each.default, int) else "X"
            assert re.search(rf"^  {flag} {value}( |$)", text, re.MULTILINE), name
            assert f"[{each.default}]" in " ".join(text.split()), name


# Words.


def test_options_are_spelled_as_the_person_writes_them():
    assert (spelled("eval_every"), switched_off("refresh")) == ("eval_every=", "refresh=False")
    with shell_spelling():
        assert (spelled("eval_every"), switched_off("refresh")) == ("--eval-every", "--no-refresh")
        assert spelled("lr", 0.1) == "--lr 0.1"
    assert spelled("lr", 0.1) == "lr=0.1"


def test_a_command_that_fails_leaves_python_its_spelling(capsys):
    assert main(["train", "--epochs", "many"]) == 2
    assert "--epochs must be" in capsys.readouterr().err
    with pytest.raises(InputError, match="^epochs= must be"):
        options(epochs="many")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: command"),
        (
            ["tarin"],
            "there is no command 'tarin'; expected one of train, evaluate, predict, status, "
            "doctor, plot, report, trace, datasets; did you mean train?",
        ),
        (["train", "digits"], "unrecognized argument 'digits' (see admm train --help)"),
        (["evaluate"], "the following arguments are required: RUN (see admm evaluate --help)"),
        (["evaluate", "run", "--ranks", "3"], "unrecognized argument '--ranks' (see admm evaluate"),
        (["predict", "run"], "the following arguments are required: --out (see admm predict --he"),
        (["datasets"], "the following arguments are required: action"),
        (["status"], "the following arguments are required: RUN (see admm status --help)"),
        (["plot"], "the following arguments are required: RUN (see admm plot --help)"),
        (["trace"], "the following arguments are required: FILE (see admm trace --help)"),
        (["doctor", "here"], "unrecognized argument 'here' (see admm doctor --help)"),
    ],
    ids=" ".join,
)
def test_commands_that_are_none(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_version(capsys):
    import admm

    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"admm {admm.__version__}\n"


def test_the_parser_raises_and_does_not_exit():
    parser = import_module("admm.cli.main").Parser(prog="admm")
    assert isinstance(parser, argparse.ArgumentParser)
    with pytest.raises(InputError, match=r"something \(see admm --help\)"):
        parser.error("something")


# The packages beside.

HIDING = "raise RuntimeError('not to be imported')\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("layers.py", "train --epochs 1"),
        ("quant.py", "train --help"),
        ("layers/__init__.py", "evaluate x"),
    ],
)
def test_a_module_of_ones_own_that_hides_ours(tmp_path, name, words):
    """One message that names the file, which is not imported; no traceback."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(HIDING)
    done = subprocess.run(
        [sys.executable, "-m", "admm", *words.split()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2, done.stderr
    package = Path(name).parts[0].removesuffix(".py")
    assert done.stderr == (
        f"admm: error: {path} hides the package {package!r} of layerwise-admm; rename it, or start "
        "Python in another folder\n"
    )
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("layers", "from admm import options; options()"),
        ("quant", "from admm import options, train; train(options('adam'))"),
        ("quant", "import admm; admm.options('gsam')"),
        ("layers", "from admm.solvers import PDADMMG"),
    ],
)
def test_a_module_of_ones_own_that_hides_ours_in_python(tmp_path, name, program):
    """The last line of the traceback says so."""
    path = tmp_path / f"{name}.py"
    path.write_text(HIDING)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    message = f"admm.errors.InputError: {path} hides the package {name!r} of layerwise-admm"
    assert done.stderr.splitlines()[-1].startswith(message), done.stderr


@pytest.mark.parametrize("name", ["out", "data_dir", "trace", "dataset"])
@pytest.mark.parametrize("value", ["", "a\0.npz"])
def test_no_path(name, value):
    """An empty one, as of a variable that is not set, is not the folder at hand."""
    with pytest.raises(InputError, match=f"{name}= must be"):
        options(**{name: value})


@pytest.mark.parametrize(
    "words", [["--out", ""], ["--trace", ""], ["--resume", ""], ["--data-dir", ""]], ids=str
)
def test_no_path_in_words(words):
    with pytest.raises(
        InputError, match="path of its folder, got ''|must be a path, got '': it is"
    ):
        of_words(*words)


_WRONG = """
import io
from admm import PDADMMGOptions, evaluate, options, predict, resumed, train
from admm.errors import InputError

def refused(words, function, *given, **named):
    try:
        function(*given, **named)
    except InputError as error:
        assert words in str(error), error
    else:
        raise AssertionError(words)

for run in (None, 3, b"x", ["x"], ""):
    for function in (resumed, predict, evaluate):
        refused("a run is given by the path of its folder, got", function, run)
for given in ("adam", None, {}, PDADMMGOptions):
    refused("train takes what options", train, given)
refused("transport= must be a Transport", train, options(), 3)
for callback in (3, [print, 3]):
    refused("of an evaluation, or a list of such, got 3", train, options(), callback=callback)
for stream in (True, "x", print, io.BytesIO()):
    refused("progress= must be a stream of text", train, options(out="new"), progress=stream)
"""


def test_what_functions_do_not_take(tmp_path):
    """Elsewhere, since tests check all types."""
    done = subprocess.run(
        [sys.executable, "-c", _WRONG],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


def test_a_working_directory_that_is_no_more(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for given in ({"dataset": "x.npz"}, {"out": "x"}):
        with pytest.raises(InputError, match="the working directory has been removed"):
            options(**given)
