"""Sessions: sealed, bound to the key, ended in time, and proven by forms."""

import base64

import pytest

from gateway.pages.sessions import LONGEST, Sessions

TOKEN = "kp_" + "a" * 43
SECRET = b"s" * 43


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sessions(
    clock: Clock, *, secret: bytes | None = SECRET, seconds: int = 600, is_secure: bool = False
) -> Sessions:
    return Sessions(secret, seconds=seconds, is_secure=is_secure, clock=clock)


def cookie_of(header: str) -> str:
    return header.partition("=")[2].partition(";")[0]


def test_a_session_is_opened_by_every_gateway_with_the_same_secret(clock: Clock) -> None:
    header = sessions(clock).begin(TOKEN)
    other = sessions(clock)
    shown = other.shown_by(f"theme=dark; kalepool={cookie_of(header)}")
    assert shown is not None
    session = other.open(shown)
    assert session is not None
    assert (session.token, session.ends) == (TOKEN, int(clock.now) + 600)
    assert TOKEN not in repr(session)


def test_the_cookie_does_not_show_the_token(clock: Clock) -> None:
    header = sessions(clock).begin(TOKEN)
    raw = base64.urlsafe_b64decode(cookie_of(header) + "==")
    assert TOKEN.encode() not in raw
    assert TOKEN not in header
    # No two are alike: nobody sees who has the same token.
    assert header != sessions(clock).begin(TOKEN)


@pytest.mark.parametrize("secret", [b"t" * 43, None])
def test_another_secret_opens_nothing(clock: Clock, secret: bytes | None) -> None:
    cookie = cookie_of(sessions(clock).begin(TOKEN))
    assert sessions(clock, secret=secret).open(cookie) is None


def test_a_changed_cookie_opens_nothing(clock: Clock) -> None:
    ours = sessions(clock)
    cookie = cookie_of(ours.begin(TOKEN))
    for place in range(0, len(cookie) - 1, 7):
        changed = "A" if cookie[place] != "A" else "B"
        assert ours.open(cookie[:place] + changed + cookie[place + 1 :]) is None
    for wrong in ("", "x", "é", "a" * 10_000, cookie[:-4], f"{cookie}AAAA", "=" * 8, "\0"):
        assert ours.open(wrong) is None


def test_a_session_ends(clock: Clock) -> None:
    ours = sessions(clock)
    cookie = cookie_of(ours.begin(TOKEN))
    clock.now += 599
    assert ours.open(cookie) is not None
    clock.now += 1
    assert ours.open(cookie) is None


def test_no_session_lasts_longer_than_twelve_hours(clock: Clock) -> None:
    ours = sessions(clock, seconds=10 * LONGEST)
    cookie = cookie_of(ours.begin(TOKEN))
    clock.now += LONGEST
    assert ours.open(cookie) is None


def test_scripts_and_other_sites_do_not_get_the_cookie(clock: Clock) -> None:
    plain, secure = sessions(clock).begin(TOKEN), sessions(clock, is_secure=True).begin(TOKEN)
    assert plain.startswith("kalepool=")
    assert plain.endswith("; Max-Age=600; Path=/; HttpOnly; SameSite=Strict")
    assert secure.startswith("__Host-kalepool=")
    assert secure.endswith("; HttpOnly; SameSite=Strict; Secure")
    ended = sessions(clock, is_secure=True).end()
    assert ended == "__Host-kalepool=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict; Secure"


@pytest.mark.parametrize(
    "header", [None, "", "kalepool=", "kalepool", "kalepool2=x", "x=kalepool=y", "=x", ";;"]
)
def test_other_cookies_are_not_ours(clock: Clock, header: str | None) -> None:
    assert sessions(clock).shown_by(header) is None


def test_a_proof_is_of_one_session(clock: Clock) -> None:
    ours = sessions(clock)
    one, other = (ours.open(cookie_of(ours.begin(TOKEN))) for _ in range(2))
    assert one is not None
    assert other is not None
    assert ours.is_proof(one, ours.proof(one))
    assert not ours.is_proof(one, ours.proof(other))
    assert not ours.is_proof(one, "")
    assert not ours.is_proof(one, "é")
    assert sessions(clock).is_proof(one, ours.proof(one))
    assert not sessions(clock, secret=b"t" * 43).is_proof(one, ours.proof(one))


@pytest.mark.parametrize(
    ("until", "seconds"), [(100.9, 100), (599, 599), (600, 600), (601, 600), (0, 0), (-5, 0)]
)
def test_a_session_ends_with_its_token(clock: Clock, until: float, seconds: int) -> None:
    ours = sessions(clock)
    header = ours.begin(TOKEN, until=clock.now + until)
    assert f"; Max-Age={seconds};" in header
    clock.now += seconds - 1
    assert ours.open(cookie_of(header)) is not None
    clock.now += 1
    assert ours.open(cookie_of(header)) is None


def test_the_longest_token_that_wallet_gives_fits_into_a_cookie(clock: Clock) -> None:
    ours = sessions(clock)
    header = ours.begin("a" * 2048)
    session = ours.open(cookie_of(header))
    assert session is not None
    assert session.token == "a" * 2048
    assert len(header) < 4096  # what browsers take
