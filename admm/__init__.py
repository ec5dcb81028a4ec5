"""ADMM-based, layer-parallel training of neural networks in JAX.

Public names are imported when they are used, so that `import admm` starts neither JAX nor MPI, and
`python -m admm` can bind a rank to its cores before JAX makes its threads.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
