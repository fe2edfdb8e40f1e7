from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub_making import flaws
from isthmus.app.people.person import Role
from people_making import OWN, PASSWORD, Served, served, texts

EVERYBODY = {"ada": Role.ADMIN, "vera": Role.VIEWER}
PAGES = ("/people", "/people?user=vera", "/people/keys", "/people/audit?verify=1", "/people/account")


@pytest.fixture
def site(tmp_path: Path) -> Served:
    return served(tmp_path, EVERYBODY)


def entered(site: Served, name: str = "ada") -> Any:
    client = site.client()
    assert site.log_in(client, name).status_code == 303
    return client


def sent(site: Served, client: Any, place: str, **form: str) -> Any:
    return client.post(place, data={"csrf": site.csrf(client), **form}, headers=OWN)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_well_formed_small_and_without_inline_code(site: Served, language: str) -> None:
    client = entered(site)
    headers = {"accept-language": language}
    for place in (*PAGES, "/login"):
        page = (site.client() if place == "/login" else client).get(place, headers=headers)
        assert page.status_code == 200, place
        assert flaws(page.text) == [], place
        assert len(page.content) < 50_000
        part = (site.client() if place == "/login" else client).get(
            place, headers=headers | {"hx-request": "true"}
        )
        assert part.status_code == 200 and "<html" not in part.text


def test_every_field_has_a_label_and_passwords_say_what_they_are_to_the_browser(site: Served) -> None:
    client = entered(site)
    for place in PAGES:
        text = client.get(place).text
        assert text.count("<select") <= text.count("<label")
        assert text.count('type="password"') == text.count('-password"')
    assert 'autocomplete="current-password"' in site.client().get("/login").text


def test_the_login_page_needs_no_script_and_keeps_the_name_but_not_the_password(site: Served) -> None:
    client = site.client()
    page = client.post("/login", data={"name": "ada", "password": "a wrong one"}, headers=OWN)
    assert page.status_code == 401
    assert 'value="ada"' in page.text and "a wrong one" not in page.text and 'role="alert"' in page.text
    assert flaws(page.text) == []


def test_before_anybody_is_known_the_login_page_says_how_to_make_the_first_user(tmp_path: Path) -> None:
    site = served(tmp_path, {})
    text = texts(site.client().get("/login").text)
    assert "Nobody can log in yet" in text and "user add NAME --role admin" in text
    assert site.log_in(site.client()).status_code == 401


def test_who_is_logged_in_goes_on_from_the_login_page(site: Served) -> None:
    assert entered(site).get("/login?next=/works").headers["location"] == "/works"


def test_an_admin_adds_changes_and_removes_a_user(site: Served) -> None:
    client = entered(site)
    done = sent(site, client, "/people/users/add", name="Bob", role="operator", password=PASSWORD)
    assert done.headers["location"] == "/people?done=added&name=bob"
    assert "bob was added" in texts(client.get(done.headers["location"]).text)
    bob = entered(site, "bob")
    assert sent(site, client, "/people/users/role", name="bob", role="viewer").status_code == 303
    assert bob.get("/v1/session").json()["role"] == "viewer"
    assert sent(site, client, "/people/users/logout", name="bob").status_code == 303
    assert bob.get("/v1/session").status_code == 401
    new = "another of twelve signs"
    assert sent(site, client, "/people/users/password", name="bob", password=new).status_code == 303
    assert site.log_in(site.client(), "bob", new).status_code == 303
    wrong = sent(site, client, "/people/users/remove", name="bob", confirm="bo")
    assert wrong.status_code == 422 and "typed again" in wrong.text
    assert sent(site, client, "/people/users/remove", name="bob", confirm="bob").status_code == 303
    assert site.log_in(site.client(), "bob", new).status_code == 401


