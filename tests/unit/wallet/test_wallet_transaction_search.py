"""The search for a transaction: who used an account's number, and what ledgers have."""

from collections.abc import Iterable
from typing import Any, TypeVar, cast

import pytest
from stellar_sdk import Account, Asset, Keypair, TransactionBuilder, TransactionEnvelope

from services.wallet.chain.errors import RpcTooLargeError, RpcUnavailableError
from services.wallet.chain.node.questions import Question
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.read import included, number_use
from services.wallet.chain.read.included import next_cursor, presence_question, read_included
from services.wallet.chain.read.number_use import read_used
from services.wallet.domain import withdrawals
from services.wallet.domain.payments import SeenPayment, SeenTransaction

T = TypeVar("T")
LEDGER = 50
PASSPHRASE = "Standalone Network ; February 2017"
PAYER, FARMER, STRANGER, POOL = (
    Keypair.from_raw_ed25519_seed(letter * 32) for letter in (b"p", b"f", b"s", b"t")
)
KALE = Asset("KALE", STRANGER.public_key)
OTHER = Asset("OTHER", STRANGER.public_key)
#: 300 stroops charged, and the rest of a result.
RESULT = "AAAAAAAAASwAAAAAAAAAAAAAAAA="


class Node:
    """Answers with one page after the other, and notes what it was asked."""

    def __init__(self, *pages: Any) -> None:
        self.pages = list(pages)
        self.asked: list[Any] = []

    async def ask(self, question: Question[T]) -> T:
        """As an endpoint's."""
        assert question.method == "getTransactions"
        self.asked.append(question.parameters)
        page = self.pages.pop(0)
        if isinstance(page, Exception):
            raise page
        return question.decode(page)


def page(items: Iterable[Any], cursor: str | None = None, *, latest: int = 90) -> dict[str, Any]:
    """One answer."""
    return {
        "latestLedger": latest,
        "latestLedgerCloseTimestamp": 7,
        "oldestLedger": 1,
        "transactions": list(items),
        "cursor": cursor,
    }


def builder(source: Keypair = PAYER, *, number: int = 41) -> TransactionBuilder:
    """A transaction of this source and number."""
    made = TransactionBuilder(Account(source.public_key, number - 1), PASSPHRASE, base_fee=100)
    return made.add_time_bounds(0, 1234)


def payment(number: int = 41) -> TransactionEnvelope:
    """A payment that leaves its payer's number at 60."""
    return (
        builder(number=number)
        .append_payment_op(FARMER.public_key, KALE, "1.0000005", source=POOL.public_key)
        .append_payment_op(FARMER.public_key, Asset.native(), "0.0000007")
        .append_payment_op(FARMER.public_key, OTHER, "3")
        .append_bump_sequence_op(60)
        .build()
    )


def item(envelope: Any, *, ledger: int = LEDGER, name: str = "ab" * 32, **changed: Any) -> Any:
    """A transaction in a ledger."""
    return {
        "ledger": ledger,
        "txHash": name,
        "status": "SUCCESS",
        "envelopeXdr": envelope.to_xdr(),
        "resultXdr": RESULT,
    } | changed


def many(count: int, *, ledger: int = LEDGER) -> list[Any]:
    """So many transactions of a stranger."""
    envelope = builder(STRANGER).append_bump_sequence_op(60).build()
    return [item(envelope, ledger=ledger, name=f"{number:064x}") for number in range(count)]


async def used(node: Node) -> SeenTransaction | None:
    """Who used the payer's number."""
    return await read_used(
        cast(Rpc, node), PAYER.public_key, LEDGER, kale=KALE, passphrase=PASSPHRASE
    )


# Who used a number


async def test_a_payment_is_told_with_all_that_it_paid() -> None:
    envelope = payment()
    node = Node(page([*many(2), item(envelope)]))
    assert await used(node) == SeenTransaction(
        hash="ab" * 32,
        inner_hash=envelope.hash_hex(),
        envelope=envelope.to_xdr(),
        sequence=41,
        bump_to=60,
        max_time=1234,
        ledger=LEDGER,
        fee_charged=300,
        succeeded=True,
        payments=(
            SeenPayment(
                source=POOL.public_key,
                destination=FARMER.public_key,
                asset=withdrawals.Asset.KALE,
                amount=10_000_005,
            ),
            SeenPayment(
                source=PAYER.public_key,
                destination=FARMER.public_key,
                asset=withdrawals.Asset.XLM,
                amount=7,
            ),
            SeenPayment(
                source=PAYER.public_key,
                destination=FARMER.public_key,
                asset=None,
                amount=30_000_000,
            ),
        ),
    )
    assert node.asked == [{"startLedger": LEDGER, "pagination": {"limit": 20}}]


