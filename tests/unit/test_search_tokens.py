"""What a repository is found by, and how the databases are asked for it."""

import sqlite3
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.search_tokens import TOKEN_LENGTH_LIMIT, Token, Wanted, called, holding, in_namespace, tokens_of, words_of
from homeport.storage.db.postgres import query_expression
from homeport.storage.db.search import NAMESPACES_LIMIT
from homeport.storage.db.sqlite import match_expression

TEXTS = st.text(max_size=60)


def tokens(
    name: str = "app", description: str = "", *, is_private: bool = False, categories: Sequence[str] = ()
) -> str:
    return tokens_of(
        namespace_id=12,
        namespace="acme",
        name=name,
        description=description,
        is_private=is_private,
        categories=categories,
    )


def has(text: str, word: str) -> bool:
    """Whether a repository is found by a word, as the databases tell it."""
    return any(
        found.startswith(token.text) if token.is_prefix else found == token.text
        for token in holding(word)
        for found in text.split(" ")
    )


def test_tokens_of_a_repository() -> None:
    found = tokens("my-app.v2", "The app; THE Äpp", is_private=True, categories=["security"])
    assert found == "~private ~12 =my-app.v2 #security acme -cme my app v2 the"
    assert tokens().split(" ")[0] == "~public"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" -- ", []),
        ("Node.js & C++", ["node", "js", "c"]),
        ("Straße ÀÉ ﬁx İstanbul", ["strasse", "ae", "fix", "istanbul"]),
        ("snake_case", ["snake", "case"]),
        ("\U0001d401\U0001d428\U0001d425\U0001d41d \uff12", ["bold", "2"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(TEXTS, TEXTS)
def test_a_token_is_one_word_without_blanks_and_of_bounded_length(name: str, description: str) -> None:
    found = tokens("app", f"{name} {description}")
    assert all(found.split(" "))
    # Only letters and digits stand behind the sign of a token: nothing that a database's own words are made of.
    assert all(token.lstrip("~=#-").isalnum() for token in found.split(" "))
    assert max(len(token) for token in found.split(" ")) <= TOKEN_LENGTH_LIMIT + 1


@given(TEXTS)
def test_a_description_is_found_by_the_words_that_a_query_has(description: str) -> None:
    found = tokens("app", description)
    assert all(has(found, word) for word in words_of(description))


@given(st.from_regex(r"[a-z0-9]+([-_.][a-z0-9]+)*", fullmatch=True), st.data())
def test_a_name_is_found_by_every_part_of_its_words(name: str, data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(words_of(name)))
    start = data.draw(st.integers(0, len(word) - 1))
    part = word[start : data.draw(st.integers(start + 1, len(word)))]
    is_long_enough = len(part) >= 3 or (start == 0 and len(part) == 2) or part == word
    assert has(tokens(name), part) or not is_long_enough


def test_the_longest_name_has_few_tokens() -> None:
    assert len(tokens("a" * 250)) < 8000


def test_what_databases_are_asked_is_quoted() -> None:
    wanted = Wanted([[Token("~public"), Token("~12")], holding("app"), [Token("""a"b'c\\d*:&|""")]])
    assert match_expression(wanted) == '("~public" OR "~12") AND ("app" * OR "-app" *) AND ("a""b\'c\\d*:&|")'
    assert query_expression(wanted) == "('~public' | '~12') & ('app':* | '-app':*) & ('a\"b''c\\\\d*:&|')"


@given(st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=30), max_size=8))
def test_fts5_understands_every_word(words: list[str]) -> None:
    connection = sqlite3.connect(":memory:")
    tokenizer = "ascii tokenchars '~=#-._'"
    connection.execute(f'create virtual table t using fts5(tokens, detail = none, tokenize = "{tokenizer}")')
    plain = [word for text in words for word in words_of(text)]
    found = tokens("app", " ".join(plain))
    connection.execute("insert into t (rowid, tokens) values (7, ?)", (found,))
    asked = match_expression(Wanted([[called("app")], *(holding(word) for word in plain)]))
    assert connection.execute("select rowid from t where t match ?", (asked,)).fetchall() == [(7,)]
    # The longest list of namespaces that is ever asked for.
    asked = match_expression(Wanted([[in_namespace(number) for number in range(NAMESPACES_LIMIT)], [called("app")]]))
    assert connection.execute("select rowid from t where t match ?", (asked,)).fetchall() == [(7,)]
    connection.close()