def test_what_is_refused_is_said_on_the_page_with_what_was_typed(site: Served) -> None:
    client = entered(site)
    page = sent(site, client, "/people/users/add", name="bob", role="operator", password="short")
    assert page.status_code == 422 and "12 or more" in page.text
    assert 'value="bob"' in page.text and "short" not in page.text and flaws(page.text) == []
    page = sent(site, client, "/people/users/remove", name="ada", confirm="ada")
    assert page.status_code == 403 and "last admin" in page.text
    assert sent(site, client, "/people/users/role", name="nobody", role="viewer").status_code == 422
    assert sent(site, client, "/people/users/fly", name="ada").status_code == 422
    assert sent(site, client, "/people/keys/add", name="k", role="viewer", days="soon").status_code == 422
    assert sent(site, client, "/people/keys/add", name="k", role="king").status_code == 422


def test_a_key_is_shown_once_and_revoked(site: Served) -> None:
    client = entered(site)
    page = sent(site, client, "/people/keys/add", name="ci", role="operator", days="")
    text = texts(page.text).split("The key ci was made ")[1].split()[0]
    assert page.headers["cache-control"] == "no-store" and flaws(page.text) == []
    assert text not in client.get("/people/keys").text
    program = {"authorization": f"Bearer {text}"}
    assert site.client().get("/v1/session", headers=program).json() == {
        "name": "ci", "role": "operator", "by": "key", "csrf": "",
    }  # fmt: skip
    assert sent(site, client, "/people/keys/revoke", name="ci").status_code == 303
    assert site.client().get("/v1/session", headers=program).status_code == 401
    assert "revoked" in client.get("/people/keys").text


def test_who_is_no_admin_sees_their_own_account_and_their_own_lines(site: Served) -> None:
    client = entered(site, "vera")
    page = client.get("/people").text
    assert "Your account" in page and "/people/users/add" not in page and "/people/keys" not in page
    sent(site, entered(site), "/people/keys/add", name="ci", role="viewer", days="")
    lines = texts(client.get("/people/audit").text)
    assert "vera" in lines and "key:ci" not in lines
    assert client.get("/people/keys").status_code == 403


def test_one_changes_ones_own_password_and_goes_on(site: Served) -> None:
    client, elsewhere = entered(site, "vera"), entered(site, "vera")
    new = "another of twelve signs"
    wrong = sent(site, client, "/people/account", current="not this", password=new)
    assert wrong.status_code == 403 and "present password is another" in wrong.text
    done = sent(site, client, "/people/account", current=PASSWORD, password=new)
    assert done.status_code == 303
    assert "Your password was changed" in client.get(done.headers["location"]).text
    assert elsewhere.get("/v1/session").status_code == 401


def test_a_log_that_is_not_whole_is_shown_as_an_alarm(site: Served) -> None:
    client = entered(site)
    assert "none removed or changed" in texts(client.get("/people/audit?verify=1").text)
    with site.access() as access, access._store.transaction() as own:
        own.execute("DROP TRIGGER trail_stays")
        own.execute("DELETE FROM trail WHERE number = 1")
    page = client.get("/people/audit?verify=1").text
    assert "line 1 is missing" in page and 'role="alert"' in page


def test_the_pages_of_a_long_list_follow_each_other(site: Served) -> None:
    with site.access() as access:
        for number in range(120):
            access.keys.add(f"k{number:03}", Role.VIEWER, actor())
    client = entered(site)
    seen, place = [], "/v1/keys?limit=50"
    while place:
        page = client.get(place).json()
        seen += [one["name"] for one in page["items"]]
        place = f"/v1/keys?limit=50&after={page['next']}" if page["next"] else ""
    assert seen == [f"k{number:03}" for number in range(120)]
    assert client.get("/people/keys").text.count("/people/keys/revoke") == 50
    assert client.get("/people/audit?after=nonsense").status_code == 422
    assert client.get("/v1/audit?after=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5").status_code == 422


def actor() -> Any:
    from people_making import SHELL

    return SHELL
