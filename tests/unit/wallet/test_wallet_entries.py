"""Ledger entries become the domain's facts: what an account may do, and which records are none."""

from collections.abc import Mapping
from typing import Any

import pytest
from stellar_sdk import Address, Keypair, StrKey, scval, xdr

from services.wallet.chain.read.account_bytes import AccountFields, TrustlineFields
from services.wallet.chain.read.entries import (
    account_state,
    block_state,
    decode_farm,
    decode_pail,
)
from services.wallet.domain.chain_facts import AccountState

INT64, UINT32 = 2**63 - 1, 2**32 - 1
FARM = StrKey.encode_contract(bytes([1]) * 32)
TOKEN = StrKey.encode_contract(bytes([2]) * 32)
FARMER = Keypair.from_raw_ed25519_seed(b"f" * 32).public_key


def account(**changed: Any) -> AccountFields:
    """An account with something in every field."""
    fields: dict[str, Any] = {
        "balance": 70,
        "sequence": 11,
        "used_ledger": 12,
        "reserves": 3,
        "obeys": True,
        "obeys_fully": False,
        "buying": 4,
        "selling": 5,
    }
    return AccountFields(**fields | changed)


def line(**changed: Any) -> TrustlineFields:
    """A trustline that may be used."""
    fields = {"balance": 20, "limit": 100, "flags": 1, "buying": 7, "selling": 8}
    return TrustlineFields(**fields | changed)


# Accounts


def test_an_account_with_a_line_has_all_of_both() -> None:
    assert account_state("G", account(), line()) == AccountState(
        address="G",
        exists=True,
        xlm=70,
        sequence=11,
        used_ledger=12,
        reserves=3,
        obeys=True,
        obeys_fully=False,
        xlm_bound=5,
        xlm_room=INT64 - 74,
        has_trustline=True,
        is_frozen=False,
        kale=20,
        kale_bound=8,
        kale_room=73,
    )


def test_an_account_without_a_line_has_no_kale_and_no_room_for_any() -> None:
    state = account_state("G", account(), None)
    assert (state.exists, state.has_trustline, state.is_frozen) == (True, False, False)
    assert (state.kale, state.kale_bound, state.kale_room) == (0, 0, 0)


@pytest.mark.parametrize(("flags", "is_usable"), [(0, False), (1, True), (2, False), (3, True)])
def test_a_line_that_the_issuer_has_not_authorized_is_frozen(flags: int, is_usable: bool) -> None:
    state = account_state("G", account(), line(flags=flags))
    assert (state.has_trustline, state.is_frozen) == (is_usable, not is_usable)
    amounts = (20, 8, 73) if is_usable else (0, 0, 0)
    assert (state.kale, state.kale_bound, state.kale_room) == amounts


@pytest.mark.parametrize(
    ("limit", "balance", "buying", "room"),
    [(100, 20, 7, 73), (100, 93, 7, 0), (100, 92, 7, 1), (100, 100, 7, 0), (50, 60, 0, 0)],
)
def test_a_line_takes_what_its_limit_leaves(
    limit: int, balance: int, buying: int, room: int
) -> None:
    found = line(limit=limit, balance=balance, buying=buying)
    assert account_state("G", account(), found).kale_room == room


@pytest.mark.parametrize(
    ("balance", "buying", "room"), [(INT64 - 10, 4, 6), (INT64 - 4, 4, 0), (INT64, 4, 0)]
)
def test_an_account_takes_no_more_than_64_bits_hold(balance: int, buying: int, room: int) -> None:
    assert account_state("G", account(balance=balance, buying=buying), None).xlm_room == room


@pytest.mark.parametrize("entry", [None, line()])
def test_without_an_account_entry_there_is_no_account(entry: TrustlineFields | None) -> None:
    assert account_state("G", entry, line()) == AccountState(address="G", exists=False)


def test_an_entry_that_is_no_line_is_no_line() -> None:
    assert account_state("G", account(), account()) == account_state("G", account(), None)


# The farm


def record(fields: Mapping[str, Any]) -> xdr.SCVal:
    """A map of symbols."""
    return scval.to_map({scval.to_symbol(name): value for name, value in fields.items()})


