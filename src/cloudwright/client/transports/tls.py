"""The TLS context of an ``Access``. Certificates are always verified unless the kubeconfig says
not to.
"""

from __future__ import annotations

import ssl
import tempfile

from cloudwright.client.credentials import Credential
from cloudwright.client.kubeconfig import Access


def context(access: Access, credential: Credential | None = None) -> ssl.SSLContext:
    """A client context with the access's authority, and its certificate or that of a plug-in."""
    made = ssl.create_default_context(cadata=access.ca.decode() if access.ca else None)
    if access.insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    certificate, key = access.certificate, access.key
    if credential is not None and credential.certificate:
        certificate, key = credential.certificate, credential.key
    if certificate:
        # The ssl module reads certificates from files only; this one is ours alone and gone at
        # once.
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(certificate + b"\n" + key)
            pair.flush()
            made.load_cert_chain(pair.name)
    return made
