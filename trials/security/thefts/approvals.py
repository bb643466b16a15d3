"""Thefts by one operator alone, where another one has to agree."""

import asyncio
import base64
from typing import Any
from uuid import UUID

from google.protobuf.json_format import MessageToJson
from kalepool.wallet.v1 import approval_pb2, custody_pb2, withdrawal_pb2
from stellar_sdk import Keypair

from devstack.stack import OPERATOR
from libs.common.errors import PoolError
from libs.common.grpc.client import call
from libs.common.grpc.identity import TRUST_DOMAIN, CallerKind
from libs.common.ids import new_id
from services.second_person import COVERED
from trials.security.access import attempt, channels, rpcs
from trials.security.thefts.kinds import Connection, Outcome
from trials.security.thefts.pool import EVERYTHING, TIMEOUT, Farmer, Pool

ANN = f"spiffe://{TRUST_DOMAIN}/{OPERATOR}/ann"
#: What registry asks for in operators' names, and how often at a time.
_FLOOD, _AT_ONCE = 150, 10
_UPDATE = "/kalepool.registry.v1.RegistryService/UpdatePooler"
_SHOWN = """
INSERT INTO wallet.approvals (id, method, digest, request, asked_by, asked_at, expires_at, mac)
SELECT $1, method, digest, $3, asked_by, now(), now() + interval '500 seconds', mac
FROM wallet.approvals WHERE id = $2
"""
_UNUSED = "UPDATE wallet.approvals SET used_at = NULL, mac = $2 WHERE id = $1"
_LATER = "UPDATE wallet.approvals SET expires_at = expires_at + interval '1 year' WHERE id = $1"
_APPROVED = """
UPDATE wallet.approvals SET approved_by = 'spiffe://kalepool/operator/bob', approved_at = now()
WHERE id = $1
"""


def _address(farmer: Farmer, address: str) -> withdrawal_pb2.SetPayoutAddressRequest:
    return withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer.id, address=address)


async def _has_address(pool: Pool, farmer: Farmer, address: str) -> bool:
    request = withdrawal_pb2.GetPayoutAddressRequest(farmer_id=farmer.id)
    found = await call(pool.ann.withdrawals.GetPayoutAddress, request, timeout=TIMEOUT)
    return address in {found.address, found.pending_address}


async def another_request_than_is_shown(pool: Pool, thief: Connection) -> Outcome:
    """Show bob an honest address beside the digest of another one."""
    farmer = await pool.friend()
    wish = _address(farmer, await pool.thief())
    honest = MessageToJson(_address(farmer, farmer.outside), indent=None)
    asked, forged = await pool.waits("withdrawals.SetPayoutAddress", wish), new_id()
    await thief.execute(_SHOWN, forged, UUID(asked), honest)
    told = ""
    try:
        await pool.approve(str(forged))
    except PoolError as error:
        told = error.reason
    await pool.waits("withdrawals.SetPayoutAddress", wish)
    got = await _has_address(pool, farmer, wish.address)
    return Outcome(got=["a payout address that bob did not see"] if got else [], stopped=told)


async def an_approval_that_nobody_gave(pool: Pool, thief: Connection) -> Outcome:
    """Write bob's name beside ann's request."""
    farmer = await pool.friend()
    wish = _address(farmer, await pool.thief())
    asked = await pool.waits("withdrawals.SetPayoutAddress", wish)
    await thief.execute(_APPROVED, UUID(asked))
    await pool.waits("withdrawals.SetPayoutAddress", wish)
    got = await _has_address(pool, farmer, wish.address)
    return Outcome(got=["a payout address that bob did not approve"] if got else [])


async def an_approval_used_twice(pool: Pool, thief: Connection) -> Outcome:
    """End the next pause by the approval of the end of one."""
    request = custody_pb2.ResumeSigningRequest(reach=EVERYTHING)
    await pool.pause()
    asked = await pool.waits("custody.ResumeSigning", request)
    await pool.approve(asked)
    mac = await pool.admin.fetchval("SELECT mac FROM wallet.approvals WHERE id = $1", UUID(asked))
    await call(pool.ann.custody.ResumeSigning, request, timeout=TIMEOUT)
    await pool.pause()
    try:
        if await thief.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
            await thief.execute("SET session_replication_role = replica")
        await thief.execute(_UNUSED, UUID(asked), mac)
        again = await pool.waits("custody.ResumeSigning", request)
    finally:
        await pool.resume()
    return Outcome(
        got=[] if again else ["the end of a pause by an approval of before"],
        stopped="the audit log has its use",
    )


async def an_approval_used_late(pool: Pool, thief: Connection) -> Outcome:
    """Move the time of an approval by a year."""
    farmer = await pool.friend()
    wish = _address(farmer, await pool.thief())
    asked = await pool.waits("withdrawals.SetPayoutAddress", wish)
    await pool.approve(asked)
    await thief.execute(_LATER, UUID(asked))
    again = await pool.waits("withdrawals.SetPayoutAddress", wish)
    got = await _has_address(pool, farmer, wish.address)
    return Outcome(got=[] if again and not got else ["an order by an approval that was over"])


