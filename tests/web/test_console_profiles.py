"""Connecting a company on the console: a sample goes in, a profile is proposed, tried and taken."""

import csv
import gzip
import io
import re
import zipfile
from html import unescape

import pytest
from lxml import html

from core.clock import utc_now
from core.db import transaction
from identity import audit, sign_in
from identity.models import Role
from identity.people import get_person
from providers.base import BillRecord
from providers.proposing.trial import try_out
from providers.registry import PROVIDERS
from tests.factories import a_person
from tests.providers.files import GAS, POWER, WATER
from tests.web.conftest import Browser, a_browser, signed_in
from tests.web.forms import text_of
from tests.web.test_company_in_a_browser import DESK, PHONE, chromium, web
from web.pages.console import companies
from web.pages.console.profiles import masked_raw

pytestmark = pytest.mark.usefixtures("city")
__all__ = ["chromium", "web"]

SAMPLE = POWER.file({}, {"户号": "3100000000002", "账单编号": "P-202610-2"})
FACTS = {
    "code": "spring_power", "name": "春镇电力", "name_en": "Spring Power", "trade": "power",
    "phone": "000-0000-0107", "biller_no": "9107",
}  # fmt: skip
ENGLISH = {"Accept-Language": "en"}


@pytest.fixture
def clerk(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF))


def proposed(clerk: Browser, data: bytes = SAMPLE, **facts: str):
    return clerk.send_form(
        "/console/profiles/proposal", FACTS | facts, headers=ENGLISH,
        files={"file": ("sample.csv", io.BytesIO(data))},
    )  # fmt: skip


def checked(clerk: Browser, content: str, sample: str = "", data: bytes | None = None):
    files = {"file": ("again.csv", io.BytesIO(data))} if data is not None else None
    form = {"content": content, "sample": sample, "shown": "sample.csv"}
    return clerk.send_form("/console/profiles/check", form, headers=ENGLISH, files=files)


def toml_of(page: str) -> str:
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    assert found, page
    return unescape(found[1])


def carried(page: str) -> str:
    found = re.search(r'name="sample" value="([^"]*)"', page)
    assert found, page
    return found[1]


class TestList:
    """Companies and how their files are read: found, a page at a time, taken out as shown."""

    def codes(self, clerk: Browser, path: str = "/console/profiles") -> list[str]:
        answer = clerk.get(path, headers=ENGLISH)
        assert answer.status_code == 200, answer.text
        return list(html.fromstring(answer.text).xpath("//main//tbody//code/text()"))

    def test_it_is_found_by_name_or_code_and_by_format(self, clerk):
        assert self.codes(clerk, "/console/profiles?words=Water") == ["water"]
        assert self.codes(clerk, f"/console/profiles?words={PROVIDERS['water'].name}") == ["water"]
        assert self.codes(clerk, "/console/profiles?read_as=own") == ["telecom"]
        assert self.codes(clerk, "/console/profiles?read_as=ubl") == []
        assert clerk.get("/console/profiles?read_as=junk").status_code == 422

    def test_it_goes_on_after_the_last_one_of_a_page(self, clerk, monkeypatch):
        monkeypatch.setattr(companies, "PAGE", 3)
        page = html.fromstring(clerk.get("/console/profiles").text)
        (following,) = page.xpath("//a[@rel='next']/@href")

        assert self.codes(clerk) + self.codes(clerk, following) == sorted(PROVIDERS)

    @pytest.mark.parametrize("kind", ["csv", "xlsx"])
    def test_it_is_taken_out_as_it_is_filtered_and_that_is_noted(self, clerk, kind):
        answer = clerk.get(f"/console/profiles.{kind}?read_as=own", headers=ENGLISH)

        if kind == "csv":
            rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
            assert [row[0] for row in rows] == ["Code", "telecom"]
        else:
            assert answer.content[:2] == b"PK"
        with transaction() as session:
            (noted,) = audit.find_entries(session, audit.Wanted(what=audit.Deed.LIST_EXPORTED))
        assert (noted.subject_id, noted.detail) == (
            "profiles", {"format": kind, "filter": "read_as=own"}
        )  # fmt: skip


