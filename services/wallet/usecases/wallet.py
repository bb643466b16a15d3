"""Use cases of wallet's callers: one coroutine per verb."""

import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace

from libs.common.failpoints import failpoint
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from libs.common.log import get_security_logger
from libs.kale.amounts import WHOLE
from libs.kale.hash import leading_zeros
from services.wallet.domain.agreements import AgreementRules, Joining, check_fees
from services.wallet.domain.blocks import check_acceptable
from services.wallet.domain.budget import FeeTerms, SponsorTerms
from services.wallet.domain.errors import (
    BlockUnknownError,
    ChainUnknownError,
    HistoryGoneError,
    RequestIdReusedError,
    StakeAboveAgreementError,
    WalletNotFoundError,
    WalletOfOtherPoolerError,
)
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import (
    Balances,
    Block,
    ChainHead,
    Intent,
    NewOperation,
    Operation,
    OperationKind,
    Wallet,
)
from services.wallet.domain.refusals import PRICE_LEDGERS, Circumstances
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.treasury_account import Treasury
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.provider import KeyProvider
from services.wallet.keys.seal import seal_new_key
from services.wallet.store.blocks import BlockStore
from services.wallet.store.operations import Check, OperationStore
from services.wallet.store.own_say import OwnSayStore
from services.wallet.store.owners import OwnerStore
from services.wallet.store.refusals import Now
from services.wallet.store.wallets import WalletStore, balances_of

security = get_security_logger()

#: Seconds between two messages of a block stream at most.
SIGN_OF_LIFE = 15.0
#: Blocks that a stream sends at most when it resumes: about three days.
MAX_RESUMED = 1000


