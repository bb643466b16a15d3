"""Orders that take a second operator: on a real database, and through running services."""

import asyncio
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import approval_pb2, custody_pb2, token_pb2, withdrawal_pb2
from stellar_sdk import Keypair

from devstack.callers import own_mark
from devstack.stack import Stack, StackConfig, open_stack
from libs.common.db.pool import Database
from libs.common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from libs.common.grpc.client import call
from libs.common.grpc.errors import from_rpc_error
from libs.common.grpc.identity import CallerKind
from libs.common.grpc.second_person import Order
from libs.common.ids import new_id
from services.wallet.domain.approvals import MOST_BROUGHT, MOST_OWN, ApprovalId
from services.wallet.domain.errors import (
    ApprovalLimitError,
    ApprovalNotFoundError,
    ApprovalOverError,
    NotInLogError,
    OwnRequestError,
)
from services.wallet.store.approvals import ApprovalStore
from services.wallet.store.custody import CustodyStore
from services.wallet.usecases.approvals import Approvals
from tests.support.callers import Stubs, new_pooler, register, stubs_of
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.tokens import bearing
from tests.support.wallet_rows import WalletRows

ANN, BOB, CID = (f"spiffe://kalepool/operator/{name}" for name in ("ann", "bob", "cid"))
RESUME = "/kalepool.wallet.v1.CustodyService/ResumeSigning"


def order(number: int = 0, *, asked_by: str = ANN, is_repeatable: bool = False) -> Order:
    return Order(
        method=RESUME,
        digest=bytes([number]) * 32,
        request='{"reach": {"everything": true}}',
        asked_by=asked_by,
        is_repeatable=is_repeatable,
    )


async def asked(store: ApprovalStore, one: Order, *, seconds: int = 60) -> ApprovalId:
    found = await store.use(one, seconds=seconds)
    assert found is not None
    return found


async def test_an_order_goes_on_once_when_another_operator_has_agreed(pool: Database) -> None:
    store = ApprovalStore(pool, ORDERS)
    waits_for = await asked(store, order())
    assert await store.use(order(), seconds=60) == waits_for, "it is asked for once only"
    approved = await store.approve(waits_for, actor=BOB)
    assert (approved.approved_by, approved.used_at) == (BOB, None)
    assert await store.approve(waits_for, actor=BOB) == approved
    # Of another request, or of another operator, it is no approval.
    assert await store.use(order(1), seconds=60) not in {None, waits_for}
    assert await store.use(order(asked_by=CID), seconds=60) not in {None, waits_for}
    assert await store.use(order(), seconds=60) is None
    assert await store.use(order(), seconds=60) not in {None, waits_for}, "it was used"
    records = await CustodyStore(pool, ORDERS).latest(before=None, action=None, limit=100)
    subject = f"approval {waits_for}"
    assert [(one.actor, one.action) for one in reversed(records) if one.subject == subject] == [
        (ANN, "ask_approval"),
        (BOB, "approve"),
        (ANN, "use_approval"),
    ]
    assert all(one.details == f"{RESUME} {'00' * 32}" for one in records if one.subject == subject)


async def test_a_repeat_that_does_nothing_new_needs_no_other_approval(rows: WalletRows) -> None:
    store, farmer = ApprovalStore(rows.pool, ORDERS), await rows.wallet()
    recorded = await rows.payment(farmer, await rows.wallet("payer"))
    named = (str(farmer.farmer_id), str(recorded))
    one = replace(order(20, is_repeatable=True), named=named)
    await store.approve(await asked(store, one), actor=BOB)
    assert [await store.use(one, seconds=60) for _ in range(3)] == [None] * 3


@pytest.mark.parametrize("is_forged", [False, True], ids=["refused then", "recorded by a thief"])
async def test_an_approval_of_what_was_not_recorded_is_used_once(
    rows: WalletRows, is_forged: bool
) -> None:
    store, farmer = ApprovalStore(rows.pool, ORDERS), await rows.wallet()
    named = (str(farmer.farmer_id), "later")
    one = replace(order(21, is_repeatable=True), named=named)
    await store.approve(await asked(store, one), actor=BOB)
    assert await store.use(one, seconds=60) is None
    if is_forged:
        thiefs = await rows.payment(farmer, await rows.wallet("payer"))
        await rows.connection.execute(
            "UPDATE wallet.withdrawals SET request_id = 'later' WHERE operation_id = $1", thiefs
        )
    assert await store.use(one, seconds=60) is not None


