"""Graphs in `.npz` files of other people's layouts: what they say is used, or named."""

import numpy as np
import pytest
import scipy.sparse as sp

from admm import options, train
from admm.cli import main
from admm.datasets import checked_graph, load, save_graph
from admm.errors import InputError
from admm.methods.labelled import description

N = 200
NODE = np.arange(N)
Y = NODE % 4
_RANDOM = np.random.default_rng(0)
A = sp.random(N, N, density=0.02, format="csr", random_state=0)
A.data[:] = 1
X = sp.csr_matrix(_RANDOM.normal(size=(N, 16)) + 2 * np.eye(16)[Y])


def csr(prefix, matrix):
    parts = ("data", "indices", "indptr", "shape")
    return {f"{prefix}{part}": np.asarray(getattr(matrix, part)) for part in parts}


EDGES = np.c_[A.tocoo().row, A.tocoo().col]
GRAPH = {**csr("adj_", A), **csr("attr_", X), "labels": Y}
PARTS = {"train_mask": NODE < 60, "val_mask": (NODE >= 60) & (NODE < 100), "test_mask": NODE >= 100}
BARE = {key: None for key in GRAPH if key.startswith("attr_")}


@pytest.fixture
def write(tmp_path):
    """Write a file: `GRAPH` with changes, None to leave an array out; or only the changes."""

    def file(only=False, **changes):
        arrays = {**({} if only else GRAPH), **changes}
        path = tmp_path / "toy.npz"
        np.savez_compressed(path, **{k: v for k, v in arrays.items() if v is not None})
        return path

    return file


def sizes(graph):
    return [len(part) for part in graph.split]


def same(graph, expected=None):
    """Whether edges, features and labels are those of `GRAPH`."""
    expected = expected or checked_graph("toy", A, X, Y)
    assert (graph.adjacency != expected.adjacency).nnz == 0
    np.testing.assert_allclose(graph.features.toarray(), expected.features.toarray(), rtol=1e-6)
    np.testing.assert_array_equal(graph.labels, expected.labels)
    return True


# Layouts.


def test_dense_features(write):
    assert same(load(write(**BARE, attr_matrix=X.toarray())))


def test_names_with_dots(write):
    dotted = {
        key.replace("adj_", "adj_matrix.").replace("attr_", "attr_matrix."): array
        for key, array in GRAPH.items()
    }
    assert same(load(write(only=True, **dotted)))


def test_edges_in_rows_with_masks(write):
    """As heterophilous-graphs has them."""
    masks = {
        f"{part}_masks": (k == NODE % 3)[None] for k, part in enumerate(("train", "val", "test"))
    }
    graph = load(write(only=True, node_features=X.toarray(), node_labels=Y, edges=EDGES, **masks))
    assert same(graph)
    assert sizes(graph) == [67, 67, 66]
    assert graph.provenance["split"] == "train_masks, val_masks, test_masks"


@pytest.mark.parametrize("key", ["edge_weight", "edge_attr"])
def test_names_of_pytorch_geometric(write, key):
    weights = np.arange(len(EDGES), dtype=np.float32) + 1
    graph = load(
        write(only=True, x=X.toarray(), y=Y[:, None], edge_index=EDGES.T, **{key: weights})
    )
    weighted = sp.coo_array((weights, EDGES.T), shape=(N, N))
    assert same(graph, checked_graph("toy", weighted, X, Y))
    assert graph.provenance["weights"] == f"used, 1…{len(EDGES)}"
    assert "unused" not in graph.provenance


def test_two_pairs_are_rows_but_for_pytorch_geometric(write):
    given = {"x": X.toarray(), "y": Y}
    pairs = np.array([[0, 1], [2, 3]])
    for key, edges in (("edges", [(0, 1), (2, 3)]), ("edge_index", [(0, 2), (1, 3)])):
        graph = load(write(only=True, **given, **{key: pairs}))
        row, col = sp.triu(graph.adjacency).coords
        assert list(zip(row.tolist(), col.tolist(), strict=True)) == edges


