"""Strategies for the ledger at which works are sent."""

from math import ceil

from pooler.strategies.model import SendFacts
from pooler.strategies.odds import lost_by_waiting, odds


def late(facts: SendFacts) -> int:
    """Send as late as is safe, and no later than is worth anything.

    Works wait for the next ledger only while a pooler that always does so is expected to lose no
    more than `risk` of them, and while waiting is expected to gain: more gap up to the block's
    max_gap, or more zeros, against the chance that the block is over.

    Works that fill several ledgers need not leave together: as many wait as whole ledgers of them
    can, so that the ledger that is not full is the first one. Works that may wait by themselves add
    to the loss of those before them, so each ledger's works may lose their own part of the risk
    only. But all leave together until ledgers were seen to be full, or nobody would ever learn what
    they take.
    """
    pace, works = facts.learned.pace, facts.works
    if not pace.is_full:
        return 0 if _may_wait(facts, works=works, of=works) else works
    for later_ledgers in range(ceil(works / pace.per_ledger) - 1, -1, -1):
        later = later_ledgers * pace.per_ledger
        waiting = min(works, later + pace.per_ledger)
        if _may_wait(facts, works=waiting, of=waiting - later):
            return works - waiting
    return works


def share(facts: SendFacts) -> int:
    """Send after a fixed part of the block's interval, as homestead does after 0.8 of it."""
    interval = facts.closes_at - facts.opened_at
    over = facts.now >= facts.opened_at + facts.share * interval
    return facts.works if over else 0


def _may_wait(facts: SendFacts, *, works: int, of: int) -> bool:
    """Tell whether so many works should wait; they may lose the risk's part of `of` works."""
    if lost_by_waiting(facts, works=works) * works > facts.risk * of:
        return False
    if _weighs_nothing_yet(facts):
        return True
    return odds(facts, works=works, wait=1).gain > odds(facts, works=works).gain


def _weighs_nothing_yet(facts: SendFacts) -> bool:
    """Tell whether works that are sent one ledger later still weigh as the block's min_gap."""
    landing = facts.ledger + 1 + facts.learned.pace.delay
    return facts.max_gap > facts.min_gap and landing - facts.planted <= facts.min_gap
