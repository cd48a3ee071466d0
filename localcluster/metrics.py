"""
Read the API server's own count of requests. Pure.

Tests and benches count here and not in a client, whose word about itself proves nothing.
"""

import re
from collections import Counter
from typing import NamedTuple

_SAMPLE = re.compile(r"^apiserver_request_total\{(?P<labels>.*)\} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Request(NamedTuple):
    """
    One kind of request.

    `verb` as the server names it (GET, LIST, WATCH, APPLY, PATCH, POST, PUT, DELETE, ...);
    `resource` is the plural, with "/subresource" where there is one; `dry_run` is "All" or "".
    """

    verb: str
    resource: str
    code: str
    dry_run: str


def requests(exposition: str) -> dict[Request, int]:
    """Sum `apiserver_request_total` of a /metrics page by verb, resource, code and dry_run."""
    counts: Counter[Request] = Counter()
    for sample in _SAMPLE.finditer(exposition):
        labels = dict(_LABEL.findall(sample["labels"]))
        resource = "/".join(filter(None, (labels.get("resource"), labels.get("subresource"))))
        key = Request(labels.get("verb", ""), resource, labels.get("code", ""), labels.get("dry_run", ""))
        counts[key] += int(float(sample["value"]))
    return dict(counts)
