"""Notices for poolers and operators, of what no change of the records shows by itself."""

import math
import time
from collections.abc import Iterator

from libs.common.log import get_logger
from services.wallet.chain import Chain, EndpointState
from services.wallet.engine.accounts import Accounts
from services.wallet.store.notices import Condition, NoticeStore

log = get_logger(__name__)

#: Seconds between two rounds of forgetting what is old.
_FORGET = 3600.0


class Noticer:
    """Reports a treasury that runs low and nodes that were set aside, and when that is over."""

    def __init__(
        self, store: NoticeStore, chain: Chain, accounts: Accounts, *, treasury_low: int
    ) -> None:
        self._store = store
        self._chain = chain
        self._accounts = accounts
        self._treasury_low = treasury_low
        self._forgot = -math.inf

    async def step(self) -> None:
        """Report once, and tell of payout addresses whose time has come."""
        unknown = ["treasury"] if self._accounts.treasury_state is None else []
        await self._store.report([*self._treasury(), *self._nodes()], unknown=unknown)
        await self._store.tell_effective_addresses()
        if time.monotonic() - self._forgot >= _FORGET:
            self._forgot = time.monotonic()
            if forgotten := await self._store.forget():
                log.info("notices forgotten", count=forgotten)

    def _treasury(self) -> Iterator[Condition]:
        state = self._accounts.treasury_state
        if state is not None and self._accounts.is_treasury_low:
            facts = {
                "address": state.address,
                "xlmStroops": str(state.xlm),
                "lowStroops": str(self._treasury_low),
            }
            yield Condition(name="treasury", kind="treasury", facts=facts)

    def _nodes(self) -> Iterator[Condition]:
        for position, endpoint in enumerate(self._chain.endpoints()):
            if endpoint.state is EndpointState.SET_ASIDE:
                facts = {"host": endpoint.host[:255], "reason": endpoint.reason[:1000]}
                # The position, too: several nodes may have one host.
                yield Condition(
                    name=f"node {position} {endpoint.host[:255]}", kind="node", facts=facts
                )
