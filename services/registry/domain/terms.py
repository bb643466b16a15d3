"""Terms that poolers publish: versions that never change, and what a farmer joins under."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from libs.common.ids import PoolerId
from libs.kale.amounts import format_percentage
from services.registry.domain.errors import (
    FeeTooHighError,
    StakeNotAgreedError,
    TermsChangedError,
)


@dataclass(frozen=True, kw_only=True)
class NewTerms:
    """Terms to publish; parts are ten-thousandths."""

    #: What a plant stakes of a farmer's balance at most.
    stake_bps: int
    #: The pooler's part of a reward, that of its miners included.
    pooler_bps: int
    #: The miners' part of the pooler's.
    miners_bps: int
    #: Stroops of KALE from which on a farmer is paid out.
    payout_threshold: int
    #: Seconds after which it is paid out at the latest; 0: by the threshold alone.
    payout_interval_seconds: int
    #: Blocks that are harvested together.
    harvest_blocks: int
    #: What the pooler says besides.
    text: str


@dataclass(frozen=True, kw_only=True)
class Terms(NewTerms):
    """Terms as they were published."""

    #: Whose they are.
    pooler_id: PoolerId
    #: From 1 on.
    version: int
    #: SHA-256 of all of it.
    digest: bytes
    #: Who published them.
    published_by: str
    #: When.
    published_at: datetime


@dataclass(frozen=True, kw_only=True)
class FeeRules:
    """The pool's rules for fees, as wallet has them; parts are ten-thousandths."""

    #: The operator's part of a reward.
    operator_bps: int
    #: What the pooler's and the operator's parts may be together.
    max_fee_bps: int


def digest_of(pooler_id: PoolerId, version: int, terms: NewTerms) -> bytes:
    """Return the SHA-256 by which terms are named wherever they are agreed to."""
    values = {"pooler": str(pooler_id), "version": version, **vars(terms)}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).digest()


def check_fees(terms: NewTerms, rules: FeeRules) -> None:
    """Raise FeeTooHighError for fees that wallet would not take."""
    if terms.pooler_bps + rules.operator_bps > rules.max_fee_bps:
        most = format_percentage(max(0, rules.max_fee_bps - rules.operator_bps))
        raise FeeTooHighError(
            f"pooler_fee: may be {most} at most, beside the operator's "
            f"{format_percentage(rules.operator_bps)}",
            metadata={"limit": most},
        )


def joined_stake(terms: Terms | None, stake_bps: int, *, is_given: bool, shown: int) -> int:
    """Return what a farmer stakes at most that joins under terms (None: none).

    Raises TermsChangedError when it was shown other ones (0: it does not say), and
    StakeNotAgreedError for a stake that was given and is more than they say.
    """
    version = terms.version if terms else 0
    if shown and shown != version:
        raise TermsChangedError(
            f"terms_version: version {version} is in force", metadata={"version": str(version)}
        )
    if terms is None or stake_bps <= terms.stake_bps:
        return stake_bps
    if is_given:
        most = format_percentage(terms.stake_bps)
        raise StakeNotAgreedError(
            f"stake_percentage: the pooler's terms say {most} at most", metadata={"limit": most}
        )
    return terms.stake_bps
