"""The contracts of a localnet as their constructors left them."""

from collections.abc import Iterator, Sequence

from stellar_sdk import StrKey, xdr

from localnet.network import KALE_CODE, Network
from localnet.soroban import callers, farm
from localnet.soroban.assets import ContractAsset
from localnet.soroban.contract import contract_data
from localnet.soroban.model import Entry, LedgerInfo
from localnet.soroban.modules import MODULES, OLD_BUILD, ROUTER_CODE, TRACTOR_CODE
from localnet.soroban.storage import Key, code_key, instance_key
from localnet.soroban.uploads import extension
from localnet.soroban.values import INSTANCE_KEY, address, order

_Storage = Sequence[tuple[xdr.SCVal, xdr.SCVal]]


def entries(
    network: Network, ledger: LedgerInfo, *, farm_code: bytes = OLD_BUILD
) -> Iterator[tuple[bytes, Entry]]:
    """Yield (LedgerKey XDR, entry) of farm, tokens, tractor, router and their code.

    Both builds of the farm exist, so that its admin can upgrade it (a farm of the older build
    cannot be unpaused otherwise). `farm_code` names the build at the start.
    """
    farm_id, token_id = _id(network.farm), _id(network.token)
    issuer = network.issuer.public_key
    yield _instance(
        farm_id,
        farm_code,
        farm.genesis_storage(issuer, token_id, ledger.close_time),
        ledger,
    )
    kale = ContractAsset(code=KALE_CODE, issuer=issuer)
    yield _instance(token_id, None, kale.storage(admin=farm_id), ledger)
    native_storage = ContractAsset().storage(admin="")
    yield _instance(_id(network.native_token), None, native_storage, ledger)
    tractor_storage = callers.tractor_storage(address(farm_id))
    yield _instance(_id(network.tractor), TRACTOR_CODE, tractor_storage, ledger)
    yield _instance(_id(network.router), ROUTER_CODE, (), ledger)
    for code in MODULES:
        yield _code(code, ledger)


def instance_data(contract: str, code: bytes | None, storage: _Storage) -> xdr.LedgerEntryData:
    """Make a contract's instance; `code` None means the built-in token."""
    kinds = xdr.ContractExecutableType
    executable = (
        xdr.ContractExecutable(kinds.CONTRACT_EXECUTABLE_STELLAR_ASSET)
        if code is None
        else xdr.ContractExecutable(kinds.CONTRACT_EXECUTABLE_WASM, wasm_hash=xdr.Hash(code))
    )
    items = [xdr.SCMapEntry(key=key, val=value) for key, value in storage]
    items.sort(key=lambda item: order(item.key))
    instance = xdr.SCContractInstance(
        executable=executable, storage=xdr.SCMap(items) if items else None
    )
    value = xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=instance)
    return contract_data(contract, INSTANCE_KEY, value, "persistent")


def code_data(code: bytes) -> xdr.LedgerEntryData:
    """Make the entry of one of localnet's modules, by its hash."""
    entry = xdr.ContractCodeEntry(ext=extension(code), hash=xdr.Hash(code), code=MODULES[code])
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=entry)


def _instance(
    contract: str, code: bytes | None, storage: _Storage, ledger: LedgerInfo
) -> tuple[bytes, Entry]:
    return _entry(instance_key(contract), instance_data(contract, code, storage), ledger)


def _code(code: bytes, ledger: LedgerInfo) -> tuple[bytes, Entry]:
    return _entry(code_key(code), code_data(code), ledger)


def _entry(key: Key, data: xdr.LedgerEntryData, ledger: LedgerInfo) -> tuple[bytes, Entry]:
    entry = xdr.LedgerEntry(
        last_modified_ledger_seq=xdr.Uint32(ledger.sequence),
        data=data,
        ext=xdr.LedgerEntryExt(0),
    )
    # The constructor has already extended the lifetimes of instance and code.
    life = ledger.sequence + ledger.settings.max_entry_ttl - 1
    return key.raw, Entry(entry=entry, live_until=life)


def _id(raw: bytes) -> str:
    return StrKey.encode_contract(raw)
