"""Algorithms, one a file; they know no MPI, no files and no clock."""

import lazy_loader

from admm.siblings import check_siblings

check_siblings()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
