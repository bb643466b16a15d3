"""The background loops of wallet: each repeats one step of the engine for ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

from libs.common.errors import PoolError, UnavailableError
from libs.common.log import get_logger
from services.wallet.chain import NetworkMismatchError
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.audit_watch import AuditWatch
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.follower import Follower
from services.wallet.engine.gauges import Gauges
from services.wallet.engine.noticer import Noticer
from services.wallet.engine.order_check import OrderCheck
from services.wallet.engine.payments.carrier import PaymentCarrier
from services.wallet.engine.reconcile.reconciler import Reconciler
from services.wallet.engine.rotation import KeyRotator
from services.wallet.engine.row_keys import RowKeys
from services.wallet.engine.settle.tracker import Tracker
from services.wallet.engine.submit.dispatch import Dispatcher
from services.wallet.engine.token_keys import TokenKeys
from services.wallet.engine.treasury.channels import ChannelKeeper
from services.wallet.engine.treasury.closing import AccountCloser
from services.wallet.engine.treasury.data_entries import RootWriter
from services.wallet.engine.treasury.lost_farmers import LostFarmers
from services.wallet.engine.treasury.onboarding import Onboarder
from services.wallet.engine.treasury.payers import PayerKeeper
from services.wallet.engine.treasury.rent import RentKeeper
from services.wallet.engine.treasury.retired_keys import RetiredKeys
from services.wallet.engine.treasury_account import Treasury
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.provider import KeyProviderError, MasterKeyError
from services.wallet.keys.seal import SealBrokenError
from services.wallet.store.hold_ups import HoldUps
from services.wallet.usecases.fee_keeping import FeeKeeping
from services.wallet.usecases.pausing import Pausing

log = get_logger(__name__)

#: Seconds between two looks at keys that nothing is signed with any more.
RETIRE = 60.0
#: Seconds between two tries when something is away.
RETRY = 1.0
#: Seconds between two tries when somebody has to mend something first.
MEND = 10.0
#: Seconds after which a loop looks again even without a wakeup.
IDLE = 2.0
#: The same for a loop that waits for a ledger anyway: it looks again in case a look had no result.
LEDGERLESS = 10.0
#: Seconds between two looks at the rows that wallet acts on, and while they come under a new key.
CHECK, BRING_OVER = 60.0, 10.0
#: Seconds between two updates of the gauges that operators see.
TELL = 10.0


@asynccontextmanager
async def running(coroutines: list[Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Run the coroutines while the block runs, and cancel them at its end."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def never() -> bool:
    """Return False, as the end condition of a loop that never ends."""
    return False


async def repeat(
    name: str, step: Callable[[], Awaitable[object]], *, until: Callable[[], bool] = never
) -> None:
    """Repeat a step, whatever happens to it; an outage is logged once, then its end."""
    away = ""
    while not until():
        try:
            await step()
        except UnavailableError as error:
            if away != error.reason:
                log.warning("away", loop=name, reason=error.reason, error=str(error))
            away = error.reason
            await asyncio.sleep(RETRY)
        except (PoolError, KeyProviderError, MasterKeyError, SealBrokenError) as error:
            log.critical("stopped", loop=name, error=str(error))
            away = "stopped"
            await asyncio.sleep(MEND)
        except Exception:
            log.exception("defect", loop=name)
            await asyncio.sleep(RETRY)
        else:
            if away:
                log.info("back", loop=name)
            away = ""


async def follow_chain(follower: Follower, chain_view: ChainView, *, poll: float) -> None:
    """Look for a new ledger every `poll` seconds, once there may be one."""

    async def step() -> None:
        try:
            await follower.refresh()
        except NetworkMismatchError:
            follower.forget()  # the node may be another one next time: verify from the beginning
            raise
        await asyncio.sleep(max(poll, chain_view.quiet))

    await repeat("follow", step)


async def open_treasury(treasury: Treasury) -> None:
    """Try to open the treasury's key until it is there and opens; then the loop is over."""

    await repeat("treasury", treasury.open, until=lambda: treasury.is_open)


async def open_row_keys(row_keys: RowKeys) -> None:
    """Open the keys of rows, and those that are made later."""

    async def step() -> None:
        await row_keys.open()
        await asyncio.sleep(MEND)

    await repeat("row keys", step)


async def open_token_keys(token_keys: TokenKeys) -> None:
    """Open the keys of tokens, and those that are made later."""

    async def step() -> None:
        await token_keys.open()
        await asyncio.sleep(MEND)

    await repeat("token keys", step)


async def check_orders(check: OrderCheck) -> None:
    """Look at the rows that wallet acts on, once a minute."""

    async def step() -> None:
        await asyncio.sleep(BRING_OVER if check.is_bringing_over else CHECK)
        await check.step()

    await repeat("orders", step)


async def record_pauses(pausing: Pausing) -> None:
    """Record pauses that were ordered, as soon as the database takes them."""
    await repeat("pauses", pausing.step)


async def keep_fees(keeping: FeeKeeping) -> None:
    """Make poolers' accounts that are missing, and sums of fees that have grown old."""

    async def step() -> None:
        if not await keeping.step():
            await asyncio.sleep(MEND)

    await repeat("fees", step)


