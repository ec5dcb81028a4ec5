"""The pattern of messages on more ranks than cores: which each rank sends, and how many bytes."""

import json
from collections import Counter

import pytest

from admm import estimate, options, train

LAYERS, EPOCHS = 16, 3
GIVEN = {"layers": LAYERS, "hidden": 8, "epochs": EPOCHS, "eval_every": EPOCHS, "grow": "none"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* workers share 4 devices")
@pytest.mark.parametrize("ranks", [4, 8, 16])
def test_neighbours_exchange_one_p_and_one_q_an_iteration(admm, tmp_path, ranks):
    trace, out = tmp_path / "trace.json", tmp_path / "run"
    words = [word for name, value in GIVEN.items() for word in (f"--{name}", value)]
    words = [str(word).replace("_", "-") for word in words]
    done = admm(
        *("train", *words, "--codec", "delta4", "--out", out, "--trace", trace),
        ranks=ranks,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr

    events = json.loads(trace.read_text())["traceEvents"]
    for rank in range(ranks):
        found = Counter(
            event["name"]
            for event in events
            if event["pid"] == rank and event["ph"] == "X" and event["name"][-2:] in (" p", " q")
        )
        above, below = EPOCHS * (rank + 1 < ranks), EPOCHS * (rank > 0)
        expected = {"encode p": below, "wait q": below, "encode q": above, "wait p": above}
        # Both ends of a cut decode both of its messages.
        expected |= {"decode p": above + below, "decode q": above + below}
        assert found == Counter({name: count for name, count in expected.items() if count})

    given = options("pdadmm-g", **GIVEN, codec="delta4", workers=ranks)
    within, summary = train(given), json.loads((out / "summary.json").read_text())
    sent = summary["bytes"]["by_variable"]
    assert sent == estimate(given).bytes_by_variable == within.summary["bytes"]["by_variable"]
    last = json.loads((out / "history.jsonl").read_text().splitlines()[-1])
    assert last["lagrangian"] == within.history[-1]["lagrangian"]
