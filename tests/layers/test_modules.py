"""Modules with keys, and models taken apart."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from layers import Chain, build, from_modules, module_shapes, split_model, takes_key

KEY = jax.random.key(0)
MODELS = {
    "rectifiers": lambda: eqx.nn.MLP(3, 2, 5, 2, key=KEY),
    "learnt": lambda: eqx.nn.MLP(
        3, 2, 5, 2, eqx.nn.PReLU(0.3), final_activation=eqx.nn.PReLU(0.1), key=KEY
    ),
    "scalar": lambda: eqx.nn.MLP(3, "scalar", 5, 1, final_activation=jnp.tanh, key=KEY),
    "linear": lambda: eqx.nn.MLP(3, 2, 5, 0, final_activation=jnp.tanh, key=KEY),
    "nested": lambda: eqx.nn.Sequential(
        [eqx.nn.Linear(3, 4, key=KEY), eqx.nn.Sequential([eqx.nn.Lambda(jnp.tanh)])]
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_its_modules_one_after_the_other(name):
    model, x = MODELS[name](), jax.random.normal(KEY, (4, 3))
    modules = split_model(model)
    assert (
        len(modules) == {"rectifiers": 3, "learnt": 3, "scalar": 2, "linear": 1, "nested": 2}[name]
    )
    found = jax.vmap(Chain(tuple(modules)))(x)
    np.testing.assert_array_equal(found, jax.vmap(model)(x))


def scanned():
    """An `MLP` with its hidden layers stacked, which older releases of equinox cannot make."""
    model = eqx.nn.MLP(2, 2, 4, 3, key=KEY)
    object.__setattr__(model, "scan", True)
    return model


@pytest.mark.parametrize("model", [eqx.nn.Linear(2, 2, key=KEY), "mlp", 3, scanned()])
def test_models_that_cannot_be_cut(model):
    with pytest.raises(ValueError, match="cannot be cut: pass its modules, each a function of one"):
        split_model(model)


def test_who_takes_a_key():
    assert takes_key(eqx.nn.Dropout())
    assert takes_key(lambda x, key: x)
    assert not takes_key(lambda key: key)  # that is the sample
    assert not takes_key(jnp.tanh)
    network = from_modules([(lambda key: jnp.ones(()), lambda w, x, key: x)], (2,))
    assert takes_key(build(network, range(1), 0).modules[0])


class WithAnApply(eqx.Module):
    """Called by another function than `apply`."""

    def apply(self, x, key):
        raise NotImplementedError

    def __call__(self, x):
        return 2 * x


def test_a_method_of_the_name_apply_says_nothing():
    assert not takes_key(WithAnApply())
    network = build(from_modules([WithAnApply()], (2,)), range(1), 0)
    assert network(jnp.ones((1, 2)), jax.random.split(KEY, 1)).tolist() == [[2.0, 2.0]]


def test_every_module_has_a_key_of_its_own():
    """Wherever the network is cut."""

    def noise(x, key):
        return x if key is None else x + jax.random.normal(key, x.shape)

    x, keys = jnp.zeros((2, 3)), jax.random.split(KEY, 2)
    network = from_modules([noise, jnp.negative, noise], (3,))
    whole = build(network, range(3), 0)(x, keys)
    lower, upper = build(network, range(1), 0), build(network, range(1, 3), 0)
    np.testing.assert_array_equal(upper(lower(x, keys), keys), whole)
    by_hand = -noise(x[0], jax.random.fold_in(keys[0], 0))
    by_hand = noise(by_hand, jax.random.fold_in(keys[0], 2))
    np.testing.assert_allclose(whole[0], by_hand, rtol=1e-6)
    assert not build(network, range(3), 0)(x).any()


def test_a_module_that_wants_a_key_in_inference_does_not_fit():
    with pytest.raises(ValueError, match=r"module 0 \(<lambda>\) does not take a sample"):
        module_shapes(from_modules([lambda x, key: jax.random.normal(key, x.shape)], (3,)))


def test_modules_that_keep_a_state():
    norm = eqx.nn.BatchNorm(3, "batch", mode="batch")
    with pytest.raises(ValueError, match=r"module 0 \(BatchNorm\) keeps a state .*LayerNorm"):
        module_shapes(from_modules([norm], (3,)))


def test_inputs_of_whole_numbers():
    embedding = eqx.nn.Embedding(5, 4, key=KEY)
    network = from_modules([embedding, jnp.tanh], (), input_dtype="int32")
    assert module_shapes(network) == [(), (4,), (4,)]
    with pytest.raises(ValueError, match=r"does not take a sample of shape \(3,\) in int32: "):
        module_shapes(from_modules([embedding], (3,), input_dtype="int32"))
