"""Harvests by whomever: the token's mints to a farmer, and the pails that went with them."""

import base64
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from stellar_sdk import Address, StrKey, scval, xdr

from services.wallet.chain.endpoints import Endpoints
from services.wallet.chain.entries import decode_pail
from services.wallet.chain.errors import StaleAnswerError, UnknownMetaError
from services.wallet.chain.model import OutcomeStatus, PailState
from services.wallet.chain.rpc import MAX_EVENTS, Rpc
from services.wallet.domain.takings import Taking

Json = Mapping[str, Any]

_MINT = scval.to_symbol("mint").to_xdr()
#: Topics of one filter, and filters of one getEvents, at most.
_TOPICS, _FILTERS = 5, 5
#: An event's place begins with its ledger.
_LEDGER_SHIFT = 32


async def read_takings(
    rpc: Endpoints | Rpc, addresses: Sequence[str], *, farm: str, token: str, first: int
) -> list[Taking]:
    """All harvests of these farmers from ledger `first` on, as far back as the node remembers."""
    head = await rpc.head()
    first = max(first, head.oldest)
    if first > head.sequence:
        return []
    found: list[Taking] = []
    for start in range(0, len(addresses), _TOPICS * _FILTERS):
        chosen = addresses[start : start + _TOPICS * _FILTERS]
        minted: dict[str, dict[str, list[int]]] = {}
        async for event in _mints(rpc, chosen, token=token, first=first):
            address = _address(_value(event["topic"][1]))
            farmers = minted.setdefault(str(event["txHash"]), {})
            farmers.setdefault(address, []).append(_amount(event["value"]))
        for name, farmers in minted.items():
            found += _takings(await rpc.transaction(name), name, farmers, farm)
    return found


async def _mints(
    rpc: Endpoints | Rpc, addresses: Sequence[str], *, token: str, first: int
) -> AsyncIterator[Json]:
    topics = [[_MINT, scval.to_address(address).to_xdr(), "*"] for address in addresses]
    filters = [
        {
            "type": "contract",
            "contractIds": [token],
            "topics": topics[start : start + _TOPICS],
        }
        for start in range(0, len(topics), _TOPICS)
    ]
    page = await rpc.events(filters, start=first)
    while True:
        for event in page["events"]:
            yield event
        # A node looks through so many ledgers at a time; the cursor says how far it came.
        cursor = str(page["cursor"])
        reached = int(cursor.partition("-")[0]) >> _LEDGER_SHIFT
        if len(page["events"]) < MAX_EVENTS and reached >= int(page["latestLedger"]):
            return
        page = await rpc.events(filters, cursor=cursor)


def _takings(
    answer: Json, name: str, farmers: Mapping[str, Sequence[int]], farm: str
) -> Iterator[Taking]:
    status = OutcomeStatus(answer["status"])
    if status is OutcomeStatus.NOT_FOUND:
        raise StaleAnswerError(f"a node has events of transaction {name}, and not the transaction")
    if status is not OutcomeStatus.SUCCESS:
        return
    gone = list(_removed(answer["resultMetaXdr"], StrKey.decode_contract(farm)))
    for address, minted in farmers.items():
        yield Taking(
            address=address,
            minted=tuple(minted),
            pails={index: pail for farmer, index, pail in gone if farmer == address},
            ledger=int(answer["ledger"]),
            transaction_hash=name,
        )


def _removed(text: str, farm: bytes) -> Iterator[tuple[str, int, PailState]]:
    """The farm's pails that a transaction removed, as they were: each removal follows its state."""
    try:
        meta = xdr.TransactionMeta.from_xdr_bytes(base64.b64decode(text))
    except ValueError as error:
        raise UnknownMetaError("the SDK does not know this version of result meta") from error
    body = meta.v4 or meta.v3
    before: xdr.LedgerEntryData | None = None
    for operation in body.operations if body is not None else ():
        for change in operation.changes.ledger_entry_changes:
            if change.state is not None:
                before = change.state.data
            elif change.removed is not None and before is not None:
                place = _place(before, farm)
                if place is not None:
                    key = change.removed.to_xdr()
                    yield *place, decode_pail(before.to_xdr(), key=key, live_until=0)


def _place(entry: xdr.LedgerEntryData, farm: bytes) -> tuple[str, int] | None:
    """Farmer and block of a pail of the farm; None for any other entry."""
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
    """Stroops; with a muxed destination they stand in a map."""
    value = _value(text)
    if value.map is not None:
        fields = {scval.from_symbol(item.key): item.val for item in value.map.sc_map}
        value = fields["amount"]
    return scval.from_int128(value)


def _value(text: str) -> xdr.SCVal:
    return xdr.SCVal.from_xdr(text)
