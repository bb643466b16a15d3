"""What pages read from the services: in the viewer's name, or, what is public, once for all."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from google.protobuf.message import Message
from kalepool.common.v1 import common_pb2
from kalepool.harvest.v1 import miner_pb2, payout_pb2, statement_pb2
from kalepool.registry.v1 import notification_pb2, registry_pb2
from kalepool.report.v1 import fees_pb2, report_pb2
from kalepool.wallet.v1 import agreement_pb2, custody_pb2, engine_pb2, reconcile_pb2, wallet_pb2

from gateway.backends import Backends, Caller
from gateway.bindings import Method
from gateway.pages.calls import Calls
from gateway.pages.viewer import Viewer
from gateway.poolers import Mining, PoolerAddress, PoolerDoors
from libs.common.errors import PoolError
from libs.http.addresses import UNKNOWN
from libs.http.kept import Kept

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=Message)
#: Seconds for which what is public is kept.
_FRESH = 2.0
#: Rows of lists that a page shows in full.
ROWS = 100
#: Poolers that a page shows: all that one call tells.
_MANY = 1_000
#: Blocks of about a day, for figures over time.
DAY_OF_BLOCKS = 288


@dataclass(frozen=True, kw_only=True)
class Part(Generic[T_co]):
    """A part of a page: what a service told, or why it did not."""

    #: None when the service did not tell it.
    value: T_co | None = None
    #: Why not.
    error: PoolError | None = None

    def needed(self) -> T_co:
        """Return the value; raise the error in its place: without it there is no page."""
        if self.error is not None:
            raise self.error
        if self.value is None:
            raise AssertionError("a part has a value or an error")
        return self.value


def is_id(name: str) -> bool:
    """Tell whether a farmer is named by its id, and not by its address."""
    try:
        UUID(name)
    except ValueError:
        return False
    return True


async def part(told: Awaitable[T]) -> Part[T]:
    """Wait for what a service tells; its error is the part's, so that the others are shown."""
    try:
        return Part(value=await told)
    except PoolError as error:
        return Part(error=error)


@dataclass(frozen=True, kw_only=True)
class PoolerMining:
    """A pooler, and what it tells of its mining."""

    #: Host and port.
    host: str
    #: What it tells.
    told: Part[Mining]


