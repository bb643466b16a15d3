"""Stellar addresses as text (strkey, SEP-23): what the pool needs of them, without an SDK."""

import base64
import binascii

_ACCOUNT = 6 << 3  # 'G'
_CONTRACT = 2 << 3  # 'C'
_MUXED = 12 << 3  # 'M'
_LENGTH = 56
_KEY_BYTES = 32
#: Characters of a muxed address: a key of 32 bytes and a number of 8.
_MUXED_LENGTH = 69


def raw_key(address: str) -> bytes:
    """Return the 32 bytes in a G (ed25519 public key) or C (contract id) address.

    Raise ValueError for anything else, a wrong checksum included.
    """
    version, key = _decode(address)
    if version not in {_ACCOUNT, _CONTRACT}:
        raise ValueError("must be a G or C address")
    return key


def account_key(address: str) -> bytes:
    """Return the 32 bytes of the account that a G address names, or an M address as one of several.

    Raise ValueError for anything else.
    """
    if len(address) == _MUXED_LENGTH:
        version, payload = _decode(address, length=_MUXED_LENGTH)
        key = payload[:_KEY_BYTES]
    else:
        version, key = _decode(address)
    if version not in {_ACCOUNT, _MUXED}:
        raise ValueError("must be a G or M address")
    return key


def address_of(key: bytes) -> str:
    """Return the G address of an account with this ed25519 public key, 32 bytes."""
    payload = bytes((_ACCOUNT,)) + key
    # CRC-16/XMODEM, as SEP-23 says.
    return base64.b32encode(payload + binascii.crc_hqx(payload, 0).to_bytes(2, "little")).decode()


def is_account(address: str) -> bool:
    """Tell whether the address is a valid G address."""
    return _has_version(address, _ACCOUNT)


def account_address(text: str) -> str:
    """Return the text itself when it is a G address; else raise ValueError with what it must be."""
    if not is_account(text):
        raise ValueError("must be the address of a Stellar account (G...)")
    return text


def payout_address(text: str) -> str:
    """Return the text itself when it may be paid to: a G address, or a muxed one (M...).

    Raise ValueError for anything else. Whether the account is there, takes the asset, and wants a
    memo (SEP-29) only the chain can tell, when it is paid.
    """
    if len(text) == _MUXED_LENGTH:
        version, _ = _decode(text, length=_MUXED_LENGTH)
        if version == _MUXED:
            return text
    elif is_account(text):
        return text
    raise ValueError("must be the address of a Stellar account (G..., or M... for one of several)")


def is_contract(address: str) -> bool:
    """Tell whether the address is a valid C address."""
    return _has_version(address, _CONTRACT)


def _has_version(address: str, version: int) -> bool:
    try:
        return _decode(address)[0] == version
    except ValueError:
        return False


def _decode(address: str, *, length: int = _LENGTH) -> tuple[int, bytes]:
    if len(address) != length:
        raise ValueError(f"must have {length} characters, not {len(address)}")
    padding = "=" * (-length % 8)
    try:
        raw = base64.b32decode(address + padding)
    except (binascii.Error, ValueError) as error:
        raise ValueError("must be base32 without lower case") from error
    # Bits beyond the last byte have to be 0, so that no address is written in two ways.
    if base64.b32encode(raw).decode().rstrip("=") != address:
        raise ValueError("must be base32 in its one form")
    payload, checksum = raw[:-2], int.from_bytes(raw[-2:], "little")
    # CRC-16/XMODEM, as SEP-23 says.
    if binascii.crc_hqx(payload, 0) != checksum:
        raise ValueError("has a wrong checksum")
    return payload[0], payload[1:]
