"""
Every error of the Kubernetes API layer; no other exception leaves `reconciler.cluster`.

The type says what to do next:

    ClusterError
    |- KubeconfigInvalid    a person mends the kubeconfig or the flags; nothing was sent
    |- Unauthorized         401, or no credentials to be had; a person
    |- Forbidden            403; a person grants the right
    |  |- AdmissionDenied   a webhook or policy refuses the object, whatever the status
    |  |- QuotaExceeded     the namespace has no room; try again later
    |  `- Terminating       the namespace goes; try again when it is gone
    |- NotAllowed           refused by ourselves: the configuration confines the project
    |- Paused               refused by ourselves: a person has said that nothing is to be written
    |- NotFound             404 that names the object or its namespace: it is not there
    |- KindNotServed        any other 404: nothing is known about the object itself
    |- KindNotKept          the kind lacks a verb without which nothing can be kept equal to git
    |- AlreadyExists        409 on create
    |- Conflict             409, someone else wrote first or it is another object: read again, decide again
    |- Invalid              the object itself is wrong; never retried with the same content
    |- NoDryRun             400 to a dry-run, as a webhook takes none; the write itself may pass
    |  `- Immutable         all that is wrong is that it would change what cannot be changed
    |- TooLarge             413, or an answer above our bound
    |- TooManyRequests      429 for longer than we wait; try again later
    |- ServerFault          5xx and answers that are not the API's; try again later
    |  |- WebhookUnavailable   an admission webhook that has to be asked does not answer
    |  |- ConversionFailed     the webhook that converts a custom resource does not work
    |  `- ServerTimeout        the server gave up on the request; it may have been carried out
    |- Unreachable          no answer; `maybe_written` says whether a write may have happened
    |  `- RequestTimeout    we gave up on the request; it may have been carried out
    |- DiscoveryIncomplete  the server could not say whether it knows a kind: unknown, not absent
    |- NotLeader            another replica may write, this one may not (any more): nothing was sent
    |- ListExpired          paging outlived its snapshot twice; try again later
    |- WatchExpired         410: list again, then watch from there
    `- WatchLost            the stream broke or fell silent: list or resume

Neighbours: replies.py makes these from answers, transport.py from broken connections.
"""

from typing import ClassVar

from reconciler.errors import ReconcilerError


class ClusterError(ReconcilerError):
    """
    Base of all of them.

    `reason` is one stable word for reports and metrics. `retry` says whether the same
    request may succeed later without anybody changing anything.
    """

    reason: ClassVar[str] = "ClusterError"
    retry: ClassVar[bool] = False


class KubeconfigInvalid(ClusterError):
    """The kubeconfig, its context or the in-cluster files cannot be used."""

    reason = "KubeconfigInvalid"


class Unauthorized(ClusterError):
    """The server does not accept our credentials, also not after reading them again."""

    reason = "Unauthorized"


class Forbidden(ClusterError):
    """
    RBAC refuses; the text names verb, resource and namespace as the server does.

    `lacks_right`: RBAC refuses the verb, whatever the object's content.
    """

    reason = "Forbidden"

    def __init__(self, *, what: str, where: str, mend: str, lacks_right: bool = False) -> None:
        super().__init__(what=what, where=where, mend=mend)
        self.lacks_right = lacks_right


class Paused(ClusterError):
    """A person has stopped all writes; nothing was sent."""

    reason = "Paused"


class AdmissionDenied(Forbidden):
    """An admission webhook or policy does not let the object in: the object or the policy is to change."""

    reason = "AdmissionDenied"


class QuotaExceeded(Forbidden):
    """A ResourceQuota of the namespace leaves no room for it."""

    reason = "QuotaExceeded"
    retry = True


class Terminating(Forbidden):
    """Nothing new gets into a namespace that is being deleted."""

    reason = "Terminating"
    retry = True


class NotAllowed(ClusterError):
    """The configuration does not let this project write such an object; nothing was sent."""

    reason = "NotAllowed"


class NotFound(ClusterError):
    """The API server itself answered that the object or its namespace is not there."""

    reason = "NotFound"


