# %% [markdown]
# # Subnetworks
#
# gsAM cuts a network of yours into subnetworks. Each has an optimiser of its own, and works on
# another mini-batch.

# %%
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from admm import options, patience, train_subnetworks

# %% tags=["parameters"]
epochs = 40
samples = 2000

# %% [markdown]
# ## Data and network
#
# A network is an `eqx.nn.MLP`, an `eqx.nn.Sequential`, or a list of modules of one sample.

# %%
random = np.random.default_rng(0)
x = random.normal(size=(samples, 8))
y = np.sin(x[:, 0] * x[:, 1]) + x[:, 2] + 0.1 * random.normal(size=samples)
keys = jax.random.split(jax.random.key(0), 3)
network = [
    eqx.nn.Linear(8, 64, key=keys[0]),
    jax.nn.relu,
    eqx.nn.Linear(64, 64, key=keys[1]),
    eqx.nn.Dropout(0.1),
    jax.nn.relu,
    eqx.nn.Linear(64, "scalar", key=keys[2]),
]

# %% [markdown]
# ## Loss and optimiser
#
# A loss takes outputs and targets of a mini-batch, and returns one number for each sample. Every
# subnetwork gets its own optimiser.


# %%
def huber(outputs, targets):
    return optax.huber_loss(outputs, targets)


steps = epochs * (samples // 50)
optimizer = optax.chain(
    optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(3e-3, steps))
)

# %% [markdown]
# ## Training
#
# `cuts=(2,)` puts the first two modules below the cut. A loss of your own has no score, so the
# validation loss picks the best network.

# %%
result = train_subnetworks(
    options("gsam", subnetworks=2, cuts=(2,), epochs=epochs, batch=50),
    data=(x, y),
    validation=0.2,
    network=network,
    optimizer=optimizer,
    loss=huber,
    callback=patience(10, "val_loss"),
)
print(f"validation loss {result.summary['best']['val_loss']:.4f}")
print(result.summary["cuts"])

# %% [markdown]
# ## What is trained
#
# `module` joins the subnetworks into one equinox module, for JAX to use as it likes.

# %%
model = eqx.nn.inference_mode(result.module())
outputs = jax.vmap(model)(jnp.asarray(x[:5], "float32"))
print(np.c_[outputs, y[:5]])