async def an_approval_of_what_was_refused(pool: Pool, thief: Connection) -> Outcome:
    """Ask again, alone, for what bob agreed to and what was refused then; it goes elsewhere."""
    del thief  # one operator's certificate is all
    farmer, address = await pool.farmer(), await pool.thief()
    wish = withdrawal_pb2.WithdrawRequest(
        request_id="later",
        farmer_id=farmer.id,
        asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
        amount=1,
        destination=address,
    )
    asked = await pool.waits("withdrawals.Withdraw", wish)
    await pool.approve(asked)
    refused = await _reason(pool.ann.withdrawals.Withdraw, wish)
    move = withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer.id, address=address)
    await call(pool.pooler.withdrawals.SetPayoutAddress, move, timeout=TIMEOUT)
    again = await _reason(pool.ann.withdrawals.Withdraw, wish)
    open_wish = withdrawal_pb2.WithdrawRequest(
        request_id="open",
        farmer_id=farmer.id,
        asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
        amount=1,
    )
    blank = await _reason(pool.ann.withdrawals.Withdraw, open_wish)
    got = [] if again == "SECOND_PERSON" else [f"an approval for good ({again or 'OK'})"]
    got += [] if blank == "INVALID_REQUEST" else [f"an approval of any address ({blank or 'OK'})"]
    return Outcome(got=got, stopped=f"{refused}, then {again}")


async def _reason(method: Any, request: Any) -> str:
    try:
        await call(method, request, timeout=TIMEOUT)
    except PoolError as error:
        return error.reason
    return ""


async def a_flood_of_requests(pool: Pool, thief: Connection) -> Outcome:
    """Ask by registry in the names of operators who have asked for nothing."""
    del thief  # registry's certificate is all
    farmer = await pool.friend()
    wish = _address(farmer, farmer.outside)
    honest = await pool.waits("withdrawals.SetPayoutAddress", wish)

    async def one(number: int) -> str:
        request = approval_pb2.UseApprovalRequest(
            method=_UPDATE,
            digest=number.to_bytes(32, "big"),
            request="{}",
            asked_by=f"{ANN}{number % 7}",
        )
        return await _reason(pool.registry.approvals.UseApproval, request)

    told = list[str]()
    for start in range(0, _FLOOD, _AT_ONCE):
        told += await asyncio.gather(*(one(start + number) for number in range(_AT_ONCE)))
    seen = await _listed(pool)
    # Who has asked goes on.
    await pool.approve(honest)
    await call(pool.ann.withdrawals.SetPayoutAddress, wish, timeout=TIMEOUT)
    await pool.repair("DELETE FROM wallet.approvals WHERE method = $1", _UPDATE)
    return Outcome(
        got=[] if honest in seen else ["an honest request that is not listed"],
        stopped=f"{told.count('APPROVAL_LIMIT')} of {_FLOOD} requests: APPROVAL_LIMIT",
    )


async def _listed(pool: Pool) -> set[str]:
    request, found = approval_pb2.ListApprovalsRequest(page_size=50), set[str]()
    while True:
        reply = await call(pool.bob.approvals.ListApprovals, request, timeout=TIMEOUT)
        found |= {one.approval_id for one in reply.approvals}
        if not reply.next_page_token:
            return found
        request.page_token = reply.next_page_token


async def one_operator_alone(pool: Pool, thief: Connection) -> Outcome:
    """Give every order that takes two as ann alone."""
    del thief  # one operator's certificate is all
    farmer = await pool.friend()
    orders = orders_of(pool.pooler_id, farmer)
    found = []
    async with channels(pool.stack, pool.stack.transport(CallerKind.OPERATOR, "ann")) as opened:
        for rpc in rpcs():
            if rpc.path in COVERED:
                error = await attempt(opened[rpc.process], rpc, orders[rpc.method.name])
                reason = "OK" if error is None else error.reason
                if reason != "SECOND_PERSON":
                    found.append(f"{rpc.method.name} alone: {reason}")
    return Outcome(got=found, stopped=f"SECOND_PERSON, {len(orders)} methods")


def orders_of(pooler_id: str, farmer: Farmer) -> dict[str, dict[str, Any]]:
    """Return a sound request of each method that takes two."""
    name = {"farmerId": farmer.id}
    receiver = base64.b64encode(bytes(range(32))).decode()
    key = Keypair.random().public_key
    return {
        "ExportKey": {**name, "address": farmer.address, "reason": "x", "receiverKey": receiver},
        "RunPayouts": {"requestId": "x", "maxAmount": str(2**62)},
        "PayNow": {**name, "requestId": "x"},
        "SetPayoutSwitch": {"isOff": False, "reason": "x"},
        "ResumeSigning": {"reach": {"everything": True}},
        "ReleaseOperation": {"operationId": str(new_id())},
        "SetStakeLimit": {**name, "stakePercentage": "1"},
        "SetPayoutAddress": {**name, "address": farmer.outside},
        "Withdraw": {
            **name,
            "requestId": "alone",
            "asset": "WITHDRAWAL_ASSET_KALE",
            "amount": "1",
            "destination": farmer.outside,
        },
        "SetAgreement": {
            **name,
            "terms": {
                "stakePercentage": "1",
                "poolerFee": "0.3",
                "minersPart": "0",
                "harvestBlocks": 1,
            },
        },
        "SetOwnerAccount": {**name, "ownerAccount": key},
        "MarkPooler": {"poolerId": pooler_id, "farmsForItself": True},
        "PublishTerms": {"poolerId": pooler_id, "poolerFee": "0.3"},
        "LeaveFarmer": name,
        "LeavePooler": {"poolerId": pooler_id},
        "RotateKeys": {},
        "SignOrders": {"everything": True},
        "ReplaceRowKey": {},
        "ReclaimReserves": {"poolerId": pooler_id},
        "DeployMulticall": {"maxFeeStroops": "1000"},
        "CreateToken": {"role": "TOKEN_ROLE_OPERATOR"},
        "RegisterPooler": {"name": "mine", "publicKey": key, "maxFarmers": 1000},
        "UpdatePooler": {"poolerId": pooler_id, "maxFarmers": 1000},
    }
