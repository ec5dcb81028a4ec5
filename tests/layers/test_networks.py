from itertools import combinations, pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from layers import (
    Network,
    all_dense,
    build,
    cnn,
    forward_costs,
    from_modules,
    mlp,
    module_shapes,
    resnet,
    split_model,
    split_network,
    subnetwork_costs,
)

SCALE = (lambda key: jax.random.normal(key, (4,)), lambda scale, x: scale * x)


def whole(network, seed=0):
    return build(network, range(len(network.builders)), seed)


@eqx.filter_jit
def apply(subnetwork, x):
    return subnetwork(x)


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf))


def parameters(subnetwork):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(subnetwork) if eqx.is_array(leaf)]


def images(*shape, dtype="float32"):
    return jax.random.normal(jax.random.key(9), shape, dtype)


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (mlp((5, 4), hidden=7, classes=3, layers=3), 20 * 7 + 7 + 7 * 7 + 7 + 7 * 3 + 3),
        (mlp((6,), hidden=7, classes=3, layers=1), 6 * 3 + 3),
        (
            cnn((9, 10, 3), classes=5, filters=4, hidden=6),
            (27 * 4 + 4) + (36 * 4 + 4) + (2 * 2 * 4 * 6 + 6) + (6 * 6 + 6) + (6 * 5 + 5),
        ),
        (
            resnet((14, 14, 3), classes=5, blocks=2, filters=4, hidden=6),
            (243 * 4 + 4) + 2 * 2 * (36 * 4 + 4) + (4 * 6 + 6) + (6 * 6 + 6) + (6 * 5 + 5),
        ),
    ],
)
def test_shapes_and_number_of_parameters(network, count):
    subnetwork = whole(network)
    assert size(subnetwork) == count
    shapes = module_shapes(network)
    assert len(shapes) == len(network.builders) + 1
    x = images(2, *network.shape)
    for number, shape in enumerate(shapes[1:]):
        x = apply(build(network, range(number, number + 1), seed=0), x)
        assert x.shape == (2, *shape)
    np.testing.assert_allclose(
        apply(subnetwork, images(2, *network.shape)), x, rtol=1e-5, atol=1e-6
    )


def test_shapes_of_the_paper():
    shapes = module_shapes(resnet((32, 32, 3), classes=10))
    assert shapes == [(32, 32, 3), *[(4, 4, 32)] * 25, (512,), (512,), (10,)]
    assert module_shapes(cnn((14, 14, 1), classes=10))[1:3] == [(7, 7, 32), (3, 3, 32)]
    assert module_shapes(resnet((1, 1, 1), classes=2, blocks=1))[1] == (1, 1, 32)


def test_mlp_against_numpy():
    network = mlp((3, 2), hidden=5, classes=4, layers=3)
    x = images(8, 3, 2)
    expected = np.asarray(x).reshape(8, 6)
    for number, layer in enumerate(whole(network).modules):
        expected = expected @ np.asarray(layer.W) + np.asarray(layer.b)
        expected = expected if number == 2 else np.maximum(expected, 0)
    np.testing.assert_allclose(whole(network)(x), expected, rtol=1e-4, atol=1e-5)


def test_stage_against_equinox():
    stage = whole(cnn((9, 10, 3), classes=2, filters=4, hidden=2)).modules[0]
    convolution = eqx.nn.Conv2d(3, 4, 3, padding=1, key=jax.random.key(0))
    convolution = eqx.tree_at(
        lambda c: (c.weight, c.bias),
        convolution,
        (stage.convolution.W.transpose(3, 2, 0, 1), stage.convolution.b[:, None, None]),
    )
    x = images(9, 10, 3)
    expected = eqx.nn.MaxPool2d(2, 2)(jax.nn.relu(convolution(x.transpose(2, 0, 1))))
    np.testing.assert_allclose(stage(x), expected.transpose(1, 2, 0), rtol=1e-4, atol=1e-5)


def test_pooling_of_the_stem_loses_no_position():
    stem = whole(resnet((8, 8, 1), classes=2, blocks=1, filters=1, hidden=2)).modules[0]
    stem = eqx.tree_at(lambda s: s.convolution.W, stem, jnp.zeros((9, 9, 1, 1)).at[4, 4].set(1))
    x = images(8, 8, 1)
    assert stem(x).shape == (1, 1, 1)  # convolution: positions 0, 3, 6 of each side
    np.testing.assert_allclose(stem(x), jnp.maximum(x[::3, ::3].max(), 0)[None, None, None])
    x = jnp.zeros((11, 11, 1)).at[9, 9].set(5)
    np.testing.assert_array_equal(stem(x)[..., 0], [[0, 0], [0, 5]])