async def test_a_fee_bump_is_told_by_both_hashes() -> None:
    inner = payment()
    outer = TransactionBuilder.build_fee_bump_transaction(POOL.public_key, 200, inner, PASSPHRASE)
    found = await used(Node(page([item(outer, status="FAILED")])))
    assert found is not None
    assert (found.hash, found.inner_hash) == ("ab" * 32, inner.hash_hex())
    assert (found.sequence, found.succeeded, len(found.payments)) == (41, False, 3)


@pytest.mark.filterwarnings("ignore:It looks like you haven't set a TimeBounds")
async def test_a_transaction_that_bumps_nothing_and_never_ends() -> None:
    made = TransactionBuilder(Account(PAYER.public_key, 40), PASSPHRASE, base_fee=100)
    made.append_bump_sequence_op(60).append_payment_op(FARMER.public_key, KALE, "1")
    found = await used(Node(page([item(made.build())])))
    assert found is not None
    assert (found.bump_to, found.max_time) == (None, 0)


async def test_who_is_only_named_in_a_transaction_has_not_used_a_number() -> None:
    named = builder(STRANGER).append_payment_op(PAYER.public_key, KALE, "1").build()
    assert await used(Node(page([item(named)]))) is None


async def test_transactions_of_other_ledgers_do_not_count() -> None:
    assert await used(Node(page([item(payment(), ledger=LEDGER + 1)]))) is None


async def test_the_first_of_two_in_one_ledger_is_told() -> None:
    two = [item(payment(41), name="aa" * 32), item(payment(42), name="bb" * 32)]
    found = await used(Node(page(two)))
    assert found is not None
    assert found.sequence == 41


async def test_a_full_page_leads_to_the_next_one() -> None:
    place = str((LEDGER << 32) + 20)
    node = Node(page(many(20), place), page([item(payment())]))
    found = await used(node)
    assert found is not None
    assert found.sequence == 41
    assert node.asked[1] == {"pagination": {"cursor": place, "limit": 20}}


async def test_a_page_that_reaches_the_next_ledger_is_the_last_one() -> None:
    node = Node(page([*many(19), *many(1, ledger=LEDGER + 1)], str((LEDGER + 1) << 32)))
    assert await used(node) is None
    assert len(node.asked) == 1


async def test_the_search_ends_where_it_was_found_and_where_pages_do_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = str((LEDGER << 32) + 20)
    node = Node(page([*many(19), item(payment())], place))
    assert await used(node) is not None
    monkeypatch.setattr(number_use, "MAX_PAGES", 2)
    pages = [page(many(20), str((LEDGER << 32) + 20 * count)) for count in (1, 2, 3)]
    node = Node(*pages)
    assert await used(node) is None
    assert len(node.asked) == 2


