"""Requests to where users say reach what they may reach, at the moment when they connect."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator, Sequence
from datetime import timedelta
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from homeport.addresses import Networks, is_public
from homeport.core import outbound
from homeport.core.outbound import Answer, Outbound, Undelivered, Url
from homeport.storage.db.database import utcnow
from tests.postgres import free_port
from tests.receiving import Received, Receiver, Reply

ALLOWED = Networks(["127.0.0.2/32", "127.0.0.3/32"])
FORBIDDEN = "the URL leads to an address that is not allowed"
PRIVATE = {"webhook-signature": "v1,none"}


@contextlib.contextmanager
def receiving(host: str = "127.0.0.2") -> Iterator[Receiver]:
    with Receiver(host).running() as receiver:
        yield receiver


def names(**answers: Sequence[str]) -> Any:
    """A resolver: for each name its addresses, one after the other if they are in a list of lists."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        found = answers[host.replace(".", "_")]
        return [found[min(asked.count(host), len(found)) - 1]]

    return resolve


def post(url: str, *, allowed: Networks = ALLOWED, resolve: Any = None, content: bytes = b"{}") -> Answer:
    async def verb() -> Answer:
        async with Outbound(allowed, resolve=resolve) as client:
            return await client.post(url, headers={"x-plain": "yes"}, private_headers=PRIVATE, content=content)

    return run(verb())


def run(verb: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(verb)


def refused(url: str, **options: Any) -> str:
    with pytest.raises(Undelivered) as caught:
        post(url, **options)
    return str(caught.value)


def test_an_answer_is_a_status_and_the_beginning_of_a_body() -> None:
    with receiving() as receiver:
        receiver.reply = lambda _received: Reply(418, body=b"short and stout")
        assert post(f"{receiver.url}/a/path?and=query", content=b"sent") == Answer(418, b"short and stout")
    (received,) = receiver.requests
    assert (received.path, received.body) == ("/a/path?and=query", b"sent")
    assert received.headers["host"] == receiver.url.removeprefix("http://")
    assert received.headers["x-plain"] == "yes"
    assert received.headers["webhook-signature"] == PRIVATE["webhook-signature"]


SPELLINGS = ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"]


@pytest.mark.parametrize("host", SPELLINGS)
def test_loopback_is_refused_however_it_is_spelt(host: str) -> None:
    with receiving("127.0.0.1") as receiver:
        assert refused(f"http://{host}:{receiver.port}/") == FORBIDDEN
    assert receiver.connections == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "0"])
def test_the_unspecified_address_is_refused(host: str) -> None:
    with receiving("127.0.0.1") as receiver:
        assert refused(f"http://{host}:{receiver.port}/") == FORBIDDEN
    assert receiver.connections == 0


def test_an_allowed_network_is_allowed_in_any_spelling_and_nothing_beside_it() -> None:
    with receiving() as receiver:
        for host in ("127.0.0.2", "2130706434", "0x7f.2", "[::ffff:127.0.0.2]"):
            assert post(f"http://{host}:{receiver.port}/").status == 200
        assert refused(f"http://127.0.0.4:{receiver.port}/") == FORBIDDEN
        assert refused(f"{receiver.url}/", allowed=Networks()) == FORBIDDEN


def test_a_name_that_means_something_else_the_second_time_does_not_help() -> None:
    """The name is asked for once for each connection, and the connection goes to what was checked."""
    resolve = names(rebinding_example=["127.0.0.2", "127.0.0.1"])
    with receiving() as good, Receiver("127.0.0.1", good.port).running() as inner:
        url = f"http://rebinding.example:{good.port}/"

        async def verb() -> tuple[Answer, str]:
            async with Outbound(ALLOWED, resolve=resolve) as client:
                answer = await client.post(url, headers={}, private_headers={}, content=b"")
                with pytest.raises(Undelivered) as caught:
                    await client.post(url, headers={}, private_headers={}, content=b"")
                return answer, str(caught.value)

        assert asyncio.run(verb()) == (Answer(200, b"thanks"), FORBIDDEN)
    assert (len(good.requests), inner.connections) == (1, 0)
    assert good.requests[0].headers["host"] == f"rebinding.example:{good.port}"


def test_a_redirect_by_a_name_that_has_changed_meanwhile_is_refused() -> None:
    resolve = names(rebinding_example=["127.0.0.2", "127.0.0.1"])
    with receiving() as good, Receiver("127.0.0.1", good.port).running() as inner:
        good.reply = lambda _received: Reply(307, {"location": f"http://rebinding.example:{good.port}/next"})
        assert refused(f"http://rebinding.example:{good.port}/", resolve=resolve) == FORBIDDEN
    assert (len(good.requests), inner.connections) == (1, 0)


@given(number=st.integers(0, 2**128 - 1))
def test_what_a_name_resolves_to_is_refused_unless_it_is_public(number: int) -> None:
    address = IPv6Address(number & ~(0xFF << 120) | 0xFD << 120)
    assert not is_public(address)
    assert refused("http://inner.example/", resolve=names(inner_example=[str(address)])) == FORBIDDEN


