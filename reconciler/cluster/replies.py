"""
Turn an answer of the API server that is not a success into one of our errors.

Pure. The server sends a `Status` object (message, reason, details.causes); a proxy on
the way sends anything. Never passes on what the server says about a Secret: 422 and
500 messages quote whole objects, values included, and an admission webhook writes
what it likes. Used by requests.py for HTTP answers and by watch.py for ERROR events;
wording.py makes the server's words readable.
"""

import base64
import binascii
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from reconciler.cluster import errors, wording

CAUSES_LIMIT = 20  # a broken list of 1,000 entries gives 1,000 causes of one kind

NOT_SHOWN = "not accepted"
HIDDEN = "the server's message is not shown because it may quote secret values"

# Server-side apply answers 500 to a field that the schema does not have, to a value of the
# wrong type, and to a quantity or base64 that cannot be read (measured on 1.36): the
# manifest is wrong, not the server.
_TYPO_MARKS = (
    "failed to create typed patch object",
    "field not declared in schema",
    "failed to convert new object",
)
_BASE64_MARK = "illegal base64 data"
_LIVE_MARK = "failed to create typed live object"
_CONVERSION_MARK = "conversion webhook"  # it fails when the webhook does: not the manifest's fault

_RBAC = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<acting>impersonate-on:[-a-z]+:)?(?P<verb>[a-z]+)'
    r' (?:resource|path) "(?P<resource>[^"]*)"'
    r'(?: in API group "(?P<group>[^"]*)")?'
    r'(?: in the namespace "(?P<namespace>[^"]*)"| at the cluster scope)?'
)
_PATCH_CAUSE = re.compile(r"(?P<field>\.[^\s:]+): (?P<message>[^\n]+)")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_NO_FIELD = ("", "[]", "<nil>")  # what the server writes for the object as a whole
_IMMUTABLE = "field is immutable"
_NEW_ONLY = "cannot be changed in place: only a new object can have it (annotation reconciler.dev/replace)"
# Sentences of the server that hold nothing of the object, so that a Secret's error may show them.
_HARMLESS = frozenset(
    {
        wording.TOO_LONG,
        "Forbidden: field is immutable when `immutable` is set",
        "Required value",
    }
)
_SECRET_FIELD = re.compile(r"\.?(data|stringData|type|immutable|metadata)((\.|\[)[\w.\-/]+\]?)?\Z")


@dataclass(frozen=True, slots=True)
class Doing:
    """What a request does, for error texts: `text` is "apply Deployment.apps shop/web"."""

    text: str
    secret: bool = False
    write: bool = False


# What admission says, by the server's own words at the beginning: what follows them comes from elsewhere.
_NAME = r"[-.\w/:]{1,253}"
_DENIED = (
    re.compile(rf'admission webhook "(?P<by>{_NAME})" denied the request'),
    re.compile(rf"{_NAME}( \"[^\"]*\")? is forbidden: \w+AdmissionPolicy '(?P<by>{_NAME})' with binding"),
    re.compile(rf'{_NAME}( "[^"]*")? is forbidden: violates (?P<by>PodSecurity) '),
)
_UNASKED = re.compile(rf'Internal error occurred: failed calling webhook "(?P<by>{_NAME})"')
_QUOTA = re.compile(
    rf'{_NAME}( "[^"]*")? is forbidden: (exceeded quota|failed quota|status unknown for quota): '
)
_TERMINATED = re.compile(
    rf'{_NAME}( "[^"]*")? is forbidden: unable to create new content in namespace {_NAME} because'
)
_ESCALATION = "is attempting to grant RBAC permissions not currently held"
_ETCD_LIMITS = ("etcdserver: request is too large", "trying to send message larger than max")
_UNPROCESSABLE = 422
_TIMEOUT, _BUSY = 504, "ServerTimeout"


def from_status(
    status: int,
    body: bytes,
    *,
    doing: Doing,
    retry_after: float | None = None,
    sent: bytes | None = None,
) -> errors.ClusterError:
    """
    Build the error for an HTTP answer.

    `body` is what the server sent (a Status object, or not); `retry_after` seconds of
    its Retry-After header; `sent` what it answers to, where that was an object: names of
    its keys may be told, values never.
    """
    return from_object(status, _parse(body), doing=doing, retry_after=retry_after, sent=sent)


