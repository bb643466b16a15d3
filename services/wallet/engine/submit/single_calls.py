"""Signed drafts made from operations that are alike: alone, or several together."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from libs.common.errors import UnavailableError
from libs.common.ids import OperationId
from libs.common.log import get_logger
from services.wallet.chain import (
    Chain,
    FeeCapExceededError,
    Load,
    Resources,
    ResourceTemplate,
    SimulationError,
    UnderivableError,
    alone,
    sign_bumped,
    sign_direct,
)
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.chain_facts import SignedEnvelope
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import (
    FailureReason,
    QueuedOperation,
    Settlement,
)
from services.wallet.domain.packing import WHOLE_LEDGER, share
from services.wallet.domain.screening import LOCKED
from services.wallet.domain.settling import given_up, later
from services.wallet.engine.alarms import Alarm, Alarms
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.sequence_sources import Seen, Source, Sources
from services.wallet.engine.signers import Signers
from services.wallet.engine.submit.packs import Packs
from services.wallet.engine.submit.round import Refuser, Round, TooDear, call_of, postponed
from services.wallet.engine.submit.screener import Screener
from services.wallet.engine.template_book import TemplateBook, TemplateKey
from services.wallet.engine.treasury_account import Treasury
from services.wallet.keys.signer import SeedSigner
from services.wallet.store.transactions import Draft

log = get_logger(__name__)

#: Seconds to wait when the node or the database is away.
PAUSE = 1.0
#: Share of a ledger that a call is assumed to take before one was built.
_GUESS = WHOLE_LEDGER // 100
#: Calls that are simulated as the first of their kind in one round, at most.
_CANDIDATES = 5


@dataclass(frozen=True, kw_only=True)
class Sourced:
    """An operation with the account that is its transaction's source."""

    #: The operation.
    operation: QueuedOperation
    #: The account whose sequence number the transaction takes.
    source: Source
    #: The operation's call.
    load: Load


