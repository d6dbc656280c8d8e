"""Requests that no client library sends: what can be read in two ways must not be answered twice."""

import re
import socket

import pytest

from tests.home import Home

HIDDEN = b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n"
LOGIN = b"POST /v2/users/login HTTP/1.1\r\nhost: h\r\n"
LENGTH = str(len(HIDDEN)).encode()

IN_TWO_WAYS = {
    "a length and chunks": LOGIN + b"content-length: 40\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunks and a length of none": LOGIN
    + b"transfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    "two lengths": LOGIN + b"content-length: 0\r\ncontent-length: " + LENGTH + b"\r\n\r\n" + HIDDEN,
    "a signed length": LOGIN + b"content-length: +0\r\n\r\n" + HIDDEN,
    "a list of lengths": LOGIN + b"content-length: 0, " + LENGTH + b"\r\n\r\n" + HIDDEN,
    "a coding that is almost chunked": LOGIN + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a space before the colon": LOGIN + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a chunk size that is none": LOGIN + b"transfer-encoding: chunked\r\n\r\nzz\r\n\r\n" + HIDDEN,
    "a chunk size beyond 64 bits": LOGIN + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n\r\n" + HIDDEN,
    "a body that is refused unread": b"PATCH /v2/a/b/blobs/uploads/x HTTP/1.1\r\nhost: h\r\ncontent-length: 99\r\n\r\n"
    + HIDDEN,
    "a body where none belongs": b"GET /v2/ HTTP/1.1\r\nhost: h\r\ncontent-length: " + LENGTH + b"\r\n\r\n" + HIDDEN,
}

ODD = {
    "a folded header": b"GET /v2/ HTTP/1.1\r\nhost: h\r\nx: a\r\n b\r\n\r\n",
    "a NUL in a header": b"GET /v2/ HTTP/1.1\r\nhost: h\r\nx: a\0b\r\n\r\n",
    "no host": b"GET /v2/ HTTP/1.1\r\n\r\n",
    "an absolute target": b"GET http://elsewhere/v2/ HTTP/1.1\r\nhost: h\r\n\r\n",
    "a target that is a star": b"OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n",
    "a tunnel": b"CONNECT h:443 HTTP/1.1\r\nhost: h:443\r\n\r\n",
    "a percent sign alone": b"GET /v2/a/%/tags/list HTTP/1.1\r\nhost: h\r\n\r\n",
    "raw bytes in the path": b"GET /v2/a/\xff/tags/list HTTP/1.1\r\nhost: h\r\n\r\n",
    "raw bytes in the query": b"POST /v2/auth/token?\x80 HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n",
    "encoded twice": b"GET /v2/a/%252e%252e%252fb/tags/list HTTP/1.1\r\nhost: h\r\n\r\n",
    "a backslash": b"GET /v2/a\\..\\b/tags/list HTTP/1.1\r\nhost: h\r\n\r\n",
    "a method of its own": b"FROB /v2/a/b/tags/list HTTP/1.1\r\nhost: h\r\n\r\n",
    "a bearer of raw bytes": b"GET /v2/access-tokens HTTP/1.1\r\nhost: h\r\nauthorization: Bearer \xff\xfe\r\n\r\n",
    "credentials that are no base64": b"GET /token HTTP/1.1\r\nhost: h\r\nauthorization: Basic ///\r\n\r\n",
    "five hundred headers": b"GET /v2/ HTTP/1.1\r\nhost: h\r\n" + b"x: y\r\n" * 500 + b"\r\n",
    "a long path": b"GET /v2/" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: h\r\n\r\n",
    "ten thousand ranges": b"GET /v2/a/b/blobs/x HTTP/1.1\r\nhost: h\r\nrange: bytes="
    + b"0-0," * 10_000
    + b"1-1\r\n\r\n",
}


def answered(home: Home, request: bytes) -> tuple[list[int], bytes]:
    """The status codes of all answers to these bytes, and everything that came."""
    host, _, port = home.url.removeprefix("http://").partition(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=0.3) as connection:
        connection.sendall(request)
        try:
            while piece := connection.recv(65536):
                received += piece
        except (TimeoutError, ConnectionResetError):
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+)", received)], received


@pytest.mark.parametrize("request_bytes", IN_TWO_WAYS.values(), ids=IN_TWO_WAYS.keys())
def test_what_can_be_read_in_two_ways_is_answered_once(home: Home, request_bytes: bytes) -> None:
    statuses, received = answered(home, request_bytes)
    assert len(statuses) == 1
    assert 400 <= statuses[0] < 500
    assert b'"status":"ok"' not in received


@pytest.mark.parametrize("request_bytes", ODD.values(), ids=ODD.keys())
def test_what_no_client_sends_is_refused_and_no_internal_error(home: Home, request_bytes: bytes) -> None:
    statuses, _ = answered(home, request_bytes)
    assert len(statuses) == 1
    assert 400 <= statuses[0] < 500


@pytest.mark.parametrize("host", ['a"b', "a,b", "a/b", "a\\b", ""])
def test_an_odd_host_is_in_no_challenge(home: Home, host: str) -> None:
    _, received = answered(home, f"GET /v2/ HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    if b" 401 " in received:
        assert f'realm="{home.url}/token"'.encode() in received