def from_object(
    status: int,
    answer: Mapping[str, Any],
    *,
    doing: Doing,
    retry_after: float | None = None,
    sent: bytes | None = None,
) -> errors.ClusterError:
    """Like `from_status`, for a Status object that is already decoded ({} when there was none)."""
    reply = _Reply(
        status=status,
        reason=str(answer.get("reason") or ""),
        message=wording.one_line(str(answer.get("message") or "")),
        raw=str(answer.get("message") or ""),
        causes=_causes(answer, secret=doing.secret),
        immutable=_is_immutable(answer),
        names_object=bool(_details(answer).get("name")),
        doing=doing,
        retry_after=retry_after,
    )
    if status == _BAD_REQUEST and _NO_DRY_RUN in reply.message:
        return _no_dry_run(reply)
    if refusal := _by_words(reply):
        return refusal
    if _is_typo(reply):
        return _not_base64(reply, sent) if _BASE64_MARK in reply.raw else _typo(reply)
    if status in _BY_STATUS:
        return _BY_STATUS[status](reply)
    return _server_fault(reply) if status >= _SERVER_ERROR else _refused(reply)


_SERVER_ERROR = 500
_BAD_REQUEST = 400
_NO_DRY_RUN = "does not support dry run"  # of a webhook whose sideEffects say nothing


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    reason: str
    message: str
    raw: str
    causes: tuple[tuple[str, str], ...]
    immutable: bool
    names_object: bool
    doing: Doing
    retry_after: float | None

    def said(self, otherwise: str) -> str:
        """The server's own words, or a safe text where they may hold a secret or are missing."""
        if self.doing.secret:
            return f"{otherwise} ({HIDDEN})" if self.message else otherwise
        return self.message or otherwise

    def faults(self, otherwise: str) -> str:
        """What is wrong with which field, or the server's own words where it names no causes."""
        if not self.causes:
            return self.said(otherwise)
        hidden = f" ({HIDDEN})" if any(text == NOT_SHOWN for _, text in self.causes) else ""
        return wording.together(self.causes) + hidden


def _no_dry_run(reply: _Reply) -> errors.ClusterError:
    return errors.NoDryRun(
        what=reply.said("an admission webhook takes no dry-run (400)"),
        where=reply.doing.text,
        mend="the webhook's configuration has to say sideEffects: None or NoneOnDryRun",
    )


def _by_words(reply: _Reply) -> errors.ClusterError | None:
    """What the status alone does not tell: who refuses, and who does not work."""
    for denied in _DENIED:
        if match := denied.match(reply.raw):
            return _denied(reply, match["by"])
    if match := _UNASKED.match(reply.raw):
        return _unasked(reply, match["by"])
    if _QUOTA.match(reply.raw):
        return errors.QuotaExceeded(
            what=reply.said("the quota of the namespace has no room for it"),
            where=reply.doing.text,
            mend="raise the ResourceQuota, ask for less or make room; it is tried again by itself",
        )
    if _TERMINATED.match(reply.raw):
        return errors.Terminating(
            what="its namespace is being deleted",
            where=reply.doing.text,
            mend="it is created when the namespace is there again; if that stays, look at its conditions",
        )
    if reply.status >= _SERVER_ERROR and _CONVERSION_MARK in reply.raw:
        return errors.ConversionFailed(
            what=reply.said("the kind's conversion webhook failed"),
            where=reply.doing.text,
            mend="look at spec.conversion of its CustomResourceDefinition and at the Service that it names; "
            "it is tried again by itself",
        )
    if reply.status >= _SERVER_ERROR and any(mark in reply.raw for mark in _ETCD_LIMITS):
        return _too_large(reply)
    if reply.status == _TIMEOUT or reply.reason == _BUSY:
        return errors.ServerTimeout(
            what=reply.said(f"the API server ran out of time ({reply.status})"),
            where=reply.doing.text,
            mend="it is tried again later; if it repeats, look at the load of the server, etcd and webhooks",
            retry_after=reply.retry_after,
        )
    return None


def _denied(reply: _Reply, by: str) -> errors.AdmissionDenied:
    return errors.AdmissionDenied(
        what=reply.said(f"{by} denied the request"),
        where=reply.doing.text,
        mend=f"change the manifest so that {by} lets it pass, or the policy",
    )


def _unasked(reply: _Reply, by: str) -> errors.WebhookUnavailable:
    return errors.WebhookUnavailable(
        what=reply.said(f"the admission webhook {by} could not be asked"),
        where=reply.doing.text,
        mend=f"look at the webhook {by} and the Service that its configuration names; "
        "it is tried again by itself",
        retry_after=reply.retry_after,
    )


def _unauthorized(reply: _Reply) -> errors.ClusterError:
    return errors.Unauthorized(
        what="the API server does not accept our credentials (401)",
        where=reply.doing.text,
        mend="renew the token or client certificate; in a cluster, check the ServiceAccount",
    )


