"""
`HOST:PORT` as the option `--listen` takes it, and back to text.

Pure. server.py listens on it.
"""

import re
from dataclasses import dataclass
from typing import Final

from reconciler.web.errors import AddressInvalid

OPTION: Final = "--listen HOST:PORT"
_HIGHEST_PORT: Final = 65535
_PATTERN: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:/\s]*):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """`host` "" is every address of the machine, `port` 0 any free one; IPv6 without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """`127.0.0.1:8080`, `[::1]:8080`, `name:8080` or `:8080`; raises AddressInvalid."""
    found = _PATTERN.fullmatch(text)
    if found is None or int(found["port"]) > _HIGHEST_PORT:
        raise AddressInvalid(
            what=f"{text!r} is not HOST:PORT",
            where="",
            mend=f"give {OPTION}, such as 127.0.0.1:8080, [::1]:8080 or :8080 for every address",
        )
    return Address(found["host"].strip("[]"), int(found["port"]))
