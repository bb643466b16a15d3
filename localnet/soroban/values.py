"""ScVal short-hands that the contracts are written in."""

from collections.abc import Mapping, Sequence

from stellar_sdk import Address, StrKey, scval, xdr

VOID = scval.to_void()
INSTANCE_KEY = xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE)


def symbol(name: str) -> xdr.SCVal:
    """A symbol."""
    return scval.to_symbol(name)


def vector(*items: xdr.SCVal) -> xdr.SCVal:
    """A vector."""
    return scval.to_vec(list(items))


def address(text: str) -> xdr.SCVal:
    """An account or contract address."""
    return scval.to_address(text)


def address_text(value: xdr.SCVal) -> str:
    """strkey of an address; ValueError for another type."""
    found: Address = scval.from_address(value)
    return found.address


def contract_bytes(contract: str) -> bytes:
    """The 32 bytes of a contract id."""
    return StrKey.decode_contract(contract)


def is_account(text: str) -> bool:
    """Whether it is a G address."""
    return text.startswith("G")


def record(fields: Mapping[str, xdr.SCVal]) -> xdr.SCVal:
    """A map with symbol keys in byte order, as contract structs are stored."""
    items = [xdr.SCMapEntry(key=symbol(name), val=fields[name]) for name in sorted(fields)]
    return xdr.SCVal(xdr.SCValType.SCV_MAP, map=xdr.SCMap(items))


def fields_of(value: xdr.SCVal) -> dict[str, xdr.SCVal]:
    """The fields of a record; ValueError for another type."""
    if value.map is None:
        raise ValueError("not a record")
    return {scval.from_symbol(item.key): item.val for item in value.map.sc_map}


def arguments_of(items: Sequence[xdr.SCVal]) -> xdr.SCVal:
    """Arguments as the host shows them in fn_call events: none is void, one is itself."""
    if not items:
        return VOID
    return items[0] if len(items) == 1 else vector(*items)


def order(value: xdr.SCVal) -> tuple[object, ...]:
    """A key that sorts values as the host does: by type, then content, text by letters."""
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
