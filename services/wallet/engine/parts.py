"""What the engine's steps work with."""

from dataclasses import dataclass, field

from services.wallet.chain.facade import Chain
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.alarms import Alarms
from services.wallet.engine.bell import Bell
from services.wallet.engine.follower import Follower
from services.wallet.engine.keyring import Keyring
from services.wallet.engine.sender import Sender
from services.wallet.engine.treasury import Treasury
from services.wallet.engine.watch import Watch
from services.wallet.store.operations import OperationStore
from services.wallet.store.transactions import TransactionStore

#: Seconds for which a process has an operation to itself. Two that work on the same one do no harm
#: (only one can commit an envelope), so a short lease is enough, and a crash costs no more.
LEASE = 10.0


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The operator's limits for one transaction."""

    #: Seconds (of ledger close time) that an envelope may live.
    lifetime: int
    #: Stroops that the network may charge at most for each operation in a transaction.
    max_fee: int
    #: Operations that are simulated for themselves at the same time.
    parallel: int
    #: Stands for these limits and the budgets; changes with any of them.
    mark: str = ""

    def cap(self, operations: int, *, is_payment: bool) -> int:
        """Stroops that a transaction may cost for so many operations; the bump of a payer's number
        is one more."""
        return self.max_fee * (operations + is_payment)


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
    terms: Terms
    #: What an operator has to change.
    alarms: Alarms = field(default_factory=Alarms)
    rent_turn: RentTurn = field(default_factory=RentTurn)

    def settled(self) -> None:
        """Tells those who wait for results, and those who wait for room."""
        self.settled_bell.ring()
        self.bell.ring()
