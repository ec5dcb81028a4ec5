"""Energy from a made-up powercap folder."""

import json

import pytest

import admm.run.energy
from admm import options, train
from admm.run.energy import Meter


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    """Writes the counters of domains, in microjoules."""
    monkeypatch.setattr(admm.run.energy, "_POWERCAP", tmp_path)

    def write(most=1_000_000, **counts):
        for place, count in counts.items():
            folder = tmp_path / place
            folder.mkdir(exist_ok=True)
            name = {"rapl0": "package-0", "rapl00": "core", "rapl01": "dram", "psys": "psys"}[place]
            (folder / "name").write_text(f"{name}\n")
            (folder / "energy_uj").write_text(f"{count}\n")
            (folder / "max_energy_range_uj").write_text(f"{most}\n")

    return write


def test_packages_and_memory_count_once(powercap):
    """Cores are part of their package, which is part of psys."""
    powercap(rapl0=100_000, rapl00=50_000, rapl01=10_000, psys=500_000)
    meter = Meter()
    powercap(rapl0=400_000, rapl00=90_000, rapl01=30_000, psys=990_000)
    assert meter.read().joules == pytest.approx(0.32)


def test_a_counter_that_begins_anew(powercap):
    powercap(rapl0=900_000)
    meter = Meter()
    powercap(rapl0=100_000)
    assert meter.read().joules == pytest.approx(0.2)
    powercap(rapl0=150_000)
    assert meter.read().joules == pytest.approx(0.25)


def test_without_counters_there_is_no_figure(powercap, tmp_path):
    assert Meter().read() is None
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "name").write_text("package-0\n")  # without a counter to read
    assert Meter().read() is None


def test_a_run_says_what_its_machine_took(powercap, tmp_path_factory):
    powercap(rapl0=0)

    def callback(evaluation):
        powercap(rapl0=100_000 * evaluation["epoch"])

    out = tmp_path_factory.mktemp("run")
    given = options(layers=2, hidden=8, hops=1, epochs=3, out=out)
    train(given, callback=callback)
    assert json.loads((out / "summary.json").read_text())["joules"] == pytest.approx(0.3)
