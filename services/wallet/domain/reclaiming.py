"""Which farmers' accounts can be given up, so that the reserves sponsored for them come back."""

from enum import Enum, unique

from services.wallet.domain.chain_facts import AccountState

#: Base reserves of an account that owns nothing but its KALE trustline, or nothing at all, when all
#: of them are sponsored: the two of the account are left as those that others pay.
_ALL_SPONSORED = -2


@unique
class Verdict(Enum):
    """What becomes of a farmer's account.

    The names are those of kalepool.wallet.v1.ReclaimOutcome without the prefix.
    """

    #: It can be merged, or was.
    RECLAIMED = "RECLAIMED"
    #: There is no account.
    NOTHING_THERE = "NOTHING_THERE"
    #: It has KALE, XLM, offers, data, signers or reserves of its own.
    HOLDS_SOMETHING = "HOLDS_SOMETHING"
    #: The pool's key alone may not merge it.
    LOCKED = "LOCKED"


def verdict(account: AccountState) -> Verdict:
    """Judge an account; only one that holds nothing is merged, as all that it holds would move."""
    if not account.exists:
        return Verdict.NOTHING_THERE
    holds = account.xlm or account.kale or account.is_frozen
    if holds or account.kale_bound or account.xlm_bound or account.reserves != _ALL_SPONSORED:
        return Verdict.HOLDS_SOMETHING
    return Verdict.RECLAIMED if account.obeys_fully else Verdict.LOCKED