def contract_data(value: xdr.SCVal, key: xdr.SCVal | None = None) -> xdr.LedgerEntryData:
    """An entry of the farm."""
    return xdr.LedgerEntryData(
        xdr.LedgerEntryType.CONTRACT_DATA,
        contract_data=xdr.ContractDataEntry(
            ext=xdr.ExtensionPoint(0),
            contract=Address(FARM).to_xdr_sc_address(),
            key=key or scval.to_symbol("key"),
            durability=xdr.ContractDataDurability.TEMPORARY,
            val=value,
        ),
    )


def named(name: str) -> xdr.SCVal:
    """A key of the instance."""
    return scval.to_vec([scval.to_symbol(name)])


STORED: Mapping[str, xdr.SCVal] = {
    "HomesteadAsset": scval.to_address(TOKEN),
    "FarmBlock": record({"timestamp": scval.to_uint64(77)}),
    "FarmIndex": scval.to_uint32(9),
    "FarmPaused": scval.to_bool(False),
}


def instance(
    stored: Mapping[str, xdr.SCVal],
    *,
    more: tuple[xdr.SCMapEntry, ...] = (),
    code: bytes | None = bytes(32),
) -> xdr.LedgerEntryData:
    """The farm's instance, which runs this code."""
    kinds = xdr.ContractExecutableType
    executable = (
        xdr.ContractExecutable(kinds.CONTRACT_EXECUTABLE_STELLAR_ASSET)
        if code is None
        else xdr.ContractExecutable(kinds.CONTRACT_EXECUTABLE_WASM, wasm_hash=xdr.Hash(code))
    )
    entries = [xdr.SCMapEntry(named(name), value) for name, value in stored.items()]
    return contract_data(
        xdr.SCVal(
            xdr.SCValType.SCV_CONTRACT_INSTANCE,
            instance=xdr.SCContractInstance(
                executable=executable, storage=xdr.SCMap([*more, *entries])
            ),
        ),
        xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
    )


def test_the_farms_instance_tells_block_time_token_and_code() -> None:
    farm, index = decode_farm(instance(STORED))
    assert (index, farm.index, farm.timestamp) == (9, 9, 77)
    assert (farm.token, farm.code_hash, farm.paused) == (TOKEN, "00" * 32, False)
    assert farm.block is None


def test_a_farm_that_nobody_has_used_is_at_its_first_block_and_not_paused() -> None:
    fresh = {name: STORED[name] for name in ("HomesteadAsset", "FarmBlock")}
    farm, index = decode_farm(instance(fresh, code=None))
    assert (index, farm.index, farm.paused, farm.code_hash) == (0, 0, False, "")


def test_a_paused_farm() -> None:
    assert decode_farm(instance({**STORED, "FarmPaused": scval.to_bool(True)}))[0].paused


def test_other_keys_of_the_instance_are_passed_over() -> None:
    more = (
        xdr.SCMapEntry(scval.to_symbol("FarmIndex"), scval.to_uint32(1)),
        xdr.SCMapEntry(scval.to_vec([]), scval.to_uint32(2)),
        xdr.SCMapEntry(
            scval.to_vec([scval.to_symbol("FarmPaused"), scval.to_uint32(1)]), scval.to_bool(True)
        ),
    )
    assert decode_farm(instance(STORED, more=more)) == decode_farm(instance(STORED))


@pytest.mark.parametrize(
    "entry",
    [
        contract_data(scval.to_uint32(1)),
        xdr.LedgerEntryData(
            xdr.LedgerEntryType.TTL,
            ttl=xdr.TTLEntry(xdr.Hash(bytes(32)), xdr.Uint32(5)),
        ),
    ],
)
def test_what_is_no_instance_is_no_farm(entry: xdr.LedgerEntryData) -> None:
    with pytest.raises(ValueError, match="not a contract instance"):
        decode_farm(entry)


@pytest.mark.parametrize("value", [scval.to_uint32(5), scval.to_vec([])])
def test_a_block_that_is_no_record_is_refused(value: xdr.SCVal) -> None:
    with pytest.raises(ValueError, match="not a record"):
        decode_farm(instance({**STORED, "FarmBlock": value}))


@pytest.mark.parametrize(
    ("value", "is_fine"),
    [(0, True), (INT64, True), (INT64 + 1, False)],
)
def test_the_time_of_a_block_is_a_number_of_64_bits(value: int, is_fine: bool) -> None:
    entry = instance({**STORED, "FarmBlock": record({"timestamp": scval.to_uint64(value)})})
    if is_fine:
        assert decode_farm(entry)[0].timestamp == value
    else:
        with pytest.raises(ValueError, match="timestamp is no number from 0"):
            decode_farm(entry)