def test_attributes_of_edges_that_are_no_weights_are_named(write):
    given = {"x": X.toarray(), "y": Y, "edge_index": EDGES.T}
    graph = load(write(only=True, **given, edge_attr=np.ones((len(EDGES), 3))))
    assert graph.provenance["unused"] == "edge_attr"
    assert graph.provenance["weights"] == "none"


def test_a_dense_adjacency(write):
    without = {key: None for key in GRAPH if key.startswith("adj_")}
    assert same(load(write(**without, adj_matrix=A.toarray())))


def test_texts_beside_the_graph(write):
    """They unpack to 144 MB, more than is read of a file of this size, and are not read."""
    graph = load(write(node_texts=np.array(["w" * 180000] * N)))
    assert same(graph)
    assert graph.provenance["unused"] == "node_texts"


def test_pickles_beside_the_graph(write):
    graph = load(write(metadata=np.array({"a": 1}), class_names=np.array(["a", None])))
    assert same(graph)
    assert graph.provenance["unused"] == "class_names, metadata"


class Evil:
    def __reduce__(self):
        return print, ("code was run",)


def run_advice(error):
    """Run the lines that a message says, and close the file that they leave to the interpreter."""
    lines = str(error).partition("write it anew:\n")[2]
    names = {}
    exec("\n".join(line.strip() for line in lines.splitlines()), names)
    names["old"].close()


def test_a_pickled_matrix_is_refused_with_the_lines_that_rewrite_it(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(**BARE, attr_matrix=np.array(X, object), **PARTS)
    with pytest.raises(InputError, match="attr_matrix has Python objects, which are") as caught:
        load(path)
    run_advice(caught.value)
    graph = load("toy-plain.npz")
    assert same(graph)
    assert sizes(graph) == [60, 40, 100]


@pytest.mark.parametrize("edges", [{"edge_index": EDGES.T}, {"edges": EDGES}])
@pytest.mark.parametrize("weights", [None, np.arange(1.0, len(EDGES) + 1)])
def test_the_lines_that_rewrite_a_list_of_edges(write, tmp_path, monkeypatch, edges, weights):
    monkeypatch.chdir(tmp_path)
    labels = np.array([f"class {each}" for each in Y], object)
    others = {"feat": X.toarray(), "label": labels, "edge_weight": weights, **PARTS}
    with pytest.raises(InputError, match="label has Python objects, which are") as caught:
        load(write(only=True, **edges, **others))
    run_advice(caught.value)
    others["label"] = labels.astype(str)
    plain, expected = load("toy-plain.npz"), load(write(only=True, **edges, **others))
    assert same(plain, expected)
    assert plain.class_names == expected.class_names
    assert sizes(plain) == [60, 40, 100]


def test_a_pickle_is_not_run(write, capsys):
    with pytest.raises(InputError, match="labels has Python objects, which are not read"):
        load(write(labels=np.array([Evil()] * N)))
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "no array 'labels' in the file; it has .*save_graph writes them"),
        ({"adj_data": None, "adj_indices": None}, "no array 'adj_data' in the file"),
        ({"x": np.ones((N, 2))}, "attr_ and x are all features; leave all but one out"),
        ({"y": Y}, "labels and y are all labels; leave all but one out"),
        ({"edges": EDGES}, "adj_ and edges are all edges; leave all but one out"),
    ],
)
def test_files_that_lack_something_or_say_it_twice(write, changes, message):
    with pytest.raises(InputError, match=message):
        load(write(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"edges": EDGES + 1},
            "expected edges of nodes 0…199, as many as there are labels, got 1…200",
        ),
        ({"edges": EDGES - 1}, "expected edges of nodes 0…199, .* got -1…198"),
        ({"edges": EDGES / 3}, "edges must be pairs of whole numbers of nodes, got float64"),
        (
            {"edges": np.ones((5, 3), int)},
            r"pairs of whole numbers of nodes, got int64 of shape \(5, 3\)",
        ),
        ({"edge_weight": np.ones(3)}, "edge_weight must be a number for each of 800 edges, got"),
        (
            {"edge_weight": np.ones(800), "edge_attr": np.ones(800)},
            "edge_weight and edge_attr are all weights of edges",
        ),
    ],
)
def test_edges_that_are_refused(write, changes, message):
    given = {"x": X.toarray(), "y": Y, "edges": EDGES, **changes}
    with pytest.raises(InputError, match=f"^toy: .*{message}|^toy: {message}"):
        load(write(only=True, **given))


