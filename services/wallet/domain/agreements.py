"""Agreements: what a farmer pays and stakes, from when on, by whose word, and what an owner signs.

A change that takes anything from the farmer counts after a notice period; what gives it more, and
what it has signed itself, counts from the next block on. Nothing counts for what is past: a block
goes by the agreement that was in force when it opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, unique
from typing import TypeAlias

from libs.common.ids import FarmerId, PoolerId, WalletId
from libs.kale.amounts import format_kale, format_percentage
from services.wallet.domain.errors import (
    FeeTooHighError,
    NoTermsError,
    OwnerAccountNotYoursError,
    OwnerMayNotError,
    PayoutAddressNotYoursError,
    TermsAnnouncedError,
    TermsNotOfferedError,
)

#: Digest of terms that nobody published.
NO_DIGEST = bytes(32)
_DAY = 86_400.0


@unique
class Proof(Enum):
    """By what whoever gave an agreement was known; the values are those in the database."""

    #: The pooler's own certificate.
    CERTIFICATE = "certificate"
    #: An access token of the pooler.
    TOKEN = "token"  # noqa: S105  (a kind of proof, no secret)
    #: A signature of the farmer's owner account: the farmer's own word.
    SIGNATURE = "signature"
    #: An operator's certificate or token.
    OPERATOR = "operator"
    #: Nothing: the connection is plaintext, and there is nobody to tell apart.
    PLAINTEXT = "plaintext"
    #: A login of the farmer's owner account.
    OWNER = "owner"


@dataclass(frozen=True, kw_only=True)
class Giver:
    """Whose word an agreement, an owner account or a payout address is."""

    #: The caller, for records.
    given_by: str
    #: By what it was known.
    proof: Proof
    #: The owner account's signature (64 bytes); None without.
    signature: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The numbers of an agreement; parts are ten-thousandths."""

    #: What a plant stakes of the balance at most.
    stake_bps: int
    #: The pooler's part of a reward, that of its miners included.
    pooler_bps: int
    #: The miners' part of the pooler's.
    miners_bps: int
    #: Stroops of KALE from which on it is paid out; 0: whatever there is.
    payout_threshold: int
    #: Seconds after which it is paid out at the latest; 0: by the threshold alone.
    payout_interval_seconds: int
    #: Blocks that are harvested together, 1 to 20.
    harvest_blocks: int
    #: Version of the pooler's terms as registry published them; 0: none.
    terms_version: int = 0
    #: Their SHA-256.
    terms_digest: bytes = NO_DIGEST


@dataclass(frozen=True, kw_only=True)
class Agreement(Terms):
    """An agreement as wallet has sealed it."""

    #: The farmer's wallet.
    wallet_id: WalletId
    #: From 1 on, without gaps.
    number: int
    #: The operator's part of a reward.
    operator_bps: int
    #: Whose word it is.
    given_by: str
    #: By what whoever gave it was known.
    proof: Proof
    #: The owner account's signature; None without.
    signature: bytes | None = field(default=None, repr=False)
    #: When it was recorded.
    registered_at: datetime
    #: From when on it counts: for blocks that open then or later.
    effective_at: datetime

    @property
    def fee_bps(self) -> int:
        """Return what is taken of a reward in all."""
        return self.pooler_bps + self.operator_bps


@dataclass(frozen=True, kw_only=True)
class Joining:
    """What a farmer's registration says besides its pooler and its stake."""

    #: Where it wants to be paid out (strkey G...); empty: nowhere yet.
    payout_address: str = ""
    #: The account that speaks for it; empty: none.
    owner_account: str = ""
    #: What it agrees to; None: nothing.
    terms: Terms | None = None
    #: Who registers it.
    giver: Giver = Giver(given_by="registry", proof=Proof.CERTIFICATE)
    #: The operator's part of a reward.
    operator_bps: int = 0


