"""Strategies for the ledger at which works are sent."""

from pooler.strategies.model import SendFacts
from pooler.strategies.odds import odds


def late(facts: SendFacts) -> bool:
    """Send as late as is safe, and no later than is worth anything.

    Works with a stake wait for the next ledger only while no more than `risk` of them would then be
    expected to come too late. All works wait only while waiting is expected to gain: more gap up to
    the block's max_gap, or more zeros, against the chance that the block is over.
    """
    if _gap_weighs_nothing_yet(facts) and not facts.staked:
        return False
    later = odds(facts, wait=1)
    if facts.staked and later.lost > facts.risk:
        return True
    if _gap_weighs_nothing_yet(facts):
        return False
    return later.gain <= odds(facts).gain


def share(facts: SendFacts) -> bool:
    """Send after a fixed part of the block's interval, as homestead does after 0.8 of it."""
    interval = facts.closes_at - facts.opened_at
    return facts.close_time >= facts.opened_at + facts.share * interval


def _gap_weighs_nothing_yet(facts: SendFacts) -> bool:
    """Tell whether works that are sent one ledger later still weigh as the block's min_gap."""
    landing = facts.ledger + 1 + facts.learned.pace.delay
    return facts.max_gap > facts.min_gap and landing - facts.planted <= facts.min_gap