async def test_a_withdrawal_that_takes_two_names_its_destination(pool: Database) -> None:
    approvals = Approvals(store=ApprovalStore(pool, ORDERS), seconds=60)
    with pytest.raises(InvalidArgumentError, match="destination"):
        await approvals.use(replace(order(22), missing=("destination",)))
    await Approvals(store=approvals.store, seconds=0).use(
        replace(order(22), missing=("destination",))
    )
    assert await approvals.store.approvals(over=True) == []


async def test_who_asked_does_not_agree_to_it(pool: Database) -> None:
    store = ApprovalStore(pool, ORDERS)
    waits_for = await asked(store, order(30))
    for actor in (ANN, ANN.upper()):
        with pytest.raises(OwnRequestError):
            await store.approve(waits_for, actor=actor)
    assert await store.use(order(30), seconds=60) == waits_for


async def test_what_is_over_is_neither_approved_nor_used(
    pool: Database, database: DatabaseAccess
) -> None:
    store = ApprovalStore(pool, ORDERS)
    unknown = ApprovalId(new_id())
    with pytest.raises(ApprovalNotFoundError):
        await store.approve(unknown, actor=BOB)
    late, agreed = await asked(store, order(40)), await asked(store, order(41))
    await store.approve(agreed, actor=BOB)
    assert {one.id for one in await store.approvals(over=False)} >= {late, agreed}
    now = datetime.now(UTC)
    async with connect(database.admin_dsn) as admin:
        # Wallet itself would have written this: the time is over at once.
        for one in await store.approvals(over=False):
            mac = ORDERS.for_approval(replace(one, expires_at=now))
            await admin.execute(
                "UPDATE wallet.approvals SET expires_at = $2, mac = $3 WHERE id = $1",
                one.id,
                now,
                mac,
            )
    with pytest.raises(ApprovalOverError):
        await store.approve(late, actor=BOB)
    assert await store.use(order(41), seconds=60) not in {None, agreed}
    assert {late, agreed} < {one.id for one in await store.approvals(over=True)}
    assert not {late, agreed} & {one.id for one in await store.approvals(over=False)}
    with pytest.raises(ApprovalOverError):
        await store.approve(agreed, actor=CID)


async def test_of_many_at_once_one_goes_on(pool: Database) -> None:
    store = ApprovalStore(pool, ORDERS)
    one = order(50)
    first = await asyncio.gather(*(store.use(one, seconds=60) for _ in range(10)))
    (waits_for,) = set(first)
    assert waits_for is not None
    await asyncio.gather(*(store.approve(waits_for, actor=BOB) for _ in range(5)))
    after = await asyncio.gather(*(store.use(one, seconds=60) for _ in range(10)))
    assert after.count(None) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE wallet.approvals SET digest = decode(repeat('01', 32), 'hex')",
        "UPDATE wallet.approvals SET asked_by = 'x'",
        "UPDATE wallet.approvals SET approved_by = asked_by, approved_at = now()",
        "UPDATE wallet.approvals SET used_at = now()",
        "DELETE FROM wallet.approvals",
    ],
)
async def test_the_database_refuses_what_no_approval_is(
    pool: Database, database: DatabaseAccess, statement: str
) -> None:
    await asked(ApprovalStore(pool, ORDERS), order(60))
    async with connect(database.dsn("wallet")) as connection:
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)):
            await connection.execute(statement)


# What wallet did not write --------------------------------------------------------------------

ROW = """
    INSERT INTO wallet.approvals (id, method, digest, request, asked_by, asked_at, expires_at, mac)
    VALUES ($1, $2, $3, $4, $5, now(), now() + interval '1 year', $6)
"""


