"""API tokens: who may make which, what they are exchanged for, and what is told of them."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from libs.common.errors import InvalidArgumentError
from libs.common.grpc.access import Access
from libs.common.grpc.identity import Caller, CallerKind
from libs.common.ids import PoolerId, new_id
from services.wallet.domain.errors import PoolerNotFoundError, TokenRoleError, TokenUnknownError
from services.wallet.domain.logins import Login, LoginTerms
from services.wallet.domain.tokens import NewToken, Role, Token, TokenId, hash_of, new_text
from services.wallet.keys.token_keys import TokenKey
from services.wallet.usecases.tokens import Tokens

NOW = datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=UTC)
SECOND = int(NOW.timestamp())
POOLER = PoolerId(new_id())
ANY, READ, OPS, CERTIFICATES = "/a.B/Any", "/a.B/Read", "/a.B/Ops", "/a.B/Certificates"
ACCESS = {
    ANY: Access(poolers=True, operators=True, by_token=True),
    READ: Access(poolers=True, operators=True, by_token=True, reads=True),
    OPS: Access(operators=True, by_token=True, reads=True),
    CERTIFICATES: Access(poolers=True, operators=True),
}
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))


def caller(kind: CallerKind = CallerKind.OPERATOR, name: str = "alice") -> Caller:
    return Caller(kind=kind, name=name, identity=f"spiffe://pool/{kind.value}/{name}")


def new(role: Role = Role.POOLER, **fields: Any) -> NewToken:
    values: dict[str, Any] = {
        "request_id": "",
        "pooler_id": POOLER if role is Role.POOLER else None,
        "name": "token",
        "methods": (),
        "is_read_only": False,
        "seconds": 60,
    }
    return NewToken(role=role, **{**values, **fields})


def token(**fields: Any) -> Token:
    values: dict[str, Any] = {
        "methods": (),
        "is_read_only": False,
        "expires_at": NOW + timedelta(days=1),
    }
    return Token(
        id=TokenId(new_id()),
        role=Role.POOLER,
        subject="spiffe://pool/pooler/7",
        pooler_id=POOLER,
        name="token",
        secret_hash=bytes(32),
        created_by="operator",
        created_at=NOW,
        **{**values, **fields},
    )


@dataclass
class Store:
    """Tokens, and the poolers that registry knows."""

    made: list[tuple[NewToken, str, bytes, str]] = field(default_factory=list)
    known: dict[bytes, Token] = field(default_factory=dict)
    poolers: set[PoolerId] = field(default_factory=lambda: {POOLER})

    async def create(self, new: NewToken, *, subject: str, secret_hash: bytes, actor: str) -> Token:
        """As the store's."""
        self.made.append((new, subject, secret_hash, actor))
        return token(is_read_only=new.is_read_only)

    async def revoke(self, token_id: TokenId, *, actor: str) -> Token:
        """As the store's."""
        return token()

    async def of_secret(self, secret_hash: bytes) -> Token | None:
        """As the store's."""
        return self.known.get(secret_hash)

    async def is_pooler(self, pooler_id: PoolerId) -> bool:
        """As the store's."""
        return pooler_id in self.poolers


@dataclass
class Keys:
    """The key that signs."""

    current: TokenKey = field(
        default_factory=lambda: TokenKey(
            number=1, key_id="key-1", public=PRIVATE.public_key(), private=PRIVATE
        )
    )

    def known(self, key_id: str) -> Ed25519PublicKey | None:
        """As the keys'."""
        return self.current.public if key_id == self.current.key_id else None


@dataclass
class Clock:
    """A clock that stands."""

    at: datetime = NOW

    def now(self) -> datetime:
        """As the clock's."""
        return self.at


def tokens(store: Store, clock: Clock | None = None) -> Tokens:
    return Tokens(
        store=cast(Any, store),
        keys=cast(Any, Keys()),
        clock=cast(Any, clock or Clock()),
        trust_domain="pool",
        access=ACCESS,
    )


# Making


async def test_the_text_of_a_token_is_given_once_and_its_hash_is_kept(
    capfd: pytest.CaptureFixture[str],
) -> None:
    store = Store()
    text, made = await tokens(store).create(new(is_read_only=True), caller())
    ((asked, subject, secret_hash, actor),) = store.made
    assert secret_hash == hash_of(text)
    assert asked.is_read_only
    assert subject == f"spiffe://pool/pooler/{POOLER}"
    assert actor == "spiffe://pool/operator/alice"
    told = "".join(capfd.readouterr())
    assert "token made" in told
    assert "log=security" in told
    assert str(made.id) in told
    assert "read_only=True" in told
    assert text not in told


