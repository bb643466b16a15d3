"""Pages show why an amount was not paid yet, to whom it concerns."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.harvest.v1 import payout_pb2

from libs.common.errors import UnavailableError
from tests.integration.gateway.test_gateway_pages import ADDRESS, NOW, answers, sign_in
from tests.support.fake_backends import FARMER, POOLER, POOLER_TOKEN
from tests.support.gateway_world import GatewayWorld, open_gateway_world
from tests.support.pages import checked, text_of

REFUSED = payout_pb2.PendingAmount(
    kind=payout_pb2.PAYEE_KIND_FARMER,
    payee_id=FARMER,
    pooler_id=POOLER,
    amount=70_000_000,
    reason=payout_pb2.PENDING_REASON_REFUSED,
    refusal="MEMO_REQUIRED",
    since=Timestamp(seconds=NOW),
    expected_at=Timestamp(seconds=NOW + 3600),
)
MINED = payout_pb2.PendingAmount(
    kind=payout_pb2.PAYEE_KIND_MINER,
    payee_id=FARMER,
    pooler_id=POOLER,
    address=ADDRESS,
    amount=5,
    # Of a newer harvest.
    reason=cast("Any", 99),
    since=Timestamp(seconds=NOW),
)
PAID = payout_pb2.PayoutItem(
    kind=payout_pb2.PAYEE_KIND_POOLER,
    payee_id=POOLER,
    amount=30_000_000,
    state=payout_pb2.PAYOUT_STATE_PAID,
    settled_at=Timestamp(seconds=NOW),
    transaction_hash="ab" * 32,
)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    """A gateway before a harvest that has something to pay."""
    async with open_gateway_world(tmp_path) as world:
        answers(world.pool)
        world.pool.answers |= {
            "ListPending": lambda _: payout_pb2.ListPendingResponse(
                amounts=[REFUSED, MINED], next_page_token="more/+"
            ),
            "ListPayouts": lambda _: payout_pb2.ListPayoutsResponse(payouts=[PAID]),
            "GetPayoutPreview": lambda _: payout_pb2.GetPayoutPreviewResponse(
                total=120_000_000,
                payments=2,
                needs_approval=True,
                left=[
                    payout_pb2.PendingSum(
                        reason=payout_pb2.PENDING_REASON_INTERVAL, amounts=3, total=9_000_000
                    )
                ],
            ),
            "GetPayoutSwitch": lambda _: payout_pb2.GetPayoutSwitchResponse(
                is_off=True,
                switchings=[
                    payout_pb2.PayoutSwitching(
                        is_off=True,
                        switched_by="<i>ann</i>",
                        switched_at=Timestamp(seconds=NOW),
                        reason="an exchange is down",
                    )
                ],
            ),
        }
        yield world


async def test_an_operator_sees_what_waits_and_why(site: GatewayWorld) -> None:
    await sign_in(site)
    page = (await site.get("/payouts", token=None)).text
    found, told = checked(page), text_of(page)
    assert (found.wrong, found.open) == ([], [])
    assert "refused: memo required 2026-11-30 01:00 2026-11-30 02:00" in told
    assert "a reason that these pages have no word for" in told
    assert "Payouts are switched off since 2026-11-30 01:00 by &lt;i&gt;ann&lt;/i&gt;" in told
    assert "2 payments of 12 KALE together, and takes a second operator" in told
    assert "the interval is not over 3 0.9" in told
    assert "paid 2026-11-30 01:00" in told
    assert 'href="/payouts?page=more/%2B#pending"' in page


async def test_a_pooler_sees_its_own(site: GatewayWorld) -> None:
    await sign_in(site, POOLER_TOKEN)
    page = (await site.get("/payouts?pooler_id=another", token=None)).text
    assert "refused: memo required" in text_of(page)
    assert "Switch and next run" not in page
    asked = site.pool.asked("ListPending")[-1].request
    assert asked.pooler_id == POOLER


async def test_a_farmers_page_says_why_it_is_not_paid_to_who_has_signed_in(
    site: GatewayWorld,
) -> None:
    path = f"/farmers/{ADDRESS}"
    assert "Why not paid yet" not in (await site.get(path, token=None)).text
    await sign_in(site)
    page = (await site.get(path, token=None)).text
    assert "refused: memo required" in text_of(page)
    assert site.pool.asked("ListPending")[-1].request.farmer_id == FARMER


async def test_while_harvest_is_away_the_page_says_so(site: GatewayWorld) -> None:
    def away(_: object) -> payout_pb2.ListPendingResponse:
        raise UnavailableError("away")

    site.pool.answers |= dict.fromkeys(
        ("ListPending", "ListPayouts", "GetPayoutPreview", "GetPayoutSwitch"), away
    )
    await sign_in(site)
    answer = await site.get("/payouts", token=None)
    assert answer.status_code == 200
    assert text_of(answer.text).count("Not to be had just now") == 4
