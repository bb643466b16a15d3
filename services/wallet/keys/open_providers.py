"""Opening of the providers that are set up, as one provider."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from services.wallet.keys.cache import CachedProvider, DataKeyCache
from services.wallet.keys.keychain import Keychain
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KeyProvider
from services.wallet.keys.vault import VaultKeyProvider
from services.wallet.keys.vault_session import Login, open_session

Kind = Literal["local", "vault", "aws-kms"]


@dataclass(frozen=True, kw_only=True)
class VaultOptions:
    """The address of Vault, the key that is ours, and the way we log in."""

    #: Address: https://host:port.
    address: str
    #: Namespace of an enterprise Vault; empty: none.
    namespace: str
    #: Certificates to trust instead of the system's.
    ca_file: Path | None
    #: Mount of the transit engine.
    mount: str
    #: Name of the transit key.
    key: str
    #: How to get a token.
    login: Login


@dataclass(frozen=True, kw_only=True)
class AwsOptions:
    """The key of AWS KMS that is ours."""

    #: Id, ARN or alias of the key.
    key: str
    #: Region; empty: as AWS's own settings say.
    region: str
    #: Another address than the region's; empty: the region's address.
    endpoint: str


@dataclass(frozen=True, kw_only=True)
class KeyOptions:
    """Every provider that is set up: one seals, all open what they have sealed."""

    #: The kind of provider that seals.
    sealing: Kind
    #: KEKs of the local provider; the KEK that seals comes first.
    local: Sequence[bytes] = field(default=(), repr=False)
    #: Vault, if it is set up.
    vault: VaultOptions | None = None
    #: AWS KMS, if it is set up.
    aws: AwsOptions | None = None
    #: Seconds that one request of a provider may take.
    timeout: float
    #: Seconds that data keys of a provider that is a server are kept; 0: not at all.
    cache_seconds: float
    #: Number of kept data keys at most.
    cache_entries: int


@asynccontextmanager
async def open_keys(options: KeyOptions) -> AsyncIterator[KeyProvider]:
    """Open all providers as one while the block runs.

    Raises MasterKeyError when options are wrong.
    """
    async with AsyncExitStack() as stack:
        providers: list[KeyProvider] = []
        if options.local:
            providers.append(LocalKeyProvider(*options.local))
        if options.vault is not None:
            vault = await stack.enter_async_context(_vault(options.vault, options.timeout))
            providers.append(_cached(vault, options, stack))
        if options.aws is not None:
            # AWS's library costs each start half a second and 20 MiB, so only who uses it pays.
            from services.wallet.keys.aws import open_kms  # noqa: PLC0415

            aws = await stack.enter_async_context(
                open_kms(
                    key=options.aws.key,
                    region=options.aws.region,
                    endpoint=options.aws.endpoint,
                    timeout=options.timeout,
                )
            )
            providers.append(_cached(aws, options, stack))
        # The provider that seals comes first; the others keep their order.
        providers.sort(key=lambda provider: provider.kind != options.sealing)
        yield Keychain(*providers) if len(providers) > 1 else providers[0]


@asynccontextmanager
async def _vault(options: VaultOptions, timeout: float) -> AsyncIterator[KeyProvider]:
    async with open_session(
        options.address,
        namespace=options.namespace,
        ca_file=options.ca_file,
        timeout=timeout,
        login=options.login,
    ) as session:
        yield VaultKeyProvider(session, mount=options.mount, key=options.key)


def _cached(provider: KeyProvider, options: KeyOptions, stack: AsyncExitStack) -> KeyProvider:
    if not options.cache_seconds:
        return provider
    cache = DataKeyCache(entries=options.cache_entries, seconds=options.cache_seconds)
    stack.callback(cache.clear)
    return CachedProvider(provider, cache)
