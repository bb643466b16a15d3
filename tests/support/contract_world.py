"""A world for the contract vectors: farm, token and tractor in a dictionary."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from stellar_sdk import StrKey, scval, xdr
from stellar_sdk.address import Address

from localnet.soroban import callers, farm
from localnet.soroban.assets import ContractAsset, packed_asset
from localnet.soroban.contract import contract_data
from localnet.soroban.errors import describe
from localnet.soroban.farm_math import BlockRecord, PailRecord
from localnet.soroban.genesis import code_data, instance_data
from localnet.soroban.host import invoke
from localnet.soroban.model import (
    AuthMode,
    Entry,
    Footprint,
    InvocationResult,
    LedgerInfo,
)
from localnet.soroban.modules import HEAD_FARM_CODE, TRACTOR_CODE
from localnet.soroban.storage import Key, code_key, data_key, instance_key, trustline_key
from localnet.soroban.values import address, fields_of, record, symbol, vector

VECTORS = Path(__file__).parents[1] / "vectors" / "kale"
ISSUER = "GBDVX4VELCDSQ54KQJYTNHXAHFLBCA77ZY2USQBM4CSHTTV7DME7KALE"
ADMIN = ISSUER
FARM = "CDL74RF5BLYR2YBLCCI7F5FB6TPSCLKEJUBSD2RSVWZ4YHF3VMFAIGWA"
TOKEN = "CB23WRDQWGSP6YPMY4UV5C4OW5CBTXKYN3XEATG7KJEZCXMJBYEHOUOV"
TRACTOR = "CBGSBKYMYO6OMGHQXXNOBRGVUDFUDVC2XLC3SXON5R2SNXILR7XCKKY3"
NETWORK_ID = sha256(b"Public Global Stellar Network ; September 2015").digest()
STRANGER = "GAAZI4TCR3TY5OJHCTJC2A4QSY6CJWJH5IAJTGKIN2ER7LBNVKOCCWN7"
_ASSET = packed_asset("KALE", ISSUER)


def read(name: str) -> dict[str, Any]:
    """Read one vector file."""
    content: dict[str, Any] = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return content


class World:
    """The state after some steps, with all values that the vectors track."""

    def __init__(self, world: Mapping[str, Any], *, build: bytes = HEAD_FARM_CODE) -> None:
        self.farmers: list[str] = world["farmers"]
        self._entries: dict[bytes, Entry] = {}
        self._blocks: set[int] = set()
        self.ledger = LedgerInfo(
            sequence=world["constructor_seq"],
            close_time=int(world["constructor_ts"]),
            network_id=NETWORK_ID,
        )
        now = self.ledger.close_time
        self._put_contract(FARM, build, farm.genesis_storage(ADMIN, TOKEN, now))
        self._put_contract(
            TOKEN, None, ContractAsset(code="KALE", issuer=ISSUER).storage(admin=FARM)
        )
        self._put_contract(TRACTOR, TRACTOR_CODE, callers.tractor_storage(address(FARM)))
        for code in (build, TRACTOR_CODE):
            self._store(code_key(code), code_data(code), self._long_life())
        limits = world["trustline_limit"]
        for farmer, balance, limit in zip(self.farmers, world["balances"], limits, strict=True):
            self._put_balance(farmer, int(balance), limit)

    def get(self, key: bytes) -> Entry | None:
        """Return an entry; this method is the view that the host reads."""
        return self._entries.get(key)

    def at(self, sequence: int, close_time: int) -> None:
        """Move to a later ledger."""
        self.ledger = replace(self.ledger, sequence=sequence, close_time=close_time)

    def call(
        self,
        contract: str,
        function: str,
        arguments: Sequence[xdr.SCVal],
        *,
        source: str = STRANGER,
        auth_mode: AuthMode = "record_allow_nonroot",
        footprint: Footprint | None = None,
        keep: bool = True,
    ) -> InvocationResult:
        """Make a call and keep its changes."""
        result = invoke(
            self,
            xdr.HostFunction(
                xdr.HostFunctionType.HOST_FUNCTION_TYPE_INVOKE_CONTRACT,
                invoke_contract=xdr.InvokeContractArgs(
                    contract_address=Address(contract).to_xdr_sc_address(),
                    function_name=xdr.SCSymbol(function.encode()),
                    args=list(arguments),
                ),
            ),
            ledger=self.ledger,
            source=source,
            auth=(),
            footprint=footprint,
            auth_mode=auth_mode,
        )
        for change in result.changes if keep else ():
            if change.after is None:
                self._entries.pop(change.key, None)
            else:
                self._entries[change.key] = change.after
        return result

    def step(self, step: Mapping[str, Any]) -> Any:
        """Play one step of a vector file; return its result in the file's notation."""
        self.at(step["seq"], int(step["ts"]))
        operation = step["op"]
        if operation.startswith(("test:", "extend_ttl_")):
            self._poke(operation, step)
            return {"ok": None}
        contract, function, arguments = self.arguments(step)
        mode: AuthMode = "enforce" if step.get("no_auth") else "record_allow_nonroot"
        if function == "plant":
            self._blocks.update({self._index(), self._index() + 1})
        return outcome(self.call(contract, function, arguments, auth_mode=mode))

    def arguments(self, step: Mapping[str, Any]) -> tuple[str, str, list[xdr.SCVal]]:
        """Return contract, function and arguments of a step."""
        operation = step["op"]
        if operation in {"pause", "unpause"}:
            return FARM, operation, []
        if operation == "remove_block":
            return FARM, operation, [scval.to_uint32(step["index"])]
        farmer = address(self.farmers[step["farmer"]])
        if operation == "tractor_harvest":
            pails = vector(*(scval.to_uint32(index) for index in step["pails"]))
            return TRACTOR, "harvest", [farmer, pails]
        if operation == "plant":
            return FARM, operation, [farmer, scval.to_int128(int(step["amount"]))]
        if operation == "work":
            digest = scval.to_bytes(bytes.fromhex(step["hash"]))
            return FARM, operation, [farmer, digest, scval.to_uint64(int(step["nonce"]))]
        return FARM, operation, [farmer, scval.to_uint32(step["index"])]

    def tracked(self) -> dict[str, Any]:
        """Return everything that the vectors track, flat: `Block(1).max_gap`, `balance(0)` ..."""
        fields = self._instance_fields()
        state: dict[str, Any] = {}
        if "FarmIndex" in fields:
            state["FarmIndex"] = scval.from_uint32(fields["FarmIndex"])
        if "FarmPaused" in fields:
            state["FarmPaused"] = scval.from_bool(fields["FarmPaused"])
        if "FarmBlock" in fields:
            block = BlockRecord.from_value(fields["FarmBlock"])
            state |= {f"FarmBlock.{name}": value for name, value in block_fields(block).items()}
        for index in self._blocks:
            self._track_block(state, index)
            for farmer in range(len(self.farmers)):
                self._track_pail(state, farmer, index)
        for ordinal, holder in enumerate(self.farmers):
            balance = self.balance(holder)
            if balance is not None:
                state[f"balance({ordinal})"] = str(balance)
        return state

    def balance(self, farmer: str) -> int | None:
        """Return the stroops of KALE; None without a trustline."""
        if farmer.startswith("C"):
            data = self._data(_balance_key(farmer))
            if data is None or data.contract_data is None:
                return 0
            return scval.from_int128(fields_of(data.contract_data.val)["amount"])
        data = self._data(trustline_key(farmer, _ASSET))
        return None if data is None or data.trust_line is None else data.trust_line.balance.int64

    def instance_keys(self) -> list[xdr.SCVal]:
        """Return the keys of the farm's instance storage, as they are stored."""
        return [vector(symbol(name)) for name in self._instance_fields()]

    def live_until(self, key: Key) -> int | None:
        """Return the last ledger of an entry."""
        entry = self._live(key)
        return None if entry is None else entry.live_until

    def put_block(self, index: int, block: BlockRecord) -> None:
        """Write a Block with values that the farm would never write."""
        self._blocks.add(index)
        self._put(block_key(index), block.to_value())

    def put_pail(self, farmer: str, index: int, pail: PailRecord) -> None:
        """Write a Pail with values that the farm would never write."""
        self._put(pail_key(farmer, index), pail.to_value())

    def set_index(self, index: int) -> None:
        """Set FarmIndex."""
        self._blocks.add(index)
        self._change_instance({"FarmIndex": scval.to_uint32(index)})

    def set_farm_block(self, block: BlockRecord) -> None:
        """Set FarmBlock."""
        self._change_instance({"FarmBlock": block.to_value()})

    def _poke(self, operation: str, step: Mapping[str, Any]) -> None:
        if operation == "test:delete_instance_key":
            self._change_instance({step["key"]: None})
        elif operation == "test:set_farm_index":
            self.set_index(step["index"])
        elif operation == "test:delete_block":
            self._entries.pop(block_key(step["index"]).raw, None)
        elif operation == "test:put_block":
            self.put_block(step["index"], block_of(step["block"]))
        elif operation == "extend_ttl_block":
            self._extend(block_key(step["index"]), step["extend_to"])
        else:
            farmer = self.farmers[step["farmer"]]
            self._extend(pail_key(farmer, step["index"]), step["extend_to"])

    def _extend(self, key: Key, extend_to: int) -> None:
        entry = self._entries[key.raw]
        until = max(entry.live_until or 0, self.ledger.sequence + extend_to)
        self._entries[key.raw] = replace(entry, live_until=until)

    def _track_block(self, state: dict[str, Any], index: int) -> None:
        data = self._data(block_key(index))
        if data is not None and data.contract_data is not None:
            block = BlockRecord.from_value(data.contract_data.val)
            state |= {f"Block({index}).{n}": v for n, v in block_fields(block).items()}

    def _track_pail(self, state: dict[str, Any], farmer: int, index: int) -> None:
        data = self._data(pail_key(self.farmers[farmer], index))
        if data is not None and data.contract_data is not None:
            pail = PailRecord.from_value(data.contract_data.val)
            state |= {f"Pail({farmer},{index}).{n}": v for n, v in pail_fields(pail).items()}

    def _live(self, key: Key) -> Entry | None:
        entry = self._entries.get(key.raw)
        if entry is None or (entry.live_until or 2**32) < self.ledger.sequence:
            return None
        return entry

    def _data(self, key: Key) -> xdr.LedgerEntryData | None:
        entry = self._live(key)
        return None if entry is None else entry.entry.data

    def _index(self) -> int:
        value = self._instance_fields().get("FarmIndex")
        return 0 if value is None else scval.from_uint32(value)

    def _instance_fields(self) -> dict[str, xdr.SCVal]:
        data = self._data(instance_key(FARM))
        assert data is not None
        assert data.contract_data is not None
        instance = data.contract_data.val.instance
        assert instance is not None
        items = instance.storage.sc_map if instance.storage is not None else []
        return {scval.from_symbol(scval.from_vec(item.key)[0]): item.val for item in items}

    def _change_instance(self, changes: Mapping[str, xdr.SCVal | None]) -> None:
        entry = self._entries[instance_key(FARM).raw]
        assert entry.entry.data.contract_data is not None
        instance = entry.entry.data.contract_data.val.instance
        assert instance is not None
        wasm = instance.executable.wasm_hash
        assert wasm is not None
        fields = {**self._instance_fields(), **changes}
        storage = [(vector(symbol(n)), value) for n, value in fields.items() if value is not None]
        self._store(instance_key(FARM), instance_data(FARM, wasm.hash, storage), entry.live_until)

    def _put_contract(
        self, contract: str, code: bytes | None, storage: Sequence[tuple[xdr.SCVal, xdr.SCVal]]
    ) -> None:
        data = instance_data(contract, code, storage)
        self._store(instance_key(contract), data, self._long_life())

    def _put_balance(self, farmer: str, balance: int, limit: str | None) -> None:
        if farmer.startswith("C"):
            value = record(
                {
                    "amount": scval.to_int128(balance),
                    "authorized": scval.to_bool(True),
                    "clawback": scval.to_bool(False),
                }
            )
            key = _balance_key(farmer)
            assert key.subject is not None
            data = contract_data(TOKEN, key.subject[1], value, "persistent")
            self._store(key, data, self._long_life())
        elif limit is not None:
            raw = StrKey.decode_ed25519_public_key(farmer)
            line = xdr.TrustLineEntry(
                account_id=xdr.AccountID(
                    xdr.PublicKey(
                        xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519, ed25519=xdr.Uint256(raw)
                    )
                ),
                asset=xdr.TrustLineAsset.from_xdr_bytes(_ASSET),
                balance=xdr.Int64(balance),
                limit=xdr.Int64(int(limit)),
                flags=xdr.Uint32(1),
                ext=xdr.TrustLineEntryExt(0),
            )
            data = xdr.LedgerEntryData(xdr.LedgerEntryType.TRUSTLINE, trust_line=line)
            self._store(trustline_key(farmer, _ASSET), data, None)

    def _put(self, key: Key, value: xdr.SCVal) -> None:
        assert key.subject is not None
        life = self.ledger.sequence + self.ledger.settings.min_temporary_ttl - 1
        data = contract_data(FARM, key.subject[1], value, "temporary")
        self._store(key, data, life)

    def _store(self, key: Key, data: xdr.LedgerEntryData, live_until: int | None) -> None:
        entry = xdr.LedgerEntry(
            last_modified_ledger_seq=xdr.Uint32(self.ledger.sequence),
            data=data,
            ext=xdr.LedgerEntryExt(0),
        )
        self._entries[key.raw] = Entry(entry=entry, live_until=live_until)

    def _long_life(self) -> int:
        return self.ledger.sequence + self.ledger.settings.max_entry_ttl - 1


