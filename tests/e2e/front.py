"""The name of Docker Hub on the loopback: a proxy that clients go through, with a certificate that they are to trust.

Clients that know one server only run here as they are. Whatever else they ask for they do not get, and it is written
down.
"""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

from anyio.from_thread import start_blocking_portal
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HUB = "hub.docker.com"
REGISTRY = "registry-1.docker.io"
TOKENS = "auth.docker.io"
LOGIN = "login.docker.com"
NAMES = (HUB, REGISTRY, TOKENS, LOGIN)


class Front:
    """`asked` are the places that clients wanted to be connected with, `host:port`."""

    def __init__(self, folder: Path, upstream: int) -> None:
        self.certificate = folder / "front.pem"
        self.asked: set[str] = set()
        self._upstream = upstream
        key = folder / "front.key"
        _write_certificate(self.certificate, key)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(self.certificate, key)

    @property
    def environment(self) -> dict[str, str]:
        """What has clients go this way, and no other."""
        proxy = f"http://127.0.0.1:{_port(self._proxy)}"
        return {
            **dict.fromkeys(
                ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), proxy
            ),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
            **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), str(self.certificate)),
        }

    async def start(self) -> None:
        self._inside = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self._proxy = await asyncio.start_server(self._connect, "127.0.0.1", 0)

    async def stop(self) -> None:
        self._proxy.close()
        self._inside.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """`CONNECT host:port`, after which bytes go either way."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        method, target = head.split(b" ", 2)[:2]
        self.asked.add(target.decode())
        if method != b"CONNECT" or target.decode() not in {f"{name}:443" for name in NAMES}:
            writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await _join(reader, writer, _port(self._inside))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _join(reader, writer, self._upstream)


@contextlib.contextmanager
def running_front(folder: Path, upstream: int) -> Iterator[Front]:
    """A front of a server on a port of the loopback."""
    front = Front(folder, upstream)
    with start_blocking_portal() as portal:
        portal.call(front.start)
        try:
            yield front
        finally:
            portal.call(front.stop)


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(_pump(reader, other_writer), _pump(other_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def _write_certificate(certificate: Path, key: Path) -> None:
    """A certificate that is its own authority."""
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Homeport's tests")])
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"), False
    )
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in NAMES]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, encipher_only=False, decipher_only=False, **usage
            ),
            critical=True,
        )
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
