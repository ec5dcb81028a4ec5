"""Fuzzing the loaders: whatever a file holds, an InputError or data that keep their promise.

    make fuzz                  100,000 cases
    make fuzz ARGS=1000        so many

Files are valid ones with bytes changed, put in, taken out or cut off, archives of arrays of any
type and shape, and pickles of any values. A crash ends the process; memory is limited to
`_MEMORY` bytes above what is in use at the start; nothing in the files may run.
"""

import gzip
import io
import json
import pickle
import resource
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings, strategies as st

from admm.datasets import load
from admm.datasets.cifar import read_cifar
from admm.datasets.clients import read_federation
from admm.datasets.graph import Graph, checked_graph
from admm.datasets.idx import read_idx
from admm.errors import InputError

_MEMORY = 2**31
_CASES = 100_000
_NODES = 8
_SIDES = (2, _NODES, _NODES + 1, 8, 13)
_FOLDER = Path(tempfile.mkdtemp())

# Files.


def _csr(rows: int, columns: int) -> Any:
    return sp.random_array((rows, columns), density=0.2, format="csr", rng=np.random.default_rng(0))


def _npz_arrays() -> dict[str, np.ndarray]:
    parts = ("data", "indices", "indptr", "shape")
    matrices = {"adj": _csr(_NODES, _NODES), "attr": _csr(_NODES, 5)}
    arrays = {f"{k}_{p}": np.asarray(getattr(m, p)) for k, m in matrices.items() for p in parts}
    return {**arrays, "labels": np.arange(_NODES) % 2}


def _npz_layouts() -> list[dict[str, np.ndarray]]:
    """The same graph in all the ways that a file may have it."""
    given, node = _npz_arrays(), np.arange(_NODES)
    adjacency, features = _csr(_NODES, _NODES).tocoo(), _csr(_NODES, 5).toarray()
    masks = {"train_mask": node < 3, "val_mask": node == 4, "test_mask": node > 5}
    edges = np.stack([adjacency.row, adjacency.col], axis=1)
    named = {"node_features": features, "node_labels": node % 2, "edges": edges}
    columns = {"x": features, "y": node % 2, "edge_index": edges.T, "edge_weight": adjacency.data}
    one_hot = sp.csr_array(np.eye(3)[node % 3])
    parts = ("data", "indices", "indptr", "shape")
    bare = {key: array for key, array in given.items() if key != "labels"}
    dotted = {k.replace("_", "_matrix.", 1): array for k, array in bare.items()}
    return [
        {**given, **masks},
        {**given, **{key: np.stack([mask, mask]) for key, mask in masks.items()}},
        {**given, "idx_train": node[:3], "idx_val": node[4:5], "idx_test": node[6:]},
        {**dotted, "labels": node % 2 + 1},
        {**named, **{f"{key}s": mask[:, None].astype(int) for key, mask in masks.items()}},
        columns,
        {**columns, "y": np.where(node < 2, np.nan, node % 2)},
        {**named, "node_labels": np.array(["a", "b"])[node % 2]},
        {**bare, "labels": np.array([b"a", b"b", b""])[node % 3]},
        {**bare, "labels": np.eye(3)[node % 3], "adj_data": -given["adj_data"]},
        {**bare, **{f"labels_{part}": np.asarray(getattr(one_hot, part)) for part in parts}},
    ]


def _npz(arrays: dict[str, np.ndarray], compressed: bool) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _planetoid(protocol: int, form: type) -> dict[str, bytes]:
    """Planetoid's files for 520 nodes, the last 10 for the test."""
    classes = np.eye(2)[np.arange(520) % 2]
    features = form(_csr(520, 4))
    values = {
        "x": features[:5],
        "tx": features[510:],
        "allx": features[:510],
        "y": classes[:5],
        "ty": classes[510:],
        "ally": classes[:510],
        "graph": {node: [np.int64((node + 1) % 520)] for node in range(520)},
    }
    files = {f"ind.toy.{part}": pickle.dumps(value, protocol) for part, value in values.items()}
    return {**files, "ind.toy.test.index": "\n".join(map(str, range(510, 520))).encode()}


