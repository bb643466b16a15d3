"""The common parts of all contracts: instance storage, entries of their own, errors by number."""

from collections.abc import Callable
from typing import ClassVar

from stellar_sdk import scval, xdr

from localnet.soroban.errors import HostError, contract_error, host_error
from localnet.soroban.hosting import ContractHost
from localnet.soroban.storage import Durability, code_key, data_key, instance_key
from localnet.soroban.values import INSTANCE_KEY, order, sc_address, symbol, vector

#: Number of ledgers in a week, at five seconds each.
WEEK_OF_LEDGERS = 120_960


class BaseContract:
    """One running contract; `functions` lists the public functions of the contract."""

    functions: ClassVar[frozenset[str]] = frozenset()
    #: True for a contract of code, whose VM tells how it trapped; a part of the host has no VM.
    has_code: ClassVar[bool] = True

    def __init__(self, host: ContractHost, contract: str, instance: xdr.SCContractInstance) -> None:
        self.host = host
        self.id = contract
        self._executable = instance.executable
        self._instance = {
            item.key.to_xdr_bytes(): item
            for item in (instance.storage.sc_map if instance.storage is not None else [])
        }

    def function(self, name: str) -> Callable[..., xdr.SCVal] | None:
        """Return the contract's function of this name, or None."""
        return getattr(self, name, None) if name in self.functions else None

    def no_function(self, name: str) -> HostError:
        """Return the error of a call of a function that the contract does not have."""
        words = scval.to_string("trying to invoke non-existent contract function")
        return host_error("WASM_VM", "MISSING_VALUE", words, symbol(name))

    def wrong_count(self, name: str) -> HostError:
        """Return the error of a call with another number of arguments."""
        words = scval.to_string("VM call failed: Func(MismatchingParameterLen)")
        return host_error("WASM_VM", "UNEXPECTED_SIZE", words, symbol(name))

    def wrong_type(self, name: str) -> HostError:
        """Return the error of an argument of another type: the contract's code traps."""
        return host_error("WASM_VM", "INVALID_ACTION", *trap_words(name))

    def fail(self, number: int) -> HostError:
        """Return the contract's own error with this number."""
        return contract_error(number)

    @property
    def code_hash(self) -> bytes | None:
        """SHA-256 of the contract's code; None for the built-in token."""
        wasm = self._executable.wasm_hash
        return wasm.hash if wasm is not None else None

    def become(self, code: bytes) -> None:
        """Run other code from the next call on.

        Raises Error(Storage, MissingValue) when the code does not exist.
        """
        if self.host.storage.get(code_key(code)) is None:
            words = scval.to_string("Wasm does not exist")
            raise host_error("STORAGE", "MISSING_VALUE", words, scval.to_bytes(code))
        before = self._executable
        kind = xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM
        self._executable = xdr.ContractExecutable(kind, wasm_hash=xdr.Hash(code))
        self.save_instance()
        topics = [symbol("executable_update"), *map(_executable_value, (before, self._executable))]
        self.host.emit(topics, vector(), xdr.ContractEventType.SYSTEM)

    def instance_get(self, key: xdr.SCVal) -> xdr.SCVal | None:
        """Return a value of the instance's storage, or None."""
        item = self._instance.get(key.to_xdr_bytes())
        return item.val if item is not None else None

    def instance_put(self, key: xdr.SCVal, value: xdr.SCVal) -> None:
        """Set a value of the instance's storage; `save_instance` writes it to the ledger."""
        self._instance[key.to_xdr_bytes()] = xdr.SCMapEntry(key=key, val=value)

    def instance_remove(self, key: xdr.SCVal) -> None:
        """Remove a value of the instance's storage."""
        self._instance.pop(key.to_xdr_bytes(), None)

    def save_instance(self) -> None:
        """Write the instance, with its storage in the host's order."""
        items = sorted(self._instance.values(), key=lambda item: order(item.key))
        instance = xdr.SCContractInstance(
            executable=self._executable, storage=xdr.SCMap(items) if items else None
        )
        value = xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=instance)
        storage = self.host.storage
        storage.put(
            instance_key(self.id),
            contract_data(self.id, INSTANCE_KEY, value, "persistent"),
            storage.first_life("persistent"),
        )

    def extend_life(self) -> None:
        """Extend the lifetimes of instance and code.

        The contracts' own rule is to extend them at most once a week of ledgers.
        """
        life = self.host.ledger.settings.max_entry_ttl - 1
        keys = [instance_key(self.id)]
        if self.code_hash is not None:
            keys.append(code_key(self.code_hash))
        for key in keys:
            self.host.storage.extend(key, threshold=life - WEEK_OF_LEDGERS, extend_to=life)

    def get(self, key: xdr.SCVal, durability: Durability) -> xdr.SCVal | None:
        """Return the value of an entry of this contract, or None."""
        entry = self.host.storage.get(data_key(self.id, key, durability))
        if entry is None or entry.entry.data.contract_data is None:
            return None
        return entry.entry.data.contract_data.val

    def put(self, key: xdr.SCVal, value: xdr.SCVal, durability: Durability) -> None:
        """Write an entry of this contract."""
        storage = self.host.storage
        storage.put(
            data_key(self.id, key, durability),
            contract_data(self.id, key, value, durability),
            storage.first_life(durability),
        )

    def remove(self, key: xdr.SCVal, durability: Durability) -> None:
        """Remove an entry of this contract."""
        self.host.storage.remove(data_key(self.id, key, durability))


def trap_words(function: str) -> tuple[xdr.SCVal, xdr.SCVal]:
    """Return how the VM describes a trap of the contract's own code."""
    return scval.to_string("VM call trapped: UnreachableCodeReached"), symbol(function)


def _executable_value(executable: xdr.ContractExecutable) -> xdr.SCVal:
    if executable.wasm_hash is None:
        return vector(symbol("StellarAsset"))
    return vector(symbol("Wasm"), scval.to_bytes(executable.wasm_hash.hash))


def contract_data(
    contract: str, key: xdr.SCVal, value: xdr.SCVal, durability: Durability
) -> xdr.LedgerEntryData:
    """Make a contract data entry."""
    kinds = {
        "temporary": xdr.ContractDataDurability.TEMPORARY,
        "persistent": xdr.ContractDataDurability.PERSISTENT,
    }
    data = xdr.ContractDataEntry(
        ext=xdr.ExtensionPoint(0),
        contract=sc_address(contract),
        key=key,
        durability=kinds[durability],
        val=value,
    )
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data)


def checked(value: int, bits: int = 128) -> int:
    """Return a signed number that fits into the bits.

    Raises Error(WasmVm, InvalidAction) otherwise, the trap of a checked sum.
    """
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise host_error("WASM_VM", "INVALID_ACTION")
    return value
