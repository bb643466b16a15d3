"""The public keys of access tokens, as wallet tells them to the other services."""

import asyncio
import time
from collections.abc import Callable, Mapping

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from kalepool.wallet.v1 import token_pb2, token_pb2_grpc

from libs.common.errors import PoolError
from libs.common.grpc.client import call
from libs.common.grpc.tokens import TokenKeysUnknownError
from libs.common.log import get_logger

log = get_logger(__name__)

#: Seconds between two questions to wallet; a key is told for longer before it is used.
_INTERVAL = 60.0
#: The same after a question without an answer, and for a key that is not known.
_RETRY = 5.0
#: The same while there are no keys at all: services may start before wallet does.
_RETRY_AT_FIRST = 0.5
#: Seconds for which an answer counts: wallet gives up a key, and we may not have heard of it.
_LIFE = 300.0
#: Seconds that a question may take.
_TIMEOUT = 3.0


class FetchedKeys:
    """The keys that wallet told last."""

    def __init__(
        self, channel: grpc.aio.Channel, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask over a channel to wallet, which shows its certificate."""
        self._stub: token_pb2_grpc.TokenServiceAsyncStub = token_pb2_grpc.TokenServiceStub(channel)
        self._clock = clock
        self._keys: Mapping[str, Ed25519PublicKey] = {}
        self._asking = asyncio.Lock()
        #: When wallet was asked last, and when it answered.
        self._asked = self._answered = float("-inf")
        self._is_away = False

    def known(self, key_id: str) -> Ed25519PublicKey | None:
        """Return a key; raise TokenKeysUnknownError when wallet has told none for a while."""
        if not self._counts():
            raise TokenKeysUnknownError("wallet has not told its keys of tokens", retry_after=1.0)
        return self._keys.get(key_id)

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Return a key; ask wallet when it is not known, but not again and again."""
        if not self._has(key_id):
            async with self._asking:
                if not self._has(key_id) and self._clock() - self._asked > self._retry():
                    await self._ask()
        return self.known(key_id)

    async def run(self) -> None:
        """Ask once a minute until the task is cancelled."""
        while True:
            async with self._asking:
                await self._ask()
            await asyncio.sleep(self._retry() if self._is_away else _INTERVAL)

    def _retry(self) -> float:
        return _RETRY if self._counts() else _RETRY_AT_FIRST

    def _counts(self) -> bool:
        """Tell whether the last answer still counts."""
        return self._clock() - self._answered <= _LIFE

    def _has(self, key_id: str) -> bool:
        return key_id in self._keys and self._counts()

    async def _ask(self) -> None:
        self._asked = self._clock()
        request = token_pb2.ListTokenKeysRequest()
        try:
            answer = await call(self._stub.ListTokenKeys, request, timeout=_TIMEOUT)
            keys = {
                key.key_id: Ed25519PublicKey.from_public_bytes(key.public_key)
                for key in answer.keys
            }
        except (PoolError, ValueError) as error:
            if not self._is_away:
                log.warning("keys of tokens not read from wallet", error=str(error))
            self._is_away = True
            return
        # A key that is still there stays the same object: what it has vouched for stays checked.
        self._keys = {
            key_id: self._keys[key_id] if _is_same(self._keys.get(key_id), key) else key
            for key_id, key in keys.items()
        }
        self._answered, self._is_away = self._clock(), False


def _is_same(known: Ed25519PublicKey | None, key: Ed25519PublicKey) -> bool:
    return known is not None and known.public_bytes_raw() == key.public_bytes_raw()
