# %% [markdown]
# # Partitions of a graph
#
# A GraphSAGE trains on a generated graph in four parts. Rows of neighbours in other parts, the
# halo, are exact, recomputed, stale, or dropped.

# %%
import jax

from admm import options, train

# Before JAX starts: a device for each worker.
jax.config.update("jax_num_cpu_devices", 4)

# %% tags=["parameters"]
nodes = 3000
epochs = 120

# %% [markdown]
# ## What a part knows of its neighbours
#
# - `exact` sends them in every epoch, and gradients back.
# - `refresh` recomputes them with the current weights from what their owners sent up to ten epochs
#   ago.
# - `stale` keeps rows of up to ten epochs ago (DIGEST).
# - `drop` has none: edges between parts are lost.

# %%
results = {}
for halo in ("exact", "refresh", "stale", "drop"):
    given = options(
        "partitions",
        dataset=f"sbm:nodes={nodes},seed=0",
        network="sage",
        halo=halo,
        parts=4,
        workers=4,
        epochs=epochs,
        eval_every=10,
        weight_decay=0.0,
    )
    results[halo] = train(given)

# %%
print("halo       best test accuracy      bytes of rows")
for halo, result in results.items():
    best, sent = result.summary["best"], result.summary["bytes"]["sent"]
    print(f"{halo:9} {best['test_accuracy']:19.3f} {sent:18,}")

# %% [markdown]
# ## How old the rows are
#
# `staleness_l` is the relative error of the halo's rows of layer l, as training last had them.

# %%
for halo, result in results.items():
    last = result.history[-1]
    print(halo, {name: round(value, 3) for name, value in last.items() if "staleness" in name})
