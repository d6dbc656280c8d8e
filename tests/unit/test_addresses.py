"""Which addresses are anybody's on the internet, in whatever form they come."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.addresses import Address, is_public, parse_address

NAT64 = IPv6Network("64:ff9b::/96")
FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",  # compatible with IPv4
    "100::1",
    "64:ff9b:1::7f00:1",
    "2001:0:7f00:1::",  # Teredo
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
ALLOWED = ["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "168.63.129.17", "2606:4700:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("text", FORBIDDEN)
def test_special_addresses_are_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", ALLOWED)
def test_addresses_of_the_internet_are_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(st.ip_addresses())
def test_what_the_standard_library_takes_for_special_is_never_public(drawn: Address) -> None:
    address = parse_address(str(drawn))
    assert address is not None
    special = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )
    # It calls all of NAT64 reserved, wherever it leads to.
    assert not (special and is_public(address)) or address in NAT64


SPECIAL = [f"{network}/8" for network in ("10.0.0.0", "127.0.0.0", "0.0.0.0", "224.0.0.0")] + [
    "169.254.0.0/16",
    "192.168.0.0/16",
    "172.16.0.0/12",
    "100.64.0.0/10",
]


def forms(address: IPv4Address) -> list[IPv6Address]:
    """The addresses of IPv6 that lead, or led, to one of IPv4."""
    number = int(address)
    return [
        IPv6Address(0xFFFF << 32 | number),  # mapped
        IPv6Address(number),  # compatible
        IPv6Address(0x2002 << 112 | number << 80),  # 6to4
        IPv6Address(0x2002 << 112 | number << 80 | 1 << 64 | 1),
        IPv6Address(0x64FF9B << 96 | number),  # NAT64
        IPv6Address(0x64FF9B0001 << 80 | number),  # NAT64 of a site's own
        IPv6Address(0x20010000 << 96 | (number ^ 0xFFFFFFFF)),  # Teredo, of a client
        IPv6Address(0x20010000 << 96 | number << 64),  # Teredo, of a server
    ]


@given(st.sampled_from(SPECIAL).flatmap(lambda network: st.ip_addresses(network=network)))
def test_no_form_of_a_special_address_is_public(address: Address) -> None:
    assert isinstance(address, IPv4Address)
    every: list[Address] = [address, *forms(address)]
    for form in every:
        parsed = parse_address(str(form))
        assert not is_public(form)
        assert parsed is not None
        assert not is_public(parsed)


@given(st.ip_addresses(network="8.0.0.0/8"))
def test_gateways_lead_to_public_addresses(address: Address) -> None:
    assert isinstance(address, IPv4Address)
    mapped, _, sixtofour, _, nat64, *_ = forms(address)
    for form in (mapped, sixtofour, nat64):
        assert is_public(form)
