"""What a federated run gives away: every message is kept, and then attacked."""

import json
import pickle
from itertools import combinations, pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recording import RecordingLocalTransport, holders
from scipy import stats

from admm import options, train
from admm.methods.federated.scores import Scorer
from admm.methods.federated.summed import RANGE_BYTES, SummedUplink
from quant import pack_words, unpack_words

CLIENTS = 6
GIVEN = {
    "solver": "fed-admm",
    "dataset": f"sensors:clients={CLIENTS},hours=120",
    "network": "mlp",
    "hidden": 4,
    "batch": 8,
    "local_steps": 2,
    "epochs": 4,
}
SLOW = pytest.mark.slow
ALPHA = 1e-6  # a run that is right fails a test of randomness as often


def made(**changes):
    return options(**{**GIVEN, "baselines": False, **changes})


class Kept:
    """What the owners of clients know, and nobody else may."""

    def __init__(self, monkeypatch):
        self.changes, self.bare, self.scores = {}, {}, []
        packed, change, scored = SummedUplink._packed, SummedUplink._change, Scorer._of_client

        def noted_packed(way, words, client, number, phase, width):
            if way._start.size > 50:  # an answer, not a score
                self.bare[number, client, phase] = pack_words(words, width)
            return packed(way, words, client, number, phase, width)

        def noted_change(way, client, answer):
            found = change(way, client, answer)
            if way._start.size > 50:
                self.changes[len(self.changes)] = found
            return found

        def noted_scores(scorer, client, w, v):
            found = scored(scorer, client, w, v)
            self.scores.append(list(found.values()))
            return found

        monkeypatch.setattr(SummedUplink, "_packed", noted_packed)
        monkeypatch.setattr(SummedUplink, "_change", noted_change)
        monkeypatch.setattr(Scorer, "_of_client", noted_scores)


def recorded(monkeypatch, workers=3, **changes):
    """All messages of a run, what must not be in them, and its result."""
    with monkeypatch.context() as patched:
        kept = Kept(patched)
        transport = RecordingLocalTransport(workers)
        result = train(made(**changes), transport)
    return transport.messages, kept, result


def raw_rows():
    share = made().look(RecordingLocalTransport(1))
    for client in share.clients.values():
        for windows in (client.train, client.val):
            yield windows.inputs.reshape(-1, windows.inputs.shape[-1])[::7]
            yield windows.targets


def p_uniform(octets):
    return stats.chisquare(np.bincount(octets, minlength=256)).pvalue


def test_no_message_holds_a_row_a_label_an_update_or_a_score(monkeypatch):
    messages, kept, _ = recorded(monkeypatch, secure_aggregation=True, codec="common16")
    data = b"".join(message.data for message in messages)
    assert len(messages) > 100
    for rows in raw_rows():
        assert not holders(messages, rows)
    assert kept.scores
    assert not holders(messages, kept.scores)
    assert kept.changes
    assert not holders(messages, list(kept.changes.values()))
    assert all(np.asarray(bare).tobytes() not in data for key, bare in kept.bare.items() if key[2])


def test_the_search_finds_what_is_there(monkeypatch):
    """In a run without masks: updates of others than the root's clients, and scores."""
    messages, kept, result = recorded(monkeypatch, codec="common16", codec_down="float32")
    ups = {message.data for message in messages if message.variable == "up"}
    assert len(ups) == 4 * 4
    assert ups < {np.asarray(bare).tobytes() for bare in kept.bare.values()}
    assert "sum" in holders(messages, kept.scores)
    z = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(result.network[0])])
    assert "evaluation" in holders(messages, z)


@pytest.mark.parametrize("solver", ["fed-admm", pytest.param("fedavg", marks=SLOW)])
def test_single_messages_and_partial_sums_are_uniform(solver, monkeypatch):
    """All messages of clients of other workers, alone, together, and over rounds."""
    given = {"solver": solver, "secure_aggregation": True, "codec": "common16", "hidden": 24}
    messages, kept, _ = recorded(monkeypatch, **given)
    count = kept.changes[0].size
    width = 19  # of the sum of six
    sent = [message for message in messages if message.variable == "up"]
    octets = [jnp.frombuffer(message.data, jnp.uint8) for message in sent]
    words = [unpack_words(each, width, count) for each in octets]
    rounds = [words[n : n + 4] for n in range(0, len(words), 4)]
    assert len(rounds) == 4

    def is_uniform(words):
        octets = [(words >> shift & 255).astype(np.uint8) for shift in (0, 8, width - 8)]
        return min(map(p_uniform, octets)) > ALPHA / 3

    for there in rounds:
        for n in (1, 2, 3, 4):
            for some in combinations(there, n):
                assert is_uniform(np.sum(some, axis=0, dtype=np.uint32))
    for one, other in pairwise(rounds):
        for a, b in zip(one, other, strict=True):
            assert is_uniform(a - b)
            assert is_uniform(a + b)
    asked = [message.data for message in messages if message.variable == "up_range"]
    assert {len(each) for each in asked} == {RANGE_BYTES}
    assert p_uniform(np.frombuffer(b"".join(asked), np.uint8)) > ALPHA
    # Bare words are not.
    bare = [unpack_words(each, width, count) for key, each in kept.bare.items() if key[2]]
    assert not any(map(is_uniform, bare))


