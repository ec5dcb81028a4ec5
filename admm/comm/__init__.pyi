from . import launch as launch
from .batch_channel import Batch as Batch, BatchChannel as BatchChannel, Cut as Cut, Queue as Queue
from .chain import (
    Neighbors as Neighbors,
    chain as chain,
    chunk_sizes as chunk_sizes,
    pass_dense as pass_dense,
    pass_forward as pass_forward,
)
from .channel import (
    Channel as Channel,
    expect_exact as expect_exact,
    receive_exact as receive_exact,
    send_exact as send_exact,
)
from .leaves import (
    fill_leaves as fill_leaves,
    named_leaves as named_leaves,
    tree_bytes as tree_bytes,
)
from .mailbox import Mailbox as Mailbox
from .mpi_transport import MPITransport as MPITransport
from .secure import (
    LEAST_CLIENTS as LEAST_CLIENTS,
    PairwiseMasks as PairwiseMasks,
    agree_on_masks as agree_on_masks,
)
from .shares import Shares as Shares, trace_shares as trace_shares
from .trace import Trace as Trace
from .transport import (
    Arrived as Arrived,
    LocalTransport as LocalTransport,
    Transport as Transport,
    local_transport as local_transport,
)
from .worker import in_turns as in_turns
