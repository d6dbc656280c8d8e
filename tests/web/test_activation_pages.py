"""The page where a person lets a program in, used as a browser would."""

import pytest

from tests.home import Home
from tests.inviting import value
from tests.web.test_invite_pages import checked, opened, post

WAITING = "select count(*) from device_logins where status = 'pending'"


def begun(home: Home, user_agent: str = "docker-cli:28", client_id: str = "L4v0") -> tuple[str, str]:
    """The code of a program that has begun to sign in, and the link to type it at."""
    client = home.client(**{"user-agent": user_agent})
    answer = client.post("/oauth/device/code", data={"client_id": client_id}).json()
    return answer["user_code"], answer["verification_uri_complete"]


def test_the_page_says_who_asks_from_where(home: Home) -> None:
    code, link = begun(home)
    first = opened(home, link)
    assert first.forms["activate"].fields == {"user_code": code}
    page = checked(post(home, first, "activate"))
    for word in (code, "docker-cli:28", "127.0.0.1", "UTC"):
        assert word in page.text
    assert set(page.forms) == {"allow", "deny"}


def test_what_a_program_calls_itself_is_a_text(home: Home) -> None:
    user_agent = '<b>"x"</b>' + "y" * 600
    code, _ = begun(home, user_agent)
    answer = home.anonymous.post("/activate", data={"user_code": code})
    assert answer.status_code == 200
    assert user_agent[:512] in checked(answer).text
    code, _ = begun(home, "", "what it is called")
    assert "what it is called" in checked(home.anonymous.post("/activate", data={"user_code": code})).text


def test_looking_at_a_link_changes_nothing_and_does_not_tell_whether_there_is_such_a_code(home: Home) -> None:
    code, link = begun(home)
    waiting = value(home, int, WAITING)
    for _ in range(3):
        opened(home, link)
    assert home.anonymous.head(link).content == b""
    unknown = opened(home, link.replace(code, "BBBB-BBBB")).text
    assert unknown == opened(home, link).text
    assert value(home, int, WAITING) == waiting


@pytest.mark.parametrize("code", ["", "BBBB-BBBB", "<script>", "ß" * 100, "\0", "BCDF-GHJK-LMNP"])
def test_a_code_that_nobody_waits_for_is_asked_for_again(home: Home, code: str) -> None:
    for path in ("/activate", "/activate/", "/activate/allow", "/activate/deny"):
        answer = home.anonymous.post(path, data={"user_code": code})
        assert answer.status_code == 404
        page = checked(answer)
        assert "Code not found" in page.text
        assert set(page.forms) == {"activate"}


@pytest.mark.parametrize(
    "written", [str.lower, lambda code: code.replace("-", ""), lambda code: f" {code[:4]} {code[5:]} "]
)
def test_a_code_is_taken_however_it_is_written(home: Home, written: object) -> None:
    assert callable(written)
    code, _ = begun(home)
    answer = home.anonymous.post("/activate", data={"user_code": written(code)})
    assert answer.status_code == 200
    assert code in checked(answer).text


def test_a_wrong_password_is_not_shown_again_and_the_code_stays(home: Home) -> None:
    user = home.user()
    _, link = begun(home)
    page = checked(post(home, opened(home, link), "activate"))
    answer = post(home, page, "allow", username=user.name, password="the wrong password")
    assert answer.status_code == 403
    assert "the wrong password" not in answer.text
    again = checked(answer)
    assert "The user name, the password or the code is wrong." in again.text
    assert again.forms["allow"].fields["username"] == user.name
    done = post(home, again, "allow", password=user.password)
    assert (done.status_code, "Signed in" in checked(done).text) == (200, True)
    assert post(home, again, "allow", password=user.password).status_code == 404


def test_paths_beside_the_page_lead_nowhere(home: Home) -> None:
    assert home.anonymous.get("/activate/nothing").status_code == 404
    assert home.anonymous.get("/activate/allow").status_code == 405
    assert home.anonymous.get("/activated").status_code == 404
