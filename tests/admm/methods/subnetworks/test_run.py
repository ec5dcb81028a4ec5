"""The loop of gsADMM and gsAM in one process: options, results, files, networks of all kinds."""

import dataclasses
import io
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm import LocalTransport, SubnetworkOptions, evaluate, options, predict, resumed, train
from admm.errors import DivergedError, InputError
from admm.methods.subnetworks.data import row_inputs
from admm.methods.subnetworks.network import make_network
from admm.run.registry import options_from_json
from admm.run.saved import open_saved
from layers import Subnetwork, build, from_modules

PLAIN = from_modules([jnp.ravel, lambda x: x[:10]], (8, 8, 1))
SMALL = {"layers": 4, "hidden": 24, "epochs": 4, "batch": 171, "lr": 5e-3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """gsADMM on two workers, traced."""
    out = tmp_path_factory.mktemp("run")
    progress = io.StringIO()
    given = SubnetworkOptions(**SMALL, subnetworks=3, workers=2, out=out, trace=out / "t.json")
    return train(given, progress=progress), out, progress.getvalue()


def test_summary_is_what_the_contract_says(run):
    result, out, _ = run
    summary = json.loads((out / "summary.json").read_text())
    assert summary == json.loads(json.dumps(result.summary))
    assert (summary["schema"], summary["status"], summary["stopped"]) == (1, "done", False)
    assert set(summary) == {
        *("schema", "versions", "workers", "best", "final", "seconds", "bytes", "peak_rss_bytes"),
        *("options", "dataset", "stages", "retreats", "cuts", "state_bytes", "stopped", "status"),
        "module_seconds",
        *("sharing", "costs", "joules"),
    }
    assert summary["dataset"] == {
        **{"name": "digits", "nodes": 1797, "edges": 0, "features": 64, "classes": 10},
        "fingerprint": result.summary["dataset"]["fingerprint"],
        **{"train": 1197, "val": 300, "test": 300},
    }
    assert [cut["module"] for cut in summary["cuts"]] == sorted(
        {cut["module"] for cut in summary["cuts"]}
    )
    assert len(summary["cuts"]) == 2
    for cut in summary["cuts"]:
        assert set(cut) == {"module", "q_f", "p_q", "alpha"}
        assert cut["q_f"] == pytest.approx(SubnetworkOptions.reach, rel=0.1)
        assert 0 < cut["p_q"] < 1
        assert cut["alpha"] > 0
    assert len(summary["state_bytes"]) == 1  # one process
    assert summary["state_bytes"][0] > 1197 * 64 * 4  # X
    assert summary["workers"]["ranks"] == 2
    assert len(summary["workers"]["units_per_rank"]) == 2
    assert all(units.startswith("modules ") for units in summary["workers"]["units_per_rank"])
    assert [(stage["depth"], stage["epochs"]) for stage in summary["stages"]] == [(4, 4)]
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert summary["final"] == lines[-1]
    assert summary["best"] == summary["stages"][0]["best"] in lines
    assert set(summary["bytes"]["by_variable"]) == {"f", "q"}
    assert summary["bytes"]["sent"] == summary["bytes"]["float32"] == 4 * 2 * 1197 * 24 * 4
    assert summary["options"]["lr"] == 5e-3


def test_history(run):
    result, out, progress = run
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert lines == result.history
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert [line["bytes_sent"] for line in lines] == [e * 2 * 1197 * 24 * 4 for e in (1, 2, 3, 4)]
    assert lines[-1]["train_loss"] < lines[0]["train_loss"]
    assert all(line["primal_residual"] > 0 < line["output_residual"] for line in lines)
    assert all(line["rho"] == line["alpha"] > 0 for line in lines)  # neither is given
    assert {frozenset(line) for line in lines} == {
        frozenset(
            {
                *("stage", "epoch", "modules", "train_loss", "train_accuracy", "val_accuracy"),
                *(
                    "test_accuracy",
                    "objective",
                    "output_residual",
                    "alpha",
                    "primal_residual",
                    "rho",
                ),
                *("val_balanced_accuracy", "test_balanced_accuracy", "val_roc_auc", "test_roc_auc"),
                *("bytes_sent", "seconds", "iterate_seconds"),
            }
        )
    }
    values = [line["val_accuracy"] for line in lines]
    assert result.summary["best"]["epoch"] == 1 + values.index(max(values))
    assert result.summary["best"]["test_accuracy"] > 0.5
    assert progress.startswith("digits: 1,197 training, 300 validation, 300 test samples of 8×8×1")
    assert "4 modules in 3 subnetworks" in progress
    assert progress.splitlines()[2].split() == [
        *("row", "epoch", "modules", "train_loss", "train", "val", "test", "objective"),
        *("output", "alpha", "primal", "rho", "seconds", "left"),
    ]


def test_network_on_disk_is_the_best_one(run):
    result, out, _ = run
    on_disk, given = open_saved(out), SubnetworkOptions(**SMALL)
    facts, rows = row_inputs(given)
    assert sorted(result.network) == [1, 2, 3, 4]
    network = Subnetwork(tuple(result.network[n] for n in (1, 2, 3, 4)))
    network = jax.device_put(network, jax.devices()[0])
    for number, module in enumerate(network.modules, 1):
        saved = on_disk.read(number)
        np.testing.assert_array_equal(saved["W"], module.W)
        np.testing.assert_array_equal(saved["b"], module.b)
    best = {name: result.summary["best"][f"{name}_accuracy"] for name in ("train", "val", "test")}
    best |= {
        n: v
        for n, v in result.summary["best"].items()
        if n.endswith(("_balanced_accuracy", "_auc"))
    }
    logits = network(jnp.asarray(rows))
    for found in (
        {**facts.task.main_scores(logits), **facts.task.other_scores(logits)},
        evaluate(out, LocalTransport(1)),
        evaluate(out, LocalTransport(3)),
    ):
        assert found == pytest.approx(best, abs=0.005)


def test_trace(run):
    _, out, _ = run
    events = json.loads((out / "t.json").read_text())["traceEvents"]
    names = {event["name"] for event in events}
    for number in (1, 2):
        assert {f"evaluate {number} of 3", f"visit {number} of 3"} <= names
    assert {"visit 3 of 3", "encode f", "decode f", "encode q", "decode q"} <= names
    visits = [event for event in events if event["name"] == "visit 1 of 3"]
    assert len(visits) == 4 * 7


@pytest.mark.slow
def test_seeds_and_workers():
    """The same numbers again with another number of workers; others with another seed."""
    given = SubnetworkOptions(**{**SMALL, "epochs": 1, "solver": "gsam"})
    first = train(given).history[0]
    again = train(dataclasses.replace(given, workers=2)).history[0]
    other = train(dataclasses.replace(given, seed=1)).history[0]
    assert again["train_loss"] == pytest.approx(first["train_loss"], rel=1e-5)
    assert again["output_residual"] == pytest.approx(first["output_residual"], rel=1e-5)
    assert not {"primal_residual", "rho"} & set(first)  # gsAM has none
    assert other["train_loss"] != pytest.approx(first["train_loss"], rel=1e-3)


def test_a_second_training_compiles_no_subnetwork(caplog):
    given = SubnetworkOptions(**{**SMALL, "epochs": 1}, subnetworks=3, workers=2)

    def compiled(given):
        caplog.clear()
        with jax.log_compiles(True):
            result = train(given)
        words = ("_visit", "_evaluate", "forward")
        found = {w for line in caplog.messages for w in words if f"Compiling jit({w})" in line}
        return result, found

    first, _ = compiled(given)
    again, found = compiled(given)
    assert not found
    _, found = compiled(dataclasses.replace(given, lr=1e-3))
    assert found == {"_visit", "_evaluate", "forward"}
    assert again.history[0]["objective"] == first.history[0]["objective"]


def test_functions_of_ones_own_are_read_anew():
    """They may read what has changed since the training before."""
    scale = 1.0
    network = from_modules([jnp.ravel, lambda x: scale * x[:10]], (8, 8, 1))
    given = SubnetworkOptions(network=network, epochs=1, batch=171)
    one = train(given).history[0]["train_loss"]
    scale = 2.0
    assert train(given).history[0]["train_loss"] != one


def test_evaluation_does_not_change_training(run):
    result, _, _ = run
    given = SubnetworkOptions(**SMALL, subnetworks=3, workers=2, eval_every=3)
    seldom = train(given).history
    assert [e["epoch"] for e in seldom] == [3, 4]
    assert seldom[-1]["objective"] == pytest.approx(result.history[-1]["objective"], rel=1e-6)


def test_accuracies_are_those_of_the_three_parts():
    facts, rows = row_inputs(SubnetworkOptions())
    assert rows.shape == (1797, *facts.shape) == (1797, 8, 8, 1)
    right = jax.nn.one_hot(facts.task.targets, 10)
    logits = right.at[:1197].multiply(-1).at[-30:].multiply(-1)
    assert facts.task.main_scores(logits) == {"train": 0.0, "val": 1.0, "test": pytest.approx(0.9)}


# Networks.


def own_network():
    keys = jax.random.split(jax.random.key(0), 2)
    return [
        jnp.ravel,
        eqx.nn.Linear(64, 20, key=keys[0]),
        jax.nn.relu,
        (lambda key: jax.random.normal(key, (20, 10)) / 5, lambda W, x: x @ W),
    ]


def test_a_network_of_ones_own(tmp_path):
    """Modules without parameters, one of them a whole subnetwork, equinox modules and pairs."""
    modules = own_network()
    network = from_modules(modules, (8, 8, 1))
    small = {name: value for name, value in SMALL.items() if name not in ("layers", "hidden")}
    given = SubnetworkOptions(
        **small,
        solver="gsam",
        network=network,
        subnetworks=3,
        cuts=(1, 3),
        workers=2,
        out=tmp_path,
    )
    result = train(given)
    assert result.summary["options"]["network"] == "own"
    assert "own_network" not in result.summary
    assert [cut["module"] for cut in result.summary["cuts"]] == [1, 3]
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    assert (result.network[2].weight != modules[1].weight).any()
    best = result.summary["best"]
    found = evaluate(tmp_path, LocalTransport(2), network=network)
    assert found["test"] == pytest.approx(best["test_accuracy"], abs=0.004)
    for read in (evaluate, predict):
        with pytest.raises(InputError, match="a network of one's own; pass it along, as network"):
            read(tmp_path, LocalTransport(1))
    smaller = from_modules([*modules[:3], lambda x: x[:10]], (8, 8, 1))
    with pytest.raises(InputError, match="got a network of 3 modules; .* holds one of 4"):
        evaluate(tmp_path, LocalTransport(1), network=from_modules(modules[:3], (8, 8, 1)))
    with pytest.raises(
        InputError, match=r"module 3 of .* has parameters .*\(20, 10\).*; the network's has {}"
    ):
        evaluate(tmp_path, LocalTransport(1), network=smaller)


def test_a_run_with_a_network_of_ones_own_goes_on(tmp_path):
    network = from_modules(own_network(), (8, 8, 1))
    small = {name: value for name, value in SMALL.items() if name not in ("layers", "hidden")}
    given = SubnetworkOptions(**small, network=network, checkpoint_every=2)
    whole = train(given)
    train(dataclasses.replace(given, epochs=2, out=tmp_path))
    with pytest.raises(InputError, match="a network of one's own; pass it along, as network"):
        train(resumed(tmp_path, epochs=4))
    again = train(resumed(tmp_path, epochs=4, network=network))
    assert [e["objective"] for e in again.history] == [e["objective"] for e in whole.history]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("own", "network= must be one of mlp, cnn, resnet|network of one's own"),
        (3, "network= must be one of mlp, cnn, resnet.*, got 3"),
    ],
)
def test_what_is_no_network(given, message):
    with pytest.raises(InputError, match=message):
        train(options("gsam", network=given, epochs=1, batch=1000))


