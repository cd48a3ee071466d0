"""
What can be wrong with our own HTTP endpoint; a person mends it, nothing is retried.

    WebError
    |- AddressInvalid   the text is no HOST:PORT
    `- ListenFailed     the address cannot be had: taken, not ours, or not allowed
"""

from reconciler.errors import ReconcilerError


class WebError(ReconcilerError):
    """Any failure of the endpoint for health and metrics."""


class AddressInvalid(WebError):
    """Not an address that can be listened on."""


class ListenFailed(WebError):
    """The operating system does not give us the address."""
