"""Stand-ins for the signing half of the engine: a chain, sources and templates that do as told."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from stellar_sdk import Keypair

from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.chain import (
    Load,
    Place,
    Resources,
    ResourceTemplate,
    network_for,
)
from services.wallet.chain.build.calls import Farm
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.chain_facts import AccountState, FarmState, LedgerHead, PailState
from services.wallet.domain.model import (
    ChainHead,
    FailureReason,
    OperationKind,
    QueuedOperation,
    Settlement,
)
from services.wallet.domain.packing import Limits
from services.wallet.domain.settling import given_up
from services.wallet.domain.trust import Decision
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.sequence_sources import Seen, Source
from services.wallet.engine.template_book import TemplateKey
from services.wallet.keys.signer import SeedSigner
from services.wallet.store.transactions import Draft

NETWORK = network_for("localnet")
LEDGER, CLOSE_TIME, BLOCK = 100, 1_000_000, 7
MAX_FEE = 1_000_000
LIMITS = OperatorLimits(lifetime=30, max_fee=MAX_FEE, parallel=2)
#: Of one call; each envelope takes a hundredth of a ledger.
NEEDED = Resources(
    read_only=(), read_write=(), instructions=1000, disk_read_bytes=0, write_bytes=0, fee=5000
)
TEMPLATE = ResourceTemplate(
    read_only=(),
    read_write=(),
    instructions=1000,
    disk_read_bytes=0,
    write_bytes=0,
    resource_fee=5000,
)
_MANY = 10**9
#: More templates are asked for by nobody who comes to an end.
_MOST_ASKED = 100


def network_limits(*, transaction_bytes: int = _MANY) -> Limits:
    """Make limits that nothing here meets, but for a hundred transactions in a ledger."""
    return Limits(
        transaction_instructions=_MANY,
        ledger_instructions=_MANY,
        transaction_footprint=_MANY,
        transaction_write_entries=_MANY,
        ledger_write_entries=_MANY,
        transaction_write_bytes=_MANY,
        ledger_write_bytes=_MANY,
        transaction_bytes=transaction_bytes,
        ledger_bytes=_MANY,
        ledger_transactions=100,
        transaction_event_bytes=_MANY,
        temporary_ledgers=17280,
    )


def chain_state(*, current: int = BLOCK, limits: Limits | None = None) -> ChainState:
    """Make a chain in the middle of an open block."""
    block: Any = SimpleNamespace(index=current)
    return ChainState(
        ledger=LedgerHead(sequence=LEDGER, close_time=CLOSE_TIME),
        farm=FarmState(
            index=current,
            timestamp=CLOSE_TIME - 60,
            paused=False,
            token="",
            code_hash="",
            block=block,
        ),
        head=ChainHead(
            ledger=LEDGER,
            close_time=datetime.fromtimestamp(CLOSE_TIME, UTC),
            current_block=current,
            plantable_block=current,
            paused=False,
            block_seconds=300,
        ),
        block=None,
        inclusion_fee=200,
        limits=limits or network_limits(),
        pace=5,
    )


def operation(
    kind: OperationKind = OperationKind.HARVEST,
    *,
    block: int = BLOCK - 1,
    attempts: int = 0,
    pack_limit: int | None = None,
    amount: int = 0,
) -> QueuedOperation:
    """Make an operation that was taken up."""
    is_work = kind is OperationKind.WORK
    return QueuedOperation(
        id=OperationId(new_id()),
        kind=kind,
        wallet_id=WalletId(new_id()),
        address=Keypair.random().public_key,
        block_index=block,
        amount=amount,
        nonce=3 if is_work else None,
        hash=bytes(32) if is_work else None,
        attempts=attempts,
        pack_limit=pack_limit,
    )


class FakeChain:
    """Shows pails, and answers simulations, as it is told."""

    def __init__(self) -> None:
        self.network = NETWORK
        self.farm_calls = Farm(farm=NETWORK.farm, token=NETWORK.token)
        self.configured = 1
        self.shown: dict[Place, PailState] = {}
        #: Accounts that are not as they should be, by address.
        self.odd: dict[str, AccountState] = {}
        #: Addresses whose accounts were read, and places of pails.
        self.read: list[str] = []
        self.pails_read: list[Place] = []
        #: What several nodes say; None: the same.
        self.agreed: FakeChain | None = None
        self.decisions: list[Decision] = []
        #: The ledger that is read.
        self.ledger = LEDGER
        #: Raised instead of an answer.
        self.error: Exception | None = None
        #: What becomes of calls that are simulated for themselves, by farmer; absent: NEEDED.
        self.exact: dict[str, Resources | Exception] = {}
        #: Farmers whose calls were simulated for themselves.
        self.simulated: list[str] = []

    def trusted(self, decision: Decision) -> "FakeChain":
        """As the chain's."""
        self.decisions.append(decision)
        return self.agreed or self

    def plant(self, *operations: QueuedOperation, stake: int = 11) -> None:
        """Show pails that were worked, so that they can be harvested."""
        pail = PailState(sequence=50, stake=stake, gap=3, zeros=4, live_until=_MANY)
        self.shown |= {(item.address, item.block_index): pail for item in operations}

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """As the chain's: sound accounts, unless others are shown."""
        self.read += addresses
        sound = AccountState(address="", exists=True, has_trustline=True, kale=_MANY)
        return self.ledger, [self.odd.get(item, replace(sound, address=item)) for item in addresses]

    async def pails(self, places: Sequence[Place]) -> dict[Place, PailState]:
        """As the chain's."""
        self.pails_read += places
        if self.error is not None:
            raise self.error
        return {place: self.shown[place] for place in places if place in self.shown}

    def resources(self, template: ResourceTemplate, load: Load) -> Resources:
        """As the chain's."""
        assert template is TEMPLATE
        return NEEDED

    async def simulate_exactly(self, load: Load, *, source: str) -> Resources:
        """As the chain's."""
        (carried,) = load.carried_calls
        self.simulated.append(carried.call.farmer)
        found = self.exact.get(carried.call.farmer, NEEDED)
        if isinstance(found, Exception):
            raise found
        return found


