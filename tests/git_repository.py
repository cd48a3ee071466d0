"""A bare git repository that tests commit to, and a CA of their own, for fix_git.py."""

import datetime
import ipaddress
import os
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

AUTHOR = "Test Author <author@example.com> 1700000000 +0000"
GIT_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", ""),
    "HOME": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Test Author",
    "GIT_AUTHOR_EMAIL": "author@example.com",
    "GIT_COMMITTER_NAME": "Test Author",
    "GIT_COMMITTER_EMAIL": "author@example.com",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}


@dataclass(frozen=True)
class Symlink:
    """An entry of mode 120000."""

    target: str


@dataclass(frozen=True)
class Submodule:
    """An entry of mode 160000."""

    commit: str


class Repository:
    """A bare repository whose HEAD is `main`, with no commit at first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = str(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["git", "init", "--quiet", "--bare", "--initial-branch=main", "--template=", str(path)],
            env=GIT_ENVIRONMENT,
            check=True,
        )

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run git in the repository, return its output without the last newline."""
        done = subprocess.run(
            ["git", f"--git-dir={self.path}", *arguments],
            env=GIT_ENVIRONMENT,
            input=stdin,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode().removesuffix("\n")

    def commit(
        self,
        files: Mapping[str, str | bytes | Symlink | Submodule | None],
        *,
        branch: str = "main",
        message: str = "change",
        force: bool = False,
    ) -> str:
        """
        Commit on top of `branch` (made if missing), return the commit's id. None removes a file;
        `force` starts a new history, as a force-push does.
        """
        ref = f"refs/heads/{branch}"
        lines = [f"commit {ref}\ncommitter {AUTHOR}\n".encode(), _data(message)]
        if not force and self.ref(ref):
            lines.append(f"from {ref}^0\n".encode())
        lines += [_entry(path, content) for path, content in files.items()]
        self.git("fast-import", "--quiet", "--force", stdin=b"".join(lines))
        return self.ref(ref)

    def ref(self, name: str) -> str:
        """The id that a ref holds, "" if there is none."""
        return self.git("for-each-ref", "--format=%(objectname)", name)

    def branch(self, name: str, commit: str) -> None:
        """Make a branch, or move it wherever it was."""
        self.git("update-ref", f"refs/heads/{name}", commit)

    def tag(self, name: str, commit: str, *, annotated: bool = False) -> None:
        """Make a tag, or move it."""
        options = ["--annotate", "--message=a tag"] if annotated else []
        self.git("tag", "--force", *options, name, commit)

    def delete_branch(self, name: str) -> None:
        self.git("update-ref", "-d", f"refs/heads/{name}")

    def delete_tag(self, name: str) -> None:
        self.git("update-ref", "-d", f"refs/tags/{name}")


def _data(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return b"data %d\n%s\n" % (len(raw), raw)


def _entry(path: str, content: str | bytes | Symlink | Submodule | None) -> bytes:
    name = '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    match content:
        case None:
            return f"D {name}\n".encode()
        case Symlink(target):
            return f"M 120000 inline {name}\n".encode() + _data(target)
        case Submodule(commit):
            return f"M 160000 {commit} {name}\n".encode()
        case _:
            return f"M 100644 inline {name}\n".encode() + _data(content)


@dataclass(frozen=True)
class Authority:
    """A CA of our own: its certificate for clients, and a TLS context for a server on localhost."""

    pem: bytes
    server: ssl.SSLContext = field(repr=False)


def make_authority(directory: Path) -> Authority:
    """A CA and a certificate for localhost and 127.0.0.1, valid from yesterday until tomorrow."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    ca = _certificate(ca_name, ca_name, ca_key, ca_key).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    leaf = _certificate(name, ca_name, key, ca_key).add_extension(
        x509.SubjectAlternativeName(names), critical=False
    )
    pem = ca.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    chain = directory / "server.pem"
    chain.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + leaf.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return Authority(pem, context)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        x509.CertificateBuilder(
            issuer, subject, key.public_key(), x509.random_serial_number(), now - day, now + day
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_id, critical=False)
    )