def _csv() -> dict[str, bytes]:
    """The tables of OGB for eight nodes."""
    tables = {
        "raw/edge": [(node, (node + 1) % _NODES) for node in range(_NODES)],
        "raw/node-feat": [(node / 4, -0.5, 1e3) for node in range(_NODES)],
        "raw/node-label": [(node % 2,) for node in range(_NODES)],
        "split/time/train": [(0,), (1,)],
        "split/time/valid": [(2,), (3,)],
        "split/time/test": [(5,), (6,)],
    }
    return {
        f"{name}.csv.gz": "".join(",".join(map(str, row)) + "\n" for row in rows).encode()
        for name, rows in tables.items()
    }


def _graphsaint() -> dict[str, bytes]:
    arrays = {k.removeprefix("adj_"): v for k, v in _npz_arrays().items() if k.startswith("adj_")}
    features = io.BytesIO()
    np.save(features, np.ones((_NODES, 3)))
    return {
        "adj_full.npz": _npz(arrays, True),
        "feats.npy": features.getvalue(),
        "class_map.json": json.dumps({str(node): node % 2 for node in range(_NODES)}).encode(),
        "role.json": json.dumps({"tr": [0, 1], "va": [2, 3], "te": [5]}).encode(),
    }


def _clients() -> list[dict[str, np.ndarray]]:
    """A client in both of its forms, and one of classes."""
    names, series = np.array(["a", "b"]), np.arange(80.0).reshape(40, 2)
    windows = {f"{part}_inputs": np.ones((3, 4, 2)) for part in ("train", "val", "test")}
    targets = {f"{part}_targets": np.eye(3, 2) for part in ("train", "val", "test")}
    classes = {key: np.arange(3) % 2 for key in targets}
    return [
        {"series": series, "columns": names, "targets": names[:1], "period": np.array(24)},
        {**windows, **targets, "outputs": names, "task": np.array("multilabel")},
        {**windows, **classes, "outputs": names, "columns": names},
    ]


def _idx() -> bytes:
    return bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3]) + bytes(range(18))


# Changes.


