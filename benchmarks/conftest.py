"""What pytest looks for doctests in: no module whose library is an extra that is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["torch_peer.py"]
