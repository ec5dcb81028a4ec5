"""Whether all ranks see one folder, and can write there."""

import tempfile
import uuid
from pathlib import Path

from admm.comm import Transport
from admm.doctor.finding import Finding
from admm.errors import InputError
from admm.run.folder import held_folder

_MEND = "--out with the absolute path of a folder that all ranks see and can write"


def folder_finding(folder: Path, transport: Transport) -> Finding:
    """Try a folder as a run does, in a folder of its own inside; nothing of it is left.

    All processes call it.
    """
    name = transport.share(f"admm-doctor-{uuid.uuid4().hex}", 0)
    try:
        with held_folder(folder / name, transport):
            faults = transport.gather(_write_fault(folder / name))
    except InputError as error:
        text = str(error).replace(f"/{name}", "").partition(": give ")[0]
        return Finding("fault", "folder", text, _MEND)
    told = [f"rank {rank} ({fault})" for rank, fault in enumerate(faults) if fault is not None]
    if told:
        return Finding("fault", "folder", f"not to be written: {' and '.join(told)}", _MEND)
    seen = f", seen by all {transport.size} ranks" if transport.size > 1 else ""
    return Finding("ok", "folder", f"{folder} can be written{seen}")


def _write_fault(folder: Path) -> str | None:
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.strerror
    return None
