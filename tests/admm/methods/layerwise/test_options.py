"""Options of pdADMM-G and of backpropagation: what is refused, what follows from what."""

import dataclasses
import json

import pytest

from admm import BackpropOptions, PDADMMGOptions, options
from admm.errors import InputError
from admm.methods.layerwise.pdadmm_g import variable_codec
from admm.run.registry import options_from_json
from quant import Delta, Float, LevelCodec, Levels


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": 0}, "layers= must be in 1…10,000, got 0"),
        ({"eval_every": -1}, "eval_every= must be at least 1, got -1"),
        ({"seed": -1}, "seed= must be in 0…2³²−1, got -1"),
        ({"rho": 0.0}, "rho= must be positive and finite, got 0.0"),
        ({"nu": float("nan")}, "nu= must be positive and finite, got nan"),
        ({"weight_decay": -0.1}, "weight_decay= must be finite and ≥ 0, got -0.1"),
        ({"grow": (2, 5)}, "grow= must rise and end with layers=10, got 2,5"),
        ({"grow": (5, 2, 10)}, "grow= must rise and end with layers=10, got 5,2,10"),
        ({"grow": (1, 10)}, "grow= starts with a hidden and an output layer, 2, or more; got 1"),
        ({"grow": ()}, "grow= must rise and end with layers=10, got $"),
        ({"codec": "float64"}, "codec=float64 needs dtype=float64"),
        (
            {"codec": "zip"},
            "codec= must be one of float64, float32, .*, delta2, ternary, levels, got zip",
        ),
        ({"codec": "levels"}, r"codec=levels needs levels= \(for p\) or levels_q= \(for q\)"),
        ({"solver": "adam", "lr": 0.0}, "lr= must be positive and finite, got 0.0"),
        (
            {"lr": 0.1},
            "lr= is not for solver=pdadmm-g, which takes checkpoint_every=, checksum=, codec=, "
            "data_dir=, .*, nu=, .*, rho=, .*, weight_decay=, weights=, workers=$",
        ),
        (
            {"solver": "adam", "rho": 0.1},
            "rho= is not for solver=adam, which takes .*, layers=, lr=, .*, weights=, workers=$",
        ),
        ({"solver": "gd", "nu": 0.1}, "nu= is not for solver=gd, which takes"),
        ({"solver": "gd", "step": "exact"}, "step= is not for solver=gd, which takes"),
        ({"solver": "gd", "levels": Levels(-1, 20)}, "levels= is not for solver=gd, which takes"),
        ({"solver": "gd", "levels_q": Levels(-1, 20)}, "levels_q= is not for solver=gd, which"),
        ({"solver": "gd", "codec": "float32"}, "codec= is not for solver=gd, which takes"),
    ],
)
def test_bad_options(given, message):
    with pytest.raises(InputError, match=f"^{message}"):
        options(**given)


@pytest.mark.parametrize(
    "given",
    [
        options(levels=Levels(-1, 20), codec="levels", grow=(3, 10), dtype="float64"),
        options("adam", weight_decay=0.1),
    ],
    ids=lambda given: given.solver,
)
def test_json_round_trip(given):
    values = json.loads(json.dumps(given.as_json()))
    again = type(given).from_json(values)
    settings = {"start": "codes" if given.coded else "forward"} if given.solver != "adam" else {}
    assert again == dataclasses.replace(given, grow=given.depths, **settings)
    assert again == options_from_json(values)
    assert again.as_json() == values


@pytest.mark.parametrize(
    ("given", "coded", "size"),
    [
        ({}, False, 1),
        ({"grow": (10,)}, True, 1),
        ({"grow": (4, 10)}, True, 1),
        ({"layers": 3}, False, 1),
        ({"grow": (10,), "start": "forward"}, False, 1),
        ({"start": "codes"}, True, 1),
        ({"levels": Levels(-1, 20)}, True, 3),
        ({"levels_q": Levels(0, 1)}, True, 1),
        ({"levels": Levels(-0.5, 2, 0.25)}, True, 0.75),
    ],
    ids=str,
)
def test_where_class_codes_are_the_start(given, coded, size):
    found = PDADMMGOptions(**given)
    assert (found.coded, found.code_size) == (coded, size)


def test_options_that_are_not_of_the_method_are_refused_by_name():
    with pytest.raises(InputError, match="this release has no gamma=3"):
        options_from_json(options("adam", layers=3).as_json() | {"gamma": 3})


def test_defaults_follow_the_solver():
    admm, adam = options(), options("adam")
    assert (type(admm), type(adam)) == (PDADMMGOptions, BackpropOptions)
    assert (admm.depths, adam.depths) == ((2, 5, 10), (10,))
    assert list(admm.stages) == ["2 layers", "5 layers", "10 layers"]
    assert (admm.rho, admm.nu, admm.weight_decay, admm.step) == (3e-3, 3e-3, 0.02, "exact")
    assert (adam.lr, adam.weight_decay) == (1e-3, 0.0)
    assert [options(solver).lr for solver in ("gd", "adadelta", "adagrad")] == [0.1, 1e-3, 1e-3]
    assert options("gd", lr=0.5).lr == 0.5


@pytest.mark.parametrize("solver", ["pdadmm-g", "adam"])
def test_one_stage_for_those_who_want_it(solver):
    assert options(solver, grow="none").depths == (10,)
    assert options(solver, grow="none").as_json()["grow"] == [10]


def test_codec_of_each_variable():
    levels = Levels(-1, 20)
    assert variable_codec(options(), None) == Float("float32")
    assert variable_codec(options(dtype="float64"), None) == Float("float64")
    assert variable_codec(options(codec="delta4"), levels) == Delta(4)
    quantised = options(codec="levels", levels=levels)
    assert variable_codec(quantised, levels) == LevelCodec(levels)
    assert variable_codec(quantised, None) == Float("float32")