class FakeTemplates:
    """Gives templates, or what stands in their way, one answer after the other."""

    def __init__(self) -> None:
        #: What the next simulations come to; TEMPLATE when there is nothing left.
        self.answers: list[ResourceTemplate | Exception | None] = []
        #: Calls in each load that was simulated, the templates that were asked for, and by whom.
        self.asked: list[int] = []
        self.keys: list[TemplateKey] = []
        self.sources: list[str] = []
        self.blocks: list[int] = []
        #: What is known of a block that is not open yet.
        self.ahead: ResourceTemplate | None = None
        #: Whether simulations carry rent, one answer after the other; the last one stays.
        self.is_rent_due = [False]
        self.rent_asked = 0
        self.is_doubted = False

    def known(self, key: TemplateKey, block_index: int) -> ResourceTemplate | None:
        """As the book's."""
        return self.ahead

    async def template(
        self, key: TemplateKey, load: Load, *, source: str, block_index: int
    ) -> ResourceTemplate | None:
        """As the book's."""
        assert len(self.asked) < _MOST_ASKED
        self.asked.append(len(load.carried_calls))
        self.keys.append(key)
        self.sources.append(source)
        self.blocks.append(block_index)
        answer = self.answers.pop(0) if self.answers else TEMPLATE
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def carries_rent(self) -> bool:
        """As the book's."""
        self.rent_asked += 1
        return self.is_rent_due.pop(0) if len(self.is_rent_due) > 1 else self.is_rent_due[0]

    def doubt(self, kind: OperationKind, ledger: int) -> bool:
        """As the book's."""
        return self.is_doubted