def _forbidden(reply: _Reply) -> errors.ClusterError:
    match = _RBAC.search(reply.message)
    if match is None:
        grants = _ESCALATION in reply.raw
        return errors.Forbidden(
            what=reply.said("the API server refuses this (403)"),
            where=reply.doing.text,
            mend="grant the service what the role holds, or the verbs escalate and bind on it"
            if grants
            else "change the object, or ask who runs the cluster what forbids it",
        )
    user, verb, resource = match["user"], match["verb"], match["resource"]
    group, namespace = match["group"] or "", match["namespace"]
    place = f"in namespace {namespace}" if namespace else "at cluster scope"
    role = f"a Role in namespace {namespace}" if namespace else "a ClusterRole"
    if match["acting"]:  # since 1.36; before, the verb is `impersonate` and the resource the account
        return errors.Forbidden(
            what=f"user {user} may not impersonate this account, to {verb} {resource} {place} (403)",
            where=reply.doing.text,
            mend=f'bind {user} to a Role in the namespace of the account with apiGroups [""], resources '
            '["serviceaccounts"], resourceNames [the name of the account], verbs ["impersonate"]',
            lacks_right=True,
        )
    return errors.Forbidden(
        what=f"user {user} may not {verb} {resource}{'.' + group if group else ''} {place} (403)",
        where=reply.doing.text,
        mend=f'bind {user} to {role} with apiGroups ["{group}"], resources ["{resource}"], verbs ["{verb}"]',
        lacks_right=True,
    )


def _not_found(reply: _Reply) -> errors.ClusterError:
    if not reply.names_object:
        return errors.KindNotServed(
            what="the server does not serve this kind in this version (404)",
            where=reply.doing.text,
            mend="check apiVersion, kind, its definition, and that the address is an API server",
        )
    return errors.NotFound(
        what=reply.message if reply.message and not reply.doing.secret else "not found (404)",
        where=reply.doing.text,
        mend="check name and namespace",
    )


def _conflict(reply: _Reply) -> errors.ClusterError:
    if reply.reason == "AlreadyExists":
        return errors.AlreadyExists(
            what="an object of this name exists already",
            where=reply.doing.text,
            mend="update it, or choose another name",
        )
    return errors.Conflict(
        what=reply.said("the object is not the one that was expected (409)"),
        where=reply.doing.text,
        mend="read the object again and decide again",
    )


def _gone(reply: _Reply) -> errors.ClusterError:
    return errors.WatchExpired(
        what="the resourceVersion is too old for the server (410)",
        where=reply.doing.text,
        mend="list again and go on from there",
    )


def _too_large(reply: _Reply) -> errors.ClusterError:
    return errors.TooLarge(
        what=reply.said("the API server refuses an object of this size (413)"),
        where=reply.doing.text,
        mend="make the object smaller or split it; etcd takes about 1.5 MiB",
    )


def _invalid(reply: _Reply) -> errors.ClusterError:
    kind = errors.Immutable if reply.immutable and reply.status == _UNPROCESSABLE else errors.Invalid
    return kind(
        what=reply.faults(f"the API server does not accept the object ({reply.status})"),
        where=reply.doing.text,
        mend=_mend_fields(reply.causes),
        causes=reply.causes,
    )


def _too_many(reply: _Reply) -> errors.ClusterError:
    return errors.TooManyRequests(
        what="the API server refuses requests for load (429)",
        where=reply.doing.text,
        mend="it is tried again later; if it repeats, look at the server's load and its priority levels",
        retry_after=reply.retry_after,
    )


def _server_fault(reply: _Reply) -> errors.ClusterError:
    return errors.ServerFault(
        what=reply.said(f"the API server failed ({reply.status})"),
        where=reply.doing.text,
        mend=f"it is tried again later; if {reply.status} repeats, look at the server and its webhooks",
        retry_after=reply.retry_after,
    )


def _refused(reply: _Reply) -> errors.ClusterError:
    return errors.ServerFault(
        what=reply.said(f"unexpected answer {reply.status}"),
        where=reply.doing.text,
        mend="check that the address is a Kubernetes API server and not a proxy or login page",
    )


_BY_STATUS: Mapping[int, Callable[[_Reply], errors.ClusterError]] = {
    400: _invalid,
    401: _unauthorized,
    403: _forbidden,
    404: _not_found,
    409: _conflict,
    410: _gone,
    413: _too_large,
    415: _invalid,
    422: _invalid,
    429: _too_many,
}


def _is_typo(reply: _Reply) -> bool:
    if reply.status != _SERVER_ERROR:
        return False
    return any(mark in reply.raw for mark in (*_TYPO_MARKS, _LIVE_MARK))


