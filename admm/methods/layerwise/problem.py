"""What `solve` is given, checked before anything is computed."""

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from numbers import Integral
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.checks import check_protocol
from admm.errors import InputError, spelled
from admm.methods.layerwise.identity import checksum, identity
from admm.methods.layerwise.worker import Codecs
from admm.run.run import check_dtype
from admm.solvers import PDADMMG
from layers import Dense, SigmoidCrossEntropy, SoftmaxCrossEntropy
from quant import Codec, Float

_DTYPES = ("float32", "float64")

# How far from 1 the sum of a row of probabilities may be: a softmax in bfloat16 is within it.
_SUM_TOLERANCE = 1e-2


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
    x = _array(spelled("x"), x)
    if str(x.dtype) not in _DTYPES:
        raise InputError(f"{spelled('x')} must be float32 or float64, got {x.dtype}")
    check_dtype(str(x.dtype))
    y = _array(spelled("y"), y, x.dtype)
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
    network = [_dense(number, params, x.dtype) for number, params in enumerate(network, 1)]
    for name, array in (("x", x), ("y", y)):
        _check_array(spelled(name), array, x.dtype)
    _check_chain(network, x.shape[1])
    given = {"x": x, "y": y, "network": network}
    problem = Problem(
        tuple(jax.tree.map(jnp.asarray, network)),
        jnp.asarray(x),
        jnp.asarray(y),
        _codecs(codec, str(x.dtype)),
        {name: checksum(value) for name, value in given.items()},
    )
    _check_parts(solver, problem)
    _check_targets(solver.risk, y)
    return problem


def traits(solver: PDADMMG, problem: Problem) -> dict[str, Any]:
    """What of solver and problem can be compared between processes."""
    settings = {each.name: identity(getattr(solver, each.name)) for each in fields(solver)}
    return {**settings, **problem.fingerprint, "codec": identity(problem.codecs)}


def _array(name: str, given: Any, dtype: Any = None) -> Any:
    """An array as it is; lists, which say no type, in `dtype`."""
    if isinstance(given, jax.Array | np.ndarray):
        return given
    try:
        return np.asarray(given, None if hasattr(given, "dtype") else dtype)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} must be an array of numbers, got {reprlib.repr(given)}: {error}"
        ) from error


def _dense(number: int, params: Any, dtype: Any) -> Dense:
    """A layer of arrays."""
    shapes = "nothing of the kind"
    if isinstance(params, Dense):
        names = (f"W of layer {number}", f"b of layer {number}")
        arrays = [_array(name, given, dtype) for name, given in zip(names, params, strict=True)]
        shapes = " and ".join(str(array.shape) for array in arrays)
        if [array.ndim for array in arrays] == [2, 1]:
            for name, array in zip(names, arrays, strict=True):
                _check_array(name, array, dtype)
            return Dense(*arrays)
    raise InputError(
        f"{spelled('network')}: layer {number} must be a layers.Dense with W (n_in, n_out) "
        f"and b (n_out,), got {shapes}"
    )


def _check_targets(risk: Any, y: Any) -> None:
    """Whether targets are probabilities, where the risk is a cross-entropy."""
    if not isinstance(risk, SigmoidCrossEntropy | SoftmaxCrossEntropy):
        return
    values, kind = np.asarray(y, float), type(risk).__name__
    outside = np.argwhere((values < 0) | (values > 1))
    if outside.size:
        place = tuple(map(int, outside[0]))
        raise InputError(
            f"{spelled('y')} must be in [0, 1] for {kind}, got {values[place]:g} at {place}; "
            "jax.nn.one_hot makes such rows of classes, layers.SquaredError takes any numbers"
        )
    if isinstance(risk, SigmoidCrossEntropy):
        return
    sums = values.sum(axis=1)
    wrong = np.flatnonzero(np.abs(sums - 1) > _SUM_TOLERANCE)
    if wrong.size:
        raise InputError(
            f"rows of {spelled('y')} must add up to 1 for {kind}, got {sums[wrong[0]]:g} in row "
            f"{wrong[0]}; leave rows without a class out, and take layers.SigmoidCrossEntropy for "
            "several labels a row"
        )


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
            message = jax.ShapeDtypeStruct((_message_size(codec, z.shape),), jnp.dtype("uint8"))
            _check_result("codec", "encode", codec.encode, message, z, z)
            _check_result("codec", "decode", codec.decode, z, message, z)


def _message_size(codec: Codec, shape: tuple[int, ...]) -> int:
    try:
        size = codec.nbytes(shape)
    except Exception as error:  # of code that is not ours
        raise InputError(
            f"{spelled('codec')}: nbytes failed on {shape}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(size, Integral) or size < 0:
        raise InputError(
            f"{spelled('codec')}: nbytes makes {size!r} of {shape}, expected a whole number of "
            "bytes, 0 or more"
        )
    return int(size)


def _check_result(
    name: str, what: str, function: Callable[..., Any], expected: Any, *given: Any
) -> None:
    shapes = " and ".join(f"{each.dtype}{each.shape}" for each in given)
    wanted = f"{expected.dtype}{expected.shape}"
    try:
        found = jax.eval_shape(function, *given)
    except Exception as error:  # of code that is not ours
        raise InputError(
            f"{spelled(name)}: {what} failed on {shapes}, expected {wanted}: "
            f"{type(error).__name__}: {error}"
        ) from error
    made = f"{found.dtype}{found.shape}" if hasattr(found, "dtype") else repr(found)
    if made != wanted:
        raise InputError(f"{spelled(name)}: {what} makes {made} of {shapes}, expected {wanted}")
