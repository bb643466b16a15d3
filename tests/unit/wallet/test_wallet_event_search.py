"""The search for harvests that others made: pages of mints, and the pails that they removed."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import pytest
from stellar_sdk import Keypair, StrKey, scval, xdr

from services.wallet.chain.errors import RpcUnavailableError
from services.wallet.chain.node.questions import Question
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.read import foreign_harvests
from services.wallet.chain.read.foreign_harvests import read_foreign_harvests
from services.wallet.domain.chain_facts import LedgerHead, PailState
from services.wallet.domain.foreign_harvests import ForeignHarvest

T = TypeVar("T")
INT64 = 2**63 - 1
FARM = StrKey.encode_contract(bytes([1]) * 32)
TOKEN = StrKey.encode_contract(bytes([2]) * 32)
MINT = scval.to_symbol("mint").to_xdr()
FARMERS = [
    Keypair.from_raw_ed25519_seed(bytes([number]) * 32).public_key for number in range(1, 31)
]
FARMER = FARMERS[0]
NO_CHANGES = xdr.LedgerEntryChanges([])


def mint(
    farmer: str = FARMER, *, amount: int = 5, name: str = "ab" * 32, ledger: int = 260
) -> dict[str, Any]:
    """The token's payment to a farmer."""
    return {
        "topic": [MINT, scval.to_address(farmer).to_xdr(), ""],
        "contractId": TOKEN,
        "ledger": ledger,
        "txHash": name,
        "value": scval.to_int128(amount).to_xdr(),
    }


def page(events: Sequence[Any], cursor: str = f"{300 << 32}-0") -> dict[str, Any]:
    """One answer of getEvents."""
    return {"latestLedger": 300, "events": list(events), "cursor": cursor}


def pail_entry(
    farmer: str = FARMER, *, contract: str = FARM, name: str = "Pail", stake: int = 50
) -> xdr.LedgerEntryData:
    """A pail of block 7."""
    fields = {
        "gap": scval.to_uint32(4),
        "sequence": scval.to_uint32(100),
        "stake": scval.to_int128(stake),
        "zeros": scval.to_uint32(6),
    }
    parts = [scval.to_symbol(name), scval.to_address(farmer), scval.to_uint32(7)]
    data = xdr.ContractDataEntry(
        xdr.ExtensionPoint(0),
        scval.to_address(contract).address or xdr.SCAddress(xdr.SCAddressType(0)),
        scval.to_vec(parts),
        xdr.ContractDataDurability.TEMPORARY,
        scval.to_map({scval.to_symbol(key): value for key, value in fields.items()}),
    )
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data)


def removal(entry: xdr.LedgerEntryData) -> list[xdr.LedgerEntryChange]:
    """The state of an entry, and that it is gone."""
    kinds = xdr.LedgerEntryChangeType
    found = entry.contract_data
    assert found is not None
    key = xdr.LedgerKey(
        xdr.LedgerEntryType.CONTRACT_DATA,
        contract_data=xdr.LedgerKeyContractData(found.contract, found.key, found.durability),
    )
    state = xdr.LedgerEntry(xdr.Uint32(9), entry, xdr.LedgerEntryExt(0))
    return [
        xdr.LedgerEntryChange(kinds.LEDGER_ENTRY_STATE, state=state),
        xdr.LedgerEntryChange(kinds.LEDGER_ENTRY_REMOVED, removed=key),
    ]


def transaction(
    *entries: xdr.LedgerEntryData, status: str = "SUCCESS", ledger: int = 260
) -> dict[str, Any]:
    """A transaction that removed these."""
    changes = [change for entry in entries for change in removal(entry)]
    operation = xdr.OperationMetaV2(xdr.ExtensionPoint(0), xdr.LedgerEntryChanges(changes), [])
    meta = xdr.TransactionMetaV4(
        xdr.ExtensionPoint(0), NO_CHANGES, [operation], NO_CHANGES, None, [], []
    )
    return {
        "status": status,
        "latestLedger": 300,
        "ledger": ledger,
        "resultMetaXdr": xdr.TransactionMeta(4, v4=meta).to_xdr(),
    }


