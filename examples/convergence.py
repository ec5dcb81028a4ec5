# %% [markdown]
# # Convergence
#
# The augmented Lagrangian never rises for ρ > 4ν (ReLU; Theorem 1 of Wang et al., arXiv
# 2105.09837). This example follows it, and the residuals, for several ρ.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from admm import solve
from admm.solvers import PDADMMG, stage_network
from layers import widths

# %% tags=["parameters"]
steps = 200
nu = 0.01

# %% [markdown]
# `solve` runs the solver on arrays, without files. It starts from the forward pass of the
# network, and records every fifth iteration.

# %%
images, labels = load_digits(return_X_y=True)
x = np.float32(images[:500] / np.linalg.norm(images[:500], axis=1, keepdims=True))
y = jax.nn.one_hot(labels[:500], 10)
network = stage_network(0, [1, 2, 3], widths(64, 50, 10, layers=3), None, 64, "float32")

# %%
traces = {}
for ratio in (1, 5, 20):
    solver = PDADMMG(rho=ratio * nu, nu=nu)
    traces[ratio] = solve(solver, network, x, y, steps=steps, every=5).trace

# %% [markdown]
# A larger ρ enforces p = q sooner, and lets the Lagrangian fall more slowly.

# %%
rises = {}
for ratio, trace in traces.items():
    values = trace["lagrangian"]
    rises[ratio] = int((np.diff(values) > 1e-5 * values[:-1]).sum())
    ends = f"Lagrangian {values[-1]:.3f}, ‖p − q‖ {trace['primal_residual'][-1]:.1e}"
    print(f"ρ = {ratio}ν: {ends}, {rises[ratio]} rises")

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3), layout="constrained")
for ax, name in zip(axes, ("lagrangian", "primal_residual", "dual_residual"), strict=True):
    for ratio, trace in traces.items():
        ax.loglog(trace["step"], trace[name], label=f"ρ = {ratio}ν")
    ax.set(title=name.replace("_", " "), xlabel="iteration")
axes[0].legend()
figure.savefig("convergence.png")
