"""Redaction: secrets are taken out of every log line, however they came in.

Redaction is the last protection, not the first: no code logs a secret on purpose. Secrets are
recognised by the names of fields, by their shapes, and by the values that the process was
configured with.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

REDACTED = "[redacted]"
#: A shorter value would be found in innocent text.
_SHORTEST = 8
#: Fields that are secrets whatever is in them.
_NAMES = re.compile(
    r"(?:^|_)(?:passwords?|secrets?|seeds?|tokens?|dsn|database_url|authorization|credentials?"
    r"|private_key|secret_key|master_keys?|data_key)$",
    re.IGNORECASE,
)
#: Shapes of secrets, each with a text that is in every one of them: most lines have none, and a
#: line is written per request.
_SHAPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    # A Stellar seed (strkey S..., SEP-23).
    ("S", re.compile(r"S(?<![A-Z2-7].)[A-Z2-7]{55}(?![A-Z2-7])")),
    # The password in an address: postgresql://role:password@host.
    ("://", re.compile(r"(?<=://)[^\s/:@\"]+:[^\s/@\"]+(?=@)")),
    # Tokens of Vault and OpenBao.
    ("hv", re.compile(r"hv[sbr]\.[A-Za-z0-9_-]{20,}")),
    ("s.", re.compile(r"s\.(?<![A-Za-z0-9]..)[A-Za-z0-9]{24}")),
    # Credentials that authorise a request.
    ("earer ", re.compile(r"(?<=earer )[A-Za-z0-9._~+/=-]+")),
    # API tokens and access tokens (docs/tokens.md).
    ("kp_", re.compile(r"kp_[A-Za-z0-9_-]{43}")),
    ("eyJ", re.compile(r"eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")),
    # Private keys of certificates; a JSON string has its line ends as two characters.
    (
        "PRIVATE KEY",
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
            re.DOTALL,
        ),
    ),
)


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return _NAMES.search(name) is not None


class Redaction:
    """The filter that takes secrets out of log lines."""

    def __init__(self) -> None:
        #: Known values, the longest first: as part of another one, the other goes as a whole.
        self._known: tuple[str, ...] = ()
        self._values: re.Pattern[str] | None = None

    def learn(self, secrets: Iterable[str]) -> None:
        """Keep these values, too, out of every line from now on."""
        known = {text for text in secrets if len(text) >= _SHORTEST}
        # As they are, and as a JSON string has them.
        forms = known | {json.dumps(text)[1:-1] for text in known}
        self._known = tuple(sorted(forms, key=len, reverse=True))
        self._values = re.compile("|".join(map(re.escape, self._known))) if forms else None

    def fields(self, _: object, __: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Redact the fields before they are rendered (structlog's processor)."""
        return {
            name: REDACTED if value and _is_secret(name) else value for name, value in event.items()
        }

    def line(self, _: object, __: str, rendered: Any) -> str:
        """Redact the rendered line (structlog's processor)."""
        line: str = rendered
        for needle, shape in _SHAPES:
            if needle in line:
                line = shape.sub(REDACTED, line)
        # Looking for each of them is faster than the pattern, and hardly ever finds one.
        if self._values is not None and any(value in line for value in self._known):
            line = self._values.sub(REDACTED, line)
        return line