@cache  # a key is looked up after each step, and packing it takes longer than the step
def block_key(index: int) -> Key:
    """Return the key of Block(index)."""
    return data_key(FARM, vector(symbol("Block"), scval.to_uint32(index)), "temporary")


@cache
def pail_key(farmer: str, index: int) -> Key:
    """Return the key of Pail(farmer, index)."""
    key = vector(symbol("Pail"), address(farmer), scval.to_uint32(index))
    return data_key(FARM, key, "temporary")


@cache
def _balance_key(farmer: str) -> Key:
    return data_key(TOKEN, vector(symbol("Balance"), address(farmer)), "persistent")


def block_of(fields: Mapping[str, Any]) -> BlockRecord:
    """Return a Block from the vectors' notation."""
    numbers = {name: int(value) for name, value in fields.items() if name != "entropy"}
    return BlockRecord(entropy=bytes.fromhex(fields["entropy"]), **numbers)


def block_fields(block: BlockRecord) -> dict[str, Any]:
    """Return a Block in the vectors' notation: wide numbers are text."""
    wide = {"min_stake", "max_stake", "staked_total", "normalized_total", "timestamp"}
    fields = {name: getattr(block, name) for name in block.__dataclass_fields__}
    fields["entropy"] = block.entropy.hex()
    return {name: str(value) if name in wide else value for name, value in fields.items()}


