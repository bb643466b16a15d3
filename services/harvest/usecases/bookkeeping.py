"""Use cases of bookkeeping: wallet's movements, and KALE that came from outside."""

from collections.abc import Callable, Sequence
from typing import Protocol

from libs.batches.model import HORIZON
from libs.common.failpoints import failpoint
from libs.common.log import get_security_logger
from services.harvest.domain.bookkeeping import Holding, Movement, Position, bookings_of
from services.harvest.domain.errors import BookingRefusedError
from services.harvest.store.ledger import BookkeepingStore
from services.harvest.store.store import Store

security = get_security_logger()

#: Movements that are read and booked at once.
PAGE = 1000
#: Seconds after which no movement can still come to stand before what was read: no transaction of
#: wallet's takes so long.
SETTLED_AFTER = 300.0
#: Looks until one reads the last minutes again.
AGAIN_EVERY = 12


class Movements(Protocol):
    """Reads wallet's movements."""

    async def after(
        self, position: Position, limit: int
    ) -> tuple[list[Movement], Sequence[Position]]:
        """Return the movements after a place that wallet itself wrote, and the places of all."""
        ...


class Accounts(Protocol):
    """Reads farmers' accounts on the chain."""

    async def holdings(self, token: str) -> tuple[list[Holding], str]:
        """Return what some accounts hold, and the next page's token; both are empty at the end."""
        ...


class Deposits:
    """Books KALE that came from outside: what accounts hold and the ledger does not explain."""

    def __init__(
        self,
        *,
        ledger: BookkeepingStore,
        wallet: Accounts,
        settled_after: float,
        is_current: Callable[[], bool] = lambda: True,
    ) -> None:
        """Book what is the same for so many seconds, while all else that wallet tells is booked."""
        self._ledger = ledger
        self._is_current = is_current
        self._wallet = wallet
        self._settled_after = settled_after
        #: Farmers whose accounts held less than the ledger says, when they were last looked at.
        self._short = 0

    @property
    def warnings(self) -> list[str]:
        """Return in words what accounts lack."""
        words = f"{self._short} farmers' accounts hold less KALE than the ledger says"
        return [f"{words}: kalepool ledger check"] * bool(self._short)

    async def step(self) -> int:
        """Look at all accounts once; return how many journals that made."""
        booked, token = 0, ""
        while True:
            held, token = await self._wallet.holdings(token)
            await failpoint("harvest.deposits.read")
            # What is not booked yet explains what accounts hold.
            if held and self._is_current():
                booked += await self._ledger.book_deposits(held, settled_after=self._settled_after)
            await failpoint("harvest.deposits.booked")
            if not token:
                break
        short = await self._ledger.short_holdings()
        if short > self._short:
            security.critical("accounts hold less than the ledger says", farmers=short)
        self._short = short
        return booked


class Bookkeeper:
    """Books wallet's movements; one per process, and any number of processes.

    How far was read is remembered in the database, as far back that nothing can still come before
    it. From there it reads again when it starts, and now and then: a journal that is there already
    is not made again.
    """

    def __init__(
        self, *, store: Store, ledger: BookkeepingStore, wallet: Movements, page: int = PAGE
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._wallet = wallet
        self._page = page
        #: What this process has read last, and its looks so far.
        self._read: Position | None = None
        self._looks = 0
        #: Why nothing more is booked, in words; empty while all is well.
        self.problem = ""
        #: Whether all was booked that wallet had to tell at the last look.
        self.is_current = False

    @property
    def warnings(self) -> list[str]:
        """Return in words why nothing more is booked."""
        return [f"nothing more is booked: {self.problem}"] if self.problem else []

    async def step(self) -> int:
        """Book everything that is new; return how many journals that made.

        What the database refuses to book holds up all that comes after it, until a person has
        looked at it.
        """
        self.is_current = False
        try:
            booked = await self._step()
        except BookingRefusedError as error:
            if self.problem != error.message:
                security.critical("booking refused", error=error.message)
            self.problem = error.message
            raise
        self.problem, self.is_current = "", True
        return booked

    async def _step(self) -> int:
        begins_anew = self._looks % AGAIN_EVERY == 0
        if self._read is None or begins_anew:
            self._read = (await self._ledger.state()).read
        booked = 0
        while True:
            movements, places = await self._wallet.after(self._read, self._page)
            await failpoint("harvest.bookkeeping.read")
            if places:
                booked += await self._ledger.book(
                    bookings_of(movements), places, settled_after=SETTLED_AFTER
                )
                await failpoint("harvest.bookkeeping.booked")
                self._read = places[-1]
            if len(places) < self._page:
                break
        if begins_anew:
            booked += await self._book_losses()
        self._looks += 1
        return booked

    async def _book_losses(self) -> int:
        """Book stakes that are lost: pails are gone by then, and all plants and harvests known."""
        current = await self._store.current_block()
        return await self._ledger.book_losses(max(0, (current or 0) - HORIZON))