async def watch_audit_log(watch: AuditWatch, *, interval: float) -> None:
    """Tell the audit log's head to the security log, and look for what is wrong with the log."""

    async def step() -> None:
        await watch.step()
        await asyncio.sleep(interval)

    await repeat("audit", step)


async def end_hold_ups(hold_ups: HoldUps) -> None:
    """End sessions of other services' roles that hold up everybody."""

    async def step() -> None:
        await hold_ups.step()
        await asyncio.sleep(IDLE)

    await repeat("hold-ups", step)


async def dispatch(dispatcher: Dispatcher) -> None:
    """Take up queued operations."""
    await repeat("dispatch", dispatcher.step)


async def keep_channels(keeper: ChannelKeeper, ledgers: Wakeup) -> None:
    """Make and top up channel accounts, with every new ledger."""

    async def step() -> None:
        seen = ledgers.count
        await keeper.step()
        await ledgers.wait(seen, LEDGERLESS)

    await repeat("channels", step)


async def keep_rent(keeper: RentKeeper, ledgers: Wakeup) -> None:
    """Pay the rent of what calls need, before it comes due; look with every new ledger."""

    async def step() -> None:
        seen = ledgers.count
        await keeper.step()
        await ledgers.wait(seen, LEDGERLESS)

    await repeat("rent", step)


async def set_gauges(figures: Gauges) -> None:
    """Set the gauges that show the wallet's state."""

    async def step() -> None:
        await figures.step()
        await asyncio.sleep(TELL)

    await repeat("figures", step)


async def tell_notices(noticer: Noticer) -> None:
    """Report what poolers and operators are to be told of."""

    async def step() -> None:
        await noticer.step()
        await asyncio.sleep(TELL)

    await repeat("notices", step)


async def onboard(onboarder: Onboarder, wakeup: Wakeup) -> None:
    """Onboard farmers on the chain, as long as there are any to onboard."""

    async def step() -> None:
        seen = wakeup.count
        if not await onboarder.step():
            await wakeup.wait(seen, LEDGERLESS)

    await repeat("onboard", step)


async def close_accounts(closer: AccountCloser, wakeup: Wakeup) -> None:
    """Close accounts of farmers and poolers that leave, as long as there are any to close."""

    async def step() -> None:
        seen = wakeup.count
        if not await closer.step():
            await wakeup.wait(seen, LEDGERLESS)

    await repeat("close accounts", step)


async def retire_keys(keys: RetiredKeys) -> None:
    """Retire keys of closed accounts, and destroy old ones."""

    async def step() -> None:
        await keys.step()
        await asyncio.sleep(RETIRE)

    await repeat("retired keys", step)


async def bring_back(lost: LostFarmers, ledgers: Wakeup) -> None:
    """Bring farmers back whose account or line has gone; look with every new ledger."""

    async def step() -> None:
        seen = ledgers.count
        await lost.step()
        await ledgers.wait(seen, LEDGERLESS)

    await repeat("lost farmers", step)


async def write_roots(writer: RootWriter, ledgers: Wakeup) -> None:
    """Write the newest root that was asked for into the treasury's data entry."""

    async def step() -> None:
        seen = ledgers.count
        await writer.step()
        await ledgers.wait(seen, LEDGERLESS)

    await repeat("roots", step)


async def pay(carrier: PaymentCarrier, wakeup: Wakeup) -> None:
    """Make payments, as long as there are any."""

    async def step() -> None:
        seen = wakeup.count
        if not await carrier.step():
            await wakeup.wait(seen, LEDGERLESS)

    await repeat("pay", step)


async def keep_payers(keeper: PayerKeeper, ledgers: Wakeup) -> None:
    """Make payer accounts, with every new ledger until all are there."""

    async def step() -> None:
        seen = ledgers.count
        await keeper.step()
        await ledgers.wait(seen, LEDGERLESS)

    await repeat("payers", step)


async def reconcile(reconciler: Reconciler, *, interval: float) -> None:
    """Compare records with the chain every `interval` seconds; 0: never by itself."""

    async def step() -> None:
        await asyncio.sleep(interval)
        await reconciler.run()

    if interval:
        await repeat("reconcile", step)


async def rotate_keys(rotator: KeyRotator, wakeup: Wakeup) -> None:
    """Wrap data keys under the current KEK, when somebody has asked for it."""

    async def step() -> None:
        seen = wakeup.count
        if not await rotator.step():
            await wakeup.wait(seen, MEND)

    await repeat("keys", step)


async def track(tracker: Tracker, ledgers: Wakeup) -> None:
    """Look at open transactions with every new ledger, and at once at the start."""

    async def step() -> None:
        seen = ledgers.count
        await tracker.step()
        await ledgers.wait(seen, LEDGERLESS)

    await repeat("track", step)


async def refresh_accounts(accounts: Accounts, ledgers: Wakeup) -> None:
    """Read accounts with every new ledger, and soon after something happened to them."""

    async def step() -> None:
        seen = ledgers.count
        await accounts.refresh()
        while ledgers.count == seen:
            await ledgers.wait(seen, IDLE)
            await accounts.catch_up()

    await repeat("accounts", step)
