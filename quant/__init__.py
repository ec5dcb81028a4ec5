"""How an array travels, or is constrained: sets of levels, bit packing, codecs.

Nothing here knows networks, solvers or MPI; everything is a pure, jitted function of arrays.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