async def test_nobody_agrees_to_a_text_that_stands_beside_another_request(
    pool: Database, database: DatabaseAccess
) -> None:
    store, honest, wish = ApprovalStore(pool, ORDERS), order(70), order(71)
    genuine = await asked(store, honest)
    async with connect(database.dsn("wallet")) as thief:
        mac = await thief.fetchval("SELECT mac FROM wallet.approvals")
        for copied in (mac, None):
            forged = ApprovalId(new_id())
            await thief.execute(ROW, forged, RESUME, wish.digest, honest.request, ANN, copied)
            with pytest.raises(ApprovalNotFoundError, match="did not write"):
                await store.approve(forged, actor=BOB)
            assert await store.use(wish, seconds=60) not in {None, forged}
    assert forged not in {one.id for one in await store.approvals(over=True)}
    assert genuine in {one.id for one in await store.approvals(over=True)}


#: What would make an approval that was used be one that was not, and who may write that.
USED_AGAIN = {
    "an older state": "UPDATE wallet.approvals SET used_at = NULL, mac = $1",
    "without its authenticator": "UPDATE wallet.approvals SET used_at = NULL WHERE $1::bytea <> ''",
    "for longer": (
        "UPDATE wallet.approvals "
        "SET used_at = NULL, mac = $1, expires_at = now() + interval '1 year'"
    ),
}


@pytest.mark.parametrize("how", USED_AGAIN)
async def test_an_approval_that_was_used_is_used_no_more(rows: WalletRows, how: str) -> None:
    store, one = ApprovalStore(rows.pool, ORDERS), order(80)
    waits_for = await asked(store, one)
    await store.approve(waits_for, actor=BOB)
    approved = await rows.connection.fetchval("SELECT mac FROM wallet.approvals")
    assert await store.use(one, seconds=60) is None
    with pytest.raises(asyncpg.RaiseError, match="for good"):
        await rows.connection.execute(USED_AGAIN[how], approved)
    # Who has all rights switches the trigger off.
    await rows.connection.execute("SET session_replication_role = replica")
    await rows.connection.execute(USED_AGAIN[how], approved)
    assert await store.use(one, seconds=60) not in {None, waits_for}


#: What somebody with all rights makes of the tables of a pool that runs.
_KEEP_OLD = """
CREATE FUNCTION public.keep_old() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
CREATE TRIGGER aaa BEFORE UPDATE ON wallet.approvals FOR EACH ROW
WHEN (NEW.used_at IS NOT NULL) EXECUTE FUNCTION public.keep_old();
"""
_DROP_RECORDS = """
CREATE FUNCTION public.drop_record() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER aaa BEFORE INSERT ON wallet.audit_log FOR EACH ROW
WHEN (NEW.action = '{}') EXECUTE FUNCTION public.drop_record();
"""


@pytest.mark.parametrize("does_drop", [True, False], ids=["dropped", "deleted"])
async def test_an_approval_is_used_once_whatever_becomes_of_its_record(
    rows: WalletRows, *, does_drop: bool
) -> None:
    """Somebody with all rights has the row stay as it was, and the use not in the log."""
    store, one = ApprovalStore(rows.pool, ORDERS), order(82)
    waits_for = await asked(store, one)
    await store.approve(waits_for, actor=BOB)
    await rows.connection.execute(_KEEP_OLD)
    if does_drop:
        await rows.connection.execute(_DROP_RECORDS.format("use_approval"))
        for _ in range(2):
            with pytest.raises(NotInLogError):
                await store.use(one, seconds=60)
        return
    assert await store.use(one, seconds=60) is None
    await rows.connection.execute("SET session_replication_role = replica")
    for _ in range(2):
        await rows.connection.execute("DELETE FROM wallet.audit_log WHERE action = 'use_approval'")
        assert await store.use(one, seconds=60) not in {None, waits_for}


