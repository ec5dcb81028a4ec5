"""The entrance for data, network, loss and optimiser of one's own."""

from dataclasses import replace
from typing import Any

from admm.comm import Transport, local_transport
from admm.console import Text
from admm.datasets.samples import Fraction, Pair, Samples, checked_samples
from admm.errors import InputError, spelled
from admm.methods.subnetworks.options import SubnetworkOptions
from admm.run.callbacks import Callbacks
from admm.run.options import MethodOptions
from admm.run.run import check_transport, train
from admm.run.summary import Result


def train_subnetworks(
    options: MethodOptions,
    transport: Transport | None = None,
    *,
    data: Any,
    validation: Fraction | Pair = 0.1,
    test: Fraction | Pair | None = None,
    network: Any = None,
    optimizer: Any = None,
    loss: Any = None,
    callback: Callbacks | None = None,
    progress: Text | None = None,
) -> Result:
    """Train a network of one's own on arrays, cut into subnetworks.

    It is `train` with `checked_samples` for data and with these objects among the options. To go on
    with a run, pass the same data and objects again, and `resumed(RUN)` for options.

    Args:
        options: `options("gsadmm", …)` or `options("gsam", …)`.
        transport: Carries the messages; by default `options.workers` workers live here.
        data: (X, y), a tuple or a list: samples of any shape, real or whole numbers, and their
            targets; the root's process needs them, others may have None.
        validation: What picks the best network: a fraction, or an (X, y) of its own.
        test: Likewise, and for the record only.
        network: See `SubnetworkOptions`; by default that of the options.
        optimizer: Likewise.
        loss: Likewise.
        callback: See `train`.
        progress: See `train`.

    Returns:
        A `Result`, whose `module()` is the best network as one equinox module.

    Raises:
        InputError: As `checked_samples` and `train` do.

    Example:
        >>> import equinox as eqx, jax
        >>> from admm import options
        >>> x = jax.random.normal(jax.random.key(1), (300, 4))
        >>> model = eqx.nn.MLP(4, "scalar", 16, 2, key=jax.random.key(0))
        >>> given = options("gsam", loss="squared_error", epochs=20, batch=30, lr=1e-2)
        >>> result = train_subnetworks(given, data=(x, x[:, 0] * x[:, 1]), network=model)
        >>> result.summary["best"]["val_r2"] > 0.8
        True
        >>> jax.vmap(result.module())(x).shape
        (300,)
    """
    if not isinstance(options, SubnetworkOptions):
        raise InputError(f"expected options of gsadmm or gsam, got {options!r:.80}")
    objects = {"network": network, "optimizer": optimizer, "loss": loss}
    changes = {name: given for name, given in objects.items() if given is not None}
    options = replace(options, **changes)
    transport = local_transport(options.workers) if transport is None else transport
    check_transport(transport)
    found: list[Samples] = []

    def check() -> None:
        if not isinstance(data, tuple | list) or len(data) != 2:
            size = f" of {len(data)}" if isinstance(data, tuple | list) else ""
            raise InputError(
                f"{spelled('data')} must be a pair (X, y), got {type(data).__name__}{size}"
            )
        seed = options.split_seed
        found.append(checked_samples(*data, validation=validation, test=test, seed=seed))

    transport.at_root(check)
    return train(
        options,
        transport,
        data=found[0] if found else None,
        callback=callback,
        progress=progress,
    )