class KindNotServed(ClusterError):
    """
    404 that names no object: the kind or version is not served (yet), or a proxy answered.

    Not a NotFound on purpose: an object of a version that is served no more still exists.
    """

    reason = "KindNotServed"
    retry = True


class KindNotKept(ClusterError):
    """The kind is served, but its objects cannot be read and applied, as those of a SubjectAccessReview."""

    reason = "KindNotKept"


class AlreadyExists(ClusterError):
    """Create of a name that is taken."""

    reason = "AlreadyExists"


class Conflict(ClusterError):
    """A precondition (resourceVersion, uid) or another writer's field stands against the write."""

    reason = "Conflict"


class Invalid(ClusterError):
    """
    The content is wrong: 400, 415, 422, or the 500 that a typo gets from server-side apply.

    `causes` are (field, message) pairs as far as the server gives them; for a Secret
    the messages are left out, they quote values.
    """

    reason = "Invalid"

    def __init__(self, *, what: str, where: str, mend: str, causes: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(what=what, where=where, mend=mend)
        self.causes = causes


class NoDryRun(ClusterError):
    """An admission webhook for the object cannot be asked without a real write."""

    reason = "NoDryRun"


class Immutable(Invalid):
    """The object would be accepted, were it new: each of `causes` names a field that cannot be changed."""

    reason = "Immutable"


class TooLarge(ClusterError):
    """The object is above the server's bound, or an answer above ours."""

    reason = "TooLarge"


class TooManyRequests(ClusterError):
    """The server kept refusing for load; `retry_after` is its last word in seconds."""

    reason = "TooManyRequests"
    retry = True

    def __init__(self, *, what: str, where: str, mend: str, retry_after: float | None = None) -> None:
        super().__init__(what=what, where=where, mend=mend)
        self.retry_after = retry_after


class ServerFault(ClusterError):
    """5xx, or an answer that is not what the API promises."""

    reason = "ServerFault"
    retry = True

    def __init__(self, *, what: str, where: str, mend: str, retry_after: float | None = None) -> None:
        super().__init__(what=what, where=where, mend=mend)
        self.retry_after = retry_after


class WebhookUnavailable(ServerFault):
    """An admission webhook that must be asked cannot be reached, is too slow or answers nonsense."""

    reason = "WebhookUnavailable"


class ConversionFailed(ServerFault):
    """Objects of the kind cannot be converted between its versions: its webhook does not work."""

    reason = "ConversionFailed"


class ServerTimeout(ServerFault):
    """The server itself ran out of time; a write may have happened."""

    reason = "ServerTimeout"


class Unreachable(ClusterError):
    """
    No answer came.

    `maybe_written` is True when a write had been sent: of 128 writes in flight when a
    server is killed, a quarter were committed, so this never means "not applied".
    """

    reason = "Unreachable"
    retry = True

    def __init__(self, *, what: str, where: str, mend: str, maybe_written: bool = False) -> None:
        super().__init__(what=what, where=where, mend=mend)
        self.maybe_written = maybe_written


class RequestTimeout(Unreachable):
    """Our own limit for one request is over."""

    reason = "RequestTimeout"


class DiscoveryIncomplete(ClusterError):
    """The kind's group could not be asked (aggregated API down): neither there nor absent."""

    reason = "DiscoveryIncomplete"
    retry = True


class NotLeader(ClusterError):
    """
    The lease of this process has run out, or runs out in a moment.

    Not the fault of any object: the run ends as a stopped one does, and the next holder goes on.
    """

    reason = "NotLeader"
    retry = True


class ListExpired(ClusterError):
    """The snapshot that pages are cut from expired, also for the second attempt."""

    reason = "ListExpired"
    retry = True


class WatchExpired(ClusterError):
    """The resourceVersion is too old for a watch; only a new list helps."""

    reason = "WatchExpired"
    retry = True


class WatchLost(ClusterError):
    """The stream broke, fell silent, or sent what is not an event."""

    reason = "WatchLost"
    retry = True
