"""Wiring of harvest."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from kalepool.harvest.v1 import harvest_pb2_grpc, ledger_pb2_grpc, statement_pb2_grpc
from kalepool.report.v1 import report_pb2_grpc

from libs.batches.app import BatchParts, open_batches
from libs.batches.wallet import WalletClient
from libs.common.grpc.access import Owned
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.common.ids import FarmerId
from libs.kale.formats import FORMATS
from libs.kale.networks import farm_of
from services.access import ACCESS
from services.harvest.clients import WalletMovements, WalletRoots
from services.harvest.config import HarvestSettings
from services.harvest.loops import (
    book_for_ever,
    check_every_night,
    close_for_ever,
    sweep_for_ever,
)
from services.harvest.servicers import ledger as ledger_servicer
from services.harvest.servicers import reports as report_servicer
from services.harvest.servicers import statements as statement_servicer
from services.harvest.servicers.harvest import HarvestServicer
from services.harvest.store.ledger import BookkeepingStore, LedgerStore
from services.harvest.store.reports import ReportStore
from services.harvest.store.statements import StatementStore
from services.harvest.store.store import QUERIES, Store
from services.harvest.usecases.bookkeeping import Bookkeeper
from services.harvest.usecases.closing import Closer
from services.harvest.usecases.harvest import Harvester
from services.harvest.usecases.ledger import Ledger
from services.harvest.usecases.reports import Reporter
from services.harvest.usecases.statements import Statements


@asynccontextmanager
async def open_app(settings: HarvestSettings) -> AsyncIterator[RunningServer]:
    """Run harvest while the block runs."""
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(
            open_batches(
                settings, name="harvest", queries=QUERIES, store=Store, submit=WalletClient.harvest
            )
        )
        harvester = Harvester(
            store=parts.store,
            runner=parts.runner,
            chunk_size=settings.max_batch_size,
            patience=settings.harvest_patience_seconds,
        )
        reporter = Reporter(
            store=ReportStore(parts.store.database),
            current_block=parts.store.current_block,
            are_farmers_public=settings.farmer_pages == "open",
        )
        servicer = HarvestServicer(parts.store, harvester)
        reports = report_servicer.ReportServicer(reporter)
        closer = _close_days(stack, settings, parts)
        ledgers = _keep_ledger(stack, settings, parts, closer)
        statements = statement_servicer.StatementServicer(
            Statements(store=parts.store, statements=StatementStore(parts.store.database)), closer
        )

        def register(server: grpc.aio.Server) -> None:
            harvest_pb2_grpc.add_HarvestServiceServicer_to_server(servicer, server)
            report_pb2_grpc.add_ReportServiceServicer_to_server(reports, server)
            ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledgers, server)
            statement_pb2_grpc.add_StatementServiceServicer_to_server(statements, server)

        if settings.harvest_sweep_seconds > 0:
            sweep = asyncio.create_task(
                sweep_for_ever(
                    harvester,
                    interval=settings.harvest_sweep_seconds,
                    after=settings.harvest_sweep_blocks,
                )
            )
            stack.callback(sweep.cancel)
        spec = _spec(settings, parts, register)
        yield await stack.enter_async_context(open_server(spec, settings, parts.transport))


def _spec(
    settings: HarvestSettings,
    parts: BatchParts[Store, FarmerId],
    register: Callable[[grpc.aio.Server], None],
) -> ServiceSpec:
    """Return the specification of the server."""
    return ServiceSpec(
        name="harvest",
        full_names=(
            "kalepool.harvest.v1.HarvestService",
            ledger_servicer.FULL_NAME,
            report_servicer.FULL_NAME,
            statement_servicer.FULL_NAME,
        ),
        register=register,
        kale_contract_id=farm_of(settings.stellar_network, settings.kale_contract_id),
        formats=FORMATS,
        access=ACCESS,
        owners={Owned.FARMER: parts.store.owners_of_farmers},
        checks=parts.checks,
        method_timeouts={
            "Harvest": settings.batch_timeout / 1000,
            "HarvestPending": settings.batch_timeout / 1000,
            "CheckLedger": settings.batch_timeout / 1000,
            "CloseDay": settings.batch_timeout / 1000,
        },
    )


def _close_days(
    stack: AsyncExitStack, settings: HarvestSettings, parts: BatchParts[Store, FarmerId]
) -> Closer:
    """Close days until the stack is closed; return what does."""
    closer = Closer(store=StatementStore(parts.store.database), roots=WalletRoots(parts.wallet))
    loop = close_for_ever(
        closer, interval=settings.closing_look_seconds, delay=settings.closing_delay_seconds
    )
    stack.callback(asyncio.create_task(loop).cancel)
    return closer


def _keep_ledger(
    stack: AsyncExitStack,
    settings: HarvestSettings,
    parts: BatchParts[Store, FarmerId],
    closer: Closer,
) -> ledger_servicer.LedgerServicer:
    """Keep the pool's ledger until the stack is closed; return what shows it."""
    database = parts.store.database
    books = BookkeepingStore(database)
    bookkeeper = Bookkeeper(store=parts.store, ledger=books, wallet=WalletMovements(parts.wallet))
    ledger = Ledger(store=parts.store, ledger=LedgerStore(database))
    for loop in (
        book_for_ever(bookkeeper, interval=settings.bookkeeping_seconds),
        check_every_night(ledger, hour=settings.ledger_check_hour),
    ):
        stack.callback(asyncio.create_task(loop).cancel)
    return ledger_servicer.LedgerServicer(ledger, bookkeeper, books, closer)
