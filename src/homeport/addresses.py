"""Addresses: read, gathered into networks, counted, and told apart by whose they can be. Pure."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

_COUNTED_BITS = 64
"""Whoever has one address of IPv6 has all with the same first half."""

_MAPPED_BITS = 96
"""What comes before an address of IPv4 in IPv6: `::ffff:` (RFC 4291 §2.5.5.2)."""

# The registries of special-purpose addresses (RFC 6890 and after), and what clouds answer their machines at.
_SPECIAL_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # behind a carrier's translation; one cloud's metadata
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # one cloud's metadata
            "169.254.0.0/16",  # link-local; most clouds' metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocols; one cloud's metadata
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_UNICAST_V6 = IPv6Network("2000::/3")
"""What is given to anybody. Beyond it: unspecified, loopback, compatible, unique-local, link-local, multicast."""

_SPECIAL_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocols, Teredo among them: it tells a stranger whom to reach
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def parse_address(text: str) -> Address | None:
    """An address, None if it is none. One of IPv4 that is written as IPv6 is the one of IPv4."""
    if "%" in text:
        return None  # a zone means something on its own machine only, and may hold any text
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.version == 6 and address.ipv4_mapped) or address


def counted_as(address: str) -> str:
    """What a client's address counts as in limits: of IPv6 its /64, all else as it is."""
    if ":" not in address:
        return address
    found = parse_address(address)
    if found is None or found.version == 4:
        return str(found or address)
    return str(IPv6Network((int(found), _COUNTED_BITS), strict=False))


def is_public(address: Address) -> bool:
    """Whether an address can be anybody's on the internet: no special one, and none of a cloud's metadata services.

    An address of IPv6 with one of IPv4 in it, which a gateway will take out (6to4, NAT64), is as public as that one.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    if (inner := _inner(address)) is not None:
        return is_public(inner)
    return address in _UNICAST_V6 and not any(address in network for network in _SPECIAL_V6)


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


class Networks:
    """Addresses that belong together, as a setting names them."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """From addresses and CIDR ranges. Raises: ValueError, with a word on what is wrong."""
        self._networks = tuple(_network(text) for text in texts)

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def holds_all_of(self, other: "Networks") -> bool:
        """Whether each network of the other lies within one of these."""
        return all(any(_lies_within(inner, outer) for outer in self._networks) for inner in other._networks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Networks) and self._networks == other._networks

    def __hash__(self) -> int:
        return hash(self._networks)

    def __str__(self) -> str:
        return ",".join(map(str, self._networks))

    def __repr__(self) -> str:
        return f"Networks({str(self)!r})"


def _lies_within(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def _network(text: str) -> IPv4Network | IPv6Network:
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((int(mapped), network.prefixlen - _MAPPED_BITS))
    return network
