"""Certificates for tests of TLS: two authorities, and what they signed, as PEM files in a folder."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

ADDRESS = "127.0.0.1"
"""Whom the servers' certificates name: `localhost` is somebody else."""
KEY_PASSWORD = "key-hunter-2"
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Certificates:
    """Files: `ca` signed `server` and `client` (each with its key), and those that have expired; `stranger` signed others.

    A server's key is in the file of its certificate. `locked` is the client's key under KEY_PASSWORD.
    """

    def __init__(self, folder: Path) -> None:
        ca, stranger = trustme.CA(organization_name="ours"), trustme.CA(organization_name="a stranger")
        self.ca = self._write(folder / "ca.pem", ca.cert_pem.bytes())
        self.stranger = self._write(folder / "stranger.pem", stranger.cert_pem.bytes())
        self.server, _ = self._issue(folder / "server", ca.issue_cert(ADDRESS, common_name="server"))
        self.expired, _ = self._issue(
            folder / "expired", ca.issue_cert(ADDRESS, common_name="server", not_before=_LONG_AGO, not_after=_LONG_AGO)
        )
        self.client, self.key = self._issue(folder / "client", ca.issue_cert("worker", common_name="worker"))
        self.old_client, _ = self._issue(
            folder / "old", ca.issue_cert("worker", common_name="worker", not_before=_LONG_AGO, not_after=_LONG_AGO)
        )
        self.foreign_client, _ = self._issue(folder / "foreign", stranger.issue_cert("worker", common_name="worker"))
        self.locked = self._write(folder / "locked.key", _pkcs8(self.key.read_bytes(), KEY_PASSWORD))

    def server_context(self, shown: Path, *, asks: bool = False) -> ssl.SSLContext:
        """For a server of our own that shows this certificate, and asks for the client's."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca if asks else None)
        context.load_cert_chain(shown)
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _issue(self, name: Path, made: trustme.LeafCert) -> tuple[Path, Path]:
        """The certificate with its key in one file, and the key alone."""
        key = _pkcs8(made.private_key_pem.bytes())
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        return self._write(name.with_suffix(".pem"), key + chain), self._write(name.with_suffix(".key"), key)

    def _write(self, path: Path, content: bytes) -> Path:
        path.write_bytes(content)
        return path


def _pkcs8(key: bytes, password: str | None = None) -> bytes:
    """A private key as Kafka takes it."""
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption(),
    )
