"""ADMM-based, layer-parallel training of neural networks in JAX.

`admm.training` trains from options or a notebook, `admm.solvers` holds the algorithms,
`admm.parallel` the workers and transports, `admm.datasets` the graphs and images. Nothing is
imported here, so that `python -m admm` can bind a rank to its cores before JAX starts.
"""

__version__ = "0.1.0"
