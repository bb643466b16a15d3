"""Rent: the lives of the entries that the farm needs, when they are extended, and how far.

Contracts extend their own lives: once an entry has at most so many ledgers left, whoever calls pays
for more. The treasury pays earlier, so that no farmer's call ever finds anything due.
"""

from collections.abc import Iterable
from dataclasses import dataclass

#: Ledgers of a week: a contract of the farm's kind extends when this much is missing.
WEEK = 120_960
#: Ledgers before an entry comes due at which we extend it: an hour, for nodes that are away, a
#: treasury that is busy, a person who has to allow more.
LEAD = 720
#: Ledgers before an entry comes due from which on calls wait: more than an envelope lives.
GUARD = 60
#: The token (the Stellar Asset Contract) extends its instance to a week once six days are left.
_TOKEN_THRESHOLD = 103_680
#: Our multicall does not extend itself: it gets 120 days when 30 are left.
MULTICALL_LIFE = 2_073_600
MULTICALL_THRESHOLD = 518_400


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Rule of an entry: when it comes due, and how far it is extended."""

    #: Ledgers left at which it is due: a call would have to pay for more.
    threshold: int
    #: Ledgers that it is to have left after an extension.
    extend_to: int

    @property
    def lead(self) -> int:
        """Return the ledgers before the entry is due at which it is extended."""
        return max(0, min(LEAD, (self.extend_to - self.threshold) // 4))

    @property
    def guard(self) -> int:
        """Return the ledgers before the entry is due from which on calls wait."""
        return min(GUARD, self.lead // 2)


def farm_rule(max_entry_ttl: int) -> Rule:
    """Return the rule of the farm's instance and of its code.

    The source is KALE_CONTRACT section 3, Lifetimes.
    """
    most = _most(max_entry_ttl)
    return Rule(threshold=max(0, most - WEEK), extend_to=most)


def token_rule(max_entry_ttl: int) -> Rule:
    """Return the rule of the token's instance: here too at most a week is paid ahead.

    The token has no code.
    """
    most = _most(max_entry_ttl)
    threshold = min(_TOKEN_THRESHOLD, most // 2)
    return Rule(threshold=threshold, extend_to=min(threshold + WEEK, most))


def multicall_rule(max_entry_ttl: int) -> Rule:
    """Return the rule of our multicall's instance and code."""
    life = min(MULTICALL_LIFE, _most(max_entry_ttl))
    return Rule(threshold=min(MULTICALL_THRESHOLD, life // 4), extend_to=life)


def _most(max_entry_ttl: int) -> int:
    """Return the ledgers that an entry can be extended to at most."""
    return max(0, max_entry_ttl - 1)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A ledger entry whose rent the treasury pays."""

    #: Name for people, unique among the entries: "farm code".
    name: str
    #: Last ledger of its life.
    until: int
    #: When it is due.
    rule: Rule
    #: Whether farmers' calls would pay its rent: they wait while it is due.
    is_farms: bool = False

    @property
    def due_ledger(self) -> int:
        """Return the first ledger in which a call would have to pay for more."""
        return self.until - self.rule.threshold

    def left(self, ledger: int) -> int:
        """Return the ledgers left after this one; negative when the entry has ended."""
        return self.until - ledger

    def wants_more(self, ledger: int) -> bool:
        """Tell whether the entry is to be extended now."""
        return ledger >= self.due_ledger - self.rule.lead

    def holds_calls(self, ledger: int) -> bool:
        """Tell whether a call that is signed now might have to pay for more."""
        return self.is_farms and ledger >= self.due_ledger - self.rule.guard


#: Names of the farm's entries.
FARM_INSTANCE, FARM_CODE = "farm instance", "farm code"


def farm_entries(*, instance_until: int, code_until: int, max_entry_ttl: int) -> list[Entry]:
    """Return the farm's instance and its code, as far as their ends (0: not known) are known."""
    rule = farm_rule(max_entry_ttl)
    ends = {FARM_INSTANCE: instance_until, FARM_CODE: code_until}
    return [
        Entry(name=name, until=until, rule=rule, is_farms=True)
        for name, until in ends.items()
        if until
    ]


def wanting(entries: Iterable[Entry], ledger: int) -> list[Entry]:
    """Return the entries to be extended now.

    The entries that farmers' calls need come first, and among equals those that are due soonest.
    """
    chosen = [entry for entry in entries if entry.wants_more(ledger)]
    return sorted(chosen, key=lambda entry: (not entry.is_farms, entry.due_ledger, entry.name))


def holding(entries: Iterable[Entry], ledger: int) -> list[Entry]:
    """Return the entries that calls of the farm wait for."""
    return [entry for entry in entries if entry.holds_calls(ledger)]
