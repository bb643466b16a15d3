"""Wiring of harvest: its server. What the server calls is put together in wiring.py."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from kalepool.harvest.v1 import (
    harvest_pb2_grpc,
    ledger_pb2_grpc,
    miner_pb2_grpc,
    payout_pb2_grpc,
    statement_pb2_grpc,
)
from kalepool.report.v1 import report_pb2_grpc

from libs.batches.app import open_batches
from libs.batches.wallet import WalletClient
from libs.common.grpc.access import Owned
from libs.common.grpc.second_person import SecondPerson
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.kale.formats import FORMATS
from libs.kale.networks import farm_of
from services.access import ACCESS
from services.harvest import wiring
from services.harvest.clients import WalletApprovals
from services.harvest.config import HarvestSettings
from services.harvest.servicers import credits as credit_servicer
from services.harvest.servicers import ledger as ledger_servicer
from services.harvest.servicers import payouts as payout_servicer
from services.harvest.servicers import reports as report_servicer
from services.harvest.servicers import statements as statement_servicer
from services.harvest.store.payouts import PayoutStore
from services.harvest.store.store import MIGRATIONS, QUERIES, Store
from services.harvest.usecases.approvals import Approvals
from services.second_person import COVERED

#: Methods that take as long as a batch.
_LONG = ("Harvest", "HarvestPending", "CheckLedger", "RunPayouts", "PayNow", "CloseDay")


@asynccontextmanager
async def open_app(settings: HarvestSettings) -> AsyncIterator[RunningServer]:
    """Run harvest while the block runs."""
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(
            open_batches(
                settings,
                name="harvest",
                queries=QUERIES,
                migrations=MIGRATIONS,
                store=Store,
                submit=WalletClient.harvest,
            )
        )
        payout_store = PayoutStore(parts.store.database, settings.payout_terms())
        spec = _spec(settings, parts, payout_store, _wire(stack, settings, parts, payout_store))
        yield await stack.enter_async_context(open_server(spec, settings, parts.transport))


def _wire(
    stack: AsyncExitStack, settings: HarvestSettings, parts: wiring.Parts, store: PayoutStore
) -> Callable[[grpc.aio.Server], None]:
    """Put the parts together, and start their loops; return what has a server call them."""
    harvests = wiring.harvests(stack, settings, parts)
    reports = wiring.reports(settings, parts)
    payouts = wiring.payouts(stack, settings, parts, store)
    closer = wiring.closings(stack, settings, parts)
    ledgers = wiring.ledgers(
        stack, settings, parts, payouts=payouts, further=lambda: closer.warnings
    )
    miners = wiring.miners(stack, settings, parts)
    statements = wiring.statements(parts, closer)

    def register(server: grpc.aio.Server) -> None:
        harvest_pb2_grpc.add_HarvestServiceServicer_to_server(harvests, server)
        report_pb2_grpc.add_ReportServiceServicer_to_server(reports, server)
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledgers, server)
        payout_pb2_grpc.add_PayoutsServiceServicer_to_server(
            payout_servicer.PayoutsServicer(payouts), server
        )
        miner_pb2_grpc.add_MinerCreditServiceServicer_to_server(miners, server)
        statement_pb2_grpc.add_StatementServiceServicer_to_server(statements, server)

    return register


def _spec(
    settings: HarvestSettings,
    parts: wiring.Parts,
    payouts: PayoutStore,
    register: Callable[[grpc.aio.Server], None],
) -> ServiceSpec:
    """Return the specification of the server."""
    approvals = Approvals(payouts, WalletApprovals(parts.wallet).use)
    second_person = SecondPerson(COVERED, approvals.use, amount=settings.payout_approval_stroops)
    return ServiceSpec(
        name="harvest",
        full_names=(
            "kalepool.harvest.v1.HarvestService",
            ledger_servicer.FULL_NAME,
            payout_servicer.FULL_NAME,
            credit_servicer.FULL_NAME,
            statement_servicer.FULL_NAME,
            report_servicer.FULL_NAME,
        ),
        register=register,
        kale_contract_id=farm_of(settings.stellar_network, settings.kale_contract_id),
        formats=FORMATS,
        access=ACCESS,
        owners={Owned.FARMER: parts.store.owners_of_farmers},
        accounts={Owned.FARMER: parts.store.accounts_of_farmers},
        standings={Owned.FARMER: payouts.standings_of_farmers},
        second_person=second_person,
        checks=parts.checks,
        method_timeouts=dict.fromkeys(_LONG, settings.batch_timeout / 1000),
    )
