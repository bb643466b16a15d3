"""Keys of rows, of tokens and of wallets: made once, replaced, and brought under another KEK."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from libs.common import failpoints
from libs.common.ids import WalletId, new_id
from services.wallet.domain.audit import Action
from services.wallet.domain.errors import (
    KeysUnavailableError,
    KeysUnusableError,
    RowKeysMissingError,
    TokenKeysMissingError,
)
from services.wallet.domain.key_rotation import KekUse
from services.wallet.engine.rotation import KeyRotator
from services.wallet.engine.row_keys import RowKeys
from services.wallet.engine.token_keys import TokenKeys
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.keychain import Keychain
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KEY_BYTES, KeyProviderError, WrappedKey, unwrap_one
from services.wallet.keys.row_macs import RowMacs, seal_row_key
from services.wallet.keys.token_keys import SIGNS_AFTER, SealedTokenKey, seal_token_key
from tests.support.key_store import FakeKeyStore


def provider() -> LocalKeyProvider:
    return LocalKeyProvider(secrets.token_bytes(KEY_BYTES))


OLD, NEW = provider(), provider()
#: Wraps under a new KEK, and opens what the old one has wrapped.
BOTH = Keychain(NEW, OLD)


# Keys of rows


class Rows:
    """Keys of rows over a store."""

    def __init__(self) -> None:
        self.store, self.macs = FakeKeyStore(), RowMacs()
        self.keys = RowKeys(OLD, cast(Any, self.store), self.macs)

    def turn(self, *, is_active: bool = True, is_old: bool = False) -> None:
        """Have every process know the newest key, or use no older one any more."""
        self.store.rows[-1] = replace(self.store.rows[-1], is_active=is_active, is_old=is_old)


async def test_the_first_key_of_rows_is_made_where_nothing_was_ordered() -> None:
    rows = Rows()
    assert (rows.keys.is_open, rows.keys.writes_alone) == (False, False)
    await rows.keys.open()
    (key,) = rows.store.rows
    assert (key.number, key.accepts_from, rows.macs.current) == (1, 1, 1)
    assert rows.keys.is_open
    # Opening once more changes nothing.
    mac = rows.macs.mac(b"row")
    await rows.keys.open()
    assert rows.store.rows == [key]
    assert rows.macs.is_genuine(b"row", mac)


async def test_no_key_is_made_where_orders_are_there_that_nobody_signed() -> None:
    rows = Rows()
    rows.store.has_no_orders = False
    with pytest.raises(RowKeysMissingError, match="orders are there that nobody has signed"):
        await rows.keys.open()
    assert (rows.store.rows, rows.keys.is_open) == ([], False)
    # An operator has them signed: then there is a key.
    assert [key.number for key in await rows.keys.make_first()] == [1]
    await rows.keys.open()
    assert rows.keys.is_open


async def test_keys_are_opened_again_only_when_they_have_changed() -> None:
    rows, opened = Rows(), list[int]()
    await rows.keys.open()
    use = rows.macs.use

    async def counted(provider: Any, sealed: Sequence[Any], made: Sequence[Any] = ()) -> list[int]:
        opened.append(len(sealed))
        return await use(provider, sealed, made)

    rows.macs.use = counted  # type: ignore[method-assign]
    await rows.keys.open()
    assert opened == []
    await rows.keys.replace(actor="operator")
    await rows.keys.open()
    assert opened == [2]


async def test_a_key_of_rows_is_followed_by_the_next_number(
    capfd: pytest.CaptureFixture[str],
) -> None:
    rows = Rows()
    assert await rows.keys.replace(actor="operator") == 1
    rows.store.rows = [await seal_row_key(OLD, 4, accepts_from=3)]
    await rows.keys.open()
    assert await rows.keys.replace(actor="operator") == 5
    assert (rows.store.rows[-1].number, rows.store.rows[-1].accepts_from) == (5, 3)
    told = "".join(capfd.readouterr())
    assert "key of rows replaced" in told
    assert "operator" in told


async def test_older_keys_are_given_up_once_nobody_writes_under_them() -> None:
    rows = Rows()
    await rows.keys.give_up_older()
    await rows.keys.open()
    await rows.keys.give_up_older()
    await rows.keys.replace(actor="operator")
    await rows.keys.open()
    old = RowMacs()
    await old.use(OLD, rows.store.rows[:1])
    assert not rows.keys.writes_alone
    await rows.keys.give_up_older()
    assert rows.store.rows[-1].accepts_from == 1
    rows.turn(is_old=True)
    await rows.keys.open()
    assert rows.keys.writes_alone
    assert rows.macs.is_genuine(b"row", old.mac(b"row"))
    await rows.keys.give_up_older()
    await rows.keys.open()
    assert [key.accepts_from for key in rows.store.rows] == [1, 2]
    assert not rows.macs.is_genuine(b"row", old.mac(b"row"))
    # That is done once.
    newest = rows.store.rows[-1]
    await rows.keys.give_up_older()
    assert rows.store.rows[-1] == newest


async def test_a_key_that_the_log_says_was_given_up_counts_no_more(
    capfd: pytest.CaptureFixture[str],
) -> None:
    rows = Rows()
    await rows.keys.open()
    await rows.keys.replace(actor="operator")
    await rows.keys.open()
    assert "brought back" not in "".join(capfd.readouterr())
    rows.store.accepted = 2
    await rows.keys.open()
    assert not rows.macs.has_older
    told = "".join(capfd.readouterr())
    assert "keys of rows that were given up were brought back" in told
    assert "least=2" in told


# Keys of tokens


class Tokens:
    """Keys of tokens over a store."""

    def __init__(self) -> None:
        self.store = FakeKeyStore()
        self.keys = TokenKeys(BOTH, cast(Any, self.store))

    def ages(self, *ages: float) -> None:
        """Let time go by."""
        self.store.tokens = [
            replace(key, age=age) for key, age in zip(self.store.tokens, ages, strict=True)
        ]

    @property
    def numbers(self) -> list[int]:
        """Return the keys whose signatures count."""
        return [key.number for key in self.keys.public]


async def test_the_first_key_of_tokens_is_made_and_signs_at_once() -> None:
    tokens = Tokens()
    await tokens.keys.open()
    assert [key.number for key in tokens.store.tokens] == [1]
    assert tokens.keys.current.number == 1
    assert tokens.numbers == [1]
    found = tokens.keys.known(tokens.keys.current.key_id)
    assert found == tokens.keys.current.public
    assert await tokens.keys.find(tokens.keys.current.key_id) == found
    assert tokens.keys.known("another") is None


async def test_a_process_that_was_faster_has_made_the_first_key() -> None:
    tokens = Tokens()
    tokens.store.faster = await seal_token_key(BOTH, 1)
    theirs = tokens.store.faster
    await tokens.keys.open()
    assert tokens.store.tokens == [theirs]


async def test_a_replaced_key_of_tokens_signs_once_every_service_knows_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    tokens = Tokens()
    await tokens.keys.open()
    name = await tokens.keys.replace(actor="operator")
    assert tokens.keys.current.number == 1
    assert tokens.numbers == [1, 2]
    assert tokens.keys.known(name) is not None
    (act,) = tokens.store.acts
    assert (act.actor, act.action) == ("operator", Action.REPLACE_TOKEN_KEY)
    assert act.subject == "token key 2"
    assert "key of tokens replaced" in "".join(capfd.readouterr())
    tokens.ages(10_000, SIGNS_AFTER)
    await tokens.keys.open()
    assert tokens.keys.current.key_id == name
    tokens.ages(10_000, 10_000)
    await tokens.keys.open()
    assert tokens.numbers == [2]
    assert tokens.keys.known(tokens.keys.current.key_id) is not None


async def test_where_there_is_no_key_of_tokens_the_first_one_is_made() -> None:
    tokens = Tokens()
    name = await tokens.keys.replace(actor="operator")
    assert [key.number for key in tokens.store.tokens] == [1]
    assert tokens.keys.current.key_id == name


async def test_a_key_of_tokens_under_another_kek_is_the_same_object() -> None:
    tokens = Tokens()
    tokens.store.tokens = [await seal_token_key(OLD, 1), await seal_token_key(OLD, 2)]
    await tokens.keys.open()
    before = list(tokens.keys.public)
    rotator = KeyRotator(BOTH, cast(Any, tokens.store), Wakeup())
    await rotator.start(actor="operator")
    await rotator.step()
    assert {key.kek_id for key in tokens.store.tokens} == {await NEW.current_kek()}
    await tokens.keys.open()
    assert [id(key) for key in tokens.keys.public] == [id(key) for key in before]


async def test_a_key_of_tokens_that_does_not_open_keeps_no_other_from_signing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    tokens, stranger = Tokens(), provider()
    foreign = await seal_token_key(stranger, 1)
    tokens.store.tokens = [foreign]
    with pytest.raises(KeyProviderError, match="no key of tokens opens"):
        await tokens.keys.open()
    with pytest.raises(TokenKeysMissingError):
        _ = tokens.keys.current
    tokens.store.tokens = [foreign, await seal_token_key(BOTH, 2)]
    for _ in range(3):
        await tokens.keys.open()
    assert tokens.keys.current.number == 2
    assert tokens.numbers == [2]
    # It is told once.
    assert "".join(capfd.readouterr()).count("key of tokens does not open") == 1


async def test_a_key_of_tokens_that_opens_later_counts_then() -> None:
    stranger = provider()
    store = FakeKeyStore()
    store.tokens = [await seal_token_key(stranger, 1), await seal_token_key(BOTH, 2)]
    found = Keychain(NEW, OLD)
    keys = TokenKeys(found, cast(Any, store))
    await keys.open()
    found._all = (*found._all, stranger)
    await keys.open()
    assert [key.number for key in keys.public] == [1, 2]


async def test_a_key_of_tokens_that_is_gone_counts_no_more() -> None:
    tokens = Tokens()
    tokens.store.tokens = [await seal_token_key(BOTH, 1), await seal_token_key(BOTH, 2)]
    await tokens.keys.open()
    first = tokens.keys.public[0].key_id
    del tokens.store.tokens[0]
    await tokens.keys.open()
    assert tokens.keys.known(first) is None


# Rotation of the KEK


class Away(LocalKeyProvider):
    """A provider that is away, or that has no KEK."""

    def __init__(self, error: Exception) -> None:
        super().__init__(bytes(KEY_BYTES))
        self.error = error

    async def current_kek(self) -> str:
        """Raise."""
        raise self.error


class Rotation:
    """A rotator over a store with the data keys of wallets."""

    def __init__(self, used: Any = BOTH) -> None:
        self.store, self.bell = FakeKeyStore(), Wakeup()
        self.rotator = KeyRotator(used, cast(Any, self.store), self.bell)
        self.data_keys: dict[WalletId, bytes] = {}

    async def have(self, count: int, under: LocalKeyProvider = OLD) -> list[WalletId]:
        """Wrap data keys of so many wallets."""
        made = []
        for _ in range(count):
            wallet_id, data_key = WalletId(new_id()), secrets.token_bytes(KEY_BYTES)
            self.store.wallets[wallet_id] = await under.wrap(data_key, wallet_id.bytes)
            self.data_keys[wallet_id] = data_key
            made.append(wallet_id)
        return made


async def test_a_rotation_is_asked_for_and_told(capfd: pytest.CaptureFixture[str]) -> None:
    found = Rotation()
    rotation = await found.rotator.start(actor="operator")
    assert rotation.kek_id == await NEW.current_kek()
    assert found.bell.count == 1
    told = "".join(capfd.readouterr())
    assert "rotation of keys" in told
    assert "operator" in told


async def test_no_rotation_begins_without_a_kek() -> None:
    for error, raised in (
        (KeyProviderError("none"), KeysUnusableError),
        (KeysUnavailableError("away"), KeysUnavailableError),
    ):
        found = Rotation(Away(error))
        with pytest.raises(raised):
            await found.rotator.start(actor="operator")
        assert (found.store.rotation, found.bell.count) == (None, 0)


async def test_fifty_data_keys_are_wrapped_anew_in_a_step() -> None:
    found = Rotation()
    ids = await found.have(120)
    rotation = await found.rotator.start(actor="operator")
    steps = [await found.rotator.step() for _ in range(5)]
    assert steps == [True, True, True, True, False]
    assert [len(rewraps) for _, rewraps in found.store.rewraps] == [50, 50, 20]
    assert {item for item, _ in found.store.rewraps} == {rotation.id}
    assert found.store.asked == [
        (None, 50),
        (ids[49], 50),
        (ids[99], 50),
        (ids[119], 50),
    ]
    for wallet_id, data_key in found.data_keys.items():
        wrapped = found.store.wallets[wallet_id]
        assert wrapped.kek_id == await NEW.current_kek()
        assert wrapped.context == wallet_id.bytes
        assert await unwrap_one(BOTH, wrapped) == data_key
    assert found.store.ended == [(rotation.id, 0)]


async def test_nothing_is_done_without_a_rotation_or_for_another_kek() -> None:
    found = Rotation()
    await found.have(1)
    assert not await found.rotator.step()
    await found.store.start_rotation(await OLD.current_kek(), actor="operator")
    assert not await found.rotator.step()
    assert found.store.asked == []


async def test_a_data_key_that_does_not_open_stays_and_is_counted() -> None:
    found, stranger = Rotation(), provider()
    sound = await found.have(2)
    (broken,) = await found.have(1, under=stranger)
    before = found.store.wallets[broken]
    await found.rotator.start(actor="operator")
    while await found.rotator.step():
        assert len(found.store.rewraps) < 10
    assert found.store.wallets[broken] == before
    assert [item.wallet_id for _, done in found.store.rewraps for item in done] == sound
    assert [failed for _, failed in found.store.ended] == [1]
    # Another rotation begins at the first one, and counts anew.
    await found.rotator.start(actor="operator")
    found.store.asked.clear()
    while await found.rotator.step():
        assert len(found.store.rewraps) < 10
    assert found.store.asked[0] == (None, 50)
    assert [failed for _, failed in found.store.ended] == [1, 1]


async def test_keys_of_rows_and_tokens_come_under_the_kek_too() -> None:
    found, stranger = Rotation(), provider()
    rows = [await seal_row_key(OLD, 1), await seal_row_key(stranger, 2), await seal_row_key(NEW, 3)]
    tokens: list[SealedTokenKey] = [
        await seal_token_key(stranger, 1),
        await seal_token_key(OLD, 2),
        await seal_token_key(NEW, 3),
    ]
    found.store.rows, found.store.tokens = list(rows), list(tokens)
    await found.rotator.start(actor="operator")
    assert await found.rotator.step()
    kek = await NEW.current_kek()
    assert [key.kek_id == kek for key in found.store.rows] == [True, False, True]
    assert [key.kek_id == kek for key in found.store.tokens] == [False, True, True]
    # What is under the KEK already stays as it is.
    assert (found.store.rows[2], found.store.tokens[2]) == (rows[2], tokens[2])
    assert await unwrap_one(BOTH, found.store.rows[0].wrapped) == await unwrap_one(
        BOTH, rows[0].wrapped
    )
    assert [failed for _, failed in found.store.ended] == [2]


class Liar(LocalKeyProvider):
    """A provider that wraps another key than it was given."""

    async def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        """Wrap nothing."""
        return await super().wrap(bytes(KEY_BYTES), context)


async def test_a_wrapping_that_does_not_give_the_key_back_replaces_none() -> None:
    liar = Liar(secrets.token_bytes(KEY_BYTES))
    found = Rotation(Keychain(liar, OLD))
    await found.have(1)
    before = dict(found.store.wallets)
    await found.rotator.start(actor="operator")
    with pytest.raises(KeyProviderError, match="gives back another data key"):
        await found.rotator.step()
    assert (found.store.wallets, found.store.rewraps) == (before, [])


@pytest.mark.parametrize(
    ("name", "written"), [("wallet.keys.wrapped", 0), ("wallet.keys.rewrapped", 1)]
)
async def test_a_rotation_may_die_on_both_sides_of_a_write(name: str, written: int) -> None:
    found = Rotation()
    await found.have(1)
    await found.rotator.start(actor="operator")
    failpoints.arm(f"{name}=raise")
    try:
        with pytest.raises(failpoints.FailpointError, match=name):
            await found.rotator.step()
    finally:
        failpoints.arm("")
    assert len(found.store.rewraps) == written


async def test_the_status_is_told_also_while_the_provider_is_away() -> None:
    found = Rotation()
    await found.have(2)
    await found.have(1, under=provider())
    status = await found.rotator.status()
    assert (status.provider, status.complaint) == ("local", "")
    assert status.current_kek_id == await NEW.current_kek()
    mine = KekUse(kek_id=await OLD.current_kek(), keys=2, is_openable=True)
    assert mine in status.keks
    assert [use.is_openable for use in status.keks if use != mine] == [False]
    assert status.rotation is None
    for error in (KeyProviderError("no KEK"), KeysUnavailableError("away")):
        away = await Rotation(Away(error)).rotator.status()
        assert (away.current_kek_id, away.complaint) == ("", str(error))