# Features.


def test_no_features_are_refused_with_the_option(write):
    with pytest.raises(InputError, match="no features; with features=identity or features=degrees"):
        load(write(**BARE))


def test_identity_features(write):
    graph = load(write(**BARE), features="identity")
    np.testing.assert_array_equal(graph.features.toarray(), np.eye(N))
    assert graph.provenance["features"] == "identity"


def test_degrees_as_features(write):
    """A column for each number of neighbours; they replace those of the file, and it is said."""
    graph = load(write(), features="degrees")
    degrees = graph.adjacency.sum(axis=1)
    expected = (degrees[:, None] == np.unique(degrees)).astype(float)
    np.testing.assert_array_equal(graph.features.toarray(), expected)
    words = (
        f"degrees, one-hot, {len(np.unique(degrees))} different, in place of those that are there"
    )
    assert graph.provenance["features"] == words


def test_features_of_another_kind():
    with pytest.raises(InputError, match="features= must be identity or degrees, got 'ones'"):
        checked_graph("toy", A, "ones", Y)


# Labels.


def test_nodes_without_a_label_stay(write):
    for none in (-1, np.nan):
        labels = np.where(_RANDOM.random(N) < 0.3, none, Y)
        graph = load(write(labels=labels))
        assert (graph.nodes, graph.classes, graph.edges) == (N, 4, 1572)
        unlabelled = int((labels != Y).sum())
        assert sum(sizes(graph)) == N - unlabelled
        assert graph.provenance["unlabelled"] == f"{unlabelled} nodes"


def test_labels_from_one(write):
    graph = load(write(labels=Y + 1))
    assert same(graph)
    assert graph.class_names == (1, 2, 3, 4)
    assert graph.provenance["labels"] == "mapped from 1…4"


def test_labels_in_one_row(write):
    arrays = {"edge_index": EDGES.T, "x": X.toarray(), **PARTS}
    assert same(load(write(only=True, **arrays, y=Y[None])))
    with pytest.raises(InputError, match=r"one label for each node, got shape \(\)"):
        load(write(only=True, **arrays, y=np.array(3)))


def test_sparse_one_hot_labels(write):
    assert same(load(write(labels=None, **csr("labels_", sp.csr_array(np.eye(4)[Y])))))


# Splits.


def test_masks(write):
    graph = load(write(**PARTS))
    assert sizes(graph) == [60, 40, 100]
    assert [part.tolist() for part in graph.split] == [
        np.flatnonzero(mask).tolist() for mask in PARTS.values()
    ]
    assert graph.provenance["split"] == "train_mask, val_mask, test_mask"


@pytest.mark.parametrize(
    "change",
    [
        lambda key, mask: {key: mask.astype(np.uint8)},
        lambda key, mask: {key: mask.astype(float)},
        lambda key, mask: {key.replace("val", "valid"): mask[:, None]},
        lambda key, mask: {f"idx_{key[:-5]}": np.flatnonzero(mask)},
        lambda key, mask: {f"{key[:-5]}_idx": np.flatnonzero(mask).astype("u8")},
        lambda key, mask: {key: mask, f"{key[:-5]}_idx": np.flatnonzero(mask)[::-1]},
        lambda key, mask: {f"{key[:-5]}Mask": mask},
        lambda key, mask: {f"{key[:-5]}mask": mask},
        lambda key, mask: {f"{key[:-5]}.mask": mask},
        lambda key, mask: {f"{key[:2]}_mask": mask},
        lambda key, mask: {f"{key[:-5]}_idx": mask},
    ],
    ids=[
        *("numbers", "floats", "valid", "idx first", "idx last", "both"),
        *("capitals", "no seam", "dot", "short", "mask as idx"),
    ],
)
def test_the_same_split_in_other_words(write, change):
    arrays = {k: v for key, mask in PARTS.items() for k, v in change(key, mask).items()}
    assert sizes(load(write(**arrays))) == [60, 40, 100]


