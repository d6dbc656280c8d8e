"""Who is behind trusted proxies, whatever anybody writes into a header."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.addresses import Address, Networks, counted_as, parse_address
from homeport.api.http import Message, Receive, Scope, Send
from homeport.api.proxies import TrustedProxies, client_behind

TRUSTED = Networks(["10.0.0.0/8", "2001:db8:aaaa::/48", "192.0.2.7"])

addresses: st.SearchStrategy[Address] = st.ip_addresses()
strangers = addresses.map(lambda address: parse_address(str(address)) or address).filter(lambda a: a not in TRUSTED)
proxies = st.one_of(st.ip_addresses(network="10.0.0.0/8"), st.ip_addresses(network="2001:db8:aaaa::/48"))
junk = st.text(max_size=20)
hops = st.lists(st.one_of(junk, addresses.map(str)), max_size=8)


def texts(found: list[Address]) -> list[str]:
    return [str(address) for address in found]


@given(peer=proxies, forged=hops, client=strangers, between=st.lists(proxies, max_size=4))
def test_what_stands_before_the_first_stranger_changes_nothing(
    peer: Address, forged: list[str], client: Address, between: list[Address]
) -> None:
    chain = [str(client), *texts(between)]
    assert client_behind(peer, [*forged, *chain], TRUSTED) == client


@given(peer=proxies, said=hops)
def test_no_text_is_ever_taken_for_an_address(peer: Address, said: list[str]) -> None:
    found = client_behind(peer, said, TRUSTED)
    assert isinstance(found, IPv4Address | IPv6Address)
    assert ip_address(str(found)) == found
    assert "%" not in str(found)
    assert found in [peer, *(client_behind(peer, [text], TRUSTED) for text in said)]


@given(peer=proxies, before=hops, word=junk.filter(lambda text: parse_address(text) is None), between=st.lists(proxies))
def test_a_hop_that_is_no_address_leaves_the_peer(
    peer: Address, before: list[str], word: str, between: list[Address]
) -> None:
    assert client_behind(peer, [*before, f"x{word}", *texts(between)], TRUSTED) == peer


@given(peer=proxies, between=st.lists(proxies, min_size=1))
def test_if_all_are_proxies_it_is_the_farthest(peer: Address, between: list[Address]) -> None:
    assert client_behind(peer, texts(between), TRUSTED) == between[0]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("unknown", None),
        ("", None),
        ("203.0.113.9, 10.0.0.1", None),
        ("203.0.113.009", None),
        ("203.0.113.9:", None),
        ("fe80::1%eth0", None),
        ("[fe80::1%<script>]:80", None),
        ("3405803785", None),
        ("localhost", None),
        ("٢.٢.٢.٢", None),
    ],
)
def test_forms_of_an_address(text: str, address: str | None) -> None:
    peer = ip_address("10.0.0.1")
    assert str(client_behind(peer, [text], TRUSTED)) == (address or "10.0.0.1")


@given(
    peer=st.one_of(addresses.map(str), junk),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"host"]),
            st.one_of(st.binary(max_size=20), addresses.map(lambda address: str(address).encode())),
        ),
        max_size=8,
    ),
)
def test_from_a_stranger_a_request_stays_as_it_is(peer: str, headers: list[tuple[bytes, bytes]]) -> None:
    before = {"type": "http", "scheme": "http", "client": (peer, 1), "headers": headers}
    address = parse_address(peer)
    after = seen(dict(before))
    assert after == before or (address is not None and address in TRUSTED)


@given(said=st.one_of(st.binary(max_size=40), st.just(b"a b"), st.just(b"a/b"), st.just(b'"'), st.just(b"a:99999999")))
def test_a_host_that_cannot_be_one_is_left_out(said: bytes) -> None:
    headers = [(b"host", b"inner:8000"), (b"x-forwarded-host", said), (b"x-forwarded-proto", said)]
    after = seen({"type": "http", "scheme": "http", "client": ("10.0.0.1", 1), "headers": headers})
    [host] = [value for name, value in after["headers"] if name == b"host"]
    assert set(host.decode()) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]")
    assert after["scheme"] in ("http", "https")


def test_a_request_without_an_address_is_a_strangers() -> None:
    headers = [(b"x-forwarded-for", b"203.0.113.9")]
    assert seen({"type": "http", "client": None, "headers": headers})["client"] is None


@given(first=st.ip_addresses(v=6), second=st.ip_addresses(v=6))
def test_addresses_count_as_one_if_their_first_halves_are_the_same(first: IPv6Address, second: IPv6Address) -> None:
    if first.ipv4_mapped or second.ipv4_mapped:
        return
    same = int(first) >> 64 == int(second) >> 64
    assert (counted_as(str(first)) == counted_as(str(second))) == same
    assert counted_as(str(first)) == counted_as(first.exploded)


@given(address=st.ip_addresses(v=4))
def test_addresses_of_ipv4_count_each_for_itself(address: IPv4Address) -> None:
    assert counted_as(str(address)) == counted_as(f"::ffff:{address}") == str(address)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "proxy.example.com", "*", "10.0.0.0-10.0.0.9", "1"])
def test_networks_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Networks([text])


def test_networks_of_ipv4_may_be_written_as_ipv6() -> None:
    assert ip_address("10.1.2.3") in Networks(["::ffff:10.0.0.0/104"])
    assert ip_address("11.1.2.3") not in Networks(["::ffff:10.0.0.0/104"])


def seen(scope: Scope) -> Scope:
    """What the application is given."""
    given_on: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        given_on.append(scope)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    with pytest.raises(StopIteration):
        TrustedProxies(app, TRUSTED)(scope, receive, send).send(None)
    return given_on[0]
