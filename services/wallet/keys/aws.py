"""KEKs in AWS KMS: symmetric keys, which never leave it.

The context of a wrapped key is the encryption context of KMS.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from services.wallet.domain.errors import KeysUnavailableError
from services.wallet.keys.provider import KeyProviderError, WrappedKey

if TYPE_CHECKING:
    from types_aiobotocore_kms.client import KMSClient

Answer = TypeVar("Answer")

#: Requests at the same time: KMS has no batches.
PARALLEL = 32
#: Error codes about the given data; all others are about KMS, our permissions or the connection.
#: https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html, section Errors.
_WRONG = frozenset(
    {
        "IncorrectKeyException",
        "InvalidCiphertextException",
        "InvalidKeyUsageException",
        "NotFoundException",
        "ValidationException",
    }
)
#: KMS gives the same code for a key that we may not use and for a key that is not there.
_WRONG_CIPHERTEXT = _WRONG | {"AccessDeniedException"}
_PREFIX = "aws-kms:"


class AwsKeyProvider:
    """One key of KMS. Other keys of KMS open what they wrapped, as long as we may use them."""

    kind = "aws-kms"

    def __init__(self, client: "KMSClient", *, key: str) -> None:
        self._client = client
        self._key = key
        self._hands = asyncio.Semaphore(PARALLEL)

    def __repr__(self) -> str:
        """Return the name of the key."""
        return f"AwsKeyProvider({self._key})"

    async def current_kek(self) -> str:
        """Return `aws-kms:` and the key's ARN.

        KMS rotates what is inside a key without a new ARN.
        """
        described = await self._ask(self._client.describe_key(KeyId=self._key))
        return _PREFIX + described["KeyMetadata"]["Arn"]

    def holds(self, kek_id: str) -> bool:
        """Tell whether the KEK is a key of KMS; KMS itself says which keys may be used."""
        return kek_id.startswith(_PREFIX)

    async def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        """Wrap a data key; the ciphertext is KMS's own bytes."""
        answer = await self._ask(
            self._client.encrypt(
                KeyId=self._key, Plaintext=data_key, EncryptionContext=_context(context)
            )
        )
        return WrappedKey(
            kek_id=_PREFIX + answer["KeyId"], ciphertext=answer["CiphertextBlob"], context=context
        )

    async def unwrap(self, keys: Sequence[WrappedKey]) -> list[bytes | KeyProviderError]:
        """Unwrap data keys.

        An error stands in the place of a key that KMS says is not authentic.
        """
        return await asyncio.gather(*(self._unwrap(key) for key in keys))

    async def _unwrap(self, key: WrappedKey) -> bytes | KeyProviderError:
        if not key.ciphertext:
            return KeyProviderError("the wrapped data key is empty")
        async with self._hands:
            try:
                answer = await self._ask(
                    self._client.decrypt(
                        KeyId=key.kek_id.removeprefix(_PREFIX),
                        CiphertextBlob=key.ciphertext,
                        EncryptionContext=_context(key.context),
                    ),
                    wrong=_WRONG_CIPHERTEXT,
                )
            except KeyProviderError as error:
                return error
        return answer["Plaintext"]

    async def _ask(self, call: Awaitable[Answer], *, wrong: AbstractSet[str] = _WRONG) -> Answer:
        try:
            return await call
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in wrong:
                raise KeyProviderError(f"AWS KMS refuses: {code}") from None
            raise KeysUnavailableError(f"AWS KMS: {code}", retry_after=1.0) from None
        except (BotoCoreError, OSError, TimeoutError) as error:
            kind = type(error).__name__
            raise KeysUnavailableError(f"AWS KMS: {kind}", retry_after=1.0) from None


def _context(context: bytes) -> dict[str, str]:
    """Encode the context as text, since KMS takes only text.

    KMS writes the context into its own audit log; it has id and address, and no secret.
    """
    return {"kalepool": base64.b64encode(context).decode()}


@asynccontextmanager
async def open_kms(
    *, key: str, region: str, endpoint: str, timeout: float
) -> AsyncIterator[AwsKeyProvider]:
    """Open a provider while the block runs; KMS may be away at start.

    Credentials come from where AWS's libraries look for them: environment, profile, web identity,
    container or machine.
    """
    config = AioConfig(
        connect_timeout=timeout,
        read_timeout=timeout,
        max_pool_connections=PARALLEL,
        retries={"mode": "standard", "total_max_attempts": 2},
    )
    async with get_session().create_client(
        "kms", region_name=region or None, endpoint_url=endpoint or None, config=config
    ) as client:
        yield AwsKeyProvider(client, key=key)
