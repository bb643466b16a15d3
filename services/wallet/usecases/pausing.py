"""The kill switch: in force in this process at once, and in all once the database has it."""

import asyncio
from dataclasses import dataclass, field

from libs.common.errors import NotFoundError
from libs.common.ids import FarmerId, PoolerId
from libs.common.log import get_security_logger
from services.wallet.domain.errors import PauseNotFoundError, WalletNotFoundError
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.custody import CustodyStore
from services.wallet.store.kill_switch import KillSwitch, PauseOrder
from services.wallet.store.wallets import WalletStore

security = get_security_logger()

#: Seconds that a caller waits for the record: the answer comes within a second in any case, also on
#: a machine that somebody keeps busy.
PATIENCE = 0.5
#: Seconds between two looks at the database while there is nothing to record: the connection stays
#: open, so that it is there when others have taken all that there are.
PING = 10.0


#: Seconds between two tries to record an order.
AGAIN = 1.0


@dataclass(frozen=True, kw_only=True)
class Pausing:
    """Use cases of the kill switch.

    The stores have a connection of their own: nothing else that this process does with the database
    is before a pause.
    """

    wallets: WalletStore
    store: CustodyStore
    switch: KillSwitch
    #: Wakeup to notify when operations may go on.
    wakeup: Wakeup
    #: Notified with every order.
    orders: Wakeup = field(default_factory=Wakeup)
    #: Held by whoever changes pauses: an order is recorded before the end of its pause is.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Orders whose first try has failed: that is told once.
    failing: set[Reach] = field(default_factory=set)
    #: Farmers' orders that were recorded for a wallet by a row that wallet did not write: it may be
    #: another's. They stay in force here until the row says whose the wallet is.
    doubted: dict[Reach, Reach] = field(default_factory=dict)

    async def pause(self, reach: Reach, *, reason: str, actor: str) -> bool:
        """Stop signing here, and everywhere once it is recorded; tell whether it is.

        Raises WalletNotFoundError for a farmer or a pooler without a wallet, if the database says
        so in time: a mistyped id would stop nobody.
        """
        self.switch.order(PauseOrder(reach=reach, reason=reason, actor=actor))
        security.warning("signing paused here", reach=str(reach), actor=actor, why=reason)
        self.orders.notify()
        return await self.switch.recorded(reach, PATIENCE)

    async def resume(self, reach: Reach, *, actor: str) -> None:
        """End a pause, here and everywhere.

        An order that waits is recorded first, so that the log tells of both. Raises
        PauseNotFoundError when there is no pause, WalletNotFoundError.
        """
        async with self.turn:
            if (order := self.switch.of(reach)) is not None:
                await self._record(order)
            recorded, _ = await self._as_recorded(reach)
            if not await self.store.resume(recorded, actor=actor):
                raise PauseNotFoundError(f"signing is not paused for {reach}")
            self._settle(reach)
        security.warning("signing resumed", reach=str(reach), actor=actor)
        self.wakeup.notify()

    async def step(self) -> None:
        """Record the orders that wait; without any, wait for one.

        Each order has one try, a pause of everything first: none keeps another one from being
        recorded, and a new one waits for no pause between tries.
        """
        seen = self.orders.count
        async with self.turn:
            for order in sorted(self.switch.orders, key=_is_partial):
                await self._try(order)
        await self.orders.wait(seen, AGAIN if self.switch.holds_anything else PING)
        if self.orders.count == seen and not self.switch.holds_anything:
            await self.store.ping()

    async def _try(self, order: PauseOrder) -> None:
        try:
            await self._record(order)
        except Exception as error:
            if order.reach not in self.failing:
                self.failing.add(order.reach)
                security.warning("pause not recorded yet", reach=str(order.reach), why=repr(error))

    async def _record(self, order: PauseOrder) -> None:
        """Record an order; one that may have named another wallet goes on to be in force here."""
        try:
            recorded, is_sure = await self._as_recorded(order.reach)
        except NotFoundError as error:
            self._settle(order.reach, error)
            security.warning("nobody was paused", reach=str(order.reach), why=str(error))
            return
        if self.doubted.get(order.reach) != recorded:
            pause_id = await self.store.pause(recorded, reason=order.reason, actor=order.actor)
            self.switch.note(pause_id, recorded)
            security.warning(
                "signing paused", reach=str(recorded), actor=order.actor, why=order.reason
            )
        if is_sure:
            self._settle(order.reach)
        elif self.doubted.get(order.reach) != recorded:
            self.doubted[order.reach] = recorded
            security.critical("paused by a row that wallet did not write", reach=str(order.reach))

    def _settle(self, reach: Reach, error: NotFoundError | None = None) -> None:
        """Take an order as recorded, ended, or as one that can never be."""
        self.switch.settle(reach, error)
        self.failing.discard(reach)
        self.doubted.pop(reach, None)

    async def _as_recorded(self, reach: Reach) -> tuple[Reach, bool]:
        """Return a reach as the database names it: a farmer's is that of the wallet.

        Tell, too, whether that is wallet's own word: somebody may have spoilt the wallet's row, or
        given it to another farmer for a moment.
        """
        if reach.target is None:
            return reach, True
        if reach.scope is Scope.FARMER:
            wallet_id, is_sure = await self.wallets.to_pause(FarmerId(reach.target))
            return Reach(scope=Scope.WALLET, target=wallet_id), is_sure
        pooler_id = PoolerId(reach.target)
        if reach.scope is Scope.POOLER and not await self.wallets.page(
            pooler_id=pooler_id, after=None, limit=1
        ):
            raise WalletNotFoundError(f"pooler {pooler_id} has no farmer's wallet here")
        return reach, True


def _is_partial(order: PauseOrder) -> bool:
    return order.reach.scope is not Scope.EVERYTHING
