"""Killed at any moment and started again, an import leaves what one left alone leaves."""

import random
import time
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from core.errors import Conflict
from providers import registry
from providers.profile_tables import Rule
from tests import nights
from tests.billing.files.test_two_files import water_file
from tests.conftest import as_owner, empty_city
from tests.factories import violations
from tests.kill import Victim, end_a_connection

ROWS, CHUNK_ROWS = 900, 30


@pytest.fixture
def night(monkeypatch):
    monkeypatch.setattr("billing.files.importing.CHUNK_ROWS", CHUNK_ROWS)
    return nights.a_night(ROWS, seed=7)


@pytest.fixture
def clean(city, night):
    """What an import leaves that nobody disturbs, and how long it takes."""
    bill_file_id = nights.begin(night)
    began = time.monotonic()
    nights.import_whole(bill_file_id, night.tonight)
    seconds = time.monotonic() - began
    left = nights.kept()
    empty_city()
    return left, seconds


def test_a_killed_process_loses_nothing_and_doubles_nothing(city, night, clean, tmp_path):
    left, seconds = clean
    bill_file_id = nights.begin(night)
    data = tmp_path / "tonight"
    data.write_bytes(night.tonight)

    for part in (0.2, 0.5, 0.8):
        victim = Victim(city, data, bill_file_id, chunk_rows=CHUNK_ROWS)
        if not victim.ends_within(part * seconds):
            victim.kill()
        assert violations() == []
    ended = Victim(city, data, bill_file_id, chunk_rows=CHUNK_ROWS).status()

    assert ended == (0, "")
    assert nights.differences(nights.kept(), left) == []
    assert violations() == []


def test_a_lost_connection_loses_nothing_and_doubles_nothing(city, night, clean):
    left, _ = clean
    bill_file_id = nights.begin(night)
    chosen = random.Random(3)
    lost = 0

    def lose_one(done: int, rows: int) -> None:
        nonlocal lost
        if lost < 4 and chosen.random() < 0.2:
            with psycopg.connect(city, autocommit=True) as owner:
                lost += end_a_connection(owner, chosen)

    while True:
        try:
            nights.import_whole(bill_file_id, night.tonight, progress=lose_one)
            break
        except (OperationalError, psycopg.OperationalError):
            continue

    assert lost
    assert nights.differences(nights.kept(), left) == []
    assert violations() == []


def test_who_lost_the_lock_counts_nothing_after_another_has_taken_the_file_up(city, night, clean):
    left, _ = clean
    bill_file_id = nights.begin(night)
    taken_up = []

    def lose_the_lock(done: int, rows: int) -> None:
        if not taken_up:
            with as_owner() as owner:
                while owner.execute(END_THE_HOLDER, {"id": bill_file_id}).all():
                    time.sleep(0.01)
            while not taken_up:
                with suppress(Conflict):  # the lanes of who lost it were a chunk ahead
                    taken_up.append(nights.import_whole(bill_file_id, night.tonight))

    with pytest.raises((OperationalError, psycopg.OperationalError, Conflict)):
        nights.import_whole(bill_file_id, night.tonight, progress=lose_the_lock)

    assert taken_up
    assert nights.differences(nights.kept(), left) == []
    assert violations() == []


def test_by_a_profile_changed_meanwhile_no_row_is_passed_over_as_landed(city, monkeypatch):
    monkeypatch.setattr("billing.files.importing.CHUNK_ROWS", CHUNK_ROWS)
    file = water_file(1, range(300))
    bill_file_id = nights.a_file(file)

    def die(done: int, rows: int) -> None:
        if done >= 150:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nights.import_whole(bill_file_id, file, progress=die)
    water = registry.PROVIDERS["water"]
    assert water.profile is not None
    rule = Rule(pattern="[0-9]{9}[1-9]", words="no number that ends in 0")
    stricter = water.profile.model_copy(update={"account_no": rule})
    changed = replace(water, profile=stricter, reader=registry.reader_from(stricter))
    monkeypatch.setitem(registry._KNOWN, "water", changed)

    done = nights.import_whole(bill_file_id, file)

    assert (done.rows, done.rejected) == (300, 30)
    with as_owner() as owner:
        held = set(owner.execute(text("SELECT account_no::int FROM utility_account")).scalars())
    assert {number for number in range(300) if number % 10} <= held
    assert violations() == []


END_THE_HOLDER = text("""
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = hashtext('billing.import')::bigint & 4294967295
      AND objid = :id AND granted
""")
