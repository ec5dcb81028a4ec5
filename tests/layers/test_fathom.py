"""FATHOM and the LSTM against a plain program, and what its three modes have in common."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from layers import Context, Fathom, RecurrentNetwork, init_sequence_network, private_parameters

D, T, OUTPUTS, H, CLIENTS = 3, 6, 2, 4, 3
X = np.random.default_rng(0).normal(size=(T, D))
OTHERS = np.random.default_rng(1).normal(size=(CLIENTS - 1, T, H))


def softmax(s):
    powers = np.exp(s - s.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(cell, x):
    h = c = np.zeros(cell.hidden_size)
    states = []
    for row in x:
        s = np.asarray(cell.weight_ih) @ row + np.asarray(cell.weight_hh) @ h
        i, f, g, o = np.split(s + np.asarray(cell.bias), 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def linear(layer, x):
    return np.asarray(layer.weight) @ x + (0 if layer.bias is None else np.asarray(layer.bias))


def head(network, v):
    return linear(network.output, np.maximum(linear(network.dense, lstm(network.cell, v)[-1]), 0))


def fathom(network, x, others, available):
    """The equations of the class, a line each."""
    a = 1
    if network.task_attention is not None:
        a = softmax(np.array([linear(network.task_attention, row) for row in x]))
    r = lstm(network.cell, np.tanh(np.array([linear(network.embedding, row) for row in x * a])))
    known = others * available[:, None, None]
    z = np.concatenate([r, *known], axis=1) if network.attention == "aligned" else r
    v = z
    if network.temporal_attention is not None:
        alpha = softmax(np.tanh(linear(network.temporal_attention, z.ravel())))
        v = alpha[:, None] * x
    if network.attention == "context":
        v = np.concatenate([v, known.sum(axis=0) / max(available.sum(), 1)], axis=1)
    return head(network.head, v)


def make(attention="own", dtype="float64", clients=CLIENTS, **options):
    key = jax.random.key(0)
    return Fathom(D, T, OUTPUTS, H, attention, clients=clients, dtype=dtype, key=key, **options)


@pytest.mark.parametrize("attention", ["own", "aligned", "context"])
@pytest.mark.parametrize("ablation", [(True, True), (False, True), (True, False), (False, False)])
def test_fathom_computes_its_equations(x64, attention, ablation):
    network = make(attention, use_task_attention=ablation[0], use_temporal_attention=ablation[1])
    available = np.array([True, False])
    context = Context(jnp.asarray(OTHERS), jnp.asarray(available))
    expected = fathom(network, X, OTHERS, available)
    assert network(jnp.asarray(X), context=context) == pytest.approx(expected, abs=1e-12)


def test_the_lstm_computes_its_equations(x64):
    network = RecurrentNetwork(D, H, OUTPUTS, "float64", key=jax.random.key(1))
    assert network(jnp.asarray(X)) == pytest.approx(head(network, X), abs=1e-12)


def test_aligned_with_one_client_is_own():
    x = jnp.asarray(X, "float32")
    assert (make("aligned", "float32", 1)(x) == make("own", "float32", 1)(x)).all()


@pytest.mark.parametrize("attention", ["aligned", "context"])
def test_clients_that_are_not_available_are_as_none(attention):
    """Whatever stands in their place, NaN too."""
    network, x = make(attention, "float32"), jnp.asarray(X, "float32")
    nowhere = Context(jnp.full(OTHERS.shape, jnp.nan, "float32"), jnp.zeros(CLIENTS - 1, bool))
    assert (network(x, context=nowhere) == network(x)).all()
    assert jnp.isfinite(network(x)).all()


def test_context_does_not_depend_on_the_order_of_clients():
    network, x = make("context", "float32"), jnp.asarray(X, "float32")
    there = jnp.ones(CLIENTS - 1, bool)
    forward, back = (Context(jnp.asarray(o, "float32"), there) for o in (OTHERS, OTHERS[::-1]))
    y = np.asarray(network(x, context=forward))
    assert y == pytest.approx(np.asarray(network(x, context=back)), abs=1e-6)
    assert not np.allclose(y, network(x))


@pytest.mark.parametrize("attention", ["aligned", "context"])
def test_no_gradient_flows_to_other_clients(attention):
    network, x = make(attention, "float32"), jnp.asarray(X, "float32")
    there = jnp.ones(CLIENTS - 1, bool)
    gradient = jax.grad(lambda o: network(x, context=Context(o, there)).sum())
    assert (gradient(jnp.asarray(OTHERS, "float32")) == 0).all()


@pytest.mark.parametrize("name", ["fathom", "lstm", "mlp", "linear"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_networks_have_the_shape_and_type_that_is_asked_for(x64, name, dtype):
    sizes = {"features": D, "steps": T, "outputs": OUTPUTS, "hidden": H}
    network = init_sequence_network(name, **sizes, dtype=dtype, key=jax.random.key(0))
    y = jax.vmap(network)(jnp.ones((5, T, D), dtype))
    assert (y.shape, y.dtype) == ((5, OUTPUTS), dtype)
    kinds = {leaf.dtype for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_array))}
    assert kinds == {np.dtype(dtype)}


@pytest.mark.parametrize(
    ("name", "private"),
    [("fathom", D * D + OUTPUTS * (H + 1)), ("lstm", OUTPUTS * (H + 1)), ("linear", 0)],
)
def test_task_attention_and_output_layer_are_private(name, private):
    sizes = {"features": D, "steps": T, "outputs": OUTPUTS, "hidden": H}
    network = init_sequence_network(name, **sizes, key=jax.random.key(0))
    own, shared = eqx.partition(network, private_parameters(network))
    assert sum(leaf.size for leaf in jax.tree.leaves(own)) == private
    assert jax.tree.leaves(shared)


def test_private_fields_of_a_network_of_ones_own_are_found_by_name():
    class Mine(eqx.Module):
        body: eqx.nn.Linear
        output: eqx.nn.Linear

    keys = jax.random.split(jax.random.key(0))
    private = private_parameters(Mine(*(eqx.nn.Linear(2, 2, key=key) for key in keys)))
    assert (private.body.weight, private.output.weight, private.output.bias) == (False, True, True)


def test_names_that_mean_nothing_are_refused(unchecked):
    with pytest.raises(ValueError, match="expected attention of own, aligned, context, got 'all'"):
        make("all")
    sizes = {"features": D, "steps": T, "outputs": OUTPUTS, "key": jax.random.key(0)}
    with pytest.raises(ValueError, match="expected a network of fathom, lstm, mlp, linear, got 'r"):
        init_sequence_network("ridge", **sizes)
