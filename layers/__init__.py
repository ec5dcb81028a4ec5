"""What a network is made of: activations, risks, hop operators, the GA-MLP, graph convolutions;
networks of any modules, networks of windows of sensors; how layers, modules and graphs are split.

Nothing here knows solvers, workers or files.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
