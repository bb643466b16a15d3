"""Use cases of registry: poolers, farmers, and their changes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast
from uuid import UUID

from libs.common.db.pool import Session
from libs.common.errors import PoolError
from libs.common.failpoints import failpoint
from libs.common.ids import FarmerId, PoolerId, new_id
from libs.common.log import get_logger
from libs.kale.amounts import format_percentage
from services.registry.clients import WalletClient
from services.registry.domain.errors import (
    FarmerNotFoundError,
    FarmerStatusError,
    MaxFarmersTooLowError,
    PayoutAddressNotSetError,
    PoolerExistsError,
    PoolerNotFoundError,
    RequestIdReusedError,
    StakeNotAgreedError,
    TermsChangedError,
    TermsNotFoundError,
)
from services.registry.domain.joining import JoinLimits, check_allowed, check_joined, check_place
from services.registry.domain.model import Change, Farmer, NewFarmer, NewPooler, Pooler
from services.registry.domain.status import FarmerEvent, sources, target
from services.registry.domain.terms import FeeRules, NewTerms, Terms, check_fees, joined_stake
from services.registry.store.store import Store

log = get_logger(__name__)

IdT = TypeVar("IdT", bound=UUID)


@dataclass(frozen=True, kw_only=True)
class Registry:
    """The use cases of one process."""

    #: registry's tables.
    store: Store
    #: Client of wallet, which makes wallets.
    wallet: WalletClient
    #: The operator's limits of who joins by itself.
    join_limits: JoinLimits

    async def register_pooler(self, new: NewPooler, change: Change) -> Pooler:
        """Register a pooler and return it, or return the pooler that this request has made."""

        async def act(session: Session, pooler_id: PoolerId) -> None:
            if not await self.store.insert_pooler(session, pooler_id, new):
                raise PoolerExistsError(
                    "public_key belongs to another pooler",
                    metadata={"public_key": new.public_key},
                )

        pooler = await self.pooler(await self.once(change, PoolerId(new_id()), act))
        await failpoint("registry.pooler.registered")
        try:
            await self.wallet.create_pooler_wallet(pooler.pooler_id, pooler.public_key)
        except PoolError as error:
            # wallet makes the accounts of poolers that have none by itself.
            log.warning(
                "no custodial account yet", pooler=str(pooler.pooler_id), error=error.message
            )
        return pooler

    async def pooler(self, pooler_id: PoolerId) -> Pooler:
        """Return one pooler."""
        pooler = await self.store.pooler(pooler_id)
        if pooler is None:
            raise _no_pooler(pooler_id)
        return pooler

    async def lock_pooler(self, session: Session, pooler_id: PoolerId) -> Pooler:
        """Return one pooler, whose row nobody else changes until the transaction ends."""
        pooler = await self.store.lock_pooler(session, pooler_id)
        if pooler is None:
            raise _no_pooler(pooler_id)
        return pooler

    async def update_pooler(self, pooler_id: PoolerId, change: Change) -> Pooler:
        """Change a pooler, once per request id."""
        values = change.values

        async def act(session: Session, _: PoolerId) -> None:
            pooler = await self.lock_pooler(session, pooler_id)
            most = values.get("max_farmers")
            if isinstance(most, int) and most < pooler.current_farmers:
                raise MaxFarmersTooLowError(
                    f"the pooler has {pooler.current_farmers} farmers",
                    metadata={"current_farmers": str(pooler.current_farmers)},
                )
            await self.store.update_pooler(
                session,
                pooler_id,
                name=_text(values, "name"),
                api_endpoint=_text(values, "api_endpoint"),
                max_farmers=most if isinstance(most, int) else None,
                is_listed=_flag(values, "is_listed"),
                is_open_to_join=_flag(values, "is_open_to_join"),
            )

        await self.once(change, pooler_id, act)
        return await self.pooler(pooler_id)

    async def set_pooler_active(self, pooler_id: PoolerId, *, active: bool) -> Pooler:
        """Suspend or resume a pooler."""
        if not await self.store.set_pooler_active(pooler_id, active=active):
            raise _no_pooler(pooler_id)
        return await self.pooler(pooler_id)

    async def heartbeat(self, pooler_id: PoolerId) -> datetime:
        """Note that the pooler is alive; return the moment noted."""
        seen = await self.store.heartbeat(pooler_id)
        if seen is None:
            raise _no_pooler(pooler_id)
        return seen

    async def publish_terms(
        self, pooler_id: PoolerId, terms: NewTerms, change: Change, *, actor: str
    ) -> Terms:
        """Publish a pooler's terms, once per request id; return the newest ones.

        Raises FeeTooHighError.
        """
        check_fees(terms, await self.wallet.fee_rules())

        async def act(session: Session, _: PoolerId) -> None:
            await self.lock_pooler(session, pooler_id)
            await self.store.insert_terms(session, pooler_id, terms, actor=actor)

        await self.once(change, pooler_id, act)
        return await self.terms(pooler_id)

    async def terms(self, pooler_id: PoolerId, version: int = 0) -> Terms:
        """Return a version (0: the newest) of a pooler's terms. Raises TermsNotFoundError."""
        found = await self.store.terms(pooler_id, version)
        if found is None:
            await self.pooler(pooler_id)
            raise TermsNotFoundError(
                f"pooler {pooler_id} has published no {f'terms {version}' if version else 'terms'}",
                metadata={"pooler_id": str(pooler_id)},
            )
        return found

    async def register_farmer(self, new: NewFarmer) -> Farmer:
        """Register a farmer with its wallet, or return the farmer that this request registered."""
        offered = await self.store.terms(new.pooler_id)
        rules = None if offered is None else await self.wallet.fee_rules()
        farmer_id = await self._enrol(new, rules)
        farmer = await self.farmer(farmer_id)
        if farmer.digest != new.digest:
            raise _reused(new.request_id)
        if not farmer.custodial_wallet:
            await self.provision(farmer_id, new.pooler_id)
            farmer = await self.farmer(farmer_id)
        return farmer

    async def join(self, new: NewFarmer) -> Farmer:
        """Register a farmer by its owner account's word, or return the one that this has made.

        Raise TermsNotFoundError for a pooler without terms, and what `register_farmer` raises.
        """
        await self.terms(new.pooler_id)
        return await self.register_farmer(new)

    async def provision(self, farmer_id: FarmerId, pooler_id: PoolerId) -> None:
        """Give a farmer its wallet; this is safe to repeat, also after a crash at any instant."""
        await failpoint("registry.farmer.enrolled")
        farmer = await self.farmer(farmer_id)
        terms = None
        if farmer.terms_version:
            terms = await self.store.terms(pooler_id, farmer.terms_version)
        wallet_id, address = await self.wallet.create_wallet(farmer, terms)
        await failpoint("registry.farmer.wallet_made")
        made = FarmerEvent.WALLET_MADE
        await self.store.activate_farmer(farmer_id, wallet_id, address, target(made), sources(made))
        await failpoint("registry.farmer.active")

    async def farmer(self, farmer_id: FarmerId) -> Farmer:
        """Return one farmer."""
        farmer = await self.store.farmer(farmer_id)
        if farmer is None:
            raise _no_farmer(farmer_id)
        return farmer

    async def update_farmer(self, farmer_id: FarmerId, change: Change) -> Farmer:
        """Change a farmer, once per request id.

        A payout address and a stake are noted only: where money goes and what is staked at most is
        for wallet to decide, by the word of whom the farmer belongs to. Raise
        PayoutAddressNotSetError and StakeNotAgreedError when wallet says otherwise.
        """
        farmer, values = await self.farmer(farmer_id), change.values
        stake, payout = values.get("stake_bps"), _text(values, "payout_wallet_address")
        if (payout is not None or stake is not None) and not farmer.custodial_wallet:
            await self.provision(farmer_id, farmer.pooler_id)

        async def act(session: Session, _: FarmerId) -> None:
            await self.store.update_farmer(
                session,
                farmer_id,
                stake_bps=stake if isinstance(stake, int) else None,
                metadata=_text(values, "metadata"),
                payout_wallet_address=payout,
            )
            # The row is locked by now, so of two changes at once the later one is checked last.
            if payout is not None:
                await self._check_payout_address(farmer_id, payout)
            if isinstance(stake, int):
                await self._check_stake(farmer_id, stake)

        await self.once(change, farmer_id, act)
        return await self.farmer(farmer_id)

    async def _check_stake(self, farmer_id: FarmerId, stake_bps: int) -> None:
        limit = await self.wallet.stake_limit(farmer_id)
        if stake_bps > limit:
            raise StakeNotAgreedError(
                f"stake_percentage: wallet signs stakes of up to {format_percentage(limit)}: raise "
                "that first, in your own name, by WalletService/SetStakeLimit",
                metadata={"limit": format_percentage(limit)},
            )

    async def _check_payout_address(self, farmer_id: FarmerId, address: str) -> None:
        newest = await self.wallet.newest_payout_address(farmer_id)
        if newest != address:
            raise PayoutAddressNotSetError(
                "payout_wallet_address: wallet has another one: set it there first, in your own "
                "name, by WithdrawalService/SetPayoutAddress",
                metadata={"expected": address, "found": newest},
            )

    async def move_farmer(self, farmer_id: FarmerId, event: FarmerEvent) -> Farmer:
        """Suspend or resume a farmer, as the table of statuses allows."""
        moved = await self.store.set_farmer_status(farmer_id, target(event), sources(event))
        farmer = await self.farmer(farmer_id)
        if not moved:
            raise FarmerStatusError(
                f"the farmer is {farmer.status.value}: it cannot be {event.value}",
                metadata={"status": farmer.status.value},
            )
        return farmer

    async def _enrol(self, new: NewFarmer, rules: FeeRules | None) -> FarmerId:
        """Take a place with the pooler, once per request id; `rules` where it offers terms."""
        async with self.store.database.transaction() as session:
            if new.joins_itself:
                await self.store.take_join_turn(session)
            pooler = await self.lock_pooler(session, new.pooler_id)
            known = await self.store.farmer_of_request(session, new.pooler_id, new.request_id)
            if known is not None:
                return known
            if new.joins_itself:
                check_allowed(pooler, self.join_limits)
            check_place(pooler)
            if new.joins_itself:
                joined = await self.store.joined(session, new.owner_account)
                check_joined(joined, self.join_limits)
            offered = await self.store.terms(new.pooler_id, session=session)
            stake = joined_stake(
                offered, new.stake_bps, is_given=new.has_stake, shown=new.terms_version
            )
            if offered is not None:
                # Else a farmer would be enrolled whose wallet is never made.
                check_fees(offered, _known(rules))
            farmer_id, version = FarmerId(new_id()), offered.version if offered else 0
            await self.store.insert_farmer(
                session, farmer_id, new, stake_bps=stake, terms_version=version
            )
        return farmer_id

    async def once(
        self, change: Change, subject: IdT, act: Callable[[Session, IdT], Awaitable[None]]
    ) -> IdT:
        """Act and note the request in one transaction; a repeat returns the first subject."""
        async with self.store.database.transaction() as session:
            if change.request_id and not await self.store.insert_request(
                session, change.request_id, change.method, change.digest, subject
            ):
                # The insert has waited until the call that was first had committed.
                known = await self.store.request(session, change.request_id, change.method)
                return cast("IdT", _same(change, known))
            await act(session, subject)
        return subject


def _known(rules: FeeRules | None) -> FeeRules:
    if rules is None:
        raise TermsChangedError("the pooler has published terms just now: ask again")
    return rules


def _same(change: Change, known: tuple[bytes, UUID] | None) -> UUID:
    """Return the first call's subject, if both calls ask for the same."""
    if known is None or known[0] != change.digest:
        raise _reused(change.request_id)
    return known[1]


def _text(values: object, name: str) -> str | None:
    value = values.get(name) if isinstance(values, dict) else None
    return value if isinstance(value, str) else None


def _flag(values: object, name: str) -> bool | None:
    value = values.get(name) if isinstance(values, dict) else None
    return value if isinstance(value, bool) else None


def _reused(request_id: str) -> RequestIdReusedError:
    return RequestIdReusedError(f"request_id {request_id!r} was used otherwise")


def _no_pooler(pooler_id: PoolerId) -> PoolerNotFoundError:
    return PoolerNotFoundError(f"no pooler {pooler_id}", metadata={"pooler_id": str(pooler_id)})


def _no_farmer(farmer_id: FarmerId) -> FarmerNotFoundError:
    return FarmerNotFoundError(f"no farmer {farmer_id}", metadata={"farmer_id": str(farmer_id)})