@pytest.mark.parametrize(
    ("modules", "shape", "message"),
    [
        ([jnp.ravel, lambda x: x @ jnp.ones((3, 10))], (8, 8, 1), "does not take a sample of sh"),
        ([jnp.ravel, lambda x: x[:9]], (8, 8, 1), "the last module returns (9,); expected (10,)"),
        (
            [lambda x: x[:10], lambda x: x],
            (64,),
            "takes samples of shape (64,) in float32; digits has (8, 8, 1)",
        ),
    ],
    ids=["chain", "logits", "images"],
)
def test_networks_that_do_not_fit(modules, shape, message):
    with pytest.raises(InputError) as error:
        train(SubnetworkOptions(network=from_modules(modules, shape)))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("solver", "kind"),
    [
        pytest.param("gsadmm", {"network": "cnn", "filters": 3}, marks=pytest.mark.slow),
        pytest.param(
            "gsam", {"network": "resnet", "filters": 3, "blocks": 2}, marks=pytest.mark.slow
        ),
    ],
    ids=["cnn", "resnet"],
)
def test_networks_of_images(solver, kind, tmp_path):
    given = SubnetworkOptions(
        solver=solver, hidden=12, epochs=3, batch=171, lr=5e-3, out=tmp_path, **kind
    )
    result = train(given)
    losses = [evaluation["train_loss"] for evaluation in result.history]
    assert losses[-1] < losses[0]
    fresh = build(make_network(given, (8, 8, 1), 10), range(1), seed=0).modules[0]
    first = result.network[1]
    assert (first.convolution.W != fresh.convolution.W).any()  # the lower subnetwork learns
    found = evaluate(tmp_path, LocalTransport(1))
    assert found["val"] == pytest.approx(result.summary["best"]["val_accuracy"], abs=0.004)


