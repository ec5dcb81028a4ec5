import dataclasses

import pytest

from admm.errors import InputError
from admm.training.options import Options, options_from_json, options_json
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
    ],
)
def test_bad_options(given, message):
    with pytest.raises(InputError, match=message):
        Options(**given)


def test_json_round_trip():
    options = Options(levels=Levels(-1, 20), codec="levels", grow=(3, 10), dtype="float64")
    again = options_from_json(options_json(options))
    assert again == dataclasses.replace(options, grow=(3, 10), codec="levels")


def test_codec_of_each_variable():
    levels = Levels(-1, 20)
    assert Options().codec_for(None) == Float("float32")
    assert Options(dtype="float64").codec_for(None) == Float("float64")
    assert Options(codec="delta4").codec_for(levels) == Delta(4)
    quantised = Options(codec="levels", levels=levels)
    assert quantised.codec_for(levels) == LevelCodec(levels)
    assert quantised.codec_for(None) == Float("float32")
