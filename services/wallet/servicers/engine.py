"""kalepool.wallet.v1.EngineService: operators' questions to the submission engine."""

from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.wallet.v1 import engine_pb2, engine_pb2_grpc

from libs.common.grpc.identity import caller
from libs.common.ids import FarmerId, PoolerId
from libs.kale.constants import MAX_I64
from services.wallet.chain import Chain, EndpointStatus
from services.wallet.domain.budget import FeeTerms
from services.wallet.domain.pausing import Scope
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.audit_watch import AuditWatch
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.order_check import OrderCheck
from services.wallet.engine.treasury.channels import ChannelKeeper, TopUpState
from services.wallet.engine.treasury.deployment import Deployer
from services.wallet.engine.treasury.payers import PayerKeeper
from services.wallet.engine.treasury.reclaim import Reclaimer
from services.wallet.engine.treasury.rent import RentKeeper, RentState
from services.wallet.store.budget import FeesSpent
from services.wallet.store.channels import ChannelTotals
from services.wallet.store.custody import CustodyStore
from services.wallet.store.kill_switch import KillSwitch
from services.wallet.store.payers import PayerTotals
from services.wallet.store.transactions import TransactionStore

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = engine_pb2.DESCRIPTOR.services_by_name["EngineService"].full_name
#: Methods that wait for ledgers.
SLOW = ("DeployMulticall", "ReclaimReserves")
#: Hours that a farmer's wallet is old at least, unless a call says otherwise.
_IDLE_HOURS = 24


class EngineServicer(engine_pb2_grpc.EngineServiceServicer):
    """Thin servicer: each method is one call of the engine."""

    def __init__(
        self,
        *,
        chain: Chain,
        chain_view: ChainView,
        accounts: Accounts,
        transactions: TransactionStore,
        channels: ChannelKeeper,
        payers: PayerKeeper,
        deployer: Deployer,
        reclaimer: Reclaimer,
        rent: RentKeeper,
        custody: CustodyStore,
        kill_switch: KillSwitch,
        watch: AuditWatch,
        order_check: OrderCheck,
        multicall_contract_id: str,
    ) -> None:
        self._chain = chain
        self._chain_view = chain_view
        self._accounts = accounts
        self._transactions = transactions
        self._keeper = channels
        self._payers = payers
        self._deployer = deployer
        self._reclaimer = reclaimer
        self._rent = rent
        self._multicall = multicall_contract_id
        self._custody = custody
        self._switch = kill_switch
        self._watch = watch
        self._order_check = order_check

    async def GetEngineStatus(
        self, request: engine_pb2.GetEngineStatusRequest, context: Context
    ) -> engine_pb2.GetEngineStatusResponse:
        """See engine.proto."""
        chain_state = self._chain_view.newest
        backlog = await self._transactions.backlog()
        pauses = await self._custody.pauses(over=False)
        top_ups = await self._keeper.top_ups()
        return engine_pb2.GetEngineStatusResponse(
            queued_operations=backlog.queued,
            held_operations=backlog.held,
            open_transactions=backlog.open,
            open_share=backlog.share,
            channels=_channels(await self._keeper.totals(), top_ups),
            payers=_payers(await self._payers.totals()),
            multicall_contract_id=self._multicall,
            ledger_seconds=0 if chain_state is None else chain_state.pace,
            inclusion_fee_stroops=0 if chain_state is None else chain_state.inclusion_fee,
            treasury=_treasury(self._accounts),
            is_paused=self._switch.holds_everything
            or any(pause.reach.scope is Scope.EVERYTHING for pause in pauses),
            pauses=len(pauses) + len(self._switch.orders),
            rent=_rent(await self._rent.state()),
            endpoints=map(_endpoint, self._chain.endpoints()),
            warnings=[
                *self._order_check.warnings,
                *self._watch.warnings,
                *self._chain.warnings,
                *([top_ups.error] if top_ups.error else []),
            ],
            fees=_fees(await self._transactions.fees_spent(), self._transactions.terms),
        )

    async def DeployMulticall(
        self, request: engine_pb2.DeployMulticallRequest, context: Context
    ) -> engine_pb2.DeployMulticallResponse:
        """See engine.proto."""
        done = await self._deployer.deploy(max_fee=request.max_fee_stroops)
        deployment = self._deployer.deployment()
        return engine_pb2.DeployMulticallResponse(
            contract_id=deployment.contract,
            code_hash=deployment.code_hash,
            already_there=not done,
        )

    async def ReclaimReserves(
        self, request: engine_pb2.ReclaimReservesRequest, context: Context
    ) -> engine_pb2.ReclaimReservesResponse:
        """See engine.proto."""
        found = await self._reclaimer.reclaim(
            PoolerId(UUID(request.pooler_id)),
            [FarmerId(UUID(item)) for item in request.farmer_ids],
            idle_hours=request.idle_hours or _IDLE_HOURS,
            dry_run=request.dry_run,
            actor=caller().actor,
        )
        return engine_pb2.ReclaimReservesResponse(
            farmers=[
                engine_pb2.ReclaimedFarmer(
                    farmer_id=str(item.wallet.farmer_id),
                    address=item.wallet.address,
                    outcome=engine_pb2.ReclaimOutcome.Value(
                        f"RECLAIM_OUTCOME_{item.verdict.value}"
                    ),
                )
                for item in found
            ]
        )


def _treasury(accounts: Accounts) -> engine_pb2.TreasuryAccount | None:
    state = accounts.treasury_state
    if state is None:
        return None
    return engine_pb2.TreasuryAccount(
        address=state.address, xlm_stroops=state.xlm, is_low=accounts.is_treasury_low
    )


def _payers(totals: PayerTotals) -> engine_pb2.PayerAccounts:
    return engine_pb2.PayerAccounts(
        made=totals.made, ready=totals.ready, busy=totals.busy, stopped=totals.stopped
    )


def _rent(state: RentState) -> engine_pb2.RentStatus:
    return engine_pb2.RentStatus(
        entries=[
            engine_pb2.RentEntry(
                name=entry.name,
                ledgers_left=entry.left(state.ledger),
                due_ledger=entry.due_ledger,
            )
            for entry in state.entries
        ],
        rent_spent_stroops=state.spent,
        rent_budget_stroops=state.budget,
        calls_wait_for_rent=state.holds_calls,
        rent_error=state.error,
    )


def _fees(spent: FeesSpent, terms: FeeTerms) -> engine_pb2.FeeStatus:
    return engine_pb2.FeeStatus(
        fees_spent_stroops=min(spent.all, MAX_I64),
        fee_budget_stroops=terms.daily,
        largest_pooler_fees_stroops=spent.largest_pooler,
        pooler_fee_budget_stroops=terms.daily_per_pooler,
    )


def _endpoint(status: EndpointStatus) -> engine_pb2.StellarEndpoint:
    message = engine_pb2.StellarEndpoint(
        host=status.host,
        state=status.state.value,
        reason=status.reason,
        ledger=status.ledger,
        latency_ms=round(status.latency * 1000),
        contradictions=status.contradictions,
    )
    message.since.FromDatetime(status.since)
    return message


def _channels(totals: ChannelTotals, top_ups: TopUpState) -> engine_pb2.ChannelAccounts:
    return engine_pb2.ChannelAccounts(
        made=totals.made,
        ready=totals.ready,
        busy=totals.busy,
        low=totals.low,
        xlm_stroops=totals.xlm,
        top_up_spent_stroops=top_ups.spent,
        top_up_budget_stroops=top_ups.budget,
    )
