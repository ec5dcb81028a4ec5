from .figures import Figure as Figure, Prices as Prices, figures_of as figures_of
from .measured import (
    fidelity as fidelity,
    inference_seconds as inference_seconds,
    robustness as robustness,
)
from .plot import draw as draw
from .report import Report as Report, read_summary as read_summary, report as report
