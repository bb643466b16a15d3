"""The cost of a Soroban transaction: resource fee and rent, by the formulas of stellar-core.

All amounts are stroops. All divisions round up.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from localnet.ledger.keys import code_hash, is_persistent
from localnet.ledger.settings import NetworkSettings, Usage
from localnet.ledger.state import Change, Record
from localnet.soroban.uploads import rent_bytes

_KIB = 1024
#: Instructions per unit of the compute fee.
_INSTRUCTIONS_UNIT = 10_000
#: Bytes of history that the fee assumes for a transaction's result.
_RESULT_BYTES = 300
#: Bytes of a TTL entry, which is written whenever a lifetime is set or extended.
_TTL_ENTRY_BYTES = 48
#: Minimum of the rent per KiB.
_MINIMUM_RENT_PER_KB = 1000
#: Divisor for the rent of code: code pays this part of the rent of other entries.
_CODE_DISCOUNT = 3


@dataclass(frozen=True, kw_only=True)
class RentChange:
    """The change of one entry's size and lifetime."""

    #: Persistent entries pay twice the rent of temporary ones (by the settings of mainnet).
    persistent: bool
    #: True for a contract's code.
    code: bool = False
    #: Bytes before the change; 0 when the entry is new.
    old_size: int
    #: Bytes after the change.
    new_size: int
    #: Last ledger of the entry's life before the change; 0 when the entry is new.
    old_live_until: int
    #: Last ledger of the entry's life after the change.
    new_live_until: int


def _per(amount: int, fee: int, unit: int) -> int:
    return -(-amount * fee // unit)


def non_refundable_fee(settings: NetworkSettings, usage: Usage) -> int:
    """Return the fee for the declared resources, which is charged even if the transaction fails."""
    return (
        _per(usage.instructions, settings.fee_instructions, _INSTRUCTIONS_UNIT)
        + usage.disk_reads * settings.fee_disk_read_entry
        + usage.write_entries * settings.fee_write_entry
        + _per(usage.disk_read_bytes, settings.fee_disk_read_kb, _KIB)
        + _per(usage.write_bytes, settings.fee_write_kb, _KIB)
        + _per(usage.tx_bytes + _RESULT_BYTES, settings.fee_historical_kb, _KIB)
        + _per(usage.tx_bytes, settings.fee_bandwidth_kb, _KIB)
    )


def events_fee(settings: NetworkSettings, size: int) -> int:
    """Return the refundable fee for `size` bytes of events and return value."""
    return _per(size, settings.fee_events_kb, _KIB)


def rent_per_kb(settings: NetworkSettings, state_size: int) -> int:
    """Return the rent fee per KiB while the Soroban state has `state_size` bytes."""
    span = max(0, settings.rent_high - settings.rent_low)
    if state_size < settings.state_target:
        rent = settings.rent_low + _per(state_size, span, max(1, settings.state_target))
    else:
        above = state_size - settings.state_target
        rent = settings.rent_high + _per(
            above, span * settings.rent_growth, max(1, settings.state_target)
        )
    return max(rent, _MINIMUM_RENT_PER_KB)


def rent_fee(
    settings: NetworkSettings, changes: Iterable[RentChange], *, sequence: int, state_size: int
) -> int:
    """Return the rent for every longer lifetime and every growth, as of ledger `sequence`."""
    per_kb = rent_per_kb(settings, state_size)
    fee = extended = 0
    for change in changes:
        fee += _entry_rent(settings, change, sequence, per_kb)
        extended += change.old_live_until < change.new_live_until
    ttl_bytes = _per(extended * _TTL_ENTRY_BYTES, settings.fee_write_kb, _KIB)
    return fee + extended * settings.fee_write_entry + ttl_bytes


def _entry_rent(settings: NetworkSettings, change: RentChange, sequence: int, per_kb: int) -> int:
    rate = settings.rent_persistent if change.persistent else settings.rent_temporary

    def rent(size: int, ledgers: int) -> int:
        return _per(size * ledgers, per_kb, _KIB * max(1, rate))

    is_new = change.old_size == 0 and change.old_live_until == 0
    paid_until = sequence - 1 if is_new else change.old_live_until
    fee = 0
    if change.new_live_until > paid_until:
        fee += rent(change.new_size, change.new_live_until - paid_until)
    if not is_new and change.new_size > change.old_size:
        fee += rent(change.new_size - change.old_size, change.old_live_until - sequence + 1)
    return fee // _CODE_DISCOUNT if change.code else fee


def _rent_size(key: bytes, record: Record, farm_code_bytes: int) -> int:
    """Return the bytes that rent is paid for.

    Code also pays for the memory that its parsed module takes.
    """
    digest, size = code_hash(key), len(record.packed)
    if digest is None:
        return size
    code = record.entry.data.contract_code
    assert code is not None  # noqa: S101  (the key is one of code)
    return rent_bytes(digest, size, -(-len(code.code) // 4) * 4, farm_code_bytes)


def rent_changes(changes: Iterable[Change], *, farm_code_bytes: int) -> list[RentChange]:
    """Return the entries among these changes that owe rent.

    These are the entries with a longer life or more bytes. The farm's code pays as if it had
    `farm_code_bytes`.
    """
    found = []
    for change in changes:
        if change.after is None or change.after.live_until is None:
            continue
        before, after, key = change.before, change.after, change.key
        found.append(
            RentChange(
                persistent=is_persistent(key),
                code=code_hash(key) is not None,
                old_size=0 if before is None else _rent_size(key, before, farm_code_bytes),
                new_size=_rent_size(key, after, farm_code_bytes),
                old_live_until=0 if before is None else before.live_until or 0,
                new_live_until=after.live_until or 0,
            )
        )
    return found
