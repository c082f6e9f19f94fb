"""A utility's own people: their files, sent again where that helps, and their systems' keys."""

import re
from typing import Any

import pytest
from lxml import html
from sqlalchemy import text

from core.clock import utc_now
from core.db import transaction
from identity.models import Role
from identity.people import add_person
from tests.factories import a_person, a_record, bring_in
from tests.web.conftest import Browser, signed_in
from tests.web.forms import text_of
from tests.web.signing import Signer
from workers.tasks import bills, upkeep

pytestmark = pytest.mark.usefixtures("city")
ENGLISH = {"Accept-Language": "en"}
TORN = b"H|WATER|1\nthis is no bill file\n"


@pytest.fixture
def water(app) -> Browser:
    """Somebody of City Water."""
    return signed_in(app, a_person(Role.OPERATOR))


@pytest.fixture
def gas(app) -> Browser:
    with transaction() as session:
        person = add_person(
            session, role=Role.OPERATOR, name="方燃", contact="gas-ops@citybill.example",
            provider_code="gas", now=utc_now(),
        )  # fmt: skip
    assert person.id is not None
    return signed_in(app, person.id)


def main_of(browser: Browser, path: str) -> str:
    answer = browser.get(path, headers=ENGLISH)
    assert answer.status_code == 200, answer.text
    return text_of(answer.text)


def send(browser: Browser, content: bytes, to: str = "/company/bill-files") -> Any:
    return browser.send_form(to, files={"file": ("water-2026-11.txt", content)}, headers=ENGLISH)


def a_refused_file(browser: Browser, content: bytes = TORN) -> str:
    """Send a file that is refused whole; returns its page."""
    path = str(send(browser, content).headers["location"])
    bills.import_file(path.rpartition("/")[2])
    assert "Refused whole" in main_of(browser, path)
    return path


class TestTheDoor:
    def test_whoever_signs_in_for_a_company_lands_on_its_pages(self, app, browser):
        with transaction() as session:
            add_person(
                session, role=Role.OPERATOR, name="沈清", contact="water-ops@citybill.example",
                provider_code="water", now=utc_now(),
            )  # fmt: skip
        browser.open_form("/sign-in")
        browser.send_form("/sign-in", {"contact": "water-ops@citybill.example"})
        with transaction() as session:
            sent = session.execute(text("SELECT body FROM notice")).scalar_one()
        code = re.search(r"\b[0-9]{6}\b", sent)
        assert code

        answer = browser.send_form(
            "/sign-in/code", {"contact": "water-ops@citybill.example", "code": code[0]}
        )

        assert answer.headers["location"] == "/company"

    def test_an_empty_company_is_told_what_will_be_here(self, water):
        assert "No file yet" in main_of(water, "/company")
        assert "No key yet" in main_of(water, "/company/keys")

    def test_its_pages_speak_chinese_first(self, water):
        page = water.get("/company").text

        assert "发送文件" in page
        assert "城市自来水" in page

    def test_the_menu_leads_to_its_own_pages_and_never_to_the_staffs(self, water):
        for path in ("/company", "/company/keys", "/", "/company/bill-files/999"):
            links = html.fromstring(water.get(path).text).xpath("//a/@href")
            assert not [one for one in links if str(one).startswith("/console")]

    def test_from_a_page_that_is_not_there_they_go_back_to_their_files(self, water):
        page = html.fromstring(water.get("/company/bill-files/999").text)

        assert page.xpath("//main//a/@href") == ["/company"]


class TestFiles:
    def test_a_file_that_is_sent_is_received_and_followed_until_it_is_done(self, water):
        path = send(water, TORN).headers["location"]

        page = water.get(path, headers=ENGLISH).text
        assert "Waiting for the import to start." in text_of(page)
        assert html.fromstring(page).xpath("//main/@data-refresh-seconds") == ["2"]
        assert html.fromstring(page).xpath("//noscript/meta/@http-equiv") == ["refresh"]
        bills.import_file(path.rpartition("/")[2])
        done = water.get(path).text
        assert html.fromstring(done).xpath("//main/@data-refresh-seconds") == []
        with transaction() as session:
            assert session.execute(text("SELECT received_via FROM bill_file")).scalar_one() == (
                "company"
            )

    def test_a_name_the_database_cannot_hold_is_no_fault_of_ours(self, water):
        form = (
            b'--X\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n%s\r\n--X\r\n'
            b'Content-Disposition: form-data; name="file"; filename="a\0b.txt"\r\n\r\n'
            b"x\r\n--X--\r\n"
        ) % water.csrf.encode()

        sent = water.post(
            "/company/bill-files", content=form,
            headers={"Content-Type": "multipart/form-data; boundary=X"},
        )  # fmt: skip

        assert "a?b.txt" in main_of(water, sent.headers["location"])

    def test_an_empty_file_is_told_beside_the_form(self, water):
        answer = send(water, b"")

        assert answer.status_code == 422
        assert "the file is empty" in text_of(answer.text)

    def test_another_companys_files_are_as_if_they_were_not_there(self, water, gas):
        own = a_refused_file(gas)
        file_id = own.rpartition("/")[2]

        assert file_id not in main_of(water, "/company")
        for end in ("", "/rejects.csv"):
            assert water.get(f"{own}{end}").status_code == 404
        for end in ("/again", "/replacement"):
            assert send(water, b"x", f"{own}{end}").status_code == 404
        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM bill_file")).scalar_one() == 1

    def test_the_history_is_filtered_and_paged(self, water):
        for _ in range(27):
            bring_in("water", a_record("1"))
        a_refused_file(water)

        first = html.fromstring(water.get("/company", headers=ENGLISH).text)
        (earlier,) = first.xpath("//nav[@aria-label='Pages']//a/@href")
        second = html.fromstring(water.get(earlier, headers=ENGLISH).text)
        counted = [len(page.xpath("//tbody/tr")) for page in (first, second)]
        assert counted == [25, 3]
        assert len(second.xpath("//nav[@aria-label='Pages']//a")) == 1  # back to the newest
        refused = main_of(water, "/company?show=refused&name=2026-11")
        assert "water-2026-11.txt" in refused
        assert "bills.txt" not in refused
        assert "No file fits" in main_of(water, "/company?show=importing")
        assert "No file fits" in main_of(water, "/company?name=100%25")

    def test_rejects_are_shown_and_downloaded(self, water):
        bad = bring_in("water", a_record("1"), a_record("1", issued_on=a_record("1").due_on))
        path = f"/company/bill-files/{bad.bill_file_id}"

        assert "dated in the future" in main_of(water, path)
        english = water.get(f"{path}/rejects.csv", headers={"Accept-Language": "en"}).text
        assert "dated in the future" in english
        assert "日期在将来" in water.get(f"{path}/rejects.csv").text
        assert "日期在将来" in water.get(path).text

    @pytest.mark.parametrize("query", ["show=x", "before=0", "before=-1", "name=%00"])
    def test_a_strange_address_is_no_fault_of_ours(self, water, query):
        assert water.get(f"/company?{query}").status_code == 422


