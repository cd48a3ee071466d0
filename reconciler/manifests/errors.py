"""
The errors of this layer.

    ManifestError            a manifest that only a commit can mend: no retry helps
    ├── DecodeError          a text that is not YAML or JSON as we accept it; has a line
    ├── ManifestInvalid      a document that is no object we could apply
    │   └── KindUnknown      the cluster does not serve its kind (yet)
    └── SubstitutionFailed   a value that it takes from another object is not to be had (now)
"""

from reconciler.errors import ReconcilerError


class ManifestError(ReconcilerError):
    """Something in a manifest is wrong; only a commit mends it."""


class DecodeError(ManifestError):
    """
    A document that cannot be read.

    `line` and `column` are 1-based. No text ever shows a value: it may be a secret's.
    """

    def __init__(self, line: int, what: str, mend: str = "", *, column: int = 1) -> None:
        super().__init__(what=what, where=f"line {line}", mend=mend)
        self.line = line
        self.column = column


class ManifestInvalid(ManifestError):
    """A well-formed document that is no object we could apply; whoever catches it adds file and line."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what=what, where="", mend=mend)


class KindUnknown(ManifestInvalid):
    """An object of a kind that neither the cluster nor a manifest beside it defines."""


class SubstitutionFailed(ManifestError):
    """A value could not be taken over from another object; whoever catches it knows which object wants it."""

    def __init__(self, *, what: str, mend: str) -> None:
        super().__init__(what=what, where="", mend=mend)
