"""Bearer tokens that are not ours, or not any more."""

import base64
import hmac
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from homeport.core.signing import ALGORITHM, HUB_ALGORITHM, Signer, new_key
from homeport.errors import NotAuthenticated

KEY = new_key()
SIGNER = Signer([KEY])
OTHER = ECKey.generate_key("P-256", private=True)
NOW = int(time.time())
CLAIMS = {"aud": "registry", "iat": NOW, "exp": NOW + 3600}


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(header: dict[str, Any], key: Any = OTHER, claims: dict[str, Any] = CLAIMS) -> str:
    return jwt.encode({"alg": "ES256", "kid": KEY.kid} | header, claims, key, algorithms=["ES256", "HS256"])


def test_a_token_of_ours_is_read() -> None:
    assert SIGNER.verify(SIGNER.sign(CLAIMS), audience="registry")["exp"] == NOW + 3600


@pytest.mark.parametrize("algorithm", [ALGORITHM, HUB_ALGORITHM])
def test_a_token_of_either_algorithm_is_read_and_names_it(algorithm: str) -> None:
    token = SIGNER.sign(CLAIMS, algorithm=algorithm)
    header = token.partition(".")[0]
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["alg"] == algorithm
    assert SIGNER.verify(token, audience="registry")["exp"] == NOW + 3600
    assert Signer([new_key(), KEY]).verify(token, audience="registry")
    with pytest.raises(NotAuthenticated):
        Signer([new_key()]).verify(token, audience="registry")


def test_a_token_of_one_algorithm_is_none_of_the_other() -> None:
    for algorithm, other in ((ALGORITHM, HUB_ALGORITHM), (HUB_ALGORITHM, ALGORITHM)):
        _, claims, signature = SIGNER.sign(CLAIMS, algorithm=algorithm).split(".")
        with pytest.raises(NotAuthenticated):
            SIGNER.verify(f"{part({'alg': other, 'kid': KEY.kid})}.{claims}.{signature}", audience="registry")


def test_a_token_of_an_older_key_is_read_and_the_newest_signs() -> None:
    rotated = Signer([new_key(), KEY])
    assert rotated.verify(SIGNER.sign(CLAIMS), audience="registry")
    with pytest.raises(NotAuthenticated):
        SIGNER.verify(rotated.sign(CLAIMS), audience="registry")


PUBLIC_PEM = ECKey.import_key(KEY.private_key).as_pem(private=False)


def with_secret(secret: bytes) -> str:
    """A token signed by a shared secret; by hand, since libraries refuse to take a public key for one."""
    body = f"{part({'alg': 'HS256', 'kid': KEY.kid})}.{part(CLAIMS)}"
    signature = hmac.digest(secret, body.encode(), "sha256")
    return f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


FORGED = {
    "another key": forged({}),
    "no algorithm": f"{part({'alg': 'none', 'kid': KEY.kid})}.{part(CLAIMS)}.",
    "a public key as a secret": with_secret(PUBLIC_PEM),
    "a private key as a secret": with_secret(KEY.private_key.encode()),
    "no secret": with_secret(b""),
    "a key in the header": forged({"jwk": OTHER.as_dict(private=False)}),
    "a key from elsewhere": forged({"jku": "http://127.0.0.1/keys"}),
    "a certificate": forged({"x5c": ["AAAA"]}),
    "an unknown kid": forged({"kid": "../../../etc/passwd"}),
    "no kid": f"{part({'alg': ALGORITHM})}.{part(CLAIMS)}.AAAA",
    "a kid that is no text": f"{part({'alg': ALGORITHM, 'kid': 7})}.{part(CLAIMS)}.AAAA",
    "another audience": SIGNER.sign(CLAIMS | {"aud": "https://hub.docker.com"}),
    "audiences": SIGNER.sign(CLAIMS | {"aud": ["registry"]}),
    "expired": SIGNER.sign(CLAIMS | {"exp": NOW - 1}),
    "no end": SIGNER.sign({"aud": "registry", "iat": NOW}),
    "an end that is no number": SIGNER.sign(CLAIMS | {"exp": "9999999999"}),
    "no beginning": SIGNER.sign({"aud": "registry", "exp": NOW + 60}),
    "cut short": SIGNER.sign(CLAIMS)[:-4],
    "two parts": SIGNER.sign(CLAIMS).rpartition(".")[0],
    "too long": SIGNER.sign(CLAIMS | {"x": "x" * 20000}),
    "empty": "",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_a_forged_token_is_refused(token: str) -> None:
    with pytest.raises(NotAuthenticated):
        SIGNER.verify(token, audience="registry")


def test_a_critical_extension_that_nobody_knows_is_refused() -> None:
    key = ECKey.import_key(KEY.private_key)
    header, _, _ = SIGNER.sign(CLAIMS).partition(".")
    fields = json.loads(base64.urlsafe_b64decode(header + "==")) | {"crit": ["x"], "x": 1}
    body = f"{part(fields)}.{part(CLAIMS)}"
    private = key.private_key
    assert private is not None
    r, s = decode_dss_signature(private.sign(body.encode(), ec.ECDSA(hashes.SHA256())))
    signature = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()
    with pytest.raises(NotAuthenticated):
        SIGNER.verify(f"{body}.{signature}", audience="registry")


@given(st.text(max_size=200) | st.text(alphabet="abcDEF012.-_=", max_size=200))
def test_no_text_is_more_than_refused(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        SIGNER.verify(text, audience="registry")
