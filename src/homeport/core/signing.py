"""Signs and verifies bearer tokens: JWTs under our own keys, each with one pinned algorithm.

Docker's command line client looks into tokens of the Hub without verifying them, but takes none whose header names an
elliptic curve. So these are signed with a secret (HS256), which is derived from the private key; nobody but us verifies
them. All others are signed with the key itself (ES256).

The keys live in the database, so that every worker verifies what another has signed. A token that has been verified
is remembered by the doors (`authentication.py`), so the cost of the signature is paid once.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey

from homeport.errors import NotAuthenticated
from homeport.storage.db.records import SigningKey

ALGORITHM = "ES256"
HUB_ALGORITHM = "HS256"
_HEADER_FIELDS = {"alg", "kid", "typ"}
TOKEN_LENGTH_LIMIT = 16 * 1024


def new_key() -> SigningKey:
    key = ECKey.generate_key("P-256", private=True)
    key.ensure_kid()
    return SigningKey(kid=str(key.kid), private_key=key.as_pem(private=True).decode())


class Signer:
    """Our key set: the first key signs, all of them verify."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self._keys: dict[tuple[str, str], ECKey | OctKey] = {}
        for key in keys:
            self._keys[ALGORITHM, key.kid] = ECKey.import_key(key.private_key)
            self._keys[HUB_ALGORITHM, key.kid] = OctKey.import_key(_secret_of(key))
        self._kid = keys[0].kid

    def sign(self, claims: Mapping[str, Any], *, algorithm: str = ALGORITHM) -> str:
        header = {"alg": algorithm, "typ": "JWT", "kid": self._kid}
        return jwt.encode(header, dict(claims), self._keys[algorithm, self._kid], algorithms=[algorithm])

    def verify(self, token: str, *, audience: str) -> dict[str, Any]:
        """The claims of a token of ours that is meant for `audience` and has not expired.

        Raises:
            NotAuthenticated: it is not, whatever the reason.
        """
        if len(token) > TOKEN_LENGTH_LIMIT:
            raise NotAuthenticated("invalid token")
        try:
            # The key is chosen by us among ours: nothing that the token says of keys is followed.
            found = jwt.decode(token, self._key_of, algorithms=[ALGORITHM, HUB_ALGORITHM])
        except (JoseError, ValueError, TypeError, KeyError, UnicodeError, RecursionError):
            raise NotAuthenticated("invalid token") from None
        claims = found.claims
        expires_at = claims.get("exp")
        if (
            not set(found.header) <= _HEADER_FIELDS
            or claims.get("aud") != audience
            or not isinstance(expires_at, int)
            or not isinstance(claims.get("iat"), int)
        ):
            raise NotAuthenticated("invalid token")
        if expires_at <= time.time():
            raise NotAuthenticated("the token has expired")
        return claims

    def _key_of(self, message: Any) -> ECKey | OctKey:
        headers = message.headers()
        kid, algorithm = headers.get("kid"), headers.get("alg")
        if not isinstance(kid, str):
            raise ValueError("no kid")
        # A key is one of its algorithm alone: no public key is ever taken for a secret.
        return self._keys[algorithm, kid]


def _secret_of(key: SigningKey) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=b"homeport: tokens of the hub").derive(key.private_key.encode())
