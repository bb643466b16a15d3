"""What programs print: a nonce at the end, and perhaps their rate on the way."""

import re

#: {"hash": "...", "nonce": 123}, also over several lines and with the nonce as text.
_OBJECT = re.compile(r'"nonce"\s*:\s*"?(\d{1,20})\b')
#: ["123", "hash"]
_LIST = re.compile(r'\[\s*"?(\d{1,20})"?\s*,\s*"[0-9a-fA-F]{64}"\s*\]')
#: [CPU] Hash Rate: 2.71 MH/s
_RATE = re.compile(r"Hash Rate: (\d+(?:\.\d+)?) ([KMGTPE]?)H/s")
_UNITS = " KMGTPE"


def nonce_of(text: str) -> int | None:
    """Return the last nonce that a program printed, if it is one; None without one."""
    found = _OBJECT.findall(text) or _LIST.findall(text)
    nonce = int(found[-1]) if found else -1
    return nonce if 0 <= nonce < 2**64 else None


def rate_of(text: str) -> float | None:
    """Return the mean of the rates that a program printed, in hashes a second; None without one."""
    found = [
        float(number) * 1000.0 ** max(0, _UNITS.index(unit or " "))
        for number, unit in _RATE.findall(text)
    ]
    return sum(found) / len(found) if found else None
