"""
How the service speaks: JSON lines in a cluster, readable ones on a terminal, both on stderr.

Layers log through the standard `logging` module and know nothing of this; only the
commands set it up, once. structlog is imported with the first record: it costs 50 ms, and a
`reconciler sync` that has nothing to say should be over before anybody notices.
"""

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor


def set_up(*, level: str, as_json: bool) -> None:
    """Render every log record of the process; `level` is one of debug, info, warning, error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Renderer(as_json=as_json))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("reconciler").setLevel(level.upper())


class _Renderer(logging.Formatter):
    """structlog's formatter, made when the first record comes."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json
        self._made: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        # Its handler's lock is held: two first records of two threads make one formatter.
        if self._made is None:
            self._made = _formatter(as_json=self._as_json)
        return self._made.format(record)


def _formatter(*, as_json: bool) -> logging.Formatter:
    import structlog  # noqa: PLC0415 - see above

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Processor
    if as_json:
        shared.append(structlog.processors.format_exc_info)
        last = structlog.processors.JSONRenderer()
    else:
        shared.append(_on_one_line)
        # Not its default, which prints the local variables of every frame: they may hold secrets.
        last = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.EventRenamer("msg") if as_json else _unchanged,
            last,
        ],
    )


def _on_one_line(_logger: object, _method: str, event: "EventDict") -> "EventDict":
    """Names and messages come from git and from servers: none may begin a line or move the cursor."""
    return {key: _plain(value) if isinstance(value, str) else value for key, value in event.items()}


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _unchanged(_logger: object, _method: str, event: "EventDict") -> "EventDict":
    return event
