# %% [markdown]
# # Your own method
#
# Ridge regression whose columns are split over workers: sharing ADMM (Boyd et al. 2011, §7.3). A
# worker needs no other worker's columns.
#
#     minimise  ½‖Σ_k A_k x_k − b‖² + μ/2 Σ_k ‖x_k‖²
#
# With m the mean of A_k x_k over N workers, an iteration is
#
#     x_k ← argmin μ/2‖x‖² + ρ/2‖A_k x − v_k‖²,   v_k = A_k x_k − m + z − u
#     z ← (b + ρ(m + u))/(N + ρ),   u ← u + m − z
#
# `docs/own-method.md` explains what the driver asks of a method.

# %%
import zlib
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from admm import MethodOptions, Training, datasets, option, train
from admm.checks import POSITIVE
from admm.comm import fill_leaves, in_turns, receive_exact, send_exact

# Before JAX starts: a device for each worker.
jax.config.update("jax_num_cpu_devices", 4)

# %% tags=["parameters"]
epochs = 200
workers = 4

# %% [markdown]
# ## Options
#
# A field made by `option` is checked, documented in `--help`, and written to `summary.json`.


# %%
@dataclass(frozen=True, kw_only=True)
class SharingOptions(MethodOptions):
    select: ClassVar[str] = "val_accuracy"
    bounded: ClassVar[str] = "objective"
    stages: ClassVar = ("the regression",)
    remedy: ClassVar[str] = "a larger rho"

    solver: Literal["sharing"] = option("sharing", "the method [pdadmm-g]")
    rho: float = option(1.0, "penalty of the shared mean", check=POSITIVE)
    ridge: float = option(0.1, "penalty μ of the squared weights", check=POSITIVE)

    def load(self, transport, data=None):
        given = (self.dataset, self.data_dir, self.split_seed)
        return Share(transport.at_root(lambda: data or datasets.load(*given)))

    def begin(self, share, transport, stage, kept):
        return SharingTraining(self, share, transport)

    def safer(self, training):
        return replace(self, rho=10 * self.rho), f"rho {10 * self.rho:g}"


class Share:
    def __init__(self, graph):
        self.x, self.labels = graph.features.toarray(), graph.labels
        self.x = np.float32(self.x / self.x.std())
        self.parts = graph.split._asdict()
        self.dataset = {"name": graph.name, "nodes": graph.nodes, "classes": graph.classes}
        # A run goes on with the same data only.
        self.dataset["fingerprint"] = zlib.crc32(self.x.tobytes() + self.labels.tobytes())
        self.introduction = f"{graph.name}: {graph.nodes} rows\n"


# %% [markdown]
# ## A worker
#
# `iteration` is a generator. It yields where another worker of the same process has to move first.


# %%
class Worker:
    def __init__(self, index, transport, options, columns, rows, b):
        self.index, self.transport, self.rho = index, transport, options.rho
        self.columns, self.A, self.b = columns, columns[rows], b
        gram = self.A.T @ self.A + options.ridge / self.rho * jnp.eye(self.A.shape[1])
        self.solve = jnp.linalg.inv(gram) @ self.A.T
        self.x = jnp.zeros((self.A.shape[1], b.shape[1]))
        self.mean = self.z = self.u = jnp.zeros_like(b)

    def iteration(self):
        others = range(1, self.transport.size)
        self.x = self.solve @ (self.A @ self.x - self.mean + self.z - self.u)
        total = self.A @ self.x
        if self.index > 0:
            send_exact(self.transport, total, self.index, 0, "product")
        yield  # worker 0 waits for all others
        if self.index == 0:
            came = [receive_exact(self.transport, total, k, 0, "product") for k in others]
            total = sum(came, total)
            for other in others:
                send_exact(self.transport, total, 0, other, "sum")
        yield  # and they for worker 0
        if self.index > 0:
            total = receive_exact(self.transport, total, 0, self.index, "sum")
        size = self.transport.size
        self.mean = total / size
        self.z = (self.b + self.rho * (self.mean + self.u)) / (size + self.rho)
        self.u = self.u + self.mean - self.z


# %% [markdown]
# ## The training
#
# `measure` returns the same values in every process: `transport.total` adds up what the workers
# have.


# %%
class SharingTraining(Training):
    variables = ("product", "sum")

    def __init__(self, options, share, transport):
        transport.declare(*self.variables)
        self.options, self.share, self.transport = options, share, transport
        self.depth, rows = transport.size, share.parts["train"]
        self.targets = jax.nn.one_hot(share.labels[rows], share.labels.max() + 1)
        columns = np.array_split(jnp.asarray(share.x), transport.size, axis=1)
        self.workers = [
            Worker(k, transport, options, columns[k], rows, self.targets) for k in transport.local
        ]

    def units(self, worker):
        return f"block {worker + 1} of the columns"

    def epoch(self, number, measure):
        in_turns(each.iteration() for each in self.workers)

    def measure(self):
        outputs = self.transport.total([np.asarray(w.columns @ w.x) for w in self.workers])
        squares = self.transport.total([np.array([float((w.x**2).sum())]) for w in self.workers])
        right = outputs.argmax(axis=1) == self.share.labels
        misfit = ((outputs[self.share.parts["train"]] - self.targets) ** 2).sum()
        objective = float(misfit) / 2 + self.options.ridge / 2 * float(squares[0])
        scores = {
            f"{p}_accuracy": float(right[rows].mean()) for p, rows in self.share.parts.items()
        }
        return {**scores, "objective": objective}

    def state(self):
        self.transport.flush()
        names = ("x", "mean", "z", "u")
        return {w.index: {name: getattr(w, name) for name in names} for w in self.workers}

    def restore(self, read, settings):
        for worker in self.workers:
            for name, value in read(worker.index).items():
                setattr(worker, name, jnp.asarray(value))

    def network(self):
        return {w.index + 1: {"x": w.x} for w in self.workers}

    def saved_network(self, depth, read):
        return {n: fill_leaves(each, read(n)) for n, each in self.network().items()}


# %% [markdown]
# ## A run
#
# The driver brings epochs, evaluations, checkpoints, retreats and MPI. The optimum of the ridge
# regression is known: the run approaches it.

# %%
given = SharingOptions(epochs=epochs, workers=workers, eval_every=max(1, epochs // 5))
result = train(given)
for line in result.history:
    print(f"epoch {line['epoch']}: {line['objective']:.4f}, test {line['test_accuracy']:.3f}")

# %%
graph = datasets.load("digits")
share = Share(graph)
A, b = share.x[graph.split.train], np.eye(graph.classes)[graph.labels[graph.split.train]]
best = np.linalg.solve(A.T @ A + given.ridge * np.eye(A.shape[1]), A.T @ b)
optimum = ((A @ best - b) ** 2).sum() / 2 + given.ridge / 2 * (best**2).sum()
print(f"the optimum: {optimum:.4f}")

# %% [markdown]
# A package that declares an entry point of the group `layerwise_admm.methods` makes `admm train
# --solver sharing` work, on MPI too.
