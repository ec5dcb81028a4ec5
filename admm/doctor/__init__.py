"""What keeps a run from starting, makes it wrong, or makes it slow on these machines."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
