from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isthmus.app.people.access import Access, Trial, Wait
from isthmus.app.people.passwords import Passwords
from isthmus.app.people.person import Role
from isthmus.app.people.waits import FORGOTTEN_S, OF_A_NAME, OF_AN_ADDRESS, Tries, Waits, network_of
from people_making import PASSWORD, QUICK, SHELL, Counting, Hand, enter, hashed, made_access

WRONG = "wrong horse battery"


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def access(tmp_path: Path, clock: Hand) -> Access:
    made = made_access(tmp_path, clock)
    made.people.add("ada", Role.ADMIN, hashed(), SHELL)
    return made


def failing(access: Access, times: int, name: str = "ada", where: str = "10.0.0.1") -> int:
    """Fail to log in so often; returns how many tries were allowed."""
    allowed = 0
    for _ in range(times):
        trial = access.begin(name, where)
        if isinstance(trial, Trial):
            allowed += 1
            assert access.conclude(trial, fits=False) == ""
    return allowed


def test_failures_cost_growing_waits_and_the_right_password_must_wait_too(access: Access, clock: Hand) -> None:
    assert failing(access, 10) == OF_A_NAME.free
    waits = []
    for _ in range(14):
        wait = access.begin("ada", "10.0.0.1")
        assert isinstance(wait, Wait)
        waits.append(round(wait.seconds))
        clock.move(wait.seconds)
        failing(access, 1)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]
    assert enter(access, "ada") == ""
    clock.move(900)
    assert enter(access, "ada")
    again = failing(access, 10, where="10.0.0.2")
    assert again == OF_A_NAME.free, "a login forgives what was counted for the name, if not for the address"


def test_a_restart_forgives_nothing(access: Access, tmp_path: Path, clock: Hand) -> None:
    failing(access, 10)
    access.close()
    with made_access(tmp_path, clock) as again:
        assert isinstance(again.begin("ada", "10.0.0.1"), Wait)


def test_one_address_that_tries_many_names_must_wait(access: Access) -> None:
    allowed = sum(failing(access, 1, f"name{number}") for number in range(100))
    assert allowed == OF_AN_ADDRESS.free
    assert enter(access, "ada", where="10.0.0.2"), "others are not concerned"


def test_a_stranger_who_tries_a_name_elsewhere_does_not_lock_its_owner_out(access: Access) -> None:
    assert enter(access, "ada", where="192.168.0.7")
    for last in range(1, 60):
        failing(access, 3, where=f"203.0.113.{last}")
    assert enter(access, "ada", where="203.0.113.200") == "", "the name must wait elsewhere"
    assert enter(access, "ada", where="192.168.0.7")


def test_a_new_password_takes_away_what_was_known_of_addresses(access: Access) -> None:
    assert enter(access, "ada", where="192.168.0.7")
    access.people.set_password("ada", hashed(), SHELL)
    for last in range(1, 60):
        failing(access, 3, where=f"203.0.113.{last}")
    assert enter(access, "ada", where="192.168.0.7") == ""


def test_a_network_of_ipv6_counts_as_one_address() -> None:
    assert network_of("2001:db8:1:2:aaaa::1") == network_of("2001:db8:1:2:bbbb::9") == "2001:db8:1:2::/64"
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") == "10.0.0.1"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("testclient") == "testclient"


