"""Statements without a pool: claims, days and files, as harvest makes them."""

import json
import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from google.protobuf import json_format

from libs.kale.address import address_of
from libs.kale.statements.checking import totals_of
from libs.kale.statements.document import (
    Balances,
    Proof,
    ReadLine,
    Statement,
    written,
)
from libs.kale.statements.lines import NO_HISTORY, Line, history_after
from libs.kale.statements.owners import ROLES, Owner, OwnerKind
from libs.kale.statements.roots import NO_RECORD, Root, days_of, month_of
from libs.kale.statements.sums_tree import Claim, Tree
from services.harvest.servicers.statements import line_message, statement_message

#: The first day of a month.
FIRST = days_of("2026-01")[0]
#: Addresses of the pool's account and the farmer's, which are valid.
POOL_KEY = address_of(bytes(31) + b"p")
ADDRESS = address_of(bytes(31) + b"f")
FARMER = UUID(int=7)
POOLER = UUID(int=8)
MINER = uuid5(POOLER, ADDRESS)
OWNERS = {
    kind: Owner(kind=kind, id=owner_id)
    for kind, owner_id in zip(OwnerKind, (FARMER, POOLER, MINER), strict=True)
}


def harvest_line(number: int, *, day: int, reward: int = 1000, fee: int = 100) -> Line:
    """Make a harvest that brought a stake back."""
    amounts = {
        "chain:mint": -reward,
        "farmer:available": reward - fee + 50,
        "farmer:staked": -50,
        "pooler:fee": fee,
    }
    return _line(number, day, "harvest", amounts)


def plant_line(number: int, *, day: int, stake: int = 50) -> Line:
    """Make a plant."""
    return _line(number, day, "plant", {"farmer:available": -stake, "farmer:staked": stake})


def _line(number: int, day: int, kind: str, amounts: dict[str, int]) -> Line:
    return Line(
        number=number,
        kind=kind,
        source_key=str(UUID(int=number)),
        block_index=40_000 + number if kind != "deposit" else None,
        ledger=100_000 + number,
        transaction_hash=f"{number:064x}",
        happened_at=day * 86_400_000_000 + number * 1_000,
        amounts=tuple(sorted((role, amount) for role, amount in amounts.items() if amount)),
    )


def deposit_line(number: int, *, day: int, amount: int = 5000) -> Line:
    """Book KALE that came from outside."""
    return _line(number, day, "deposit", {"chain:out": -amount, "farmer:available": amount})


def fee_lines(kind: OwnerKind, number: int, *, day: int) -> list[Line]:
    """Make what is booked for a pooler, or for a miner: credits, and a payment."""
    made: list[tuple[str, dict[str, int]]] = [
        ("miner_credit", {"miner:earned": 30, "others": -30}),
        ("pool_payment", {"miner:earned": -25, "chain:out": 25}),
    ]
    if kind is OwnerKind.POOLER:
        made = [
            ("harvest", {"pooler:fee": 80, "miner:earned": 20, "others": -100}),
            ("miner_credit", {"miner:earned": -20, "pooler:fee": 5, "others": 15}),
            ("fee_payout", {"pooler:held": 100, "others": -100}),
            ("pool_payment", {"pooler:held": -15, "chain:out": 15}),
            (
                "pool_payment",
                {"pooler:fee": -70, "pooler:held": -70, "chain:out": 70, "others": 70},
            ),
        ]
    return [
        _line(number + place, day, kind_of_line, amounts)
        for place, (kind_of_line, amounts) in enumerate(made)
    ]


