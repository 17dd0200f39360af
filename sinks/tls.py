"""What TLS refused, in words: a library's error to what was wrong with which certificate, and what to do.

One table for every server; the settings of each begin with its name, such as VOLVERE_KAFKA.
"""

from __future__ import annotations

import ssl

_EXPIRED, _NOT_YET = 10, 9
_OTHER_HOST = (62, 64)
"""Codes of OpenSSL's verdict on a certificate (X509_V_ERR_...)."""

_MISSED = ("BAD_CERTIFICATE", "CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")
_REFUSED = (
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REVOKED",
    "UNKNOWN_CA",
    "UNSUPPORTED_CERTIFICATE",
)
"""How the alerts end that a server sends when it wants a client certificate, and when it does not accept ours."""


def refusal(error: BaseException, settings: str) -> str | None:
    """What is wrong and what to do, in one line; None where the error, and what caused it, is not TLS's.

    settings: how the names of this server's settings begin.
    """
    found = next((link for link in causes(error) if isinstance(link, ssl.SSLError)), None)
    if found is None:
        return None
    if isinstance(found, ssl.SSLEOFError):
        return (
            f"it breaks off TLS without a word; if it asks for a certificate, does it trust who signed that in "
            f"{settings}_CERT_FILE?"
        )
    if isinstance(found, ssl.SSLCertVerificationError):
        return _verdict(found, settings)
    reason = found.reason or ""
    if reason.endswith(_REFUSED):
        return (
            f"it does not accept our certificate ({_plain(reason)}); has that expired, or did somebody sign it whom "
            f"the server does not trust? `openssl x509 -noout -dates -issuer -in` the file in {settings}_CERT_FILE tells"
        )
    if reason.endswith(_MISSED):
        return (
            f"it asks for a certificate of ours ({_plain(reason)}); set {settings}_CERT_FILE and {settings}_KEY_FILE "
            "to one that the server trusts"
        )
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return "this address does not speak TLS"
    return f"TLS failed ({_plain(reason) or found})"


def _verdict(error: ssl.SSLCertVerificationError, settings: str) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired; renew it on the server"
    if error.verify_code == _NOT_YET:
        return "its certificate is not valid yet; look at the clocks of this machine and of who issued it"
    if error.verify_code in _OTHER_HOST:
        return f"its certificate is for another host ({error.verify_message.rstrip('.')}); use the name that it was issued for"
    return (
        f"its certificate is not signed by anybody whom we trust ({error.verify_message}); "
        f"set {settings}_CA_FILE to the certificate of who signed it"
    )


def causes(error: BaseException) -> list[BaseException]:
    """An error and what led to it, near before far. urllib3 keeps that as `reason`, or as an argument."""
    seen = [error]
    for link in seen:  # grows on the way
        inner = (link.__cause__, link.__context__, getattr(link, "reason", None), *link.args)
        seen += [e for e in inner if isinstance(e, BaseException) and e not in seen]
    return seen


def _plain(reason: str) -> str:
    return reason.replace("_", " ").lower()
