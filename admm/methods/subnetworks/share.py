"""What a process has of data and network: images, modules, and who owns which."""

from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import Array

from admm.comm import Transport
from admm.errors import InputError, spelled
from admm.methods.labelled import load_at_root
from admm.methods.subnetworks.data import RowFacts, row_inputs, row_shapes
from admm.methods.subnetworks.network import plan
from admm.methods.subnetworks.options import SubnetworkOptions
from layers import Network, deal_out, split_network


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
        cuts: Modules of every subnetwork, from 0.
        owned: Subnetworks of every worker, from 0.
    """

    options: SubnetworkOptions
    facts: RowFacts
    rows: Array | None
    network: Network
    shapes: list[tuple[int, ...]]
    costs: list[float]
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
        parts = ", ".join(f"{own.start + 1}–{own.stop}" for own in self.cuts)
        owners = ", ".join(map(self.units, range(len(self.owned))))
        name = options.as_json()["network"]
        return (
            f"{data['name']}: {data['train']:,} training, {data['val']:,} validation, "
            f"{data['test']:,} test images of {'×'.join(map(str, self.facts.shape))}, "
            f"{data['classes']} classes\n"
            f"{name} of {len(self.shapes) - 1} modules in {len(self.cuts)} subnetworks "
            f"(modules {parts}) on {len(self.owned)} workers (modules {owners}); "
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
    read = row_shapes if shapes_only else row_inputs
    facts, rows = load_at_root(lambda: read(options, data), transport)
    if options.batch > facts.training_rows:
        raise InputError(
            f"{spelled('batch', options.batch)} is larger than the data: {facts.training_rows} "
            "training images"
        )
    network, shapes, costs = plan(options, facts)
    if shapes[-1] != (facts.classes,):
        raise InputError(
            f"the last module returns {shapes[-1]}; expected ({facts.classes},), the logits"
        )
    try:
        cuts = split_network(costs, options.subnetworks, options.cuts)
    except ValueError as error:
        raise InputError(str(error)) from error
    owned = deal_out(costs, cuts, transport.size)
    on_device = None if rows is None else jax.device_put(rows, transport.device(0))
    return SubnetworkShare(options, facts, on_device, network, shapes, costs, cuts, owned)
