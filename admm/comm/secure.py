"""Pairwise masks: the root learns the sum of the clients' words, and no single client's.

The sum of Bonawitz et al., "Practical secure aggregation for privacy-preserving machine learning"
(CCS 2017), without its secret sharing: who takes part in a round is known to all before it, from
a schedule, and a client that is lost within a round ends the run.

Every process is trusted with its own clients, and to follow the protocol. Keys are not
authenticated: a root that hands out keys of its own could read what is meant for others.
"""

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from jaxtyping import UInt32

from admm import extras
from admm.comm.transport import Transport
from admm.errors import InputError

Words = UInt32[np.ndarray, " count"]

LEAST_CLIENTS = 3
"""Of two clients each knows the other's words from the sum."""

_CONTEXT = b"layerwise-admm pairwise masks"


class PairwiseMasks:
    """The secrets of the clients of one process.

    Clients j < k share a key by X25519 and HKDF-SHA256. ChaCha20 makes a fresh stream of words s_jk
    of it for every exchange. Modulo 2³², hence modulo 2^width for any width up to 32,

        masked_k = words_k + Σ_{j > k} s_kj − Σ_{j < k} s_jk,    Σ masked_k = Σ words_k

    over the participants. Secrets come from the operating system, not from a seed, and live as long
    as the object: after a restart clients agree on new keys. Sums do not depend on keys, so a run
    goes on as if nothing had happened.

    Args:
        clients: Numbers of the clients that live here.

    Attributes:
        public: Their public keys, of 32 bytes, for everybody.

    Raises:
        InputError: If cryptography is not installed.

    Example:
        >>> masks = PairwiseMasks(range(3))
        >>> masks.agree(masks.public)
        >>> words = np.arange(4, dtype=np.uint32)
        >>> sum(masks.masked(words, k, range(3), exchange=0) for k in range(3)).tolist()
        [0, 3, 6, 9]
    """

    def __init__(self, clients: Iterable[int]) -> None:
        extras.load("cryptography", "secure aggregation")
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        self._secrets = {client: X25519PrivateKey.generate() for client in clients}
        self.public = {
            client: secret.public_key().public_bytes_raw()
            for client, secret in self._secrets.items()
        }
        self._keys: dict[tuple[int, int], bytes] = {}
        self._next = dict.fromkeys(self._secrets, 0)

    def agree(self, public: Mapping[int, bytes]) -> None:
        """Derive the keys that the clients of this process share with all clients.

        Args:
            public: The public keys of all clients of all processes.

        Raises:
            InputError: If one is no public key.
        """
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        for own, secret in self._secrets.items():
            for other in public.keys() - {own}:
                try:
                    shared = secret.exchange(X25519PublicKey.from_public_bytes(public[other]))
                except ValueError as error:
                    raise InputError(
                        f"client {other} has no valid public key ({error}); all processes need the "
                        "same version of the toolkit"
                    ) from error
                pair = b"".join(public[client] for client in sorted((own, other)))
                key = HKDF(SHA256(), 32, salt=None, info=_CONTEXT + pair).derive(shared)
                self._keys[own, other] = key

    def masked(
        self, words: Words, client: int, participants: Collection[int], exchange: int
    ) -> Words:
        """The words of a client of this process as they may travel.

        Args:
            words: Its summand.
            client: Its number.
            participants: All clients whose words are summed up, itself among them.
            exchange: Number of this sum, the same for all: higher than that of any sum before.

        Raises:
            RuntimeError: If a mask would be used twice, which gives away the difference of the two
                summands, or there are too few participants.
        """
        if len(participants) < LEAST_CLIENTS:
            raise RuntimeError(f"{len(participants)} clients cannot hide words from each other")
        if exchange < self._next[client]:
            raise RuntimeError(f"client {client} has used its masks of exchange {exchange} already")
        self._next[client] = exchange + 1
        masked = words.copy()
        for other in participants:
            if other > client:
                masked += self._stream(client, other, exchange, words.size)
            elif other < client:
                masked -= self._stream(client, other, exchange, words.size)
        return masked

    def _stream(self, own: int, other: int, exchange: int, count: int) -> Words:
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

        nonce = bytes(4) + exchange.to_bytes(12, "little")  # its block counter comes first
        stream = Cipher(ChaCha20(self._keys[own, other], nonce), mode=None).encryptor()
        return np.frombuffer(stream.update(bytes(4 * count)), "<u4").astype(np.uint32)


def agree_on_masks(transport: Transport, clients: Iterable[int]) -> PairwiseMasks:
    """New masks for the clients of this process; all processes call it.

    Args:
        transport: Carries the public keys.
        clients: Numbers of the clients that live here.

    Raises:
        InputError: If cryptography is not installed.

    Example:
        >>> from admm.comm import LocalTransport
        >>> sorted(agree_on_masks(LocalTransport(2), range(4)).public)
        [0, 1, 2, 3]
    """
    masks = transport.agreed(lambda: PairwiseMasks(clients))
    every = transport.gather(masks.public)
    masks.agree({client: key for public in every for client, key in public.items()})
    return masks
