"""Single calls over stand-ins: a chain, templates, sources and keys that do as they are told."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.model import QueuedOperation
from services.wallet.domain.packing import WHOLE_LEDGER
from services.wallet.engine.alarms import Alarms
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.submit.packs import Packs
from services.wallet.engine.submit.round import Round
from services.wallet.engine.submit.single_calls import SingleCalls
from tests.support.signing import (
    LIMITS,
    FakeChain,
    FakeRefuser,
    FakeSigners,
    FakeSources,
    FakeTemplates,
    chain_state,
    operation,
)

TREASURY = WalletId(new_id())


class CallWorld:
    """Single calls over stand-ins; with channels, packs too when they are wanted."""

    def __init__(
        self,
        *,
        channels: int = 0,
        for_singles: bool = False,
        packs: bool = False,
        limits: OperatorLimits = LIMITS,
    ) -> None:
        self.chain, self.templates = FakeChain(), FakeTemplates()
        self.sources, self.refuser = (
            FakeSources(channels=channels, for_singles=for_singles),
            FakeRefuser(),
        )
        self.alarms = Alarms()
        self.signers = FakeSigners()
        chain, signers = cast(Any, self.chain), cast(Any, self.signers)
        templates, sources = cast(Any, self.templates), cast(Any, self.sources)
        refuser = cast(Any, self.refuser)
        self.calls = SingleCalls(
            chain,
            signers,
            templates,
            sources,
            treasury=cast(Any, SimpleNamespace(wallet=SimpleNamespace(id=TREASURY))),
            refuser=refuser,
            limits=limits,
            alarms=self.alarms,
            packs=Packs(
                chain,
                signers,
                templates,
                sources,
                refuser=refuser,
                limits=limits,
                multicall=bytes(32),
            )
            if packs
            else None,
        )

    async def make(
        self,
        group: Sequence[QueuedOperation],
        *,
        left: int = WHOLE_LEDGER,
        state: ChainState | None = None,
        goes_on: bool | None = None,
    ) -> Round:
        """Do one round, in which nothing may be lost."""
        more = {} if goes_on is None else {"goes_on": goes_on}
        made = await self.calls.make(group, state or chain_state(), left, **more)
        assert made.missing(group) == ()
        assert made.too_dear == () or len(made.too_dear) <= len(made.settled)
        return made


def harvests(world: CallWorld, count: int, *, stake: int = 11) -> list[QueuedOperation]:
    """Return harvests whose pails can be harvested."""
    group = [operation() for _ in range(count)]
    world.chain.plant(*group, stake=stake)
    return group


def drafted(made: Round) -> list[OperationId]:
    """Return the operations in drafts."""
    return [item for draft in made.drafts for item in draft.operation_ids]