async def test_a_time_that_was_moved_counts_for_nothing(rows: WalletRows) -> None:
    store, one = ApprovalStore(rows.pool, ORDERS), order(81)
    waits_for = await asked(store, one)
    await store.approve(waits_for, actor=BOB)
    await rows.connection.execute(
        "UPDATE wallet.approvals SET expires_at = now() + interval '1 day'"
    )
    assert await store.use(one, seconds=60) not in {None, waits_for}


async def test_no_flood_of_requests_hides_an_honest_one(rows: WalletRows) -> None:
    """registry's certificate asks in the names of operators who have asked for nothing."""
    store = ApprovalStore(rows.pool, ORDERS)
    honest = await asked(store, order(90))
    update = "/kalepool.registry.v1.RegistryService/UpdatePooler"

    def brought(number: int) -> Order:
        asked_by = f"{ANN}{number % 7}"
        return replace(order(asked_by=asked_by), method=update, digest=number.to_bytes(32))

    for number in range(MOST_BROUGHT):
        await asked(store, brought(number))
    with pytest.raises(ApprovalLimitError):
        await store.use(brought(MOST_BROUGHT), seconds=60)
    # What waits already is asked for as ever, and wallet's own requests have room.
    await asked(store, brought(0))
    for number in range(1, MOST_OWN):
        await asked(store, replace(order(), digest=number.to_bytes(32)))
    with pytest.raises(ApprovalLimitError):
        await store.use(order(91), seconds=60)
    await asked(store, order(91, asked_by=CID))
    # A thief's own rows fill a page, and what stands behind them is reached.
    for _ in range(3):
        await rows.connection.execute(ROW, new_id(), RESUME, bytes(32), "{}", ANN, None)
    first = await store.approvals(over=False, limit=100)
    rest = await store.approvals(over=False, before=first[-1].id, limit=100)
    assert (len(first), len(rest)) == (100, MOST_BROUGHT + MOST_OWN + 1 - 100)
    assert [one.id for one in first + rest][-1] == honest
    assert len({one.id for one in first + rest}) == MOST_BROUGHT + MOST_OWN + 1


# Through running services ----------------------------------------------------------------------


async def waits(method: Any, request: Any) -> str:
    """The id of the approval that a call waits for."""
    with pytest.raises(FailedPreconditionError) as caught:
        await call(method, request, timeout=20)
    assert caught.value.reason == "SECOND_PERSON"
    return caught.value.metadata["approval_id"]


@pytest.mark.e2e
async def test_one_operator_alone_moves_nothing(tmp_path: Path) -> None:
    environment = {key: {"SECOND_PERSON_SECONDS": "600"} for key in ("wallet", "registry")}
    config = StackConfig(
        directory=tmp_path / "stack", services=("registry", "wallet"), environment=environment
    )
    async with (
        open_stack(config) as stack,
        stubs_of(stack, CallerKind.OPERATOR, "ann") as ann,
        stubs_of(stack, CallerKind.OPERATOR, "bob") as bob,
    ):
        await _a_pause_is_lifted_by_two(ann, bob)
        pooler, farmer = await _a_farmers_address_is_changed_by_two(ann, bob)
        async with stubs_of(stack, CallerKind.POOLER, pooler) as own:
            await _a_pooler_needs_nobody_and_approves_nothing(own, farmer)
        await _a_token_is_no_second_person(stack, ann, bob, pooler, farmer)
        await _the_command_waits(stack, ann, bob)


async def _a_pause_is_lifted_by_two(ann: Stubs, bob: Stubs) -> None:
    everything = custody_pb2.PauseReach(everything=True)
    resume = custody_pb2.ResumeSigningRequest(reach=everything)
    for _ in range(2):
        # To stop takes one; to go on takes two, each time.
        pause = custody_pb2.PauseSigningRequest(reach=everything, reason="a test")
        await call(ann.custody.PauseSigning, pause, timeout=20)
        waits_for = await waits(ann.custody.ResumeSigning, resume)
        with pytest.raises(PermissionDeniedError) as caught:
            await call(
                ann.approvals.Approve,
                approval_pb2.ApproveRequest(approval_id=waits_for),
                timeout=20,
            )
        assert caught.value.reason == "OWN_REQUEST"
        assert await waits(ann.custody.ResumeSigning, resume) == waits_for
        listed = await call(
            bob.approvals.ListApprovals, approval_pb2.ListApprovalsRequest(), timeout=20
        )
        (shown,) = [one for one in listed.approvals if one.approval_id == waits_for]
        assert (shown.method, shown.asked_by) == (RESUME, ANN)
        assert shown.request == '{"reach": {"everything": true}}'
        await call(
            bob.approvals.Approve, approval_pb2.ApproveRequest(approval_id=waits_for), timeout=20
        )
        # bob's word was about ann's request: his own takes somebody else's.
        assert await waits(bob.custody.ResumeSigning, resume) != waits_for
        await call(ann.custody.ResumeSigning, resume, timeout=20)


