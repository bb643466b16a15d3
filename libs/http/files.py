"""Files that are the same for everybody as long as the process runs."""

import hashlib
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

#: A page may use files of this origin, and nothing else; nobody may frame it.
PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Without an Origin header nobody could tell our own forms from those of others.
    "referrer-policy": "same-origin",
}
#: Browsers ask whether what they have is still the newest.
_ASK_AGAIN = "no-cache"
#: An address that names the content never has another one.
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, kw_only=True)
class StaticFile:
    """A file that pages name."""

    #: Its path.
    path: str
    #: Its content.
    body: bytes
    #: Its media type.
    media_type: str

    @property
    def tag(self) -> str:
        """Return what its content is known by."""
        return hashlib.sha256(self.body).hexdigest()[:32]

    @property
    def address(self) -> str:
        """Return the path with the content's mark, for links."""
        return f"{self.path}?v={self.tag[:12]}"


def fixed(file: StaticFile) -> Route:
    """Return the route of a file."""
    tag = f'"{file.tag}"'
    mark = file.tag[:12]
    headers = {**PAGE_HEADERS, "etag": tag}

    async def show(request: Request) -> Response:
        is_named = request.query_params.get("v") == mark
        own = {**headers, "cache-control": _FOR_EVER if is_named else _ASK_AGAIN}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=own)
        return Response(file.body, media_type=file.media_type, headers=own)

    return Route(file.path, show, methods=["GET"])