def test_variance_through_ten_dense_layers():
    network = mlp((400,), hidden=512, classes=512, layers=10)
    y = apply(whole(network), images(100, 400))
    assert 0.5 < float(jnp.mean(y**2)) < 2


@pytest.mark.slow
def test_variance_through_blocks():
    network = resnet((32, 32, 3), classes=10, blocks=24, filters=32)
    x = apply(build(network, range(1), seed=0), images(20, 32, 32, 3))
    y = apply(build(network, range(1, 25), seed=0), x)
    assert 0.5 < float(jnp.mean(y**2) / jnp.mean(x**2)) < 4
    z = apply(build(network, range(25, 28), seed=0), y)
    assert 0.1 < float(jnp.std(z)) < 4


@pytest.mark.parametrize(
    "network",
    [mlp((6,), 5, 3, 4), cnn((8, 8, 2), 3, 4, 5), from_modules([SCALE] * 4, (4,))],
)
def test_the_same_network_however_it_is_cut(network):
    count = len(network.builders)
    together = parameters(whole(network, seed=3))
    for cut in range(1, count):
        parts = [build(network, own, seed=3) for own in (range(cut), range(cut, count))]
        apart = [leaf for part in parts for leaf in parameters(part)]
        for a, b in zip(together, apart, strict=True):
            np.testing.assert_array_equal(a, b)
    other = parameters(whole(network, seed=4))
    assert any((a != b).any() for a, b in zip(together, other, strict=True))
    weights = [leaf for leaf in together if leaf.shape == together[0].shape and leaf.any()]
    assert all((a != b).any() for a, b in combinations(weights, 2))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.data())
def test_split_is_the_best_of_all(costs, data):
    parts = data.draw(st.integers(1, len(costs)))
    split = split_network(costs, parts)
    assert [number for part in split for number in part] == list(range(len(costs)))
    assert all(split)

    def largest(cuts):
        *others, last = [sum(costs[a:b]) for a, b in pairwise([0, *cuts, len(costs)])]
        return max(*others, last * 3 / 4, 0)

    best = min(largest(cuts) for cuts in combinations(range(1, len(costs)), parts - 1))
    assert len(split) == parts
    assert largest([part.start for part in split[1:]]) == best


def test_costs_of_subnetworks():
    cuts = split_network([4, 1, 1, 4], 3)
    assert subnetwork_costs([4, 1, 1, 4], cuts) == [4, 2, 3.0]


def test_split_where_asked():
    assert split_network([1] * 5, 3, at=[1, 4]) == [range(1), range(1, 4), range(4, 5)]
    assert split_network([1] * 5, 1, at=[]) == [range(5)]


@pytest.mark.parametrize(
    ("parts", "at", "message"),
    [
        (6, None, "got 6 subnetworks for 5 modules; every subnetwork needs at least one module"),
        (0, None, "got 0 subnetworks for 5 modules"),
        (3, [1], "got 1 cuts for 3 subnetworks; expected 2"),
        (3, [2, 2], "got cuts at modules 2, 2; expected increasing numbers from 1 to 4"),
        (3, [3, 2], "got cuts at modules 3, 2; expected increasing"),
        (2, [0], "got cuts at modules 0; expected increasing numbers from 1 to 4"),
        (2, [5], "got cuts at modules 5"),
    ],
)
def test_split_that_does_not_fit(parts, at, message):
    with pytest.raises(ValueError, match=message):
        split_network([1] * 5, parts, at)


def test_costs_of_dense_layers():
    costs = forward_costs(mlp((4, 5), hidden=70, classes=3, layers=3))
    np.testing.assert_allclose(costs, [2 * n for n in (20 * 70, 70 * 70, 70 * 3)], rtol=0.06)


def test_which_networks_are_dense():
    linear = eqx.nn.Linear(4, 4, key=jax.random.key(0))
    own = eqx.nn.MLP(4, 2, 8, 3, key=jax.random.key(0))
    dense = [mlp((9, 9, 1), hidden=8, classes=3, layers=4), from_modules([linear] * 3, (4,))]
    dense.append(from_modules([jax.nn.relu, linear], (4,)))  # no parameters, no products
    assert all(map(all_dense, [*dense, from_modules(split_model(own), (4,))]))
    others = [[linear, own], [SCALE]]
    assert not any(all_dense(from_modules(each, (4,))) for each in others)
    assert not all_dense(resnet((9, 9, 1), classes=3, blocks=1, filters=2, hidden=4))


