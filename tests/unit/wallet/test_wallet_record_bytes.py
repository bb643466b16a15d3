"""Records of the farm read byte by byte are what the SDK reads."""

from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import StrKey, scval, xdr

from services.wallet.chain.build.calls import Farm
from services.wallet.chain.read.entries import decode_pail
from services.wallet.chain.read.record_bytes import read_record
from services.wallet.domain.chain_facts import PailState

FARM = Farm(farm=StrKey.encode_contract(b"f" * 32), token=StrKey.encode_contract(b"t" * 32))
names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
u32s = st.integers(0, 2**32 - 1)
u64s = st.integers(0, 2**64 - 1)
i128s = st.integers(-(2**127), 2**127 - 1)
values = st.one_of(
    st.none().map(lambda _: (None, scval.to_void())),
    u32s.map(lambda number: (number, scval.to_uint32(number))),
    u64s.map(lambda number: (number, scval.to_uint64(number))),
    i128s.map(lambda number: (number, scval.to_int128(number))),
    st.binary(max_size=40).map(lambda raw: (raw, scval.to_bytes(raw))),
)
KEY = FARM.pail_key(bytes(32), 7)


def entry_of(value: xdr.SCVal) -> bytes:
    """The LedgerEntryData of a record under KEY."""
    key = xdr.LedgerKey.from_xdr_bytes(KEY).contract_data
    assert key is not None
    return xdr.LedgerEntryData(
        xdr.LedgerEntryType.CONTRACT_DATA,
        contract_data=xdr.ContractDataEntry(
            ext=xdr.ExtensionPoint(0),
            contract=key.contract,
            key=key.key,
            durability=key.durability,
            val=value,
        ),
    ).to_xdr_bytes()


@given(st.dictionaries(names, values, max_size=6))
def test_records(fields: dict[str, tuple[int | bytes | None, xdr.SCVal]]) -> None:
    written = {scval.to_symbol(name): value for name, (_, value) in fields.items()}
    data = entry_of(scval.to_map(written))
    assert read_record(data, KEY) == {name: number for name, (number, _) in fields.items()}
    assert read_record(data[:-4], KEY) is None
    assert read_record(data + bytes(4), KEY) is None


def test_anything_else_is_left_to_the_sdk() -> None:
    other_key = FARM.pail_key(bytes(32), 8)
    assert read_record(entry_of(scval.to_map({})), other_key) is None
    assert read_record(entry_of(scval.to_uint32(7)), KEY) is None
    assert read_record(entry_of(scval.to_map({scval.to_uint32(1): scval.to_void()})), KEY) is None
    fields = {
        scval.to_symbol("gap"): scval.to_void(),
        scval.to_symbol("sequence"): scval.to_int64(5),
        scval.to_symbol("stake"): scval.to_int128(3),
        scval.to_symbol("zeros"): scval.to_uint32(2),
    }
    data = entry_of(scval.to_map(fields))
    assert read_record(data, KEY) is None
    found = decode_pail(data, key=KEY, live_until=9)
    assert found == PailState(sequence=5, stake=3, gap=None, zeros=2, live_until=9)
