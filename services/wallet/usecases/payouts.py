"""Use cases of payouts: farmers are paid with their fees, then miners and poolers out of those."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from libs.common.failpoints import failpoint
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from libs.common.log import get_security_logger
from services.wallet.chain import Chain
from services.wallet.domain.budget import SponsorTerms
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.errors import PoolerWalletNotFoundError
from services.wallet.domain.fees_due import Fees, Paid
from services.wallet.domain.model import FailureReason, Operation
from services.wallet.domain.payment_orders import takes_any
from services.wallet.domain.payouts import (
    FarmerAccount,
    FeeAccounts,
    Payout,
    PoolerAccount,
    PoolPayment,
    Refusal,
    WantedPayment,
    WantedPayout,
    first_refusals,
)
from services.wallet.domain.trust import Decision
from services.wallet.domain.withdrawals import Asset, DailyLimit, Destination, refusal, room
from services.wallet.engine.settled_feed import SettledFeed
from services.wallet.engine.treasury_account import Treasury
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.provider import KeyProvider
from services.wallet.keys.seal import seal_new_key
from services.wallet.store import payouts as payout_rows
from services.wallet.store import pool_payments as pool_rows
from services.wallet.store.fee_marks import FeeMarkStore
from services.wallet.store.payers import PayerStore
from services.wallet.store.payouts import PayoutStore
from services.wallet.store.pool_payments import PoolPaymentStore
from services.wallet.store.wallets import WalletStore

security = get_security_logger()

#: What is told of one that is recorded.
_Recorded = TypeVar("_Recorded", Payout, PoolPayment)


@dataclass(frozen=True, kw_only=True)
class FeeState:
    """The fees of a farmer's rewards."""

    #: Agreed of all rewards so far.
    accrued: Fees
    #: Paid, and on their way.
    paid: Paid


