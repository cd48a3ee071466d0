"""What can go wrong with the demo itself."""

from reconciler.errors import ReconcilerError


class DemoError(ReconcilerError):
    """The demo cannot be shown, or has found something that is not as it should be."""
