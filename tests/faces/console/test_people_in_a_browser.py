"""Logging in and changing people in Debian's Chromium: what it sends by itself is what the guard relies on."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.responses import HTMLResponse

from isthmus.app.people.person import Role
from people_making import PASSWORD, SHELL, Served, served


@contextlib.contextmanager
def listening(app: Any) -> Iterator[str]:
    """Serve an application on a free port of loopback in a thread; yields its address."""
    bound = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", proxy_headers=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def site(tmp_path: Path) -> Served:
    return served(tmp_path, {"ada": Role.ADMIN, "vera": Role.VIEWER})


@pytest.fixture
def place(site: Served) -> Iterator[str]:
    with listening(site.app) as url:
        yield url


def entered(page: Any, place: str, path: str = "/people", name: str = "ada") -> None:
    page.goto(place + path)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def test_everything_about_people_works_without_scripts(browser: Any, place: str, site: Served) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    page = context.new_page()
    page.goto(place + "/people")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("a wrong one")
    page.get_by_role("button", name="Log in").click()
    assert "do not fit together" in page.get_by_role("alert").inner_text()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    assert page.url == place + "/people", "it leads back to where one wanted to go"
    add = page.locator("form[action='/people/users/add']")
    add.get_by_label("Name").fill("Bob")
    add.get_by_label("Password").fill(PASSWORD)
    add.get_by_role("button", name="Add").click()
    assert "bob was added" in page.locator("main").get_by_role("status").inner_text()
    page.get_by_role("link", name="bob").click()
    page.get_by_label("Type bob to confirm").fill("bob")
    page.get_by_role("button", name="Remove").click()
    assert "bob was removed" in page.locator("main").get_by_role("status").inner_text()
    page.get_by_role("button", name="Log out").click()
    assert page.url == place + "/login"
    page.goto(place + "/people")
    assert "/login" in page.url
    context.close()


@pytest.mark.soak  # the suite opens each page once: test_product_in_a_browser
@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_no_page_of_people_breaks_the_content_policy(
    browser: Any, place: str, site: Served, language: str
) -> None:
    with site.access() as access:
        access.keys.add("ci", Role.VIEWER, SHELL)
    context = browser.new_context(locale=language)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda one: complaints.append(one.text) if one.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(place + "/login")
    page.locator("[name=name]").fill("ada")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("button.main").click()
    page.wait_for_url(place + "/")
    complaints.clear()  # the first page belongs to others
    for path in ("/people?user=vera", "/people/keys", "/people/audit?verify=1", "/people/account"):
        page.goto(place + path)
        page.set_viewport_size({"width": 768, "height": 1024})
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is too wide for a tablet"
    assert complaints == []
    context.close()


def test_a_page_of_another_port_cannot_use_ones_session(browser: Any, place: str, site: Served) -> None:
    async def evil(scope: Any, receive: Any, send: Any) -> None:
        page = f"""<!doctype html><form method="post" action="{place}/people/users/add">
            <input name="name" value="eve"><input name="role" value="admin">
            <input name="password" value="eve wants to get in"><button>win</button></form>
            <form method="post" action="{place}/login"><input name="name" value="vera">
            <input name="password" value="{PASSWORD}"><button>become</button></form>"""
        await HTMLResponse(page)(scope, receive, send)

    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    entered(page, place, "/people")
    with listening(evil) as trap:
        for button in ("win", "become"):
            page.goto(trap)
            with page.expect_response(lambda answer: answer.request.method == "POST") as caught:
                page.get_by_role("button", name=button).click()
            assert caught.value.status == 403, "another port is the same site, and yet another origin"
    page.goto(place + "/people")
    assert page.locator(".who b").inner_text() == "ada"
    with site.access() as access:
        assert [one.name for one in access.people.members()] == ["ada", "vera"]
    context.close()


def test_a_page_of_another_site_does_not_even_send_the_cookie(browser: Any, place: str) -> None:
    sent: list[str] = []

    async def evil(scope: Any, receive: Any, send: Any) -> None:
        await HTMLResponse(f'<!doctype html><a href="{place}/people">a link</a>')(scope, receive, send)

    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    entered(page, place, "/people")
    with listening(evil) as trap:
        page.goto(trap.replace("127.0.0.1", "localhost"))
        # from here on alone: the page that was left may have asked for something of its own until now
        page.on(
            "request", lambda one: sent.append(one.all_headers().get("cookie", "")) if place in one.url else None
        )
        page.get_by_role("link").click()
        page.wait_for_url("**/login?**")
    assert sent and not sent[0]
    context.close()


@pytest.mark.soak  # the suite looks at each page once: test_product_in_a_browser
def test_axe_finds_nothing_serious(browser: Any, place: str, site: Served) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    with site.access() as access:
        access.keys.add("ci", Role.VIEWER, SHELL)
    every = ("/people?user=vera", "/people/keys", "/people/audit?verify=1", "/people/account")
    for theme, paths in (("light", every), ("dark", every[:1])):
        context = browser.new_context(locale="en-GB", color_scheme=theme, bypass_csp=True)
        page = context.new_page()
        page.goto(place + "/login")
        looked = [("login", axe.Axe().run(page))]
        entered(page, place, "/people")
        for path in paths:
            page.goto(place + path)
            looked.append((path, axe.Axe().run(page)))
        for path, found in looked:
            grave = [
                (one["id"], [node["target"] for node in one["nodes"]])
                for one in found.response["violations"]
                if one["impact"] in ("serious", "critical")
            ]
            assert grave == [], path
        context.close()
