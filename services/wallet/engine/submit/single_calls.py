"""Turns operations that are alike into signed drafts: alone, or several together."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.common.errors import UnavailableError
from libs.common.ids import OperationId
from libs.common.log import get_logger
from services.wallet.chain import (
    Chain,
    FeeCapExceededError,
    Load,
    Place,
    Resources,
    SimulationError,
    UnderivableError,
    alone,
    raw,
    sign_bumped,
    sign_direct,
)
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.chain_facts import PailState, SignedEnvelope
from services.wallet.domain.model import (
    FailureReason,
    OperationKind,
    QueuedOperation,
)
from services.wallet.domain.packing import WHOLE_LEDGER, share
from services.wallet.domain.refusals import Price
from services.wallet.domain.screening import Advice, Screening, screen
from services.wallet.domain.settling import given_up, later
from services.wallet.domain.trust import Decision
from services.wallet.engine.alarms import Alarm, Alarms
from services.wallet.engine.chain_view import Sight
from services.wallet.engine.sequence_sources import Source, Sources
from services.wallet.engine.signers import Keyring
from services.wallet.engine.submit.packs import Packs
from services.wallet.engine.submit.round import Made, Refuser, call_of
from services.wallet.engine.template_book import ShapeBook, ShapeKey
from services.wallet.engine.treasury_account import Treasury
from services.wallet.keys.signer import SeedSigner
from services.wallet.store.transactions import Draft

log = get_logger(__name__)

#: Seconds to wait when the node or the database is away.
PAUSE = 1.0
#: Share of a ledger that a call is thought to take before one was built.
_GUESS = WHOLE_LEDGER // 100
#: Calls that are simulated as the first of their kind in one round, at most.
_CANDIDATES = 5


@dataclass(frozen=True, kw_only=True)
class Seated:
    """An operation with the account that is its transaction's source."""

    #: What is to be done.
    operation: QueuedOperation
    #: Whose sequence number it takes.
    source: Source
    #: Its call.
    load: Load