@pytest.mark.parametrize(
    "changed", [{"ledger": 91}, {"txHash": "no"}, {"envelopeXdr": 7}, {"resultXdr": None}]
)
async def test_a_transaction_that_cannot_be_read_is_the_nodes_failure(changed: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        await used(Node(page([item(payment(), **changed)])))


# What ledgers have


def named(number: int, *, ledger: int = LEDGER) -> dict[str, Any]:
    """A transaction that nobody looks for."""
    return {"txHash": f"{number:064x}", "ledger": ledger, "status": "SUCCESS"}


async def test_pages_follow_one_another_from_place_to_place() -> None:
    first, second = (LEDGER << 32) + 100, ((LEDGER + 3) << 32) + 5
    node = Node(
        page(map(named, range(100)), str(first)),
        page(map(named, range(100, 200)), str(second)),
        page([named(300, ledger=LEDGER + 3)]),
    )
    found = await read_included(cast(Rpc, node), cast(Any, None), LEDGER, {})
    assert found.head.sequence == 90
    assert node.asked == [
        {"startLedger": LEDGER, "pagination": {"limit": 100}},
        {"pagination": {"cursor": str(first), "limit": 100}},
        {"pagination": {"cursor": str(second), "limit": 100}},
    ]


async def test_a_transaction_of_a_ledger_before_the_place_is_refused() -> None:
    second = ((LEDGER + 3) << 32) + 5
    node = Node(
        page(map(named, range(100)), str(second)),
        page([named(300, ledger=LEDGER + 2)]),
    )
    with pytest.raises(ValueError, match="ledger is no number"):
        await read_included(cast(Rpc, node), cast(Any, None), LEDGER, {})


async def test_a_transaction_of_two_pages_is_refused() -> None:
    node = Node(page(map(named, range(100)), str((LEDGER << 32) + 100)), page([named(7)]))
    with pytest.raises(ValueError, match="one twice"):
        await read_included(cast(Rpc, node), cast(Any, None), LEDGER, {})


async def test_where_an_answer_is_too_large_fewer_are_asked_for() -> None:
    large = RpcTooLargeError("too large")
    node = Node(large, large, page([]))
    await read_included(cast(Rpc, node), cast(Any, None), LEDGER, {})
    assert [asked["pagination"]["limit"] for asked in node.asked] == [100, 20, 4]
    node = Node(large, large, large)
    with pytest.raises(RpcTooLargeError):
        await read_included(cast(Rpc, node), cast(Any, None), LEDGER, {})


async def test_pages_without_end_are_the_nodes_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(included, "MAX_PAGES", 2)
    pages = [
        page(map(named, range(100 * count, 100 * count + 100)), str((LEDGER << 32) + 100 + count))
        for count in range(3)
    ]
    with pytest.raises(RpcUnavailableError, match="has no end") as caught:
        await read_included(cast(Rpc, Node(*pages)), cast(Any, None), LEDGER, {})
    assert caught.value.retry_after == 1.0


async def test_a_failed_transaction_is_in_a_ledger_too() -> None:
    node = Node(page([named(1) | {"status": "FAILED"}]))
    assert (await read_included(cast(Rpc, node), cast(Any, None), LEDGER, {})).outcomes == {}


@pytest.mark.parametrize(
    ("place", "before"),
    [((LEDGER << 32), None), ((LEDGER << 32) + 6, (LEDGER << 32) + 5), ((90 << 32) + 7, None)],
)
def test_a_place_is_behind_the_last_one_and_within_the_ledgers(
    place: int, before: int | None
) -> None:
    assert next_cursor({"cursor": str(place)}, before, LEDGER, 90) == place


@pytest.mark.parametrize(
    ("place", "before"),
    [
        ((LEDGER << 32) + 5, (LEDGER << 32) + 5),
        ((LEDGER << 32) + 4, (LEDGER << 32) + 5),
        ((LEDGER << 32) - 1, None),
        (91 << 32, None),
    ],
)
def test_a_place_that_does_not_move_on_is_refused(place: int, before: int | None) -> None:
    with pytest.raises(ValueError, match="cursor does not move on"):
        next_cursor({"cursor": str(place)}, before, LEDGER, 90)


@pytest.mark.parametrize("cursor", [None, 7, "", "x", "-1", "1.5"])
def test_what_is_no_place_is_refused(cursor: object) -> None:
    with pytest.raises(ValueError, match="cursor is no place"):
        next_cursor({"cursor": cursor}, None, LEDGER, 90)


def test_a_place_has_up_to_twenty_digits() -> None:
    latest = 10**20 >> 32
    assert next_cursor({"cursor": "9" * 20}, None, 1, latest) == 10**20 - 1
    with pytest.raises(ValueError, match="cursor is no place"):
        next_cursor({"cursor": "0" * 20 + "9"}, None, 0, latest)


@pytest.mark.parametrize(
    ("status", "is_there"), [("SUCCESS", True), ("FAILED", True), ("NOT_FOUND", False)]
)
def test_a_transaction_is_present_where_a_ledger_has_it(status: str, is_there: bool) -> None:
    question = presence_question("ab" * 32)
    assert (question.method, question.parameters) == ("getTransaction", {"hash": "ab" * 32})
    assert question.decode({"status": status}) is is_there


@pytest.mark.parametrize("status", [None, "", "MAYBE"])
def test_a_status_of_no_transaction_is_refused(status: str | None) -> None:
    """A status that is not known counts as present, where a ledger is told with it."""
    with pytest.raises((TypeError, ValueError), match=r"status is no text|ledger is no number"):
        presence_question("ab" * 32).decode({"status": status})
