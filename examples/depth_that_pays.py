# %% [markdown]
# # Depth that pays
#
# Stochastic ADMM trains all layers at once, each on another micro-batch. This example compares
# depths with Adam on the same network.
#
# Get the images first: `python -m admm datasets download mnist`.

# %%
from admm import options, train

# %% tags=["parameters"]
dataset = "mnist14"
rows = 3000
epochs = 10
depths = (3, 5, 10)

# %% [markdown]
# `sadmm` has defaults for every depth. With one subnetwork, `gsadmm` is the plain optimiser: here
# Adam with mini-batches of 10.

# %%
shared = {"dataset": dataset, "rows": rows, "epochs": epochs, "eval_every": epochs}
scores = {}
for layers in depths:
    ours = train(options("sadmm", layers=layers, **shared))
    adam = train(
        options("gsadmm", subnetworks=1, layers=layers, hidden=100, lr=1e-3, batch=10, **shared)
    )
    scores[layers] = [each.history[-1]["test_accuracy"] for each in (ours, adam)]

print("layers   sadmm    Adam")
for layers, (ours, adam) in scores.items():
    print(f"{layers:6} {ours:7.3f} {adam:7.3f}")

# %% [markdown]
# One seed tells little. `docs/depth.md` has the comparison over seeds, with a tuned Adam.
#
# On two ranks, with 4-bit messages: `mpirun -n 2 python -m admm train --solver sadmm --dataset
# mnist14 --codec uniform4`.
