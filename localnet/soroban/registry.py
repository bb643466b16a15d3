"""The choice of the model that runs: a contract is recognised by the hash of its code."""

from hashlib import sha256

from stellar_sdk import scval

from localnet.soroban.callers import Multicall, Router, Tractor
from localnet.soroban.contract import BaseContract
from localnet.soroban.errors import HostError, host_error
from localnet.soroban.farm import Farm, OldFarm
from localnet.soroban.hosting import ContractHost
from localnet.soroban.modules import HEAD_FARM_CODE, OLD_BUILD, ROUTER_CODE, TRACTOR_CODE
from localnet.soroban.storage import code_key, instance_key
from localnet.soroban.token import Token
from localnet.soroban.uploads import MULTICALL_CODE, RECORDED_FARM_CODE

#: Hash of the router with which the recordings were made.
RECORDED_ROUTER_CODE = bytes.fromhex(
    "0eb0f2d6c2ad4ba6115391f1fcb3f808514963f27809b8d19d99d4d5ba62d5e5"
)

_BY_CODE: dict[bytes, type[BaseContract]] = {
    OLD_BUILD: OldFarm,
    HEAD_FARM_CODE: Farm,
    TRACTOR_CODE: Tractor,
    ROUTER_CODE: Router,
    MULTICALL_CODE: Multicall,
    RECORDED_FARM_CODE: OldFarm,
    RECORDED_ROUTER_CODE: Router,
    # Chains that were kept on disk before localnet had modules have these.
    sha256(b"kalepool localnet farm at HEAD").digest(): Farm,
    sha256(b"kalepool localnet tractor").digest(): Tractor,
}


def contract_for(host: ContractHost, contract: str) -> BaseContract:
    """Return the contract with this id; Error(Storage, MissingValue) when it does not exist."""
    entry = host.storage.get(instance_key(contract))
    data = entry.entry.data.contract_data if entry is not None else None
    if data is None or data.val.instance is None:
        raise _missing("contract instance")
    instance = data.val.instance
    wasm = instance.executable.wasm_hash
    if wasm is None:
        return Token(host, contract, instance)
    if host.storage.get(code_key(wasm.hash)) is None or wasm.hash not in _BY_CODE:
        raise _missing("contract code")
    return _BY_CODE[wasm.hash](host, contract, instance)


def _missing(what: str) -> HostError:
    words = scval.to_string(f"trying to get non-existing value for {what}")
    return host_error("STORAGE", "MISSING_VALUE", words)
