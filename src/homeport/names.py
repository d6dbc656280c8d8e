"""The names that people and clients write: their grammar, pure.

Sources: OCI Distribution Spec §Pulling manifests (repository, tag), OCI Image Spec §Digests, and Docker Hub's own
rule that a repository is `namespace/name`, where a name of one part stands for `library/name`. E-mail addresses are
those of RFC 5321.
"""

import functools
import re
import unicodedata
from typing import NamedTuple, Self

from homeport.errors import AccountNameInvalid, DigestInvalid, FieldInvalid, RepositoryNameInvalid, TagNameInvalid

REPOSITORY_LENGTH_LIMIT = 255
"""Characters of `namespace/name`; clients prepend a host and refuse more."""

MAIL_ADDRESS_LENGTH_LIMIT = 254

OFFICIAL_NAMESPACE = "library"

OWNERS_TEAM = "owners"
"""Every organization has a team of this name: who is in it is an owner, and every owner is in it."""

DOMAIN_LENGTH_LIMIT = 253

# The first words of Hub and service paths: an account of such a name would make `/v2/<name>/…` ambiguous. `export`
# stands in the place of a member's name.
RESERVED_NAMES = frozenset(
    [
        "access-tokens",
        "api",
        "api-tokens",
        "api_tokens",
        "auditlogs",
        "auth",
        "blobs",
        "categories",
        "export",
        "healthz",
        "invites",
        "mails",
        "manifests",
        "namespaces",
        "orgs",
        "readyz",
        "referrers",
        "repositories",
        "scim",
        "search",
        "tags",
        "token",
        "tokens",
        "uploads",
        "user",
        "users",
        "v1",
        "v2",
        "web",
    ]
)

# What stands in the place of a user's name under `/v2/users/`. No namespace of the registry is in the way of these, so
# accounts that have such a name from former days keep it.
USER_PATHS = frozenset(["2fa-login", "login", "password-reset", "signup"])

# A component of a repository's name without points: every account is a namespace.
_ACCOUNT = re.compile(r"[a-z0-9]+(?:(?:_|__|-+)[a-z0-9]+)*")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?![0-9]+$){_LABEL}")
# RFC 5321 §4.1.2: an unquoted local part and a host name; other forms are allowed, and nobody has them.
_WORD = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAIL_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@){_WORD}(?:\.{_WORD})*@{_HOST_LABEL}(?:\.{_HOST_LABEL})*")
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")


class AccountName(str):
    """The name of a user or an organization: 2 to 30 lower-case letters, digits, `_` and `-` between them."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Check a name that a new account is to have.

        Raises:
            AccountNameInvalid: outside the grammar, or a word that paths need.
        """
        if not 2 <= len(text) <= 30 or not _ACCOUNT.fullmatch(text):
            raise AccountNameInvalid(text, "use 2 to 30 lower-case letters and digits, with -, _ or __ between them")
        if text in RESERVED_NAMES or text in USER_PATHS:
            raise AccountNameInvalid(text, "this word is reserved")
        return cls(text)


def is_account_name(text: str) -> bool:
    """Whether a new account could have this name."""
    try:
        return bool(AccountName.parse(text))
    except AccountNameInvalid:
        return False


def is_mail_address(text: str) -> bool:
    """Whether a mail can be sent there."""
    return len(text) <= MAIL_ADDRESS_LENGTH_LIMIT and bool(_MAIL_ADDRESS.fullmatch(text))


def folded(text: str) -> str:
    """A text as it is compared where neither case nor Unicode form (ligatures, full width) makes a difference."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


LINE_LENGTH_LIMIT = 255
"""Characters of a line that people write of themselves or others."""


def line_problem(text: str) -> str | None:
    """What keeps a text from being a line that people can read, in words for them; None if it is one, or empty.

    Spaces and joiners of all scripts are part of a line, what turns the direction of the text around it is not.
    """
    if len(text) > LINE_LENGTH_LIMIT:
        return f"At most {LINE_LENGTH_LIMIT} characters."
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _TURNS for character in text):
        return "No line ends and control characters."
    return None


class RepositoryName(NamedTuple):
    """`namespace/name`."""

    namespace: str
    name: str

    @staticmethod
    @functools.lru_cache(8192)
    def parse(text: str) -> "RepositoryName":
        """Read a name as the registry has it; one part alone is an official image.

        Raises:
            RepositoryNameInvalid: outside the grammar, too long, or of more than two parts.
        """
        namespace, slash, name = text.partition("/")
        if not slash:
            namespace, name = OFFICIAL_NAMESPACE, namespace
        if len(text) > REPOSITORY_LENGTH_LIMIT:
            raise RepositoryNameInvalid(text[:64] + "…", f"longer than {REPOSITORY_LENGTH_LIMIT} characters")
        if not _COMPONENT.fullmatch(namespace) or not _COMPONENT.fullmatch(name):
            raise RepositoryNameInvalid(text, "use namespace/name in lower case")
        return RepositoryName(namespace, name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class TagName(str):
    """A tag: up to 128 characters of `[A-Za-z0-9_.-]`, not starting with `.` or `-`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: TagNameInvalid."""
        if not _TAG.fullmatch(text):
            raise TagNameInvalid(text[:140])
        return cls(text)


class Digest(str):
    """A content digest, `sha256:…` or `sha512:…`, in lower-case hex."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: DigestInvalid: another algorithm, a wrong length, upper-case hex."""
        if not _DIGEST.fullmatch(text):
            raise DigestInvalid(text[:140])
        return cls(text)

    @property
    def algorithm(self) -> str:
        return self[:6]

    @property
    def hex(self) -> str:
        return self[7:]


class DomainName(str):
    """The name of an internet domain, in lower-case ASCII (RFC 1123 §2.1); other letters as IDNA writes them."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: FieldInvalid: not such a name, or a single word, or an address."""
        # Length first: the encoding takes the longer the more there is.
        try:
            name = text.encode("idna").decode().lower() if len(text) <= DOMAIN_LENGTH_LIMIT else ""
        except UnicodeError:
            name = ""
        if len(name) > DOMAIN_LENGTH_LIMIT or not _DOMAIN.fullmatch(name):
            raise FieldInvalid({"domain": ["Must be a domain name, e.g. example.com."]}, "invalid domain")
        return cls(name)


Reference = TagName | Digest


def parse_reference(text: str) -> Reference:
    """Read what stands behind `/manifests/`: a digest if it has a colon, a tag otherwise.

    Raises:
        DigestInvalid, TagNameInvalid
    """
    return Digest.parse(text) if ":" in text else TagName.parse(text)
