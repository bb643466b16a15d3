"""Trustlines as values, and the movement of credit between them."""

from dataclasses import dataclass, replace

from stellar_sdk import xdr

from localnet.ledger.accounts import ledger_entry
from localnet.ledger.keys import account_id, raw_account, trustline_key
from localnet.ledger.state import Changes, Readable

AUTHORIZED = int(xdr.TrustLineFlags.AUTHORIZED_FLAG)
MAINTAIN = int(xdr.TrustLineFlags.AUTHORIZED_TO_MAINTAIN_LIABILITIES_FLAG)
CLAWBACK = int(xdr.TrustLineFlags.TRUSTLINE_CLAWBACK_ENABLED_FLAG)


@dataclass(frozen=True, kw_only=True)
class Trustline:
    """The trustline of one account for one asset."""

    #: Raw key of the holder.
    raw: bytes
    #: The packed TrustLineAsset.
    asset: bytes
    #: Stroops of the asset.
    balance: int
    #: Maximum balance that the holder accepts.
    limit: int
    #: TrustLineFlags as a number.
    flags: int
    #: Raw key of the account that pays the trustline's reserve, if not the holder.
    sponsor: bytes | None = None

    @property
    def key(self) -> bytes:
        """Ledger key of the trustline."""
        return trustline_key(self.raw, self.asset)

    @property
    def authorized(self) -> bool:
        """True when the issuer lets the holder pay and be paid."""
        return bool(self.flags & AUTHORIZED)


def load_trustline(state: Readable, raw: bytes, asset: bytes) -> Trustline | None:
    """Return an account's trustline for an asset, or None."""
    record = state.get(trustline_key(raw, asset))
    if record is None:
        return None
    line = record.entry.data.trust_line
    assert line is not None  # noqa: S101  (the key was a trustline's)
    return Trustline(
        raw=raw,
        asset=asset,
        balance=line.balance.int64,
        limit=line.limit.int64,
        flags=line.flags.uint32,
        sponsor=record.sponsor,
    )


def store_trustline(state: Changes, line: Trustline) -> None:
    """Write the trustline into the state."""
    data = xdr.LedgerEntryData(
        xdr.LedgerEntryType.TRUSTLINE,
        trust_line=xdr.TrustLineEntry(
            account_id=account_id(line.raw),
            asset=xdr.TrustLineAsset.from_xdr_bytes(line.asset),
            balance=xdr.Int64(line.balance),
            limit=xdr.Int64(line.limit),
            flags=xdr.Uint32(line.flags),
            ext=xdr.TrustLineEntryExt(0),
        ),
    )
    state.put(line.key, ledger_entry(data, line.sponsor))


def credit(state: Changes, line: Trustline, amount: int) -> Trustline:
    """Add the amount to the trustline's balance; a negative amount is taken from it."""
    changed = replace(line, balance=line.balance + amount)
    store_trustline(state, changed)
    return changed


def asset_issuer(asset: bytes) -> bytes:
    """Return the raw key of the issuer of a packed credit asset."""
    parsed = xdr.TrustLineAsset.from_xdr_bytes(asset)
    arm = parsed.alpha_num4 or parsed.alpha_num12
    if arm is None:
        raise ValueError("not a credit asset")
    return raw_account(arm.issuer)
