"""Processes and messages: launching, transports, channels, workers that take turns.

Importing it imports no JAX, so that `admm.comm.launch` can bind a rank to its cores before JAX
starts its threads.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