class Node:
    """Shows pages of mints one after the other, and transactions by hash."""

    def __init__(
        self,
        *pages: Any,
        transactions: Mapping[str, Any] | None = None,
        head: tuple[int, int] = (200, 300),
    ) -> None:
        self.pages = list(pages)
        self.transactions = transactions or {}
        self.oldest, self.newest = head
        #: The parameters of each question.
        self.events: list[Any] = []
        self.names: list[Any] = []

    async def head(self) -> LedgerHead:
        """As an endpoint's."""
        return LedgerHead(sequence=self.newest, close_time=1, oldest=self.oldest)

    async def ask(self, question: Question[T]) -> T:
        """As an endpoint's."""
        if question.method == "getEvents":
            self.events.append(question.parameters)
            return question.decode(self.pages.pop(0))
        assert question.method == "getTransaction"
        self.names.append(question.parameters)
        return question.decode(self.transactions[question.parameters["hash"]])

    async def read(
        self, farmers: Sequence[str] = (FARMER,), first: int = 250
    ) -> list[ForeignHarvest]:
        """What they harvested."""
        return await read_foreign_harvests(
            cast(Rpc, self), farmers, farm=FARM, token=TOKEN, first=first
        )


A, B = "aa" * 32, "bb" * 32


async def test_a_harvest_is_told_with_its_mints_and_pails() -> None:
    told = [mint(amount=5, name=A), mint(amount=0, name=A), mint(FARMERS[1], amount=INT64, name=A)]
    entries = [pail_entry(), pail_entry(FARMERS[2]), pail_entry(FARMERS[1], stake=0)]
    node = Node(page(told), transactions={A: transaction(*entries, ledger=270)})
    first, second = await node.read(FARMERS[:2])
    pail = PailState(sequence=100, stake=50, gap=4, zeros=6, live_until=0)
    assert (first.address, first.minted, first.pails) == (FARMER, (5, 0), {7: pail})
    assert (second.address, second.minted) == (FARMERS[1], (INT64,))
    assert second.pails[7].stake == 0
    assert {(item.ledger, item.transaction_hash) for item in (first, second)} == {(270, A)}
    assert node.names == [{"hash": A}]


async def test_mints_are_asked_for_by_farmer_in_filters_of_five() -> None:
    node = Node(page([]), page([]))
    assert await node.read(FARMERS[:27]) == []
    first, second = node.events
    topics = [[MINT, scval.to_address(farmer).to_xdr(), "*"] for farmer in FARMERS]
    assert [item["topics"] for item in first["filters"]] == [
        topics[start : start + 5] for start in range(0, 25, 5)
    ]
    assert [item["topics"] for item in second["filters"]] == [topics[25:27]]
    for item in first["filters"]:
        assert (item["type"], item["contractIds"]) == ("contract", [TOKEN])
    assert (first["startLedger"], first["pagination"]) == (250, {"limit": 1_000})


@pytest.mark.parametrize(
    ("first", "asked"), [(250, 250), (200, 200), (100, 200), (300, 300), (301, None)]
)
async def test_the_search_begins_where_the_node_remembers(first: int, asked: int | None) -> None:
    node = Node(page([]))
    assert await node.read(first=first) == []
    assert [item["startLedger"] for item in node.events] == ([] if asked is None else [asked])


async def test_a_node_that_did_not_look_at_all_ledgers_is_asked_on() -> None:
    places = [f"{280 << 32}-0", f"{280 << 32}-0000000003", f"{(280 << 32) + 1}-0", f"{300 << 32}-0"]
    told = [[], [mint(name=A, ledger=281)], [mint(name=B, ledger=299)], []]
    node = Node(
        *(page(events, place) for events, place in zip(told, places, strict=True)),
        transactions={A: transaction(), B: transaction()},
    )
    assert [item.transaction_hash for item in await node.read()] == [A, B]
    assert node.events[0]["startLedger"] == 250
    assert [item["pagination"] for item in node.events[1:]] == [
        {"cursor": place, "limit": 1_000} for place in places[:3]
    ]


async def test_a_full_page_at_the_last_ledger_is_not_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foreign_harvests, "MAX_EVENTS", 2)
    two = [mint(name=A), mint(name=A, amount=6)]
    node = Node(
        page(two, f"{300 << 32}-1"),
        page([mint(name=A, amount=7, ledger=300)], f"{300 << 32}-2"),
        transactions={A: transaction()},
    )
    (found,) = await node.read()
    assert found.minted == (5, 6, 7)


@pytest.mark.parametrize(
    "cursors",
    [
        [f"{249 << 32}-0"],
        [f"{(250 << 32) - 1}-5"],
        [f"{280 << 32}-3", f"{280 << 32}-3"],
        [f"{280 << 32}-3", f"{280 << 32}-2"],
        [f"{280 << 32}-3", f"{279 << 32}-9"],
    ],
)
async def test_a_place_that_does_not_move_on_is_refused(cursors: list[str]) -> None:
    node = Node(*(page([], cursor) for cursor in cursors))
    with pytest.raises(ValueError, match="cursor does not move on"):
        await node.read()


