"""Use cases of statements: an owner's month, roots, and proofs."""

import asyncio
from collections.abc import Sequence
from typing import NoReturn
from uuid import UUID

from libs.batches.model import FarmerNotFoundError
from libs.common.ids import FarmerId, PoolerId
from libs.kale.statements.document import Balances, Proof, Statement
from libs.kale.statements.lines import NO_HISTORY
from libs.kale.statements.owners import Owner, OwnerKind
from libs.kale.statements.roots import Root, day_text, days_of
from libs.kale.statements.sums_tree import Claim, Tree
from services.harvest.domain.errors import MinerUnknownError, StatementNotReadyError
from services.harvest.domain.statements import (
    OwnerProof,
    Place,
    PublishedRoot,
    StatementPage,
)
from services.harvest.store.credits import CreditStore
from services.harvest.store.statements import StatementStore
from services.harvest.store.store import Store

#: Trees that are kept: of the days that are asked for.
_KEPT = 8


class Statements:
    """The use cases of one process; it keeps the trees that were asked for last."""

    def __init__(self, *, store: Store, statements: StatementStore, miners: CreditStore) -> None:
        self._store = store
        self._statements = statements
        self._miners = miners
        self._trees: dict[int, Tree] = {}

    async def miner(self, pooler_id: PoolerId, address: str) -> Owner:
        """Return the miner of a pooler who is paid at an address. Raises MinerUnknownError."""
        found = await self._miners.miner(pooler_id, address)
        if found is None:
            raise MinerUnknownError(f"no miner of pooler {pooler_id} is paid at {address}")
        return Owner(kind=OwnerKind.MINER, id=found.miner_id)

    async def statement(
        self, owner: Owner, month: str, *, after: Place | None, limit: int
    ) -> StatementPage:
        """Return a page of an owner's statement: the lines after a place (None: the first).

        All pages are of the closing that the first one had, whatever is closed meanwhile.
        Raises FarmerNotFoundError, StatementNotReadyError.
        """
        first, following = days_of(month)
        last = following - 1 if after is None else min(following - 1, after.day)
        opening, closing = await self._period(first, last)
        is_farmer = owner.kind is OwnerKind.FARMER
        claim = await self._statements.claim(closing.day, owner.id)
        if claim is None:
            await self._refuse(owner, f"the {owner.kind.value} had no account in {month}")
        before = 0 if opening is None else opening.last_journal
        start = 0 if opening is None else opening.day
        roots = [one.root for one in reversed(await self._statements.roots(first=start))]
        if not is_farmer:
            await self._refuse_uncovered(roots if opening is None else roots[1:])
        statement = Statement(
            owner=owner,
            address=claim.address,
            month=month,
            opening=await self._opening(owner.id, opening),
            closing=_balances(closing.day, claim),
            totals=()
            if after is not None
            else await self._statements.totals(
                owner.id, is_farmer=is_farmer, after=before, until=closing.last_journal
            ),
            proof=await self._proof(closing.day, claim),
            roots=tuple(roots),
        )
        lines = await self._statements.lines(
            owner.id,
            is_farmer=is_farmer,
            after=before if after is None else max(before, after.journal),
            until=closing.last_journal,
            limit=limit,
        )
        return StatementPage(statement=statement, lines=lines)

    async def roots(self, *, before: int | None, limit: int) -> Sequence[PublishedRoot]:
        """Return roots, newest first, before a day (None: from the newest on)."""
        if before is None:
            return await self._statements.roots(limit=limit)
        return await self._statements.roots(last=before - 1, limit=limit)

    async def proof(self, owner: UUID, day: int) -> OwnerProof:
        """Return what an owner had at the end of a day, with its way to the root.

        Raises StatementNotReadyError.
        """
        found = await self._statements.roots(first=day, last=day, limit=1)
        claim = await self._statements.claim(day, owner)
        proof = await self._proof(day, claim) if found and claim is not None else None
        if claim is None or proof is None:
            raise StatementNotReadyError(f"{day_text(day)} has no root, or no leaf of this owner")
        return OwnerProof(claim=claim, leaf=proof.leaf, path=proof.path, root=found[0].root)

    async def _period(self, first: int, last: int) -> tuple[Root | None, Root]:
        """Return the last root before a month, and the last one in it, of these days."""
        closing = await self._statements.roots(first=first, last=last, limit=1)
        if not closing:
            raise StatementNotReadyError("no day of the month is closed")
        opening = await self._statements.roots(last=first - 1, limit=1)
        return (opening[0].root if opening else None), closing[0].root

    async def _refuse_uncovered(self, roots: Sequence[Root]) -> None:
        """Raise StatementNotReadyError unless all days cover lines of poolers and miners."""
        since = await self._statements.all_covered_since()
        if since is None or roots[0].day < since:
            raise StatementNotReadyError(
                "lines of poolers and miners are proven since a later release of the pool"
                + ("" if since is None else f": from {day_text(since)} on")
            )

    async def _opening(self, owner: UUID, opening: Root | None) -> Balances:
        if opening is None:
            return Balances(day=None, amounts=(), history=NO_HISTORY)
        claim = await self._statements.claim(opening.day, owner)
        if claim is None:
            return Balances(day=opening.day, amounts=(), history=NO_HISTORY)
        return _balances(opening.day, claim)

    async def _proof(self, day: int, claim: Claim) -> Proof | None:
        """Return the way from a leaf to the root; None for a balance below zero."""
        if claim.total < 0:
            return None
        tree = await self._tree(day)
        return Proof(
            salt=claim.salt, leaf=tree.leaf(claim.owner), path=tuple(tree.path(claim.owner))
        )

    async def _tree(self, day: int) -> Tree:
        """Return the tree of a day, which never changes."""
        tree = self._trees.pop(day, None)
        if tree is None:
            claims = await self._statements.claims(day)
            tree = await asyncio.to_thread(Tree, [one for one in claims if one.total >= 0])
        self._trees[day] = tree
        while len(self._trees) > _KEPT:
            del self._trees[next(iter(self._trees))]
        return tree

    async def _refuse(self, owner: Owner, why: str) -> NoReturn:
        """Raise FarmerNotFoundError for a farmer that there is not, else StatementNotReadyError."""
        if owner.kind is OwnerKind.FARMER and not await self._store.farmer_exists(
            FarmerId(owner.id)
        ):
            raise FarmerNotFoundError(f"no farmer {owner.id}")
        raise StatementNotReadyError(why)


def _balances(day: int, claim: Claim) -> Balances:
    return Balances(day=day, amounts=claim.balances, history=claim.history)