@dataclass(frozen=True, kw_only=True)
class UseCases:
    """Use cases of callers, and the parts that they use."""

    wallets: WalletStore
    operations: OperationStore
    blocks: BlockStore
    provider: KeyProvider
    accounts: Accounts
    treasury_account: Treasury
    chain_view: ChainView
    #: Wakeup to notify when operations were recorded.
    wakeup: Wakeup
    #: The fee budgets, and stroops that a transaction may cost for each operation in it.
    fees: FeeTerms
    max_fee: int
    #: The budgets for reserves of new farmers.
    sponsored: SponsorTerms
    #: Who speaks for farmers, and what they agree to.
    owners: OwnerStore
    own_say: OwnSayStore
    rules: AgreementRules

    async def create_wallet(
        self,
        farmer_id: FarmerId,
        pooler_id: PoolerId,
        *,
        stake_bps: int = WHOLE,
        joining: Joining | None = None,
    ) -> Wallet:
        """Return the farmer's wallet; make it when there is none.

        A new wallet is made with its key, its onboarding, what it may stake at most, its owner
        account and its first agreement. The address of its registration counts where its pooler
        farms for itself, and nobody else speaks for the farmer: else the farmer has to sign it.
        Raises FeeTooHighError and StakeAboveAgreementError.
        Raises TreasuryMissingError for a new wallet while the treasury's key does not open: that
        key alone shows that the master key is the pool's, and nobody could open what another master
        key seals. Raises SponsorshipBudgetError for a new wallet that exceeds a budget.
        """
        wallet = await self.wallets.by_farmer(farmer_id)
        if wallet is None:
            _ = self.treasury_account.wallet
            joining = joining or Joining()
            _check_joining(joining, stake_bps, self.rules)
            sealed = await seal_new_key(self.provider, WalletId(new_id()))
            await self.wallets.insert_farmer(
                sealed,
                farmer_id=farmer_id,
                pooler_id=pooler_id,
                onboarding_id=OperationId(new_id()),
                payout_address=await self._counting_address(joining, pooler_id),
                stake_bps=stake_bps,
                joining=replace(joining, operator_bps=self.rules.operator_bps),
                budget=self.sponsored,
            )
            self.wakeup.notify()
            wallet = await self.wallets.by_farmer(farmer_id)
        if wallet is None:
            raise WalletNotFoundError(f"the wallet of farmer {farmer_id} was not recorded")
        if wallet.pooler_id != pooler_id:
            raise WalletOfOtherPoolerError(f"farmer {farmer_id} belongs to another pooler")
        return wallet

    async def _counting_address(self, joining: Joining, pooler_id: PoolerId) -> str:
        """Return the address of a registration when it counts at once; else none."""
        is_its_own = not joining.owner_account and joining.payout_address
        if is_its_own and await self.owners.farms_for_itself(pooler_id):
            return joining.payout_address
        return ""

    async def set_stake_limit(self, farmer_id: FarmerId, stake_bps: int, *, actor: str) -> Wallet:
        """Set what a farmer may stake at most (ten-thousandths of its balance).

        Raises StakeAboveAgreementError for more than it has agreed to.
        """
        await self.own_say.set_stake(farmer_id, stake_bps, actor=actor)
        security.info("stake limit set", farmer=str(farmer_id), stake_bps=stake_bps, actor=actor)
        return await self.wallets.of_farmer(farmer_id)

    async def balances(self, farmer_ids: Sequence[FarmerId]) -> list[tuple[Wallet, Balances]]:
        """Return the wallets and their balances on the chain now, in the order of `farmer_ids`."""
        wallets = await self.wallets.of_farmers(farmer_ids)
        _check_complete(farmer_ids, wallets)
        found = await self.accounts.read({item.id: item.address for item in wallets.values()})
        ordered = [wallets[farmer_id] for farmer_id in farmer_ids]
        return [(item, balances_of(found[item.id][1], found[item.id][0])) for item in ordered]

    async def treasury(self) -> tuple[Wallet, Balances]:
        """Return the treasury's wallet and its current balances on the chain."""
        wallet = self.treasury_account.wallet
        ledger, state = (await self.accounts.read({wallet.id: wallet.address}))[wallet.id]
        return wallet, balances_of(state, ledger)

    async def submit(
        self,
        kind: OperationKind,
        *,
        request_id: str,
        block_index: int,
        intents: Sequence[Intent],
    ) -> list[OperationId]:
        """Make the operations durable and return their ids.

        Operations that are there already are joined. Raises WalletNotFoundError, WrongBlockError,
        BlockNotClosedError, RequestIdReusedError.
        """
        arguments = _digest(kind, block_index, intents)
        if request_id and await self._is_known(request_id, arguments):
            return await self.operations.batch_ids(request_id)
        farmer_ids = [intent.farmer_id for intent in intents]
        wallets = await self.wallets.ids_of_farmers(farmer_ids)
        _check_complete(farmer_ids, wallets)
        check = self._check(kind, block_index)
        now = self._now(kind)
        operations = [_new_operation(wallets[item.farmer_id], item) for item in intents]
        if not request_id:
            made = await self.operations.record_one(
                kind=kind, block_index=block_index, operation=operations[0], check=check, now=now
            )
            self.wakeup.notify()
            return [made]
        recorded = await self.operations.record_batch(
            request_id,
            arguments,
            kind=kind,
            block_index=block_index,
            operations=operations,
            check=check,
            now=now,
        )
        await failpoint("wallet.batch.recorded")
        if recorded is None:  # the same call arrived twice at once: the other one was faster
            await self._is_known(request_id, arguments)
            recorded = await self.operations.batch_ids(request_id)
        self.wakeup.notify()
        return recorded

    async def judged(self, ids: Sequence[OperationId]) -> list[Operation]:
        """Return those of the plants, works and harvests that have ended, as wallet wrote it.

        Payments and accounts are none of the callers' business. Raises RowKeysMissingError.
        """
        settled = await self.operations.settled_among(ids)
        return [item for item in settled if OPERATION_KINDS[item.kind].has_block]

    async def block(self, index: int | None) -> tuple[Block | None, ChainHead]:
        """Return a block (None: the current one) as last seen, and the head."""
        head = await self.blocks.head()
        if head is None:
            raise ChainUnknownError("the chain was not seen yet", retry_after=1.0)
        wanted = head.current_block if index is None else index
        block = None if wanted is None else await self.blocks.block(wanted)
        if block is None and index is not None:
            raise BlockUnknownError(f"block {index} was not seen on the chain")
        return block, head

    async def watch_blocks(
        self, after_index: int | None
    ) -> AsyncIterator[tuple[Block | None, ChainHead]]:
        """Yield the blocks missed since `after_index`, then the newest state.

        The newest state is yielded at once and at every change.
        """
        chain_state = self.chain_view.current
        if after_index is not None and chain_state.block is not None:
            for missed in await self._missed(after_index, chain_state.block.index):
                yield missed, chain_state.head
        while True:
            seen, newest = self.chain_view.changed.count, self.chain_view.newest or chain_state
            yield newest.block, newest.head
            chain_state = newest
            await self._changed(seen, chain_state.block, chain_state.head)

    async def _changed(self, seen: int, block: Block | None, head: ChainHead) -> None:
        """Wait until the state differs from this one, or until a sign of life is due."""
        loop_until = self.chain_view.now() + SIGN_OF_LIFE
        while (left := loop_until - self.chain_view.now()) > 0:
            await self.chain_view.changed.wait(seen, left)
            seen, newest = self.chain_view.changed.count, self.chain_view.newest
            if newest is not None and _differs(newest.block, newest.head, block, head):
                return

    async def _missed(self, after: int, current: int) -> list[Block]:
        if current - after > MAX_RESUMED:
            raise HistoryGoneError(f"block {after} is too old to resume from")
        missed = await self.blocks.between(after, current)
        if len(missed) < current - after - 1:
            raise HistoryGoneError(f"blocks after {after} were not seen")
        return missed

    async def _is_known(self, request_id: str, arguments: bytes) -> bool:
        known = await self.operations.batch_arguments(request_id)
        if known is not None and known != arguments:
            raise RequestIdReusedError(f"request_id {request_id!r} stands for another batch")
        return known is not None

    def _check(self, kind: OperationKind, block_index: int) -> Check:
        """Return a check that raises WrongBlockError or BlockNotClosedError.

        The check uses the newest head that any process has seen: a caller may know a ledger that
        another process saw and kept, and this process did not see yet.
        """
        seen = self.chain_view.current.head

        def check(kept: ChainHead | None) -> None:
            newest = seen if kept is None or kept.ledger <= seen.ledger else kept
            check_acceptable(kind, block_index, newest)

        return check

    def _now(self, kind: OperationKind) -> Now:
        """Return the circumstances against which refusals of this kind are checked."""
        chain_state = self.chain_view.current
        circumstances = Circumstances(
            inclusion_fee=chain_state.inclusion_fee_for(kind),
            usual_fit=max(0, self.max_fee - self.fees.reserve) // 2,
            is_rent_due=chain_state.is_rent_due,
            is_paused=chain_state.head.paused,
            price_stands=PRICE_LEDGERS * max(1, chain_state.pace),
        )
        return Now(circumstances=circumstances, fees=self.fees)


