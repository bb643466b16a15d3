"""What miners send, read strictly: every field that is wrong is named, nothing else is taken."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from libs.common.errors import FieldViolation
from libs.common.texts import fault_of
from libs.http.strict_json import BadJsonError, Real, Repeated, Unusable, parse
from pooler.shares.domain.errors import MalformedError
from pooler.shares.domain.jobs import NONCES, TOKEN_LENGTH
from pooler.shares.service import Ask
from pooler.shares.submitting import Brought

#: Shares of a batch at most.
MOST_SHARES = 1000
#: Jobs of one answer at most.
MOST_JOBS = 100
#: Fields that are named in one answer at most.
_NAMED = 20
_MOST_PARAMETERS = 16
_WORKER = re.compile(r"[A-Za-z0-9._-]{1,32}")
_TERMS = re.compile(r"[0-9a-f]{16}")
_DIGITS = re.compile(r"[0-9]{1,20}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LARGEST_RATE = 10**18


@dataclass(frozen=True, kw_only=True)
class Joining:
    """Who wants to join."""

    address: str
    terms: str
    name: str


class _Findings:
    """What is wrong with a request, by field."""

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []

    def add(self, field: str, description: str) -> None:
        """Note what is wrong with a field."""
        self._found.append(FieldViolation(field=field, description=description))

    def end(self) -> None:
        """Raise MalformedError when anything is wrong."""
        if not self._found:
            return
        named = self._found[:_NAMED]
        told = "; ".join(f"{one.field} {one.description}" for one in named)
        left = len(self._found) - len(named)
        raise MalformedError(f"{told}; and {left} more" if left else told, violations=named)


def joining_of(body: bytes) -> Joining:
    """Read the body of POST /join; raise MalformedError."""
    findings = _Findings()
    given = _object(_parsed(body), "body", {"address", "terms", "name"}, findings)
    address = _text(given, "address", findings, most=69)
    terms = _terms(given, findings)
    name = _text(given, "name", findings, most=64, default="")
    findings.end()
    return Joining(address=address, terms=terms, name=name)


def terms_of(body: bytes) -> str:
    """Read the body of POST /terms; raise MalformedError."""
    findings = _Findings()
    terms = _terms(_object(_parsed(body), "body", {"terms"}, findings), findings)
    findings.end()
    return terms


def shares_of(body: bytes, header_job: str) -> list[Brought]:
    """Read the body of POST /submit; raise MalformedError.

    `header_job` is the job of those shares that name none: what the header Kale-Job brings. The
    body may also be the one object with a nonce that a program prints which knows no pool.
    """
    findings = _Findings()
    value = _parsed(body)
    if isinstance(value, dict) and "shares" not in value and "nonce" in value:
        given = _object(value, "body", {"job", "nonce", "hash"}, findings)
        found = _share(given, "", _job(given, "job", findings, header_job), findings)
        findings.end()
        return [found]
    given = _object(value, "body", {"job", "shares"}, findings)
    job = _job(given, "job", findings, header_job)
    shares = given.get("shares")
    if not isinstance(shares, list) or not 1 <= len(shares) <= MOST_SHARES:
        findings.add("shares", f"must be a list of 1 to {MOST_SHARES:,} shares")
        shares = []
    brought = [_listed(one, place, job, findings) for place, one in enumerate(shares)]
    findings.end()
    return brought


def ask_of(query: str) -> Ask:
    """Read the query of GET /work and GET /events; raise MalformedError."""
    findings = _Findings()
    given = _parameters(query, {"worker", "rate", "difficulty", "count", "format"}, findings)
    worker = given.get("worker", "default")
    if not _WORKER.fullmatch(worker):
        findings.add("worker", "must have 1 to 32 letters, digits, dots, dashes or underscores")
    rate = _number(given, "rate", findings, low=0, high=_LARGEST_RATE)
    difficulty = _number(given, "difficulty", findings, low=1, high=2**63)
    count = _number(given, "count", findings, low=1, high=MOST_JOBS)
    form = given.get("format", "json")
    if form not in {"json", "argv"}:
        findings.add("format", "must be json or argv")
    findings.end()
    return Ask(
        worker=worker,
        rate=None if rate is None else float(rate),
        difficulty=difficulty,
        count=1 if count is None else count,
        is_argv=form == "argv",
    )


def page_of(query: str, *, few: int, most: int) -> tuple[int, int]:
    """Read the query of GET /blocks: before which block, and how many; raise MalformedError."""
    findings = _Findings()
    given = _parameters(query, {"before", "limit"}, findings)
    before = _number(given, "before", findings, low=0, high=2**32)
    limit = _number(given, "limit", findings, low=1, high=most)
    findings.end()
    return (2**32 if before is None else before), (few if limit is None else limit)


def no_parameters(query: str) -> None:
    """Raise MalformedError when a query has anything."""
    findings = _Findings()
    _parameters(query, set(), findings)
    findings.end()


def _parsed(body: bytes) -> Any:
    try:
        return parse(body)
    except BadJsonError as error:
        raise MalformedError(error.message, violations=error.violations) from None


def _object(
    value: Any, path: str, known: set[str], findings: _Findings, *, prefix: str = ""
) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        findings.add(path, "must be an object")
        return {}
    if isinstance(value, Repeated):
        for name in value.keys_given_twice[:_NAMED]:
            findings.add(f"{prefix}{_shown(name)}", "is given more than once")
    if value.keys() - known:
        for name in sorted(value.keys() - known)[:_NAMED]:
            findings.add(f"{prefix}{_shown(name)}", "is not known here")
    return value


def _shown(name: str) -> str:
    """Return a caller's own word, short and without what would not be seen."""
    return _CONTROL.sub("?", name[:40])