@pytest.mark.parametrize("address", ["fe80::1%lo", "fe80::1%25lo", "nonsense", ""])
def test_what_is_no_plain_address_is_refused(address: str) -> None:
    assert refused("http://odd.example/", resolve=names(odd_example=[address])) == FORBIDDEN


def test_only_the_allowed_addresses_of_a_name_are_connected_to() -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1", "127.0.0.3", "127.0.0.2"]

    with receiving() as good, Receiver("127.0.0.1", good.port).running() as inner:
        # Nobody listens at the first one that is allowed: the next one is tried.
        assert post(f"http://both.example:{good.port}/", resolve=resolve).status == 200
    assert inner.connections == 0


# Redirects


def redirecting(receiver: Receiver, location: str, status: int = 307) -> None:
    receiver.reply = lambda received: (
        Reply(status, {"location": location}) if received.path == "/" else Reply(200, body=b"arrived")
    )


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_followed_with_the_same_request(status: int) -> None:
    with receiving() as receiver:
        redirecting(receiver, "/next?a=b", status)
        assert post(f"{receiver.url}/", content=b"sent") == Answer(200, b"arrived")
    first, second = receiver.requests
    assert (second.path, second.body) == ("/next?a=b", first.body)
    assert second.headers["webhook-signature"] == PRIVATE["webhook-signature"]


@pytest.mark.parametrize("status", [300, 303, 304, 305])
def test_other_answers_in_the_three_hundreds_are_no_redirects(status: int) -> None:
    with receiving() as receiver:
        receiver.reply = lambda _received: Reply(status, {"location": "/next"}, b"")
        assert post(f"{receiver.url}/").status == status
    assert len(receiver.requests) == 1


def test_a_redirect_to_another_host_goes_without_the_signature_and_back_too() -> None:
    with receiving() as first, receiving("127.0.0.3") as second:
        redirecting(first, f"{second.url}/")
        redirecting(second, f"{first.url}/back")
        assert post(f"{first.url}/") == Answer(200, b"arrived")
    assert "webhook-signature" in first.requests[0].headers
    assert "webhook-signature" not in second.requests[0].headers
    assert "webhook-signature" not in first.requests[1].headers
    assert first.requests[1].headers["x-plain"] == "yes"


@pytest.mark.parametrize("host", SPELLINGS)
def test_a_redirect_to_a_forbidden_address_is_refused(host: str) -> None:
    with receiving() as good, Receiver("127.0.0.1", good.port).running() as inner:
        redirecting(good, f"http://{host}:{inner.port}/next")
        assert refused(f"{good.url}/") == FORBIDDEN
    assert (len(good.requests), inner.connections) == (1, 0)


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.2/",
        "ftp://127.0.0.2/",
        "http://user:password@127.0.0.2/",
        "http://127.0.0.2 /",
        "http://127.0.0.2:0/",
        "http://127.0.0.2:99999/",
        "http://[fe80::1%25lo]/",
        "http://\u00e9.example/",
        "http://127.0.0.2\\@127.0.0.1/",
    ],
)
def test_a_redirect_to_what_is_no_url_for_webhooks_is_refused(location: str) -> None:
    with receiving() as receiver:
        redirecting(receiver, location)
        assert refused(f"{receiver.url}/").startswith("redirected to a URL that is not allowed: ")
    assert len(receiver.requests) == 1


def test_redirects_end() -> None:
    with receiving() as receiver:
        receiver.reply = lambda received: Reply(308, {"location": f"{received.path}x"})
        assert refused(f"{receiver.url}/") == "more than 3 redirects"
    assert len(receiver.requests) == 4


# Receivers that misbehave


def test_no_more_of_a_huge_answer_is_read_than_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        receiver.reply = lambda _received: Reply(200, is_endless=True, body=b"begun")
        answer = post(f"{receiver.url}/")
    assert (answer.status, len(answer.excerpt)) == (200, outbound.EXCERPT_SIZE_LIMIT)
    assert receiver.sent_bytes < 64 * 1024 * 1024  # what fits into the kernel's buffers


def test_who_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(outbound._TIMEOUTS, "read", 0.3)
    with receiving() as receiver:
        ended = threading.Event()
        receiver.reply = lambda _received: Reply(until=ended)
        assert "no answer within" in refused(f"{receiver.url}/")
        ended.set()


def test_who_answers_drop_by_drop_is_waited_for_as_long_as_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "TOTAL_TIMEOUT_S", 0.6)

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            writer.write(b"HTTP/1.1 ")
            while True:
                writer.write(b"2")
                await writer.drain()
                await asyncio.sleep(0.05)

    async def verb() -> None:
        server = await asyncio.start_server(drip, "127.0.0.2", 0)
        port = server.sockets[0].getsockname()[1]
        async with Outbound(ALLOWED) as client:
            with pytest.raises(Undelivered, match="no answer within"):
                await client.post(f"http://127.0.0.2:{port}/", headers={}, private_headers={}, content=b"")
        server.close()

    asyncio.run(verb())


