"""Workers that share a device say so."""

import io

import jax
import pytest

from admm import LocalTransport, options, train

SMALL = {"layers": 5, "hidden": 4, "hops": 1, "grow": "none", "epochs": 1}
SHARED = "5 workers share 4 devices and take turns; `jax.config.update('jax_num_cpu_devices', 5)`"


def test_workers_that_share_a_device():
    assert len(jax.devices()) == 4
    progress = io.StringIO()
    summary = train(options(**SMALL, workers=5), progress=progress).summary
    assert summary["sharing"].startswith(SHARED)
    assert f"{summary['sharing']}\n" in progress.getvalue()
    with pytest.warns(UserWarning, match="5 workers share 4 devices"):
        train(options(**SMALL), LocalTransport(5))


def test_workers_with_a_device_each():
    progress = io.StringIO()
    assert train(options(**SMALL, workers=4), progress=progress).summary["sharing"] is None
    assert "share" not in progress.getvalue()


def test_ranks_that_share_a_core(admm, tmp_path):
    words = [f"--{name}={value}" for name, value in SMALL.items()]
    code = admm("train", *words, "--out", tmp_path, ranks=5)
    assert code.returncode == 0, code.stderr
    assert "5 ranks on" in code.stdout
    assert "take turns; mpirun -n" in code.stdout
