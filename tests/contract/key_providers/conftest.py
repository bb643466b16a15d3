"""One rig per kind of provider: its operator rotates KEKs, and cuts the way to the server."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from services.wallet.keys.aws import open_kms
from services.wallet.keys.keychain import Keychain
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KEY_BYTES, KeyProvider
from services.wallet.keys.vault import VaultKeyProvider
from services.wallet.keys.vault_session import TokenFile, open_session
from tests.support.key_servers import REGION, Bao, Kms, find_bao, open_bao, open_moto
from tests.support.tcp_relay import TcpRelay, open_relay


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A provider with a KEK of its own."""

    #: The provider.
    provider: KeyProvider
    #: Makes another KEK the current one: the provider afterwards, as a wallet has it then.
    rotate: Callable[[], Awaitable[KeyProvider]]
    #: The way to its server; None when it has none.
    way: TcpRelay | None = None


OpenRig = Callable[[], AbstractAsyncContextManager[Rig]]


@pytest.fixture(scope="session")
async def bao(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bao]:
    """A real OpenBao."""
    program = find_bao()
    if program is None:
        pytest.skip("there is no OpenBao for this platform")
    async with open_bao(program, tmp_path_factory.mktemp("bao")) as server:
        yield server


@pytest.fixture(scope="session")
def kms() -> Iterator[Kms]:
    """moto's KMS."""
    with open_moto() as server:
        yield server


@asynccontextmanager
async def local_rig() -> AsyncIterator[Rig]:
    """The operator rotates by giving a new key, and the old one as a previous one."""
    keys = [secrets.token_bytes(KEY_BYTES)]

    async def rotate() -> KeyProvider:
        keys.insert(0, secrets.token_bytes(KEY_BYTES))
        return LocalKeyProvider(*keys)

    yield Rig(provider=LocalKeyProvider(*keys), rotate=rotate)


@asynccontextmanager
async def vault_rig(bao: Bao, folder: Path) -> AsyncIterator[Rig]:
    """The operator rotates in Vault; the provider stays."""
    name = f"key-{secrets.token_hex(4)}"
    await bao.make_key(name)
    file = folder / name
    file.write_text(await bao.token(name))
    async with (
        open_relay("127.0.0.1", bao.port) as way,
        open_session(
            f"http://127.0.0.1:{way.port}",
            namespace="",
            ca_file=None,
            timeout=5,
            login=TokenFile(path=file),
        ) as session,
    ):
        provider = VaultKeyProvider(session, mount="transit", key=name)

        async def rotate() -> KeyProvider:
            await bao.rotate(name)
            return provider

        yield Rig(provider=provider, rotate=rotate, way=way)


@asynccontextmanager
async def aws_rig(kms: Kms) -> AsyncIterator[Rig]:
    """The operator rotates by naming another key."""
    async with open_relay("127.0.0.1", kms.port) as way:
        opened = partial(
            open_kms, region=REGION, endpoint=f"http://127.0.0.1:{way.port}", timeout=2
        )
        async with (
            opened(key=await kms.make_key()) as provider,
            opened(key=await kms.make_key()) as following,
        ):

            async def rotate() -> KeyProvider:
                return following

            yield Rig(provider=provider, rotate=rotate, way=way)


@asynccontextmanager
async def moving_rig(bao: Bao, folder: Path) -> AsyncIterator[Rig]:
    """The operator moves from local keys to Vault."""
    local = LocalKeyProvider(secrets.token_bytes(KEY_BYTES))
    async with vault_rig(bao, folder) as vault:

        async def rotate() -> KeyProvider:
            return Keychain(vault.provider, local)

        yield Rig(provider=Keychain(local, vault.provider), rotate=rotate)


@pytest.fixture(params=["local", "vault", "aws-kms", "from local to vault"])
def open_rig(request: pytest.FixtureRequest, tmp_path: Path) -> OpenRig:
    """Opens rigs of one kind, each with a KEK of its own."""
    match request.param:
        case "vault":
            return partial(vault_rig, request.getfixturevalue("bao"), tmp_path)
        case "aws-kms":
            return partial(aws_rig, request.getfixturevalue("kms"))
        case "from local to vault":
            return partial(moving_rig, request.getfixturevalue("bao"), tmp_path)
    return local_rig


@pytest.fixture
async def rig(open_rig: OpenRig) -> AsyncIterator[Rig]:
    """One rig."""
    async with open_rig() as opened:
        yield opened
