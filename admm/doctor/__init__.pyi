from .finding import Finding as Finding
from .messages import Link as Link, ping as ping, speed as speed
from .mpi import mpi_findings as mpi_findings
from .place import folder_finding as folder_finding
from .process import Process as Process, look as look
from .processes import process_findings as process_findings