def pail_fields(pail: PailRecord) -> dict[str, Any]:
    """Return a Pail in the vectors' notation."""
    return {
        "gap": pail.gap,
        "sequence": pail.sequence,
        "stake": str(pail.stake),
        "zeros": pail.zeros,
    }


def outcome(result: InvocationResult) -> dict[str, Any]:
    """Return a result in the vectors' notation, errors as (source, code) or in the host's words."""
    if result.ok:
        assert result.value is not None
        return {"ok": plain(result.value)}
    assert result.error is not None
    if result.error.contract_code is None:
        return {"err": {"source": "host", "error": describe(result.error)}}
    return {"err": {"source": raiser(result), "code": result.error.contract_code.uint32}}


#: How an error begins that a contract or its VM only passes on.
_PASSED_ON = (b"escalating", b"contract call failed", b"contract try_call failed")


def raised(event: xdr.ContractEvent) -> bool:
    """Tell whether the event says that its contract failed by itself with a number."""
    body = event.body.v0
    assert body is not None
    topics = [topic for topic in body.topics if topic.sym is None]
    if not topics or topics[0].error is None or topics[0].error.contract_code is None:
        return False
    told = body.data.vec.sc_vec[0].str if body.data.vec else body.data.str
    return told is not None and not told.sc_string.startswith(_PASSED_ON)


def raiser(result: InvocationResult) -> str:
    """Return the contract that raised the error: the last one that failed by itself.

    Errors that a tractor caught come before that one.
    """
    names = {FARM: "farm", TOKEN: "sac", TRACTOR: "tractor"}
    found = ""
    for event in (diagnostic.event for diagnostic in result.diagnostics):
        if raised(event):
            assert event.contract_id is not None
            found = names[StrKey.encode_contract(event.contract_id.contract_id.hash)]
    return found


def plain(value: xdr.SCVal) -> Any:
    """Return a return value in the vectors' notation."""
    if value.vec is not None:
        return [plain(item) for item in value.vec.sc_vec]
    if value.i128 is not None:
        return str(scval.from_int128(value))
    return None if value.u32 is None else value.u32.uint32
