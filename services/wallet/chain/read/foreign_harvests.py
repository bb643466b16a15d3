"""Harvests by any account: the token's mints to a farmer, and the pails that they removed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stellar_sdk import Address, StrKey, scval, xdr

from services.wallet.chain.errors import RpcUnavailableError, StaleAnswerError
from services.wallet.chain.node.endpoints import Endpoints
from services.wallet.chain.node.fields import (
    INT64,
    Json,
    hash_of,
    integer,
    needed,
    objects,
    raw_bytes,
    texts,
)
from services.wallet.chain.node.newer import decoded
from services.wallet.chain.node.questions import Question
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.read.entries import decode_pail
from services.wallet.chain.read.results import status_of
from services.wallet.chain.read.return_values import decode_meta
from services.wallet.domain.chain_facts import OutcomeStatus, PailState
from services.wallet.domain.foreign_harvests import ForeignHarvest

_MINT = scval.to_symbol("mint").to_xdr()
#: Topics of one filter, and filters of one getEvents, at most.
_TOPICS, _FILTERS = 5, 5
#: Topics of one event at most.
_EVENT_TOPICS = 4
#: Characters of a topic or a value at most; those of a mint are addresses and amounts.
_VALUE_TEXT = 2_000
#: Events of one getEvents: few enough that one answer is decoded in a short time.
MAX_EVENTS = 1_000
#: Pages of one search at most: a node looks through 10,000 ledgers and more for each page.
MAX_PAGES = 1_000
#: Bits of a place (cursor) after the ledger, which begins it.
_LEDGER_SHIFT = 32
#: Digits of a place at most: of the transaction's place, and of the event's place in it.
_DIGITS = 20


@dataclass(frozen=True, kw_only=True)
class _Mint:
    """A payment of the token to a farmer."""

    #: The farmer (strkey G...).
    address: str
    #: In stroops.
    amount: int
    #: Hash of the transaction.
    tx_hash: str


@dataclass(frozen=True, kw_only=True)
class _MintPage:
    """The mints in one answer of getEvents."""

    #: The mints, oldest first.
    mints: tuple[_Mint, ...]
    #: Where the next page begins; None after the last one.
    cursor: str | None


@dataclass(frozen=True, kw_only=True)
class _Harvest:
    """A transaction that made mints."""

    #: Whether the transaction worked, or is not known.
    status: OutcomeStatus
    #: Ledger that has the transaction; 0 when it is not known.
    ledger: int = 0
    #: Pails that the transaction removed, with their farmers and blocks.
    gone: tuple[tuple[str, int, PailState], ...] = ()


async def read_foreign_harvests(
    rpc: Endpoints | Rpc, addresses: Sequence[str], *, farm: str, token: str, first: int
) -> list[ForeignHarvest]:
    """Return all harvests of these farmers from ledger `first` on.

    The search reaches as far back as the node remembers.
    """
    head = await rpc.head()
    first = max(first, head.oldest)
    if first > head.sequence:
        return []
    found: list[ForeignHarvest] = []
    for start in range(0, len(addresses), _TOPICS * _FILTERS):
        chosen = addresses[start : start + _TOPICS * _FILTERS]
        minted: dict[str, dict[str, list[int]]] = {}
        for mint in await _mints(rpc, chosen, token=token, first=first):
            farmers = minted.setdefault(mint.tx_hash, {})
            farmers.setdefault(mint.address, []).append(mint.amount)
        for name, farmers in minted.items():
            found += _foreign_harvests(await rpc.ask(_harvest(name, farm)), name, farmers)
    return found


async def _mints(
    rpc: Endpoints | Rpc, addresses: Sequence[str], *, token: str, first: int
) -> list[_Mint]:
    found: list[_Mint] = []
    cursor: str | None = None
    # A node looks through a limited number of ledgers at a time; the cursor says how far it came.
    for _ in range(MAX_PAGES):
        page = await rpc.ask(_mint_question(addresses, token, first, cursor))
        found += page.mints
        if page.cursor is None:
            return found
        cursor = page.cursor
    raise RpcUnavailableError("getEvents has no end", retry_after=1.0)


def _mint_question(
    addresses: Sequence[str], token: str, first: int, cursor: str | None
) -> Question[_MintPage]:
    topics = [[_MINT, scval.to_address(address).to_xdr(), "*"] for address in addresses]
    filters = [
        {
            "type": "contract",
            "contractIds": [token],
            "topics": topics[start : start + _TOPICS],
        }
        for start in range(0, len(topics), _TOPICS)
    ]
    begin = first if cursor is None else _place(cursor)[0] >> _LEDGER_SHIFT

    def decode(answer: Json) -> _MintPage:
        latest = integer(answer, "latestLedger", low=1)
        events = objects(answer, "events", most=MAX_EVENTS)
        mints = tuple(_mint(event, addresses, token, range(begin, latest + 1)) for event in events)
        place = _place(answer["cursor"])
        reached = place[0] >> _LEDGER_SHIFT
        if len(events) < MAX_EVENTS and reached >= latest:
            return _MintPage(mints=mints, cursor=None)
        if reached < begin or (cursor is not None and place <= _place(cursor)):
            raise ValueError("cursor does not move on")
        return _MintPage(mints=mints, cursor=answer["cursor"])

    page: dict[str, object] = {"limit": MAX_EVENTS}
    if cursor is not None:
        parameters: Json = {"filters": filters, "pagination": {"cursor": cursor, **page}}
    else:
        parameters = {"filters": filters, "startLedger": first, "pagination": page}
    return Question(method="getEvents", parameters=parameters, decode=decode)


def _place(cursor: object) -> tuple[int, int]:
    """Read a place in the ledgers' events: the transaction's place, and the event's place in it."""
    if not isinstance(cursor, str):
        raise TypeError("cursor is no text")
    transaction, dash, event = cursor.partition("-")
    for digits in (transaction, event) if dash else ():
        if len(digits) > _DIGITS or not (digits.isascii() and digits.isdigit()):
            raise ValueError("cursor is no place")
    return int(transaction), int(event)


