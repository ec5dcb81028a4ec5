"""What a process has of data and network: images, modules, and who owns which."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from admm.comm import Transport
from admm.errors import InputError, spelled
from admm.methods.labelled import load_at_root
from admm.methods.subnetworks.calibration import module_seconds
from admm.methods.subnetworks.data import RowFacts, row_inputs, row_shapes
from admm.methods.subnetworks.losses import check_loss
from admm.methods.subnetworks.network import plan
from admm.methods.subnetworks.options import SubnetworkOptions
from admm.methods.tasks import Measured, Task
from admm.run.checkpoint import newest_checkpoint
from admm.solvers.backprop import make_optimizer
from admm.solvers.tssm import TSSM
from layers import Network, all_dense, build, deal_out, split_network


@dataclass(frozen=True)
class SubnetworkShare:
    """What a process has of data and network.

    Attributes:
        options: Of the run.
        facts: Of the data.
        rows: Inputs of all samples, at the root.
        network: The whole network.
        shapes: Of one sample before, between and after its modules.
        costs: Operations of the forward pass of every module, for one sample.
        seconds: Those that every module took in a tick, where the network is cut by them.
        cuts: Modules of every subnetwork, from 0.
        owned: Subnetworks of every worker, from 0.
    """

    options: SubnetworkOptions
    facts: RowFacts
    rows: Array | None
    network: Network
    shapes: list[tuple[int, ...]]
    costs: list[float]
    seconds: list[float] | None
    cuts: list[range]
    owned: list[range]

    @property
    def dataset(self) -> dict[str, Any]:
        return self.facts.dataset

    def units(self, worker: int) -> str:
        """The modules of a worker."""
        own = self.owned[worker]
        return f"{self.cuts[own[0]].start + 1}–{self.cuts[own[-1]].stop}"

    @property
    def introduction(self) -> str:
        data, options = self.dataset, self.options
        what = f"{data['classes']} classes" if "classes" in data else f"{data['outputs']} outputs"
        parts = ", ".join(f"{own.start + 1}–{own.stop}" for own in self.cuts)
        owners = ", ".join(map(self.units, range(len(self.owned))))
        name = options.as_json()["network"]
        how = "" if self.seconds is None else " by measured time"
        return (
            f"{data['name']}: {data['train']:,} training, {data['val']:,} validation, "
            f"{data['test']:,} test samples of {'×'.join(map(str, self.facts.shape)) or 1}, "
            f"{what}\n"
            f"{name} of {len(self.shapes) - 1} modules in {len(self.cuts)} subnetworks"
            f"{how} (modules {parts}) on {len(self.owned)} workers (modules {owners}); "
            f"{options.epochs} epochs in mini-batches of {options.batch}\n"
        )


def load_share(
    options: SubnetworkOptions, transport: Transport, data: Any, shapes_only: bool = False
) -> SubnetworkShare:
    """The data of a run, and the network that fits them; no inputs if it is for shapes only.

    Raises:
        InputError: In every process, if data or network cannot be used, or there are more workers
            than subnetworks.
    """
    if transport.size > options.subnetworks:
        raise InputError(
            f"got {transport.size} workers for {options.subnetworks} subnetworks; every worker "
            f"needs at least one: start fewer ranks or raise {spelled('subnetworks')}"
        )
    for name in ("network", "optimizer", "loss"):
        options.check_given(name)
    read = row_shapes if shapes_only else row_inputs
    facts, rows = load_at_root(lambda: read(options, data), transport)
    if options.batch > facts.task.training_rows:
        raise InputError(
            f"{spelled('batch', options.batch)} is larger than the data: "
            f"{facts.task.training_rows} training samples"
        )
    network, shapes, costs = plan(options, facts)
    _check_outputs(facts.task, shapes[-1])
    if not isinstance(options.loss, str):
        check_loss(options.loss, facts.task, shapes[-1], options.dtype)
    seconds = _seconds(options, transport, network, shapes, measure=not shapes_only)
    weights = costs if seconds is None else seconds
    try:
        cuts = split_network(weights, options.subnetworks, options.cuts)
    except ValueError as error:
        raise InputError(str(error)) from error
    if not isinstance(options.optimizer, str):
        for own in cuts:
            _check_optimizer(options.optimizer, network, own)
    owned = deal_out(weights, cuts, transport.size)
    on_device = None if rows is None else jax.device_put(rows, transport.device(0))
    return SubnetworkShare(options, facts, on_device, network, shapes, costs, seconds, cuts, owned)


def _seconds(
    options: SubnetworkOptions,
    transport: Transport,
    network: Network,
    shapes: list[tuple[int, ...]],
    measure: bool,
) -> list[float] | None:
    """What every module takes worker 0 in a tick, in every process; None: operations count.

    A run that is resumed keeps what it began with, and so its cuts.
    """
    run = options.resume
    if run is not None:
        found = transport.at_root(lambda: newest_checkpoint(run).manifest["module_seconds"])
        # Of another network the checkpoint is refused later, by name.
        return found if found and len(found) == len(network.builders) else None
    is_cut = options.subnetworks > 1 and options.cuts is None
    if not (measure and is_cut) or all_dense(network):
        return None
    solver = TSSM(options.solver)
    if options.learning_rate is not None:  # one's own may need all parameters of a subnetwork
        optimizer = make_optimizer(options.optimizer, options.learning_rate)
        solver = replace(solver, optimizer=optimizer)
    device = transport.device(0)
    return transport.at_root(lambda: module_seconds(network, shapes, options.batch, solver, device))


def _check_outputs(task: Task, returned: tuple[int, ...]) -> None:
    """Whether the last module returns what the task needs; of real numbers as many.

    Raises:
        InputError: If not.
    """
    expected = task.outputs
    if expected is None or returned == expected:
        return
    if not isinstance(task, Measured):
        raise InputError(f"the last module returns {returned}; expected {expected}, the logits")
    if prod(returned) != prod(expected):
        raise InputError(f"the last module returns {returned}; expected {expected}, as the targets")


def _check_optimizer(optimizer: Any, network: Network, own: range) -> None:
    """Whether an optimiser of one's own takes the parameters of a subnetwork; nothing is computed.

    Raises:
        InputError: If it does not.
    """

    def step(params: Any) -> Any:
        return optimizer.update(params, optimizer.init(params), params)

    subnetwork = eqx.filter_eval_shape(lambda: build(network, own, 0))
    params = eqx.filter(subnetwork, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    try:
        with jax.numpy_dtype_promotion("standard"):
            jax.eval_shape(step, eqx.filter(params, _is_trained))
    except Exception as error:  # it may raise anything
        raise InputError(
            f"{spelled('optimizer')} does not take the parameters of modules {own.start + 1}–"
            f"{own.stop} and their gradients alone: {error}"
        ) from error


def _is_trained(leaf: jax.ShapeDtypeStruct) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)