def test_image_networks_need_room():
    with pytest.raises(InputError, match="network=cnn on digits: got images of 3×3"):
        make_network(SubnetworkOptions(network="cnn"), (3, 3, 1), 10)


# Endings.


def test_divergence_is_an_error_with_a_summary(tmp_path):
    given = SubnetworkOptions(**{**SMALL, "lr": 1e20}, optimizer="gd", out=tmp_path, solver="gsam")
    with pytest.raises(
        DivergedError, match=r"training diverged in epoch 1: .*; try a lr= below 1e\+17"
    ):
        train(given)
    summary = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert summary["status"] == "diverged"
    assert summary["best"] is None
    assert not (tmp_path / "model.json").exists()


@pytest.mark.slow
def test_float64_is_kept(x64):
    given = SubnetworkOptions(**{**SMALL, "epochs": 1, "dtype": "float64", "codec": "float64"})
    result = train(dataclasses.replace(given, workers=2))
    assert result.network[1].W.dtype == jnp.float64
    assert result.summary["bytes"]["sent"] == 2 * result.summary["bytes"]["float32"]


def test_a_trace_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="cannot write a trace to"):
        train(SubnetworkOptions(trace=tmp_path / "none" / "t.json"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch": 1198}, "batch=1198 is larger than the data: 1197 training samples"),
        ({"workers": 3}, "got 3 workers for 2 subnetworks; every worker needs at least one"),
        ({"subnetworks": 11}, "got 11 subnetworks for 10 modules"),
        ({"cuts": (10,)}, "got cuts at modules 10; expected increasing numbers from 1 to 9"),
        ({"subnetworks": 3, "cuts": (5, 5)}, "got cuts at modules 5, 5; expected increasing"),
        ({"dataset": "cora"}, "unknown image data set 'cora'"),
    ],
)
def test_runs_that_cannot_begin(given, message):
    with pytest.raises(InputError, match=message):
        train(SubnetworkOptions(**given))


