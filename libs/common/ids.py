"""Identifiers: UUIDv7, so that they sort by the time of their making (RFC 9562 section 5.7)."""

from typing import NewType
from uuid import UUID

from uuid_utils.compat import uuid7

PoolerId = NewType("PoolerId", UUID)
FarmerId = NewType("FarmerId", UUID)
WalletId = NewType("WalletId", UUID)
OperationId = NewType("OperationId", UUID)
BatchId = NewType("BatchId", UUID)


def new_id() -> UUID:
    """A fresh UUIDv7; ids made later in one process compare greater."""
    return uuid7()