def _typo(reply: _Reply) -> errors.Invalid:
    found = _PATCH_CAUSE.finditer(reply.raw)
    causes = tuple((m["field"], wording.readable(m["message"])) for m in found)
    causes = _safe(causes, secret=reply.doing.secret)[:CAUSES_LIMIT]
    if _LIVE_MARK in reply.raw:
        mend = "the object in the cluster does not fit its kind's schema any more; compare the two"
    else:
        mend = _mend_fields(causes)
    return errors.Invalid(
        what=replace(reply, causes=causes).faults("the object does not fit the schema of its kind"),
        where=reply.doing.text,
        mend=mend,
        causes=causes,
    )


def _not_base64(reply: _Reply, sent: bytes | None) -> errors.Invalid:
    """The server tells neither field nor key, so that we look into what was sent."""
    fields = _undecodable(sent or b"")
    return errors.Invalid(
        what=wording.together(tuple((field, "not base64") for field in fields))
        if fields
        else "a value in data is not base64"
        if reply.doing.secret
        else "a value is not base64 where the kind wants it",
        where=reply.doing.text,
        mend="encode it, or write it as it is below stringData"
        if reply.doing.secret
        else "encode it, or write it below data if it is text",
        causes=tuple((field, "not base64") for field in fields),
    )


def _undecodable(sent: bytes) -> tuple[str, ...]:
    """`data[key]` of a Secret, `binaryData[key]` of a ConfigMap, for each value that is not base64."""
    body = orjson.loads(sent or b"{}")
    if not isinstance(body, dict):
        return ()  # the operations of a patch
    field = {"Secret": "data", "ConfigMap": "binaryData"}.get(str(body.get("kind")), "")
    values = body.get(field)
    if not isinstance(values, dict):
        return ()
    return tuple(
        f"{field}[{key}]"
        for key, value in values.items()
        if isinstance(value, str) and _DATA_KEY.fullmatch(key) and not _is_base64(value)
    )[:CAUSES_LIMIT]


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _mend_fields(causes: tuple[tuple[str, str], ...]) -> str:
    if causes and all(wording.is_immutable(text) for _, text in causes):
        return "the field cannot be changed: delete the object, or give it another name"
    if any(text == wording.TOO_LONG for _, text in causes):
        return "split it into several objects"
    fixed = {name for name, text in causes if name and wording.is_immutable(text)}
    wrong = {name for name, text in causes if name and not wording.is_immutable(text)}
    correct = f"correct {_some(wrong)} in the manifest" if wrong else "correct the manifest"
    return f"{correct}; {_some(fixed)} {_NEW_ONLY}" if fixed else correct


def _some(fields: Collection[str]) -> str:
    shown = ", ".join(sorted(fields)[:3])
    return f"{shown} and {len(fields) - 3} more" if len(fields) > 3 else shown  # noqa: PLR2004


def _causes(answer: Mapping[str, Any], *, secret: bool) -> tuple[tuple[str, str], ...]:
    listed = _details(answer).get("causes")
    if not isinstance(listed, list):
        return ()
    pairs = tuple(
        (_field(cause.get("field")), wording.readable(str(cause.get("message") or "")))
        for cause in listed[:CAUSES_LIMIT]
        if isinstance(cause, dict)
    )
    return _safe(pairs, secret=secret)


def _is_immutable(answer: Mapping[str, Any]) -> bool:
    """Whether there are causes, and each, also one that is not shown, is a field that cannot be changed."""
    listed = _details(answer).get("causes")
    return (
        isinstance(listed, list)
        and bool(listed)
        and all(
            isinstance(cause, dict) and wording.is_immutable(str(cause.get("message") or ""))
            for cause in listed
        )
    )


def _field(name: Any) -> str:
    return "" if name in _NO_FIELD else str(name or "")


def _details(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    details = answer.get("details")
    return details if isinstance(details, dict) else {}


def _safe(causes: tuple[tuple[str, str], ...], *, secret: bool) -> tuple[tuple[str, str], ...]:
    if not secret:
        return causes
    # A field path holds key names only; whatever does not look like one is dropped.
    return tuple(
        (field, shown)
        for field, text in causes
        if _SECRET_FIELD.match(field) or (not field and text in _HARMLESS)
        for shown in [_harmless(text)]
    )


def _harmless(text: str) -> str:
    if text.endswith(f": {_IMMUTABLE}"):
        return _IMMUTABLE
    return text if text in _HARMLESS else NOT_SHOWN


def _parse(body: bytes) -> Mapping[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}  # a proxy's page; the HTTP status alone decides
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}