# Options.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": 0}, "layers= must be in 1…10,000, got 0"),
        ({"eval_every": -1}, "eval_every= must be at least 1, got -1"),
        ({"inner": 0}, "inner= must be at least 1, got 0"),
        ({"seed": -1}, "seed= must be in 0…2³²−1, got -1"),
        ({"alpha": 0.0}, "alpha= must be positive and finite, got 0.0"),
        ({"reach": -0.1}, "reach= must be positive and finite, got -0.1"),
        ({"rho": 0.1}, "rho= needs alpha=; without, both follow from the gradient"),
        ({"inner": 2}, "inner= above 1 and refresh=False need alpha=: that which follows"),
        ({"refresh": False}, "inner= above 1 and refresh=False need alpha=: that which follows"),
        ({"alpha": 0.1, "reach": 0.2}, "reach= is not for a given alpha=, which it would set"),
        ({"rho": float("inf")}, "rho= must be positive and finite, got inf"),
        ({"lr": float("nan")}, "lr= must be positive and finite, got nan"),
        ({"relaxation": 2.0}, r"relaxation= must be in \(0, 1\], got 2.0"),
        ({"cuts": (3, 6)}, "cuts= needs 1 numbers for subnetworks=2, got 2"),
        (
            {"codec": "levels"},
            "codec= must be one of float64, .*, delta2, ternary, got levels",
        ),
        ({"codec": "float64"}, "codec=float64 needs dtype=float64"),
    ],
)
def test_bad_options(given, message):
    with pytest.raises(InputError, match=f"^{message}"):
        SubnetworkOptions(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rho": 0.2}, "rho= is not for solver=gsam, which takes alpha=, batch=, .*, workers=$"),
        ({"network": "cnn", "layers": 3}, "layers= is not for network=cnn$"),
        ({"filters": 3}, "filters= is not for network=mlp$"),
        ({"network": PLAIN, "layers": 3}, "layers= is not for network=Network$"),
        ({"network": PLAIN, "hidden": 3}, "hidden= is not for network=Network$"),
        ({"network": "cnn", "blocks": 3}, "blocks= is not for network=cnn$"),
        ({"hops": 3}, "hops= is not for solver=gsam, which takes alpha=, batch="),
    ],
)
def test_options_that_do_not_go_together(given, message):
    with pytest.raises(InputError, match=f"^{message}"):
        options("gsam", **given)
    given = {name: value for name, value in given.items() if name != "hops"}
    if given:
        with pytest.raises(InputError, match=f"^{message.partition(',')[0]}"):
            SubnetworkOptions(solver="gsam", **{"alpha": 0.1, **given})


@pytest.mark.parametrize(
    "given",
    [
        SubnetworkOptions(lr=0.1, codec="float32"),
        SubnetworkOptions(
            subnetworks=3, cuts=(2, 5), codec="delta4", refresh=False, alpha=0.1, lr=0.2
        ),
    ],
    ids=["plain", "cut"],
)
def test_json_round_trip(given, tmp_path):
    given = dataclasses.replace(given, out=tmp_path, trace=tmp_path / "t", data_dir=tmp_path)
    values = json.loads(json.dumps(given.as_json()))
    assert SubnetworkOptions.from_json(values) == given == options_from_json(values)


def test_json_says_what_the_defaults_mean():
    values = SubnetworkOptions(optimizer="gd").as_json()
    assert (values["lr"], values["codec"], values["cuts"]) == (0.1, "float32", None)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["gsadmm", "gsam"])
def test_accuracy_of_mnist(solver, data_dir):
    """Not the benchmark: few epochs, and well above what a frozen lower half reaches."""
    given = SubnetworkOptions(
        dataset="mnist14", data_dir=data_dir, solver=solver, layers=10, hidden=512, epochs=3
    )
    assert train(given).summary["best"]["test_accuracy"] >= 0.96
