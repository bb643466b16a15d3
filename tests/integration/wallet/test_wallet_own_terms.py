"""What an owner account that has logged in changes of its farmer's terms, over wallet's tables."""

from datetime import UTC, datetime

import pytest

from libs.common.db.pool import Database
from services.wallet.domain.agreements import AgreementRules, Giver, Proof, in_force
from services.wallet.domain.audit import Findings
from services.wallet.domain.errors import (
    AgreementLimitError,
    FeeTooHighError,
    NoTermsError,
    OwnerMayNotError,
    TermsAnnouncedError,
)
from services.wallet.store.audit_check import AuditCheck
from services.wallet.store.custody import CustodyStore
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.own_say import OPERATOR, POOLER, OwnSay, terms

OWNER = Giver(given_by="spiffe://kalepool/owner/G via gateway, token 1", proof=Proof.OWNER)


@pytest.fixture
def say(pool: Database) -> OwnSay:
    return OwnSay(pool=pool, rules=AgreementRules(operator_bps=100))


async def test_it_says_when_it_is_paid_at_once(say: OwnSay) -> None:
    farmer = await say.farmer(terms=terms())
    made = await say.store.agree(farmer.farmer_id, terms(payout_threshold=5), OWNER)
    assert (made.number, made.proof, made.given_by) == (2, Proof.OWNER, OWNER.given_by)
    assert (made.payout_threshold, made.pooler_bps, made.operator_bps) == (5, 500, 100)
    assert made.effective_at <= datetime.now(UTC)
    known = await say.agreements.of_wallet(farmer.wallet_id)
    assert in_force(known, datetime.now(UTC)) == made
    # A repeat changes nothing, another wish does.
    assert await say.store.agree(farmer.farmer_id, terms(payout_threshold=5), OWNER) == made
    again = await say.store.agree(farmer.farmer_id, terms(payout_threshold=6), OWNER)
    assert (again.number, again.payout_threshold) == (3, 6)


async def test_the_operators_part_stays_as_it_was_agreed(pool: Database, say: OwnSay) -> None:
    """The farmer does not take a higher one, nor is a lower one its to take."""
    farmer = await say.farmer(terms=terms())
    for number, operator_bps in enumerate((0, 900, 5_000), start=2):
        later = OwnSay(
            pool=pool, rules=AgreementRules(operator_bps=operator_bps, max_fee_bps=5_000)
        )
        made = await later.store.agree(farmer.farmer_id, terms(payout_threshold=number), OWNER)
        assert (made.number, made.operator_bps) == (number, 100)
        same = await later.store.agree(farmer.farmer_id, terms(payout_threshold=number), OWNER)
        assert same == made
    with pytest.raises(FeeTooHighError):
        await later.store.agree(farmer.farmer_id, terms(payout_threshold=9), POOLER)


async def test_what_it_may_not_say_changes_nothing(say: OwnSay) -> None:
    farmer, nobodys = await say.farmer(terms=terms()), await say.farmer()
    with pytest.raises(OwnerMayNotError):
        await say.store.agree(farmer.farmer_id, terms(pooler_bps=0), OWNER)
    with pytest.raises(NoTermsError):
        await say.store.agree(nobodys.farmer_id, terms(), OWNER)
    await say.store.agree(farmer.farmer_id, terms(pooler_bps=900), POOLER)
    with pytest.raises(TermsAnnouncedError):
        await say.store.agree(farmer.farmer_id, terms(payout_threshold=5), OWNER)
    assert [one.number for one in await say.agreements.of_wallet(farmer.wallet_id)] == [1, 2]
    assert await say.agreements.of_wallet(nobodys.wallet_id) == []


async def test_its_changes_use_up_nobody_elses(pool: Database) -> None:
    say = OwnSay(pool=pool, rules=AgreementRules(changes=2))
    farmer = await say.farmer(terms=terms())
    for threshold in (1, 2):
        await say.store.agree(farmer.farmer_id, terms(payout_threshold=threshold), OWNER)
    with pytest.raises(AgreementLimitError):
        await say.store.agree(farmer.farmer_id, terms(payout_threshold=3), OWNER)
    # The one that it joined by is the pooler's: one more is left.
    await say.store.agree(farmer.farmer_id, terms(payout_threshold=4), POOLER)
    with pytest.raises(AgreementLimitError):
        await say.store.agree(farmer.farmer_id, terms(payout_threshold=5), OPERATOR)


async def test_the_audit_log_tells_whose_word_it_was(say: OwnSay, database: DatabaseAccess) -> None:
    farmer = await say.farmer(terms=terms())
    await say.store.agree(farmer.farmer_id, terms(payout_threshold=5), OWNER)
    async with connect(database.admin_dsn) as connection:
        record = await connection.fetchrow(
            "SELECT actor, details FROM wallet.audit_log WHERE action = 'set_agreement' "
            "ORDER BY number DESC LIMIT 1"
        )
    assert record is not None
    assert record["actor"] == OWNER.given_by
    assert " by owner, from " in record["details"]
    # The log and what it tells of are the same.
    findings, check = Findings(), AuditCheck(say.pool)
    await check.rows(findings)
    async for page in CustodyStore(say.pool, ORDERS).records():
        await check.records(page, findings)
    assert findings.words() == []