@pytest.mark.parametrize(
    ("by", "name", "subject"),
    [
        # An operator's token speaks for nobody but the operator.
        (caller(), "bob", "spiffe://pool/operator/alice"),
        (caller(CallerKind.UNKNOWN, "127.0.0.1"), "bob", "spiffe://pool/operator/bob"),
    ],
)
async def test_an_operators_token_speaks_for_who_makes_it(
    by: Caller, name: str, subject: str
) -> None:
    store = Store()
    await tokens(store).create(new(Role.OPERATOR, name=name), by)
    assert [made for _, made, _, _ in store.made] == [subject]


async def test_a_pooler_makes_no_operators_token() -> None:
    store = Store()
    with pytest.raises(TokenRoleError):
        await tokens(store).create(new(Role.OPERATOR), caller(CallerKind.POOLER, str(POOLER)))
    assert store.made == []
    await tokens(store).create(new(), caller(CallerKind.POOLER, str(POOLER)))
    assert len(store.made) == 1


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        (new(pooler_id=None), ["pooler_id"]),
        (new(Role.OPERATOR, pooler_id=POOLER), ["pooler_id"]),
        (new(name="A name"), ["name"]),
        (new(methods=(ANY, "/a.B/Unknown", CERTIFICATES)), ["methods[1]", "methods[2]"]),
        (new(methods=(READ, OPS)), ["methods[1]"]),
        (new(methods=(READ, ANY), is_read_only=True), ["methods[1]"]),
        (new(Role.OPERATOR, methods=(OPS, READ, ANY)), []),
        (new(methods=(ANY, READ)), []),
        (new(methods=(READ,), is_read_only=True), []),
        (new(pooler_id=None, name="", methods=("x",)), ["pooler_id", "name", "methods[0]"]),
    ],
)
async def test_what_a_token_cannot_be_is_named_field_by_field(
    asked: NewToken, fields: list[str]
) -> None:
    store = Store()
    if not fields:
        await tokens(store).create(asked, caller())
        return
    with pytest.raises(InvalidArgumentError) as caught:
        await tokens(store).create(asked, caller())
    assert [item.field for item in caught.value.violations] == fields
    assert all(name in str(caught.value) for name in fields)
    assert store.made == []


async def test_a_token_of_a_pooler_that_nobody_knows_is_refused() -> None:
    store, unknown = Store(), PoolerId(new_id())
    with pytest.raises(PoolerNotFoundError, match=f"no pooler {unknown}") as caught:
        await tokens(store).create(new(pooler_id=unknown), caller())
    assert caught.value.metadata == {"pooler_id": str(unknown)}
    assert store.made == []


async def test_a_revocation_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    name = TokenId(new_id())
    await tokens(Store()).revoke(name, actor="operator")
    told = "".join(capfd.readouterr())
    assert "token revoked" in told
    assert "log=security" in told
    assert str(name) in told


# Exchanging


async def exchanged(found: Token, clock: Clock | None = None) -> tuple[Any, dict[str, Any]]:
    """Exchange a token; return the result and the claims of the access token."""
    store, text = Store(), new_text()
    secret_hash = hash_of(text)
    assert secret_hash is not None
    store.known[secret_hash] = found
    result = await tokens(store, clock).exchange(text)
    claims = jwt.decode(
        result.access_token,
        PRIVATE.public_key(),
        algorithms=["EdDSA"],
        options={"verify_exp": False, "verify_iat": False, "verify_aud": False},
    )
    return result, claims


async def test_an_access_token_speaks_for_the_tokens_subject_for_a_minute() -> None:
    found = token(methods=(READ, ANY), is_read_only=True)
    result, claims = await exchanged(found)
    assert jwt.get_unverified_header(result.access_token)["kid"] == "key-1"
    assert (claims["sub"], claims["tid"], claims["ro"]) == (found.subject, str(found.id), True)
    assert claims["scope"] == sorted([READ, ANY])
    assert (claims["iat"], claims["exp"]) == (SECOND, SECOND + 60)
    assert result.expires_at == datetime.fromtimestamp(SECOND + 60, UTC)
    assert result.token is found
    _, again = await exchanged(token())
    assert "scope" not in again
    assert not again["ro"]
    assert again["jti"] != claims["jti"]


