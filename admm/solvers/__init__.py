"""Algorithms, one a file; they know no MPI, no files and no clock."""

from admm.solvers.backprop import LEARNING_RATES, Backprop, Optimizer
from admm.solvers.growth import class_codes, default_stages, stage_layers, stage_network
from admm.solvers.pdadmm_g import PDADMMG, Block, Info, Layer
from admm.solvers.schedule import PenaltySchedule, PenaltyState
from admm.solvers.updates import StepRule

__all__ = [
    "LEARNING_RATES",
    "PDADMMG",
    "Backprop",
    "Block",
    "Info",
    "Layer",
    "Optimizer",
    "PenaltySchedule",
    "PenaltyState",
    "StepRule",
    "class_codes",
    "default_stages",
    "stage_layers",
    "stage_network",
]