class TestAProposal:
    def test_stands_beside_the_raw_rows_and_what_would_land(self, clerk):
        page = proposed(clerk)

        assert page.status_code == 200
        told = text_of(page.text)
        for words in ("The file would be taken", "2 bills of ¥173.00", "¥86.50", "2026-10-31"):
            assert words in told
        assert 'code = "spring_power"' in toml_of(page.text)
        assert "# ASK THE COMPANY" in toml_of(page.text)

    def test_shows_no_whole_name_and_no_whole_account_number(self, clerk):
        page = proposed(clerk).text

        assert "3100000000001" not in page
        assert "李瑋" not in page
        assert "示例路" not in page
        assert "*********0001" in page

    def test_is_checked_again_with_the_sample_the_page_carries(self, clerk):
        page = proposed(clerk).text
        edited = toml_of(page).replace('holds = "account_no"', 'holds = "unused"', 1)

        broken = checked(clerk, edited, carried(page))
        sound = checked(clerk, toml_of(broken.text).replace(
            '{ name = "户号", holds = "unused"', '{ name = "户号", holds = "account_no"'
        ), carried(broken.text))  # fmt: skip

        assert "no column holds 'account_no'" in text_of(broken.text)
        assert "The file would be taken" in text_of(sound.text)

    def test_is_checked_with_another_sample(self, clerk):
        page = proposed(clerk).text

        again = checked(clerk, toml_of(page), carried(page), SAMPLE.replace(b"86.50", b"86.5x"))

        assert "rows would be rejected" in text_of(again.text)
        assert "应收电费" in text_of(again.text)

    def test_is_downloaded_as_it_stands_in_the_form(self, clerk):
        content = 'code = "spring_power"\r\n# mine\r\n'

        answer = clerk.send_form("/console/profiles/download", {"content": content})

        assert answer.text == 'code = "spring_power"\n# mine\n'
        assert 'filename="spring_power.toml"' in answer.headers["content-disposition"]

    def test_that_is_not_whole_says_what_is_missing(self, clerk):
        told = text_of(proposed(clerk, code="", name="").text)

        assert "code: is missing" in told
        assert "The first rows" in told

    def test_changes_nothing(self, clerk):
        before = dict(PROVIDERS)

        proposed(clerk)

        assert dict(PROVIDERS) == before


class TestASampleThatCannotBeTriedYet:
    def test_is_shown_as_it_was_cut_with_the_person_masked(self, clerk):
        data = GAS.file({}, {"户号": "200000000002", "账单号": "G-202610-2"})

        page = proposed(clerk, data).text

        told = text_of(page)
        assert "As it was cut" in told
        assert "amount_unit: should be" in told
        assert "0000008650" in told
        for personal in ("200000000001", "王䶮", "示例路"):
            assert personal not in page


class TestInChinese:
    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ("quoted = true", "colour = 1", "file.colour：此表没有这个键：可用的键为 delimiter,"),
            ("quoted = true", 'quoted = "yes"', "file.quoted：应为 true 或 false，不加引号"),
            ('"yuan"', '"?"', "amount_unit：应为 'yuan', 'jiao', 'fen' 或 'li'"),
            ('"yuan"', "yuan", "第 15 个字符处不符合 TOML 语法：不是有效的值：文本须写在引号中"),
            ('"yuan"', '"yuan', "个字符处不符合 TOML 语法：文本没有在本行以引号结束"),
            ("[0-9]{13}", "[0-9{13}", "account_no.pattern：不是正则表达式（位置 0：字符集没有以 ]"),
            (
                'holds = "account_no"',
                'holds = "unused"',
                "columns：没有一列的 holds 为",
            ),
        ],
        ids=["key", "type", "choice", "bare", "quote", "pattern", "column"],
    )
    def test_what_is_wrong_with_a_profile_is_told(self, clerk, old, new, told):
        page = proposed(clerk).text
        assert old in toml_of(page)
        form = {"content": toml_of(page).replace(old, new, 1), "sample": carried(page), "shown": ""}

        answer = clerk.send_form("/console/profiles/check", form)

        (complaint,) = html.fromstring(answer.text).xpath("//*[@role='alert']//li/text()")
        assert re.match(r"第 \d+ 行：", complaint)
        assert told in complaint

    def test_a_proposal_says_why_and_what_it_asks(self, clerk):
        page = clerk.send_form(
            "/console/profiles/proposal", FACTS | {"phone": ""},
            files={"file": ("sample.csv", io.BytesIO(SAMPLE))},
        ).text  # fmt: skip

        assert '# phone = "000-0000-0000"  # 请询问公司：phone：客服电话' in toml_of(page)
        assert "# 确定：名称写明（户号）" in toml_of(page)
        told = text_of(page)
        assert "phone：客服电话" in told
        assert "第 1 行：phone：缺少此项：请补上" in told

    def test_why_a_sample_is_refused_is_told(self, clerk):
        answer = clerk.send_form(
            "/console/profiles/proposal", FACTS, files={"file": ("x", io.BytesIO(b"nothing here"))}
        )

        assert "各行既没有分隔符，长度也不相同" in text_of(answer.text)