@st.composite
def damaged(draw: Any, whole: bytes) -> bytes:
    """A file with some of its bytes changed, put in or taken out."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        kind = draw(st.sampled_from(["flip", "set", "insert", "delete", "cut", "copy"]))
        if kind == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            content[at : at + 4] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif kind == "delete":
            del content[at : at + draw(st.integers(1, 64))]
        elif kind == "cut":
            del content[at:]
        else:
            content[at:at] = content[at : at + draw(st.integers(1, 64))]
    return bytes(content)


any_array = hnp.arrays(
    hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
) | hnp.arrays(st.sampled_from(["i8", "i4", "f8", "u1", "b"]), st.sampled_from(_SIDES))
any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | any_array,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(), inner, max_size=3),
    max_leaves=5,
)
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.builds(lambda: "long" * 2**12),
    lambda inner: (
        st.lists(inner, max_size=9)
        | st.dictionaries(st.sampled_from([*map(str, range(9)), "tr", "va", "te"]), inner)
    ),
    max_leaves=20,
)


# Cases.


def check_graph(load: Callable[[], Graph]) -> None:
    """An InputError, or a graph as `Graph` promises it."""
    try:
        graph = load()
    except InputError as error:
        if isinstance(error.__cause__, MemoryError):  # a message, but no less a finding
            raise error.__cause__ from None
        return
    nodes = graph.nodes
    assert graph.adjacency.shape == (nodes, nodes)
    assert (graph.adjacency != graph.adjacency.T).nnz == 0
    assert (graph.adjacency.data > 0).all()
    assert np.isfinite(graph.adjacency.data).all()
    assert not graph.adjacency.diagonal().any()
    assert len(graph.class_names) == graph.classes
    json.dumps([graph.class_names, dict(graph.provenance)])
    assert graph.features.shape[0] == nodes
    assert np.isfinite(graph.features.data).all()
    assert sorted(set(graph.labels) - {-1}) == list(range(graph.classes))
    parts = (graph.split.train, graph.split.val, graph.split.test)
    every = np.concatenate(parts)
    assert len(np.unique(every)) == len(every)
    assert ((every >= 0) & (every < nodes)).all()
    assert (graph.labels[every] >= 0).all()


_TOY = _FOLDER / "toy.npz"
any_layout = st.sampled_from([_npz_arrays(), *_npz_layouts()])
any_choice = st.fixed_dictionaries(
    {},
    optional={
        "split": st.integers(0, 2),
        "weights": st.sampled_from(["use", "ignore"]),
        "features": st.sampled_from(["identity", "degrees"]),
    },
)


@given(arrays=any_layout, packed=st.booleans(), data=st.data())
def npz_bytes(arrays: dict[str, np.ndarray], packed: bool, data: Any) -> None:
    _TOY.write_bytes(data.draw(damaged(_npz(arrays, packed))))
    check_graph(lambda: load(_TOY))


@given(arrays=any_layout, data=st.data(), choice=any_choice)
def npz_arrays(arrays: dict[str, np.ndarray], data: Any, choice: dict[str, Any]) -> None:
    """Some of the arrays are others, or are not there, or there are more."""
    keys = st.sampled_from([*sorted(arrays), "edge_weight", "edge_attr", "train_idx", "labels"])
    changes = data.draw(st.dictionaries(keys, st.none() | any_array, min_size=1, max_size=4))
    changed = {key: array for key, array in {**arrays, **changes}.items() if array is not None}
    _TOY.write_bytes(_npz(changed, False))
    check_graph(lambda: load(_TOY, **choice))


@given(arrays=any_layout, data=st.data())
def npz_members(arrays: dict[str, np.ndarray], data: Any) -> None:
    """A member with a valid checksum and anything in it."""
    key = data.draw(st.sampled_from(sorted(arrays)))
    member = io.BytesIO()
    np.save(member, arrays[key])
    content = data.draw(damaged(member.getvalue()))
    with zipfile.ZipFile(_TOY, "w") as archive:
        for name, array in arrays.items():
            if name == key:
                archive.writestr(f"{name}.npy", content)
            else:
                whole = io.BytesIO()
                np.save(whole, array)
                archive.writestr(f"{name}.npy", whole.getvalue())
    check_graph(lambda: load(_TOY))


@given(
    labels=any_array
    | st.lists(any_value, min_size=4, max_size=4)
    | st.lists(st.sampled_from(["a", "b", "", None]) | st.text(max_size=3), min_size=8, max_size=8)
    | hnp.arrays(st.sampled_from(["U2", "S3", "f2", "f8", "i1", "u8"]), 8)
    | hnp.arrays("i1", (8, 3), elements=st.integers(0, 1)),
    weights=hnp.arrays(hnp.scalar_dtypes(), (8, 8)),
)
def labels_and_weights(labels: Any, weights: np.ndarray) -> None:
    """Of any kind, in memory."""
    check_graph(lambda: checked_graph("toy", weights, np.eye(8), labels))


class Files:
    """A folder of several files, one of which is changed at a time."""

    def __init__(self, contents: dict[str, bytes]):
        self.folder = Path(tempfile.mkdtemp(dir=_FOLDER))
        self.contents = contents
        self.names = sorted(contents)
        self.paths = {name: self.folder / name for name in contents}
        for name, content in contents.items():
            self.paths[name].parent.mkdir(parents=True, exist_ok=True)
            self.paths[name].write_bytes(content)

    def check(self, changed: str, content: bytes) -> None:
        self.paths[changed].write_bytes(content)
        try:
            check_graph(lambda: load(self.folder))
        finally:
            self.paths[changed].write_bytes(self.contents[changed])


_PLANETOID = {
    protocol: Files(_planetoid(protocol, form))
    for protocol, form in (
        (2, sp.csr_matrix),
        (3, sp.csc_matrix),
        (4, sp.csr_array),
        (5, sp.csc_array),
    )
}
_CSV = Files(_csv())
_GRAPHSAINT = Files(_graphsaint())
_PROTOCOLS = st.sampled_from(sorted(_PLANETOID))
_PICKLES = st.sampled_from(_PLANETOID[2].names)


@given(data=st.data(), protocol=_PROTOCOLS, name=_PICKLES)
def planetoid_bytes(data: Any, protocol: int, name: str) -> None:
    files = _PLANETOID[protocol]
    files.check(name, data.draw(damaged(files.contents[name])))


@given(protocol=_PROTOCOLS, name=_PICKLES, value=any_value)
def planetoid_values(protocol: int, name: str, value: Any) -> None:
    _PLANETOID[protocol].check(name, pickle.dumps(value, protocol))


@given(data=st.data(), name=st.sampled_from(_CSV.names), zipped=st.booleans())
def csv_bytes(data: Any, name: str, zipped: bool) -> None:
    content = _CSV.contents[name]
    _CSV.check(name, data.draw(damaged(gzip.compress(content, mtime=0) if zipped else content)))


@given(
    name=st.sampled_from(_CSV.names),
    rows=st.lists(st.lists(st.integers() | st.floats() | st.text(max_size=3), max_size=3)),
)
def csv_values(name: str, rows: list[list[Any]]) -> None:
    text = "\n".join(",".join(map(str, row)) for row in rows)
    _CSV.check(name, text.encode(errors="surrogatepass"))


@given(data=st.data(), name=st.sampled_from(_GRAPHSAINT.names))
def graphsaint_bytes(data: Any, name: str) -> None:
    _GRAPHSAINT.check(name, data.draw(damaged(_GRAPHSAINT.contents[name])))


@given(name=st.sampled_from(["class_map.json", "role.json"]), value=any_json)
def graphsaint_values(name: str, value: Any) -> None:
    _GRAPHSAINT.check(name, json.dumps(value).encode())


_CLIENT = _FOLDER / "clients" / "ann.npz"
_CLIENT.parent.mkdir()
any_client = st.sampled_from(_clients())


def _check_client(content: bytes) -> None:
    """An InputError, or windows as `Windows` promises them."""
    _CLIENT.write_bytes(content)
    try:
        federation = read_federation(_CLIENT.parent)
        client = federation.client(0)
    except InputError as error:
        if isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from None
        return
    for windows in (client.train, client.val, client.test):
        count = len(windows.inputs)
        assert windows.inputs.shape == (count, federation.steps, federation.features)
        assert np.isfinite(windows.inputs).all()
        assert np.isfinite(windows.targets).all()
        assert windows.present.any()
        outputs = () if federation.task == "classes" else (len(federation.outputs),)
        assert windows.targets.shape == windows.present.shape == (count, *outputs)


@given(arrays=any_client, packed=st.booleans(), data=st.data())
def client_bytes(arrays: dict[str, np.ndarray], packed: bool, data: Any) -> None:
    _check_client(data.draw(damaged(_npz(arrays, packed))))


@given(arrays=any_client, data=st.data())
def client_arrays(arrays: dict[str, np.ndarray], data: Any) -> None:
    """Some of the arrays are others, or are not there."""
    keys = st.sampled_from(sorted(arrays))
    changes = data.draw(st.dictionaries(keys, st.none() | any_array, min_size=1, max_size=2))
    changed = {key: array for key, array in {**arrays, **changes}.items() if array is not None}
    _check_client(_npz(changed, False))


@given(
    content=st.booleans().flatmap(
        lambda z: damaged(gzip.compress(_idx(), mtime=0) if z else _idx())
    )
)
def idx_bytes(content: bytes) -> None:
    path = _FOLDER / "images"
    path.write_bytes(content)
    try:
        found = read_idx(path, 3)
    except InputError:
        return
    assert found.dtype == np.uint8
    assert found.ndim == 3
    assert found.size


@given(content=damaged(bytes(2 * 3073)) | st.binary(max_size=64))
def cifar_bytes(content: bytes) -> None:
    path = _FOLDER / "batch.bin"
    path.write_bytes(content)
    try:
        images, labels = read_cifar(path, (10,))
    except InputError:
        return
    assert images.shape == (len(labels), 32, 32, 3)
    assert labels.max() < 10


TARGETS = (
    npz_bytes,
    npz_arrays,
    npz_members,
    labels_and_weights,
    planetoid_bytes,
    planetoid_values,
    csv_bytes,
    csv_values,
    graphsaint_bytes,
    graphsaint_values,
    client_bytes,
    client_arrays,
    idx_bytes,
    cifar_bytes,
)


def main(cases: int) -> None:
    """So many cases, in equal parts; the first finding ends it."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, used + _MEMORY))
    warnings.simplefilter("ignore")  # of NumPy, about what these files hold
    ran = 0
    for target in TARGETS:
        start, share = time.perf_counter(), -(-cases // len(TARGETS))
        settings(
            max_examples=share,
            database=None,
            deadline=None,
            derandomize=False,
            suppress_health_check=list(HealthCheck),
        )(target)()
        ran += share
        print(
            f"{target.__name__:18}  {share:7,} cases  {time.perf_counter() - start:5.0f} s",
            flush=True,
        )
    print(f"{ran:,} cases, no finding")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else _CASES)