# Blocks and pails

#: The fields of a block, and the largest value of each.
LARGEST: Mapping[str, int] = {
    "timestamp": INT64,
    "min_gap": UINT32,
    "max_gap": UINT32,
    "min_stake": INT64,
    "max_stake": INT64,
    "min_zeros": UINT32,
    "max_zeros": UINT32,
    "staked_total": INT64,
    "normalized_total": 2**127 - 1,
}
LEAST: Mapping[str, Any] = dict.fromkeys(LARGEST, 0) | {"entropy": bytes(32)}


def block(**changed: Any) -> Any:
    """A block with these fields."""
    return block_state(5, {**LEAST, **changed}, live_until=9, modified=8)


def test_a_block_has_the_fields_of_its_record() -> None:
    fields = {name: number for number, name in enumerate(LARGEST)}
    found = block(**fields)
    assert {name: getattr(found, name) for name in LARGEST} == fields
    assert (found.index, found.live_until, found.modified) == (5, 9, 8)
    assert found.entropy == bytes(32)


def test_fields_that_another_farm_may_have_are_passed_over() -> None:
    assert block(weight=7) == block()
    assert read_pail(weight=scval.to_uint32(7)) == read_pail()


@pytest.mark.parametrize(("name", "most"), LARGEST.items())
def test_each_number_of_a_block_is_within_its_type(name: str, most: int) -> None:
    assert getattr(block(**{name: most}), name) == most
    for wrong in (-1, most + 1, True, 1.0, None, "1"):
        with pytest.raises(ValueError, match=f"{name} is no number from 0 to {most}"):
            block(**{name: wrong})


@pytest.mark.parametrize("entropy", [b"", bytes(31), bytes(33), None, "a" * 32, [0] * 32])
def test_a_block_has_32_bytes_of_entropy(entropy: object) -> None:
    with pytest.raises(ValueError, match="without its entropy"):
        block(entropy=entropy)


def pail_entry(**changed: xdr.SCVal) -> bytes:
    """A pail that was worked."""
    fields = {
        "gap": scval.to_uint32(4),
        "sequence": scval.to_uint32(100),
        "stake": scval.to_int128(50),
        "zeros": scval.to_uint32(6),
    }
    return contract_data(record({**fields, **changed})).to_xdr_bytes()


def read_pail(**changed: xdr.SCVal) -> Any:
    """The pail under a key that the quick reader does not know: the SDK reads it."""
    return decode_pail(pail_entry(**changed), key=b"", live_until=7)


def test_a_pail_has_the_fields_of_its_record() -> None:
    found = read_pail()
    assert (found.sequence, found.stake, found.gap, found.zeros) == (100, 50, 4, 6)
    assert found.live_until == 7
    planted = read_pail(gap=scval.to_void(), zeros=scval.to_void())
    assert (planted.gap, planted.zeros) == (None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequence", scval.to_uint64(2**32)),
        ("sequence", scval.to_void()),
        ("stake", scval.to_int128(-1)),
        ("stake", scval.to_int128(INT64 + 1)),
        ("stake", scval.to_void()),
        ("gap", scval.to_uint64(2**32)),
        ("gap", scval.to_bool(True)),
        ("zeros", scval.to_uint64(2**32)),
    ],
)
def test_a_pail_with_a_number_beyond_its_type_is_refused(name: str, value: xdr.SCVal) -> None:
    with pytest.raises(ValueError, match=f"{name} is no number"):
        read_pail(**{name: value})


def test_the_largest_pail() -> None:
    most = scval.to_uint32(UINT32)
    found = read_pail(sequence=most, gap=most, zeros=most, stake=scval.to_int128(INT64))
    assert (found.sequence, found.stake, found.gap, found.zeros) == (UINT32, INT64, UINT32, UINT32)


def test_a_pail_that_is_no_data_of_a_contract_is_refused() -> None:
    entry = xdr.LedgerEntryData(
        xdr.LedgerEntryType.TTL, ttl=xdr.TTLEntry(xdr.Hash(bytes(32)), xdr.Uint32(5))
    )
    with pytest.raises(ValueError, match="not contract data"):
        decode_pail(entry.to_xdr_bytes(), key=b"", live_until=7)
