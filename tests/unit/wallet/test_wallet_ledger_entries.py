"""The answer of getLedgerEntries: each entry belongs to the key that was asked for."""

from base64 import b64encode
from typing import Any

import pytest

from services.wallet.chain.node.ledger_entries import MAX_KEYS, Entry, entries_question

DATA, CODE, ACCOUNT = (bytes([0, 0, 0, kind]) for kind in (6, 7, 0))
#: Keys of the three kinds, and entries that belong to them.
KEYS = {"data": DATA + b"rest", "code": CODE + b"hash", "account": ACCOUNT + b"name"}
ENTRIES = {
    "data": DATA + bytes(4) + b"rest" + b"value",
    "code": CODE + b"costs" + b"hash" + b"wasm",
    "account": ACCOUNT + b"name" + b"balance",
}


def text(raw: bytes) -> str:
    """Base64 of it."""
    return b64encode(raw).decode()


def item(kind: str, **changed: Any) -> dict[str, Any]:
    """An entry in an answer."""
    fields: dict[str, Any] = {
        "key": text(KEYS[kind]),
        "xdr": text(ENTRIES[kind]),
        "lastModifiedLedgerSeq": 90,
        "liveUntilLedgerSeq": 500,
    }
    return fields | changed


def decode(*items: Any, ledger: Any = 100, kinds: tuple[str, ...] = tuple(KEYS)) -> Any:
    """What is read of an answer, by the names of the kinds."""
    question = entries_question({text(KEYS[kind]): lambda entry: entry for kind in kinds})
    assert question.method == "getLedgerEntries"
    assert question.parameters == {"keys": [text(KEYS[kind]) for kind in kinds]}
    found_ledger, found = question.decode({"latestLedger": ledger, "entries": list(items)})
    names = {text(key): kind for kind, key in KEYS.items()}
    return found_ledger, {names[key]: entry for key, entry in found.items()}


def test_entries_are_read_by_key_and_absent_ones_are_absent() -> None:
    ledger, found = decode(item("account"), item("data"))
    assert ledger == 100
    assert found == {
        "account": Entry(key=KEYS["account"], data=ENTRIES["account"], modified=90, live_until=0),
        "data": Entry(key=KEYS["data"], data=ENTRIES["data"], modified=90, live_until=500),
    }
    assert decode() == (100, {})


def test_only_a_contracts_entries_live_for_a_while() -> None:
    _, found = decode(*(item(kind) for kind in KEYS))
    assert {kind: entry.live_until for kind, entry in found.items()} == {
        "data": 500,
        "code": 500,
        "account": 0,
    }
    # Others need not say how long they live.
    assert decode(item("account", liveUntilLedgerSeq=None))[1]["account"].live_until == 0
    for kind in ("data", "code"):
        with pytest.raises(ValueError, match="liveUntilLedgerSeq is no number"):
            decode(item(kind, liveUntilLedgerSeq=None))


@pytest.mark.parametrize("ledger", [0, -1, None])
def test_an_answer_is_of_a_ledger(ledger: object) -> None:
    assert decode(ledger=1)[0] == 1
    with pytest.raises(ValueError, match="latestLedger is no number from 1"):
        decode(ledger=ledger)


def test_an_entry_was_changed_by_a_ledger_that_is_there() -> None:
    assert decode(item("account", lastModifiedLedgerSeq=100))[1]["account"].modified == 100
    with pytest.raises(ValueError, match="lastModifiedLedgerSeq is no number"):
        decode(item("account", lastModifiedLedgerSeq=101))


@pytest.mark.parametrize("key", [None, 7, ["a"], "AAAA", text(KEYS["code"])])
def test_a_key_that_was_not_asked_for_is_refused(key: object) -> None:
    with pytest.raises(ValueError, match="a key that was not asked for, or one twice"):
        decode(item("account", key=key), kinds=("account", "data"))


def test_a_key_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="a key that was not asked for, or one twice"):
        decode(item("account"), item("account"))


def test_there_are_no_more_entries_than_keys() -> None:
    with pytest.raises(ValueError, match="no list of up to 1 items"):
        decode(item("account"), item("data"), kinds=("account",))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("data", DATA + b"rest" + bytes(4)),
        ("data", DATA + bytes(4) + b"west"),
        ("data", DATA + bytes(5) + b"rest"),
        ("data", CODE + bytes(4) + b"rest"),
        ("code", CODE + b"another"),
        ("code", DATA + b"hash"),
        ("code", CODE + b"x" * 121 + b"hash"),
        ("account", ACCOUNT + b"nobody"),
        ("account", CODE + b"name"),
    ],
)
def test_an_entry_of_another_key_is_refused(kind: str, data: bytes) -> None:
    with pytest.raises(ValueError, match="xdr is not the entry of its key"):
        decode(item(kind, xdr=text(data)))


def test_a_codes_hash_ends_within_its_first_128_bytes() -> None:
    data = CODE + b"x" * 120 + b"hash"
    assert decode(item("code", xdr=text(data)))[1]["code"].data == data


def test_only_code_may_be_large() -> None:
    for kind in ("data", "account"):
        whole = ENTRIES[kind] + bytes(16 * 1024 - len(ENTRIES[kind]))
        assert decode(item(kind, xdr=text(whole)))[1][kind].data == whole
        with pytest.raises(ValueError, match="xdr is larger than what is read here"):
            decode(item(kind, xdr=text(whole + b"x")))
    code = ENTRIES["code"] + bytes(16 * 1024)
    assert decode(item("code", xdr=text(code)))[1]["code"].data == code


def test_an_entry_without_its_content_is_refused() -> None:
    with pytest.raises(TypeError, match="xdr is no text"):
        decode(item("account", xdr=None))


def test_a_node_is_asked_for_200_keys_at_most() -> None:
    assert MAX_KEYS == 200
