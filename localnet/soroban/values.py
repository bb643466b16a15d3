"""Short functions for ScVals, used by the contract models."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from string import ascii_letters, digits

from stellar_sdk import Address, StrKey, scval, xdr
from stellar_sdk.address import AddressType

VOID = scval.to_void()
#: Types that only the host itself writes; a transaction may not pass them.
_NO_ARGUMENTS = frozenset(
    {
        xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE,
        xdr.SCValType.SCV_LEDGER_KEY_NONCE,
        xdr.SCValType.SCV_CONTRACT_INSTANCE,
    }
)
_SYMBOL_LETTERS = frozenset((ascii_letters + digits + "_").encode())
INSTANCE_KEY = xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE)


def symbol(name: str) -> xdr.SCVal:
    """Make a symbol."""
    return scval.to_symbol(name)


def vector(*items: xdr.SCVal) -> xdr.SCVal:
    """Make a vector."""
    return scval.to_vec(list(items))


def address(text: str) -> xdr.SCVal:
    """Make an account or contract address."""
    return xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=sc_address(text))


@lru_cache(maxsize=65_536)  # the same few in every call, and a strkey takes 0.1 ms
def sc_address(text: str) -> xdr.SCAddress:
    """Make the bare address."""
    return Address(text).to_xdr_sc_address()


def address_text(value: xdr.SCVal) -> str:
    """Return the strkey of an account or a contract; ValueError for any other address.

    No contract takes other addresses.
    """
    if value.address is None:
        raise ValueError("not an address")
    return _address_text(value.address.to_xdr_bytes())


@lru_cache(maxsize=65_536)
def _address_text(packed: bytes) -> str:
    found = Address.from_xdr_sc_address(xdr.SCAddress.from_xdr_bytes(packed))
    if found.type not in {AddressType.ACCOUNT, AddressType.CONTRACT}:
        raise ValueError("neither an account nor a contract")
    return found.address


def receiver_of(value: xdr.SCVal) -> tuple[str, int | None]:
    """Return the strkey and, for a muxed account, its number; ValueError for another type."""
    muxed = value.address.muxed_account if value.address is not None else None
    if muxed is None:
        return address_text(value), None
    return StrKey.encode_ed25519_public_key(muxed.ed25519.uint256), muxed.id.uint64


def items_of(value: xdr.SCVal) -> list[xdr.SCVal]:
    """Return the items of a vector.

    Raises ValueError for another type and for a vector without content.
    """
    if value.vec is None:
        raise ValueError("not a vector")
    return value.vec.sc_vec


def name_of(value: xdr.SCVal) -> str:
    """Return the text of a symbol.

    Raises ValueError for another type and for characters that no symbol may hold.
    """
    if value.sym is None:
        raise ValueError("not a symbol")
    return symbol_text(value.sym)


def symbol_text(value: xdr.SCSymbol) -> str:
    """Return the text of a symbol.

    Raises ValueError for characters other than letters, digits and underscores.
    """
    if not _SYMBOL_LETTERS.issuperset(value.sc_symbol):
        raise ValueError("not a symbol")
    return value.sc_symbol.decode()


def is_account(text: str) -> bool:
    """Tell whether the text is a G address."""
    return text.startswith("G")


def record(fields: Mapping[str, xdr.SCVal]) -> xdr.SCVal:
    """Make a map with symbol keys in byte order, as contract structs are stored."""
    items = [xdr.SCMapEntry(key=symbol(name), val=fields[name]) for name in sorted(fields)]
    return xdr.SCVal(xdr.SCValType.SCV_MAP, map=xdr.SCMap(items))


def fields_of(value: xdr.SCVal) -> dict[str, xdr.SCVal]:
    """Return the fields of a record; ValueError for another type."""
    return {name_of(key): item for key, item in pairs_of(value)}


def check_argument(value: xdr.SCVal) -> None:
    """Check that the host takes the value from a transaction; ValueError otherwise."""
    if value.type in _NO_ARGUMENTS:
        raise ValueError("no value for a contract")
    if value.type is xdr.SCValType.SCV_SYMBOL:
        name_of(value)
    elif value.type is xdr.SCValType.SCV_VEC:
        for item in items_of(value):
            check_argument(item)
    elif value.type is xdr.SCValType.SCV_MAP:
        for key, item in pairs_of(value):
            check_argument(key)
            check_argument(item)


def pairs_of(value: xdr.SCVal) -> list[tuple[xdr.SCVal, xdr.SCVal]]:
    """Return the pairs of a map; ValueError for another type and for a map without content."""
    if value.map is None:
        raise ValueError("not a map")
    return [(item.key, item.val) for item in value.map.sc_map]


def arguments_of(items: Sequence[xdr.SCVal]) -> xdr.SCVal:
    """Return arguments as the host shows them in fn_call events.

    No argument is shown as void, a single argument as itself.
    """
    if not items:
        return VOID
    return items[0] if len(items) == 1 else vector(*items)


def order(value: xdr.SCVal) -> tuple[object, ...]:
    """Return a key that sorts values as the host does: by type, then content, text by letters."""
    kind = value.type.value
    if value.vec is not None:
        return (kind, tuple(order(item) for item in value.vec.sc_vec))
    if value.sym is not None:
        return (kind, value.sym.sc_symbol)
    if value.u32 is not None:
        return (kind, value.u32.uint32)
    if value.nonce_key is not None:
        return (kind, value.nonce_key.nonce.int64)
    return (kind, value.to_xdr_bytes())
