"""Addresses of clients: read, gathered into networks, and counted. Pure."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

_COUNTED_BITS = 64
"""Whoever has one address of IPv6 has all with the same first half."""

_MAPPED_BITS = 96
"""What comes before an address of IPv4 in IPv6: `::ffff:` (RFC 4291 §2.5.5.2)."""


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


class Networks:
    """Addresses that belong together, as a setting names them."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """From addresses and CIDR ranges. Raises: ValueError, with a word on what is wrong."""
        self._networks = tuple(_network(text) for text in texts)

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Networks) and self._networks == other._networks

    def __hash__(self) -> int:
        return hash(self._networks)

    def __str__(self) -> str:
        return ",".join(map(str, self._networks))

    def __repr__(self) -> str:
        return f"Networks({str(self)!r})"


def _network(text: str) -> IPv4Network | IPv6Network:
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((int(mapped), network.prefixlen - _MAPPED_BITS))
    return network
