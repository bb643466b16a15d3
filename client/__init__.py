"""The client library: write a pooler, or anything else that calls the pool, on it.

Calls are typed, have a time limit, and are repeated with the same request id while their error may
pass; streams go on where they broke; errors are the classes that the services raise. A caller is
named by a certificate, or by an API token. examples/python/pooler.py is a whole pooler.
"""

from client import quiet  # noqa: F401  (first of all: it has to be imported before gRPC is)
from client.calls import Limits, Notice
from client.chain import ChainWatch, open_watch
from client.connection import (
    Connections,
    Nobody,
    Targets,
    TokenFiles,
    caller_of_environment,
    open_connections,
)
from client.enrol import Enrolled, Enrolment, enrol
from client.model import (
    BatchSummary,
    Block,
    BlockCounts,
    ChainView,
    FarmerOutcome,
    FarmerRecord,
    Head,
    MinersPot,
    MinersTold,
    PoolerRecord,
    Submission,
    SweepSummary,
)
from client.money import MoneyClient
from client.pool import PoolClient, open_client
from libs.common.errors import (
    AlreadyExistsError,
    ConflictError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    PoolError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)
from libs.common.grpc.tls import CertificateError, TlsFiles, Transport, transport_of
from libs.common.ids import FarmerId, PoolerId
from libs.kale.address import raw_key
from libs.kale.hash import leading_zeros, work_hash

__all__ = [
    "AlreadyExistsError",
    "BatchSummary",
    "Block",
    "BlockCounts",
    "CertificateError",
    "ChainView",
    "ChainWatch",
    "ConflictError",
    "Connections",
    "DeadlineExceededError",
    "Enrolled",
    "Enrolment",
    "FailedPreconditionError",
    "FarmerId",
    "FarmerOutcome",
    "FarmerRecord",
    "Head",
    "InternalError",
    "InvalidArgumentError",
    "Limits",
    "MinersPot",
    "MinersTold",
    "MoneyClient",
    "Nobody",
    "NotFoundError",
    "Notice",
    "OutOfRangeError",
    "PermissionDeniedError",
    "PoolClient",
    "PoolError",
    "PoolerId",
    "PoolerRecord",
    "ResourceExhaustedError",
    "Submission",
    "SweepSummary",
    "Targets",
    "TlsFiles",
    "TokenFiles",
    "Transport",
    "UnauthenticatedError",
    "UnavailableError",
    "caller_of_environment",
    "enrol",
    "leading_zeros",
    "open_client",
    "open_connections",
    "open_watch",
    "raw_key",
    "transport_of",
    "work_hash",
]
