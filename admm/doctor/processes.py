"""What the processes of a job are together: versions, hosts, cores, threads, devices, caches."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from admm.doctor.finding import Finding
from admm.doctor.process import Process
from admm.run.agreement import other_releases
from admm.run.devices import shared_on_a_host


def process_findings(ranks: Sequence[Process]) -> Iterator[Finding]:
    """Compare processes with each other, and with what their hosts have.

    Args:
        ranks: What every rank has found of itself, see `look`.
    """
    yield _versions(ranks)
    hosts = Counter(each.host for each in ranks)
    yield Finding("ok", "ranks", ", ".join(f"{count} on {host}" for host, count in hosts.items()))
    for rank, each in enumerate(ranks):
        yield _rank(rank, each)
    yield from _shared(ranks)
    for host in hosts:
        yield from _limited(host, [each for each in ranks if each.host == host])
    yield _cache(ranks)
    yield ranks[0].data  # the root reads data sets


def _versions(ranks: Sequence[Process]) -> Finding:
    if differ := other_releases([each.versions for each in ranks]):
        return Finding("fault", "versions", "; ".join(differ), "install the same on every host")
    found = ranks[0].versions
    told = (f"{name} {number or 'missing'}" for name, number in found.items())
    return Finding("ok", "versions", ", ".join(told))


def _rank(rank: int, process: Process) -> Finding:
    """Device, cores and threads of one."""
    name = f"rank {rank}"
    if process.used is None:
        mend = "pip install --upgrade jax jaxlib, or mend what the variables say"
        return Finding("fault", name, process.fault or "JAX does not start", mend)
    cores = len(process.cores)
    blas = ", ".join(f"{library} with {_count('thread', n)}" for library, n in process.blas)
    text = (
        f"{process.device} on {process.host}, {_count('core', cores)} ({_ranges(process.cores)}), "
        f"{_count('thread', cores)} of JAX; BLAS {blas or 'unknown'}"
    )
    most = max((threads for _, threads in process.blas), default=0)
    if most > cores:
        return Finding("warning", name, f"{text}: too many", f"OMP_NUM_THREADS={cores}")
    if process.gpus and process.used.platform == "cpu":
        text += f"; {_count('NVIDIA GPU', process.gpus)} unused"
        return Finding("warning", name, text, 'pip install "jax[cuda13]", or cuda12 for older ones')
    return Finding("ok", name, text)


def _shared(ranks: Sequence[Process]) -> Iterator[Finding]:
    """Whether ranks share a core or a GPU, and whether they are of one kind."""
    used = [each.used for each in ranks if each.used is not None]
    platforms = sorted({each.platform for each in used})
    on_gpus = [each for each in used if each.platform != "cpu"]
    crowded = shared_on_a_host(on_gpus)
    if crowded is not None and not all(each.bounded for each in ranks if each.used in on_gpus):
        most = max(Counter((each.host, *each.parts) for each in on_gpus).values())
        mend = f"else XLA_PYTHON_CLIENT_MEM_FRACTION={0.9 / most:.2g}"
        text = f"{crowded}; JAX takes three quarters of a GPU's memory for each"
        yield Finding("fault", "devices", text, mend)
    elif (shared := shared_on_a_host(used)) is not None:
        yield Finding("warning", "devices", shared)
    if len(platforms) > 1:
        text = f"ranks compute on {' and '.join(platforms)}, and the slowest sets the pace"
        yield Finding("warning", "devices", text, "start them on hosts of one kind")


def _limited(host: str, ranks: Sequence[Process]) -> Iterator[Finding]:
    """Whether a container gives its ranks less time than their cores have."""
    limits = [each.limit for each in ranks if each.limit is not None]
    cores = len({core for each in ranks for core in each.cores})
    if limits and min(limits) < cores:
        whole = max(1, int(min(limits)))
        text = f"{host} has {cores} cores, its container the time of {min(limits):g}"
        mend = f"taskset -c 0-{whole - 1} in front, and no more than {_count('rank', whole)}"
        yield Finding("warning", "cores", text, mend)


def _cache(ranks: Sequence[Process]) -> Finding:
    faults = [f"rank {n}: {each.cache_fault}" for n, each in enumerate(ranks) if each.cache_fault]
    if faults:
        text = f"every run compiles anew ({'; '.join(faults)})"
        return Finding("warning", "cache", text, "XDG_CACHE_HOME=DIR, a folder that can be written")
    return Finding("ok", "cache", f"compiled functions are kept in {ranks[0].cache}")


def _count(word: str, number: int) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _ranges(cores: Sequence[int]) -> str:
    """Numbers of cores.

    Example:
        >>> _ranges([0, 1, 2, 5])
        '0–2,5'
    """
    starts = [cores[0], *(b for a, b in pairwise(cores) if b != a + 1)]
    ends = [*(a for a, b in pairwise(cores) if b != a + 1), cores[-1]]
    return ",".join(f"{a}–{b}" if a < b else f"{a}" for a, b in zip(starts, ends, strict=True))