class PoolReads:
    """The calls that pages make."""

    def __init__(
        self, backends: Backends, poolers: PoolerDoors, methods: Mapping[str, Method]
    ) -> None:
        """Take the RPCs that are served by HTTP, by their full names."""
        self._calls = Calls(backends, methods)
        self._poolers = poolers
        self._public: Kept[Any] = Kept(_FRESH)

    async def aclose(self) -> None:
        """Cancel calls that are under way."""
        await self._public.aclose()

    async def info(self) -> common_pb2.GetInfoResponse:
        """Return what the pool is."""
        return await self._once(
            "common.v1.InfoService.GetInfo",
            common_pb2.GetInfoRequest(),
            common_pb2.GetInfoResponse,
        )

    async def block(self, index: int | None = None) -> wallet_pb2.GetBlockResponse:
        """Return a block of the chain, the current one without an index."""
        return await self._once(
            "wallet.v1.WalletService.GetBlock",
            wallet_pb2.GetBlockRequest(index=index),
            wallet_pb2.GetBlockResponse,
        )

    async def mining(self) -> list[PoolerMining]:
        """Return what poolers tell of their mining, each by itself."""
        addresses = self._poolers.addresses
        told = await asyncio.gather(*(self._mining(one) for one in addresses))
        return [
            PoolerMining(host=address.host, told=one)
            for address, one in zip(addresses, told, strict=True)
        ]

    async def pool_summary(self) -> report_pb2.GetPoolSummaryResponse:
        """Return what the pool earned."""
        return await self._once(
            "report.v1.ReportService.GetPoolSummary",
            report_pb2.GetPoolSummaryRequest(),
            report_pb2.GetPoolSummaryResponse,
        )

    async def block_report(self, index: int) -> report_pb2.GetBlockReportResponse:
        """Return what a block came to for the pool."""
        return await self._once(
            "report.v1.ReportService.GetBlockReport",
            report_pb2.GetBlockReportRequest(block_index=index),
            report_pb2.GetBlockReportResponse,
        )

    async def block_reports(
        self, size: int, page_token: str = ""
    ) -> report_pb2.ListBlockReportsResponse:
        """Return what the last blocks came to, newest first."""
        return await self._once(
            "report.v1.ReportService.ListBlockReports",
            report_pb2.ListBlockReportsRequest(page_size=size, page_token=page_token),
            report_pb2.ListBlockReportsResponse,
        )

    async def public_poolers(self) -> report_pb2.ListPublicPoolersResponse:
        """Return the poolers that farmers may choose from."""
        return await self._once(
            "report.v1.ReportService.ListPublicPoolers",
            report_pb2.ListPublicPoolersRequest(page_size=_MANY),
            report_pb2.ListPublicPoolersResponse,
        )

    async def agreement_rules(self) -> agreement_pb2.GetAgreementRulesResponse:
        """Return the operator's rules of agreements."""
        return await self._once(
            "wallet.v1.AgreementService.GetAgreementRules",
            agreement_pb2.GetAgreementRulesRequest(),
            agreement_pb2.GetAgreementRulesResponse,
        )

    async def farmer(self, viewer: Viewer, *, by: str, value: str) -> Any:
        """Return a farmer's figures, by its address or its farmer_id.

        Operators and its pooler see them also where they are closed to others.
        """
        request = report_pb2.GetFarmerSummaryRequest(**{by: value})
        name, answer = "report.v1.ReportService.GetFarmerSummary", report_pb2
        if viewer.credentials is None:
            return await self._once(name, request, answer.GetFarmerSummaryResponse)
        return await self._call(viewer.caller(), name, request, answer.GetFarmerSummaryResponse)

    async def farmer_id(self, viewer: Viewer, name: str) -> str:
        """Return the id of a farmer who is named by its address or its id."""
        if is_id(name):
            return name
        found = await self.farmer(viewer, by="address", value=name)
        return str(found.farmer_id)

    async def statement(
        self,
        viewer: Viewer,
        whose: Mapping[str, str],
        month: str,
        size: int,
        page_token: str = "",
    ) -> statement_pb2.GetStatementResponse:
        """Return a page of the statement of whom these fields name."""
        return await self._call(
            viewer.caller(),
            "harvest.v1.StatementService.GetStatement",
            statement_pb2.GetStatementRequest(
                **whose, month=month, page_size=size, page_token=page_token
            ),
            statement_pb2.GetStatementResponse,
        )

    async def miner(
        self, viewer: Viewer, pooler_id: str, address: str
    ) -> miner_pb2.GetMinerCreditsResponse:
        """Return what a pooler's miner was credited last."""
        return await self._call(
            viewer.caller(),
            "harvest.v1.MinerCreditService.GetMinerCredits",
            miner_pb2.GetMinerCreditsRequest(pooler_id=pooler_id, address=address, page_size=ROWS),
            miner_pb2.GetMinerCreditsResponse,
        )

    async def pooler(self, viewer: Viewer, pooler_id: str) -> registry_pb2.GetPoolerResponse:
        """Return a pooler."""
        return await self._call(
            viewer.caller(),
            "registry.v1.RegistryService.GetPooler",
            registry_pb2.GetPoolerRequest(pooler_id=pooler_id),
            registry_pb2.GetPoolerResponse,
        )

    async def poolers(
        self, viewer: Viewer, page_token: str = ""
    ) -> registry_pb2.ListPoolersResponse:
        """Return a page of poolers."""
        return await self._call(
            viewer.caller(),
            "registry.v1.RegistryService.ListPoolers",
            registry_pb2.ListPoolersRequest(page_size=ROWS, page_token=page_token),
            registry_pb2.ListPoolersResponse,
        )

    async def farmers(
        self, viewer: Viewer, pooler_id: str, page_token: str = ""
    ) -> registry_pb2.ListFarmersResponse:
        """Return a page of a pooler's farmers."""
        return await self._call(
            viewer.caller(),
            "registry.v1.RegistryService.ListFarmers",
            registry_pb2.ListFarmersRequest(
                pooler_id=pooler_id, page_size=ROWS, page_token=page_token
            ),
            registry_pb2.ListFarmersResponse,
        )

    async def pooler_summary(
        self, viewer: Viewer, pooler_id: str
    ) -> report_pb2.GetPoolerSummaryResponse:
        """Return what a pooler earned."""
        return await self._call(
            viewer.caller(),
            "report.v1.ReportService.GetPoolerSummary",
            report_pb2.GetPoolerSummaryRequest(pooler_id=pooler_id),
            report_pb2.GetPoolerSummaryResponse,
        )

    async def pooler_blocks(
        self, viewer: Viewer, pooler_id: str, size: int
    ) -> report_pb2.ListPoolerBlockReportsResponse:
        """Return what the last blocks came to for a pooler."""
        return await self._call(
            viewer.caller(),
            "report.v1.ReportService.ListPoolerBlockReports",
            report_pb2.ListPoolerBlockReportsRequest(pooler_id=pooler_id, page_size=size),
            report_pb2.ListPoolerBlockReportsResponse,
        )

    async def fees_by_day(self, viewer: Viewer, pooler_id: str = "") -> fees_pb2.ListFeesResponse:
        """Return the XLM of the last 30 days: a pooler's farmers', or all of the pool's."""
        return await self._call(
            viewer.caller(),
            "report.v1.FeeService.ListFees",
            fees_pb2.ListFeesRequest(pooler_id=pooler_id, span=report_pb2.SPAN_DAY, page_size=30),
            fees_pb2.ListFeesResponse,
        )

    async def notifications(
        self, viewer: Viewer, pooler_id: str, size: int, page_token: str = ""
    ) -> notification_pb2.ListNotificationsResponse:
        """Return a page of what a pooler is told, or, without one, of all that operators are."""
        return await self._call(
            viewer.caller(),
            "registry.v1.NotificationService.ListNotifications",
            notification_pb2.ListNotificationsRequest(
                pooler_id=pooler_id, page_size=size, page_token=page_token
            ),
            notification_pb2.ListNotificationsResponse,
        )

    async def pending(
        self, viewer: Viewer, *, farmer_id: str = "", pooler_id: str = "", page_token: str = ""
    ) -> payout_pb2.ListPendingResponse:
        """Return a page of what was not paid yet, and why."""
        return await self._call(
            viewer.caller(),
            "harvest.v1.PayoutsService.ListPending",
            payout_pb2.ListPendingRequest(
                farmer_id=farmer_id, pooler_id=pooler_id, page_size=ROWS, page_token=page_token
            ),
            payout_pb2.ListPendingResponse,
        )

    async def payouts(
        self, viewer: Viewer, size: int, *, farmer_id: str = "", pooler_id: str = ""
    ) -> payout_pb2.ListPayoutsResponse:
        """Return the newest payouts."""
        return await self._call(
            viewer.caller(),
            "harvest.v1.PayoutsService.ListPayouts",
            payout_pb2.ListPayoutsRequest(farmer_id=farmer_id, pooler_id=pooler_id, page_size=size),
            payout_pb2.ListPayoutsResponse,
        )

    async def payout_preview(self, viewer: Viewer) -> payout_pb2.GetPayoutPreviewResponse:
        """Return what a run of payouts would do now."""
        return await self._call(
            viewer.caller(),
            "harvest.v1.PayoutsService.GetPayoutPreview",
            payout_pb2.GetPayoutPreviewRequest(),
            payout_pb2.GetPayoutPreviewResponse,
        )

    async def payout_switch(self, viewer: Viewer) -> payout_pb2.GetPayoutSwitchResponse:
        """Return whether the pool pays."""
        return await self._call(
            viewer.caller(),
            "harvest.v1.PayoutsService.GetPayoutSwitch",
            payout_pb2.GetPayoutSwitchRequest(),
            payout_pb2.GetPayoutSwitchResponse,
        )

    async def engine(self, viewer: Viewer) -> engine_pb2.GetEngineStatusResponse:
        """Return how wallet's engine stands."""
        return await self._call(
            viewer.caller(),
            "wallet.v1.EngineService.GetEngineStatus",
            engine_pb2.GetEngineStatusRequest(),
            engine_pb2.GetEngineStatusResponse,
        )

    async def treasury(self, viewer: Viewer) -> wallet_pb2.GetTreasuryResponse:
        """Return the account that pays."""
        return await self._call(
            viewer.caller(),
            "wallet.v1.WalletService.GetTreasury",
            wallet_pb2.GetTreasuryRequest(),
            wallet_pb2.GetTreasuryResponse,
        )

    async def pauses(self, viewer: Viewer) -> custody_pb2.ListPausesResponse:
        """Return the pauses in force."""
        return await self._call(
            viewer.caller(),
            "wallet.v1.CustodyService.ListPauses",
            custody_pb2.ListPausesRequest(),
            custody_pb2.ListPausesResponse,
        )

    async def differences(self, viewer: Viewer) -> reconcile_pb2.ListDifferencesResponse:
        """Return differences between records and chain that are not settled."""
        return await self._call(
            viewer.caller(),
            "wallet.v1.ReconciliationService.ListDifferences",
            reconcile_pb2.ListDifferencesRequest(page_size=50),
            reconcile_pb2.ListDifferencesResponse,
        )

    async def _mining(self, address: PoolerAddress) -> Part[Mining]:
        """Return what a pooler tells; its silence is kept, too, so that not all wait for it."""
        found: Part[Mining] = await self._public.get(
            address, lambda: part(self._poolers.mining(address))
        )
        return found

    async def _once(self, name: str, request: Message, answer: type[M]) -> M:
        """Call what is public by the gateway's own certificate, once for all who ask now."""
        nobody = Caller(credentials=None, address=UNKNOWN)
        key = (name, request.SerializeToString(deterministic=True))
        found = await self._public.get(key, lambda: self._call(nobody, name, request, answer))
        if not isinstance(found, answer):
            raise TypeError(type(found))
        return found

    async def _call(self, caller: Caller, name: str, request: Message, answer: type[M]) -> M:
        return await self._calls.call(caller, name, request, answer)
