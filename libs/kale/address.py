"""Stellar addresses as text (strkey, SEP-23): the functions that the hash needs, without an SDK."""

import base64
import binascii

_ACCOUNT = 6 << 3  # 'G'
_CONTRACT = 2 << 3  # 'C'
_LENGTH = 56


def raw_key(address: str) -> bytes:
    """Return the 32 bytes in a G (ed25519 public key) or C (contract id) address.

    Raise ValueError for anything else, a wrong checksum included.
    """
    version, key = _decode(address)
    if version not in {_ACCOUNT, _CONTRACT}:
        raise ValueError("must be a G or C address")
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


def is_contract(address: str) -> bool:
    """Tell whether the address is a valid C address."""
    return _has_version(address, _CONTRACT)


def _has_version(address: str, version: int) -> bool:
    try:
        return _decode(address)[0] == version
    except ValueError:
        return False


def _decode(address: str) -> tuple[int, bytes]:
    if len(address) != _LENGTH:
        raise ValueError(f"must have {_LENGTH} characters, not {len(address)}")
    try:
        raw = base64.b32decode(address)
    except binascii.Error as error:
        raise ValueError("must be base32 without lower case") from error
    payload, checksum = raw[:-2], int.from_bytes(raw[-2:], "little")
    # CRC-16/XMODEM, as SEP-23 says.
    if binascii.crc_hqx(payload, 0) != checksum:
        raise ValueError("has a wrong checksum")
    return payload[0], payload[1:]