@pytest.mark.parametrize("turned", [False, True])
def test_one_of_several_splits(write, turned):
    """Rows as heterophilous-graphs has them, or columns; a part of one mask goes with all."""
    masks = {key: np.stack([mask, np.roll(mask, 7)]) for key, mask in PARTS.items()}
    masks["test_mask"][1] &= masks["test_mask"][0]
    path = write(**{key: mask.T if turned else mask for key, mask in masks.items()})
    for number in (0, 1):
        graph = load(path, split=number)
        assert [part.tolist() for part in graph.split] == [
            np.flatnonzero(mask[number]).tolist() for mask in masks.values()
        ]
        assert graph.provenance["split"].endswith(f"(number {number} of 0…1)")
    with pytest.raises(InputError, match="^toy has 2 splits, 0…1; got split=2"):
        load(path, split=2)
    shared = {
        "train_mask": masks["train_mask"],
        "val_mask": masks["val_mask"],
        "test_mask": NODE > 198,
    }
    masks["val_mask"][:, 199] = masks["train_mask"][:, 199] = False
    assert load(write(**shared), split=1).split.test.tolist() == [199]


def test_a_split_that_is_not_there(write):
    with pytest.raises(InputError, match="^toy has no split of its own; got split=1"):
        load(write(), split=1)
    with pytest.raises(InputError, match="^toy has one split, number 0; got split=1"):
        load(write(**PARTS), split=1)
    with pytest.raises(InputError, match="^digits has no split of its own; got split=1"):
        load("digits", split=1)


