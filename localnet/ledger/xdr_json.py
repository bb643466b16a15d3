"""The JSON form of XDR (SEP-51), as used by xdrFormat "json" and by the SDK.

The SDK writes a few names otherwise than stellar-rpc does.
"""

from typing import Any

from stellar_sdk import StrKey, xdr

#: Names of result codes in the SDK's form, and in that of stellar-rpc: txbad_seq, tx_bad_seq.
_RESULTS = {
    str(code.to_json_dict()): f"{code.name[:2]}_{code.name[2:].lower()}"
    for codes in (xdr.TransactionResultCode, xdr.OperationResultCode)
    for code in codes
}
#: Members of a ContractEvent.
_EVENT = frozenset({"ext", "contract_id", "type", "body"})


def to_json(value: Any) -> Any:
    """Return any XDR object as JSON; only this function calls the SDK's untyped method."""
    return _renamed(value.to_json_dict(), in_result=False)


def _renamed(value: Any, *, in_result: bool) -> Any:
    """Return JSON with the names of stellar-rpc.

    Words of contracts are strings as well, so that strings are renamed in results only.
    """
    if isinstance(value, dict):
        if value.keys() == _EVENT:
            value = _event(value)
        return {
            _RESULTS.get(name, name): _renamed(item, in_result=name == "result" or name in _RESULTS)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_renamed(item, in_result=in_result) for item in value]
    return _RESULTS.get(value, value) if in_result and isinstance(value, str) else value


def _event(event: dict[str, Any]) -> dict[str, Any]:
    """Return a ContractEvent with its contract as a strkey; `type` is a reserved word of Rust."""
    contract = event["contract_id"]
    if contract is not None:
        contract = StrKey.encode_contract(bytes.fromhex(contract))
    return {
        "ext": event["ext"],
        "contract_id": contract,
        "type_": event["type"],
        "body": event["body"],
    }
