# %% [markdown]
# # Your own graph
#
# Wines that resemble each other become neighbours. A few labelled ones teach a network the
# cultivars of all.

# %%
import numpy as np
from sklearn.datasets import load_wine
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import StandardScaler

from admm import GAMLPClassifier, checked_graph, options, save_graph, split_of_masks, train

# %% tags=["parameters"]
epochs = 100

# %% [markdown]
# A graph is a matrix of features, a matrix of edges, and a label for each node. Here 60 nodes keep
# their label, and −1 hides the others.

# %%
features, cultivars = load_wine(return_X_y=True)
features = StandardScaler().fit_transform(features)
edges = kneighbors_graph(features, 5)
random = np.random.default_rng(0)
shown = random.permutation(len(cultivars))[:60]
labels = np.full(len(cultivars), -1)
labels[shown] = cultivars[shown]

# %% [markdown]
# ## An estimator
#
# `edges` takes a sparse matrix, node numbers of shape (2, edges), or a graph of networkx, PyTorch
# Geometric or DGL.

# %%
model = GAMLPClassifier(layers=3, hidden=32, epochs=epochs, random_state=0)
model.fit(features, labels, edges=edges)
hidden = labels < 0
estimated = (model.predict(features, edges=edges) == cultivars)[hidden].mean()
print(f"accuracy on the nodes without a label: {estimated:.3f}")

# %% [markdown]
# ## A run, with every option
#
# `checked_graph` validates the arrays, and masks say which nodes are for training, validation and
# test.

# %%
part = np.full(len(cultivars), "test", dtype=object)
part[shown[:40]], part[shown[40:]] = "train", "val"
split = split_of_masks(*(part == name for name in ("train", "val", "test")))
graph = checked_graph("wines", edges, features, cultivars, split)
result = train(options("pdadmm-g", layers=3, hidden=32, epochs=epochs), data=graph)
print(result.summary["dataset"])
print(f"test accuracy {result.summary['best']['test_accuracy']:.3f}")

# %% [markdown]
# ## A file
#
# `save_graph` writes what `python -m admm train --dataset wines.npz` reads, its split included.

# %%
masks = [part == name for name in ("train", "val", "test")]
save_graph("wines.npz", edges, features, cultivars, masks)
again = train(options("pdadmm-g", dataset="wines.npz", layers=3, hidden=32, epochs=epochs))
print(again.summary["dataset"]["provenance"])
