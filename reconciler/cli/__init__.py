"""
The commands a person types. Each is a thin shell around `service`: options in, a table or
one JSON document out, errors as one line, never a traceback.

Exit codes: 0 all in sync, 1 something failed, was blocked, skipped or is held, 2 the
configuration, a source or the command line cannot be used, or the output not written.
"""

import gc
import os
import sys


def main() -> None:
    """The entry point `reconciler`."""
    # Imports make many objects and hardly any garbage: looking for it, now and when the process
    # ends, was a fifth of a sync that had nothing to do. The commands enable it (app.py).
    gc.disable()
    _prepare_output()
    from reconciler.cli.app import CommandLineError, command, explain  # noqa: PLC0415 - importing this is free
    from reconciler.errors import ReconcilerError  # noqa: PLC0415

    code = 2
    try:
        code = command(sys.argv[1:])
        sys.stdout.flush()
    except ReconcilerError as error:
        _complain(*(getattr(error, "problems", None) or (str(error),)))
    except CommandLineError as error:
        _complain(explain(error))
    except BrokenPipeError:
        _drop_output()  # its reader (head, less) has seen enough
        code = 1
    except OSError as error:
        if not _output_failed():
            raise
        _drop_output()
        _complain(f"standard output: cannot be written: {error.strerror}; make room, or write elsewhere")
        code = 2
    finally:
        gc.freeze()
        gc.enable()
    sys.exit(code)


def _prepare_output() -> None:
    """What the terminal's encoding does not have is written as `\\u2026`; a closed stream takes all."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the end
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _complain(*lines: str) -> None:
    from reconciler.cli.text import plain  # noqa: PLC0415

    for line in lines:
        sys.stderr.write(f"error: {plain(line)}\n")


def _output_failed() -> bool:
    """Whether an OSError was standard output's: then it takes nothing more, buffered or not."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _drop_output() -> None:
    """Let what is still waiting go nowhere: Python writes it when the process ends, and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
