"""The sources of transactions' sequence numbers: a farmer's own account, or a channel account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.common.ids import OperationId, WalletId
from libs.common.log import get_logger
from services.wallet.chain import Chain
from services.wallet.domain.chain_facts import AccountState, NumberState
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import QueuedOperation
from services.wallet.domain.trust import Decision
from services.wallet.engine.signers import Signers
from services.wallet.store.channels import ChannelStore, Lease
from services.wallet.store.transactions import TransactionStore

log = get_logger(__name__)

#: Seconds for which a process has an operation, or an account, to itself, unless it gives it back
#: earlier. Two processes that work on the same operation do no harm (only one can commit an
#: envelope). So a short lease is enough, and a crash costs no more.
LEASE = 10.0


async def next_numbers(
    transactions: TransactionStore, read: Mapping[str, int], ledger: int
) -> dict[str, int]:
    """Return the sequence numbers to use next, after the numbers that a node showed at a ledger.

    A node may show an older ledger than the ledger that took the account's last transaction: then
    the number on record is newer. Otherwise the node's number counts, also when it is lower.
    """
    kept = await transactions.last_sequences(list(read), after=ledger)
    return {address: max(number, kept.get(address, number)) + 1 for address, number in read.items()}


@dataclass(frozen=True, kw_only=True)
class Source:
    """An account with nothing in flight, as a transaction's source."""

    #: The wallet whose key signs.
    wallet_id: WalletId
    #: strkey G...
    address: str
    #: The sequence number to use.
    sequence: int
    #: Whether the account is a channel account: the pool's own, which pays its own fees.
    is_channel: bool
    #: Whether the pool's key alone suffices for the account.
    obeys: bool = True


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Accounts that a node showed a moment ago."""

    #: The ledger that was read.
    ledger: int
    #: The accounts by address, also those that do not exist.
    accounts: Mapping[str, AccountState]


class Sources:
    """A finder of source accounts with the sequence numbers that they have to use."""

    def __init__(
        self,
        chain: Chain,
        channels: ChannelStore,
        transactions: TransactionStore,
        signers: Signers,
        *,
        has_channels: bool = False,
    ) -> None:
        """Tell by `has_channels` whether there are channel accounts, free ones or not."""
        self.has_channels = has_channels
        self._chain = chain
        self._channels = channels
        self._transactions = transactions
        self._signers = signers
        self._is_wary = False
        #: Channel accounts that were leased and not given back.
        self._leases: list[Lease] = []

    def beware(self) -> None:
        """Try each channel account's key before use from now on, as one may not open."""
        self._is_wary = True

    async def of(
        self, operations: Sequence[QueuedOperation], seen: Seen | None = None
    ) -> dict[OperationId, Source]:
        """Return a source per operation; an operation whose farmer has no account gets none.

        A plant needs the farmer's consent, which is cheapest when the farmer's account is the
        source. A work or a harvest needs nobody's consent: a channel account is cheaper, when one
        is free. Farmers' accounts that were `seen` are not read again where one node's word counts.
        """
        free = [item for item in operations if not OPERATION_KINDS[item.kind].needs_consent]
        channels = await self.channels(len(free)) if free else []
        found = {item.id: source for item, source in zip(free, channels, strict=False)}
        rest = [item for item in operations if item.id not in found]
        numbers = await self._numbers([item.address for item in rest], seen)
        return found | {
            item.id: Source(
                wallet_id=item.wallet_id,
                address=item.address,
                sequence=numbers[item.address].sequence,
                is_channel=False,
                obeys=numbers[item.address].obeys,
            )
            for item in rest
            if item.address in numbers
        }

    async def channels(self, count: int) -> list[Source]:
        """Lease up to `count` channel accounts that can pay, for this process alone.

        The leases last until the accounts are given back.
        """
        leased = await self._channels.lease(count, seconds=LEASE)
        self._leases += leased
        if self._is_wary:
            leased = await self._opened(leased)
        numbers = await self._numbers([lease.address for lease in leased])
        return [
            Source(
                wallet_id=lease.wallet_id,
                address=lease.address,
                sequence=numbers[lease.address].sequence,
                is_channel=True,
            )
            for lease in _obeying(leased, numbers)
        ]

    async def give_back(self) -> None:
        """Give back all channel accounts.

        The envelope of an account that was used is committed, and keeps the account busy until the
        transaction is closed.
        """
        if self._leases:
            await self._channels.give_back(self._leases)
            self._leases = []

    async def _opened(self, leased: list[Lease]) -> list[Lease]:
        broken = await self._signers.broken([lease.wallet_id for lease in leased])
        if broken:
            log.critical("keys of channels do not open", wallets=sorted(map(str, broken)))
        return [lease for lease in leased if lease.wallet_id not in broken]

    async def _numbers(
        self, addresses: Sequence[str], seen: Seen | None = None
    ) -> dict[str, NumberState]:
        """Return the sequence numbers to use next, and whether the accounts obey."""
        if not addresses:
            return {}
        ledger, read = await self._read(addresses, seen)
        last = {address: state.sequence for address, state in read.items()}
        following = await next_numbers(self._transactions, last, ledger)
        return {
            address: NumberState(sequence=following[address], obeys=state.obeys)
            for address, state in read.items()
        }

    async def _read(
        self, addresses: Sequence[str], seen: Seen | None
    ) -> tuple[int, dict[str, NumberState]]:
        """Return the ledger that was read, and what accounts that exist are as sources."""
        chain = self._chain.trusted(Decision.USE_NUMBER)
        if seen is None or chain is not self._chain or not seen.accounts.keys() >= set(addresses):
            return await chain.numbers(addresses)
        found = [seen.accounts[address] for address in addresses]
        return seen.ledger, {
            item.address: NumberState(sequence=item.sequence, obeys=item.obeys)
            for item in found
            if item.exists
        }


def _obeying(leased: Sequence[Lease], numbers: Mapping[str, NumberState]) -> list[Lease]:
    """Return the channel accounts that exist and obey; what they sign is paid, others' is not."""
    there = [lease for lease in leased if lease.address in numbers]
    lost = [lease for lease in there if not numbers[lease.address].obeys]
    if lost:
        log.critical("channels do not obey", wallets=sorted(str(item.wallet_id) for item in lost))
    return [lease for lease in there if numbers[lease.address].obeys]
