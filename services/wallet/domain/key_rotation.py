"""Rotation of the key-encryption key (KEK): data keys are wrapped anew, seeds are not touched."""

from dataclasses import dataclass
from datetime import datetime
from typing import NewType
from uuid import UUID

RotationId = NewType("RotationId", UUID)


@dataclass(frozen=True, kw_only=True)
class KeyRotation:
    """One rotation and its progress."""

    #: Id of the rotation.
    id: RotationId
    #: The KEK under which all data keys are to be.
    kek_id: str
    #: Data keys that were wrapped anew.
    rewrapped: int
    #: Data keys that did not open, as of its end; they are unchanged.
    failed: int
    #: When it was asked for.
    started_at: datetime
    #: When it was complete, or another rotation took its place; None while it is open.
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class KekUse:
    """One KEK and the number of data keys under it."""

    #: Its name.
    kek_id: str
    #: Data keys under it.
    keys: int
    #: Whether this process is set up to open them.
    is_openable: bool


@dataclass(frozen=True, kw_only=True)
class KeyStatus:
    """State of the keys; nothing in it is secret."""

    #: Kind of the provider that seals: local, vault or aws-kms.
    provider: str
    #: The KEK that seals; empty while the provider cannot say.
    current_kek_id: str
    #: Why the provider cannot say; empty when it can.
    complaint: str
    #: All KEKs with data keys under them.
    keks: tuple[KekUse, ...]
    #: The last rotation, if there ever was one.
    rotation: KeyRotation | None
