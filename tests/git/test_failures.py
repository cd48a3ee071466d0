"""What git, curl and ssh say becomes the right kind of error, without their words."""

import pytest

from reconciler.git.errors import (
    AuthenticationFailed,
    GitError,
    LimitExceeded,
    LocalFailure,
    MirrorDamaged,
    RepositoryNotFound,
    SourceCorrupt,
    SourceRefused,
    SourceUnreachable,
)
from reconciler.git.failures import explain, refuses_ids
from reconciler.git.process import Cut, Finished, GitDeadlines

GONE = "fatal: Could not read from remote repository."
SAID = [
    ("fatal: unable to access 'https://h/r/': The requested URL returned error: 403", AuthenticationFailed),
    (
        "remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://h/r/'",
        AuthenticationFailed,
    ),
    ("fatal: could not read Username for 'https://h': terminal prompts disabled", AuthenticationFailed),
    (f"git@h: Permission denied (publickey).\n{GONE}", AuthenticationFailed),
    (f"Host key verification failed.\n{GONE}", AuthenticationFailed),
    (f"ERROR: Repository not found.\n{GONE}", RepositoryNotFound),
    (f"remote: ERROR: The project you were looking for could not be found\n{GONE}", RepositoryNotFound),
    ("fatal: repository 'https://h/r/' not found", RepositoryNotFound),
    ("fatal: '/r' does not appear to be a git repository", RepositoryNotFound),
    ("fatal: unable to access 'https://h/r/': The requested URL returned error: 301", SourceRefused),
    ("fatal: transport 'ext' not allowed", SourceRefused),
    ("fatal: mismatched algorithms: client sha1; server sha256", SourceRefused),
    ("fatal: unable to access 'https://h/r/': Could not resolve host: h", SourceUnreachable),
    (
        "fatal: unable to access 'https://h/r/': Failed to connect to h port 443: Connection refused",
        SourceUnreachable,
    ),
    (f"ssh: connect to host h port 22: Connection timed out\r\n{GONE}", SourceUnreachable),
    ("fatal: unable to access 'https://h/r/': server certificate verification failed.", SourceUnreachable),
    ("error: RPC failed; curl 56 Recv failure\nfatal: expected 'packfile'", SourceUnreachable),
    ("fatal: the remote end hung up unexpectedly\nfatal: early EOF", SourceUnreachable),
    ("Connection to h closed by remote host.\nfatal: expected flush after ref listing", SourceUnreachable),
    ("fatal: invalid ls-refs response: 018e11", SourceUnreachable),
    ("error: object 1234: zeroPaddedFilemode\nfatal: fsck error in packed object", SourceCorrupt),
    ("fatal: write error: No space left on device\nfatal: index-pack failed", LocalFailure),
    ("fatal: write error: File too large\nfatal: index-pack failed", LocalFailure),
    ("error: failed to write new configuration file /m/config.lock\nfatal: could not set 'x'", LocalFailure),
    ("remote: fatal: write error: No space left on device\nfatal: early EOF", SourceUnreachable),
    ("error: cannot open '/m/FETCH_HEAD': Permission denied\n", LocalFailure),
    ("error: cannot run ssh: No such file or directory\nfatal: unable to fork", LocalFailure),
    (f"ssh -F /dev/null -o BatchMode=yes: 1: ssh: not found\n{GONE}", LocalFailure),
    (f"/bin/sh: line 1: ssh: command not found\n{GONE}", LocalFailure),
    ("fatal: loose object 1234 (stored in ./objects/12/34) is corrupt", MirrorDamaged),
    ("remote: fatal: loose object 1234 is corrupt\nfatal: early EOF", SourceUnreachable),
    ("fatal: Out of memory? malloc failed", LimitExceeded),
    ("something that nobody has seen before, with a canary", SourceUnreachable),
]


def error_of(errors: str, cut: Cut = Cut.NOT) -> GitError | None:
    ended = Finished(128, b"", errors, cut)
    return explain(ended, doing="fetch", where="https://h/r", deadlines=GitDeadlines(), max_size=2**20)


@pytest.mark.parametrize(("errors", "kind"), SAID, ids=[said[:60] for said, _ in SAID])
def test_kind_of_error(errors: str, kind: type[GitError]) -> None:
    error = error_of(errors)
    assert type(error) is kind, str(error)
    assert error.where == "https://h/r"
    assert "canary" not in str(error)


@pytest.mark.parametrize("cut", [cut for cut in Cut if cut is not Cut.NOT])
def test_every_early_end_is_explained(cut: Cut) -> None:
    error = error_of("fatal: early EOF", cut)
    assert error is not None
    assert "in the middle" not in error.what, "our own deadline is named, not what it caused"


def test_success_is_no_error() -> None:
    assert (
        explain(Finished(0, b"", "", Cut.NOT), doing="", where="", deadlines=GitDeadlines(), max_size=0)
        is None
    )


@pytest.mark.parametrize(
    ("errors", "want"),
    [
        ("fatal: remote error: upload-pack: not our ref 1234", True),
        ("error: Server does not allow request for unadvertised object 1234", True),
        ("fatal: couldn't find remote ref 1234", True),
        ("fatal: early EOF", False),
    ],
)
def test_refusal_to_send_by_id(errors: str, want: bool) -> None:
    assert refuses_ids(Finished(128, b"", errors, Cut.NOT)) is want
