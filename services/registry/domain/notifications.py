"""Notifications: what happened that poolers or operators want to be told."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique
from uuid import UUID

from libs.common.ids import FarmerId, PoolerId


@unique
class Kind(Enum):
    """The kinds of notifications.

    The values are those in the database, where triggers write them, and the `type` that receivers
    see; docs/notifications.md says which facts each has.
    """

    POOLER_GONE = "pooler.gone"
    POOLER_BACK = "pooler.back"
    PAYOUT_MADE = "payout.made"
    PAYOUT_FAILED = "payout.failed"
    PAYOUT_ADDRESS_PENDING = "payout_address.pending"
    PAYOUT_ADDRESS_CHANGED = "payout_address.changed"
    TREASURY_LOW = "treasury.low"
    TREASURY_RESTORED = "treasury.restored"
    NODE_SET_ASIDE = "node.set_aside"
    NODE_BACK = "node.back"
    SIGNING_PAUSED = "signing.paused"
    SIGNING_RESUMED = "signing.resumed"
    WEBHOOK_DISABLED = "webhook.disabled"
    TEST = "webhook.test"
    AGREEMENT_CHANGED = "agreement.changed"
    OWNER_ACCOUNT_CHANGED = "owner_account.changed"
    FARMER_LEAVING = "farmer.leaving"
    FARMER_LEFT = "farmer.left"


@dataclass(frozen=True, kw_only=True)
class Notification:
    """Something that happened."""

    #: Its place among all.
    number: int
    #: By which receivers know a repeat.
    id: UUID
    #: A value of Kind, or what a newer wallet writes.
    kind: str
    #: The pooler whom it concerns; None: operators alone, or everybody.
    pooler_id: PoolerId | None
    #: The farmer whom it concerns, if it is one.
    farmer_id: FarmerId | None
    #: When it happened.
    happened_at: datetime
    #: What there is to know, by name.
    facts: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ListedNotification:
    """A notification as people read it in a list: receivers get it without the names."""

    #: What happened.
    notification: Notification
    #: What its pooler is called now; empty without one.
    pooler_name: str
    #: Address of its farmer's account; empty without one.
    farmer_address: str
