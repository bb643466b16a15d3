"""Use cases of farmers and poolers that leave: asked for, called off, and carried out step by step.

Every step is recorded before the next one begins, and may be repeated: whoever dies, the next look
goes on where it stood.
"""

from dataclasses import dataclass

from libs.common.errors import FailedPreconditionError, NotFoundError, PoolError
from libs.common.failpoints import failpoint
from libs.common.ids import FarmerId, PoolerId
from libs.common.log import get_logger, get_security_logger
from services.registry.clients import WalletClient
from services.registry.domain.errors import (
    FarmerStatusError,
    LeavingNotYoursError,
    PoolerStageError,
)
from services.registry.domain.leaving import Leaving, Waits, Word, waits_for
from services.registry.domain.model import Farmer, Pooler
from services.registry.domain.status import FarmerEvent, FarmerStatus, PoolerStage
from services.registry.store.leaving import LeavingStore
from services.registry.usecases.registry import Registry

log = get_logger(__name__)
security = get_security_logger()

#: Wishes, and farmers of a pooler, that are looked at in one round.
PAGE = 50
#: Leavers that one process takes up at a time.
CLAIMED = 3
#: Seconds for which one process has leavers to itself: longer than wallet's calls for all of them.
LEASE = 60.0
_ON_THEIR_WAY = frozenset({FarmerStatus.LEAVING, FarmerStatus.CLOSING, FarmerStatus.DEPARTED})
_OF_POOLER = frozenset({PoolerStage.LEAVING, PoolerStage.CLOSING, PoolerStage.DEPARTED})


@dataclass(frozen=True, kw_only=True)
class Departures:
    """The use cases of one process."""

    registry: Registry
    store: LeavingStore
    wallet: WalletClient
    #: Seconds between two looks at somebody who leaves.
    pause: float

    # What is asked for ------------------------------------------------------------------------

    async def leave(self, farmer_id: FarmerId, word: Word, *, actor: str) -> Farmer:
        """Have a farmer leave; once it does, the stronger word counts. Raises FarmerStatusError."""
        moved = await self.store.leave(farmer_id, word, asked_by=actor)
        farmer = await self.registry.farmer(farmer_id)
        if moved:
            security.warning("farmer leaves", farmer=str(farmer_id), word=word.value, actor=actor)
        elif farmer.status not in _ON_THEIR_WAY:
            raise _status_error(farmer, "leave")
        return farmer

    async def stay(self, farmer_id: FarmerId, word: Word, *, actor: str) -> Farmer:
        """Call a farmer's leaving off, until its account is being closed.

        Raises LeavingNotYoursError, FarmerStatusError.
        """
        moved = await self.store.stay(farmer_id, word)
        farmer = await self.registry.farmer(farmer_id)
        if moved:
            security.warning("farmer stays", farmer=str(farmer_id), word=word.value, actor=actor)
        elif farmer.status is FarmerStatus.LEAVING:
            raise LeavingNotYoursError(
                f"the farmer leaves by the word of its {farmer.leaving_word}",
                metadata={"word": farmer.leaving_word},
            )
        elif farmer.status is not FarmerStatus.ACTIVE:
            raise _status_error(farmer, "stay")
        return farmer

    async def leave_pooler(self, pooler_id: PoolerId, *, actor: str) -> Pooler:
        """Have a pooler leave with all of its farmers. Raises PoolerStageError."""
        moved = await self.store.leave_pooler(pooler_id, asked_by=actor)
        pooler = await self.registry.pooler(pooler_id)
        if moved:
            security.warning("pooler leaves", pooler=str(pooler_id), actor=actor)
        elif pooler.stage not in _OF_POOLER:
            raise _stage_error(pooler, "leave")
        return pooler

    async def stay_pooler(self, pooler_id: PoolerId, *, actor: str) -> Pooler:
        """Call a pooler's leaving off, until its account is being closed.

        Farmers that leave because of it stay, too. Raises PoolerStageError.
        """
        moved = await self.store.stay_pooler(pooler_id)
        pooler = await self.registry.pooler(pooler_id)
        if moved:
            security.warning("pooler stays", pooler=str(pooler_id), actor=actor)
        elif pooler.stage is not PoolerStage.FARMING:
            raise _stage_error(pooler, "stay")
        return pooler

    # What is carried out ----------------------------------------------------------------------

    async def step(self) -> bool:
        """Look at some who leave, and take what steps can be taken; tell whether there were any."""
        for farmer_id, number in (await self.store.wishes(limit=PAGE)).items():
            if await self.store.leave(farmer_id, Word.OWNER, asked_by="owner account", wish=number):
                security.warning("farmer leaves", farmer=str(farmer_id), word=Word.OWNER.value)
        claimed = await self.store.claim(limit=CLAIMED, lease=LEASE)
        for one in claimed:
            try:
                await self._advance(one)
            except PoolError as error:
                log.warning("leaving waits", owner=str(one.owner_id), reason=error.reason)
                await self.store.note(one.owner_id, None, pause=self.pause)
        return bool(claimed)

    async def _advance(self, one: Leaving) -> None:
        if not one.is_closing:
            waits = await self._waits(one)
            if waits is not None:
                await self.store.note(one.owner_id, waits, pause=self.pause)
                return
            if not await self.store.move(one, FarmerEvent.EMPTIED):
                return
            await failpoint("registry.leaving.emptied")
        await self._close(one)

    async def _waits(self, one: Leaving) -> Waits | None:
        """Return what somebody waits for before wallet is asked; None: for nothing."""
        left = dict(await self.store.left(one.owner_id))
        if one.is_pooler:
            pooler_id = PoolerId(one.owner_id)
            await self._have_all_leave(pooler_id)
            left["farmers"] = await self.store.farmers_left(pooler_id)
        return waits_for(left)

    async def _have_all_leave(self, pooler_id: PoolerId) -> None:
        """Have the farmers of a pooler leave that came or were left since it does."""
        for farmer_id in await self.store.leavable(pooler_id, limit=PAGE):
            await self.store.leave(
                farmer_id, Word.OPERATOR, asked_by=f"pooler {pooler_id} leaves", with_pooler=True
            )

    async def _close(self, one: Leaving) -> None:
        """Have wallet close the account, and note that it is gone, or why it is not."""
        try:
            is_closed = await self.wallet.close_account(one.owner_id, is_pooler=one.is_pooler)
        except (FailedPreconditionError, NotFoundError) as error:
            await failpoint("registry.leaving.refused")
            await self.store.move(one, FarmerEvent.REOPENED)
            waits = Waits(reason=error.reason, message=error.message)
            await self.store.note(one.owner_id, waits, pause=self.pause)
            return
        if not is_closed:
            await self.store.note(one.owner_id, None, pause=min(1.0, self.pause))
            return
        await failpoint("registry.leaving.closed")
        if await self.store.move(one, FarmerEvent.CLOSED):
            security.warning("has left", **{_noun(one): str(one.owner_id)})


def _noun(one: Leaving) -> str:
    return "pooler" if one.is_pooler else "farmer"


def _status_error(farmer: Farmer, verb: str) -> FarmerStatusError:
    return FarmerStatusError(
        f"the farmer is {farmer.status.value}: it cannot {verb}",
        metadata={"status": farmer.status.value},
    )


def _stage_error(pooler: Pooler, verb: str) -> PoolerStageError:
    return PoolerStageError(
        f"the pooler is {pooler.stage.value}: it cannot {verb}",
        metadata={"stage": pooler.stage.value},
    )