def test_a_run_of_the_same_seed_sends_other_messages_and_reaches_the_same_bits(monkeypatch):
    """Who knows all options can run it again, and is no wiser."""
    one, kept, first = recorded(monkeypatch, secure_aggregation=True, hidden=24)
    other, again, second = recorded(monkeypatch, secure_aggregation=True, hidden=24)
    jax.tree.map(np.testing.assert_array_equal, first.network, second.network)
    hidden = [key for key in kept.bare if key[2] == 1]
    assert all((kept.bare[key] == again.bare[key]).all() for key in hidden)
    for a, b in zip(one, other, strict=True):
        if a.variable in ("up", "up_range"):
            octets = [np.frombuffer(each.data, np.uint8) for each in (a, b)]
            assert (octets[0] == octets[1]).mean() < 0.05


@pytest.mark.parametrize("solver", ["fed-admm", "fedavg", pytest.param("scaffold", marks=SLOW)])
def test_secure_aggregation_changes_no_bit(solver):
    given = {"solver": solver, "codec": "common4", "participation": 0.8}
    plain, secure = train(made(**given)), train(made(**given, secure_aggregation=True))
    jax.tree.map(np.testing.assert_array_equal, plain.network, secure.network)
    for a, b in zip(plain.history, secure.history, strict=True):
        assert not any(name.endswith("_worst") for name in b)
        same = [name for name in b if name.endswith(("loss", "mae"))]
        assert len(same) == 5
        assert [b[name] for name in same] == pytest.approx([a[name] for name in same], rel=1e-6)
        assert a["bytes_up"] == b["bytes_up"]


@pytest.mark.slow
def test_double_precision_is_kept(x64):
    plain = train(made(codec="common8", dtype="float64"))
    secure = train(made(codec="common8", dtype="float64", secure_aggregation=True, workers=2))
    jax.tree.map(np.testing.assert_array_equal, plain.network, secure.network)
    assert {leaf.dtype for leaf in jax.tree.leaves(secure.network)} == {np.dtype("float64")}


def test_a_round_with_fewer_than_three_answers_is_skipped():
    given = {"participation": 0.4, "epochs": 12, "seed": 1}
    secure = train(made(**given, secure_aggregation=True))
    plain = train(made(**given, codec="common8"))
    there = [b["answers"] - a["answers"] for a, b in pairwise([{"answers": 0}, *plain.history])]
    few = [n for n in there if n < 3]
    assert few
    assert secure.history[-1]["skipped"] == len(few)
    assert plain.history[-1]["skipped"] == there.count(0)
    assert secure.history[-1]["answers"] == sum(there) - sum(few)


def test_baselines_are_told_as_means_and_without_the_pooled_ridge():
    given = {**GIVEN, "epochs": 1, "secure_aggregation": True}
    found = train(options(**given)).summary["baselines"]
    assert set(found) == {"last value", "ridge per client", "local only"}
    bare = train(options(**{**given, "secure_aggregation": False})).summary["baselines"]
    for name, scores in found.items():
        assert scores == pytest.approx({n: bare[name][n] for n in scores}, rel=1e-5)
        assert not any(each.endswith("_worst") for each in scores)


# On ranks.

RANKS = """
import json, pickle, sys
sys.path.insert(0, sys.argv[3])
from recording import RecordingMPITransport
from admm import options, train
from admm.comm import launch

transport = RecordingMPITransport(launch.world())
result = train(options(**json.loads(sys.argv[1])), transport)
kept = {"messages": transport.messages, "network": result.network, "history": result.history}
with open(f"{sys.argv[2]}/{transport.comm.rank}", "wb") as file:
    pickle.dump(kept, file)
transport.close()
"""


@pytest.mark.parametrize("ranks", [pytest.param(2, marks=SLOW), 4])
def test_ranks_reach_the_same_bits_and_send_no_row(ranks, mpi_python, tmp_path):
    given = {**GIVEN, "baselines": False, "secure_aggregation": True, "codec": "common16"}
    folder = Path(__file__).parents[3]
    done = mpi_python(RANKS, json.dumps(given), tmp_path, folder, ranks=ranks)
    assert done.returncode == 0, done.stderr
    every = [pickle.loads((tmp_path / str(rank)).read_bytes()) for rank in range(ranks)]
    alone = train(made(codec="common16"))
    jax.tree.map(np.testing.assert_array_equal, every[0]["network"][0], alone.network[0])
    messages = [message for each in every for message in each["messages"]]
    ups = [each for each in messages if each.variable == "up"]
    assert len(ups) == 4 * (CLIENTS - CLIENTS // ranks)  # but for those of the root's own clients
    assert {each.target for each in ups} == {0}
    for rows in raw_rows():
        assert not holders(messages, rows)
