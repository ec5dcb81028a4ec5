"""The driver: what a method has to be, its options, the run, results and checkpoints."""

import lazy_loader

from admm.siblings import check_siblings

check_siblings()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
