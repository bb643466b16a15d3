"""The pool's ledger: whether balances are what entries add up to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from libs.kale.constants import MAX_I64

#: The owner of the pool's own accounts.
POOL = UUID(int=0)


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account, with what it has by the database's own count."""

    #: Its number in the database.
    account_id: int
    #: The farmer or pooler whose it is; POOL of the pool's own.
    owner_id: UUID
    #: What it is for: farmer:available.
    role: str
    #: kale or xlm.
    asset: str
    #: Stroops; below zero where more was taken than given.
    amount: int
    #: Entries that made it.
    entries: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a journal took from an account, or gave to it."""

    #: The farmer or pooler whose account it is; POOL of the pool's own.
    owner_id: UUID
    #: What the account is for.
    role: str
    #: kale or xlm.
    asset: str
    #: Stroops; below zero when it was taken.
    amount: int


@dataclass(frozen=True, kw_only=True)
class Journal:
    """One thing that was booked."""

    #: Its number in the database; later ones have higher numbers.
    journal_id: int
    #: What it is: harvest.
    kind: str
    #: What names it: wallet's operation, for most.
    source_key: str
    #: Its block; None of what belongs to none.
    block_index: int | None
    #: Ledger in which it happened; 0 when none did it.
    ledger: int
    #: Hash of the transaction (hex), or empty.
    transaction_hash: str
    #: When it happened.
    happened_at: datetime
    #: Its entries.
    entries: Sequence[Entry]


@dataclass(frozen=True, kw_only=True)
class Sum:
    """What the entries of an account add up to."""

    #: Stroops.
    amount: int = 0
    #: How many there are.
    entries: int = 0

    def __add__(self, other: "Sum") -> "Sum":
        """Add further entries."""
        return Sum(amount=self.amount + other.amount, entries=self.entries + other.entries)


@dataclass(frozen=True, kw_only=True)
class Proven:
    """What the entries of all journals up to one add up to."""

    #: The last of the journals; 0 for none.
    journal_id: int = 0
    #: How many they are.
    journals: int = 0
    #: Miners' parts of blocks before this one are proven, too.
    block_index: int = 0
    #: Sums by account.
    sums: Mapping[int, Sum] = field(default_factory=dict)
    #: Stroops of rewards that they gave, by farmer.
    earned: Mapping[UUID, int] = field(default_factory=dict)
    #: Stroops that they moved into farmers' accounts on the chain, by farmer.
    held: Mapping[UUID, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something in the ledger that does not add up."""

    #: balance: an account has another balance than its entries add up to; journal: a journal's
    #: entries do not add up to nothing; earnings: a farmer's earnings are not what was booked;
    #: holding: what a farmer's account has to hold is not what was booked; credits: what is divided
    #: of a block is not what its miners were given.
    kind: str
    #: The account's or farmer's owner; None of a journal.
    owner_id: UUID | None = None
    #: What the account is for; empty when it is about none.
    role: str = ""
    #: kale or xlm.
    asset: str
    #: The journal; 0 when it is about none.
    journal_id: int = 0
    #: What is kept.
    kept: int
    #: What it would have to be.
    expected: int


@dataclass(frozen=True, kw_only=True)
class Unexplained:
    """KALE of a farmer's account that the ledger does not explain."""

    #: The farmer.
    farmer_id: UUID
    #: Stroops that the account has more; below zero when it has less.
    amount: int
    #: Since when it is the same.
    since: datetime


@dataclass(frozen=True, kw_only=True)
class LedgerCheck:
    """What a look at the whole ledger found."""

    #: When it was done.
    at: datetime
    #: Accounts, journals and entries that it looked at.
    accounts: int
    journals: int
    entries: int
    #: What does not add up.
    differences: Sequence[Difference]
    #: Farmers' accounts from which more was taken than given: KALE from outside that is booked
    #: nowhere yet, or an event that came before the one that goes before it.
    overdrawn: Sequence[Account]
    #: What farmers' accounts have more or less on the chain than the ledger explains.
    unexplained: Sequence[Unexplained]


def wrong_balances(accounts: Sequence[Account], sums: Mapping[int, Sum]) -> Iterator[Difference]:
    """Yield the accounts whose balance is not the sum of their entries."""
    known = {account.account_id for account in accounts}
    for account in accounts:
        found = sums.get(account.account_id, Sum())
        if (account.amount, account.entries) != (found.amount, found.entries):
            yield Difference(
                kind="balance",
                owner_id=account.owner_id,
                role=account.role,
                asset=account.asset,
                kept=account.amount,
                expected=found.amount,
            )
    for account_id, found in sums.items():
        if account_id not in known:
            yield Difference(kind="balance", asset="", kept=0, expected=found.amount)


def wrong_earnings(kept: Mapping[UUID, int], booked: Mapping[UUID, int]) -> Iterator[Difference]:
    """Yield the farmers whose earnings are not what was booked to them."""
    for farmer in sorted(kept.keys() | booked.keys()):
        # Earnings hold no more: what is beyond is kept as this.
        expected = max(0, min(booked.get(farmer, 0), MAX_I64))
        if kept.get(farmer, 0) != expected:
            yield Difference(
                kind="earnings",
                owner_id=farmer,
                asset="kale",
                kept=kept.get(farmer, 0),
                expected=expected,
            )


def wrong_holdings(kept: Mapping[UUID, int], booked: Mapping[UUID, int]) -> Iterator[Difference]:
    """Yield the farmers whose accounts have to hold something else than was booked."""
    for farmer in sorted(kept.keys() | booked.keys()):
        if kept.get(farmer, 0) != booked.get(farmer, 0):
            yield Difference(
                kind="holding",
                owner_id=farmer,
                asset="kale",
                kept=kept.get(farmer, 0),
                expected=booked.get(farmer, 0),
            )


def overdrawn(accounts: Sequence[Account]) -> list[Account]:
    """Return the farmers' accounts that are below zero."""
    return [one for one in accounts if one.amount < 0 and one.role.startswith("farmer:")]