def _differs(block: Block | None, head: ChainHead, old: Block | None, old_head: ChainHead) -> bool:
    """Tell whether watchers want to know: ledgers in which nothing happened do not count."""
    return block != old or (head.current_block, head.plantable_block, head.paused) != (
        old_head.current_block,
        old_head.plantable_block,
        old_head.paused,
    )


def _check_complete(farmer_ids: Sequence[FarmerId], found: Collection[FarmerId]) -> None:
    """Raise WalletNotFoundError unless all of these farmers' wallets were found."""
    missing = [str(item) for item in farmer_ids if item not in found]
    if missing:
        raise WalletNotFoundError(
            f"{len(missing)} farmers have no wallet, the first is {missing[0]}",
            metadata={"farmer_ids": ",".join(missing[:20])},
        )


def _new_operation(wallet_id: WalletId, intent: Intent) -> NewOperation:
    return NewOperation(
        id=OperationId(new_id()),
        wallet_id=wallet_id,
        amount=intent.amount,
        nonce=intent.nonce,
        hash=intent.hash,
        zeros=None if intent.hash is None else leading_zeros(intent.hash),
    )


def _digest(kind: OperationKind, block_index: int, intents: Sequence[Intent]) -> bytes:
    """Return a digest that is the same for the same batch, in whatever order its items come."""
    items = sorted(
        f"{item.farmer_id}:{item.amount}:{item.nonce}:{(item.hash or b'').hex()}"
        for item in intents
    )
    return hashlib.sha256("\n".join([kind.value, str(block_index), *items]).encode()).digest()


def _check_joining(joining: Joining, stake_bps: int, rules: AgreementRules) -> None:
    """Raise FeeTooHighError and StakeAboveAgreementError for what nobody may agree to."""
    if joining.terms is None:
        return
    check_fees(joining.terms, rules)
    if stake_bps > joining.terms.stake_bps:
        raise StakeAboveAgreementError.above(joining.terms.stake_bps)
