"""What somebody tries who should not get in: each attack as a sentence."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from isthmus.app.console import ConsolePart
from isthmus.app.people.person import Role
from isthmus.faces.http.hub.resources import peopleshapes as shapes
from people_making import OWN, PASSWORD, SHELL, Served, served, tokens

EVERYBODY = {"ada": Role.ADMIN, "olga": Role.OPERATOR, "vera": Role.VIEWER}
ADD = {"name": "eve", "role": "admin", "password": "eve wants to get in"}


@pytest.fixture
def site(tmp_path: Path) -> Served:
    return served(tmp_path, EVERYBODY)


def entered(site: Served, name: str = "ada") -> Any:
    client = site.client()
    assert site.log_in(client, name).status_code == 303
    return client


# sessions


def test_a_session_that_was_planted_before_the_login_is_worth_nothing_after_it(site: Served) -> None:
    client = site.client()
    client.cookies.set(site.guard.cookie, "planted-by-somebody-else", domain="127.0.0.1")
    site.log_in(client)
    assert tokens(client)[site.guard.cookie] != "planted-by-somebody-else"
    thief = site.client()
    thief.cookies.set(site.guard.cookie, "planted-by-somebody-else")
    assert thief.get("/v1/session").status_code == 401


def test_an_attackers_own_session_that_was_planted_ends_when_the_victim_logs_in(site: Served) -> None:
    attacker, victim = entered(site, "vera"), site.client()
    victim.cookies.update(tokens(attacker))
    site.log_in(victim)
    assert victim.get("/v1/session").json()["name"] == "ada"
    assert attacker.get("/v1/session").status_code == 401


def test_a_token_that_was_copied_before_logging_out_opens_nothing_after_it(site: Served) -> None:
    client = entered(site)
    thief = site.client()
    thief.cookies.update(tokens(client))
    assert thief.get("/v1/session").status_code == 200
    csrf = site.csrf(client)
    assert client.post("/logout", data={"csrf": csrf}, headers=OWN).status_code == 303
    assert thief.get("/v1/session").status_code == 401


def test_the_sessions_cookie_is_out_of_reach_of_scripts_and_of_other_sites(site: Served) -> None:
    header = site.log_in(site.client()).headers["set-cookie"]
    parts = {part.strip().lower() for part in header.split(";")}
    assert {"httponly", "samesite=strict", "path=/"} <= parts
    assert "secure" not in parts, "plain loopback"
    assert not any(part.startswith("domain") for part in parts)


@pytest.mark.parametrize(
    "part",
    [
        ConsolePart(public_url="https://isthmus.example"),
        ConsolePart(host="0.0.0.0", tls_certificate="c.pem", tls_key="k.pem"),
    ],
    ids=["behind a proxy", "own TLS"],
)
def test_over_tls_the_cookie_is_secure_and_bound_to_the_host(tmp_path: Path, part: ConsolePart) -> None:
    site = served(tmp_path, part=part)
    client = site.client(base="https://isthmus.example")
    response = site.log_in(client)
    header = response.headers["set-cookie"]
    assert header.startswith("__Host-isthmus_") and "; Secure" in header and "Domain" not in header
    assert client.get("/v1/session").json()["name"] == "ada"


def test_a_stolen_cookie_is_of_no_use_to_a_page_of_another_site(site: Served) -> None:
    client = entered(site)
    csrf = site.csrf(client)
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "https://127.0.0.1:8480"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8480"},
    ):
        done = client.post("/v1/people", json=ADD, headers={**headers, "x-csrf-token": csrf})
        assert done.status_code == 403, headers
    assert "eve" not in client.get("/v1/people").text


def test_a_form_of_our_own_page_passes_under_a_referrer_policy_that_hides_its_origin(site: Served) -> None:
    client = entered(site)
    headers = {"x-csrf-token": site.csrf(client), "origin": "null", "sec-fetch-site": "same-origin"}
    assert client.post("/v1/people", json=ADD, headers=headers).status_code == 201


@pytest.mark.parametrize("given", [None, "", "0" * 64, "another"])
def test_a_change_without_the_sessions_token_is_refused(site: Served, given: str | None) -> None:
    client = entered(site)
    headers = OWN if given is None else {**OWN, "x-csrf-token": given}
    assert client.post("/v1/people", json=ADD, headers=headers).status_code == 403
    assert client.delete("/v1/people/vera", headers=headers).status_code == 403
    form = {"csrf": given or "", **ADD}
    assert client.post("/people/users/add", data=form, headers=OWN).status_code == 403
    assert client.post("/v1/operations/ingest", headers=headers).status_code == 403
    assert client.post("/logout", data={"csrf": given or ""}, headers=OWN).status_code == 403


def test_the_token_of_one_session_opens_nothing_in_another(site: Served) -> None:
    client, other = entered(site), entered(site)
    csrf = site.csrf(other)
    assert client.post("/v1/people", json=ADD, headers={**OWN, "x-csrf-token": csrf}).status_code == 403
    assert other.post("/v1/people", json=ADD, headers={**OWN, "x-csrf-token": csrf}).status_code == 201


def test_a_token_in_the_address_does_not_count(site: Served) -> None:
    client = entered(site)
    done = client.post(f"/v1/people?csrf={site.csrf(client)}", json=ADD, headers=OWN)
    assert done.status_code == 403


def test_a_key_needs_no_token_since_no_browser_adds_it_by_itself(site: Served) -> None:
    with site.access() as access:
        text = access.keys.add("ci", Role.ADMIN, SHELL).text
    client = site.client()
    done = client.post("/v1/people", json=ADD, headers={"authorization": f"Bearer {text}"})
    assert done.status_code == 201


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer x", "Basic YWRhOng=", "bearer ish_x", "ish_x", "Bearer \xff"]
)
def test_a_wrong_key_is_refused_even_beside_a_good_cookie(site: Served, header: str) -> None:
    client = entered(site)
    response = client.get("/v1/session", headers={"authorization": header.encode("latin-1")})
    assert response.status_code == 401
    assert "bearer" in response.headers["www-authenticate"].lower()


def test_nobody_is_logged_in_by_a_page_of_another_site(site: Served) -> None:
    foreign = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    form = {"name": "vera", "password": PASSWORD}
    assert site.client().post("/login", data=form, headers=foreign).status_code == 403
    assert site.client().post("/v1/session", json=form, headers=foreign).status_code == 403


def test_a_name_that_points_to_loopback_reaches_nothing(site: Served) -> None:
    for host in (
        "evil.example",
        "evil.example:8480",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "[",
        "::",
    ):
        client = entered(site)
        for path in ("/login", "/v1/session", "/", "/static/x"):
            assert client.get(path, headers={"host": host}).status_code == 421, (host, path)
    for host in ("localhost:1234", "127.0.0.1", "[::1]:8480", "LOCALHOST"):
        assert site.client().get("/login", headers={"host": host}).status_code == 200, host


# roles


def test_a_role_that_is_too_low_opens_no_door_and_no_page(site: Served) -> None:
    for name, path in itertools.product(("olga", "vera"), ("/v1/people", "/v1/keys", "/v1/audit/proof")):
        assert entered(site, name).get(path).status_code == 403
    client = entered(site, "vera")
    headers = {**OWN, "x-csrf-token": site.csrf(client)}
    assert client.get("/people/keys").status_code == 403
    for path in ("/people/users/role", "/people/users/add", "/people/keys/add"):
        assert client.post(path, data={"name": "vera", "role": "admin"}, headers=headers).status_code == 403
    assert client.patch("/v1/people/vera", json={"role": "admin"}, headers=headers).status_code == 403
    assert client.put("/v1/people/ada/password", json={"password": "x" * 20}, headers=headers).status_code == 403
    assert client.post("/v1/operations/ingest", headers=headers).status_code == 403
    assert {one["who"] for one in client.get("/v1/audit").json()["items"]} <= {"vera", "root@shell"}


def test_a_role_that_was_taken_away_is_gone_at_the_next_call(site: Served) -> None:
    client = entered(site, "olga")
    headers = {**OWN, "x-csrf-token": site.csrf(client)}
    assert client.post("/v1/operations/ingest", headers=headers).status_code == 202
    with site.access() as access:
        access.people.set_role("olga", Role.VIEWER, SHELL)
    assert client.post("/v1/operations/ingest", headers=headers).status_code == 403
    with site.access() as access:
        access.people.remove("olga", SHELL)
    assert client.get("/v1/session").status_code == 401


def test_the_last_admin_cannot_be_removed_over_the_api(site: Served) -> None:
    client = entered(site)
    headers = {**OWN, "x-csrf-token": site.csrf(client)}
    assert client.delete("/v1/people/ada", headers=headers).status_code == 403
    assert client.patch("/v1/people/ada", json={"role": "viewer"}, headers=headers).status_code == 403
    assert client.get("/v1/people").status_code == 200


# passwords


def test_guessing_is_slowed_down_by_name_and_told_with_the_time_to_wait(site: Served) -> None:
    answers = [site.log_in(site.client(), "ada", f"guess {number}") for number in range(7)]
    assert [one.status_code for one in answers] == [401] * 5 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert site.log_in(site.client()).status_code == 429, "the right one must wait too"
    assert len(site.hasher.verified) == 5, "and what must wait is not even compared"
    site.clock.move(2)
    assert site.log_in(site.client()).status_code == 303


def test_guessing_over_the_api_is_the_same_guessing(site: Served) -> None:
    wrong = {"name": "ada", "password": "wrong horse battery"}
    codes = [site.client().post("/v1/session", json=wrong).status_code for _ in range(3)]
    codes += [site.log_in(site.client(), "ada", "wrong").status_code for _ in range(3)]
    assert codes == [401] * 5 + [429]


def test_an_address_that_a_caller_made_up_does_not_help_with_guessing(site: Served) -> None:
    codes = []
    for number in range(30):
        form = {"name": f"name{number}", "password": "x"}
        headers = {**OWN, "x-forwarded-for": f"10.9.8.{number}", "forwarded": f"for=10.9.8.{number}"}
        codes.append(site.client(host="203.0.113.5").post("/login", data=form, headers=headers).status_code)
    assert codes == [401] * 20 + [429] * 10


def test_behind_a_proxy_that_the_toml_names_each_caller_counts_alone(tmp_path: Path) -> None:
    part = ConsolePart(public_url="https://isthmus.example", proxies=("10.0.0.0/30", "::1"))
    site = served(tmp_path, part=part)
    client = site.client(host="10.0.0.2", base="https://isthmus.example")
    for hops, where in (
        ("198.51.100.7", "198.51.100.7"),
        ("6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("6.6.6.6, 198.51.100.7, 10.0.0.1", "198.51.100.7"),
        ("6.6.6.6, not-an-address", "10.0.0.2"),
        ("", "10.0.0.2"),
    ):
        form = {"name": "ada", "password": "wrong"}
        client.post("/login", data=form, headers={**OWN, "x-forwarded-for": hops})
        with site.access() as access:
            assert access.trail.latest(most=1)[0].where == where, hops
        site.clock.move(3600)


def test_an_unknown_name_is_answered_as_a_wrong_password_by_the_same_calls(site: Served) -> None:
    site.log_in(site.client(), "ada", "wrong")  # the hash for nobody is made at the first login
    seen = []
    for name in ("ada", "nobody", "not a name!"):
        hashed, verified = site.hasher.hashed, len(site.hasher.verified)
        answer = site.log_in(site.client(), name, "wrong horse battery")
        page = answer.text.replace(name, "").replace("not a name!", "")
        seen.append((answer.status_code, page, site.hasher.hashed - hashed, len(site.hasher.verified) - verified))
    assert seen[0] == seen[1]
    assert seen[0][2:] == seen[2][2:] == (0, 1)


def test_changing_ones_own_password_needs_the_present_one_and_ends_the_other_sessions(site: Served) -> None:
    client, other = entered(site, "vera"), entered(site, "vera")
    headers = {**OWN, "x-csrf-token": site.csrf(client)}
    new = "another of twelve signs"
    place = "/v1/people/vera/password"
    assert client.put(place, json={"password": new}, headers=headers).status_code == 403
    assert client.put(place, json={"password": new, "current": "wrong"}, headers=headers).status_code == 403
    assert other.get("/v1/session").status_code == 200
    assert client.put(place, json={"password": new, "current": PASSWORD}, headers=headers).status_code == 204
    assert client.get("/v1/session").json()["name"] == "vera", "the one that changed it goes on, in a new session"
    assert other.get("/v1/session").status_code == 401
    assert site.log_in(site.client(), "vera").status_code == 401
    assert site.log_in(site.client(), "vera", new).status_code == 303


def test_the_present_password_cannot_be_guessed_through_an_open_session(site: Served) -> None:
    client = entered(site, "vera")
    headers = {**OWN, "x-csrf-token": site.csrf(client)}
    codes = []
    for number in range(6):
        guess = {"password": "another of twelve signs", "current": f"guess {number}"}
        codes.append(client.put("/v1/people/vera/password", json=guess, headers=headers).status_code)
    assert codes == [403] * 5 + [429]


# places and headers


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
        "javascript:alert(1)", "/\n/evil.example", "http:evil.example", "evil.example", "", " //evil.example",
        "/%0d%0aset-cookie: a=b", "/x\r\nset-cookie: a=b",
    ],
)  # fmt: skip
def test_after_the_login_nobody_is_led_to_another_site(site: Served, place: str) -> None:
    client = site.client()
    form = {"name": "ada", "password": PASSWORD, "next": place}
    answers = [client.post("/login", data=form, headers=OWN), client.get("/login", params={"next": place})]
    for answer in answers:
        assert answer.status_code == 303
        location = answer.headers["location"]
        assert location.startswith("/") and not location.startswith(("//", "/\\", "/\t", "/\n"))
        assert "\r" not in location and "\n" not in location and "\\" not in location[:2]
        assert "a=b" not in answer.headers.get("set-cookie", "")
    assert client.get("/login", params={"next": "/recovery?a=1"}).headers["location"] == "/recovery?a=1"


def test_a_page_that_needs_a_login_leads_back_to_itself(site: Served) -> None:
    client = site.client()
    location = client.get("/people/audit?verify=1").headers["location"]
    form = {"name": "ada", "password": PASSWORD, "next": "/people/audit?verify=1"}
    assert location == "/login?next=%2Fpeople%2Faudit%3Fverify%3D1"
    assert client.post("/login", data=form, headers=OWN).headers["location"] == "/people/audit?verify=1"


@pytest.mark.parametrize("text", ["a\r\nset-cookie: x=y", "<script>alert(1)</script>", '"><b>', "é\0", "a" * 5000])
def test_what_is_typed_as_a_name_neither_becomes_a_header_nor_markup(site: Served, text: str) -> None:
    answer = site.log_in(site.client(), text, "x")
    assert answer.status_code == 401
    assert "x=y" not in answer.headers.get("set-cookie", "")
    assert "<script>alert" not in answer.text and "<b>" not in answer.text
    client = entered(site)
    headers = {**OWN, "x-csrf-token": site.csrf(client)}
    made = client.post("/v1/people", json={**ADD, "name": text}, headers=headers)
    assert made.status_code == 422
    page = client.post("/people/users/add", data={**ADD, "name": text}, headers=headers)
    assert page.status_code == 422 and "<script>alert" not in page.text
    assert "<script>alert" not in client.get("/people", params={"done": "added", "name": text}).text


@pytest.mark.parametrize(
    "body",
    [b"", b"=" * 5000, b"name=" + b"a" * 20_000, b"&".join(b"a%d=1" % n for n in range(99)), b"\xff\xfe=%zz"],
)
def test_a_form_that_is_none_is_answered_politely(site: Served, body: bytes) -> None:
    headers = {**OWN, "content-type": "application/x-www-form-urlencoded"}
    assert site.client().post("/login", content=body, headers=headers).status_code in (401, 413, 422)


def test_no_secret_stands_in_the_file_the_log_or_a_repr(site: Served) -> None:
    secret = "never to be seen anywhere"
    client = entered(site)
    headers = {**OWN, "x-csrf-token": site.csrf(client)}
    client.post("/v1/people", json={"name": "eve", "role": "viewer", "password": secret}, headers=headers)
    client.put("/v1/people/vera/password", json={"password": secret + " too"}, headers=headers)
    client.post("/v1/people", json={"name": secret, "role": "viewer", "password": secret}, headers=headers)
    client.post("/v1/people", json={"name": "x", "role": secret, "password": secret}, headers=headers)
    site.log_in(site.client(), secret, secret)
    site.log_in(site.client(), "eve", secret)
    key = client.post("/v1/keys", json={"name": "ci"}, headers=headers).json()["text"]
    token = tokens(client)[site.guard.cookie]
    site.guard.desk.close()
    kept = b"".join(file.read_bytes() for file in site.folder.iterdir() if file.is_file())
    for text in (secret, PASSWORD, key, token):
        assert text.encode() not in kept
        assert text not in "\n".join(site.said)
    for shape in (
        shapes.LogIn("ada", secret),
        shapes.NewPerson("eve", "viewer", secret),
        shapes.NewPassword(secret, secret),
    ):
        assert secret not in repr(shape) and secret not in str(shape)


def test_a_message_about_a_wrong_body_does_not_hold_the_password(site: Served) -> None:
    client = entered(site)
    headers = {**OWN, "x-csrf-token": site.csrf(client)}
    for body in (
        {"name": "eve", "role": "viewer", "password": "short secret"[:6]},
        {"name": "eve", "role": "viewer", "password": ["secret-in-a-list"]},
        {"name": "eve", "role": "king", "password": "secret"},
        {"name": "eve", "role": "viewer", "password": "secret" + "x" * 400},
    ):
        done = client.post("/v1/people", json=body, headers=headers)
        assert done.status_code == 422 and "secret" not in done.text


# the audit log


def test_every_change_stands_in_the_audit_log_with_who_and_from_where(site: Served) -> None:
    client = entered(site)
    headers = {**OWN, "x-csrf-token": site.csrf(client)}
    client.post("/v1/people", json=ADD, headers=headers)
    client.post("/v1/operations/recovery-verify", headers=headers)
    client.delete("/v1/people/nobody", headers=headers)
    client.post("/v1/keys", json={"name": "ci", "role": "operator"}, headers=headers)
    client.get("/v1/people")
    with site.access() as access:
        lines = [(one.who, one.act, one.subject, one.outcome, one.where) for one in access.trail.after(4)]
        assert access.trail.verify().faults == ()
    assert lines == [
        ("ada", "user add", "eve", "done: admin", "127.0.0.1"),
        ("ada", "recovery verify", "w1", "begun", "127.0.0.1"),
        ("ada", "DELETE", "/v1/people/nobody", "refused: 404", "127.0.0.1"),
        ("ada", "key add", "key:ci", "done: operator", "127.0.0.1"),
    ]


def test_a_key_stands_in_the_audit_log_as_a_key(site: Served) -> None:
    with site.access() as access:
        text = access.keys.add("ci", Role.OPERATOR, SHELL).text
    headers = {"authorization": f"Bearer {text}"}
    site.client().post("/v1/operations/ingest", headers=headers)
    site.client().post("/v1/people", json=ADD, headers=headers)
    with site.access() as access:
        lines = [(one.who, one.act, one.subject, one.outcome) for one in access.trail.latest(most=2)]
    assert lines == [
        ("key:ci", "POST", "/v1/people", "refused: 403"),
        ("key:ci", "ingest", "w1", "begun"),
    ]


def test_what_nobody_is_allowed_does_not_fill_the_audit_log(site: Served) -> None:
    with site.access() as access:
        before = access.trail.latest(most=1)[0].number
    for _ in range(5):
        site.client().post("/v1/people", json=ADD)
        site.client().post("/v1/operations/ingest", headers={"authorization": "Bearer ish_x"})
    with site.access() as access:
        assert access.trail.latest(most=1)[0].number == before


def test_a_wait_costs_no_line(site: Served) -> None:
    for number in range(5):
        site.log_in(site.client(), "ada", f"guess {number}")
    with site.access() as access:
        before = access.trail.latest(most=1)[0].number
    assert {site.log_in(site.client()).status_code for _ in range(5)} == {429}
    with site.access() as access:
        assert access.trail.latest(most=1)[0].number == before
