"""Two hosts on one machine: network namespaces joined by a link of limited rate. Needs root."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from admm.errors import AdmmError

# The bucket of the rate limit has a millisecond of it, and a packet at least. It fills up while a
# link rests, and what fits into it crosses as if there were no limit.
_BURST_SECONDS, _LEAST_BURST = 1e-3, 2000


class UnavailableError(AdmmError):
    """Why this machine cannot do it."""

    exit_code = 2


@contextmanager
def two_hosts(mbit: float) -> Iterator[list[list[str]]]:
    """Two namespaces joined by a link of so many Mbit/s each way.

    Yields:
        Command prefixes that start one MPI rank in each; they talk over TCP.

    Raises:
        UnavailableError: Without root, `ip`, `tc` or the right to make namespaces.
    """
    if os.geteuid() != 0:
        raise UnavailableError("network namespaces need root: run it with sudo")
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            raise UnavailableError(f"found no {tool!r}: install iproute2")
    names = [f"admm{os.getpid()}{end}" for end in "ab"]  # of the namespaces and of their ends
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        for name in names:
            _run("ip", "netns", "add", name)
        a, b = names
        _run(*f"ip link add {a} netns {a} type veth peer name {b} netns {b}".split())
        for number, name in enumerate(names, 1):
            burst = max(int(1e6 / 8 * mbit * _BURST_SECONDS), _LEAST_BURST)
            limit = f"tbf rate {mbit}mbit burst {burst} latency 100ms"
            _run(*f"ip -netns {name} address add 10.0.0.{number}/30 dev {name}".split())
            _run(*f"tc -netns {name} qdisc add dev {name} root {limit}".split())
            for device in ("lo", name):
                _run(*f"ip -netns {name} link set {device} up".split())
        for name in names:
            _wait_for_carrier(name)
        yield [_prefix(name) for name in names]
    finally:
        for name in names:  # the link goes with them
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        signal.signal(signal.SIGTERM, previous)


def _wait_for_carrier(name: str) -> None:
    """A device is of use once the kernel reports its link, up to a second after it is set up."""
    end = time.monotonic() + 10
    while " UP " not in _run("ip", "-netns", name, "-brief", "link", "show", name):
        if time.monotonic() > end:
            raise UnavailableError(f"the link of namespace {name} did not come up in 10 seconds")
        time.sleep(0.05)


def _prefix(name: str) -> list[str]:
    """Words that start a rank in a namespace, with MPICH's shared memory switched off."""
    settings = ["MPIR_CVAR_NOLOCAL=1", "UCX_TLS=tcp,self", f"UCX_NET_DEVICES={name}"]
    return ["ip", "netns", "exec", name, "env", *settings]


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UnavailableError(f"{' '.join(command)!r} failed: {done.stderr.strip()}")
    return done.stdout
