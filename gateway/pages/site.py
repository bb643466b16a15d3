"""The site: who serves which page, how pages are rendered, and how they tell errors."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from gateway.bindings import Method
from gateway.errors import SessionEndedError
from gateway.handling import Gateway
from gateway.health import PoolHealth
from gateway.pages import login, overview, stellar_login
from gateway.pages.block import block
from gateway.pages.calls import Calls
from gateway.pages.farmer import farmer
from gateway.pages.forms import check_own, check_proof, parse_form, read_form
from gateway.pages.me import me
from gateway.pages.miner import miner
from gateway.pages.notifications import notifications
from gateway.pages.operators import operator
from gateway.pages.owner_calls import OwnerCalls
from gateway.pages.page import Download, Page
from gateway.pages.paying import paid_page, schedule_page
from gateway.pages.payouts import payouts
from gateway.pages.pooler import pooler
from gateway.pages.poolers import order_of, poolers
from gateway.pages.reads import PoolReads, is_id
from gateway.pages.sessions import Sessions
from gateway.pages.show import environment
from gateway.pages.statement import (
    Form,
    Whose,
    of_farmer,
    of_miner,
    of_pooler,
    statement,
    statement_file,
)
from gateway.pages.viewer import Viewer, known_viewer, viewer_of
from gateway.pages.wishes import signed_page, wish_page
from libs.common.errors import InvalidArgumentError, PoolError
from libs.http.errors import NoSuchPathError, headers_of, phrase_of, status_of
from libs.http.files import PAGE_HEADERS
from libs.http.kept import Kept
from libs.http.request import Reply, Request
from libs.http.routes import Handler, Route, refuse
from libs.http.template import Template, decoded, parse_template

#: Seconds for which a page that is equal for all is kept.
_FRESH = 1.0
#: Fields that the path names: what cannot be one names nothing.
_IN_PATH = frozenset({"address", "farmer_id", "index", "miner_address", "month", "pooler_id"})
#: The files of a statement.
_FILES: Mapping[str, Form] = {"statement.json": "json", "statement.csv": "csv", "tax.csv": "tax"}
_STATEMENT = "/statements/{month}"
_MINER = "/poolers/{pooler_id}/miners/{address}"
_FARMER = "/farmers/{farmer_id}"
_WISH = f"{_FARMER}/wish"
_ROOT = Template(segments=("",), variables=(), verb="", text="/")
_HTML = "text/html; charset=utf-8"

#: Makes a page, or a file, for who looks.
Make = Callable[[Request, Viewer], Awaitable[Page | Download]]
#: Does what a form says, which only a session's own page can have sent.
Act = Callable[[Request, Viewer, Mapping[str, str]], Awaitable[Page]]


@dataclass(frozen=True, kw_only=True)
class _View:
    """A page that is read."""

    #: Its path.
    template: Template
    #: Makes it.
    make: Make
    #: Whether it is for those only who have signed in.
    is_private: bool = False
    #: Whether it is the same for all who have not, so that it is rendered once for them.
    is_kept: bool = True
    #: What of the query counts; None: the page of a list.
    counts: Callable[[Request], str] | None = None


class Site:
    """The pages."""

    def __init__(
        self,
        gateway: Gateway,
        methods: Mapping[str, Method],
        health: PoolHealth,
        sessions: Sessions,
    ) -> None:
        """Take the RPCs that are served by HTTP, by their full names."""
        self._gateway = gateway
        self._health = health
        self._sessions = sessions
        self._reads = PoolReads(gateway.backends, gateway.poolers, methods)
        self._owner_calls = OwnerCalls(Calls(gateway.backends, methods))
        self._kept: Kept[Reply] = Kept(_FRESH)

    async def aclose(self) -> None:
        """Cancel what is being made."""
        await self._kept.aclose()
        await self._reads.aclose()

    def routes(self) -> list[tuple[str, Template, Route]]:
        """Return each path with its method of HTTP and what serves it."""
        found: list[tuple[str, Template, Handler]] = []
        for view in self._views():
            found += [(verb, view.template, self._viewed(view)) for verb in ("GET", "HEAD")]
        for path, act in self._acts().items():
            found.append(("POST", parse_template(path), self._acted(act)))
        found.append(("POST", parse_template(login.LOGIN), self._sign_in))
        found.append(("POST", parse_template(stellar_login.PATH), self._sign_in_by_account))
        found.append(("POST", parse_template("/logout"), self._sign_out))
        return [
            (
                verb,
                template,
                Route(
                    name=f"{verb} {template.text}",
                    variables=template.variables,
                    handle=handle,
                    refuse=self.refuse,
                ),
            )
            for verb, template, handle in found
        ]

    def refuse(self, error: PoolError, request: Request) -> Reply:
        """Return the page that tells an error."""
        status = status_of(error)
        page = Page(
            template="error.html",
            title=phrase_of(status),
            content={
                "error": error,
                "request_id": request.request_id,
                "back": _farmer_of(request) if request.method == "POST" else "",
            },
            status=status,
        )
        reply = self._rendered(page, known_viewer(request))
        headers = headers_of(error, had_token="authorization" in request.headers)
        return Reply(
            status=status, body=reply.body, media_type=_HTML, headers=(*reply.headers, *headers)
        )

    def refuse_unknown(self, error: PoolError, request: Request) -> Reply:
        """Return the reply to a path that nothing serves: a page to who reads pages."""
        is_read = "text/html" in request.headers.get("accept", "")
        return (self.refuse if is_read else refuse)(error, request)

    def _views(self) -> list[_View]:
        """Return the pages that are read."""
        reads, health = self._reads, self._health
        return [
            _View(template=_ROOT, make=lambda *_: overview.overview(reads, health)),
            _View(
                template=parse_template("/blocks"),
                make=lambda request, _: overview.blocks(reads, _after(request)),
            ),
            _View(
                template=parse_template("/blocks/{index}"),
                make=lambda request, _: block(reads, _named(request, "index")),
            ),
            _View(
                template=parse_template("/farmers/{address}"),
                make=lambda request, viewer: farmer(
                    reads, self._owner_calls, viewer, _named(request, "address")
                ),
            ),
            *self._own(),
            *self._statements(),
            *self._poolers(),
            _View(
                template=parse_template("/operator"),
                make=lambda request, viewer: operator(reads, health, viewer, _after(request)),
                is_private=True,
            ),
            _View(
                template=parse_template("/payouts"),
                make=lambda request, viewer: payouts(
                    reads, viewer, _given(request, "pooler_id"), _after(request)
                ),
                is_private=True,
            ),
            _View(
                template=parse_template("/notifications"),
                make=lambda request, viewer: notifications(
                    reads, viewer, _given(request, "pooler_id"), _after(request)
                ),
                is_private=True,
            ),
            _View(template=parse_template(login.LOGIN), make=_login, is_kept=False),
        ]

    def _poolers(self) -> list[_View]:
        """Return the pages of poolers and their miners."""
        reads = self._reads
        return [
            _View(
                template=parse_template("/poolers"),
                make=lambda request, _: poolers(reads, _order(request)),
                counts=_order,
            ),
            _View(
                template=parse_template("/poolers/{pooler_id}"),
                make=lambda request, viewer: pooler(
                    reads, viewer, _named(request, "pooler_id"), _after(request)
                ),
                is_private=True,
            ),
            _View(
                template=parse_template(_MINER),
                make=lambda request, viewer: miner(
                    reads, viewer, _named(request, "pooler_id"), _named(request, "address")
                ),
                is_private=True,
            ),
        ]

    def _own(self) -> list[_View]:
        """Return the pages of owners."""
        return [
            _View(
                template=parse_template("/me"),
                make=lambda request, viewer: me(self._owner_calls, viewer, _after(request)),
                is_private=True,
            ),
            _View(
                template=parse_template(_WISH),
                make=lambda request, viewer: wish_page(
                    self._owner_calls,
                    viewer,
                    _named(request, "farmer_id"),
                    parse_form(request.query.encode()),
                ),
                is_private=True,
            ),
            _View(
                template=parse_template(stellar_login.PATH),
                make=lambda request, viewer: stellar_login.stellar_page(
                    self._gateway, request, viewer
                ),
                is_kept=False,
            ),
        ]

    def _acts(self) -> Mapping[str, Act]:
        """Return what forms do, by the path that they are sent to."""
        calls = self._owner_calls
        return {
            _WISH: lambda request, viewer, form: signed_page(
                calls, viewer, _named(request, "farmer_id"), form
            ),
            f"{_FARMER}/pay": lambda request, viewer, form: paid_page(
                calls, viewer, _named(request, "farmer_id"), form
            ),
            f"{_FARMER}/schedule": lambda request, viewer, form: schedule_page(
                calls, viewer, _named(request, "farmer_id"), form
            ),
        }

    def _acted(self, act: Act) -> Handler:
        """Return the handler of a form that changes something in the name of who has signed in."""

        async def handle(request: Request) -> Reply:
            check_own(request.headers)
            viewer = await self._viewer(request)
            with self._gateway.admitted(request, viewer.credentials):
                if viewer.error is not None:
                    raise viewer.error
                if viewer.credentials is None:
                    raise SessionEndedError("your session has ended")
                form = await read_form(self._gateway, request)
                check_proof(self._sessions, viewer.session, form)
                return self._rendered(await act(request, viewer, form), viewer)

        return handle

    def _statements(self) -> list[_View]:
        """Return the pages and files of statements."""
        reads = self._reads

        async def farmers(request: Request, viewer: Viewer) -> Whose:
            return await of_farmer(reads, viewer, _named(request, "address"))

        async def poolers(request: Request, _: Viewer) -> Whose:
            return of_pooler(_named(request, "pooler_id"))

        async def miners(request: Request, _: Viewer) -> Whose:
            return of_miner(_named(request, "pooler_id"), _named(request, "address"))

        return [
            view
            for home, whose in (
                ("/farmers/{address}", farmers),
                ("/poolers/{pooler_id}", poolers),
                (_MINER, miners),
            )
            for view in _statement_views(reads, home, whose)
        ]

    def _viewed(self, view: _View) -> Handler:
        """Return the handler of a page that is read."""

        async def handle(request: Request) -> Reply:
            viewer = await self._viewer(request)
            with self._gateway.admitted(request, viewer.credentials):
                if view.is_private and viewer.credentials is None:
                    return self._to_login(request, viewer)
                if viewer.session is None and not viewer.is_stale and view.is_kept:
                    # Whoever adds to the query gets the same page.
                    key = (request.path, (view.counts or _after)(request))
                    return await self._kept.get(key, lambda: self._made(view, request, viewer))
                return await self._made(view, request, viewer)

        return handle

    async def _made(self, view: _View, request: Request, viewer: Viewer) -> Reply:
        """Return a page; what the path cannot name is not there."""
        try:
            page = await view.make(request, viewer)
        except InvalidArgumentError as error:
            if request.variables and any(one.field in _IN_PATH for one in error.violations):
                raise NoSuchPathError(f"nothing is at {request.path[:100]}") from None
            raise
        return _saved(page) if isinstance(page, Download) else self._rendered(page, viewer)

    async def _viewer(self, request: Request) -> Viewer:
        """Return who looks; raise ResourceExhaustedError for an address that asks too often."""
        viewer = await viewer_of(self._gateway, self._sessions, request)
        # Accounts cost nothing: owners are counted by their address, too.
        if viewer.credentials is None or viewer.kind == "owner":
            self._gateway.count(request)
        return viewer

    def _to_login(self, request: Request, viewer: Viewer) -> Reply:
        """Return what leads to the form; raise what keeps a session from being checked."""
        if viewer.error is not None:
            raise viewer.error
        wanted = _farmer_of(request) or request.path
        headers = [("location", login.path_to_login(wanted, has_ended=viewer.is_stale))]
        if viewer.is_stale:
            headers.append(("set-cookie", self._sessions.end()))
        return Reply(status=303, body=b"", media_type=_HTML, headers=tuple(headers))

    async def _sign_in(self, request: Request) -> Reply:
        self._gateway.count(request)
        with self._gateway.admitted(request, None):
            done = await login.sign_in(self._gateway, self._sessions, request)
        return done if isinstance(done, Reply) else self._rendered(done, known_viewer(request))

    async def _sign_in_by_account(self, request: Request) -> Reply:
        self._gateway.count(request)
        with self._gateway.admitted(request, None):
            done = await stellar_login.sign_in(self._gateway, self._sessions, request)
        return done if isinstance(done, Reply) else self._rendered(done, known_viewer(request))

    async def _sign_out(self, request: Request) -> Reply:
        self._gateway.count(request)
        with self._gateway.admitted(request, None):
            return await login.sign_out(self._gateway, self._sessions, request)

    def _rendered(self, page: Page, viewer: Viewer) -> Reply:
        """Return a page as HTML; a cookie that counts no more is taken away."""
        session = viewer.session
        body = (
            environment()
            .get_template(page.template)
            .render(
                **page.content,
                title=page.title,
                viewer=viewer,
                proof="" if session is None else self._sessions.proof(session),
            )
        )
        headers: list[tuple[str, str]] = list(PAGE_HEADERS.items())
        if viewer.is_stale:
            headers.append(("set-cookie", self._sessions.end()))
        return Reply(
            status=page.status, body=body.encode(), media_type=_HTML, headers=tuple(headers)
        )


def _statement_views(
    reads: PoolReads, home: str, whose: Callable[[Request, Viewer], Awaitable[Whose]]
) -> list[_View]:
    """Return the page and the files of the statements of an owner whose own page is at `home`."""

    async def page(request: Request, viewer: Viewer) -> Page:
        owner = await whose(request, viewer)
        return await statement(reads, viewer, owner, _named(request, "month"))

    def file(form: Form) -> Make:
        async def make(request: Request, viewer: Viewer) -> Download:
            owner = await whose(request, viewer)
            return await statement_file(reads, viewer, owner, _named(request, "month"), form)

        return make

    path = f"{home}{_STATEMENT}"
    made = {path: page, **{f"{path}/{name}": file(form) for name, form in _FILES.items()}}
    return [
        _View(template=parse_template(text), make=make, is_private=True)
        for text, make in made.items()
    ]


def _saved(file: Download) -> Reply:
    """Return a file that a browser saves."""
    headers = (
        *PAGE_HEADERS.items(),
        ("content-disposition", f'attachment; filename="{file.name}"'),
    )
    return Reply(status=200, body=file.text.encode(), media_type=file.media_type, headers=headers)


def _farmer_of(request: Request) -> str:
    """Return the path of the farmer's page with the forms of a path; empty for other paths."""
    farmer_id = request.variables.get("farmer_id", "")
    return f"/farmers/{farmer_id}" if is_id(farmer_id) else ""


async def _login(request: Request, viewer: Viewer) -> Page:
    return login.login_page(request, viewer)


def _named(request: Request, name: str) -> str:
    """Return what the path names; raise InvalidArgumentError for what is no text."""
    return decoded(name, request.variables[name])


def _after(request: Request) -> str:
    """Return the token of the page of a list that is asked for; empty for the first."""
    return _given(request, "page")


def _order(request: Request) -> str:
    """Return the order of poolers that is asked for."""
    return order_of(_given(request, "sort"))


def _given(request: Request, name: str) -> str:
    """Return what the query gives by a name; empty without it."""
    try:
        query: Mapping[str, Any] = parse_qs(request.query, max_num_fields=20)
    except ValueError:
        raise InvalidArgumentError.of(name, "is given too often") from None
    value: str = query.get(name, [""])[0]
    return value
