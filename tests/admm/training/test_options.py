import dataclasses

import pytest

from admm.errors import InputError
from admm.training.options import Options
from quant import Delta, Float, LevelCodec, Levels


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": 0}, "--layers must be at least 1, got 0"),
        ({"eval_every": -1}, "--eval-every must be at least 1, got -1"),
        ({"seed": -1}, "--seed must be in 0"),
        ({"rho": 0.0}, "--rho must be positive and finite, got 0.0"),
        ({"nu": float("nan")}, "--nu must be positive and finite, got nan"),
        ({"weight_decay": -0.1}, "--weight-decay must be finite and ≥ 0, got -0.1"),
        ({"grow": (2, 5)}, "--grow must rise and end with --layers 10, got 2,5"),
        ({"grow": (5, 2, 10)}, "--grow must rise"),
        ({"grow": (1, 10)}, "--grow starts with a hidden and an output layer, 2, or more; got 1"),
        ({"grow": ()}, "--grow must rise and end with --layers 10"),
        ({"codec": "float64"}, "--codec float64 needs --dtype float64"),
        ({"codec": "zip"}, "unknown codec 'zip'"),
        ({"codec": "levels"}, "--codec levels needs --levels"),
        ({"solver": "adam", "lr": 0.0}, "--lr must be positive and finite, got 0.0"),
        ({"lr": 0.1}, "--lr is not for --solver pdadmm-g, which takes --rho, --nu, --weight-decay"),
        ({"solver": "adam", "rho": 0.1}, "--rho is not for --solver adam, which takes --lr, --we"),
        ({"solver": "gd", "nu": 0.1}, "--nu is not for --solver gd"),
        ({"solver": "gd", "step": "exact"}, "--step is not for --solver gd"),
        ({"solver": "gd", "levels": Levels(-1, 20)}, "--levels is not for --solver gd"),
        ({"solver": "gd", "levels_q": Levels(-1, 20)}, "--levels-q is not for --solver gd"),
        ({"solver": "gd", "codec": "float32"}, "--codec is not for --solver gd"),
    ],
)
def test_bad_options(given, message):
    with pytest.raises(InputError, match=message):
        Options(**given)


@pytest.mark.parametrize(
    "options",
    [
        Options(levels=Levels(-1, 20), codec="levels", grow=(3, 10), dtype="float64"),
        Options(solver="adam", weight_decay=0.1),
    ],
    ids=lambda options: options.solver,
)
def test_json_round_trip(options):
    again = Options.from_json(options.as_json())
    start = ("codes" if options.coded else "forward") if options.solver == "pdadmm-g" else None
    settings = options.settings | ({"start": start} if start else {})
    assert again == dataclasses.replace(options, grow=options.stages, **settings)


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
        ({"solver": "adam"}, False, 1),
    ],
    ids=str,
)
def test_where_class_codes_are_the_start(given, coded, size):
    options = Options(**given)
    assert (options.coded, options.code_size) == (coded, size)


def test_options_of_a_release_without_solvers_and_traces():
    values = Options(layers=3).as_json()
    for name in ("solver", "lr", "trace"):
        del values[name]
    assert Options.from_json(values) == Options.from_json(Options(layers=3).as_json())


def test_defaults_follow_the_solver():
    admm, adam = Options(), Options(solver="adam")
    assert (admm.stages, adam.stages) == ((2, 5, 10), (10,))
    assert admm.settings["weight_decay"] == 0.02
    assert adam.settings == {"lr": 1e-3, "weight_decay": 0.0}
    assert Options(solver="gd", lr=0.5).settings["lr"] == 0.5


def test_codec_of_each_variable():
    levels = Levels(-1, 20)
    assert Options().codec_for(None) == Float("float32")
    assert Options(dtype="float64").codec_for(None) == Float("float64")
    assert Options(codec="delta4").codec_for(levels) == Delta(4)
    quantised = Options(codec="levels", levels=levels)
    assert quantised.codec_for(levels) == LevelCodec(levels)
    assert quantised.codec_for(None) == Float("float32")
