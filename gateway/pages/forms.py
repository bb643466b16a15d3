"""Forms that our own pages send: who may have sent them, and what is in them."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from gateway.errors import ForeignFormError
from gateway.handling import Gateway
from gateway.pages.sessions import Session, Sessions
from libs.common.errors import InvalidArgumentError
from libs.http.errors import MediaTypeError
from libs.http.request import Request

#: Bytes of a form at most, and fields.
_LONGEST, _FIELDS = 8192, 20
#: The field with the proof that a form is of its session.
PROOF = "proof"


def check_own(headers: Mapping[str, str]) -> None:
    """Raise ForeignFormError unless a page of this origin has sent the form.

    Browsers say where a form comes from in headers that no page can write: Sec-Fetch-Site, or, the
    older ones, Origin alone.
    """
    site = headers.get("sec-fetch-site")
    if site is None:
        origin = _host_of(headers.get("origin", ""))
        is_own = bool(origin) and origin == headers.get("host")
    else:
        is_own = site == "same-origin"
    if not is_own:
        raise ForeignFormError("this form was not sent from a page of this pool")


def _host_of(origin: str) -> str:
    """Return host and port of an Origin header; empty for what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def check_proof(sessions: Sessions, session: Session | None, form: Mapping[str, str]) -> None:
    """Raise ForeignFormError unless a page of this session has sent the form."""
    if session is None or not sessions.is_proof(session, form.get(PROOF, "")):
        raise ForeignFormError("this form is of another session; load the page again")


async def read_form(gateway: Gateway, request: Request) -> dict[str, str]:
    """Read a form; raise the error that says what is wrong with it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise MediaTypeError.of("content-type", "must be application/x-www-form-urlencoded")
    body = await request.body(
        gateway.bodies,
        request.record.identity,
        limit=_LONGEST,
        seconds=gateway.settings.body_timeout_ms / 1000,
    )
    gateway.bodies.give_back(request.record.identity, len(body))
    return parse_form(body)


def parse_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form; raise InvalidArgumentError for what is no form."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_FIELDS,
        )
    except ValueError:
        raise InvalidArgumentError.of("body", "is no form") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise InvalidArgumentError.of("body", "has a field twice")
    return form
