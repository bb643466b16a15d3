"""Logins with Stellar accounts: challenges as SEP-10 says, texts as SEP-53 says, and tokens."""

import base64
import hmac
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from stellar_sdk import (
    Account,
    Asset,
    IdMemo,
    Keypair,
    MuxedAccount,
    Network,
    TransactionBuilder,
    TransactionEnvelope,
    xdr,
)
from stellar_sdk.sep.exceptions import InvalidSep10ChallengeError
from stellar_sdk.sep.stellar_web_authentication import read_challenge_transaction

from services.wallet.chain import check_signed, network_for, read_challenge, sign_challenge
from services.wallet.chain.node.ledger_entries import Entry
from services.wallet.chain.read.challenges import read_signers
from services.wallet.domain.errors import (
    LoginRefusedError,
    LoginTransactionError,
)
from services.wallet.domain.logins import (
    CHALLENGE_SECONDS,
    LONGEST_LOGIN,
    AccountSigners,
    Challenge,
    Login,
    LoginTerms,
    is_host,
    login_text,
    read_login,
)
from services.wallet.keys.signer import SeedSigner
from services.wallet.keys.token_keys import TokenKey, login_signer
from tests.support.logins import FARMER, NETWORK, OTHER, TERMS, THIRD, signed, signers

OURS = SeedSigner(bytes(32))
NONCE = bytes(48)


def made(**changes: Any) -> str:
    """A challenge of ours for the farmer, with changes."""
    now = int(time.time())
    given: dict[str, Any] = {
        "signer": OURS,
        "terms": TERMS,
        "network": NETWORK,
        "begins": now,
        "ends": now + CHALLENGE_SECONDS,
        "nonce": NONCE,
        **changes,
    }
    return sign_challenge(given.pop("account", FARMER.public_key), **given)


def read(transaction: str, *, terms: LoginTerms = TERMS) -> Challenge:
    return read_challenge(transaction, keys=[OURS.address], terms=terms, network=NETWORK)


def refused(transaction: str) -> str:
    with pytest.raises(LoginRefusedError) as caught:
        read(transaction)
    return caught.value.message


# Challenges -------------------------------------------------------------------------------------


def test_a_challenge_is_what_wallets_expect() -> None:
    """By the SDK's own check on the client's side."""
    transaction = made()
    found = read_challenge_transaction(
        transaction,
        OURS.address,
        TERMS.home_domain,
        TERMS.web_auth_domain,
        NETWORK.passphrase,
    )
    assert (found.client_account_id, found.memo) == (FARMER.public_key, None)
    envelope = found.transaction.transaction
    assert envelope.sequence == 0
    first, second = envelope.operations
    assert cast("Any", first).data_name == "pool.example auth"
    assert base64.b64decode(cast("Any", first).data_value) == NONCE
    assert cast("Any", second).data_name == "web_auth_domain"
    assert cast("Any", second).data_value == b"auth.pool.example"
    for domain in ("other.example", "auth.pool.example"):
        with pytest.raises(InvalidSep10ChallengeError):
            read_challenge_transaction(
                transaction, OURS.address, domain, TERMS.web_auth_domain, NETWORK.passphrase
            )


def test_a_challenge_that_comes_back_is_read() -> None:
    transaction = made(begins=1_900_000_000, ends=2_000_000_000, network=NETWORK)
    with pytest.raises(LoginRefusedError):
        read(transaction)
    now = int(time.time())
    transaction = made(begins=now - 5, ends=now + 5)
    found = read(signed(transaction, FARMER))
    assert (found.account, found.signing_key) == (FARMER.public_key, OURS.address)
    assert (found.begins.timestamp(), found.ends.timestamp()) == (now - 5, now + 5)
    envelope = TransactionEnvelope.from_xdr(transaction, NETWORK.passphrase)
    assert found.hash == envelope.hash()
    # Signatures are no part of what is used up.
    assert read(transaction).hash == found.hash


@pytest.mark.parametrize("text", ["", "AAAA", "no base64", "A" * 8000, "é"])
def test_what_is_no_transaction_is_told_by_its_field(text: str) -> None:
    with pytest.raises(LoginTransactionError) as caught:
        read(text)
    assert [one.field for one in caught.value.violations] == ["transaction"]


def test_a_fee_bump_is_no_challenge() -> None:
    inner = TransactionEnvelope.from_xdr(made(), NETWORK.passphrase)
    bump = TransactionBuilder.build_fee_bump_transaction(OTHER, 10_000, inner, NETWORK.passphrase)
    bump.sign(OTHER)
    with pytest.raises((LoginTransactionError, LoginRefusedError)):
        read(bump.to_xdr())


