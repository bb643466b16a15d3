"""What the engine's steps work with."""

from dataclasses import dataclass, field

from services.wallet.chain import Chain
from services.wallet.domain.bids import OperatorLimits
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.alarms import Alarms
from services.wallet.engine.chain_view import Watch
from services.wallet.engine.follower import Follower
from services.wallet.engine.sender import Sender
from services.wallet.engine.signers import Keyring
from services.wallet.engine.treasury_account import Treasury
from services.wallet.engine.wakeup import Bell
from services.wallet.store.operations import OperationStore
from services.wallet.store.transactions import TransactionStore

#: Seconds for which a process has an operation to itself. Two that work on the same one do no harm
#: (only one can commit an envelope), so a short lease is enough, and a crash costs no more.
LEASE = 10.0


@dataclass(kw_only=True)
class RentTurn:
    """Whether rent has to be paid: the treasury's other transactions wait for that."""

    is_waiting: bool = False


@dataclass(frozen=True, kw_only=True)
class EngineParts:
    """What the engine works with."""

    chain: Chain
    operations: OperationStore
    transactions: TransactionStore
    keyring: Keyring
    treasury: Treasury
    accounts: Accounts
    follower: Follower
    watch: Watch
    sender: Sender
    #: Rings when there may be something to take up: recorded, free again, or due with a new ledger.
    bell: Bell
    #: Rings when operations were settled.
    settled_bell: Bell
    limits: OperatorLimits
    #: What an operator has to change.
    alarms: Alarms = field(default_factory=Alarms)
    rent_turn: RentTurn = field(default_factory=RentTurn)

    def settled(self) -> None:
        """Tells those who wait for results, and those who wait for room."""
        self.settled_bell.ring()
        self.bell.ring()
