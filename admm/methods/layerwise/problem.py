"""What `solve` is given, checked before anything is computed."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.checks import check_protocol
from admm.errors import InputError, spelled
from admm.methods.layerwise.worker import Codecs
from admm.run.run import check_dtype
from admm.solvers import PDADMMG
from layers import Dense
from quant import Codec, Float

_DTYPES = ("float32", "float64")


class Problem(NamedTuple):
    """A network, its data, and how p and q travel."""

    network: tuple[Dense, ...]
    x: Array  # (V, n_0)
    y: Array  # (V, columns)
    codecs: Codecs
    fingerprint: Mapping[str, int]  # CRC-32 of x, y and network

    @property
    def widths(self) -> tuple[int, ...]:
        """n_0…n_L."""
        return (self.x.shape[1], *(params.b.shape[0] for params in self.network))


def checked_problem(solver: Any, network: Any, x: Any, y: Any, codec: Any) -> Problem:
    """The arguments of `solve` as arrays of one dtype.

    Raises:
        InputError: If they are not what the solver takes.
    """
    if not isinstance(solver, PDADMMG):
        raise InputError(
            f"solve takes a PDADMMG of admm.solvers, got {solver!r}; admm.train runs other methods"
        )
    x = x if isinstance(x, jax.Array) else np.asarray(x)
    if str(x.dtype) not in _DTYPES:
        raise InputError(f"{spelled('x')} must be float32 or float64, got {x.dtype}")
    check_dtype(str(x.dtype))
    y = y if isinstance(y, jax.Array) else np.asarray(y)
    if y.dtype.kind in "biu":  # labels: exact in any floating type
        y = y.astype(x.dtype)
    for name, given in (("x", x), ("y", y)):
        if given.ndim != 2 or given.shape[0] == 0:
            raise InputError(
                f"{spelled(name)} must have a row for every node, (V, columns), got {given.shape}"
            )
    if len(x) != len(y):
        raise InputError(
            f"{spelled('x')} has {len(x)} rows and {spelled('y')} {len(y)}; expected one row of "
            "each for every node"
        )
    if not isinstance(network, Sequence) or not network:
        raise InputError(f"{spelled('network')} must be a sequence of layers.Dense, got {network}")
    arrays = {spelled("x"): x, spelled("y"): y}
    for number, params in enumerate(network, 1):
        if not isinstance(params, Dense) or (np.ndim(params.W), np.ndim(params.b)) != (2, 1):
            raise InputError(
                f"{spelled('network')}: layer {number} must be a layers.Dense with W (n_in, n_out) "
                f"and b (n_out,), got {jax.tree.map(np.shape, params)}"
            )
        arrays |= {f"W of layer {number}": params.W, f"b of layer {number}": params.b}
    for name, array in arrays.items():
        _check_array(name, array, x.dtype)
    _check_chain(network, x.shape[1])
    given = {"x": x, "y": y, "network": network}
    problem = Problem(
        tuple(jax.tree.map(jnp.asarray, tuple(network))),
        jnp.asarray(x),
        jnp.asarray(y),
        _codecs(codec, str(x.dtype)),
        {name: _crc(value) for name, value in given.items()},
    )
    _check_parts(solver, problem)
    return problem


def traits(solver: PDADMMG, problem: Problem) -> dict[str, Any]:
    """What of solver and problem can be compared between processes."""
    parts = {"activation": solver.activation, "risk": solver.risk, "codec": problem.codecs.p}
    plain = {f.name: getattr(solver, f.name) for f in fields(solver) if f.name not in parts}
    kinds = {name: type(part).__name__ for name, part in parts.items()}
    return {**plain, **problem.fingerprint, **kinds}


def _check_array(name: str, array: Any, dtype: Any) -> None:
    if array.dtype != dtype:
        raise InputError(
            f"{name} is {array.dtype} and {spelled('x')} {dtype}; expected one dtype: convert "
            f"with .astype({str(dtype)!r})"
        )
    finite = np.isfinite(np.asarray(array))
    if not finite.all():
        place = tuple(int(each) for each in np.argwhere(~finite)[0])
        raise InputError(
            f"{name} must be finite, got {np.asarray(array)[place]} at {place}; leave such rows "
            "out, or fill them in"
        )


def _check_chain(network: Sequence[Dense], inputs: int) -> None:
    shapes = [(inputs, inputs), *(params.W.shape for params in network)]
    for number, (below, shape) in enumerate(pairwise(shapes), 1):
        if below[1] != shape[0]:
            source = spelled("x") if number == 1 else f"layer {number - 1}"
            raise InputError(
                f"{spelled('network')}: layer {number} takes {shape[0]} columns, but {source} has "
                f"{below[1]}"
            )
        if network[number - 1].b.shape != shape[1:]:
            raise InputError(
                f"{spelled('network')}: W of layer {number} has {shape[1]} columns, but its b has "
                f"{network[number - 1].b.shape[0]} elements"
            )


def _codecs(codec: Any, dtype: str) -> Codecs:
    given = (Float(dtype),) * 2 if codec is None else codec
    given = given if isinstance(given, tuple) else (given, given)
    if len(given) != 2:
        raise InputError(
            f"{spelled('codec')} must be one codec or a pair, of p and of q, got {len(given)}"
        )
    for each in given:
        check_protocol("codec", each, Codec, "see quant.Codec; quant.make_codec makes one")
    return Codecs(*given)


def _check_parts(solver: PDADMMG, problem: Problem) -> None:
    """Whether activation, risk and codecs make arrays of the shapes and types they have to."""
    dtype, nodes = problem.x.dtype, len(problem.x)
    top = jax.ShapeDtypeStruct((nodes, problem.widths[-1]), dtype)
    nu, number = jax.ShapeDtypeStruct((), dtype), jax.ShapeDtypeStruct((), dtype)
    _check_result("risk", "its value", solver.risk, number, top, problem.y)
    _check_result("risk", "solve", solver.risk.solve, top, top, problem.y, nu, top)
    _check_result("risk", "start", solver.risk.start, top, top, problem.y)
    for width in dict.fromkeys(problem.widths[1:-1]):
        z = jax.ShapeDtypeStruct((nodes, width), dtype)
        _check_result("activation", "its value", solver.activation, z, z)
        _check_result("activation", "solve", solver.activation.solve, z, z, z, z)
        for codec in dict.fromkeys((problem.codecs.p, problem.codecs.q)):
            message = jax.ShapeDtypeStruct((codec.nbytes(z.shape),), jnp.dtype("uint8"))
            _check_result("codec", "encode", codec.encode, message, z, z)
            _check_result("codec", "decode", codec.decode, z, message, z)


def _check_result(
    name: str, what: str, function: Callable[..., Any], expected: Any, *given: Any
) -> None:
    shapes = " and ".join(f"{each.dtype}{each.shape}" for each in given)
    wanted = f"{expected.dtype}{expected.shape}"
    try:
        found = jax.eval_shape(function, *given)
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f"{spelled(name)}: {what} failed on {shapes}, expected {wanted}: {error}"
        ) from error
    made = f"{found.dtype}{found.shape}" if hasattr(found, "dtype") else repr(found)
    if made != wanted:
        raise InputError(f"{spelled(name)}: {what} makes {made} of {shapes}, expected {wanted}")


def _crc(tree: Any) -> int:
    found = 0
    for leaf in jax.tree.leaves(tree):
        found = zlib.crc32(np.ascontiguousarray(leaf).data, found)
    return found
