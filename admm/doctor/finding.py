"""A finding: one line of what `admm doctor` says."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """What one check came to, and what helps.

    Example:
        >>> print(Finding("warning", "cores", "4 ranks share 2 cores", "mpirun -n 2"))
        warning  cores     4 ranks share 2 cores; mend: mpirun -n 2
    """

    level: Literal["ok", "warning", "fault"]  # a fault makes runs wrong or impossible
    check: str
    text: str
    mend: str = ""

    def __str__(self) -> str:
        mend = f"; mend: {self.mend}" if self.mend else ""
        text = " ".join(self.text.split())  # of libraries, it may have several lines
        return f"{self.level:7}  {self.check:8}  {text}{mend}"
