"""Deployment: code is uploaded under its hash, contracts are created from address and salt.

The contract of an asset is created from the asset by anybody; it is a part of the host.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from stellar_sdk import Address, StrKey, scval, xdr

from localnet.network import contract_id
from localnet.soroban import cost
from localnet.soroban.assets import ContractAsset
from localnet.soroban.errors import HostError, host_error
from localnet.soroban.genesis import instance_data
from localnet.soroban.hosting import ContractHost
from localnet.soroban.storage import code_key, instance_key
from localnet.soroban.uploads import UPLOADABLE, Uploadable, Work
from localnet.soroban.values import VOID

_CONSTRUCTOR, _INIT_ASSET = "__constructor", "init_asset"


@dataclass(frozen=True, kw_only=True)
class Creation:
    """The creation of one contract, which the deployer allows as the root of a tree."""

    #: Deployer and salt, code and constructor arguments.
    args: xdr.CreateContractArgsV2
    #: Depth in the stack: no call is above a creation.
    depth: int = 0

    def invocation(self) -> xdr.SorobanAuthorizedInvocation:
        """Return this creation as a node of an authorisation tree.

        The host always writes version 2.
        """
        types = xdr.SorobanAuthorizedFunctionType
        function = xdr.SorobanAuthorizedFunction(
            types.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CREATE_CONTRACT_V2_HOST_FN,
            create_contract_v2_host_fn=self.args,
        )
        return xdr.SorobanAuthorizedInvocation(function=function, sub_invocations=[])


def is_supported(function: xdr.HostFunction) -> bool:
    """Tell whether localnet runs the function.

    It creates contracts of code from addresses, and contracts of assets from assets.
    """
    if function.invoke_contract is not None or function.wasm is not None:
        return True
    args = creation_of(function)
    from_address = args.contract_id_preimage.from_address is not None
    return from_address == (args.executable.wasm_hash is not None)


def creation_of(function: xdr.HostFunction) -> xdr.CreateContractArgsV2:
    """Return the creation arguments of either version; version 1 has no constructor arguments."""
    if function.create_contract_v2 is not None:
        return function.create_contract_v2
    first = function.create_contract
    assert first is not None  # noqa: S101  (the other kinds are dealt with)
    return xdr.CreateContractArgsV2(first.contract_id_preimage, first.executable, [])


def upload(host: ContractHost, code: bytes) -> xdr.SCVal:
    """Store code under its hash and return the hash.

    Nothing changes when the code exists already.
    """
    digest = sha256(code).digest()
    model = UPLOADABLE.get(digest)
    if model is None:
        words = scval.to_string("localnet has no model of this code; it knows only multicall.wasm")
        raise host.refuse(host_error("WASM_VM", "INVALID_ACTION", words, scval.to_bytes(digest)))
    there = host.storage.get(code_key(digest)) is not None
    _charge(host, model.upload_again if there else model.upload)
    if not there:
        life = host.storage.first_life("persistent")
        host.storage.put(code_key(digest), _code(code, digest, model), life)
    return scval.to_bytes(digest)


def create(host: ContractHost, args: xdr.CreateContractArgsV2) -> xdr.SCVal:
    """Create a contract and return its address."""
    preimage = args.contract_id_preimage
    if preimage.from_asset is not None:
        return _create_of_asset(host, preimage, preimage.from_asset)
    return _create_of_code(host, args)


def _create_of_asset(
    host: ContractHost, preimage: xdr.ContractIDPreimage, asset: xdr.Asset
) -> xdr.SCVal:
    """Create the contract of an asset, whose issuer is its admin."""
    contract = _new_contract(host, preimage)
    found = ContractAsset.from_xdr(asset)
    host.note_call(contract, _INIT_ASSET, [scval.to_bytes(found.packed)])
    host.meter.charge(cost.new_asset(found.code))
    _store(host, contract, None, found.storage(admin=found.issuer))
    host.note_return(contract, _INIT_ASSET, VOID)
    return scval.to_address(contract)


def _create_of_code(host: ContractHost, args: xdr.CreateContractArgsV2) -> xdr.SCVal:
    """Create a contract that runs code; the deployer must have allowed the creation."""
    deployer = args.contract_id_preimage.from_address
    code = args.executable.wasm_hash
    assert deployer is not None  # noqa: S101  (validated)
    assert code is not None  # noqa: S101  (validated)
    host.authorize(Address.from_xdr_sc_address(deployer.address).address, Creation(args=args))
    contract = _new_contract(host, args.contract_id_preimage)
    if host.storage.get(code_key(code.hash)) is None:
        raise host.refuse(_refusal("MISSING_VALUE", "Wasm does not exist", code.hash))
    model = UPLOADABLE.get(code.hash)
    _charge(host, model.create if model else Work(instructions=cost.OTHER_CALL, memory=0))
    _store(host, contract, code.hash, ())
    _construct(host, contract, args.constructor_args)
    return scval.to_address(contract)


def _new_contract(host: ContractHost, preimage: xdr.ContractIDPreimage) -> str:
    """Return the id of a contract that does not exist so far."""
    raw = contract_id(host.ledger.network_id, preimage)
    contract = StrKey.encode_contract(raw)
    if host.storage.get(instance_key(contract)) is not None:
        raise host.refuse(_refusal("EXISTING_VALUE", "contract already exists", raw))
    return contract


def _store(
    host: ContractHost,
    contract: str,
    code: bytes | None,
    storage: Sequence[tuple[xdr.SCVal, xdr.SCVal]],
) -> None:
    life = host.storage.first_life("persistent")
    host.storage.put(instance_key(contract), instance_data(contract, code, storage), life)


def _construct(host: ContractHost, contract: str, arguments: list[xdr.SCVal]) -> None:
    """Run the constructor.

    No model has a constructor, and a contract without a constructor takes no arguments.
    """
    host.note_call(contract, _CONSTRUCTOR, arguments)
    if arguments:
        words = scval.to_string("constructor invocation has failed with error")
        raise host.refuse(host_error("CONTEXT", "INVALID_ACTION", words))
    host.note_return(contract, _CONSTRUCTOR, VOID)


def _charge(host: ContractHost, work: Work) -> None:
    host.meter.charge(work.instructions, max(0, work.memory - cost.BASE_MEMORY))


def _refusal(code: str, words: str, subject: bytes) -> HostError:
    return host_error("STORAGE", code, scval.to_string(words), scval.to_bytes(subject))


def _code(code: bytes, digest: bytes, model: Uploadable) -> xdr.LedgerEntryData:
    entry = xdr.ContractCodeEntry(ext=model.extension(), hash=xdr.Hash(digest), code=code)
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=entry)
