"""Events of classic operations: the same events that the asset's contract would emit."""

from functools import lru_cache

from stellar_sdk import Asset, StrKey, scval, xdr


@lru_cache(maxsize=256)
def _contract_id(asset: bytes, passphrase: str) -> xdr.ContractID:
    parsed = Asset.from_xdr_object(xdr.Asset.from_xdr_bytes(asset))
    return xdr.ContractID(xdr.Hash(StrKey.decode_contract(parsed.contract_id(passphrase))))


@lru_cache(maxsize=256)
def _asset_name(asset: bytes) -> str:
    parsed = Asset.from_xdr_object(xdr.Asset.from_xdr_bytes(asset))
    return "native" if parsed.is_native() else f"{parsed.code}:{parsed.issuer}"


def _address(raw: bytes) -> xdr.SCVal:
    return scval.to_address(StrKey.encode_ed25519_public_key(raw))


def contract_event(contract: xdr.ContractID, topics: list[xdr.SCVal], data: xdr.SCVal) -> bytes:
    """Make a ContractEvent of type CONTRACT in XDR."""
    return xdr.ContractEvent(
        ext=xdr.ExtensionPoint(0),
        contract_id=contract,
        type=xdr.ContractEventType.CONTRACT,
        body=xdr.ContractEventBody(0, v0=xdr.ContractEventV0(topics=topics, data=data)),
    ).to_xdr_bytes()


def moved(
    passphrase: str, asset: bytes, amount: int, *, sender: bytes, receiver: bytes, issuer: bytes
) -> bytes:
    """Make a transfer event, or mint / burn when the issuer is the sender / the receiver."""
    topics: list[xdr.SCVal]
    if sender == issuer and receiver != issuer:
        topics = [scval.to_symbol("mint"), _address(receiver)]
    elif receiver == issuer and sender != issuer:
        topics = [scval.to_symbol("burn"), _address(sender)]
    else:
        topics = [scval.to_symbol("transfer"), _address(sender), _address(receiver)]
    topics.append(scval.to_string(_asset_name(asset)))
    return contract_event(_contract_id(asset, passphrase), topics, scval.to_int128(amount))


def fee_event(native_contract: bytes, payer: bytes, amount: int) -> bytes:
    """Make the fee event: the amount that a transaction paid, or got back when negative."""
    contract = xdr.ContractID(xdr.Hash(native_contract))
    topics = [scval.to_symbol("fee"), _address(payer)]
    return contract_event(contract, topics, scval.to_int128(amount))
