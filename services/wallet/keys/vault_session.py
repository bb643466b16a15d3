"""Calls of HashiCorp Vault or OpenBao over HTTP, and the token that they need.

The few paths that are used here are called with the HTTP client that the wallet has anyway. The
library hvac is synchronous and has no types.
"""

import asyncio
import json
import math
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from libs.common.log import get_logger
from services.wallet.domain.errors import KeysUnavailableError
from services.wallet.keys.provider import MasterKeyError

log = get_logger(__name__)

Json = Mapping[str, Any]
#: Statuses with an answer about the request; all others are about Vault or about us.
_ANSWERS = {200, 204, 400, 404}
_FORBIDDEN = 403
#: Seconds between two tries to renew a token.
_RETRY = 5.0


@dataclass(frozen=True, kw_only=True)
class VaultReply:
    """Vault's answer to a request."""

    #: HTTP status, one of the statuses that answer the request.
    status: int
    #: The whole body; empty when it is no JSON object.
    body: Json = field(repr=False)

    @property
    def data(self) -> Json:
        """Return the field `data`."""
        return self.body.get("data") or {}

    @property
    def complaint(self) -> str:
        """Return the field `errors` as one line."""
        errors = self.body.get("errors") or []
        return "; ".join(str(error) for error in errors)[:200] or f"status {self.status}"


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token that Vault knows us by."""

    #: The token.
    value: str = field(repr=False)
    #: Lifetime in seconds when the token was given; 0: it does not end.
    seconds: float
    #: Time (monotonic, s) at which half of the lifetime is over.
    half_over_at: float
    #: Whether the lifetime can be prolonged.
    is_renewable: bool


class Http:
    """Requests to one Vault, each with its typed failure."""

    def __init__(self, session: aiohttp.ClientSession, address: str, namespace: str) -> None:
        self._session = session
        self._address = address.rstrip("/")
        self._headers = {"X-Vault-Request": "true"}
        if namespace:
            self._headers["X-Vault-Namespace"] = namespace

    async def ask(
        self, method: str, path: str, body: Json | None = None, *, token: str = ""
    ) -> tuple[int, Json]:
        """Return status and body. Raises KeysUnavailableError when Vault does not answer."""
        url = f"{self._address}/v1/{path}"
        headers = {**self._headers, **({"X-Vault-Token": token} if token else {})}
        try:
            # A redirect would carry token and data keys to another server.
            async with self._session.request(
                method, url, json=body, headers=headers, allow_redirects=False
            ) as response:
                return response.status, _object(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            kind = type(error).__name__
            raise KeysUnavailableError(f"Vault does not answer: {kind}", retry_after=1.0) from None


def _object(content: bytes) -> Json:
    try:
        value = json.loads(content or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class Login(Protocol):
    """A way to get a token."""

    async def __call__(self, http: Http) -> Token:
        """Return a token that is valid now. Raises KeysUnavailableError."""
        ...


@dataclass(frozen=True, kw_only=True)
class TokenFile:
    """A token in a file, which an agent may replace at any time."""

    #: The file.
    path: Path

    async def __call__(self, http: Http) -> Token:
        """Read the file and ask Vault how long the token lives."""
        value = read_secret("VAULT_TOKEN_FILE", self.path)
        status, body = await http.ask("GET", "auth/token/lookup-self", token=value)
        if status != 200:
            raise _refused("the token of VAULT_TOKEN_FILE", status)
        data = body.get("data") or {}
        return _token(value, data.get("ttl"), data.get("renewable"))


@dataclass(frozen=True, kw_only=True)
class AppRole:
    """A role id, with a secret id in a file."""

    #: Where the method is mounted; `approle` unless somebody chose another place.
    mount: str
    #: Id of the role.
    role_id: str
    #: The file with the role's secret id.
    secret_id_file: Path

    async def __call__(self, http: Http) -> Token:
        """Log in."""
        secret_id = read_secret("VAULT_SECRET_ID_FILE", self.secret_id_file)
        given = {"role_id": self.role_id, "secret_id": secret_id}
        status, body = await http.ask("POST", f"auth/{self.mount}/login", given)
        auth = body.get("auth") or {}
        if status != 200 or not auth.get("client_token"):
            raise _refused("VAULT_ROLE_ID with VAULT_SECRET_ID_FILE", status)
        return _token_of(auth)


def _token_of(auth: Json) -> Token:
    return _token(str(auth["client_token"]), auth.get("lease_duration"), auth.get("renewable"))


def _token(value: str, seconds: Any, is_renewable: Any) -> Token:
    lives = float(seconds or 0)
    half = time.monotonic() + lives / 2 if lives else math.inf
    return Token(
        value=value, seconds=lives, half_over_at=half, is_renewable=bool(is_renewable or False)
    )


def _refused(what: str, status: int) -> KeysUnavailableError:
    return KeysUnavailableError(f"Vault refuses {what} (status {status})", retry_after=5.0)


def read_secret(name: str, file: Path) -> str:
    """Return the line in a file. Raises KeysUnavailableError: an agent may just be writing it."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        text = ""
    if not text:
        raise KeysUnavailableError(f"{name}: {file} has no text", retry_after=5.0)
    return text


