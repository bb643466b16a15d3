"""Structured logs: one JSON object per line on standard error."""

import logging
import sys
from typing import Literal

import structlog

LogLevel = Literal["debug", "info", "warning", "error"]


def configure_logging(*, service: str, level: LogLevel) -> None:
    """Sets up the process's logs; call it once, before anything is logged."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


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