@dataclass(frozen=True, kw_only=True)
class PoolerFees:
    """A pooler's custodial account, and what became of the fees that it received."""

    account: PoolerAccount
    #: Where the pooler is paid to (strkey G...); empty when there is no such address.
    pooler_address: str
    received: Fees
    paid: Paid


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What payouts need to know of the chain."""

    #: Farmers' accounts, by address.
    accounts: Mapping[str, AccountState]
    #: Accounts that are to be paid, by address.
    destinations: Mapping[str, Destination]


@dataclass(frozen=True, kw_only=True)
class Payouts:
    """Use cases of payouts, and the parts that they use."""

    payouts: PayoutStore
    pool_payments: PoolPaymentStore
    marks: FeeMarkStore
    wallets: WalletStore
    payers: PayerStore
    chain: Chain
    provider: KeyProvider
    treasury: Treasury
    #: What reserves of new accounts may take within a day.
    sponsored: SponsorTerms
    #: What may leave within a day.
    limit: DailyLimit
    #: Where the operator's part goes (strkey G...); empty: it stays where it is.
    operator_address: str
    #: Wakeup to notify when something was recorded.
    wakeup: Wakeup
    #: Feed of settled operations.
    settled: SettledFeed

    async def create_pooler_wallet(self, pooler_id: PoolerId, address: str) -> PoolerAccount:
        """Return a pooler's custodial account; make it when there is none.

        For a new one it raises TreasuryMissingError while the treasury's key does not open, and
        SponsorshipBudgetError when a day's reserves of new accounts are used up.
        """
        account = (await self.payouts.poolers([pooler_id])).get(pooler_id)
        if account is None:
            _ = self.treasury.wallet
            sealed = await seal_new_key(self.provider, WalletId(new_id()))
            await self.wallets.insert_pooler(
                sealed,
                pooler_id=pooler_id,
                onboarding_id=OperationId(new_id()),
                address=address,
                budget=self.sponsored,
            )
            security.info("pooler account made", pooler=str(pooler_id), address=sealed.address)
            self.wakeup.notify()
            account = await self._pooler(pooler_id)
        return account

    async def pay_farmers(
        self,
        request_id: str,
        amounts: Mapping[FarmerId, int],
        *,
        actor: str,
        by_name: bool = False,
    ) -> AsyncIterator[Mapping[FarmerId, Payout | Refusal]]:
        """Pay farmers, and yield what becomes of them as it is known, each once.

        All of them are durable, or refused, before the first is told. By name they are paid
        whatever their standing is. Raises RequestIdReusedError.
        """
        accounts = await self.payouts.farmers(list(amounts))
        of_wallets = {one.wallet_id: amounts[farmer] for farmer, one in accounts.items()}
        known = await self.payouts.of_request(request_id, of_wallets)
        recorded = {
            known[one.wallet_id]: farmer
            for farmer, one in accounts.items()
            if one.wallet_id in known
        }
        fresh = [farmer for farmer in amounts if farmer not in recorded.values()]
        refused = first_refusals(accounts, fresh, by_name=by_name)
        fresh = [farmer for farmer in fresh if farmer not in refused]
        # Payouts of one request take of the same room.
        taken = Counter[str]()
        for first in range(0, len(fresh), payout_rows.AT_ONCE):
            # What was looked at is recorded before more is looked at: who calls again gets further.
            some = [accounts[one] for one in fresh[first : first + payout_rows.AT_ONCE]]
            wanted, more = await self._wanted(some, amounts)
            refused |= more
            found = await self.payouts.record(
                request_id, wanted, limit=self.limit, actor=actor, taken=taken
            )
            for item in wanted:
                became, farmer = found[item.id], item.account.farmer_id
                if isinstance(became, Refusal):
                    refused[farmer] = became
                else:
                    recorded[became] = farmer
            self.wakeup.notify()
            await failpoint("wallet.payouts.recorded")
        security.info(
            "payouts", request=request_id, payouts=len(recorded), refused=len(refused), actor=actor
        )
        if refused:
            yield refused
        async for settled in self.settled.of(list(recorded)):
            paid = _as_judged(await self.payouts.by_ids([item.id for item in settled]), settled)
            yield {recorded[item.operation.id]: item for item in paid}

    async def _wanted(
        self, accounts: Sequence[FarmerAccount], amounts: Mapping[FarmerId, int]
    ) -> tuple[list[WantedPayout], dict[FarmerId, Refusal]]:
        """Return what is wanted of accounts, as the chain stands, and what that forbids."""
        wanted, refused = list[WantedPayout](), dict[FarmerId, Refusal]()
        accrued = await self.marks.accrued([item.wallet_id for item in accounts])
        poolers = await self.payouts.poolers({item.pooler_id for item in accounts})
        seen = await self._seen(accounts, poolers)
        may_take = (await self.payers.totals()).stopped == 0
        for account in accounts:
            amount, fees = amounts[account.farmer_id], accrued[account.wallet_id]
            if not isinstance(fees, Fees):
                refused[account.farmer_id] = Refusal(reason=fees.reason, message=fees.message)
                continue
            why = _forbids(account, amount, seen)
            if why is not None:
                refused[account.farmer_id] = Refusal(
                    reason=why.name, message="it would fail as the chain stands"
                )
                continue
            pooler = poolers.get(account.pooler_id)
            wanted.append(
                WantedPayout(
                    id=OperationId(new_id()),
                    account=account,
                    amount=amount,
                    accrued=fees,
                    free=seen.accounts[account.address].kale_free,
                    # A payer that stopped may have paid what a backup does not know.
                    fee_accounts=self._fee_accounts(pooler, seen) if may_take else FeeAccounts(),
                )
            )
        return wanted, refused

    async def _seen(
        self, accounts: Sequence[FarmerAccount], poolers: Mapping[PoolerId, PoolerAccount]
    ) -> _Seen:
        """Read what payouts need to know of the chain, by agreement of nodes."""
        chain = self.chain.trusted(Decision.REFUSE_DESTINATION)
        _, states = await chain.accounts([item.address for item in accounts])
        outside = {item.outside for item in accounts} | {self.operator_address}
        outside |= {item.address for item in poolers.values()}
        places = sorted(outside - {""})
        destinations = await chain.destinations(places) if places else {}
        return _Seen(accounts={state.address: state for state in states}, destinations=destinations)

    def _fee_accounts(self, pooler: PoolerAccount | None, seen: _Seen) -> FeeAccounts:
        """Return where fees can go, as the chain stands."""

        def able(address: str) -> str:
            destination = seen.destinations.get(address)
            return address if destination is not None and takes_any(destination) else ""

        def has_room(address: str) -> int:
            return room(Asset.KALE, seen.destinations[address].account) if address else 0

        to_pooler = able(pooler.address) if pooler is not None and pooler.is_genuine else ""
        to_operator = able(self.operator_address)
        return FeeAccounts(
            pooler=to_pooler,
            operator=to_operator,
            pooler_room=has_room(to_pooler),
            operator_room=has_room(to_operator),
        )

    async def pay_miners(
        self, request_id: str, pooler_id: PoolerId, amounts: Mapping[str, int], *, actor: str
    ) -> AsyncIterator[Mapping[str, PoolPayment | Refusal]]:
        """Pay miners from their pooler's account; yield what becomes of them, each once.

        Raises PoolerWalletNotFoundError, RequestIdReusedError, FeesTamperedError.
        """
        account = await self._pooler(pooler_id)
        wanted = [
            WantedPayment(id=OperationId(new_id()), destination=place, amount=amount, is_miner=True)
            for place, amount in amounts.items()
        ]
        # What is recorded may have been paid, whatever stands in the way by now.
        found = await self.pool_payments.of_request(request_id, account, wanted, is_miner=True)
        fresh = [item for item in wanted if item.destination not in found]
        # A suspended pooler moves nothing; what its miners have earned is theirs.
        held = account.held or (await self._restored() if fresh else None)
        if held is not None:
            found |= {item.destination: held for item in fresh}
            fresh = []
        for first in range(0, len(fresh), pool_rows.AT_ONCE):
            some = fresh[first : first + pool_rows.AT_ONCE]
            found |= await self.pool_payments.record_miners(request_id, account, some, actor=actor)
            await failpoint("wallet.pool_payments.recorded")
        self.wakeup.notify()
        refused = {one: item for one, item in found.items() if isinstance(item, Refusal)}
        if refused:
            yield refused
        ids = [item for item in found.values() if not isinstance(item, Refusal)]
        async for settled in self.settled.of(ids):
            rows = await self.pool_payments.by_ids([item.id for item in settled])
            yield {item.destination: item for item in _as_judged(rows, settled)}

    async def pay_pooler(
        self, request_id: str, pooler_id: PoolerId, amount: int, *, actor: str
    ) -> PoolPayment | Refusal:
        """Pay a pooler from its account; return what became of it.

        Raises PoolerWalletNotFoundError, RequestIdReusedError, FeesTamperedError.
        """
        account = await self._pooler(pooler_id)
        wanted = WantedPayment(
            id=OperationId(new_id()), destination="", amount=amount, is_miner=False
        )
        # What is recorded may have been paid, whatever stands in the way by now.
        known = await self.pool_payments.of_request(request_id, account, [wanted], is_miner=False)
        if not known:
            held = None if account.hindrance is None else account.hindrance.refusal
            held = held or await self._restored()
            if held is not None:
                return held
        found = await self.pool_payments.record_pooler(request_id, account, wanted, actor=actor)
        if isinstance(found, Refusal):
            return found
        await failpoint("wallet.pool_payments.recorded")
        self.wakeup.notify()
        settled = await self.settled.one(found)
        return _as_judged(await self.pool_payments.by_ids([found]), [settled])[0]

    async def _restored(self) -> Refusal | None:
        """Return why miners and poolers are not paid while a payer is stopped; None: none is."""
        if (await self.payers.totals()).stopped == 0:
            return None
        return Refusal(
            reason="PAYERS_STOPPED",
            message="a payer is stopped: it may have paid what a restored database does not know",
        )

    async def fee_state(self, farmer_id: FarmerId) -> FeeState:
        """Return the fees of a farmer's rewards.

        Raises WalletNotFoundError, AgreementTamperedError, FeesTamperedError.
        """
        wallet = await self.wallets.of_farmer(farmer_id)
        accrued = (await self.marks.accrued([wallet.id]))[wallet.id]
        if not isinstance(accrued, Fees):
            raise accrued
        return FeeState(accrued=accrued, paid=await self.payouts.paid(wallet.id))

    async def pooler_addresses(self, pooler_id: PoolerId) -> tuple[str, str]:
        """Return the address of a pooler's account, and where the pooler is paid to."""
        account = await self._pooler(pooler_id)
        return account.address, await self.pool_payments.address(account.wallet_id)

    async def pooler_fees(self, pooler_id: PoolerId) -> PoolerFees:
        """Return a pooler's account, with what it received and paid.

        Raises PoolerWalletNotFoundError, FeesTamperedError, PayoutAddressTamperedError.
        """
        account = await self._pooler(pooler_id)
        return PoolerFees(
            account=account,
            pooler_address=await self.pool_payments.address(account.wallet_id),
            received=await self.payouts.received(pooler_id),
            paid=await self.pool_payments.paid(account.wallet_id),
        )

    async def _pooler(self, pooler_id: PoolerId) -> PoolerAccount:
        account = (await self.payouts.poolers([pooler_id])).get(pooler_id)
        if account is None:
            raise PoolerWalletNotFoundError(f"pooler {pooler_id} has no custodial account yet")
        return account


def _as_judged(rows: Sequence[_Recorded], settled: Sequence[Operation]) -> list[_Recorded]:
    """Return what is recorded with the ends that wallet itself wrote, whatever the rows say."""
    judged = {item.id: item for item in settled}
    return [replace(item, operation=judged[item.operation.id]) for item in rows]


def _forbids(account: FarmerAccount, amount: int, seen: _Seen) -> FailureReason | None:
    """Return why the farmer's own part cannot be paid as the chain stands.

    Where it goes is judged when it is recorded: without an address here, that tells why.
    """
    destination = seen.destinations.get(account.outside)
    if not amount or destination is None:
        return None
    return refusal(Asset.KALE, amount, seen.accounts[account.address], destination)