@dataclass(frozen=True, kw_only=True)
class AgreementRules:
    """The operator's rules for agreements, and for whose a payout address is."""

    #: The operator's part of a reward, for new agreements.
    operator_bps: int = 0
    #: What may be taken of a reward in all.
    max_fee_bps: int = 3_000
    #: Seconds after which a change counts that takes anything from the farmer.
    notice: float = 7 * _DAY
    #: Seconds after which an operator's change of an address or an owner account counts, without
    #: the farmer's signature.
    operator_cooling: float = 30 * _DAY
    #: Agreements that a farmer may have recorded within a day.
    changes: int = 20


def in_force(agreements: Sequence[Agreement], moment: datetime) -> Agreement | None:
    """Return the agreement that counts for a block that opened at a moment; None: no fees.

    Of those in the order of their numbers it is the newest that was effective by then.
    """
    return next((one for one in reversed(agreements) if one.effective_at <= moment), None)


def to_come(agreements: Sequence[Agreement], moment: datetime) -> list[Agreement]:
    """Return the agreements that will count after a moment, in that order.

    One that a newer one replaces before it counts is none of them.
    """
    found = list[Agreement]()
    for one in reversed(agreements):
        if one.effective_at > moment and (not found or one.effective_at < found[0].effective_at):
            found.insert(0, one)
        if one.effective_at <= moment:
            break
    return found


def check_fees(terms: Terms, rules: AgreementRules) -> None:
    """Raise FeeTooHighError for fees above what may be agreed to, whoever asks."""
    asked = terms.pooler_bps + rules.operator_bps
    if asked > rules.max_fee_bps:
        most = max(0, rules.max_fee_bps - rules.operator_bps)
        raise FeeTooHighError(
            f"the pooler's fee may be {format_percentage(most)} at most, beside the operator's "
            f"{format_percentage(rules.operator_bps)}",
            metadata={"limit": format_percentage(most)},
        )


def check_offered(terms: Terms, agreements: Sequence[Agreement], moment: datetime) -> None:
    """Raise TermsNotOfferedError where a farmer signs for less than its pooler has of it now.

    A lower fee, and other parts of it for the miners, are the pooler's to give: the farmer signs
    such numbers where the pooler (or an operator) gave them last, or they are announced.
    """
    before = in_force(agreements, moment)
    if before is None:
        return
    if terms.pooler_bps >= before.pooler_bps and terms.miners_bps == before.miners_bps:
        return
    given = [one for one in agreements if one.proof not in {Proof.SIGNATURE, Proof.OWNER}]
    offers = {(one.pooler_bps, one.miners_bps) for one in [*given[-1:], *to_come(given, moment)]}
    if (terms.pooler_bps, terms.miners_bps) not in offers:
        raise TermsNotOfferedError(
            "a lower fee, or other parts of it for miners, are the pooler's to give: it has not "
            "offered these",
            metadata={"pooler_fee": format_percentage(before.pooler_bps)},
        )


#: What an owner account that has logged in may change: it concerns nobody else. For the rest it
#: signs.
OWNERS_FIELDS = frozenset({"payout_threshold", "payout_interval_seconds"})


def check_own_change(terms: Terms, agreements: Sequence[Agreement], moment: datetime) -> Agreement:
    """Return the agreement that an owner account which has logged in may change to these terms.

    Raises NoTermsError without one, OwnerMayNotError for any other field that differs, and
    TermsAnnouncedError while other terms are to come: its own would take their place.
    """
    before = in_force(agreements, moment)
    if before is None:
        raise NoTermsError("the farmer has agreed to no terms that could be changed")
    differ = sorted(
        name
        for name in Terms.__dataclass_fields__
        if name not in OWNERS_FIELDS and getattr(terms, name) != getattr(before, name)
    )
    if differ:
        raise OwnerMayNotError(
            "a login changes payout_threshold and payout_interval_seconds alone, for the rest the "
            f"owner account signs (DraftWish): not {', '.join(differ)}",
            metadata={"fields": ",".join(differ)},
        )
    if any(one.proof is not Proof.OWNER for one in to_come(agreements, moment)):
        raise TermsAnnouncedError(
            "other terms are to come: sign what you want instead (DraftWish), or wait for them"
        )
    return before


