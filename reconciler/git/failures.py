"""
From what git said at its end to an error that a person can act on.

Pure. git's text is only looked at, never passed on: parts of it come from the server,
which may repeat a secret. Every row names the words of git, curl or ssh that it knows
(git 2.30 to 2.50, LC_ALL=C); what no row knows is reported with git's exit status alone.
"""

import re

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
from reconciler.git.process import Cut, Finished, GitDeadlines

AGAIN = "it is tried again; if it repeats, look at the server and at the network to it"
FULL = "the disk of the mirrors is full"
MAKE_ROOM = "make room where --data-dir is, or let it name a directory on another disk"
USABLE = "let --data-dir name a directory that this user may write"

# First match wins: the particular before the general. Words of the local disk come first,
# since git adds "remote end hung up" to many of its own failures.
_ROWS: tuple[tuple[str, type[GitError], str, str], ...] = (
    (
        r"No space left on device|Disk quota exceeded|File too large$",
        LocalFailure,
        FULL,
        MAKE_ROOM,
    ),
    (
        r"(cannot|unable to|could not) .*(Permission denied$|Read-only file system)|"
        r"insufficient permission for adding|failed to write new configuration file",
        LocalFailure,
        "the mirror directory cannot be written",
        USABLE,
    ),
    (
        # git's words where it starts ssh itself, and a shell's, which it asks to start one with options.
        r"cannot run ssh: |: ssh: not found$|: ssh: command not found$",
        LocalFailure,
        "ssh is not installed",
        "install openssh-client where the service runs; the image has it",
    ),
    (
        r"attempting to allocate|Out of memory",
        LimitExceeded,
        "the repository holds an object that is too big to check",
        "remove it from the revision that is followed",
    ),
    (
        r"not a git repository: '/|bad config|is corrupt|loose object|object file .* is empty|"
        r"packfile .* (cannot|does not)|index file .* is|bad object refs/|bad shallow line|"
        r"unable to parse commit",
        MirrorDamaged,
        "the mirror on disk is damaged",
        "it is replaced and fetched anew",
    ),
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|no matching host key",
        AuthenticationFailed,
        "the server's host key is not in known_hosts",
        "compare the key with the server's owner, then correct known_hosts",
    ),
    (
        r"Permission denied \(|Authentication failed|could not read (Username|Password)|error: 40[13]\b|"
        r"Load key .*(invalid|error)|HTTP 40[13]\b|Too many authentication failures",
        AuthenticationFailed,
        "the server did not accept the credentials",
        "check that they are valid and may read this repository",
    ),
    (
        r"error: 30[12378]\b",
        SourceRefused,
        "the server redirects to another address, which is not followed",
        "write the final address as url; with GitLab and GitHub it ends in .git",
    ),
    (
        r"error: 404\b|[Rr]epository .*not found|could not be found|"
        r"does not appear to be a git repository|does not exist",
        RepositoryNotFound,
        "the server knows no such repository, or hides it",
        "check the URL, and that the credentials may read it",
    ),
    (
        r"transport '[^']*' not allowed|strange (host|path)name|dubious ownership",
        SourceRefused,
        "git refuses to open this repository",
        "use a repository over https or ssh",
    ),
    (
        r"mismatched algorithms",
        SourceRefused,
        "the repository names its objects by SHA-256, which is not read here",
        "use a repository with SHA-1 object names, git's default",
    ),
    (
        r"certificate|SSL|GnuTLS|gnutls_handshake",
        SourceUnreachable,
        "the TLS connection failed; the server's certificate may not be trusted",
        "add the server's CA as ca.crt to the credentials, or mend the certificate",
    ),
    (r"error: 429\b", SourceUnreachable, "the server asks for fewer requests (HTTP 429)", AGAIN),
    (r"error: 5\d\d\b", SourceUnreachable, "the server failed (HTTP 5xx)", AGAIN),
    (
        r"Could not resolve|Name or service not known",
        SourceUnreachable,
        "the host name has no address",
        AGAIN,
    ),
    (
        r"Connection refused|Failed to connect|Couldn't connect|No route to host|"
        r"Network is unreachable|timed out",
        SourceUnreachable,
        "the server cannot be reached",
        AGAIN,
    ),
    (
        r"fsck error|[Bb]ad (tree|commit|object)\b|object corrupt|sha1 mismatch|inflate returned|"
        r"pack (signature|version|is corrupted|has)|unresolved deltas|invalid index-pack output|"
        r"did not send all necessary objects",
        SourceCorrupt,
        "the server sent objects that are broken",
        "nothing of them is used; run `git fsck` in the repository on the server",
    ),
    (
        r"curl 18|transfer closed|RPC failed; (curl|HTTP/2)|Connection reset|closed by remote host",
        SourceUnreachable,
        "the server ended the connection in the middle",
        AGAIN,
    ),
    (
        r"protocol error|bad line length|invalid (server|ls-refs) response|not valid: |bad pack header|"
        r"expected (flush|packfile|'|acknowledgments|ACK)|unexpected (line|end)|unknown object format",
        SourceUnreachable,
        "the server's answer is not the git protocol",
        AGAIN,
    ),
    (
        r"early EOF|hung up|Connection closed|Empty reply|RPC failed|Recv failure|Broken pipe|disconnect|"
        r"partial file|index-pack (failed|died)|Could not read from remote repository",
        SourceUnreachable,
        "the server ended the connection in the middle",
        AGAIN,
    ),
)
_TABLE = tuple((re.compile(words, re.MULTILINE), kind, what, mend) for words, kind, what, mend in _ROWS)

