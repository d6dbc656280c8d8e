"""What a repository can be found by, as tokens of an index; and what a query looks for in it. Pure.

Both databases index the same text: tokens with blanks in between, made here, so that what is found does not depend on
how a database cuts words. A token is a word, or begins with a sign that no word has:

- `nginx`: a word of the namespace, of the name or of the description, in lower case, without marks on its letters;
- `-inx`: the rest of a word of the namespace or of the name, so that its middle and its end are found;
- `=my-nginx`: the name as a whole;
- `~public`, `~private`, `~12`: whether it is public, and the id of its namespace;
- `#security`: a category.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

QUERY_LENGTH_LIMIT = 255
QUERY_WORDS_LIMIT = 16

TOKEN_LENGTH_LIMIT = 24
"""Letters by which a word counts: what is longer is found by its beginning."""

PART_LENGTH_MINIMUM = 3
"""Letters that the middle of a word is found by; fewer find beginnings, and one alone whole words."""

_WORD = re.compile(r"[^\W_]+")
# Thai, Chinese, Japanese and others write no blanks between words: there any letter may be a beginning.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


class Token(NamedTuple):
    """A token that is looked for: as a whole, or as the beginning of one."""

    text: str
    is_prefix: bool = False


PUBLIC = Token("~public")
PRIVATE = Token("~private")


class Wanted(NamedTuple):
    """What is looked for: of each group of tokens one at least."""

    groups: Sequence[Sequence[Token]]


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case, without marks on their letters."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return _WORD.findall("".join(letter for letter in plain if not unicodedata.combining(letter)))


def tokens_of(
    *, namespace_id: int, namespace: str, name: str, description: str, is_private: bool, categories: Sequence[str]
) -> str:
    """What a repository is found by, with blanks in between; `categories` are slugs."""
    about = [PRIVATE if is_private else PUBLIC, in_namespace(namespace_id), called(name), *map(in_category, categories)]
    tokens = [token.text for token in about]
    for word in (*words_of(namespace), *words_of(name)):
        tokens += [word[:TOKEN_LENGTH_LIMIT], *_rests(word, PART_LENGTH_MINIMUM)]
    for word in words_of(description):
        tokens += [word[:TOKEN_LENGTH_LIMIT], *(_rests(word, 1) if _UNSPACED.search(word) else ())]
    return " ".join(dict.fromkeys(tokens))


def _rests(word: str, minimum: int) -> Iterator[str]:
    """The ends of a word, shorter and shorter."""
    return (f"-{word[start : start + TOKEN_LENGTH_LIMIT]}" for start in range(1, len(word) - minimum + 1))


def in_namespace(namespace_id: int) -> Token:
    return Token(f"~{namespace_id}")


def in_category(slug: str) -> Token:
    return Token(f"#{slug}")


def called(name: str) -> Token:
    return Token(f"={name}")


def holding(word: str) -> Sequence[Token]:
    """Tokens of which a repository has one that is found by a word."""
    word = word[:TOKEN_LENGTH_LIMIT]
    if len(word) >= PART_LENGTH_MINIMUM or _UNSPACED.search(word):
        return Token(word, is_prefix=True), Token(f"-{word}", is_prefix=True)
    return (Token(word, is_prefix=len(word) > 1),)
