"""The loop around gsADMM and gsAM: epochs, evaluation, results."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.errors import InputError
from admm.parallel import (
    LocalTransport,
    SubnetworkWorker,
    Trace,
    Transport,
    chain,
    pass_forward,
    run_epoch,
)
from admm.parallel.subnetworks import Sums
from admm.solvers.backprop import make_optimizer
from admm.solvers.tssm import TSSM, batches
from admm.training.checkpoint import Checkpoint, Snapshot
from admm.training.checks import check_dtype
from admm.training.clock import Clock
from admm.training.data import ImageFacts, begin_run, image_inputs
from admm.training.history import Evaluation, Text
from admm.training.loop import Around, Loop
from admm.training.network import CHUNK, check_inputs, fill, make_network, named_arrays
from admm.training.subnetwork_options import SubnetworkOptions
from admm.training.summary import Result, scores
from layers import (
    Network,
    build,
    deal_out,
    forward_costs,
    module_shapes,
    split_network,
)


def train_subnetworks(
    options: SubnetworkOptions,
    transport: Transport | None = None,
    progress: Text | None = None,
    network: Network | None = None,
) -> Result:
    """Train a network, cut into subnetworks, with gsADMM or gsAM.

    In the history, `layers` counts modules, `lagrangian` is Σ R + Σ α/2‖q − f‖² (+ Σ ρ/2‖p − q‖²),
    without the term of u, as the visits of the epoch saw it; the primal residual is (Σ‖p − q‖²)^½
    (0 for gsAM, where they are one), the dual residual (Σ‖q − f‖²)^½, and ν stands for the mean of
    α over samples and cuts.
    `summary.json` has `cuts`: for each cut the number of modules below it, and ‖q − f‖/‖f‖,
    ‖p − q‖/‖q‖ and the mean α of the last epoch (without `--alpha` the first is what `--reach`
    makes it); and `state_bytes`, see `SubnetworkWorker.nbytes`.

    Args:
        options: What to train, on what, and how.
        transport: Carries the messages; by default `options.workers` workers live here.
        progress: Where the root prints its table; None prints nothing.
        network: A network of one's own in place of the options' one; it takes one image,
            (height, width, channels), to logits.

    Raises:
        InputError: If data or options cannot be used.
        DivergedError: If training leaves the finite numbers, and going back to the last checkpoint
            with safer settings does not help; `summary.json` says `diverged`.
        StoppedError: After SIGTERM or SIGINT; `summary.json` says `interrupted`.
        OutputError: If results cannot be written.
        WorkerLostError: If another rank is silent for too long, or its messages are damaged.

    Example:
        >>> result = train_subnetworks(SubnetworkOptions(layers=3, hidden=16, epochs=2, workers=2))
        >>> [cut["module"] for cut in result.summary["cuts"]]
        [1]
    """
    transport = transport or LocalTransport(options.workers)
    if transport.size > options.subnetworks:
        raise InputError(
            f"got {transport.size} workers for {options.subnetworks} subnetworks; every worker "
            "needs at least one: start fewer ranks or raise --subnetworks"
        )
    with Clock(transport) as clock:
        return _Run(options, transport, clock, progress, network).train()


class _Run(Loop):
    """The epochs of a run, and its best network so far."""

    def __init__(
        self,
        options: SubnetworkOptions,
        transport: Transport,
        clock: Clock,
        progress: Text | None,
        network: Network | None,
    ) -> None:
        check_dtype(options.dtype)
        facts, rows, history = begin_run(
            lambda: image_inputs(options), options, transport, progress
        )
        samples = facts.nodes
        if options.batch > samples:
            raise InputError(
                f"--batch {options.batch} is larger than the data: {samples} training images"
            )
        classes = facts.classes
        self.own_network = network is not None
        self.whole = network or make_network(options, facts.shape, classes)
        check_inputs(self.whole, options, facts)
        try:
            self.shapes = module_shapes(self.whole)
            if self.shapes[-1] != (classes,):
                raise ValueError(
                    f"the last module returns {self.shapes[-1]}; expected ({classes},), the logits"
                )
            costs = forward_costs(self.whole)
            self.cuts = split_network(costs, options.subnetworks, options.cuts)
        except ValueError as error:
            raise InputError(str(error)) from error
        self.owned = deal_out(costs, self.cuts, transport.size)
        split = [(self.cuts[own[0]].start + 1, self.cuts[own[-1]].stop) for own in self.owned]
        around = Around(transport, clock, progress, facts, history)
        super().__init__(options, around, split, "modules")
        self.facts: ImageFacts = facts
        self.variables = ("f", "q" if options.solver == "gsadmm" else "p")
        self.neighbors = chain(self.owned)
        if options.trace is not None:
            first, last = transport.local[0], transport.local[-1]
            modules = f"modules {split[first][0]}–{split[last][1]}"
            transport.trace = Trace(first, f"process of worker {first}: {modules}")
        self.rows = None if rows is None else jax.device_put(rows, transport.device(0))
        if transport.is_root and progress is not None:
            progress.write(self._introduction())
            progress.flush()

    def begin(self) -> None:
        options = self.options
        self.solver = TSSM(
            options.solver,
            alpha=options.alpha,
            rho=options.rho,
            reach=options.reach,
            relaxation=options.relaxation,
            optimizer=make_optimizer(options.optimizer, options.learning_rate),
            inner=options.inner,
            refresh=options.refresh,
            frozen_lower=options.frozen_lower,
        )
        self.epoch = 0
        self.best_network: dict[int, Any] = {}
        self.workers = []
        for index in self.transport.local:
            own = self.owned[index]
            worker = SubnetworkWorker(index, self.solver, self.transport, options.message_codec)
            worker.start(
                [build(self.whole, self.cuts[number], options.seed) for number in own],
                own,
                self.cuts,
                self.shapes,
                self.neighbors[index],
                self.facts.nodes,
                self.rows,
                jnp.asarray(self.facts.labels),
                options.dtype,
            )
            self.workers.append(worker)

    def _introduction(self) -> str:
        """What is trained on what, and by whom."""
        data, options = self.facts.summary, self.options
        parts = ", ".join(f"{own.start + 1}–{own.stop}" for own in self.cuts)
        owners = ", ".join(f"{first}–{last}" for first, last in self.split)
        what = "a network of one's own" if self.own_network else options.network
        return (
            f"{data['name']}: {data['train']:,} training, {data['val']:,} validation, "
            f"{data['test']:,} test images of {'×'.join(map(str, self.facts.shape))}, "
            f"{data['classes']} classes\n"
            f"{what} of {len(self.shapes) - 1} modules in {len(self.cuts)} subnetworks "
            f"(modules {parts}) on {self.transport.size} workers (modules {owners}); "
            f"{options.epochs} epochs in mini-batches of {options.batch}\n"
        )

    def run(self) -> None:
        options = self.options
        while self.epoch < options.epochs:
            epoch = self.epoch + 1
            with self.clock.section("iterate"):
                order = batches(options.seed, epoch, self.facts.nodes, options.batch)
                run_epoch(self.workers, order, epoch == 1)
                for worker in self.workers:
                    worker.finish()
            self.epoch = epoch
            if epoch % options.eval_every == 0 or epoch == options.epochs:
                with self.clock.section("evaluate"):
                    self._evaluate(epoch)
            self.recovery.after_epoch(f"epoch {epoch}", self.snapshot)

    # Checkpoints.

    def snapshot(self) -> Snapshot:
        units = {
            number: state
            for worker in self.workers
            for number, state in zip(self.owned[worker.index], worker.state(), strict=True)
        }
        return self.make_snapshot(len(self.shapes) - 1, 0, self.epoch, units)

    def restore(self, checkpoint: Checkpoint) -> None:
        self.epoch = checkpoint.manifest["epoch"]
        self.restore_workers(checkpoint, self.workers, self.owned, "memory")
        if self.history.best is not None:
            self.best_network = {
                number: fill(module, dict(checkpoint.best(number)), f"{checkpoint.folder}")
                for number, module in self._modules().items()
            }

    def safer(self) -> str | None:
        self.options, change = self.options.safer()
        return change

    def _evaluate(self, epoch: int) -> None:
        """Pass all images through the network, record the scores, keep the best network."""
        found = None
        for worker in self.workers:
            own = self.owned[worker.index]
            blank = jnp.zeros((0, *self.shapes[self.cuts[own[0]].start]), self.options.dtype)
            logits = pass_forward(
                worker.apply,
                blank,
                len(self.facts.labels),
                self.rows,
                worker.index,
                self.neighbors[worker.index],
                self.transport,
                chunk=CHUNK,
            )
            if logits is not None:
                train = self.facts.nodes
                loss = self.solver.loss(logits[:train], jnp.asarray(self.facts.labels[:train]))
                found = {"train_loss": float(loss.mean())} | {
                    f"{name}_accuracy": value
                    for name, value in self.facts.accuracies(logits).items()
                }
        found = self.transport.share(found, self.transport.size - 1)
        every = self._all_sums()
        sent = self.transport.total(
            np.array([float(sum(self.transport.sent[name] for name in self.variables))])
        )
        gap = sum(sums.gap for sums in every)
        visits = max(len(self.cuts) - 1, 1) * self.facts.nodes
        alpha = sum(sums.alpha for sums in every) / visits
        rho = alpha if self.options.rho is None else self.options.rho
        evaluation = Evaluation(
            stage=0,
            layers=len(self.shapes) - 1,
            epoch=epoch,
            **found,
            lagrangian=sum(sums.objective + sums.coupling for sums in every),
            primal_residual=gap**0.5,
            dual_residual=sum(sums.misfit for sums in every) ** 0.5,
            rho=rho if self.options.solver == "gsadmm" else 0.0,
            nu=alpha,
            bytes_sent=int(sent[0]),
            seconds=self.clock.elapsed,
            iterate_seconds=self.clock.iterating,
        )
        # A copy, since the arrays in training are overwritten; made before the score is kept, so
        # that an interrupt does not part them.
        network = jax.tree.map(
            lambda leaf: leaf.copy() if eqx.is_array(leaf) else leaf, self._modules()
        )
        if self.history.add(evaluation):
            self.best_network = network
        self.check(evaluation, f"epoch {epoch}", f"a --lr below {self.options.learning_rate:g}")

    def _modules(self) -> dict[int, Any]:
        """The modules of this process, by number from 1."""
        return {
            number + 1: module
            for worker in self.workers
            for own, subnetwork in zip(self.owned[worker.index], worker.subnetworks, strict=True)
            for number, module in zip(self.cuts[own], subnetwork.modules, strict=True)
        }

    def network(self) -> dict[int, Any]:
        """The best network's modules of this process."""
        return self.best_network

    def best_arrays(self) -> dict[int, dict[str, Array]]:
        return {number: named_arrays(module) for number, module in self.best_network.items()}

    def about_best(self) -> dict[str, Any] | None:
        about = super().about_best()
        return None if about is None else {**about, "own_network": self.own_network}

    def summary_entries(self) -> dict[str, Any]:
        best = self.history.best
        stage = {
            "layers": len(self.shapes) - 1,
            "epochs": self.epoch,
            "seconds": self.clock.elapsed,
            "best": None if best is None else scores(best),
        }
        cuts = [
            {
                "module": own.stop,
                "q_f": (above.misfit / above.output) ** 0.5 if above.output else 0.0,
                "p_q": (above.gap / above.target) ** 0.5 if above.target else 0.0,
                "alpha": above.alpha / self.facts.nodes,
            }
            for own, above in zip(self.cuts[:-1], self._all_sums()[1:], strict=True)
        ]
        return {
            "stages": [stage],
            "own_network": self.own_network,
            "cuts": cuts,
            "state_bytes": self.transport.gather(sum(worker.nbytes for worker in self.workers)),
        }

    def _all_sums(self) -> list[Sums]:
        """What the last epoch came to, of all subnetworks."""
        every = self.transport.gather([sums for worker in self.workers for sums in worker.sums()])
        return [sums for part in every for sums in part]
