"""The question getLedgerEntries: each entry is read by the reader of its key."""

from binascii import a2b_base64
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from services.wallet.chain.node.fields import UINT32, Json, integer, objects, raw_bytes
from services.wallet.chain.node.questions import Question

T = TypeVar("T")

#: Keys of one getLedgerEntries at most.
MAX_KEYS = 200

#: Bytes of an entry at most, except code: an entry read here has a few hundred bytes, an account
#: with all of its signers two thousand.
_LARGEST = 16 * 1024

#: LedgerEntryTypes as XDR has them.
_CONTRACT_DATA, _CONTRACT_CODE = bytes([0, 0, 0, 6]), bytes([0, 0, 0, 7])
#: Bytes from the start of a contract's code entry in which the hash must end: costs may precede it.
_HASH_ENDS = 128


class Entry(NamedTuple):
    """A ledger entry as a node gave it, not decoded yet.

    A thousand entries are made at once, and a frozen dataclass takes four times as long for that.
    """

    #: LedgerKey.
    key: bytes
    #: LedgerEntryData.
    data: bytes
    #: Ledger that changed the entry last.
    modified: int
    #: Last ledger in which the entry exists; 0 for classic entries, which live until their removal.
    live_until: int


#: A function that makes facts of an entry. It raises ValueError and the like when the entry is not
#: what its key says.
Reader = Callable[[Entry], T]


def entries_question(readers: Mapping[str, Reader[T]]) -> Question[tuple[int, dict[str, T]]]:
    """Return the question for the ledger that was read and the readers' facts by key.

    The keys are LedgerKeys (base64). Entries that do not exist are absent.
    """

    def decode(answer: Json) -> tuple[int, dict[str, T]]:
        ledger = integer(answer, "latestLedger", low=1)
        found: dict[str, T] = {}
        for item in objects(answer, "entries", most=len(readers)):
            key = item.get("key")
            if not isinstance(key, str) or key not in readers or key in found:
                raise ValueError("entries has a key that was not asked for, or one twice")
            found[key] = readers[key](_entry(item, key, ledger))
        return ledger, found

    return Question(method="getLedgerEntries", parameters={"keys": list(readers)}, decode=decode)


def _entry(item: Json, key_text: str, ledger: int) -> Entry:
    key, data = a2b_base64(key_text), raw_bytes(item.get("xdr"), "xdr")
    if not data.startswith(_CONTRACT_CODE) and len(data) > _LARGEST:
        raise ValueError("xdr is larger than what is read here")
    if not _belongs(key, data):
        raise ValueError("xdr is not the entry of its key")
    # The network keeps a contract's entries for a limited time.
    mortal = key[:4] in {_CONTRACT_DATA, _CONTRACT_CODE}
    return Entry(
        key=key,
        data=data,
        modified=integer(item, "lastModifiedLedgerSeq", high=ledger),
        live_until=integer(item, "liveUntilLedgerSeq", high=UINT32) if mortal else 0,
    )


def _belongs(key: bytes, data: bytes) -> bool:
    """Check that a LedgerEntryData belongs to a LedgerKey.

    An entry begins with all of its key. The entries of contracts have an extension between the
    key's type and the rest of the key.
    """
    kind, rest = key[:4], key[4:]
    if kind == _CONTRACT_DATA:
        return data.startswith(kind + bytes(4) + rest)
    if kind == _CONTRACT_CODE:
        return data.startswith(kind) and rest in data[:_HASH_ENDS]
    return data.startswith(key)