def takes_more(new: Terms, *, operator_bps: int, before: Agreement | None, stake_bps: int) -> bool:
    """Tell whether new terms take anything from a farmer that those before them do not.

    Before any agreement there are no fees, the stake is what wallet signs (`stake_bps`), and
    nothing is said about payouts.
    """
    if before is None:
        return new.pooler_bps + operator_bps > 0 or new.stake_bps > stake_bps
    return (
        new.pooler_bps > before.pooler_bps
        or operator_bps > before.operator_bps
        or new.stake_bps > before.stake_bps
        or new.payout_threshold > before.payout_threshold
        or _interval(new) > _interval(before)
        or new.harvest_blocks > before.harvest_blocks
    )


def _interval(terms: Terms) -> float:
    return terms.payout_interval_seconds or float("inf")


def effective_from(
    new: Terms,
    giver: Giver,
    agreements: Sequence[Agreement],
    *,
    rules: AgreementRules,
    stake_bps: int,
    now: datetime,
    next_block: datetime,
) -> datetime:
    """Return the moment from which new terms count.

    What the farmer has signed, and what takes no more than what is in force, counts from the next
    block on; so does what it may change by a login. What takes no more than what is announced
    already counts when that does; else it counts after the notice period.
    """
    at_once = max(now, next_block)
    if giver.proof in {Proof.SIGNATURE, Proof.OWNER}:
        return at_once
    stages = [(at_once, in_force(agreements, now))]
    stages += [(max(at_once, one.effective_at), one) for one in to_come(agreements, now)]
    after_notice = at_once + timedelta(seconds=rules.notice)
    for moment, before in stages:
        if moment < after_notice and not takes_more(
            new, operator_bps=rules.operator_bps, before=before, stake_bps=stake_bps
        ):
            return moment
    return after_notice


# Whose word decides ------------------------------------------------------------------------------


def address_wait(
    giver: Giver,
    address: str,
    *,
    has_owner: bool,
    farms_for_itself: bool,
    has_had_one: bool,
    cooling: float,
    rules: AgreementRules,
) -> float:
    """Return the seconds after which a payout address counts by this word.

    The farmer's own signature makes the first one count at once; a pooler that farms for itself
    decides for farmers that nobody else speaks for. An operator can after a long time, in which the
    farmer sees it and can object. To have none stops payouts at once: operators can, and the pooler
    where nobody else speaks for the farmer, who would wait for its address again each time.

    Raises PayoutAddressNotYoursError for everybody else.
    """
    if giver.proof is Proof.SIGNATURE:
        return cooling if has_had_one else 0.0
    is_operator = giver.proof is Proof.OPERATOR
    if not has_owner and (farms_for_itself or not address):
        return cooling
    if is_operator:
        return max(cooling, rules.operator_cooling) if address else cooling
    raise PayoutAddressNotYoursError(
        "where the farmer's money goes is for its owner account to sign"
        if has_owner
        else "the farmer has no owner account, and its pooler does not farm for itself by an "
        "operator's word: an operator has to set the address"
    )


def owner_wait(giver: Giver, rules: AgreementRules) -> float:
    """Return the seconds after which an owner account counts by this word.

    Raises OwnerAccountNotYoursError for who is neither the farmer itself nor an operator.
    """
    if giver.proof is Proof.SIGNATURE:
        return 0.0
    if giver.proof is Proof.OPERATOR:
        return rules.operator_cooling
    raise OwnerAccountNotYoursError("the farmer's owner account is for itself to change")


# What an owner signs ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TermsWish:
    """To agree to terms, and to be paid to an address."""

    #: The terms.
    terms: Terms
    #: The address (strkey G...); None: as before.
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class PayoutWish:
    """To be paid to an address, under the terms in force."""

    #: The address (strkey G...); empty: none.
    address: str