# What servers say that hand out branches but not commits by id.
_BY_ID_REFUSED = re.compile(
    r"not our ref|unadvertised object|[Nn]o such remote ref|couldn't find remote ref|not allow request"
)


def refuses_ids(ended: Finished) -> bool:
    """Did the server only refuse to send a commit by its id (or does it not have it)?"""
    return ended.cut is Cut.NOT and ended.status != 0 and bool(_BY_ID_REFUSED.search(ended.errors))


def disk_full(doing: str, *, where: str) -> LocalFailure:
    """The error for a call of git that found no room, which git does not always say."""
    return LocalFailure(what=f"{doing}: {FULL}", where=where, mend=MAKE_ROOM)


def explain(
    ended: Finished, *, doing: str, where: str, deadlines: GitDeadlines, max_size: int
) -> GitError | None:
    """The error for a call of git that did not succeed, None for one that did."""
    if ended.cut is not Cut.NOT:
        return _cut_short(ended.cut, doing, where, deadlines, max_size)
    if ended.status == 0:
        return None
    ours = "\n".join(line for line in ended.errors.splitlines() if not line.startswith("remote:"))
    for words, kind, what, mend in _TABLE:
        # A server that complains of its own disk must not be taken for ours.
        if words.search(ours if kind in (LocalFailure, MirrorDamaged) else ended.errors):
            return kind(what=f"{doing}: {what}", where=where, mend=mend)
    return SourceUnreachable(
        what=f"{doing}: git ended with status {ended.status} for a reason we do not know",
        where=where,
        mend=AGAIN,
    )


def _cut_short(cut: Cut, doing: str, where: str, deadlines: GitDeadlines, max_size: int) -> GitError:
    match cut:
        case Cut.SIZE:
            return LimitExceeded(
                what=f"{doing}: the server sends more than {max_size // 1024**2} MiB",
                where=where,
                mend="follow a smaller repository, or raise the size limit of mirrors",
            )
        case Cut.OUTPUT:
            return LimitExceeded(
                what=f"{doing}: the list of refs has no end", where=where, mend="remove refs on the server"
            )
        case Cut.CONNECT:
            text = f"no answer within {deadlines.connect:g} s"
        case Cut.IDLE:
            text = f"the server fell silent for {deadlines.idle:g} s"
        case _:
            text = f"not done within {deadlines.total:g} s"
    return SourceUnreachable(what=f"{doing}: {text}", where=where, mend=AGAIN)
