# %% [markdown]
# # Federated learning
#
# Clients with sensors of their own train one network, and keep their windows. Consensus ADMM meets
# FedAvg, with everybody there and with clients offline.

# %%
import jax.numpy as jnp

from admm import options, read_federation, train

# %% tags=["parameters"]
clients = 6
rounds = 40

# %% [markdown]
# ## Clients
#
# `sensors` generates clients. A folder with an `.npz` file for each client, or an object of yours,
# serves as well.

# %%
federation = read_federation(f"sensors:clients={clients},seed=0")
first = federation.client(0)
print(first.name, first.train.inputs.shape, first.train.targets.shape)

# %% [markdown]
# ## Runs
#
# Every run first trains what it has to beat: each client alone, and ridge regressions. One run
# shows these; the others leave them out.

# %%
shared = {"epochs": rounds, "eval_every": 2, "network": "lstm"}
alone = train(options("fed-admm", **shared), data=federation)
for name, scores in alone.summary["baselines"].items():
    print(f"{name:16} mean absolute error {scores['test_mae']:.3f}")

# %%
errors = {("fed-admm", 1.0, "float32"): alone.summary["best"]["test_mae"]}
for solver, participation, codec in (
    ("fedavg", 1.0, "float32"),
    ("fed-admm", 0.7, "float32"),
    ("fedavg", 0.7, "float32"),
    ("fed-admm", 1.0, "delta4"),
):
    given = options(solver, participation=participation, codec=codec, baselines=False, **shared)
    best = train(given, data=federation).summary["best"]
    errors[solver, participation, codec] = best["test_mae"]

for (solver, participation, codec), error in errors.items():
    print(f"{solver:9} {participation:.0%} there, {codec:8} {error:.3f}")

# %% [markdown]
# ## The network
#
# `module` is the network of one window that all clients share.

# %%
model = alone.module()
print(model(jnp.asarray(first.test.inputs[0])), first.test.targets[0])