@dataclass(frozen=True, kw_only=True)
class OwnerWish:
    """That another account speaks for the farmer from now on."""

    #: That account (strkey G...).
    owner: str


@dataclass(frozen=True, kw_only=True)
class Objection:
    """That what operators have announced does not come."""


@dataclass(frozen=True, kw_only=True)
class LeaveWish:
    """To leave the pool, with everything."""


#: What a farmer wants, and signs.
Wish: TypeAlias = TermsWish | PayoutWish | OwnerWish | Objection | LeaveWish


@dataclass(frozen=True, kw_only=True)
class Parties:
    """Whom a signed text is about, as wallet has sealed it."""

    #: The farmer.
    farmer_id: FarmerId
    #: Its pooler.
    pooler_id: PoolerId
    #: Its custodial account (strkey G...).
    account: str
    #: Its owner account (strkey G...), whose key signs.
    owner: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """What was newest when a text was signed: it is of no use once anything has changed."""

    #: Number of the newest agreement; 0: there is none.
    agreement: int
    #: Number of the newest payout address.
    address: int
    #: Number of the newest owner account.
    owner: int


def agreement_text(
    parties: Parties, place: Place, terms: Terms, *, operator_bps: int, address: str
) -> str:
    """Return what the owner account signs for terms, and the address that they are paid to."""
    return _text(
        "I agree to these terms.", parties, place, _terms_lines(terms, operator_bps), address
    )


def address_text(parties: Parties, place: Place, agreement: Agreement | None, address: str) -> str:
    """Return what the owner account signs for a payout address, under the terms in force."""
    lines = ["No terms: no fees"]
    if agreement is not None:
        lines = _terms_lines(agreement, agreement.operator_bps)
    return _text("Pay me out to this address.", parties, place, lines, address)


def owner_text(parties: Parties, place: Place, owner: str) -> str:
    """Return what the owner account signs to hand everything over to another one."""
    lines = [f"New owner account: {owner}"]
    return _text("Another account speaks for me from now on.", parties, place, lines, None)


def objection_text(parties: Parties, place: Place) -> str:
    """Return what the owner account signs against all that operators have announced."""
    lines = ["Address and owner account stay as they are."]
    return _text("I object to what operators have announced.", parties, place, lines, None)


def leave_text(parties: Parties, place: Place, number: int, address: str) -> str:
    """Return what the owner account signs to leave the pool, for the `number`th time."""
    lines = [f"Leaving: number {number}"]
    return _text("I leave the pool, with everything.", parties, place, lines, address)


def _terms_lines(terms: Terms, operator_bps: int) -> list[str]:
    interval = terms.payout_interval_seconds
    return [
        f"Terms: version {terms.terms_version}, SHA-256 {terms.terms_digest.hex()}",
        f"Pooler's fee: {_percent(terms.pooler_bps)}",
        f"Miners' part of the pooler's fee: {_percent(terms.miners_bps)}",
        f"Operator's fee: {_percent(operator_bps)}",
        f"Stake at most: {_percent(terms.stake_bps)}",
        f"Paid out from: {format_kale(terms.payout_threshold)} KALE",
        f"Paid out every: {f'{interval} s' if interval else 'no interval'}",
        f"Harvested after: {terms.harvest_blocks} blocks",
    ]


def _text(
    wish: str, parties: Parties, place: Place, lines: Sequence[str], address: str | None
) -> str:
    """Return lines that a person can read; each value has a form without line feeds."""
    paid = [] if address is None else [f"Payout address: {address or 'none'}"]
    head = [
        "KALE pool",
        wish,
        f"Farmer: {parties.farmer_id}",
        f"Pooler: {parties.pooler_id}",
        f"Custodial account: {parties.account}",
        f"Owner account: {parties.owner}",
    ]
    numbers = f"Numbers: agreement {place.agreement}, address {place.address}, owner {place.owner}"
    return "\n".join([*head, *lines, *paid, numbers])


def _percent(bps: int) -> str:
    return f"{bps // 100}.{bps % 100:02d} %"
