"""Ledger keys as XDR bytes: the form by which the state is indexed."""

from functools import cache, lru_cache
from hashlib import sha256

from stellar_sdk import xdr

#: Leading bytes of the LedgerKey of an ed25519 account: the zero discriminants of LedgerKey and of
#: PublicKey.
_ACCOUNT_PREFIX = bytes(8)


def account_key(raw: bytes) -> bytes:
    """Return the ledger key of the account with this raw ed25519 key."""
    return _ACCOUNT_PREFIX + raw


def account_id(raw: bytes) -> xdr.AccountID:
    """Return the XDR account id of a raw ed25519 key."""
    return xdr.AccountID(
        xdr.PublicKey(xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519, ed25519=xdr.Uint256(raw))
    )


def raw_account(account: xdr.AccountID) -> bytes:
    """Return the raw ed25519 key of an XDR account id."""
    key = account.account_id.ed25519
    assert key is not None  # noqa: S101  (the only kind of account id there is)
    return key.uint256


def raw_muxed(account: xdr.MuxedAccount) -> bytes:
    """Return the raw ed25519 key of a source account, muxed or not."""
    if account.ed25519 is not None:
        return account.ed25519.uint256
    assert account.med25519 is not None  # noqa: S101  (the union has two arms)
    return account.med25519.ed25519.uint256


@lru_cache(maxsize=65_536)
def trustline_key(raw: bytes, asset: bytes) -> bytes:
    """Return the ledger key of an account's trustline; `asset` is the packed TrustLineAsset."""
    return xdr.LedgerKey(
        xdr.LedgerEntryType.TRUSTLINE,
        trust_line=xdr.LedgerKeyTrustLine(
            account_id=account_id(raw), asset=xdr.TrustLineAsset.from_xdr_bytes(asset)
        ),
    ).to_xdr_bytes()


def data_key(raw: bytes, name: bytes) -> bytes:
    """Return the ledger key of an account's data entry."""
    return xdr.LedgerKey(
        xdr.LedgerEntryType.DATA,
        data=xdr.LedgerKeyData(account_id=account_id(raw), data_name=xdr.String64(name)),
    ).to_xdr_bytes()


@cache
def config_key(setting: xdr.ConfigSettingID) -> bytes:
    """Return the ledger key of one of the network's settings."""
    return xdr.LedgerKey(
        xdr.LedgerEntryType.CONFIG_SETTING,
        config_setting=xdr.LedgerKeyConfigSetting(config_setting_id=setting),
    ).to_xdr_bytes()


def key_type(key: bytes) -> xdr.LedgerEntryType:
    """Return the type of entry that a key names: the key's first four bytes."""
    return xdr.LedgerEntryType(int.from_bytes(key[:4], "big"))


def is_soroban(key: bytes) -> bool:
    """Tell whether the key names contract data or code.

    Only these entries have a lifetime and pay rent.
    """
    return key_type(key) in (
        xdr.LedgerEntryType.CONTRACT_DATA,
        xdr.LedgerEntryType.CONTRACT_CODE,
    )


def code_hash(key: bytes) -> bytes | None:
    """Return the hash in the key of a contract's code; None for any other key."""
    return key[4:] if key_type(key) is xdr.LedgerEntryType.CONTRACT_CODE else None


def is_persistent(key: bytes) -> bool:
    """Tell whether the key names anything but temporary contract data.

    The durability of contract data is the last word of its key.
    """
    return (
        key_type(key) is not xdr.LedgerEntryType.CONTRACT_DATA
        or int.from_bytes(key[-4:], "big") == xdr.ContractDataDurability.PERSISTENT
    )


def ttl_key(key: bytes) -> bytes:
    """Return the ledger key of the lifetime of a contract entry."""
    return int(xdr.LedgerEntryType.TTL).to_bytes(4, "big") + sha256(key).digest()


def trustline_asset(asset: xdr.Asset) -> bytes:
    """Return the packed TrustLineAsset of a credit asset.

    The XDR unions Asset and TrustLineAsset have the same arms for credit assets.
    """
    return asset.to_xdr_bytes()
