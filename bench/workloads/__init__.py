"""The benchmark matrix, by id."""

from __future__ import annotations

from workloads.adapters import Adapters
from workloads.closed_loop import ClosedLoop, ManyStreams
from workloads.cold_start import ColdStart, DiskStart
from workloads.conversations import Conversations, CrowdedConversations
from workloads.embeddings import Embeddings
from workloads.http_overhead import HttpOverhead
from workloads.interference import Interference
from workloads.memory import Memory
from workloads.shared_prefix import SharedPrefix
from workloads.single_stream import Decode, Prefill
from workloads.speculation import Speculation
from workloads.structured import ManyStructured, Structured
from workloads.workload import Workload

WORKLOADS: dict[str, Workload] = {
    workload.id: workload
    for workload in (
        Decode(),
        Prefill(),
        HttpOverhead(),
        ClosedLoop(),
        ManyStreams(),
        SharedPrefix(),
        Conversations(),
        CrowdedConversations(),
        Interference(),
        Structured(),
        ManyStructured(),
        Speculation(),
        Adapters(),
        ColdStart(),
        DiskStart(),
        Memory(),
        Embeddings(),
    )
}