class VaultSession:
    """Calls with a token.

    A session gets a token when it has none, and another one when Vault refuses the token.
    """

    def __init__(self, http: Http, login: Login) -> None:
        self._http = http
        self._login = login
        self._token: Token | None = None
        self._lock = asyncio.Lock()
        #: Set whenever the token changes.
        self._changed = asyncio.Event()

    async def ask(self, method: str, path: str, body: Json | None = None) -> VaultReply:
        """Return Vault's answer with status 200, 204, 400 or 404.

        Raises KeysUnavailableError for all other statuses.
        """
        token = await self._current(None)
        status, content = await self._http.ask(method, path, body, token=token.value)
        if status == _FORBIDDEN:
            token = await self._current(token)
            status, content = await self._http.ask(method, path, body, token=token.value)
        reply = VaultReply(status=status, body=content)
        if status not in _ANSWERS:
            raise KeysUnavailableError(f"Vault: {path}: {reply.complaint}", retry_after=1.0)
        return reply

    async def _current(self, refused: Token | None) -> Token:
        """Return the token, or another one than the refused token. One login runs at a time."""
        async with self._lock:
            if self._token is None or self._token is refused:
                self._token = None
                self._token = await self._login(self._http)
                self._changed.set()
            return self._token

    async def keep_alive(self) -> None:
        """Renew the token for ever, in time."""
        while True:
            try:
                token = await self._current(None)
                if not await self._was_changed(token.half_over_at - time.monotonic()):
                    await self._renew(token)
            except KeysUnavailableError as error:
                log.warning("token not renewed", error=str(error))
                await asyncio.sleep(_RETRY)

    async def _was_changed(self, seconds: float) -> bool:
        """Tell whether there is another token within these seconds."""
        self._changed.clear()
        try:
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _renew(self, token: Token) -> None:
        """Prolong the token's life.

        Log in again when the life has an end, or when it cannot be prolonged.
        """
        if token.is_renewable:
            status, body = await self._http.ask(
                "POST", "auth/token/renew-self", {}, token=token.value
            )
            renewed = _token_of(body["auth"]) if status == 200 and body.get("auth") else None
            # A shorter life than before means that the longest allowed life is nearly over.
            if renewed is not None and renewed.seconds > token.seconds / 2:
                self._token = renewed
                return
        await self._current(token)


@asynccontextmanager
async def open_session(
    address: str, *, namespace: str, ca_file: Path | None, timeout: float, login: Login
) -> AsyncIterator[VaultSession]:
    """Open a session while the block runs; Vault may be away at start.

    Raises MasterKeyError when the CA file is bad.
    """
    try:
        trusted = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise MasterKeyError(f"VAULT_CACERT {ca_file} has no certificates") from error
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=timeout),
        connector=aiohttp.TCPConnector(ssl=trusted),
    ) as http:
        session = VaultSession(Http(http, address, namespace), login)
        keeper = asyncio.create_task(session.keep_alive())
        try:
            yield session
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