def test_costs_of_convolutions():
    network = resnet((33, 33, 3), classes=10, blocks=1, filters=16, hidden=50)
    side = 4  # 33 → 11 → 4
    # Taps of a 3×3 kernel that lie inside the image, along one side of it.
    taps = 3 * side - 2
    stem, block, *dense = forward_costs(network)
    # Positions 0, 3, …, 30 of 33, nine taps each, less those outside at either end.
    inside = sum(sum(0 <= 3 * n + tap < 33 for tap in range(-4, 5)) for n in range(11))
    np.testing.assert_allclose(stem, 2 * inside**2 * 3 * 16, rtol=0.06)
    np.testing.assert_allclose(block, 2 * 2 * taps**2 * 16 * 16, rtol=0.06)
    expected = [2 * (16 * 50 + side**2 * 16), 2 * 50 * 50, 2 * 50 * 10]
    np.testing.assert_allclose(dense, expected, rtol=0.06)


def test_modules_of_ones_own():
    linear = eqx.nn.Linear(4, 3, key=jax.random.key(1))
    network = from_modules([SCALE, linear, jax.nn.relu, jnp.sum], (4,))
    assert module_shapes(network) == [(4,), (4,), (3,), (3,), ()]
    costs = forward_costs(network)
    assert costs[0] == 4
    assert costs[1] == 2 * 12 + 3
    subnetwork = whole(network, seed=5)
    x = images(6, 4)
    scale = SCALE[0](jax.random.fold_in(jax.random.key(5), 0))
    expected = jnp.maximum((scale * x) @ linear.weight.T + linear.bias, 0).sum(1)
    np.testing.assert_allclose(subnetwork(x), expected, rtol=1e-5)
    # All of it, and nothing else, is trained; the user's own module stays as it is.
    gradient = eqx.filter_grad(lambda f: jnp.sum(f(x) ** 2))(subnetwork)
    assert size(gradient) == size(subnetwork) == 4 + 12 + 3
    assert subnetwork.modules[1].weight is not linear.weight
    np.testing.assert_array_equal(subnetwork.modules[1].weight, linear.weight)


def test_modules_that_do_not_fit():
    linear = eqx.nn.Linear(4, 3, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"module 1 \(Linear\) does not take .* shape \(3,\): "):
        module_shapes(from_modules([linear, linear], (4,)))
    with pytest.raises(
        ValueError, match=r"module 0 \(divmod\) returns tuple .* expected one array"
    ):
        module_shapes(from_modules([(lambda key: 2.0, divmod)], (4,)))
    with pytest.raises(ValueError, match=r"module 0 \(<lambda>\) does not take"):
        forward_costs(from_modules([SCALE], (5,)))
    with pytest.raises(ValueError, match="module 1 is a ndarray; expected a callable or a pair"):
        from_modules([linear, np.ones(3)], (4,))
    with pytest.raises(ValueError, match="module 0 is a tuple; expected a callable or a pair"):
        from_modules([(1, 2)], (4,))
    with pytest.raises(ValueError, match="got no modules"):
        from_modules([], (4,))
    with pytest.raises(ValueError, match="module 1 .* returns bfloat16 for a sample of float32"):
        module_shapes(from_modules([jnp.sin, lambda x: x.astype("bfloat16")], (3,)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp((4,), 5, 3, layers=0), "got layers 0; expected at least 1"),
        (lambda: mlp((4, 0), 5, 3, 2), "got samples of shape (4, 0); expected no empty side"),
        (lambda: mlp((4,), 0, 3, 2), "got hidden 0; expected at least 1"),
        (lambda: cnn((3, 9, 1), 2), "got images of 3×9; they need at least 4×4"),
        (lambda: cnn((9, 9), 2), "got samples of shape (9, 9); expected (height, width, channels)"),
        (lambda: cnn((9, 9, 1), 2, filters=0), "got filters 0; expected at least 1"),
        (lambda: resnet((0, 9, 1), 2), "got samples of shape (0, 9, 1)"),
        (lambda: resnet((9, 9, 1), 2, blocks=0), "got blocks 0; expected at least 1"),
    ],
)
def test_networks_that_cannot_be(make, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        make()
    assert str(raised.value).startswith(message)


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
def test_float64():
    linear = eqx.nn.Linear(3, 2, dtype="float32", key=jax.random.key(0))
    for network in (
        mlp((4,), 5, 3, 2, dtype="float64"),
        cnn((8, 8, 1), 3, 4, 5, dtype="float64"),
        resnet((8, 8, 1), 3, 1, 4, 5, dtype="float64"),
        from_modules([linear], (3,), dtype="float64"),
    ):
        assert isinstance(network, Network)
        subnetwork, x = whole(network), images(2, *network.shape, dtype="float64")
        assert {leaf.dtype.name for leaf in parameters(subnetwork)} == {"float64"}
        assert apply(subnetwork, x).dtype == "float64"
        assert module_shapes(network)[-1] in ((3,), (2,))
    # The same network as in float32.
    single = whole(mlp((4,), 5, 3, 2))
    double = whole(mlp((4,), 5, 3, 2, dtype="float64"))
    np.testing.assert_array_equal(single.modules[0].W, double.modules[0].W.astype("float32"))
