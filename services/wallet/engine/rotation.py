"""The rotation of keys: all data keys come under the provider's current KEK while the engine signs.

The rows themselves show what is left to do. So a rotation goes on after a crash, and in any number
of processes. An old wrapping stays good until it is replaced, and each replacement is one guarded
UPDATE: a signer can read either wrapping.
"""

from collections.abc import Sequence

from libs.common.failpoints import failpoint
from libs.common.ids import WalletId
from libs.common.log import get_logger, get_security_logger
from services.wallet.domain.errors import KeysUnavailableError, KeysUnusableError
from services.wallet.domain.key_rotation import KekUse, KeyRotation, KeyStatus, RotationId
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.provider import KeyProvider, KeyProviderError, WrappedKey, unwrap_one
from services.wallet.keys.row_macs import reseal_row_key
from services.wallet.keys.token_keys import reseal_token_key
from services.wallet.store.keys import KeyStore, Rewrap

log = get_logger(__name__)
security = get_security_logger()

#: Data keys of one step: the loop shares its process with the engine, which must not wait for it.
BATCH = 50


class KeyRotator:
    """The starter of rotations, which also carries them out step by step."""

    def __init__(self, provider: KeyProvider, store: KeyStore, wakeup: Wakeup) -> None:
        """Ring `wakeup` when a rotation is requested."""
        self._provider = provider
        self._store = store
        self._bell = wakeup
        #: The rotation that is being carried out, and the last wallet that was looked at.
        self._id: RotationId | None = None
        self._after: WalletId | None = None
        #: Data keys that did not open during this rotation.
        self._failed = 0

    async def start(self, *, actor: str) -> KeyRotation:
        """Open a rotation to the current KEK, or join the rotation that is under way.

        Raises KeysUnavailableError, KeysUnusableError.
        """
        try:
            current = await self._provider.current_kek()
        except KeyProviderError as error:
            raise KeysUnusableError(str(error)) from error
        rotation = await self._store.start_rotation(current, actor=actor)
        security.info("rotation of keys", kek=current, actor=actor)
        self._bell.notify()
        return rotation

    async def status(self) -> KeyStatus:
        """Return the status of the keys, also while the provider is away."""
        current, complaint = "", ""
        try:
            current = await self._provider.current_kek()
        except (KeyProviderError, KeysUnavailableError) as error:
            complaint = str(error)
        return KeyStatus(
            provider=self._provider.kind,
            current_kek_id=current,
            complaint=complaint,
            keks=tuple(
                KekUse(kek_id=kek_id, keys=keys, is_openable=self._provider.holds(kek_id))
                for kek_id, keys in await self._store.kek_uses()
            ),
            rotation=await self._store.last_rotation(),
        )

    async def step(self) -> bool:
        """Wrap a few data keys anew; tell whether there was anything to do.

        This happens only where the rotation's KEK is the current KEK. Processes that disagree about
        the current KEK, as while settings are being changed, must not undo each other's work.
        Raises KeysUnavailableError.
        """
        rotation = await self._store.open_rotation()
        if rotation is None or rotation.kek_id != await self._provider.current_kek():
            return False
        if rotation.id != self._id:
            self._id, self._after, self._failed = rotation.id, None, 0
        found = await self._store.under_other_keks(rotation.kek_id, after=self._after, limit=BATCH)
        if not found:
            await self._rewrap_row_keys(rotation.kek_id)
            await self._rewrap_token_keys(rotation.kek_id)
            await self._end(rotation)
            return True
        rewraps = await self._wrap(found)
        await failpoint("wallet.keys.wrapped")
        await self._store.rewrap(rotation.id, rewraps)
        await failpoint("wallet.keys.rewrapped")
        self._failed += len(found) - len(rewraps)
        self._after = found[-1][0]
        return True

    async def _wrap(self, found: Sequence[tuple[WalletId, WrappedKey]]) -> list[Rewrap]:
        data_keys = await self._provider.unwrap([wrapped for _, wrapped in found])
        rewraps: list[Rewrap] = []
        for (wallet_id, old), data_key in zip(found, data_keys, strict=True):
            if isinstance(data_key, KeyProviderError):
                log.error("data key does not open", wallet=str(wallet_id), kek=old.kek_id)
                continue
            new = await self._provider.wrap(data_key, old.context)
            # The old wrapping is the only one: it is replaced once the new one was seen to open.
            if await unwrap_one(self._provider, new) != data_key:
                raise KeyProviderError(f"KEK {new.kek_id} gives back another data key")
            rewraps.append(Rewrap(wallet_id=wallet_id, old=old, new=new))
        return rewraps

    async def _rewrap_row_keys(self, kek_id: str) -> None:
        """Bring the keys of rows under the current KEK, too."""
        for old in await self._store.row_keys():
            if old.kek_id == kek_id:
                continue
            try:
                new = await reseal_row_key(self._provider, old, accepts_from=old.accepts_from)
            except KeyProviderError as error:
                log.exception("key of rows does not open", number=old.number, error=str(error))
                self._failed += 1
                continue
            await self._store.replace_row_key(old, new)

    async def _rewrap_token_keys(self, kek_id: str) -> None:
        """Bring the keys of tokens under the current KEK, too."""
        for old in await self._store.token_keys():
            if old.kek_id == kek_id:
                continue
            try:
                new = await reseal_token_key(self._provider, old)
            except KeyProviderError as error:
                log.exception("key of tokens does not open", number=old.number, error=str(error))
                self._failed += 1
                continue
            await self._store.replace_token_key(old, new)

    async def _end(self, rotation: KeyRotation) -> None:
        if await self._store.end_rotation(rotation.id, failed=self._failed):
            log.info("keys rotated", kek=rotation.kek_id, failed=self._failed)
        self._id = None