class TestRefusals:
    def test_a_sample_over_five_megabytes_is_refused_with_the_remedy(self, clerk):
        answer = proposed(clerk, b"x" * (5 * 1024 * 1024 + 1))

        assert answer.status_code == 422
        assert "cut it after some thousand lines" in text_of(answer.text)

    def test_a_packed_sample_is_not_read_beyond_what_a_sample_may_hold(self, clerk):
        heading, _, row = SAMPLE.split(b"\n")[:3]
        numbers = (at * 7_919 % 999_999_937 * 104_729 for at in range(200_000))
        rows = (row.replace(b"P-202610-2", b"P-%d" % number) for number in numbers)
        many = gzip.compress(heading + b"\n" + b"\n".join(rows) + b"\n")
        assert len(many) < 5 * 1024 * 1024

        answer = proposed(clerk, many)

        assert answer.status_code == 422
        assert "unpacks to more than 20 MB" in text_of(answer.text)
        again = checked(clerk, toml_of(proposed(clerk).text), data=many)
        assert "unpacks to more than 20 MB" in text_of(again.text)

    def test_nor_is_a_workbook(self, clerk):
        book = io.BytesIO()
        with zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr("xl/worksheets/sheet1.xml", b"<row/>" * 20_000_000)

        answer = proposed(clerk, book.getvalue())

        assert answer.status_code == 422
        assert "unpacks to more than 20 MB" in text_of(answer.text)

    def test_a_sample_that_is_packed_as_no_bill_file_is_says_so(self, clerk):
        heading, row = SAMPLE.split(b"\n")[:2]

        answer = proposed(clerk, gzip.compress(heading + b"\n" + (row + b"\n") * 100_000))

        assert answer.status_code == 200
        assert "unpacks into more than 200 times its size" in text_of(answer.text)

    @pytest.mark.parametrize("data", [b"", b"\x00\xff\x00", b"PK\x03\x04", b"nothing here"])
    def test_what_is_no_bill_file_is_refused_in_words(self, clerk, data):
        answer = proposed(clerk, data)

        assert answer.status_code == 422
        assert 'id="sample-error"' in answer.text

    @pytest.mark.parametrize("sample", ["", "!!", "eJwDAAAAAAE="])
    def test_a_check_without_a_sample_asks_for_one(self, clerk, sample):
        answer = checked(clerk, "", sample)

        assert "Choose a sample file" in text_of(answer.text)

    def test_a_form_of_another_site_is_refused(self, clerk):
        for path in ("proposal", "check", "download"):
            answer = clerk.post(
                f"/console/profiles/{path}", data={"csrf": "guessed"},
                files={"file": ("x.csv", b"x")},
            )  # fmt: skip
            assert answer.status_code == 403

    def test_residents_and_operators_are_turned_away(self, app):
        for role in (Role.RESIDENT, Role.OPERATOR):
            other = signed_in(app, a_person(role))
            assert other.get("/console/profiles").status_code == 403
            assert proposed(other).status_code == 403

    def test_visitors_are_asked_to_sign_in(self, app):
        answer = a_browser(app).get("/console/profiles/water")

        assert answer.headers["location"].startswith("/sign-in?next=")


class TestTheCompanies:
    def test_are_listed_with_their_format_and_where_it_is_from(self, clerk):
        told = text_of(clerk.get("/console/profiles", headers=ENGLISH).text)

        for words in ("City Water", "fixed widths", "Comes with CityBill", "A package of its own"):
            assert words in told

    def test_a_profile_in_force_is_tried_with_a_sample(self, clerk):
        page = clerk.get("/console/profiles/water", headers=ENGLISH)

        tried = checked(clerk, toml_of(page.text), data=WATER.file({}))

        assert "明细笔数: stated 1, read 1" in text_of(tried.text)

    def test_a_package_has_no_profile_to_show(self, clerk):
        assert clerk.get("/console/profiles/telecom").status_code == 404
        assert clerk.get("/console/profiles/nobody").status_code == 404


class TestMasking:
    def test_raw_text_that_was_not_read_is_masked_by_its_looks(self):
        raw = '3100000000001,李瑋,"Anna Schmidt",2026-10-31,86.5x'

        assert masked_raw(raw, None) == '*********0001,李*,"A*** S******",2026-10-31,86.5x'

    def test_raw_text_is_masked_by_what_was_read_of_it(self):
        profile = PROVIDERS["power"].profile
        assert profile is not None
        (row,) = try_out(profile, io.BytesIO(POWER.file({})), rows=1).landed
        assert isinstance(row.record, BillRecord)

        shown = masked_raw(row.raw, row.record)

        assert "李瑋" not in shown
        assert row.record.account_no not in shown
        assert "2026-10-31" in shown


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_company_is_connected_without_javascript_and_by_keyboard(
    chromium, request, tmp_path, viewport, scheme
):
    address = request.getfixturevalue("web")
    context = chromium.new_context(
        locale="zh-CN" if scheme == "dark" else "en-GB", viewport=viewport, color_scheme=scheme,
        java_script_enabled=False,
    )  # fmt: skip
    with transaction() as session:
        person = get_person(session, a_person(Role.STAFF))
        token, _ = sign_in.start_session(session, person, now=utc_now())
    context.add_cookies([{"name": "citybill_session", "value": token, "url": address}])
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
    file = tmp_path / "sample.csv"
    file.write_bytes(SAMPLE)

    page.goto(f"{address}/console/profiles")
    assert is_wide_enough(page)
    page.set_input_files("#file", file)
    page.focus("form[action='/console/profiles/proposal'] .button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#content")
    assert is_wide_enough(page)
    page.fill("#content", page.input_value("#content").replace('"yuan"', '"fen"', 1))
    page.focus("form[action='/console/profiles/check'] .button")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")

    assert "code" in page.inner_text("[role=alert]")
    assert is_wide_enough(page)
    assert complaints == []


def is_wide_enough(page) -> bool:
    """Without scripts a page cannot be asked for its width: its boxes are measured."""
    box = page.locator("main").bounding_box()
    return box is not None and box["x"] + box["width"] <= page.viewport_size["width"] + 1