class SingleCalls:
    """A builder of packs and of single calls, under farmers' fee bumps or by channel accounts."""

    def __init__(
        self,
        chain: Chain,
        signers: Signers,
        templates: TemplateBook,
        sources: Sources,
        *,
        treasury: Treasury,
        refuser: Refuser,
        limits: OperatorLimits,
        alarms: Alarms,
        packs: Packs | None = None,
    ) -> None:
        """Make every operation a single call when there are no `packs`."""
        self._chain = chain
        self._signers = signers
        self._treasury = treasury
        self._refuser = refuser
        self._limits = limits
        self._alarms = alarms
        self._packs = packs
        self._templates = templates
        self._sources = sources
        #: Millionths of a ledger that a call of a template takes, as last built.
        self._shares: dict[TemplateKey, int] = {}
        self._exact = asyncio.Semaphore(limits.parallel)
        self._screener = Screener(chain=chain)

    @property
    def has_packs(self) -> bool:
        """Tell whether several operations may share a transaction."""
        return self._packs is not None

    @property
    def smallest_share(self) -> int:
        """Return what the smallest call takes of a ledger, as far as is known."""
        return min(self._shares.values(), default=_GUESS)

    async def make(
        self,
        group: Sequence[QueuedOperation],
        chain_state: ChainState,
        left: int,
        *,
        goes_on: bool = False,
    ) -> Round:
        """Make drafts for operations that are alike, as many as fit into what is left of the queue.

        `goes_on` says that more of their kind are queued, and come next.
        """
        key = _key(group[0], chain_state)
        # A call that is larger than what is left waits, as a ledger would pass it over. A call that
        # is larger than a whole ledger is tried all the same, when nothing else is in flight.
        fitting = left // self._shares.get(key, _GUESS) or left // WHOLE_LEDGER
        made = Round(unused=tuple(group[fitting:]))
        goes_on = goes_on and fitting >= len(group)
        try:
            parts = self._parts(key, group[:fitting], chain_state, goes_on=goes_on)
            async with aclosing(parts):
                async for part in parts:
                    made += part
        except UnavailableError as error:
            log.warning("dispatch delayed", error=str(error))
            waiting = (later(item, seconds=PAUSE) for item in made.missing(group))
            made += Round(settled=tuple(waiting))
        return made + self._settled_dear(key, made, chain_state)

    async def _parts(
        self,
        key: TemplateKey,
        group: Sequence[QueuedOperation],
        chain_state: ChainState,
        *,
        goes_on: bool,
    ) -> AsyncGenerator[Round, None]:
        """Yield one part of the round after the other; what was yielded stays, whatever follows."""
        screened = await self._screener.screen(group, chain_state)
        yield Round(settled=screened.settled)
        yield await self._make_exactly(screened.exact, screened.stakes, chain_state)
        # Pack calls where that is possible: a call alone is cheaper without a multicall.
        if self._packs is None or len(screened.derived) < 2:
            # Simulations take a while, in which a number may be used.
            seen = None if screened.exact else screened.seen
            sourced = await self._sourced(screened.derived, seen)
            yield await self._make_alike(key, sourced, screened.stakes, chain_state)
            return
        parts = self._packs.make(
            key, screened.derived, screened.stakes, chain_state, goes_on=goes_on
        )
        drafts: list[Draft] = []
        async with aclosing(parts):
            async for part in parts:
                drafts += part.drafts
                self._note_share(key, drafts)
                yield part

    def _note_share(self, key: TemplateKey, drafts: Sequence[Draft]) -> None:
        """Remember what a call takes of a ledger, by the largest of several packs."""
        packed = [draft for draft in drafts if len(draft.operation_ids) > 1]
        if packed:
            largest = max(packed, key=lambda draft: len(draft.operation_ids))
            self._shares[key] = -(-largest.share // len(largest.operation_ids))

    def _settled_dear(self, key: TemplateKey, made: Round, chain_state: ChainState) -> Round:
        """Give up operations that cost more than the cap, unless the price may not be their own.

        When a simulation was made while the farm's rent came due, the price is asked for again: the
        rent is the treasury's to pay.
        """
        name = f"{key.kind.value}s"
        if not made.too_dear:
            if made.drafts:
                self._alarms.over(name)
            return Round()
        first = made.too_dear[0].error
        is_odd = self._templates.doubt(key.kind, chain_state.ledger.sequence)
        if is_odd or chain_state.is_rent_due:
            return postponed((item.operation for item in made.too_dear), chain_state)
        self._alarms.tell(
            Alarm(
                name=name,
                cause="MAX_FEE_STROOPS",
                message=first.message,
                details={"operations": len(made.too_dear)},
            )
        )
        given = (
            given_up(
                item.operation,
                FailureReason.FEE_CAP,
                item.error.message,
                asked=item.error.bid,
            )
            for item in made.too_dear
        )
        return Round(settled=tuple(given))

    # One template for all ---------------------------------------------------------------------

    async def _make_alike(
        self,
        key: TemplateKey,
        found: tuple[Sequence[Sourced], Round],
        stakes: Mapping[OperationId, int],
        chain_state: ChainState,
    ) -> Round:
        """Make drafts from what `_sourced` has found."""
        sourced, made = found
        resources, rest, settled = await self._first_template(key, sourced, chain_state)
        made += Round(settled=settled)
        if resources is None:
            return made
        signed = await self._sign(rest, resources, stakes, chain_state)
        if signed.drafts:
            self._shares[key] = signed.drafts[0].share
        return made + signed

    async def _first_template(
        self, key: TemplateKey, sourced: Sequence[Sourced], chain_state: ChainState
    ) -> tuple[dict[OperationId, Resources] | None, Sequence[Sourced], tuple[Settlement, ...]]:
        """Return the resources of all from the template that the first of them shows.

        The other parts of the result are the operations that are left, and the settlements. An
        operation whose simulation fails is settled by that error and is not left. There are no
        resources when the template cannot be had at the moment: then all wait for the next ledger.
        """
        settled: list[Settlement] = []
        rest = list(sourced)
        for _ in range(min(_CANDIDATES, len(rest))):
            operation = rest[0].operation
            try:
                template = await self._template(key, rest[0], chain_state)
            except SimulationError as error:
                settled.append(await self._refuser.settle(operation, error))
                del rest[0]
                continue
            except UnderivableError as error:
                log.warning("no template", kind=key.kind.value, error=str(error))
                settled += [later(item.operation, pack_limit=1) for item in rest]
                return None, [], tuple(settled)
            if template is None:
                break
            found = {item.operation.id: self._chain.resources(template, item.load) for item in rest}
            return found, rest, tuple(settled)
        waiting = postponed((item.operation for item in rest), chain_state)
        return None, [], (*settled, *waiting.settled)

    async def _template(
        self, key: TemplateKey, sourced: Sourced, chain_state: ChainState
    ) -> ResourceTemplate | None:
        operation = sourced.operation
        if chain_state.is_ahead(operation.kind, operation.block_index):
            return self._templates.known(key, operation.block_index)
        return await self._templates.template(
            key,
            sourced.load,
            source=sourced.source.address,
            block_index=operation.block_index,
        )

    # Each simulated for itself ----------------------------------------------------------------

    async def _make_exactly(
        self,
        operations: Sequence[QueuedOperation],
        stakes: Mapping[OperationId, int],
        chain_state: ChainState,
    ) -> Round:
        """Make drafts for operations that are simulated one by one.

        The network disagreed with what was derived for these operations, or for others around them.
        """
        sourced, made = await self._sourced(operations)
        was_due = bool(sourced) and await self._templates.carries_rent()
        found = await asyncio.gather(*map(self._simulate, sourced))
        resources: dict[OperationId, Resources] = {}
        for item, outcome in zip(sourced, found, strict=True):
            if isinstance(outcome, Resources):
                resources[item.operation.id] = outcome
            else:
                settlement = await self._refuser.settle(item.operation, outcome)
                made += Round(settled=(settlement,))
        fine = [item for item in sourced if item.operation.id in resources]
        # A pail that is not shown, and whose harvest would work: nodes contradict themselves. Its
        # stake could not be recorded.
        ready = [item for item in fine if _has_stake(item.operation, stakes)]
        hidden = [item for item in fine if not _has_stake(item.operation, stakes)]
        made += postponed((item.operation for item in hidden), chain_state)
        if ready and (was_due or await self._templates.carries_rent()):
            return made + postponed((item.operation for item in ready), chain_state)
        return made + await self._sign(ready, resources, stakes, chain_state)

    async def _simulate(self, sourced: Sourced) -> Resources | SimulationError:
        async with self._exact:
            try:
                source = sourced.source.address
                return await self._chain.simulate_exactly(sourced.load, source=source)
            except SimulationError as error:
                return error

    # Sources, signatures ----------------------------------------------------------------------

    async def _sourced(
        self, operations: Sequence[QueuedOperation], seen: Seen | None = None
    ) -> tuple[list[Sourced], Round]:
        """Return each operation with its transaction's source account; settle those without one."""
        sources = await self._sources.of(operations, seen)
        sourced: list[Sourced] = []
        settled: list[Settlement] = []
        for operation in operations:
            source = sources.get(operation.id)
            if source is None:
                reason = FailureReason.NOT_FUNDED
                settled.append(given_up(operation, reason, "the account does not exist"))
            elif not source.obeys:
                settled.append(self._without_key(operation))
            else:
                load = alone(call_of(self._chain, operation))
                sourced.append(Sourced(operation=operation, source=source, load=load))
        return sourced, Round(settled=tuple(settled))

    def _without_key(self, operation: QueuedOperation) -> Settlement:
        """Settle an operation whose farmer's account does not obey.

        What needs nobody's consent goes by a channel account, if there are any, in a later ledger.
        """
        if self._sources.has_channels and not OPERATION_KINDS[operation.kind].needs_consent:
            return later(operation, seconds=PAUSE)
        return given_up(operation, FailureReason.ACCOUNT_LOCKED, LOCKED)

    async def _sign(
        self,
        sourced: Sequence[Sourced],
        resources: Mapping[OperationId, Resources],
        stakes: Mapping[OperationId, int],
        chain_state: ChainState,
    ) -> Round:
        if not sourced:
            return Round()
        ids = [self._treasury.wallet.id, *(item.source.wallet_id for item in sourced)]
        drafts: list[Draft] = []
        dear: list[TooDear] = []
        over: list[QueuedOperation] = []
        async with self._signers.open(ids) as (treasury, *signers):
            for item, signer in zip(sourced, signers, strict=True):
                operation = item.operation
                try:
                    envelope = self._envelope(
                        item, (signer, treasury), resources[operation.id], chain_state
                    )
                except FeeCapExceededError as error:
                    dear.append(TooDear(operation=operation, error=error))
                    continue
                if envelope is None:
                    over.append(operation)
                    continue
                drafts.append(
                    Draft(
                        envelope=envelope,
                        operation_ids=(operation.id,),
                        stakes_returned=(stakes.get(operation.id, 0),),
                        share=_share(envelope, chain_state),
                    )
                )
        return Round(drafts=tuple(drafts), too_dear=tuple(dear)) + postponed(over, chain_state)

    def _envelope(
        self,
        sourced: Sourced,
        signers: tuple[SeedSigner, SeedSigner],
        resources: Resources,
        chain_state: ChainState,
    ) -> SignedEnvelope | None:
        """Return the signed envelope; None when its time bound would be over already."""
        operation = sourced.operation
        bid = chain_state.bid(operation.kind, operation.block_index, self._limits)
        if bid.max_time <= chain_state.ledger.close_time:
            return None
        source, load = sourced.source, sourced.load
        if source.is_channel:
            return sign_direct(
                load,
                resources,
                network=self._chain.network,
                source=signers[0],
                sequence=source.sequence,
                bid=bid,
            )
        return sign_bumped(
            load,
            resources,
            network=self._chain.network,
            source=signers[0],
            treasury=signers[1],
            sequence=source.sequence,
            bid=bid,
        )


def _has_stake(operation: QueuedOperation, stakes: Mapping[OperationId, int]) -> bool:
    """Tell whether the stake that an operation gives back is known, if it gives one back."""
    return not OPERATION_KINDS[operation.kind].returns_stake or operation.id in stakes


def _key(operation: QueuedOperation, chain_state: ChainState) -> TemplateKey:
    return TemplateKey(
        kind=operation.kind,
        has_stake=operation.amount > 0,
        opens=OPERATION_KINDS[operation.kind].opens_block
        and not chain_state.is_open(operation.block_index),
    )


def _share(envelope: SignedEnvelope, chain_state: ChainState) -> int:
    return 0 if envelope.usage is None else share(envelope.usage, chain_state.limits)