def test_nodes_without_a_label_leave_the_split(write):
    graph = load(write(**PARTS, labels=np.where(NODE % 10 == 0, -1, Y)))
    assert sizes(graph) == [54, 36, 90]
    words = "train_mask, val_mask, test_mask, 20 nodes without a label left out"
    assert graph.provenance["split"] == words


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_mask": None}, "the split train_mask, test_mask lacks the part val; expected train"),
        ({"val_mask": NODE[:-1] > 5}, r"val_mask must have shape \(200,\), or .*, got \(199,\)"),
        ({"val_mask": NODE}, "val_mask must be a mask, of truth values or of 0 and 1"),
        ({"val_mask": np.where(NODE < 9, np.nan, 0)}, "val_mask must be a mask"),
        ({"val_mask": np.full(N, "a")}, "val_mask must be a mask"),
        ({"val_mask": np.eye(N) > 0}, "whose rows and columns may both be splits"),
        ({"val_mask": NODE > 500}, "there are no validation nodes"),
        ({"val_mask": NODE < 70}, "60 nodes are in the split more than once, node 0 the first"),
        ({"idx_val": NODE[:3]}, "val_mask and idx_val are not the same nodes; leave one out"),
        (
            {"val_mask": None, "idx_val": NODE[60:70] / 1},
            "idx_val must be numbers of nodes in a row",
        ),
        (
            {"val_mask": None, "idx_val": NODE[190:] + 100},
            "expected validation nodes in 0…199, got 2",
        ),
        (
            {"train_mask": np.ones((2, N), bool), "val_mask": np.ones((3, N), bool)},
            "the masks are of different numbers of splits .train_mask: 2, val_mask: 3",
        ),
        (
            {"val_mask": None, "idx_val": NODE[60:70].reshape(2, 5)},
            r"idx_val must be numbers of nodes in a row, got int64 of shape \(2, 5\)",
        ),
        ({"isTrain": NODE < 9}, "'isTrain' looks like a split, but is none that can be used; exp"),
        ({"te": NODE[:9]}, "'te' looks like a split, but is none that can be used; expected"),
        ({"split": NODE % 3}, "'split' looks like a split, but is none that can be used; expected"),
        ({"y_test": Y}, "'y_test' looks like a split, but is none that can be used; expected"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_splits_that_are_refused(write, changes, message):
    with pytest.raises(InputError, match=f"^toy: .*{message}|^toy: {message}"):
        load(write(**{**PARTS, **changes}))


# Weights.


def weighted(*entries, **choice):
    row, col, data = zip(*entries, strict=True)
    adjacency = sp.coo_array((data, (row, col)), shape=(60, 60))
    return checked_graph("toy", adjacency, np.eye(60), np.arange(60) % 2, **choice)


def test_weights_are_used():
    """Those of the same edge are added up, of two directions the larger counts, zero is no edge."""
    graph = weighted((0, 1, 2.0), (0, 1, 0.5), (1, 0, 3.0), (1, 2, 4.0), (3, 4, 0.0), (5, 5, 9.0))
    found = sp.triu(graph.adjacency)
    assert [tuple(edge) for edge in zip(*found.coords, found.data, strict=True)] == [
        (0, 1, 3.0),
        (1, 2, 4.0),
    ]
    assert (graph.adjacency != graph.adjacency.T).nnz == 0
    assert {key: graph.provenance[key] for key in list(graph.provenance)[:5]} == {
        "weights": "used, 0.5…4",
        "zero_weights": "1, which are no edges",
        "direction": "directed, 1 one-way edges made two-way, 1 pairs of nodes with two weights, "
        "the larger counts",
        "self_loops": "1 dropped",
        "duplicates": "1 added up",
    }


def test_edges_without_weights_count_once():
    graph = weighted((0, 1, 1), (0, 1, 1), (1, 0, 1))
    assert graph.adjacency.dtype == np.float32
    assert graph.adjacency[[0], [1]] == 1
    assert graph.provenance["weights"] == "none"
    assert graph.provenance["direction"] == "undirected"
    assert graph.provenance["duplicates"] == "1 dropped"


@pytest.mark.parametrize("choice", ["use", "ignore"])
def test_weights_of_zero_are_named(choice):
    graph = weighted((0, 1, 2.0), (1, 2, 0.0), (3, 3, 0.0), weights=choice)
    assert graph.edges == 2
    assert graph.provenance["zero_weights"] == "2, which are no edges"


def test_weights_can_be_ignored():
    graph = weighted((0, 1, -2.0), (1, 2, 0.5), weights="ignore")
    assert graph.adjacency.data.tolist() == [1, 1, 1, 1]
    assert graph.provenance["weights"] == "ignored, -2…0.5"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([-1.0, 2.0], "1 edge weights are negative, the lowest -1; with weights=ignore every edge"),
        ([np.nan, 2.0], "1 edge weights are NaN or infinite; with weights=ignore every edge"),
        ([np.inf, 2.0], "1 edge weights are NaN or infinite; with weights=ignore every edge"),
        ([1e308, 1e308], "the edge weights of a node add up to more than any number"),
    ],
)
def test_weights_that_are_refused(data, message):
    with pytest.raises(InputError, match=f"^toy: {message}"):
        weighted((0, 1, data[0]), (0, 2, data[1]))


def test_known_data_sets_drop_weights(tmp_path):
    """As their literature does; those of one's own file are used."""
    path = tmp_path / "amazon_electronics_photo.npz"
    np.savez(path, **{**GRAPH, "adj_data": A.data * 3})
    assert load("amazon-photo", tmp_path).provenance["weights"] == "ignored, all 3"
    assert load("amazon-photo", tmp_path, weights="use").provenance["weights"] == "used, all 3"
    assert load(path).provenance["weights"] == "used, all 3"


