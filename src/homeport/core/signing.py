"""Signs and verifies bearer tokens: JWTs under our own keys and one pinned algorithm.

The keys live in the database, so that every worker verifies what another has signed. A token that has been verified
is remembered by the doors (`authentication.py`), so the cost of the signature is paid once.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from homeport.errors import NotAuthenticated
from homeport.storage.db.records import SigningKey

ALGORITHM = "ES256"
_HEADER_FIELDS = {"alg", "kid", "typ"}
TOKEN_LENGTH_LIMIT = 16 * 1024


def new_key() -> SigningKey:
    key = ECKey.generate_key("P-256", private=True)
    key.ensure_kid()
    return SigningKey(kid=str(key.kid), private_key=key.as_pem(private=True).decode())


class Signer:
    """Our key set: the first key signs, all of them verify."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self._keys = {key.kid: ECKey.import_key(key.private_key) for key in keys}
        self._kid = keys[0].kid

    def sign(self, claims: Mapping[str, Any]) -> str:
        header = {"alg": ALGORITHM, "typ": "JWT", "kid": self._kid}
        return jwt.encode(header, dict(claims), self._keys[self._kid], algorithms=[ALGORITHM])

    def verify(self, token: str, *, audience: str) -> dict[str, Any]:
        """The claims of a token of ours that is meant for `audience` and has not expired.

        Raises:
            NotAuthenticated: it is not, whatever the reason.
        """
        if len(token) > TOKEN_LENGTH_LIMIT:
            raise NotAuthenticated("invalid token")
        try:
            # The key is chosen by us among ours: nothing that the token says of keys is followed.
            found = jwt.decode(token, self._key_of, algorithms=[ALGORITHM])
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

    def _key_of(self, message: Any) -> ECKey:
        kid = message.headers().get("kid")
        if not isinstance(kid, str):
            raise ValueError("no kid")
        return self._keys[kid]