class FakeSources:
    """Has a number of channels; a farmer's own account is always there, unless it is missing."""

    def __init__(self, *, channels: int = 0, for_singles: bool = False) -> None:
        """`for_singles`: what goes alone takes channels, too."""
        self._free = channels
        self.has_channels = bool(channels)
        self._for_singles = for_singles
        #: Number of channels that were asked for, each time.
        self.asked: list[int] = []
        #: What was seen of accounts before sources were asked for.
        self.seen: list[Seen | None] = []
        #: Channels that were given.
        self.given: list[Source] = []
        #: Farmers without an account, and farmers whose accounts do not obey.
        self.missing: set[str] = set()
        self.locked: set[str] = set()

    async def of(
        self, operations: Sequence[QueuedOperation], seen: Seen | None = None
    ) -> dict[OperationId, Source]:
        """As Sources."""
        self.seen.append(seen)
        if self._for_singles:
            channels = await self.channels(len(operations))
            return {item.id: one for item, one in zip(operations, channels, strict=True)}
        return {
            item.id: Source(
                wallet_id=item.wallet_id,
                address=item.address,
                sequence=5,
                is_channel=False,
                obeys=item.address not in self.locked,
            )
            for item in operations
            if item.address not in self.missing
        }

    async def channels(self, count: int) -> list[Source]:
        """As Sources."""
        self.asked.append(count)
        taken = min(count, self._free)
        self._free -= taken
        made = [
            Source(
                wallet_id=WalletId(new_id()),
                address=Keypair.random().public_key,
                sequence=70 + number,
                is_channel=True,
            )
            for number in range(taken)
        ]
        self.given += made
        return made


class FakeSigners:
    """Opens a key for every wallet, always the same."""

    def __init__(self) -> None:
        self.keys: dict[WalletId, SeedSigner] = {}
        #: The wallets of each opening.
        self.opened: list[list[WalletId]] = []
        #: Raised instead of opening keys.
        self.error: Exception | None = None

    def key(self, wallet_id: WalletId) -> SeedSigner:
        """Return a wallet's key."""
        return self.keys.setdefault(wallet_id, SeedSigner(Keypair.random().raw_secret_key()))

    @asynccontextmanager
    async def open(self, wallet_ids: Sequence[WalletId]) -> AsyncIterator[list[SeedSigner]]:
        """As Signers."""
        self.opened.append(list(wallet_ids))
        if self.error is not None:
            raise self.error
        yield [self.key(item) for item in wallet_ids]


class FakeRefuser:
    """Gives up what is refused, and remembers it."""

    def __init__(self) -> None:
        self.refused: list[OperationId] = []

    async def settle(self, item: QueuedOperation, error: Exception) -> Settlement:
        """As Refuser."""
        self.refused.append(item.id)
        return given_up(item, FailureReason.REFUSED, str(error))


class FakeSender:
    """Notes what is sent, with its cap."""

    def __init__(self) -> None:
        self.sent: list[tuple[tuple[OperationId, ...], int]] = []

    async def send_committed(
        self, drafts: Sequence[Draft], *, ledger: int, cap: Callable[[Draft], int]
    ) -> None:
        """As the sender's."""
        self.sent += [(item.operation_ids, cap(item)) for item in drafts]

    @property
    def caps(self) -> list[int]:
        """Return the caps of what was sent."""
        return [cap for _, cap in self.sent]


class FakeQueue:
    """Notes what is settled and given back."""

    def __init__(self) -> None:
        self.waiting: list[QueuedOperation] = []
        self.settled: list[Settlement] = []
        self.released: list[OperationId] = []

    async def settle_queued(self, settlements: Sequence[Settlement]) -> int:
        """As the store's."""
        self.settled += settlements
        return len(settlements)

    async def release(self, ids: Sequence[OperationId]) -> None:
        """As the store's."""
        self.released += ids
