# %% [markdown]
# # Quickstart
#
# Four layers learn to read scikit-learn's digits. Two workers share the layers, and update theirs
# at the same time.

# %%
import jax

from admm import options, train

# Before JAX starts: a device for each worker.
jax.config.update("jax_num_cpu_devices", 2)

# %% tags=["parameters"]
epochs = 100

# %% [markdown]
# `options` takes a solver and what `python -m admm train --solver pdadmm-g --help` lists.

# %%
given = options("pdadmm-g", dataset="digits", layers=4, epochs=epochs, workers=2)
result = train(given)
print(result.summary["workers"]["units_per_rank"])

# %% [markdown]
# The network grows in two stages, first 2 layers and then 4. The history has a line for each
# evaluation. Penalties rise when the loss stalls, and the Lagrangian jumps with them.

# %%
for line in result.history[:: max(1, epochs // 4)]:
    names = ("stage", "epoch", "lagrangian", "primal_residual", "val_accuracy")
    print({name: round(line[name], 5) for name in names})

# %% [markdown]
# The run keeps the network with the best validation accuracy, and counts what travelled between the
# workers.

# %%
best, sent = result.summary["best"], result.summary["bytes"]
print(
    f"test accuracy {best['test_accuracy']:.3f} in epoch {best['epoch']} of stage {best['stage']}"
)
print(f"{sent['sent']:,} bytes of training: {sent['by_variable']}")

# %% [markdown]
# `result.network` has the layers by number. The digits are a graph: each image is linked to its ten
# nearest. The first layer reads four hop blocks of 64 pixels.

# %%
for number, layer in result.network.items():
    print(number, layer.W.shape, layer.b.shape)
