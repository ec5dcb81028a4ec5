from .backprop import Backprop as Backprop
from .block import Block as Block, Layer as Layer
from .diagnostics import Diagnosis as Diagnosis, Info as Info
from .flops import (
    backprop_flops as backprop_flops,
    dense_flops as dense_flops,
    pdadmm_g_flops as pdadmm_g_flops,
    stochastic_flops as stochastic_flops,
    traced_flops as traced_flops,
    tssm_flops as tssm_flops,
)
from .growth import (
    class_codes as class_codes,
    stage_layers as stage_layers,
    stage_network as stage_network,
)
from .pdadmm_g import PDADMMG as PDADMMG
from .schedule import (
    PenaltySchedule as PenaltySchedule,
    PenaltyState as PenaltyState,
    Schedule as Schedule,
)
from .settings import (
    LEARNING_RATES as LEARNING_RATES,
    Optimizer as Optimizer,
    Splitting as Splitting,
    StepRule as StepRule,
    default_stages as default_stages,
)
from .stochastic import StochasticADMM as StochasticADMM
from .tssm import TSSM as TSSM
