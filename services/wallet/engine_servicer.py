"""kalepool.wallet.v1.EngineService: what operators ask of the submission engine."""

from typing import Any, TypeAlias

import grpc
from kalepool.wallet.v1 import engine_pb2, engine_pb2_grpc

from services.wallet.domain.pausing import Scope
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.channels import ChannelKeeper
from services.wallet.engine.deployment import Deployer
from services.wallet.engine.parts import EngineParts
from services.wallet.store.channels import ChannelTotals
from services.wallet.store.custody import CustodyStore

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = engine_pb2.DESCRIPTOR.services_by_name["EngineService"].full_name
#: Methods that wait for ledgers.
SLOW = ("DeployMulticall",)


class EngineServicer(engine_pb2_grpc.EngineServiceServicer):
    """Thin: each method is one call of the engine."""

    def __init__(
        self,
        parts: EngineParts,
        keeper: ChannelKeeper,
        deployer: Deployer,
        custody: CustodyStore,
        *,
        multicall_contract_id: str,
    ) -> None:
        self._parts = parts
        self._keeper = keeper
        self._deployer = deployer
        self._multicall = multicall_contract_id
        self._custody = custody

    async def GetEngineStatus(
        self, request: engine_pb2.GetEngineStatusRequest, context: Context
    ) -> engine_pb2.GetEngineStatusResponse:
        """See engine.proto."""
        sight = self._parts.watch.current
        backlog = await self._parts.transactions.backlog()
        pauses = await self._custody.pauses(over=False)
        return engine_pb2.GetEngineStatusResponse(
            queued_operations=backlog.queued,
            open_transactions=backlog.open,
            open_share=backlog.share,
            channels=_channels(await self._keeper.totals()),
            multicall_contract_id=self._multicall,
            ledger_seconds=sight.pace,
            inclusion_fee_stroops=sight.inclusion_fee,
            treasury=_treasury(self._parts.accounts),
            is_paused=any(pause.reach.scope is Scope.EVERYTHING for pause in pauses),
            pauses=len(pauses),
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


def _treasury(accounts: Accounts) -> engine_pb2.TreasuryAccount | None:
    state = accounts.treasury_state
    if state is None:
        return None
    return engine_pb2.TreasuryAccount(
        address=state.address, xlm_stroops=state.xlm, is_low=accounts.is_treasury_low
    )


def _channels(totals: ChannelTotals) -> engine_pb2.ChannelAccounts:
    return engine_pb2.ChannelAccounts(
        made=totals.made,
        ready=totals.ready,
        busy=totals.busy,
        low=totals.low,
        xlm_stroops=totals.xlm,
    )
