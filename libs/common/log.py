"""Structured logs: one JSON object per line on standard error, without secrets."""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal

import structlog

from libs.common.redaction import Redaction

LogLevel = Literal["debug", "info", "warning", "error"]

#: Beginnings of repeated lines that are kept at most.
_KEPT = 4096

_redaction = Redaction()
_to_json = json.JSONEncoder(default=str).encode
_running: ContextVar[Mapping[str, str] | None] = ContextVar("running", default=None)


@dataclass(frozen=True, kw_only=True)
class _Output:
    """The destination of this process's log lines."""

    #: Its name, a field of every line.
    service: str
    #: The lowest level that is written.
    level: int
    #: Writes one line, at once.
    write: Callable[[str], None]


#: None until `configure_logging`: until then structlog prints in its own format.
_output: _Output | None = None


def configure_logging(*, service: str, level: LogLevel, secrets: Iterable[str] = ()) -> None:
    """Set up the process's logs; call this once, before anything is logged.

    Records of the standard library's loggers come out in the same form, and so does the exception
    that ends the process. `secrets` are values that must not be in any line.
    """
    global _output  # noqa: PLW0603  (a process has one standard error)
    _redaction.learn(secrets)
    _beginning.cache_clear()
    number = logging.getLevelNamesMapping()[level.upper()]
    write = structlog.WriteLogger(sys.stderr).msg
    _output = _Output(service=service, level=number, write=write)
    structlog.configure(
        processors=[
            _surroundings,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redaction.fields,
            _rendered,
            _redaction.line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(number, logging.INFO), handlers=[_Bridge()], force=True)
    sys.excepthook = _last_words


def get_security_logger() -> structlog.typing.FilteringBoundLogger:
    """Return the logger of what matters for security; its lines have `log` = `security`.

    A pool keeps these lines apart: they say who was refused, and who paused, exported or withdrew.
    They are written whatever LOG_LEVEL says.
    """
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        None, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO), log="security"
    )
    return logger


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of one module; `name` becomes the field `module`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(module=name)
    return logger


def set_running(fields: Mapping[str, str] | None) -> None:
    """Set the fields that every line of the running call has besides; None: the call is over."""
    _running.set(fields)


def running() -> Mapping[str, str]:
    """Return the fields of the running call; empty outside of any call."""
    return _running.get() or {}


class RepeatedLine:
    """A log line that is written for every request, with the same values again and again.

    The line has the fields that a logger's line would have, and no secret in any of them. But
    values that repeat are rendered, and searched for secrets, only once.
    """

    def __init__(self, module: str, event: str, names: Sequence[str], figure: str) -> None:
        """Take the names of the line's fields.

        The values of the fields `names` repeat; the value of the field `figure` never does.
        """
        self._module = module
        self._event = event
        self._names = tuple(names)
        self._figure = figure

    def write(self, level: int, values: tuple[str | None, ...], figure: float) -> None:
        """Write the line, at once, when LOG_LEVEL allows it."""
        output = _output
        if output is None:
            fields = dict(zip(self._names, values, strict=True)) | {self._figure: figure}
            get_logger(self._module).log(level, self._event, **fields)
        elif level >= output.level:
            ids = "".join([f', "{name}": {_to_json(text)}' for name, text in running().items()])
            # These may be the caller's; all else is the process's own or in the beginning.
            ids = _redaction.line(None, "", ids)
            output.write(
                f'{_beginning(self, level, values)}{ids}, "{self._figure}": {figure},'
                f' "timestamp": "{datetime.now(UTC).isoformat()[:-6]}Z"}}'
            )

    def fields(self, values: tuple[str | None, ...]) -> dict[str, Any]:
        """Return the fields that repeat, except the level."""
        return {
            "module": self._module,
            **dict(zip(self._names, values, strict=True)),
            "event": self._event,
        }


@lru_cache(maxsize=_KEPT)
def _beginning(line: RepeatedLine, level: int, values: tuple[str | None, ...]) -> str:
    """Return a JSON object without its end, made by the same steps as every other line."""
    event = line.fields(values) | {"level": logging.getLevelName(level).lower()}
    if _output is not None:
        event["service"] = _output.service
    rendered = _rendered(None, "", _redaction.fields(None, "", event))
    return _redaction.line(None, "", rendered.removesuffix("}"))


def _surroundings(_: object, __: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the fields of the running call and of the process (structlog's processor)."""
    own = {} if _output is None else {"service": _output.service}
    return {**running(), **own, **event}


def _rendered(_: object, __: str, event: Mapping[str, Any]) -> str:
    """Render JSON (structlog's processor); the encoder is made once, not for every line."""
    return _to_json(event)


class _Bridge(logging.Handler):
    """The handler that passes records of the standard library's loggers to ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record (logging's hook)."""
        try:
            logger = get_logger(record.name)
            logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info)
        except Exception:  # logging must never end what it tells about
            self.handleError(record)


def _last_words(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    get_logger(__name__).critical("ended by an exception", exc_info=(kind, error, traceback))