def _text(
    given: Mapping[str, Any],
    name: str,
    findings: _Findings,
    *,
    most: int,
    default: str | None = None,
) -> str:
    value = given.get(name, default)
    if not isinstance(value, str):
        findings.add(name, "must be a text")
        return ""
    if len(value) > most:
        findings.add(name, f"must have at most {most} characters")
    elif (fault := fault_of(value)) is not None:
        findings.add(name, fault)
    return value


def _terms(given: Mapping[str, Any], findings: _Findings) -> str:
    value = given.get("terms")
    if not isinstance(value, str) or not _TERMS.fullmatch(value):
        findings.add("terms", "must be the version of the terms that GET /v1/pool tells")
        return ""
    return value


def _listed(value: Any, place: int, job: str, findings: _Findings) -> Brought:
    """Read one share of a list. Most are sound: nothing is put into words for those."""
    if type(value) is dict and len(value) <= 2:
        nonce, own = value.get("nonce"), value.get("job", job)
        if type(nonce) is str and type(own) is str and own and nonce.isdecimal():
            number = int(nonce) if len(nonce) <= 19 and nonce.isascii() else NONCES
            if number < NONCES and (len(value) == 1 or "job" in value):
                return Brought(job=own, nonce=number)
    prefix = f"shares[{place}]."
    given = _object(value, f"shares[{place}]", {"job", "nonce"}, findings, prefix=prefix)
    own_job = _job(given, f"{prefix}job", findings, job)
    return _share(given, prefix, own_job, findings)


def _share(given: Mapping[str, Any], prefix: str, job: str, findings: _Findings) -> Brought:
    nonce = _whole(given.get("nonce"))
    if nonce is None or not 0 <= nonce < 2**64:
        findings.add(
            f"{prefix}nonce", "must be a whole number from 0 to 2^64 - 1, or a text of one"
        )
        nonce = 0
    if not job:
        findings.add(f"{prefix}job", "is missing: name the share's job")
    return Brought(job=job, nonce=nonce)


def _job(given: Mapping[str, Any], path: str, findings: _Findings, default: str) -> str:
    value = given.get("job", default)
    if not isinstance(value, str) or len(value) > 2 * TOKEN_LENGTH:
        findings.add(path, "must be the text that a job came with")
        return "?"
    return value


def _whole(value: Any) -> int | None:
    """Return a whole number, which may be a text of digits; None for anything else."""
    if isinstance(value, str):
        return int(value) if _DIGITS.fullmatch(value) else None
    if isinstance(value, bool | Unusable | Real) or not isinstance(value, int):
        return None
    return value


def _parameters(query: str, known: set[str], findings: _Findings) -> dict[str, str]:
    try:
        pairs: Sequence[tuple[str, str]] = parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        findings.add("query", "must have the form name=value&name=value")
        return {}
    names = [name for name, _ in pairs]
    for name in _first(names, lambda name: name not in known):
        findings.add(_shown(name), "is not known here")
    for name in _first(names, lambda name: names.count(name) > 1):
        findings.add(_shown(name), "is given more than once")
    return dict(pairs)


def _first(names: Iterable[str], is_wrong: Callable[[str], bool]) -> list[str]:
    return sorted({name for name in names if is_wrong(name)})


def _number(
    given: Mapping[str, str], name: str, findings: _Findings, *, low: int, high: int
) -> int | None:
    """Return a number of a query; None when it is not given."""
    text = given.get(name)
    if text is None:
        return None
    if not _DIGITS.fullmatch(text) or not low <= int(text) <= high:
        findings.add(name, f"must be a whole number from {low} to {high}")
        return None
    return int(text)
