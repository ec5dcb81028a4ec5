"""Tables of the docs against the stored rows that they were made of."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Row = dict[str, Any]

DATA = ("cora", "citeseer", "amazon-photo", "coauthor-cs")
NAMES = {"adam": "Adam", "gd": "SGD", "gsadmm": "gsADMM", "gsam": "gsAM", "frozen": "frozen"}


def points(value: float, digits: int = 4) -> str:
    """As accuracies are written: without a 0 in front."""
    return f"{value:.{digits}f}".removeprefix("0")


def row_of(*cells: object) -> str:
    """The beginning of a row of a table; nothing but a space lies in an empty cell."""
    return "".join(f"| {cell} " if cell != "" else "| " for cell in cells).rstrip()


def of_network(row: Row) -> str:
    link = f"{row['link_mbit']:.0f} ({int(row['measured_mbit'])} measured)"
    times = " | ".join(f"{row[name]:.0f}" for name in ("epoch_ms", "wait_ms", "products_ms"))
    codec = row["codec"] if row["method"] == "pdadmm-g" else ""
    return f"| {link} | {row['method']} | {codec} | {times} | {row['bytes'] / 1e6:.2f} |"


def of_kernels(row: Row) -> str:
    times = " | ".join(
        f"{row[name]:.2f}" for name in ("layer_ms", "products_ms", "roofline_fraction")
    )
    tail = f"{times} | {row['gflops']:.0f} | {row['peak_arrays']:.1f}"
    return f"| {row['nodes']:,} | {row['width']:,} | {tail} |"


def of_accuracy(row: Row) -> str:
    return f"{row['mean_test']:.3f} ± {row['std_test']:.3f}"


def of_depth(row: Row) -> str:
    if row["passes"] < 20 and row["rows"] == 3000:
        return points(row["test"])
    return f"{points(row['test'])} ± {points(row['test_std'])}"


def of_convergence(row: Row) -> str:
    sizes = f"{row['lagrangian']:.4g} | {row['primal']:.1e} | {row['dual']:.1e}"
    ratio = f"{row['ratio']:g} | {row['codec']}"
    return f"| {row['dataset']} | {ratio} | {sizes} | {row['rises']} | {row['rate']:.2f} |"


def of_tssm(row: Row) -> str:
    codec = "–" if row["method"] in ("adam", "gd") else row["codec"]
    sizes = f"{row['subnetworks']} | {codec} | {row['epochs']} | {row['seeds']}"
    scores = " | ".join(
        f"{row[f'{part}_accuracy']:.4f} ± {row[f'{part}_std']:.4f}" for part in ("train", "test")
    )
    name = NAMES[row["method"]]
    return f"| {row['network']} | {name} | {sizes} | {scores} | {row['worst_fall']:.4f} |"


def of_link(row: Row) -> str:
    name = f"`{row['method']}`" + (", 400 rounds" if row["method"] == "fedsgd" else "")
    times = " | ".join(f"{row[each]:.1f}" for each in ("floor_ms", "free_ms", "round_ms"))
    link = f"{row['link_mbit']:.0f}"
    return (
        f"| {link} | {name} | {row['codec']} | {row['kb']:.1f} | {times} | {row['seconds']:.1f} |"
    )


def of_scaling(row: Row) -> str:
    measured = "" if row["measured_ms"] is None else f"{row['measured_ms']:.0f}"
    error = "" if row["error"] is None else f"{100 * row['error']:.0f} %"
    times = f"{row['predicted_ms']:.0f} | {measured} | {error} | {row['speedup']:.1f}"
    head = f"{row['network']} | {row['method']} | {row['codec'] or ''}"
    return f"| {head} | {row['ranks']} | {times} |"


def of_communication(row: Row) -> str:
    return f"{row['test_accuracy']:.3f} ± {row['test_std']:.3f}"


def of_time_to_accuracy(row: Row) -> str:
    if row["method"] != "pdadmm-g":
        return ""
    return f"{row['iterations']:g} iterations, {1e3 * row['seconds']:.0f} ms"


def of_cuts(row: Row) -> str:
    return f"| {row['cut']} | {points(row['floor'], 2)} |"


def of_subnetwork_times(row: Row) -> str:
    method = {"gsadmm": "gsADMM in 2 subnetworks", "adam": "Adam"}.get(row["method"])
    method = method or row["method"].replace("adam", "Adam")
    head = f"| {row['network']} | {method} | {row['ranks']} | {row['cores']}"
    return f"{head} | {row['epoch_ms']:.0f} |"


def of_checkpoint(row: Row) -> str:
    return f"| {row['epoch']:.1f} s |"


def of_round(row: Row) -> str:
    return f" {row['round_ms']:.1f} |"


def of_halo(row: Row) -> str:
    score = f"{points(row['test'])} ± {points(row['test_std'])}"
    if row["halo"] == "local":
        return f"| local training, averages every {row['N']} epochs | | | {score}"
    codec = [] if row["dataset"] == "cora" else ["" if row["halo"] == "drop" else row["codec"]]
    return row_of(row["halo"], row["N"] or "", *codec, score)


def of_halo_gradient(row: Row) -> str:
    digits = 4 if row["gradient"] < 0.01 else 3
    return f"| {row['halo']} | {points(row['gradient'], digits)} |"


def of_halo_link(row: Row) -> str:
    halo = row["halo"] + ("" if row["N"] is None else f", N = {row['N']}")
    times = f"{row['epoch_ms']:,.0f} | {points(row['best'])} | {row['to_s']:.1f}"
    return f"| {halo} | {row['codec']} | {times} |"


def of_convolutions(row: Row) -> str:
    times = " | ".join(f"{row[name]:.1f}" for name in ("vmap_ms", "batch_ms", "products_ms"))
    return f"| {row['convolution']} | {times} | {row['fraction']:.2f} |".replace("| 0.", "| .")


def of_subnetwork_peers(row: Row) -> str:
    setting = (row["setting"] or "").replace(" channels-last", ", channels last")
    return row_of(row["ranks"], row["cores"], setting, f"{row['epoch_ms']:.0f} |")


def of_peers(row: Row) -> str:
    return f"{row['epoch_ms']:.1f}" if row["cores"] == 2 else ""


TABLES: dict[str, tuple[str, Callable[[Row], str]]] = {
    "network": ("speed", of_network),
    "network8": ("speed", of_network),
    "kernels": ("speed", of_kernels),
    "peers8": ("speed", of_peers),
    "speedup16": ("speed", of_peers),
    "accuracy": ("accuracy", of_accuracy),
    "depth": ("depth", of_depth),
    "federated-link": ("federated", of_link),
    "convergence": ("convergence", of_convergence),
    "checkpoint": ("failures", of_checkpoint),
    "tssm": ("subnetworks", of_tssm),
    "tssm-codecs": ("subnetworks", of_tssm),
    "tssm-gsam": ("subnetworks", of_tssm),
    "tssm-cnn": ("subnetworks", of_tssm),
    "tssm-peers": ("subnetworks", of_subnetwork_peers),
    "tssm-cuts": ("subnetworks", of_cuts),
    "tssm-time": ("subnetworks", of_subnetwork_times),
    "convolutions": ("subnetworks", of_convolutions),
    "scaling": ("speed", of_scaling),
    "communication": ("speed", of_communication),
    "time-to-accuracy": ("accuracy", of_time_to_accuracy),
    "partitions": ("partitions", of_halo),
    "partitions-cora": ("partitions", of_halo),
    "partitions-gradient": ("partitions", of_halo_gradient),
    "partitions-link": ("partitions", of_halo_link),
    "federated-time": ("federated", of_round),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_stored_rows(name):
    page, told = TABLES[name]
    text = (ROOT / "docs" / f"{page}.md").read_text()
    rows = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())["rows"]
    missing = [told(row) for row in rows if told(row) not in text]
    assert not missing, missing