async def _a_farmers_address_is_changed_by_two(ann: Stubs, bob: Stubs) -> tuple[str, str]:
    """In wallet, which registry asks; return the pooler's and the farmer's id."""
    registry, withdrawals = ann.registry, ann.withdrawals
    # Each pooler has reserves of its own to use, so nobody makes poolers alone.
    new = new_pooler("north")
    waits_for = await waits(registry.RegisterPooler, new)
    new_one = new_pooler("thieves")
    assert await waits(registry.RegisterPooler, new_one) != waits_for
    await call(
        bob.approvals.Approve, approval_pb2.ApproveRequest(approval_id=waits_for), timeout=20
    )
    pooler, farmer_id = await register(ann, "north", new=new)
    # Where its farmers' money goes is the pooler's to say by two operators' word.
    mark = own_mark(pooler)
    waits_for = await waits(ann.agreements.MarkPooler, mark)
    await call(
        bob.approvals.Approve, approval_pb2.ApproveRequest(approval_id=waits_for), timeout=20
    )
    await call(ann.agreements.MarkPooler, mark, timeout=20)
    address = Keypair.random().public_key
    order = withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer_id, address=address)
    waits_for = await waits(withdrawals.SetPayoutAddress, order)
    more = registry_pb2.UpdatePoolerRequest(pooler_id=pooler, max_farmers=900)
    assert await waits(registry.UpdatePooler, more) != waits_for
    # What registry notes is what wallet has.
    change = registry_pb2.UpdateFarmerRequest(
        farmer_id=farmer_id, stake_percentage="0.25", payout_wallet_address=address
    )
    with pytest.raises(FailedPreconditionError) as caught:
        await call(registry.UpdateFarmer, change, timeout=20)
    assert caught.value.reason == "PAYOUT_ADDRESS_NOT_SET"
    await call(
        bob.approvals.Approve, approval_pb2.ApproveRequest(approval_id=waits_for), timeout=20
    )
    thief = withdrawal_pb2.SetPayoutAddressRequest(
        farmer_id=farmer_id, address=Keypair.random().public_key
    )
    assert await waits(withdrawals.SetPayoutAddress, thief) != waits_for
    await call(withdrawals.SetPayoutAddress, order, timeout=20)
    changed = await call(registry.UpdateFarmer, change, timeout=20)
    assert changed.farmer.payout_wallet_address == address
    assert changed.farmer.stake_percentage == "0.25"
    await waits(withdrawals.SetPayoutAddress, order)
    return pooler, farmer_id


async def _a_pooler_needs_nobody_and_approves_nothing(own: Stubs, farmer: str) -> None:
    approvals, withdrawals = own.approvals, own.withdrawals
    change = withdrawal_pb2.SetPayoutAddressRequest(
        farmer_id=farmer, address=Keypair.random().public_key
    )
    await call(withdrawals.SetPayoutAddress, change, timeout=20)
    some = str(new_id())
    for method, request in (
        (approvals.Approve, approval_pb2.ApproveRequest(approval_id=some)),
        (approvals.ListApprovals, approval_pb2.ListApprovalsRequest()),
        (
            approvals.UseApproval,
            approval_pb2.UseApprovalRequest(
                method=RESUME, digest=bytes(32), request="{}", asked_by=ANN
            ),
        ),
    ):
        with pytest.raises(PermissionDeniedError) as caught:
            await call(method, request, timeout=20)
        assert caught.value.reason == "ACCESS_DENIED"


