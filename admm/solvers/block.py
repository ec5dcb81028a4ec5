"""The state of pdADMM-G: the variables of consecutive layers on one worker."""

from typing import NamedTuple

from jaxtyping import Array


class Layer(NamedTuple):
    """Variables of layer l; V nodes. The output layer has no q and u."""

    p: Array  # (V, n_in)   input
    W: Array  # (n_in, n_out)
    b: Array  # (n_out,)
    z: Array  # (V, n_out)  pre-activation
    r: Array  # (V, n_out)  p W + b − z, carried along
    q: Array | None  # (V, n_out)  output
    u: Array | None  # (V, n_out)  dual of p_{l+1} = q_l


class Block(NamedTuple):
    """State of consecutive layers a…b, and what their worker knows of its surroundings."""

    layers: tuple[Layer, ...]
    q_below: Array | None  # (V, n_{a-1})  copy of q_{a-1}; None for the first block
    u_below: Array | None  # (V, n_{a-1})  copy of u_{a-1}
    targets: Array | None  # (V, classes)  one-hot labels, in the block of the output layer
    rho: Array  # ()  penalty of p_{l+1} = q_l
    nu: Array  # ()  penalty of z_l = p_l W_l + b_l and of q_l = f(z_l)
