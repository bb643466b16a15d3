"""Identifiers: UUIDv7, so that ids sort by the time they were made (RFC 9562 section 5.7)."""

from typing import NewType
from uuid import UUID

from uuid_utils.compat import uuid7

PoolerId = NewType("PoolerId", UUID)
FarmerId = NewType("FarmerId", UUID)
WalletId = NewType("WalletId", UUID)
OperationId = NewType("OperationId", UUID)
BatchId = NewType("BatchId", UUID)


def new_id() -> UUID:
    """Make a fresh UUIDv7; ids made later in one process compare greater."""
    return uuid7()