@pytest.mark.parametrize("cursor", [f"{250 << 32}-0", f"{250 << 32}-1", f"{299 << 32}-0"])
async def test_a_place_within_the_ledgers_moves_on(cursor: str) -> None:
    node = Node(page([], cursor), page([]))
    assert await node.read() == []
    assert len(node.events) == 2


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x-0",
        "7",
        "7-",
        "-7",
        "-7-0",
        "7-0-0",
        "٣-0",
        "²-0",
        "7-x",
        "9" * 21 + "-0",
        "7-" + "0" * 21,
    ],
)
async def test_what_is_no_place_is_refused(cursor: str) -> None:
    why = "cursor is no place" if "-" in cursor else "invalid literal"
    with pytest.raises(ValueError, match=why):
        await Node(page([], cursor)).read()


async def test_a_place_has_up_to_twenty_digits() -> None:
    assert await Node(page([], "9" * 20 + "-" + "0" * 20)).read() == []


async def test_pages_without_end_are_the_nodes_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_harvests, "MAX_PAGES", 2)
    pages = [page([], f"{260 << 32}-{number}") for number in range(1, 4)]
    with pytest.raises(RpcUnavailableError, match="has no end") as caught:
        await Node(*pages).read()
    assert caught.value.retry_after == 1.0


@pytest.mark.parametrize(("ledger", "is_fine"), [(249, False), (250, True), (300, True)])
async def test_a_mint_is_of_a_ledger_that_was_asked_for(ledger: int, is_fine: bool) -> None:
    node = Node(page([mint(name=A, ledger=ledger)]), transactions={A: transaction()})
    if is_fine:
        assert len(await node.read()) == 1
    else:
        with pytest.raises(ValueError, match="ledger is no number"):
            await node.read()


@pytest.mark.parametrize("amount", [-1, INT64 + 1])
async def test_a_mint_of_no_amount_is_refused(amount: int) -> None:
    with pytest.raises(ValueError, match="value is no amount"):
        await Node(page([mint(amount=amount)])).read()


async def test_with_a_muxed_destination_the_amount_stands_in_a_map() -> None:
    value = {"amount": scval.to_int128(8), "to_muxed_id": scval.to_uint64(3)}
    told = scval.to_map({scval.to_symbol(name): item for name, item in value.items()})
    event = mint(name=A) | {"value": told.to_xdr()}
    (found,) = await Node(page([event]), transactions={A: transaction()}).read()
    assert found.minted == (8,)


async def test_a_value_that_is_too_large_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    event = mint(name=A)
    longest = max(len(event["value"]), len(event["topic"][1]))
    monkeypatch.setattr(foreign_harvests, "_VALUE_TEXT", longest)
    assert await Node(page([event]), transactions={A: transaction()}).read()
    monkeypatch.setattr(foreign_harvests, "_VALUE_TEXT", longest - 1)
    with pytest.raises(ValueError, match="too large"):
        await Node(page([event])).read()


@pytest.mark.parametrize(
    "entry",
    [
        pail_entry(contract=TOKEN),
        pail_entry(name="Sack"),
        xdr.LedgerEntryData(
            xdr.LedgerEntryType.CONTRACT_DATA,
            contract_data=xdr.ContractDataEntry(
                xdr.ExtensionPoint(0),
                scval.to_address(FARM).address or xdr.SCAddress(xdr.SCAddressType(0)),
                scval.to_symbol("key"),
                xdr.ContractDataDurability.TEMPORARY,
                scval.to_void(),
            ),
        ),
    ],
)
async def test_what_is_no_pail_of_the_farm_is_passed_over(entry: xdr.LedgerEntryData) -> None:
    node = Node(page([mint(name=A)]), transactions={A: transaction(entry)})
    (found,) = await node.read()
    assert found.pails == {}


@pytest.mark.parametrize(("ledger", "is_fine"), [(0, False), (300, True), (301, False)])
async def test_a_transaction_is_in_a_ledger_that_is_there(ledger: int, is_fine: bool) -> None:
    node = Node(page([mint(name=A)]), transactions={A: transaction(ledger=ledger)})
    if is_fine:
        (found,) = await node.read()
        assert found.ledger == ledger
    else:
        with pytest.raises(ValueError, match="ledger is no number"):
            await node.read()