def test_only_what_we_have_signed_for_this_pool_and_now_is_a_challenge() -> None:
    now = int(time.time())
    assert refused(made(signer=SeedSigner(b"\1" * 32))).startswith("this is no challenge of ours")
    elsewhere = replace(TERMS, home_domain="other.example")
    assert "home domain" in refused(made(terms=elsewhere))
    elsewhere = replace(TERMS, web_auth_domain="other.example")
    assert "web_auth_domain" in refused(made(terms=elsewhere))
    assert "timebounds" in refused(made(begins=now - 900, ends=now - 1))
    public = network_for("mainnet", rpc_url="http://localhost")
    assert "not signed by server" in refused(made(network=public))
    # Somebody else's transaction that says it is ours.
    forged = TransactionEnvelope.from_xdr(made(), NETWORK.passphrase)
    forged.signatures.clear()
    forged.sign(OTHER)
    assert "not signed by server" in refused(forged.to_xdr())
    used = TransactionEnvelope.from_xdr(made(), NETWORK.passphrase)
    used.transaction.sequence = 7
    assert "sequence" in refused(used.to_xdr())


def test_accounts_that_many_share_do_not_log_in() -> None:
    """We make no such challenge; whoever has our key's signature over one has no login by it."""
    now = int(time.time())
    muxed = MuxedAccount(FARMER.public_key, 7).account_muxed
    for account, memo in ((muxed, None), (FARMER.public_key, IdMemo(7))):
        builder = TransactionBuilder(Account(OURS.address, -1), NETWORK.passphrase, 100)
        builder.add_time_bounds(now, now + 60)
        builder.append_manage_data_op("pool.example auth", base64.b64encode(NONCE), source=account)
        builder.append_manage_data_op("web_auth_domain", "auth.pool.example", source=OURS.address)
        if memo is not None:
            builder.add_memo(memo)
        envelope = builder.build()
        envelope.sign(Keypair.from_raw_ed25519_seed(bytes(32)))
        assert "shared accounts" in refused(envelope.to_xdr())


# Signers ----------------------------------------------------------------------------------------


def check(who: AccountSigners, *keys: Keypair) -> None:
    challenge = read(signed(made(), *keys))
    check_signed(challenge, who, terms=TERMS, network=NETWORK)


@pytest.mark.parametrize(
    ("who", "keys"),
    [
        (signers(own=1), (FARMER,)),
        (signers(own=1, medium=0), (FARMER,)),
        (signers(own=1, other=1, medium=2), (FARMER, OTHER)),
        (signers(other=2, medium=2), (OTHER,)),
        (signers(own=1, other=1, third=1, medium=2), (OTHER, THIRD)),
        (AccountSigners.of_missing(FARMER.public_key), (FARMER,)),
    ],
)
def test_signers_that_reach_the_medium_threshold_log_in(
    who: AccountSigners, keys: tuple[Keypair, ...]
) -> None:
    check(who, *keys)


@pytest.mark.parametrize(
    ("who", "keys"),
    [
        # Nobody, whatever the threshold.
        (signers(own=1), ()),
        (signers(own=1, medium=0), ()),
        # Somebody who does not sign for the account.
        (signers(own=1), (OTHER,)),
        (AccountSigners.of_missing(FARMER.public_key), (OTHER,)),
        # Too little; twice the same is once.
        (signers(own=1, other=1, medium=2), (FARMER,)),
        (signers(own=1, other=1, medium=2), (FARMER, FARMER)),
        (signers(own=1, other=1, third=1, medium=3), (FARMER, OTHER)),
        # The account's own key, where its owner has taken its weight away.
        (signers(other=1, medium=1), (FARMER,)),
        # A signature that nobody can tell of whom it is.
        (signers(own=1), (FARMER, OTHER)),
    ],
)
def test_signers_that_do_not_reach_it_do_not(
    who: AccountSigners, keys: tuple[Keypair, ...]
) -> None:
    with pytest.raises(LoginRefusedError):
        check(who, *keys)


