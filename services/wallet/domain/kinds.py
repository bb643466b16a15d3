"""The kinds of operations, a row each: the carrier of a kind, and its differences from other kinds.

A new kind is one row here and its own code. Code that asks about a kind asks its row, or names all
kinds, so that no place can forget one. SQL names kinds, too: a test compares its lists with the
rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique

from services.wallet.domain.model import OperationKind


@unique
class Carrier(Enum):
    """Owner of the transactions that carry operations of a kind."""

    #: The farmer, under the treasury's fee bump, or a channel account: a call of the farm.
    FARM = "farm"
    #: The treasury, one transaction at a time. Each can be repeated: an account that is there is
    #: not made again.
    TREASURY = "treasury"
    #: A payer account: a classic payment, which the ledger refuses to make twice.
    PAYER = "payer"


@unique
class Returned(Enum):
    """Value that a call of the farm returns, besides that it worked."""

    NOTHING = "nothing"
    #: Ledgers between the plant and this work.
    GAP = "gap"
    #: Stroops of KALE.
    REWARD = "reward"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Differences of one kind of operation from the others."""

    #: Carrier of its operations.
    carrier: Carrier
    #: It cannot wait for a calmer ledger: it bids more when ledgers pass it over.
    is_urgent: bool = False
    #: Nobody waits for it: it pays what a quiet ledger asks.
    is_patient: bool = False
    #: It may be the call that opens its block, which must not be over then.
    opens_block: bool = False
    #: The farmer has to consent, which is cheapest as the source of the transaction.
    needs_consent: bool = False
    #: It changes the balance of the farmer's account.
    moves_balance: bool = True
    #: It gives a stake back; the chain has no record of the stake afterwards.
    returns_stake: bool = False
    #: Operations of several blocks may share a transaction, those of one farmer, too.
    joins_blocks: bool = False
    #: Its block does not wait: where no budget allows its fee it is given up, not put off.
    is_given_up_unpaid: bool = False
    #: It pays accounts that are not the pool's, from one that is nobody's but its owner's.
    pays_out: bool = False
    #: What it sends leaves a farmer's account, and counts into the limits of a day.
    counts_daily: bool = False
    #: Value that its call returns.
    returned: Returned = Returned.NOTHING

    @property
    def has_block(self) -> bool:
        """Tell whether a block of the farm limits the kind."""
        return self.carrier is Carrier.FARM


OPERATION_KINDS: Mapping[OperationKind, Kind] = {
    OperationKind.ONBOARD: Kind(carrier=Carrier.TREASURY),
    OperationKind.PLANT: Kind(
        carrier=Carrier.FARM,
        is_urgent=True,
        opens_block=True,
        needs_consent=True,
        is_given_up_unpaid=True,
    ),
    OperationKind.WORK: Kind(
        carrier=Carrier.FARM, is_urgent=True, moves_balance=False, returned=Returned.GAP
    ),
    OperationKind.HARVEST: Kind(
        carrier=Carrier.FARM,
        is_patient=True,
        returns_stake=True,
        joins_blocks=True,
        returned=Returned.REWARD,
    ),
    OperationKind.OPEN_CHANNEL: Kind(carrier=Carrier.TREASURY, is_patient=True),
    OperationKind.TOP_UP: Kind(carrier=Carrier.PAYER, is_patient=True),
    OperationKind.WITHDRAW: Kind(carrier=Carrier.PAYER, pays_out=True, counts_daily=True),
    OperationKind.OPEN_PAYER: Kind(carrier=Carrier.TREASURY),
    OperationKind.PAYOUT: Kind(carrier=Carrier.PAYER, pays_out=True, counts_daily=True),
    OperationKind.POOL_PAYMENT: Kind(carrier=Carrier.PAYER, pays_out=True),
    OperationKind.DATA_ENTRY: Kind(carrier=Carrier.TREASURY, is_patient=True, moves_balance=False),
    OperationKind.CLOSE_ACCOUNT: Kind(carrier=Carrier.TREASURY, is_patient=True),
}


def carried_by(carrier: Carrier) -> tuple[OperationKind, ...]:
    """Return the kinds that a carrier carries, in the order in which the engine prefers them."""
    return tuple(kind for kind in OperationKind if OPERATION_KINDS[kind].carrier is carrier)
