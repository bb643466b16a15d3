"""Wiring of harvest."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from kalepool.harvest.v1 import (
    harvest_pb2_grpc,
    ledger_pb2_grpc,
    miner_pb2_grpc,
    payout_pb2_grpc,
)
from kalepool.report.v1 import report_pb2_grpc

from libs.batches.app import BatchParts, open_batches
from libs.batches.wallet import WalletClient
from libs.common.grpc.access import Owned
from libs.common.grpc.second_person import SecondPerson
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.common.ids import FarmerId
from libs.kale.formats import FORMATS
from libs.kale.networks import farm_of
from services.access import ACCESS
from services.harvest.clients import WalletApprovals, WalletMovements, WalletPayouts
from services.harvest.config import HarvestSettings
from services.harvest.loops import (
    book_for_ever,
    check_every_night,
    divide_for_ever,
    look_for_deposits,
    pay_for_ever,
    resume_payouts,
    sweep_for_ever,
)
from services.harvest.servicers import credits as credit_servicer
from services.harvest.servicers import ledger as ledger_servicer
from services.harvest.servicers import payouts as payout_servicer
from services.harvest.servicers import reports as report_servicer
from services.harvest.servicers.harvest import HarvestServicer
from services.harvest.store.credits import CreditStore
from services.harvest.store.ledger import BookkeepingStore, LedgerStore
from services.harvest.store.payouts import PayoutStore
from services.harvest.store.reports import ReportStore
from services.harvest.store.store import QUERIES, Store
from services.harvest.usecases.bookkeeping import Bookkeeper, Deposits
from services.harvest.usecases.credits import MinerCredits
from services.harvest.usecases.harvest import Harvester
from services.harvest.usecases.ledger import Ledger
from services.harvest.usecases.payout_runner import PayoutRunner
from services.harvest.usecases.payouts import Payouts
from services.harvest.usecases.reports import Reporter
from services.second_person import COVERED


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
        payout_store = PayoutStore(parts.store.database, settings.payout_terms())
        payouts = _pay(stack, settings, parts, payout_store)
        ledgers = _keep_ledger(stack, settings, parts, payouts)
        miners = _divide_pots(stack, settings, parts)

        def register(server: grpc.aio.Server) -> None:
            harvest_pb2_grpc.add_HarvestServiceServicer_to_server(servicer, server)
            report_pb2_grpc.add_ReportServiceServicer_to_server(reports, server)
            ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledgers, server)
            payout_pb2_grpc.add_PayoutsServiceServicer_to_server(
                payout_servicer.PayoutsServicer(payouts), server
            )
            miner_pb2_grpc.add_MinerCreditServiceServicer_to_server(miners, server)

        _sweep(stack, settings, harvester)
        spec = _spec(settings, parts, payout_store, register)
        yield await stack.enter_async_context(open_server(spec, settings, parts.transport))


def _spec(
    settings: HarvestSettings,
    parts: BatchParts[Store, FarmerId],
    payouts: PayoutStore,
    register: Callable[[grpc.aio.Server], None],
) -> ServiceSpec:
    """Return the specification of the server."""
    second_person = SecondPerson(
        COVERED, WalletApprovals(parts.wallet).use, amount=settings.payout_approval_stroops
    )
    long = ("Harvest", "HarvestPending", "CheckLedger", "RunPayouts", "PayNow")
    return ServiceSpec(
        name="harvest",
        full_names=(
            "kalepool.harvest.v1.HarvestService",
            ledger_servicer.FULL_NAME,
            payout_servicer.FULL_NAME,
            credit_servicer.FULL_NAME,
            report_servicer.FULL_NAME,
        ),
        register=register,
        kale_contract_id=farm_of(settings.stellar_network, settings.kale_contract_id),
        formats=FORMATS,
        access=ACCESS,
        owners={Owned.FARMER: parts.store.owners_of_farmers},
        standings={Owned.FARMER: payouts.standings_of_farmers},
        second_person=second_person,
        checks=parts.checks,
        method_timeouts=dict.fromkeys(long, settings.batch_timeout / 1000),
    )


def _sweep(stack: AsyncExitStack, settings: HarvestSettings, harvester: Harvester) -> None:
    """Harvest what is pending again and again until the stack is closed, where that is wanted."""
    if settings.harvest_sweep_seconds > 0:
        sweep = asyncio.create_task(
            sweep_for_ever(
                harvester,
                interval=settings.harvest_sweep_seconds,
                after=settings.harvest_sweep_blocks,
            )
        )
        stack.callback(sweep.cancel)


def _pay(
    stack: AsyncExitStack,
    settings: HarvestSettings,
    parts: BatchParts[Store, FarmerId],
    store: PayoutStore,
) -> Payouts:
    """Pay who is due until the stack is closed; return the use cases of payouts."""
    runner = PayoutRunner(store, WalletPayouts(parts.wallet))
    stack.push_async_callback(runner.aclose)
    payouts = Payouts(
        store=store, tables=parts.store, runner=runner, limits=settings.payout_limits()
    )
    resumed = resume_payouts(runner, interval=settings.recovery_seconds)
    stack.callback(asyncio.create_task(resumed).cancel)
    if settings.payout_seconds > 0:
        paid = pay_for_ever(payouts, interval=settings.payout_seconds)
        stack.callback(asyncio.create_task(paid).cancel)
    return payouts


def _keep_ledger(
    stack: AsyncExitStack,
    settings: HarvestSettings,
    parts: BatchParts[Store, FarmerId],
    payouts: Payouts,
) -> ledger_servicer.LedgerServicer:
    """Keep the pool's ledger until the stack is closed; return what shows it."""
    database = parts.store.database
    books = BookkeepingStore(database)
    wallet = WalletMovements(parts.wallet)
    bookkeeper = Bookkeeper(store=parts.store, ledger=books, wallet=wallet)
    deposits = Deposits(
        ledger=books,
        wallet=wallet,
        settled_after=settings.deposit_settle_seconds,
        is_current=lambda: bookkeeper.is_current,
    )
    ledger = Ledger(store=parts.store, ledger=LedgerStore(database))
    for loop in (
        book_for_ever(bookkeeper, interval=settings.bookkeeping_seconds),
        look_for_deposits(deposits, interval=settings.deposit_seconds),
        check_every_night(ledger, hour=settings.ledger_check_hour),
    ):
        stack.callback(asyncio.create_task(loop).cancel)
    return ledger_servicer.LedgerServicer(
        ledger,
        books,
        payouts,
        lambda: [*ledger.warnings, *bookkeeper.warnings, *deposits.warnings],
    )


def _divide_pots(
    stack: AsyncExitStack, settings: HarvestSettings, parts: BatchParts[Store, FarmerId]
) -> credit_servicer.MinerCreditServicer:
    """Divide miners' parts until the stack is closed; return what takes poolers' word for them."""
    crediting = MinerCredits(parts.store, CreditStore(parts.store.database))
    loop = divide_for_ever(crediting, interval=settings.bookkeeping_seconds)
    stack.callback(asyncio.create_task(loop).cancel)
    return credit_servicer.MinerCreditServicer(crediting)
