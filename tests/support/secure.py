# SPDX-License-Identifier: MIT
"""Certificates, and clients that speak TLS or send a PROXY protocol header first."""
import pathlib
import ssl
import subprocess

from .rawclient import Client


class Pair:
    """A self-signed certificate and its key, as files."""

    def __init__(self, folder, name="localhost", kind=("ec", "ec_paramgen_curve:P-256"), days=2):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", kind[0], "-pkeyopt", kind[1], "-nodes", "-days", str(days),
                        "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", str(self.key), "-out", str(self.certificate)], check=True, capture_output=True)

    def context(self, *others, alpn=("http/1.1",), lowest=None, highest=None):
        """A client's settings that trust this certificate and the others."""
        c = ssl.create_default_context(cafile=str(self.certificate))
        for other in others:
            c.load_verify_locations(str(other.certificate))
        if alpn:
            c.set_alpn_protocols(list(alpn))
        if lowest:
            c.minimum_version = lowest
        if highest:
            c.maximum_version = highest
        return c


class TlsClient(Client):
    """Reads strictly: an end without close_notify is ssl.SSLEOFError."""

    def __init__(self, port, context, before=b"", session=None, name="localhost", **kwargs):
        super().__init__(port, **kwargs)
        try:
            if before:
                self.sock.sendall(before)
            self.sock = context.wrap_socket(self.sock, server_hostname=name, suppress_ragged_eofs=False, session=session)
        except BaseException:
            self.sock.close()
            raise