@pytest.mark.parametrize(("left", "lives"), [(59, 59), (61, 60), (1, 1)])
async def test_an_access_token_ends_with_its_token(left: int, lives: int) -> None:
    ends = datetime.fromtimestamp(SECOND + left, UTC)
    _, claims = await exchanged(token(expires_at=ends))
    assert claims["exp"] - claims["iat"] == lives


@pytest.mark.parametrize("left", [0, -1])
async def test_a_token_that_has_ended_counts_no_more(left: int) -> None:
    ends = datetime.fromtimestamp(SECOND + left, UTC) + timedelta(milliseconds=900)
    with pytest.raises(TokenUnknownError, match="no token that counts"):
        await exchanged(token(expires_at=ends))


@pytest.mark.parametrize("text", ["", "kp_", "kp_" + "A" * 43])
async def test_what_is_no_token_is_refused_alike(text: str) -> None:
    with pytest.raises(TokenUnknownError, match="no token that counts"):
        await tokens(Store()).exchange(text)


# Logins -----------------------------------------------------------------------------------------

ACCOUNT = "GDNSSYSCSSJ76FER5WEEXME5G4MTCUBKDRQSKOYP36KUKVDB2VCMERS6"
TERMS = LoginTerms(home_domain="pool.example", web_auth_domain="pool.example", seconds=3600)


def login(*, ends: int = SECOND + 3600, issuer: str = TERMS.issuer) -> tuple[str, str]:
    """A login token, and the login's id."""
    made = Login(id=str(new_id()), account=ACCOUNT, begins=SECOND, ends=ends)
    return made.signed(PRIVATE, "key-1", issuer=issuer), made.id


async def test_a_login_token_is_exchanged_for_one_that_speaks_for_the_account() -> None:
    text, login_id = login()
    found = await replace(tokens(Store()), logins=TERMS).exchange(text)
    claims = jwt.decode(found.access_token, options={"verify_signature": False})
    assert claims["sub"] == f"spiffe://pool/owner/{ACCOUNT}"
    assert (claims["tid"], claims["ro"], "scope" in claims) == (login_id, False, False)
    assert claims["exp"] - claims["iat"] == 60
    told = found.token
    assert (str(told.id), told.role, told.subject) == (login_id, Role.OWNER, claims["sub"])
    assert (told.name, told.pooler_id, told.created_by) == ("login", None, claims["sub"])
    assert told.created_at == datetime.fromtimestamp(SECOND, UTC)
    assert told.expires_at == datetime.fromtimestamp(SECOND + 3600, UTC)


async def test_an_access_token_ends_with_its_login() -> None:
    text, _ = login(ends=SECOND + 20)
    found = await replace(tokens(Store()), logins=TERMS).exchange(text)
    assert found.expires_at == datetime.fromtimestamp(SECOND + 20, UTC)


async def test_a_login_that_has_ended_is_no_token_that_counts() -> None:
    text, _ = login(ends=SECOND + 20)
    clock = Clock(at=NOW + timedelta(seconds=20))
    with pytest.raises(TokenUnknownError):
        await replace(tokens(Store(), clock), logins=TERMS).exchange(text)


async def test_a_login_token_counts_only_where_people_log_in() -> None:
    text, _ = login()
    elsewhere, _ = login(issuer="https://other.example")
    with pytest.raises(TokenUnknownError):
        await tokens(Store()).exchange(text)
    with pytest.raises(TokenUnknownError):
        await replace(tokens(Store()), logins=TERMS).exchange(elsewhere)
    # An access token is no login.
    given = (await replace(tokens(Store()), logins=TERMS).exchange(text)).access_token
    with pytest.raises(TokenUnknownError):
        await replace(tokens(Store()), logins=TERMS).exchange(given)


async def test_nobody_makes_a_token_of_an_owner_account() -> None:
    """It would speak for somebody who never signed anything."""
    with pytest.raises(InvalidArgumentError) as caught:
        await tokens(Store()).create(new(role=Role.OWNER), caller())
    assert [one.field for one in caught.value.violations] == ["role"]
