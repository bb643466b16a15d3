"""Structured logs: one JSON object per line on standard error, secrets taken out."""

import logging
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Literal

import structlog

from libs.common.redaction import Redaction

LogLevel = Literal["debug", "info", "warning", "error"]

_redaction = Redaction()


def configure_logging(*, service: str, level: LogLevel, secrets: Iterable[str] = ()) -> None:
    """Sets up the process's logs; call it once, before anything is logged.

    What libraries log by the standard library comes out in the same form, and so does the exception
    that ends the process. `secrets` are values that must not be in any line.
    """
    _redaction.learn(secrets)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redaction.fields,
            structlog.processors.JSONRenderer(default=str),
            _redaction.line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=max(number, logging.INFO), handlers=[_Bridge()], force=True)
    sys.excepthook = _last_words


def get_security_logger() -> structlog.typing.FilteringBoundLogger:
    """The logger of what matters for security; its lines have `log` = `security`.

    A pool keeps these apart: they say who was refused, and who paused, exported or withdrew. They
    are written whatever LOG_LEVEL says.
    """
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        None, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO), log="security"
    )
    return logger


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one module; `name` becomes the field `module`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(module=name)
    return logger


class _Bridge(logging.Handler):
    """Hands records of the standard library's loggers to ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """logging's hook."""
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
