"""PyTorch's part of a rank: imported only where it is installed, and only by what is timed.

A method is words: `torch OPTIMIZER`, then of two ranks `DDP` or `1F1B PIECES`, then `compiled` and
`channels-last`. Network, parameters and data are those of the other methods.
"""

import atexit
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B
from torch.nn.parallel import DistributedDataParallel

from admm.comm import MPITransport
from admm.solvers import LEARNING_RATES
from benchmarks import methods, subnetworks
from benchmarks.cases import Case, NetworkCase, Part
from benchmarks.model import backprop_costs
from layers import Stage, build, module_shapes, split_layers

# As optax has them, fused where PyTorch can: fewer passes over the parameters.
_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "gd": partial(torch.optim.SGD, fused=True),
    "adadelta": torch.optim.Adadelta,
    "adagrad": partial(torch.optim.Adagrad, initial_accumulator_value=0.1, eps=1e-7, fused=True),
    "adam": partial(torch.optim.Adam, fused=True),
}


class _Task(NamedTuple):
    """Network and data of a case."""

    modules: list[nn.Module]
    inputs: Tensor
    targets: Tensor  # classes
    batches: list[np.ndarray] | None  # rows of every mini-batch; None: full batches


def prepare(case: Case | NetworkCase, comm: Any) -> Part:
    """The part of this rank; an epoch tells the loss of its last batch, where it is known.

    Raises:
        ValueError: If there is no such method.
    """
    prefix, optimizer, *words = case.method.split()
    if prefix != "torch" or optimizer not in _OPTIMIZERS:
        raise ValueError(f"unknown method {case.method!r}")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    if comm.size > 1:
        _join(comm)
    rate = LEARNING_RATES[optimizer]  # type: ignore[index]
    make_optimizer = partial(_OPTIMIZERS[optimizer], lr=rate)
    if isinstance(case, NetworkCase):
        epoch: Callable[[], Any] = _whole_network(_images(case), comm, words, make_optimizer)
    elif words[:1] == ["1F1B"]:
        epoch = _pipeline(case, comm, int(words[1]), make_optimizer)
    else:
        epoch = _whole_network(_rows(case), comm, words, make_optimizer)
    return Part(epoch, lambda: None, None, MPITransport(comm))  # which carries nothing


def _join(comm: Any) -> None:
    """Make one gloo group of the ranks, which know each other by MPI."""
    store = None
    if comm.rank == 0:
        store = distributed.TCPStore("127.0.0.1", 0, comm.size, True, wait_for_workers=False)
    port = comm.bcast(None if store is None else store.port)
    if store is None:
        store = distributed.TCPStore("127.0.0.1", port, comm.size)
    distributed.init_process_group("gloo", store=store, rank=comm.rank, world_size=comm.size)
    atexit.register(distributed.destroy_process_group)


def _whole_network(
    task: _Task, comm: Any, words: Sequence[str], make_optimizer: Callable[..., Any]
) -> Callable[[], Tensor]:
    """Epochs of one process, or of several that share out the rows of every batch."""
    model: Any = nn.Sequential(*task.modules)
    x, y = task.inputs, task.targets
    if "channels-last" in words:
        model, x = (each.to(memory_format=torch.channels_last) for each in (model, x))
    optimizer = make_optimizer(model.parameters())
    if "DDP" in words:
        model = DistributedDataParallel(model, gradient_as_bucket_view=True)
    if "compiled" in words:
        model = torch.compile(model)
    loss_of = nn.CrossEntropyLoss()
    if task.batches is None:
        shares: list[Any] = [_own(len(x), comm)]
    else:
        shares = [torch.tensor(rows[_own(len(rows), comm)]) for rows in task.batches]

    def epoch() -> Tensor:
        for own in shares:
            optimizer.zero_grad()
            loss = loss_of(model(x[own]), y[own])
            loss.backward()
            optimizer.step()
        return loss.detach()

    return epoch


def _own(count: int, comm: Any) -> slice:
    """This rank's share of the rows of a batch."""
    return slice(count * comm.rank // comm.size, count * (comm.rank + 1) // comm.size)


def _pipeline(
    case: Case, comm: Any, pieces: int, make_optimizer: Callable[..., Any]
) -> Callable[[], Tensor | None]:
    """Epochs of two ranks with some layers each, on micro-batches one after the other."""
    task, shape = _rows(case), methods.network_shape(case.width, case.layers)
    first, last = split_layers(backprop_costs(shape), comm.size)[comm.rank]
    part = nn.Sequential(*task.modules[first - 1 : last])
    optimizer = make_optimizer(part.parameters())
    stage = PipelineStage(part, comm.rank, comm.size, torch.device("cpu"))
    schedule = Schedule1F1B(stage, pieces, nn.CrossEntropyLoss())

    def epoch() -> Tensor | None:
        optimizer.zero_grad()
        losses: list[Tensor] = []
        if comm.rank == 0:
            schedule.step(task.inputs)
        else:
            schedule.step(target=task.targets, losses=losses)
        optimizer.step()
        return torch.stack(losses).mean() if losses else None

    return epoch


# Networks and data of the other methods.


def _rows(case: Case) -> _Task:
    shape = methods.network_shape(case.width, case.layers)
    modules = [
        _dense(*methods.draw_layer(shape, number), rectify=number < case.layers)
        for number in range(1, case.layers + 1)
    ]
    x, y = (torch.tensor(np.asarray(array)) for array in methods.draw_data(case))
    return _Task(modules, x, y.argmax(dim=1), None)


def _images(case: NetworkCase) -> _Task:
    network, data = subnetworks.draw_network(case), subnetworks.draw_data(case)
    modules = build(network, range(len(network.builders)), seed=0).modules
    images = torch.tensor(np.asarray(data.images)).permute(0, 3, 1, 2).contiguous()
    labels = torch.tensor(np.asarray(data.labels), dtype=torch.int64)
    built = map(_module, modules, module_shapes(network))
    return _Task([*built], images, labels, data.batches)


def _module(module: Any, shape: tuple[int, ...]) -> nn.Module:
    """A module of `layers.architectures` that reads samples of this shape."""
    if isinstance(module, Stage):
        pool = nn.MaxPool2d(module.pool, ceil_mode=module.pad)
        return nn.Sequential(_convolution(module.convolution), pool, nn.ReLU())
    if hasattr(module, "second"):
        return _Block(_convolution(module.first), _convolution(module.second))
    W = np.asarray(module.W)
    if module.average:
        average = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(*average, _dense(W, module.b, module.rectify))
    if len(shape) == 3:  # channels come last in ours
        W = W.reshape(*shape, -1).transpose(2, 0, 1, 3).reshape(W.shape)
    return nn.Sequential(nn.Flatten(), _dense(W, module.b, module.rectify))


class _Block(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.relu(self.first(torch.relu(x))))


def _dense(W: Any, b: Any, rectify: bool) -> nn.Module:
    layer = nn.Linear(*W.shape)
    _fill(layer, np.asarray(W).T, b)
    return nn.Sequential(layer, nn.ReLU()) if rectify else layer


def _convolution(convolution: Any) -> nn.Module:
    size, _, n_in, n_out = convolution.W.shape
    layer = nn.Conv2d(n_in, n_out, size, convolution.stride, size // 2)
    _fill(layer, np.asarray(convolution.W).transpose(3, 2, 0, 1), convolution.b)
    return layer


def _fill(layer: Any, weight: Any, bias: Any) -> None:
    layer.weight.data = torch.tensor(np.ascontiguousarray(weight))
    layer.bias.data = torch.tensor(np.asarray(bias))