class Lanes:
    """Builds single calls, under the farmers' fee bumps or by channel accounts, and packs."""

    def __init__(
        self,
        chain: Chain,
        keyring: Keyring,
        shapes: ShapeBook,
        sources: Sources,
        *,
        treasury: Treasury,
        refuser: Refuser,
        limits: OperatorLimits,
        alarms: Alarms,
        packs: Packs | None = None,
    ) -> None:
        """Without `packs` everything goes singly."""
        self._chain = chain
        self._keyring = keyring
        self._treasury = treasury
        self._refuser = refuser
        self._limits = limits
        self._alarms = alarms
        self._packs = packs
        self._shapes = shapes
        self._sources = sources
        #: Millionths of a ledger that a call of a shape takes, as last built.
        self._shares: dict[ShapeKey, int] = {}
        self._exact = asyncio.Semaphore(limits.parallel)

    @property
    def smallest_share(self) -> int:
        """What the smallest call takes of a ledger, as far as is known."""
        return min(self._shares.values(), default=_GUESS)

    async def make(
        self, group: list[QueuedOperation], sight: Sight, left: int, *, goes_on: bool = False
    ) -> Made:
        """Drafts for operations that are alike, as many as fit into what is left of the queue.

        `goes_on`: more of their kind are queued, and come next.
        """
        made = Made()
        key = _key(group[0], sight)
        # A call that is larger than what is left waits, as a ledger would pass it over; one that is
        # larger than a whole ledger is tried all the same, when nothing else is in flight.
        fitting = left // self._shares.get(key, _GUESS) or left // WHOLE_LEDGER
        made.unused += group[fitting:]
        try:
            exact, derived = await self._screen(group[:fitting], sight, made)
            await self._make_exactly(exact, sight, made)
            await self._make_derived(
                key, derived, sight, made, goes_on=goes_on and fitting >= len(group)
            )
        except UnavailableError as error:
            log.warning("dispatch delayed", error=str(error))
            made.settled += [later(item, seconds=PAUSE) for item in made.missing(group)]
        await self._settle_dear(key, made, sight)
        return made

    async def _settle_dear(self, key: ShapeKey, made: Made, sight: Sight) -> None:
        """Gives up what costs more than the cap, unless the price may not be its own.

        What a simulation showed while the farm's rent came due, which is the treasury's, is asked
        for again.
        """
        name = f"{key.kind.value}s"
        if not made.dear:
            if made.drafts:
                self._alarms.over(name)
            return
        _, first = made.dear[0]
        is_odd = first.fits_at is None and self._shapes.doubt(key.kind, sight.ledger.sequence)
        if is_odd or sight.is_rent_due:
            due = sight.ledger.sequence + 1
            made.settled += [later(item, due_ledger=due) for item, _ in made.dear]
            return
        self._alarms.tell(
            Alarm(
                name=name,
                cause="MAX_FEE_STROOPS",
                message=first.message,
                details={"operations": len(made.dear)},
            )
        )
        made.settled += [
            given_up(
                item,
                FailureReason.FEE_CAP,
                error.message,
                price=Price(bid=error.bid, fits_at=error.fits_at),
            )
            for item, error in made.dear
        ]

    async def _screen(
        self, operations: Sequence[QueuedOperation], sight: Sight, made: Made
    ) -> tuple[list[QueuedOperation], list[QueuedOperation]]:
        """Those to be simulated for themselves, and those that may go by a shape.

        What the pails show to be done or hopeless is settled here, and costs nothing.
        """
        places = {item.id: (item.address, item.block_index) for item in operations}
        pails = await self._chain.pails(list(places.values()))
        pails = await self._confirmed(operations, pails, sight)
        exact: list[QueuedOperation] = []
        derived: list[QueuedOperation] = []
        for operation in operations:
            pail = pails.get(places[operation.id])
            if pail is not None and operation.kind is OperationKind.HARVEST:
                made.stakes[operation.id] = pail.stake
            screening = _screened(operation, pails, sight)
            if screening.settlement is not None:
                made.settled.append(screening.settlement)
            elif screening.advice is Advice.SIMULATE or operation.pack_limit == 1:
                exact.append(operation)
            else:
                derived.append(operation)
        return exact, derived

    async def _confirmed(
        self,
        operations: Sequence[QueuedOperation],
        pails: dict[Place, PailState],
        sight: Sight,
    ) -> dict[Place, PailState]:
        """The pails, as several nodes have them where they would end an operation, or tell the
        stake that a harvest brings back, which is recorded and nowhere on the chain afterwards."""
        if self._chain.configured == 1:
            return pails
        ending = [
            (item.address, item.block_index)
            for item in operations
            if item.kind is OperationKind.HARVEST
            or _screened(item, pails, sight).settlement is not None
        ]
        if not ending:
            return pails
        chain = self._chain.trusted(Decision.SETTLE_BY_PAIL)
        rest = {place: pail for place, pail in pails.items() if place not in ending}
        return rest | await chain.pails(ending)

    async def _make_derived(
        self,
        key: ShapeKey,
        operations: list[QueuedOperation],
        sight: Sight,
        made: Made,
        *,
        goes_on: bool,
    ) -> None:
        """Together where that is possible: one alone is cheaper without a multicall."""
        if self._packs is None or len(operations) < 2:
            await self._make_alike(key, operations, sight, made)
            return
        await self._packs.make(key, operations, sight, made, goes_on=goes_on)
        packed = [draft for draft in made.drafts if len(draft.operation_ids) > 1]
        if packed:
            largest = max(packed, key=lambda draft: len(draft.operation_ids))
            self._shares[key] = -(-largest.share // len(largest.operation_ids))

    # One shape for all ------------------------------------------------------------------------

    async def _make_alike(
        self, key: ShapeKey, operations: list[QueuedOperation], sight: Sight, made: Made
    ) -> None:
        seated = await self._seat(operations, made)
        resources = await self._first_shape(key, seated, sight, made)
        if resources is None or not seated:
            return
        drafts = await self._sign(seated, resources, sight, made)
        if drafts:
            self._shares[key] = drafts[0].share
        made.drafts += drafts

    async def _first_shape(
        self,
        key: ShapeKey,
        seated: list[Seated],
        sight: Sight,
        made: Made,
    ) -> dict[OperationId, Resources] | None:
        """Resources of all, from the shape that the first of them shows.

        One whose simulation fails is settled as that and leaves; None when the shape cannot be had
        at the moment: then all wait for the next ledger.
        """
        for _ in range(min(_CANDIDATES, len(seated))):
            operation = seated[0].operation
            if sight.is_ahead(operation.kind, operation.block_index):
                shape = self._shapes.known(key, operation.block_index)
            else:
                try:
                    shape = await self._shapes.shape(
                        key,
                        seated[0].load,
                        source=seated[0].source.address,
                        block_index=operation.block_index,
                    )
                except SimulationError as error:
                    made.settled.append(await self._refuser.settle(operation, error))
                    del seated[0]
                    continue
                except UnderivableError as error:
                    log.warning("no shape", kind=key.kind.value, error=str(error))
                    made.settled += [later(item.operation, pack_limit=1) for item in seated]
                    return None
            if shape is None:
                break
            return {item.operation.id: self._chain.resources(shape, item.load) for item in seated}
        due = sight.ledger.sequence + 1
        made.settled += [later(item.operation, due_ledger=due) for item in seated]
        return None

    # Each simulated for itself ----------------------------------------------------------------

    async def _make_exactly(
        self, operations: list[QueuedOperation], sight: Sight, made: Made
    ) -> None:
        """The network disagreed with what was derived for them, or with those around them."""
        seated = await self._seat(operations, made)
        was_due = bool(seated) and await self._shapes.carries_rent()
        found = await asyncio.gather(*map(self._simulate, seated))
        resources: dict[OperationId, Resources] = {}
        for item, outcome in zip(seated, found, strict=True):
            if isinstance(outcome, Resources):
                resources[item.operation.id] = outcome
            else:
                made.settled.append(await self._refuser.settle(item.operation, outcome))
        ready = [item for item in seated if item.operation.id in resources]
        if ready and (was_due or await self._shapes.carries_rent()):
            due = sight.ledger.sequence + 1
            made.settled += [later(item.operation, due_ledger=due) for item in ready]
            return
        made.drafts += await self._sign(ready, resources, sight, made)

    async def _simulate(self, seated: Seated) -> Resources | SimulationError:
        async with self._exact:
            try:
                source = seated.source.address
                return await self._chain.simulate_exactly(seated.load, source=source)
            except SimulationError as error:
                return error

    # Seats, signatures ------------------------------------------------------------------------

    async def _seat(self, operations: Sequence[QueuedOperation], made: Made) -> list[Seated]:
        """Each with the account that is its transaction's source."""
        sources = await self._sources.of(operations)
        seated: list[Seated] = []
        for operation in operations:
            source = sources.get(operation.id)
            if source is None:
                reason = FailureReason.NOT_FUNDED
                made.settled.append(given_up(operation, reason, "the account does not exist"))
            else:
                load = alone(call_of(self._chain, operation))
                seated.append(Seated(operation=operation, source=source, load=load))
        return seated

    async def _sign(
        self,
        seated: Sequence[Seated],
        resources: dict[OperationId, Resources],
        sight: Sight,
        made: Made,
    ) -> list[Draft]:
        if not seated:
            return []
        ids = [self._treasury.wallet.id, *(item.source.wallet_id for item in seated)]
        drafts: list[Draft] = []
        async with self._keyring.signers(ids) as (treasury, *signers):
            for item, signer in zip(seated, signers, strict=True):
                operation = item.operation
                try:
                    envelope = self._envelope(
                        item, (signer, treasury), resources[operation.id], sight
                    )
                except FeeCapExceededError as error:
                    made.dear.append((operation, error))
                    continue
                if envelope is None:
                    made.settled.append(later(operation, due_ledger=sight.ledger.sequence + 1))
                    continue
                drafts.append(
                    Draft(
                        envelope=envelope,
                        operation_ids=(operation.id,),
                        stakes_returned=(made.stakes.get(operation.id, 0),),
                        share=_share(envelope, sight),
                    )
                )
        return drafts

    def _envelope(
        self,
        seated: Seated,
        signers: tuple[SeedSigner, SeedSigner],
        resources: Resources,
        sight: Sight,
    ) -> SignedEnvelope | None:
        """None when its time bound would be over already."""
        operation = seated.operation
        bid = sight.bid(operation.kind, operation.block_index, self._limits)
        if bid.max_time <= sight.ledger.close_time:
            return None
        source, load = seated.source, seated.load
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


def _screened(
    operation: QueuedOperation, pails: Mapping[Place, PailState], sight: Sight
) -> Screening:
    pail = pails.get((operation.address, operation.block_index))
    return screen(operation, pail, key=raw(operation.address), block=sight.block)


def _key(operation: QueuedOperation, sight: Sight) -> ShapeKey:
    return ShapeKey(
        kind=operation.kind,
        has_stake=operation.amount > 0,
        opens=operation.kind is OperationKind.PLANT and not sight.is_open(operation.block_index),
    )


def _share(envelope: SignedEnvelope, sight: Sight) -> int:
    return 0 if envelope.usage is None else share(envelope.usage, sight.limits)