def test_many_tries_at_the_same_time_are_not_cheaper(tmp_path: Path, access: Access) -> None:
    allowed: list[Trial] = []

    def attack() -> None:
        with made_access(tmp_path) as own:
            for _ in range(10):
                trial = own.begin("ada", "10.0.0.1")
                if isinstance(trial, Trial):
                    allowed.append(trial)  # and is never concluded: its hash takes its time

    threads = [threading.Thread(target=attack) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(allowed) == OF_A_NAME.free


@given(st.lists(st.floats(0, 2000), max_size=60))
def test_however_tries_are_spread_no_more_are_allowed_than_the_waits_leave(gaps: list[float]) -> None:
    clock = Hand()
    with Access(Path(":memory:"), clock) as access:
        access.people.add("ada", Role.ADMIN, "x", SHELL)
        last, failures = clock.now().timestamp(), 0
        for gap in gaps:
            clock.move(gap)
            now = clock.now().timestamp()
            if failing(access, 1):
                assert failures < OF_A_NAME.free or now - last >= OF_A_NAME.after(failures) - 1e-3
                last, failures = now, failures + 1


@given(st.integers(0, 100), st.floats(0, 1e9), st.floats(0, 1e9))
@example(15, 125.0, 124.50229999999999)
def test_whatever_the_clock_does_nobody_waits_longer_than_the_wait(failures: int, last: float, now: float) -> None:
    waits = Waits(5, 900)
    tries = Tries(failures, last)
    left = waits.left(tries, now)
    assert 0 <= left <= waits.after(failures) <= 900
    if now < last:
        assert waits.left(tries.at(now), now + left) <= 1e-6, "and waiting helps, from the clock as it is now"


def test_a_clock_that_was_set_back_a_year_does_not_lock_anybody_out(access: Access, clock: Hand) -> None:
    failing(access, 7)
    clock.move(-365 * 86_400.0)
    wait = access.begin("ada", "10.0.0.1")
    assert isinstance(wait, Wait) and wait.seconds <= 900
    clock.move(wait.seconds)
    assert enter(access, "ada")


def test_what_was_counted_is_forgotten_after_a_quiet_day(access: Access, clock: Hand) -> None:
    failing(access, 10)
    clock.move(FORGOTTEN_S + 1)
    assert failing(access, 10) == OF_A_NAME.free


def test_an_unknown_name_takes_the_same_steps_as_a_known_one(access: Access) -> None:
    seen = {}
    for name in ("ada", "nobody", "no name at all!"):
        counting = Counting()
        passwords = Passwords(counting)
        trial = access.begin(name, "10.0.0.9")
        assert isinstance(trial, Trial)
        assert not passwords.fits(trial.stored, WRONG)
        assert access.conclude(trial, fits=False) == ""
        seen[name] = (counting.hashed, len(counting.verified))
    assert set(seen.values()) == {(1, 1)}, "one hash is made at the start and one is compared, whoever it is"


def test_an_unknown_name_never_logs_in_even_with_the_password_that_nobody_has(access: Access) -> None:
    counting = Counting()
    passwords = Passwords(counting)
    assert not passwords.fits("", WRONG)
    trial = access.begin("nobody", "10.0.0.1")
    assert isinstance(trial, Trial)
    assert access.conclude(trial, fits=True) == "", "not even if the hash had fitted"


def test_a_login_fails_where_the_password_was_changed_while_it_was_judged(access: Access) -> None:
    trial = access.begin("ada", "10.0.0.1")
    assert isinstance(trial, Trial)
    access.people.set_password("ada", hashed("another of twelve signs"), SHELL)
    assert access.conclude(trial, fits=True) == ""


def test_an_older_hash_is_renewed_at_the_next_login(access: Access) -> None:
    trial = access.begin("ada", "10.0.0.1")
    assert isinstance(trial, Trial)
    assert access.conclude(trial, True, QUICK.hash(PASSWORD))
    assert access.people.hashed("ada") != trial.stored
    assert enter(access, "ada")


def test_the_librarys_defaults_are_argon2id_and_other_parameters_are_outdated() -> None:
    passwords = Passwords()
    stored = passwords.hash(PASSWORD)
    assert stored.startswith("$argon2id$")
    assert passwords.fits(stored, PASSWORD) and not passwords.fits(stored, WRONG)
    assert not passwords.outdated(stored) and passwords.outdated(QUICK.hash(PASSWORD))


def test_failed_logins_stand_in_the_audit_log_without_names_that_nobody_has(access: Access) -> None:
    failing(access, 6)
    failing(access, 1, "correct horse battery")  # a password typed where the name belongs
    lines = [(line.who, line.act, line.subject, line.outcome) for line in access.trail.after(1)]
    assert lines[0] == ("nobody", "login", "ada", "failed")
    assert lines[4] == ("nobody", "login", "ada", "failed; next try in 1 s")
    assert lines[5] == ("nobody", "login", "an unknown name", "failed")