def test_a_signature_over_another_network_or_challenge_is_none() -> None:
    elsewhere = signed(made(), FARMER, passphrase=Network.PUBLIC_NETWORK_PASSPHRASE)
    other = TransactionEnvelope.from_xdr(made(nonce=b"\1" * 48), NETWORK.passphrase)
    other.sign(FARMER)
    moved = TransactionEnvelope.from_xdr(made(), NETWORK.passphrase)
    moved.signatures.append(other.signatures[-1])
    for transaction in (elsewhere, moved.to_xdr()):
        with pytest.raises(LoginRefusedError):
            check_signed(read(transaction), signers(own=1), terms=TERMS, network=NETWORK)


def entry(thresholds: bytes, *added: tuple[xdr.SignerKey, int]) -> Entry:
    """An account as a node tells it."""
    account = xdr.AccountEntry(
        account_id=Keypair.from_public_key(FARMER.public_key).xdr_account_id(),
        balance=xdr.Int64(1),
        seq_num=xdr.SequenceNumber(xdr.Int64(1)),
        num_sub_entries=xdr.Uint32(len(added)),
        inflation_dest=None,
        flags=xdr.Uint32(0),
        home_domain=xdr.String32(b""),
        thresholds=xdr.Thresholds(thresholds),
        signers=[xdr.Signer(key=key, weight=xdr.Uint32(weight)) for key, weight in added],
        ext=xdr.AccountEntryExt(0),
    )
    data = xdr.LedgerEntryData(xdr.LedgerEntryType.ACCOUNT, account=account)
    return Entry(key=b"", data=data.to_xdr_bytes(), modified=1, live_until=0)


def key_of(pair: Keypair) -> xdr.SignerKey:
    return xdr.SignerKey(
        xdr.SignerKeyType.SIGNER_KEY_TYPE_ED25519, ed25519=xdr.Uint256(pair.raw_public_key())
    )


def test_signers_are_read_as_the_chain_has_them() -> None:
    hash_x = xdr.SignerKey(xdr.SignerKeyType.SIGNER_KEY_TYPE_HASH_X, hash_x=xdr.Uint256(bytes(32)))
    found = read_signers(entry(bytes([1, 2, 3, 4]), (key_of(OTHER), 9), (hash_x, 5)))
    assert found == AccountSigners(
        address=FARMER.public_key,
        weights={FARMER.public_key: 1, OTHER.public_key: 9},
        medium=3,
    )
    closed = read_signers(entry(bytes([0, 2, 3, 4]), (key_of(OTHER), 9)))
    assert closed.weights == {OTHER.public_key: 9}
    line = xdr.LedgerEntryData(
        xdr.LedgerEntryType.TRUSTLINE,
        trust_line=xdr.TrustLineEntry(
            account_id=FARMER.xdr_account_id(),
            asset=Asset.native().to_trust_line_asset_xdr_object(),
            balance=xdr.Int64(0),
            limit=xdr.Int64(1),
            flags=xdr.Uint32(0),
            ext=xdr.TrustLineEntryExt(0),
        ),
    )
    with pytest.raises(ValueError, match="not an account"):
        read_signers(Entry(key=b"", data=line.to_xdr_bytes(), modified=1, live_until=0))


@pytest.mark.parametrize(
    ("who", "suffices"),
    [
        (signers(own=1), True),
        (signers(own=1, medium=0), True),
        (signers(own=2, medium=2), True),
        (signers(own=1, other=9, medium=2), False),
        (signers(other=9, medium=0), False),
        (AccountSigners.of_missing(FARMER.public_key), True),
    ],
)
def test_whether_the_accounts_own_key_suffices(who: AccountSigners, suffices: bool) -> None:
    assert who.own_key_suffices is suffices


# Tokens -----------------------------------------------------------------------------------------

KEY = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
LOGIN = Login(
    id="0190a5f0-0000-7000-8000-0000000000aa", account=FARMER.public_key, begins=1000, ends=2000
)
ISSUER = "https://pool.example"


def known(key_id: str) -> Ed25519PublicKey | None:
    return KEY.public_key() if key_id == "one" else None


def read_token(text: str, *, now: float = 1500, issuer: str = ISSUER) -> Login | None:
    return read_login(text, known, issuer=issuer, now=now)


def token(login: Login = LOGIN, **changes: Any) -> str:
    """A token with changed claims; None takes one away."""
    claims = {
        "iss": ISSUER,
        "sub": login.account,
        "iat": login.begins,
        "exp": login.ends,
        "jti": login.id,
        **changes,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, KEY, algorithm="EdDSA", headers={"typ": "JWT", "kid": "one"})


