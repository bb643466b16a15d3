"""KEKs in the transit engine of HashiCorp Vault or OpenBao, which never leave it.

The endpoints are `encrypt`, `decrypt` and `keys` of https://openbao.org/api-docs/secret/transit/.
The context is the `associated_data` of an AEAD. `rewrap` is of no use: it takes no associated data.
"""

import base64
import binascii
from collections.abc import Sequence

from services.wallet.domain.errors import KeysUnavailableError
from services.wallet.keys.provider import KeyProviderError, WrappedKey
from services.wallet.keys.vault_session import Json, VaultReply, VaultSession

#: Data keys in one request. OpenBao takes 1,000 strings per request (`max_request_json_strings`),
#: and each key has four: two names, two values.
BATCH = 200
#: Types of transit keys that authenticate a context.
_AEADS = {"aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"}


class VaultKeyProvider:
    """One key of one mount. Every version of the key that Vault still has opens what it wrapped."""

    kind = "vault"

    def __init__(self, session: VaultSession, *, mount: str, key: str) -> None:
        self._session = session
        self._mount = mount.strip("/")
        self._key = key
        self._prefix = f"vault:{self._mount}/{key}:"

    def __repr__(self) -> str:
        """Return mount and name of the key."""
        return f"VaultKeyProvider({self._mount}/{self._key})"

    async def current_kek(self) -> str:
        """Return `vault:MOUNT/KEY:vN`, with the newest version."""
        reply = await self._session.ask("GET", f"{self._mount}/keys/{self._key}")
        kind, version = reply.data.get("type"), reply.data.get("latest_version")
        if reply.status != 200 or not isinstance(version, int):
            raise self._no_such_key(reply)
        if kind not in _AEADS:
            raise KeyProviderError(f"Vault's key {self._key} is of type {kind}, which is no AEAD")
        return f"{self._prefix}v{version}"

    def holds(self, kek_id: str) -> bool:
        """Tell whether the KEK is a version of this key."""
        return kek_id.startswith(self._prefix)

    async def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        """Wrap a data key; the ciphertext is Vault's own text: `vault:vN:...`."""
        given = {"plaintext": _text(data_key), "associated_data": _text(context)}
        reply = await self._session.ask("POST", f"{self._mount}/encrypt/{self._key}", given)
        ciphertext = str(reply.data.get("ciphertext", ""))
        version = _version(ciphertext.encode())
        if reply.status != 200 or not version:
            raise self._no_such_key(reply)
        return WrappedKey(
            kek_id=self._prefix + version, ciphertext=ciphertext.encode(), context=context
        )

    async def unwrap(self, keys: Sequence[WrappedKey]) -> list[bytes | KeyProviderError]:
        """Unwrap data keys.

        An error stands in the place of a key that Vault says is not authentic.
        """
        found: list[bytes | KeyProviderError] = []
        for start in range(0, len(keys), BATCH):
            found += await self._unwrap_batch(keys[start : start + BATCH])
        return found

    async def _unwrap_batch(self, keys: Sequence[WrappedKey]) -> list[bytes | KeyProviderError]:
        asked = [key for key in keys if self._names_its_kek(key)]
        opened = iter(await self._decrypt(asked) if asked else [])
        wrong = KeyProviderError("the wrapped data key is not of the KEK that it names")
        return [next(opened) if self._names_its_kek(key) else wrong for key in keys]

    def _names_its_kek(self, key: WrappedKey) -> bool:
        return key.kek_id == self._prefix + _version(key.ciphertext)

    async def _decrypt(self, keys: Sequence[WrappedKey]) -> list[bytes | KeyProviderError]:
        batch = [
            {"ciphertext": key.ciphertext.decode(), "associated_data": _text(key.context)}
            for key in keys
        ]
        reply = await self._session.ask(
            "POST", f"{self._mount}/decrypt/{self._key}", {"batch_input": batch}
        )
        # A single item that does not open makes the whole answer's status 400.
        results = reply.data.get("batch_results")
        if not isinstance(results, list):
            return [self._no_such_key(reply)] * len(keys)
        if len(results) != len(keys):
            raise KeysUnavailableError("Vault gave another number of keys than was asked for")
        return [_data_key(result) for result in results]

    def _no_such_key(self, reply: VaultReply) -> KeyProviderError:
        name = f"{self._mount}/{self._key}"
        return KeyProviderError(f"Vault's key {name} cannot be used: {reply.complaint}")


def _version(ciphertext: bytes) -> str:
    """Return the `vN` of a ciphertext; empty when it is none, so that it matches no KEK."""
    parts = ciphertext.split(b":")
    well_formed = len(parts) == 3 and parts[0] == b"vault" and ciphertext.isascii()
    return parts[1].decode() if well_formed and parts[1][:1] == b"v" else ""


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _data_key(result: Json) -> bytes | KeyProviderError:
    try:
        key = base64.b64decode(str(result.get("plaintext") or ""), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if result.get("error") or not key:
        return KeyProviderError("the wrapped data key is not authentic")
    return key