def test_weights_that_carry_the_class_are_learned_from(tmp_path):
    """As good as without the weak edges, and not without the weights."""
    random, nodes = np.random.default_rng(0), 1200
    labels = np.arange(nodes) % 3
    features = 2 * random.normal(size=(nodes, 3)) + np.eye(3)[labels]
    row = np.repeat(np.arange(nodes), 4)
    own = 3 * random.integers(0, nodes // 3, 4 * nodes) + labels[row]
    strong = sp.coo_array((np.full(4 * nodes, 5.0), (row, own)), shape=(nodes, nodes))
    anyone = (np.repeat(np.arange(nodes), 12), random.integers(0, nodes, 12 * nodes))
    weak = sp.coo_array((np.full(12 * nodes, 0.05), anyone), shape=(nodes, nodes))
    both, only = tmp_path / "both.npz", tmp_path / "only.npz"
    save_graph(both, strong + weak, features, labels)
    save_graph(only, strong, features, labels)

    def accuracy(path, **choice):
        given = options(dataset=path, layers=2, hidden=32, epochs=40, **choice)
        return train(given).summary["best"]["test_accuracy"]

    assert accuracy(both) == pytest.approx(accuracy(only), abs=0.01)
    assert accuracy(both, weights="ignore") < accuracy(only) - 0.2


# What is said.


def test_training_says_what_was_done(admm, write, tmp_path, capsys):
    path, out = write(labels=Y + 1, **PARTS), tmp_path / "out"
    words = ("--layers", 2, "--epochs", 1, "--out", out)
    said = (
        "weights: none; direction: directed, 776 one-way edges made two-way; self-loops: 4 "
        "dropped; labels: mapped from 1…4; split: train_mask, val_mask, test_mask\n"
    )
    assert said in admm("train", "--dataset", path, *words).stdout
    assert main(["datasets", "check", str(path)]) == 0
    assert said in capsys.readouterr().out


def test_the_summary_says_what_was_done(write):
    given = options(dataset=str(write(labels=Y + 1, **PARTS)), layers=2, epochs=1)
    dataset = train(given).summary["dataset"]
    assert dataset["class_names"] == [1, 2, 3, 4]
    assert dataset["provenance"]["split"] == "train_mask, val_mask, test_mask"
    plain = train(options(layers=2, epochs=1)).summary["dataset"]
    assert "class_names" not in plain
    assert plain["provenance"]["split"] == "random, seed 100, at most 20 a class for training"


def test_truth_values_are_named_in_the_summary():
    graph = checked_graph("toy", None, np.eye(N), Y % 2 == 0)
    assert description(graph, {}, (), graph.class_names)["class_names"] == [False, True]


@pytest.mark.parametrize("choice", [{"split": 1}, {"weights": "use"}, {"features": "degrees"}])
def test_data_in_memory_are_as_they_are(choice):
    (name,) = choice
    with pytest.raises(InputError, match=f"^{name}={choice[name]} is for data that are loaded"):
        train(options(layers=2, epochs=1, **choice), data=load("digits"))


def test_a_negative_split():
    with pytest.raises(InputError, match="^split= must be 0 or more, got -1"):
        options(split=-1)


@pytest.mark.parametrize("key", ["weight", "weights", "edge_weight"])
def test_weights_by_the_names_that_people_give_them(tmp_path, key):
    """Used beside listed edges, refused beside a matrix that has some."""
    edges = {"edges": np.array([[0, 1], [1, 2.0]]), "x": np.eye(6), "y": NODE[:6] % 2}
    np.savez(tmp_path / "a.npz", **edges, **{key: np.array([2.0, 0.5])})
    graph = load(tmp_path / "a.npz")
    assert graph.provenance["weights"] == "used, 0.5…2"
    assert graph.adjacency[0, 1] == 2
    matrix = {**edges, "adj": np.eye(6, k=1)}
    del matrix["edges"]
    np.savez(tmp_path / "b.npz", **matrix, **{key: np.ones(5)})
    with pytest.raises(InputError, match=f"{key} is beside the matrix adj, which has weights of"):
        load(tmp_path / "b.npz")


def test_other_weights_are_named(tmp_path):
    """Those of classes, say."""
    edges = {"edges": np.array([[0, 1], [1, 2]]), "x": np.eye(6), "y": NODE[:6] % 2}
    np.savez(tmp_path / "a.npz", **edges, weights=np.ones(7))
    assert load(tmp_path / "a.npz").provenance["unused"] == "weights"


def test_weights_that_are_ignored_may_be_anything(tmp_path):
    edges = {"edges": np.array([[0, 1], [1, 2]]), "x": np.eye(6), "y": NODE[:6] % 2}
    np.savez(tmp_path / "a.npz", **edges, edge_weight=np.array([np.nan, -1]))
    assert load(tmp_path / "a.npz", weights="ignore").edges == 4