class TestSendingAgain:
    def test_a_refused_file_is_read_once_more_as_it_came(self, water):
        path = a_refused_file(water)

        answer = water.send_form(f"{path}/again")

        assert answer.headers["location"] == path
        assert "Waiting for the import to start." in main_of(water, path)
        bills.import_file(path.rpartition("/")[2])
        assert "Refused whole" in main_of(water, path)

    def test_a_file_that_was_not_refused_is_not_read_again(self, water):
        done = bring_in("water", a_record("1"))

        answer = water.send_form(f"/company/bill-files/{done.bill_file_id}/again", headers=ENGLISH)

        assert answer.status_code == 422
        assert "this file was not refused" in text_of(answer.text)

    def test_a_corrected_file_is_bound_to_the_refused_one(self, water):
        refused = a_refused_file(water)

        corrected = send(water, b"H|WATER|2", f"{refused}/replacement").headers["location"]

        assert corrected != refused
        assert "Sent in place of water-2026-11.txt" in main_of(water, corrected)
        page = html.fromstring(water.get(refused).text)
        assert corrected in page.xpath("//main//a/@href")

    def test_a_file_that_landed_is_replaced_by_nothing(self, water):
        done = bring_in("water", a_record("1"))

        answer = send(water, b"x", f"/company/bill-files/{done.bill_file_id}/replacement")

        assert answer.status_code == 422
        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM bill_file")).scalar_one() == 1

    def test_the_same_bytes_in_place_of_themselves_are_the_same_file(self, water):
        refused = a_refused_file(water)

        assert send(water, TORN, f"{refused}/replacement").headers["location"] == refused

    def test_a_refused_files_bytes_are_kept_for_a_while_and_then_forgotten(self, water):
        path = a_refused_file(water)
        upkeep.forget("2026-11-21")
        assert "Read it once more" in main_of(water, path)
        with transaction() as session:
            session.execute(text("UPDATE bill_file SET status_at = now() - interval '31 days'"))

        upkeep.forget("2026-11-21")

        assert "Read it once more" not in main_of(water, path)
        answer = water.send_form(f"{path}/again", headers=ENGLISH)
        assert "no longer kept" in text_of(answer.text)


class TestKeys:
    def issue(self, browser: Browser) -> tuple[str, str]:
        page = html.fromstring(browser.send_form("/company/keys", headers=ENGLISH).text)
        _, key_id, secret = page.xpath("//dl//code/text()")
        return key_id, secret

    def test_a_key_is_shown_once_and_opens(self, app, water):
        key_id, secret = self.issue(water)

        answer = Signer(app, key_id, secret).send(
            "POST", "/api/v1/providers/water/bill-files", b"x"
        )

        assert answer.status_code == 202
        listed = main_of(water, "/company/keys")
        assert key_id in listed
        assert secret not in listed
        with transaction() as session:
            stored = session.execute(text("SELECT secret_sealed FROM company_key")).scalar_one()
        assert secret.encode() not in bytes(stored)

    def test_two_may_be_live_and_a_third_after_one_is_revoked(self, water):
        first, _ = self.issue(water)
        self.issue(water)

        third = water.send_form("/company/keys", headers=ENGLISH)
        water.send_form(f"/company/keys/{first}/revocation")

        assert third.status_code == 409
        assert "two live keys" in text_of(third.text)
        assert "Revoked" in main_of(water, "/company/keys")
        assert self.issue(water)

    def test_another_companys_key_is_not_theirs_to_revoke(self, water, gas):
        key_id, _ = self.issue(gas)

        assert water.send_form(f"/company/keys/{key_id}/revocation").status_code == 404
        assert key_id not in main_of(water, "/company/keys")
        assert "Revoked" not in main_of(gas, "/company/keys")
