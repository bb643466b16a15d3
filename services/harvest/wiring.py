"""The parts of harvest, put together: a function for each, which also starts the part's loops."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TypeAlias

from libs.batches.app import BatchParts
from libs.common.ids import FarmerId
from services.harvest.clients import WalletMovements, WalletPayouts, WalletRoots
from services.harvest.config import HarvestSettings
from services.harvest.loops import (
    book_for_ever,
    check_every_night,
    close_for_ever,
    divide_for_ever,
    look_for_deposits,
    pay_for_ever,
    resume_payouts,
    sweep_for_ever,
)
from services.harvest.servicers.credits import MinerCreditServicer
from services.harvest.servicers.harvest import HarvestServicer
from services.harvest.servicers.ledger import LedgerServicer
from services.harvest.servicers.reports import ReportServicer
from services.harvest.servicers.statements import StatementServicer
from services.harvest.store.credits import CreditStore
from services.harvest.store.ledger import BookkeepingStore, LedgerStore
from services.harvest.store.payouts import PayoutStore
from services.harvest.store.poolers import PoolerStore
from services.harvest.store.reports import ReportStore
from services.harvest.store.statements import StatementStore
from services.harvest.store.store import Store
from services.harvest.usecases.bookkeeping import Bookkeeper, Deposits
from services.harvest.usecases.closing import Closer
from services.harvest.usecases.credits import MinerCredits
from services.harvest.usecases.harvest import Harvester
from services.harvest.usecases.ledger import Ledger
from services.harvest.usecases.payout_runner import PayoutRunner
from services.harvest.usecases.payouts import Payouts
from services.harvest.usecases.poolers import Finder
from services.harvest.usecases.reports import Reporter
from services.harvest.usecases.statements import Statements

Parts: TypeAlias = "BatchParts[Store, FarmerId]"


def harvests(stack: AsyncExitStack, settings: HarvestSettings, parts: Parts) -> HarvestServicer:
    """Return what harvests; where that is wanted, sweep what is pending until the stack closes."""
    harvester = Harvester(
        store=parts.store,
        runner=parts.runner,
        chunk_size=settings.max_batch_size,
        patience=settings.harvest_patience_seconds,
    )
    interval, after = settings.harvest_sweep_seconds, settings.harvest_sweep_blocks
    if interval > 0:
        _start(stack, sweep_for_ever(harvester, interval=interval, after=after))
    return HarvestServicer(parts.store, harvester)


def reports(settings: HarvestSettings, parts: Parts) -> ReportServicer:
    """Return what tells sums."""
    reporter = Reporter(
        store=ReportStore(parts.store.database),
        current_block=parts.store.current_block,
        are_farmers_public=settings.farmer_pages == "open",
        accounts_of_farmers=parts.store.accounts_of_farmers,
    )
    finder = Finder(
        store=PoolerStore(parts.store.database),
        current_block=parts.store.current_block,
        is_join_allowed=settings.self_join_daily > 0,
    )
    return ReportServicer(reporter, finder)


def payouts(
    stack: AsyncExitStack, settings: HarvestSettings, parts: Parts, store: PayoutStore
) -> Payouts:
    """Pay who is due until the stack is closed; return the use cases of payouts."""
    runner = PayoutRunner(store, WalletPayouts(parts.wallet))
    stack.push_async_callback(runner.aclose)
    found = Payouts(store=store, tables=parts.store, runner=runner, limits=settings.payout_limits())
    _start(stack, resume_payouts(runner, interval=settings.recovery_seconds))
    if settings.payout_seconds > 0:
        _start(stack, pay_for_ever(found, interval=settings.payout_seconds))
    return found


def closings(stack: AsyncExitStack, settings: HarvestSettings, parts: Parts) -> Closer:
    """Close days until the stack is closed; return what does."""
    closer = Closer(store=StatementStore(parts.store.database), roots=WalletRoots(parts.wallet))
    interval, delay = settings.closing_look_seconds, settings.closing_delay_seconds
    _start(stack, close_for_ever(closer, interval=interval, delay=delay))
    return closer


def statements(parts: Parts, closer: Closer) -> StatementServicer:
    """Return what shows statements, and closes days when it is told to."""
    database = parts.store.database
    shown = Statements(
        store=parts.store, statements=StatementStore(database), miners=CreditStore(database)
    )
    return StatementServicer(shown, closer)


def ledgers(
    stack: AsyncExitStack,
    settings: HarvestSettings,
    parts: Parts,
    *,
    payouts: Payouts,
    further: Callable[[], list[str]],
) -> LedgerServicer:
    """Keep the pool's ledger until the stack is closed; return what shows it.

    Its status also has the warnings of payouts, and `further` ones.
    """
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
    _start(stack, book_for_ever(bookkeeper, interval=settings.bookkeeping_seconds))
    _start(stack, look_for_deposits(deposits, interval=settings.deposit_seconds))
    _start(stack, check_every_night(ledger, hour=settings.ledger_check_hour))
    return LedgerServicer(
        ledger,
        books,
        payouts,
        lambda: [*ledger.warnings, *bookkeeper.warnings, *deposits.warnings, *further()],
    )


def miners(stack: AsyncExitStack, settings: HarvestSettings, parts: Parts) -> MinerCreditServicer:
    """Divide miners' parts until the stack is closed; return what takes poolers' word for them."""
    crediting = MinerCredits(parts.store, CreditStore(parts.store.database))
    _start(stack, divide_for_ever(crediting, interval=settings.bookkeeping_seconds))
    return MinerCreditServicer(crediting)


def _start(stack: AsyncExitStack, loop: Coroutine[None, None, None]) -> None:
    """Run a loop until the stack is closed."""
    stack.callback(asyncio.create_task(loop).cancel)
