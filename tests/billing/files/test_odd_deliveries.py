"""Fetching where a server, its names or our own set-up are odd: told, and no other held up."""

import os
import resource
import time

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from billing.files.deliveries import polls
from core.db import transaction
from providers.clients import sftp_files
from providers.clients.sftp_files import SftpFiles
from providers.delivery import Credentials
from tests.billing.files.test_deliveries import (
    LATER,
    LIMIT,
    NOW,
    ask,
    company,
    looked,
    put,
    received,
    sha256,
    site,
    spool,
)

__all__ = ["company", "site", "spool"]
pytestmark = pytest.mark.usefixtures("city")


def written_down():
    with transaction() as session:
        return polls(session)["power"].complaint


class TestSftp:
    def test_what_was_renamed_when_it_was_fetched_is_not_fetched_under_its_new_name(
        self, company, spool
    ):
        put(company, "nov.csv", b"one")

        for at in range(6):
            company.poll(spool, files="*", after="rename:.done", now=NOW + at * LATER)

        assert [one.name for one in (company.folder / "bills").iterdir()] == ["nov.csv.done"]
        with transaction() as session:
            names = session.execute(text("SELECT remote_name FROM delivery_file")).scalars().all()
        assert names == ["/bills/nov.csv"]

    def test_a_rename_to_the_ending_of_bill_files_is_no_set_up(self, company):
        with pytest.raises(ValidationError, match="the ending of the bill files"):
            company.delivery(after="rename:.csv")

    def test_the_older_file_is_fetched_first_whatever_it_is_called(self, company, spool):
        for at, name in enumerate(("c.csv", "a.csv", "b.csv"), start=1):
            os.utime(put(company, name, name.encode()), (at * 1_000, at * 1_000))

        for at in range(2):
            company.poll(spool, now=NOW + at * LATER)

        assert [one[0] for one in received()] == ["c.csv", "a.csv", "b.csv"]

    @pytest.mark.parametrize("name", ["说明.txt", "电费.csv"])
    def test_a_name_in_another_encoding_keeps_us_from_no_other_file(self, company, spool, name):
        put(company, "nov.csv", b"one")
        odd = os.fsencode(company.folder / "bills") + b"/" + name.encode("gb18030")
        with open(odd, "wb") as stream:
            stream.write(b"two")

        hauls = [company.poll(spool, now=NOW + at * LATER) for at in range(2)]

        assert [one[0] for one in received()] == ["nov.csv"]
        told = ["its name is no UTF-8" in one for one in hauls[1].complaints]
        assert told == ([True] if name.endswith(".csv") else [])

    def test_too_many_files_are_told_where_operators_look(self, company, spool, monkeypatch):
        monkeypatch.setattr(sftp_files, "_MOST_FILES", 1)
        for name in ("a.csv", "b.csv"):
            put(company, name, b"x")

        company.poll(spool)

        assert "more than 1 files lie in" in written_down()

    def test_a_host_key_that_is_none_is_told(self, company, spool):
        company.poll(spool, host_key="ssh-ed25519 AAAA")

        assert "host_key in [delivery] of its profile is no public key" in written_down()

    @pytest.mark.parametrize("content", [None, b"no key"])
    def test_a_private_key_of_ours_that_cannot_be_read_is_told(self, company, spool, content):
        path = company.folder / "our_key"
        if content is not None:
            path.write_bytes(content)
        delivery = company.delivery()
        own = Credentials(user="citybill", private_key=str(path))
        source = SftpFiles(delivery, own, today=NOW.date(), limit_bytes=LIMIT)

        looked(source, delivery, spool, NOW)

        assert f"our private key {path} cannot be used" in written_down()

    def test_a_file_that_took_the_others_place_meanwhile_is_not_deleted_unread(
        self, company, spool, monkeypatch
    ):
        path = put(company, "nov.csv", b"one")
        company.poll(spool, after="delete")
        finish = SftpFiles.finish

        def after_a_while(source, file):
            path.write_bytes(b"the next one")
            return finish(source, file)

        with monkeypatch.context() as at:
            at.setattr(SftpFiles, "finish", after_a_while)
            company.poll(spool, after="delete", now=NOW + LATER)
        for at in range(2, 4):
            company.poll(spool, after="delete", now=NOW + at * LATER)

        assert [one[1] for one in received()] == [sha256(b"one"), sha256(b"the next one")]
        assert not path.exists()

    def test_a_flag_that_was_left_there_says_nothing_of_the_next_file(self, company, spool):
        path = put(company, "nov.csv", b"one")
        put(company, "nov.csv.ok", b"")
        company.poll(spool, flag=".ok")
        path.write_bytes(b"half")
        os.utime(path, (time.time() + 60, time.time() + 60))

        soon = company.poll(spool, flag=".ok", now=NOW + LATER)
        path.write_bytes(b"half and whole")
        for at in range(2, 4):
            company.poll(spool, flag=".ok", now=NOW + at * LATER)

        assert (soon.received, soon.growing) == ([], 1)
        assert [one[1] for one in received()] == [sha256(b"one"), sha256(b"half and whole")]

    def test_a_disk_of_ours_that_is_full_is_not_the_companys_fault(self, company, spool):
        put(company, "nov.csv", os.urandom(300_000))
        company.poll(spool)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            company.poll(spool, now=NOW + LATER)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

        told = written_down()
        company.poll(spool, now=NOW + 2 * LATER)

        assert "File too large" in told
        assert "company" not in told
        assert len(received()) == 1


class TestHttp:
    def test_a_link_that_nobody_can_follow_keeps_us_from_no_other(self, site, spool):
        page = '["http://[", "a\\u0001b.csv", "\\ud800.csv", "a.csv"]'
        site["files"] |= {"/bills/": page.encode(), "/bills/a.csv": b"a"}

        for at in range(2):
            ask(site, spool, path="/bills/", index="json", now=NOW + at * LATER)

        assert [one[0] for one in received()] == ["a.csv"]

    def test_a_new_content_of_the_same_size_is_told_by_the_list(self, site, spool):
        site["headers"] = {"ETag": ""}
        for at, content in enumerate((b"one", b"two")):
            listed = b'[{"name": "a.csv", "sha256": "%s"}]' % sha256(content).encode()
            site["files"] |= {"/bills/": listed, "/bills/a.csv": content}
            for again in range(2):
                ask(site, spool, path="/bills/", index="json", now=NOW + (2 * at + again) * LATER)

        assert [one[1] for one in received()] == [sha256(b"one"), sha256(b"two")]

    def test_without_any_mark_a_file_is_asked_for_once_a_day(self, site, spool):
        site["headers"] = {"ETag": ""}
        for day, content in ((20, b"one"), (21, b"two")):
            site["files"]["/nov.csv"] = content
            for again in range(3):
                ask(site, spool, today=day, now=NOW.replace(day=day) + again * LATER)

        assert [one[1] for one in received()] == [sha256(b"one"), sha256(b"two")]
        assert len([one for one in site["asked"] if one[0] == "GET"]) == 2

    def test_a_disk_of_ours_that_is_full_is_told(self, site, spool):
        site["files"]["/nov.csv"] = os.urandom(300_000)
        ask(site, spool)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            ask(site, spool, now=NOW + LATER)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

        assert "File too large" in written_down()