def test_a_login_token_is_read_by_who_signed_it() -> None:
    text = LOGIN.signed(KEY, "one", issuer=ISSUER)
    assert read_token(text) == LOGIN
    # As clients of SEP-10 read it.
    claims = jwt.decode(text, options={"verify_signature": False})
    assert claims == {
        "iss": ISSUER,
        "sub": FARMER.public_key,
        "iat": 1000,
        "exp": 2000,
        "jti": LOGIN.id,
    }
    assert token() == text


@pytest.mark.parametrize(
    ("now", "counts"), [(995, True), (994, False), (1999, True), (2000, False)]
)
def test_a_login_token_counts_from_its_beginning_to_its_end(now: float, counts: bool) -> None:
    assert (read_token(token(), now=now) is not None) is counts


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"sub": None},
        {"sub": "GABC"},
        {"sub": "ann"},
        {"iat": None},
        {"iat": 1000.5},
        {"iat": "1000"},
        {"exp": None},
        {"exp": 1600.5},
        {"exp": 1000 + LONGEST_LOGIN + 1},
        {"jti": None},
        {"aud": "spiffe://kalepool"},
        {"tid": "x"},
    ],
    ids=str,
)
def test_claims_that_wallet_does_not_write_make_no_login(changes: dict[str, Any]) -> None:
    try:
        text = token(**changes)
    except TypeError:
        pytest.skip("the library signs no such claims")
    assert read_token(text) is None


def test_a_login_lasts_a_day_at_most() -> None:
    assert read_token(token(exp=1000 + LONGEST_LOGIN)) is not None


def test_no_other_signature_and_no_other_header_makes_a_login() -> None:
    claims = jwt.decode(token(), options={"verify_signature": False})
    other = Ed25519PrivateKey.from_private_bytes(b"\6" * 32)
    headers: list[dict[str, Any]] = [
        {"typ": "at+jwt", "kid": "one"},
        {"typ": "JWT", "kid": "two"},
        {"typ": "JWT"},
        {"typ": "JWT", "kid": "one", "jku": "https://evil.example"},
    ]
    texts = [jwt.encode(claims, KEY, algorithm="EdDSA", headers=one) for one in headers]
    texts.append(jwt.encode(claims, other, algorithm="EdDSA", headers={"typ": "JWT", "kid": "one"}))
    texts.append(jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": "one"}))
    texts += ["", "a.b.c", "kp_" + "a" * 43, token()[:-2], token() + "a"]
    for text in texts:
        assert read_token(text) is None, text


def test_the_signing_key_follows_from_the_key_of_tokens_and_is_another() -> None:
    key = TokenKey(number=1, key_id="one", public=KEY.public_key(), private=KEY)
    signer = login_signer(key)
    assert signer.address == login_signer(key).address
    # HKDF with SHA-256, step by step (RFC 5869): processes of every release have the same key.
    extracted = hmac.digest(bytes(32), b"\7" * 32, "sha256")
    seed = hmac.digest(extracted, b"kalepool login key 1\x01", "sha256")
    assert signer.address == Keypair.from_raw_ed25519_seed(seed).public_key
    own = Keypair.from_raw_ed25519_seed(b"\7" * 32).public_key
    assert signer.address != own


# Texts and hosts --------------------------------------------------------------------------------


def test_the_text_says_who_logs_in_where_and_until_when() -> None:
    challenge = Challenge(
        transaction="",
        hash=bytes(31) + b"\xab",
        account=FARMER.public_key,
        signing_key=OURS.address,
        begins=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        ends=datetime(2026, 1, 2, 4, 19, 5, tzinfo=UTC) - timedelta(hours=1),
    )
    assert login_text(challenge, home_domain="pool.example") == "\n".join(
        [
            "KALE pool",
            "I log in.",
            "Pool: pool.example",
            f"Account: {FARMER.public_key}",
            f"Challenge: {'00' * 31}ab",
            "Until: 2026-01-02T03:19:05Z",
        ]
    )


@pytest.mark.parametrize(
    ("text", "is_so"),
    [
        ("pool.example", True),
        ("127.0.0.1:3000", True),
        ("localhost:8000", True),
        ("a", True),
        ("a" * 59, True),
        ("a" * 60, False),
        ("", False),
        ("Pool.example", False),
        ("https://pool.example", False),
        ("pool.example/", False),
        ("pool.example:", False),
        (".pool", False),
        ("pool\n", False),
    ],
)
def test_what_is_a_host(text: str, is_so: bool) -> None:
    assert is_host(text, longest=59) is is_so