def test_a_status_counts_although_its_body_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "EXCERPT_TIMEOUT_S", 0.2)
    with receiving() as receiver:
        receiver.reply = lambda _received: Reply(202, length=1000, body=b"begun")
        assert post(f"{receiver.url}/") == Answer(202, b"begun")


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 200_000])
def test_who_does_not_speak_http_has_not_answered(said: bytes) -> None:
    async def speak(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async def verb() -> str:
        server = await asyncio.start_server(speak, "127.0.0.2", 0)
        port = server.sockets[0].getsockname()[1]
        async with Outbound(ALLOWED) as client:
            with pytest.raises(Undelivered) as caught:
                await client.post(f"http://127.0.0.2:{port}/", headers={}, private_headers={}, content=b"")
        server.close()
        return str(caught.value)

    assert asyncio.run(verb())


def test_where_nobody_listens_the_connection_is_refused() -> None:
    assert refused(f"http://127.0.0.2:{free_port()}/") == "Connection refused"


def test_a_name_that_nobody_has_is_said_to_be_one() -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    assert refused("http://nowhere.example/", resolve=resolve) == "the host's name cannot be resolved"


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver, receiving("127.0.0.3") as proxy:
        for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url)
        assert post(f"{receiver.url}/").status == 200
    assert (len(receiver.requests), proxy.connections) == (1, 0)


def certificate(folder: Path, host: str) -> str:
    """A certificate of its own making, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(utcnow() - timedelta(days=1))
        .not_valid_after(utcnow() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{host}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return str(file)


def test_certificates_are_checked_for_the_name_in_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = certificate(tmp_path, "good.example")
    resolve = names(good_example=["127.0.0.2"], other_example=["127.0.0.2"])
    with Receiver("127.0.0.2", certificate=file).running() as receiver:
        good, other = (f"https://{name}.example:{receiver.port}/" for name in ("good", "other"))
        assert refused(good, resolve=resolve).startswith("the certificate is not trusted: ")
        monkeypatch.setenv("SSL_CERT_FILE", file)
        assert post(good, resolve=resolve).status == 200
        assert refused(other, resolve=resolve).startswith("the certificate is not trusted: ")
    assert len(receiver.requests) == 1


def test_a_redirect_from_https_to_http_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = certificate(tmp_path, "good.example")
    monkeypatch.setenv("SSL_CERT_FILE", file)
    resolve = names(good_example=["127.0.0.2"])
    with Receiver("127.0.0.2", certificate=file).running() as safe, receiving() as plain:
        redirecting(safe, f"{plain.url}/next")
        assert refused(f"https://good.example:{safe.port}/", resolve=resolve) == "redirected from https to http"
    assert plain.requests == list[Received]()


# URLs


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("http://example.com", Url("http", "example.com", 80, "/")),
        ("HTTPS://Example.COM:8443/a%20b?c=d#e", Url("https", "example.com", 8443, "/a%20b?c=d")),
        ("http://[2606:4700::1]:8080?x", Url("http", "2606:4700::1", 8080, "/?x")),
        ("http://under_score.example./", Url("http", "under_score.example.", 80, "/")),
    ],
)
def test_a_url_is_a_scheme_a_host_a_port_and_a_target(text: str, parsed: Url) -> None:
    assert Url.parse(text) == parsed
    assert Url.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "//example.com",
        "ftp://example.com",
        "javascript:alert(1)",
        "http:/example.com",
        "http://",
        "http://:80",
        "http://user@example.com",
        "http://user:password@example.com",
        "http://@example.com",
        "http://example.com:http/",
        "http://example.com:-1/",
        "http://exa mple.com/",
        "http://example.com/\r\nHost: other",
        "http://exam\tple.com/",
        "http://ex%61mple.com/",
        "http://[::1/",
        "http://[::1%25lo]/",
        "http://[v1.x]/",
        "http://example.com\\@other.com/",
        "http://\u4f8b.example/",
        "http://example.com/" + "a" * 2048,
        "http://-example.com/",
    ],
)
def test_what_is_no_url_for_webhooks_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        Url.parse(text)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("http://a.example/x", "http://a.example/y", True),
        ("http://a.example/", "https://a.example/", True),
        ("https://a.example/", "http://a.example/", False),
        ("http://a.example:8080/", "https://a.example/", False),
        ("http://a.example/", "https://a.example:8443/", False),
        ("http://a.example/", "http://b.example/", False),
        ("http://a.example/", "http://a.example:81/", False),
        ("http://a.example/", "http://A.example:80/", True),
    ],
)
def test_the_same_party_is_the_same_host_and_port_or_its_tls_port(one: str, other: str, is_same: bool) -> None:
    assert Url.parse(one).is_same_party(Url.parse(other)) is is_same
