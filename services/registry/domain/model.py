"""Data that registry keeps, as plain data classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from libs.common.ids import FarmerId, PoolerId
from services.registry.domain.status import FarmerStatus, PoolerStage


@dataclass(frozen=True, kw_only=True)
class Pooler:
    """The operator of a mining machine."""

    #: UUIDv7.
    pooler_id: PoolerId
    #: Its name for people.
    name: str
    #: Its own Stellar account (strkey G...).
    public_key: str
    #: Where its software is reached, or empty.
    api_endpoint: str
    #: Farmers that it takes at most.
    max_farmers: int
    #: Farmers that it has.
    current_farmers: int
    #: Not suspended.
    is_active: bool
    #: The last heartbeat.
    last_seen: datetime | None
    #: When it was registered.
    created_at: datetime
    #: By an operator's word it farms for itself.
    farms_for_itself: bool
    #: Version of the terms that it offers; 0: none.
    terms_version: int
    #: Wants to be in the public list.
    is_listed: bool
    #: Lets farmers join by themselves.
    is_open_to_join: bool
    #: How far it is on its way out.
    stage: PoolerStage
    #: What that waits for, for machines and for people; empty: nothing that is known.
    waits_for: str
    waits_message: str


@dataclass(frozen=True, kw_only=True)
class Farmer:
    """A custodial account that a pooler farms for."""

    #: UUIDv7.
    farmer_id: FarmerId
    #: strkey G..., or empty while it is made.
    custodial_wallet: str
    #: The pooler that farms for it.
    pooler_id: PoolerId
    #: Its status.
    status: FarmerStatus
    #: Ten-thousandths of its balance that are staked.
    stake_bps: int
    #: Stroops of KALE earned; withdrawals are not taken off.
    current_balance: int
    #: Its account exists on the chain and can hold KALE.
    is_funded: bool
    #: Its own outside address, or empty.
    payout_wallet_address: str
    #: Free-form data, as JSON.
    metadata: str
    #: SHA-256 of the arguments that it was registered with.
    digest: bytes
    #: When it was registered.
    created_at: datetime
    #: The owner account that was given then, or empty.
    owner_account: str
    #: Version of its pooler's terms that were in force then; 0: none.
    terms_version: int
    #: Who registered it.
    registered_by: str
    #: By what that was known, as wallet names it.
    proof: str
    #: Since when it leaves; None: it does not.
    leaving_since: datetime | None
    #: Whose word that is; empty: nobody's.
    leaving_word: str
    #: What it waits for, for machines and for people; empty: nothing that is known.
    waits_for: str
    waits_message: str


@dataclass(frozen=True, kw_only=True)
class NewPooler:
    """A pooler to register."""

    #: 1 to 255 characters.
    name: str
    #: strkey G...
    public_key: str
    #: At most 512 characters.
    api_endpoint: str
    #: 1 to 1,000.
    max_farmers: int


@dataclass(frozen=True, kw_only=True)
class NewFarmer:
    """A farmer to register."""

    #: The pooler to register with.
    pooler_id: PoolerId
    #: 0 to 10,000.
    stake_bps: int
    #: strkey G..., or empty.
    payout_wallet_address: str
    #: The account that speaks for it, or empty.
    owner_account: str = ""
    #: Version of the terms that it was shown; 0: whichever are in force.
    terms_version: int = 0
    #: The stake was given, and is no default.
    has_stake: bool = True
    #: Who registers it, and by what that is known, as wallet names it.
    registered_by: str = ""
    proof: str = ""
    #: Its owner account does: it joins by itself.
    joins_itself: bool = False
    #: JSON.
    metadata: str
    #: The caller's request id, or a fresh one.
    request_id: str
    #: SHA-256 of the arguments.
    digest: bytes


@dataclass(frozen=True, kw_only=True)
class Change:
    """A repeatable change, as a request id identifies it."""

    #: The caller's request id, or empty.
    request_id: str
    #: The RPC.
    method: str
    #: SHA-256 of the arguments.
    digest: bytes
    #: Column to new value; columns that are absent stay.
    values: Mapping[str, object]