class Pool:
    """A pool that closes days, with one owner who is looked at, and others."""

    def __init__(
        self,
        *,
        others: int = 4,
        seed: int = 1,
        kind: OwnerKind = OwnerKind.FARMER,
        address: str = ADDRESS,
    ) -> None:
        self._owner = OWNERS[kind]
        self._address = address
        self._random = random.Random(seed)
        self._others = others
        self.balances: dict[str, int] = {}
        self.history = NO_HISTORY
        self.lines: list[tuple[int, Line]] = []
        self.roots: list[Root] = []
        self.closings: dict[int, Balances] = {}
        self.trees: dict[int, tuple[Tree, Claim]] = {}

    def close(self, day: int, lines: Sequence[Line]) -> None:
        """Book lines and close a day."""
        for line in lines:
            self.lines.append((day, line))
            for role, amount in line.amounts:
                if role in ROLES[self._owner.kind]:
                    self.balances[role] = self.balances.get(role, 0) + amount
        digests = [bytes.fromhex(line.sealed[1]) for line in lines]
        self.history = history_after(self.history, day, digests)
        held = tuple(sorted((role, amount) for role, amount in self.balances.items() if amount))
        self.closings[day] = Balances(day=day, amounts=held, history=self.history)
        claim = self.claim(self._owner.id, self._address, held, self.history)
        others = [
            self.claim(UUID(int=1000 + place), "", (("pooler:fee", place * 7),), NO_HISTORY)
            for place in range(1, self._others + 1)
        ]
        tree = Tree([claim, *others] if claim.total >= 0 else others)
        self.trees[day] = (tree, claim)
        self.roots.append(
            Root(
                day=day,
                closed_at=(day + 1) * 86_400_000_000 + 60_000_000,
                last_journal=self.lines[-1][1].number if self.lines else 0,
                leaves=len(tree),
                refused=int(claim.total < 0),
                node=tree.root,
                account=POOL_KEY,
                previous=self.roots[-1].record if self.roots else NO_RECORD,
            )
        )

    def claim(
        self, owner: UUID, address: str, balances: tuple[tuple[str, int], ...], history: bytes
    ) -> Claim:
        """Make a claim with a salt."""
        salt = self._random.randbytes(32)
        return Claim(owner=owner, address=address, balances=balances, history=history, salt=salt)

    def document(self, month: str = "2026-01") -> dict[str, Any]:
        """Return the owner's statement of a month, as harvest tells it."""
        first, following = days_of(month)
        before = [day for day in self.closings if day < first]
        closing = max(day for day in self.closings if first <= day < following)
        opening = max(before) if before else None
        lines = [
            line
            for day, line in self.lines
            if (opening is None or day > opening) and day <= closing
        ]
        tree, claim = self.trees[closing]
        proof = None
        if claim.total >= 0:
            leaf, path = tree.leaf(self._owner.id), tree.path(self._owner.id)
            proof = Proof(salt=claim.salt, leaf=leaf, path=tuple(path))
        statement = Statement(
            owner=self._owner,
            address=self._address,
            month=month,
            opening=Balances(day=None, amounts=(), history=NO_HISTORY)
            if opening is None
            else self.closings[opening],
            closing=self.closings[closing],
            totals=totals_of([_read(line) for line in lines]),
            proof=proof,
            roots=tuple(root for root in self.roots if opening is None or root.day >= opening),
        )
        message = statement_message(statement)
        message.lines.extend(map(line_message, lines))
        found: dict[str, Any] = json_format.MessageToDict(
            message, always_print_fields_with_no_presence=True
        )
        return found


def _read(line: Line) -> ReadLine:
    checks, digest = line.sealed
    return ReadLine(
        texts=line.texts,
        checks=checks,
        digest=bytes.fromhex(digest),
        number=line.number,
        ledger=line.ledger,
        amounts=line.amounts,
    )


def pool_of(*, days: int = 4, lines: int = 3, seed: int = 1) -> Pool:
    """Make a pool with a day before the month, days in it, and one after it."""
    pool, number = Pool(seed=seed), 0
    for place in range(-1, days):
        day, booked = FIRST + place, []
        for _ in range(lines):
            number += 3
            booked.append(plant_line(number, day=day))
            booked.append(harvest_line(number + 1, day=day))
        if place < 0:
            booked.insert(0, deposit_line(number - 3 * lines + 1, day=day))
        pool.close(day, sorted(booked, key=lambda line: line.number))
    pool.close(days_of(month_of(FIRST))[1], [])
    return pool


def pool_of_fees(kind: OwnerKind, *, address: str = ADDRESS) -> Pool:
    """Make a pool with a pooler, or a miner: a day before the month, and three days in it."""
    pool = Pool(kind=kind, address=address)
    for place in range(-1, 3):
        pool.close(FIRST + place, fee_lines(kind, 10 * place + 20, day=FIRST + place))
    return pool


def text_of(document: dict[str, Any]) -> str:
    """Return the file of a statement."""
    return written(document)


def copied(document: dict[str, Any]) -> dict[str, Any]:
    """Return a copy that can be changed."""
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found