async def _a_token_is_no_second_person(
    stack: Stack, ann: Stubs, bob: Stubs, pooler: str, farmer: str
) -> None:
    """What ann asks for by a token she has to be agreed to by somebody else, as ever."""
    # A pooler's token could do what takes two of an operator.
    for role, pooler_id in (
        (token_pb2.TOKEN_ROLE_POOLER, pooler),
        (token_pb2.TOKEN_ROLE_OPERATOR, ""),
    ):
        new = token_pb2.CreateTokenRequest(role=role, pooler_id=pooler_id, name="bob")
        reads = token_pb2.CreateTokenRequest(role=role, pooler_id=pooler_id, is_read_only=True)
        assert (await call(ann.tokens.CreateToken, reads, timeout=20)).token
        waits_for = await waits(ann.tokens.CreateToken, new)
        agree = approval_pb2.ApproveRequest(approval_id=waits_for)
        await call(bob.approvals.Approve, agree, timeout=20)
        made = await call(ann.tokens.CreateToken, new, timeout=20)
    assert made.info.subject == ANN
    change = withdrawal_pb2.SetPayoutAddressRequest(
        farmer_id=farmer, address=Keypair.random().public_key
    )
    async with stubs_of(stack, CallerKind.SERVICE, "gateway") as gateway:
        request = token_pb2.ExchangeTokenRequest(token=made.token)
        found = await call(gateway.tokens.ExchangeToken, request, timeout=20)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.withdrawals.SetPayoutAddress(
                change, timeout=20, metadata=bearing(found.access_token)
            )
    error = from_rpc_error(caught.value)
    assert error.reason == "SECOND_PERSON"
    agree = approval_pb2.ApproveRequest(approval_id=error.metadata["approval_id"])
    with pytest.raises(PermissionDeniedError) as refused:
        await call(ann.approvals.Approve, agree, timeout=20)
    assert refused.value.reason == "OWN_REQUEST"
    audit = custody_pb2.ListAuditRecordsRequest(action="ask_approval", page_size=1)
    (record,) = (await call(ann.custody.ListAuditRecords, audit, timeout=20)).records
    gateways = "spiffe://kalepool/service/gateway"
    assert record.actor == f"{ANN} via {gateways}, token {made.info.token_id}"


async def _the_command_waits(stack: Stack, ann: Stubs, bob: Stubs) -> None:
    everything = custody_pb2.PauseReach(everything=True)
    pause = custody_pb2.PauseSigningRequest(reach=everything, reason="a test")
    await call(ann.custody.PauseSigning, pause, timeout=20)
    with pytest.raises(NotFoundError):
        unknown = approval_pb2.ApproveRequest(approval_id=str(new_id()))
        await call(bob.approvals.Approve, unknown, timeout=20)
    resume = ["custody", "resume", "--everything"]
    assert await _run(stack, "ann", resume) == 1
    waiting = asyncio.create_task(_run(stack, "ann", [*resume, "--approval-wait", "60"]))
    listed = await call(
        bob.approvals.ListApprovals, approval_pb2.ListApprovalsRequest(), timeout=20
    )
    (one,) = [
        one
        for one in listed.approvals
        if (one.method, one.asked_by, one.approved_by) == (RESUME, ANN, "")
    ]
    approve = ["custody", "approve", one.approval_id]
    assert await _run(stack, "bob", approve) == 0
    assert await _run(stack, "bob", ["custody", "approvals", "--over"]) == 0
    assert await waiting == 0


async def _run(stack: Stack, name: str, command: list[str]) -> int:
    """The exit status of an operator's command."""
    files = stack.certificates(CallerKind.OPERATOR, name)
    line = [
        *(*command, "--wallet-target", stack.target("wallet")),
        *("--tls-cert-file", str(files.certificate), "--tls-key-file", str(files.key)),
        *("--tls-ca-file", str(files.authority)),
    ]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "cli", *line)
    return await process.wait()