def _mint(event: Json, addresses: Sequence[str], token: str, ledgers: range) -> _Mint:
    topics = texts(event, "topic", most=_EVENT_TOPICS)
    integer(event, "ledger", low=ledgers.start, high=ledgers.stop - 1)
    address = _address(_value(topics[1]))
    if topics[0] != _MINT or address not in addresses or event["contractId"] != token:
        raise ValueError("events has one that was not asked for")
    return _Mint(
        address=address,
        amount=_amount(event["value"]),
        tx_hash=hash_of(event, "txHash"),
    )


def _harvest(tx_hash: str, farm: str) -> Question[_Harvest]:
    raw_farm = StrKey.decode_contract(farm)

    def decode(answer: Json) -> _Harvest:
        status = status_of(answer)
        if status is not OutcomeStatus.SUCCESS:
            return _Harvest(status=status)
        latest = integer(answer, "latestLedger", low=1)
        meta = raw_bytes(needed(answer, "resultMetaXdr"), "resultMetaXdr")
        return _Harvest(
            status=status,
            ledger=integer(answer, "ledger", low=1, high=latest),
            gone=tuple(_removed(meta, raw_farm)),
        )

    return Question(method="getTransaction", parameters={"hash": tx_hash}, decode=decode)


def _foreign_harvests(
    harvest: _Harvest, name: str, farmers: Mapping[str, Sequence[int]]
) -> Iterator[ForeignHarvest]:
    if harvest.status is OutcomeStatus.NOT_FOUND:
        raise StaleAnswerError(f"a node has events of transaction {name}, and not the transaction")
    if harvest.status is not OutcomeStatus.SUCCESS:
        return
    for address, minted in farmers.items():
        yield ForeignHarvest(
            address=address,
            minted=tuple(minted),
            pails={index: pail for farmer, index, pail in harvest.gone if farmer == address},
            ledger=harvest.ledger,
            transaction_hash=name,
        )


def _removed(encoded: bytes, farm: bytes) -> Iterator[tuple[str, int, PailState]]:
    """Yield the farm's pails that a transaction removed, with their content before the removal.

    Each removal in the result meta follows the entry's state.
    """
    body = decode_meta(encoded)
    before: xdr.LedgerEntryData | None = None
    for operation in body.operations if body is not None else ():
        for change in operation.changes.ledger_entry_changes:
            if change.state is not None:
                before = change.state.data
            elif change.removed is not None and before is not None:
                pail = _pail_of(before, farm)
                if pail is not None:
                    key = change.removed.to_xdr_bytes()
                    yield *pail, decode_pail(before.to_xdr_bytes(), key=key, live_until=0)


def _pail_of(entry: xdr.LedgerEntryData, farm: bytes) -> tuple[str, int] | None:
    """Return farmer and block of a pail of the farm; None for any other entry."""
    data = entry.contract_data
    if data is None or data.contract.contract_id is None or data.key.vec is None:
        return None
    parts = data.key.vec.sc_vec
    if data.contract.contract_id.contract_id.hash != farm or len(parts) != 3:
        return None
    if parts[0].sym is None or parts[0].sym.sc_symbol != b"Pail":
        return None
    return _address(parts[1]), scval.from_uint32(parts[2])


def _address(value: xdr.SCVal) -> str:
    address: Address = scval.from_address(value)
    return address.address


def _amount(text: str) -> int:
    """Read an amount in stroops; with a muxed destination, the amount stands in a map."""
    value = _value(text)
    if value.map is not None:
        fields = {scval.from_symbol(item.key): item.val for item in value.map.sc_map}
        value = fields["amount"]
    amount = scval.from_int128(value)
    if not 0 <= amount <= INT64:
        raise ValueError("value is no amount")
    return amount


def _value(encoded: str) -> xdr.SCVal:
    if len(encoded) > _VALUE_TEXT:
        raise ValueError("an event that is too large")
    return decoded(xdr.SCVal, raw_bytes(encoded, "topic"))
