"""A household is told: of bills by night, of what it paid, and over another channel when one fails.

Told in order, in a running town whose SMS company and mail server are real far sides; residents,
clerks and a company's operator are browsers. What only time would bring is brought about in the
rows: a digest's hour, a minute's job, the lease of a dead worker.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy import create_engine, text

from cli.serve import WORKERS, worker
from core.clock import BILLING_ZONE, add_months, billing_date, utc_now
from core.db import sqlalchemy_url
from notifications.channels.base import Fate
from tests.chromium import opened
from tests.notifications.channels.http_far import Asked
from tests.notifications.channels.sms_http_far import RECEIPT_SECRET, SECRET, SmsHttpFar
from tests.stories.town import ROOT, Town, eventually, sign_in

COMPANIES = ("water", "power", "gas", "telecom")
RESIDENT, MAIL = "19900000001", "resident1@citybill.example"
STAFF, COLLEAGUE = "staff@citybill.example", "staff2@citybill.example"
OPERATOR = "power-ops@citybill.example"
DESK = {"width": 1280, "height": 900}
NEIGHBOURS = 30
[BULK] = [(queues, threads) for name, queues, threads in WORKERS if name == "bulk"]
NEW_WORDS = "{company}{month}账单到了：{amount}，{due_on}前缴清即可。"

pytestmark = pytest.mark.timeout(400)


class Company(SmsHttpFar):
    """An SMS company that refuses some numbers for good."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        if json.loads(asked.body)["to"] in self.refused:
            return 200, b'{"code": "1002"}'
        return super().answer(asked)

    def to(self, phone: str) -> list[str]:
        """Return what somebody was texted, oldest first."""
        return [one.text for one in list(self.taken) if one.address == phone]


class TalkingTown(Town):
    """A town whose texts go to an SMS company, declared as docs/notices.md shows."""

    def __init__(self) -> None:
        self.company = Company()
        super().__init__()

    def begin(self) -> dict[str, str]:
        docs = (ROOT / "docs" / "notices.md").read_text(encoding="utf-8")
        [declared] = re.findall(r"```toml\n(.*?)```", docs, re.DOTALL)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        declaration = self.data_dir.with_name(f"{self.data_dir.name}.toml")
        declaration.write_text(declared, encoding="utf-8")
        self.declaration = declaration
        said = {
            "declaration": str(declaration), "url": self.company.url, "secret": SECRET,
            "receipt_secret": RECEIPT_SECRET,
        }  # fmt: skip
        self.environment["CITYBILL_CARRIERS"] = json.dumps({"sms_http": said})
        return super().begin()

    def messages(self) -> list[dict[str, Any]]:
        texts = [
            {"id": f"sms-{number}", "channel": "sms", "to": one.address, "subject": "",
             "text": one.text}
            for number, one in enumerate(list(self.company.taken))
        ]  # fmt: skip
        return texts[::-1] + super().messages()

    def mails(self, words: str, *, to: str = MAIL) -> list[dict[str, Any]]:
        """Return the mails of somebody that say something, newest first."""
        return [
            one
            for one in super().messages()
            if one["channel"] == "email" and one["to"] == to
            and words in f"{one['subject']} {one['text']}"
        ]  # fmt: skip

    @property
    def settings(self) -> dict[str, str]:
        """What the running town's processes were started with."""
        told: dict[str, str] = json.loads((self.data_dir / "serve.json").read_text())
        return told

    def rows(self, statement: str, **values: Any) -> list[Any]:
        """Read or change the town's rows."""
        engine = create_engine(sqlalchemy_url(self.settings["CITYBILL_DATABASE_URL"]))
        with engine.begin() as connection:
            done = connection.execute(text(statement), values)
            found = list(done) if done.returns_rows else []
        engine.dispose()
        return found

    def notices(self, event: str) -> dict[str, Any]:
        """Return the newest telling of an event to our resident, by channel."""
        found = self.rows(
            """
            SELECT n.channel, n.* FROM notice n JOIN person p ON p.id = n.person_id
            WHERE p.contact = :contact AND n.event = :event ORDER BY n.created_at, n.id
            """,
            contact=RESIDENT, event=event,
        )  # fmt: skip
        return {row.channel: row for row in found}

    def job(self, task: str, subject: str) -> None:
        """Have a job done now instead of at its time."""
        self.rows(
            "INSERT INTO job (task, subject_id, state, attempts, due_at)"
            " VALUES (:task, :subject, 'waiting', 0, now())",
            task=task, subject=subject,
        )  # fmt: skip

    def bill(self, code: str, file: Path) -> None:
        """Push a company's file and wait until it has landed."""
        sent = self.push(code, file.read_bytes(), file.name)
        assert self.imported(code, sent.json()["id"])["rejected"] == 0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The newest files of each company, the oldest first."""
    folder = tmp_path_factory.mktemp("files")
    today = billing_date(utc_now())
    months = ",".join(f"{add_months(today, -back):%Y-%m}" for back in (4, 3, 2, 1))
    subprocess.run(
        [sys.executable, "-m", "simulator", "files", "--households", "50", "--months", months,
         "--out", folder, "--fresh-on", str(today)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return {code: sorted(folder.glob(f"{code}-*")) for code in COMPANIES}


@pytest.fixture(scope="module")
def town(files: dict[str, list[Path]]) -> Iterator[TalkingTown]:
    running = TalkingTown()
    for code in COMPANIES:
        running.bill(code, files[code][0])
    running.citybill("demo", "people")  # binds the accounts that are billed by now
    yield running
    assert running.stop() == 0
    running.company.close()
    running.declaration.unlink()
    shutil.rmtree(running.data_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as browser:
        yield browser


@pytest.fixture(scope="module")
def clerk(browser: Browser, town: TalkingTown) -> Page:
    """Somebody of the staff, who leaves the texts to the SMS company alone."""
    page = sign_in(browser, town, STAFF, DESK)
    switch(page, town, "console", "stop", "只留短信公司")
    return page


@pytest.fixture(scope="module")
def colleague(browser: Browser, town: TalkingTown) -> Page:
    return sign_in(browser, town, COLLEAGUE, DESK)


@pytest.fixture(scope="module")
def resident(browser: Browser, town: TalkingTown, clerk: Page) -> Page:
    return sign_in(browser, town, RESIDENT)


@pytest.fixture(scope="module")
def operator(browser: Browser, town: TalkingTown) -> Page:
    return sign_in(browser, town, OPERATOR, DESK)


def switch(page: Page, town: Town, code: str, act: str, why: str) -> None:
    """Stop a carrier on the console, or let it go on."""
    page.goto(f"{town.web}/console/carriers")
    form = page.locator(f"form[action$='/{code}/{act}']")
    page.locator("details", has=form).locator("summary").click()
    form.locator("input[name=words]").fill(why)
    form.locator("button").click()
    page.wait_for_load_state()


def choose_hours(page: Page, town: Town, *, quiet: bool, digest: bool = True) -> None:
    """Begin quiet hours around this moment on the page of settings, or have none."""
    page.goto(f"{town.web}/preferences")
    form = page.locator("form[action='/preferences/settings']")
    now = utc_now().astimezone(BILLING_ZONE)
    if quiet:
        form.locator("input[name=quiet]").check()
        form.locator("#quiet-from").fill(f"{now - timedelta(hours=1):%H:%M}")
        form.locator("#quiet-until").fill(f"{now + timedelta(hours=3):%H:%M}")
    form.locator("input[name=quiet]").set_checked(quiet)
    form.locator("input[name=digest]").set_checked(digest)
    form.locator("button").click()
    page.wait_for_url("**/preferences?saved=settings*")


class TestANightsBills:
    def test_nobody_is_woken_by_two_companies_files(self, resident, town, files):
        choose_hours(resident, town, quiet=True)
        for code in ("water", "power"):
            town.bill(code, files[code][-1])
        eventually(
            lambda: len(town.rows("SELECT FROM digest_entry WHERE left_reason IS NULL")) >= 4,
            what="both households' bills are gathered",
        )

        town.rows("UPDATE digest SET flush_at = now() WHERE flushed_at IS NULL")
        town.job("notices.flush_digests", "")

        mail = eventually(
            lambda: town.notices("bill.ready.many").get("email"), what="the digest is told"
        )
        assert (mail.state, mail.held, mail.attempts) == ("created", "quiet", 0)
        assert not town.mails("账单")
        resident.goto(f"{town.web}/notices")
        assert "2 份新账单" in resident.inner_text("main")

    def test_in_the_morning_one_mail_has_both(self, resident, town):
        choose_hours(resident, town, quiet=False)

        [mail] = eventually(lambda: town.mails("新账单"), seconds=10, what="the digest by mail")

        assert "2 份" in mail["subject"]
        assert all(name in mail["text"] for name in ("城市自来水", "城市电力"))
        assert not town.mails("最后缴费日是")  # as each bill alone would say


class TestTextsFirst:
    def test_is_chosen_on_the_page(self, resident, town):
        choose_hours(resident, town, quiet=False, digest=False)
        one = resident.locator("details", has=resident.locator("input[value=bills]"))
        one.locator("summary").click()
        one.locator("input[value=own]").check()
        for place, channel in zip(
            ("first", "second", "third", "fourth"), ("sms", "email", "", ""), strict=True
        ):
            one.locator(f"select[name={place}]").select_option(channel)
        one.locator("button").click()

        resident.wait_for_url("**/preferences?saved=subject*")
        assert "已保存" in resident.inner_text("[role=status]")

    def test_a_refused_number_is_mailed_within_five_seconds(self, town, files):
        town.company.refused.add(RESIDENT)
        town.bill("gas", files["gas"][-1])

        failed = eventually(
            lambda: (
                (one := town.notices("bill.ready").get("sms")) and one.state == "failed" and one
            ),
            what="the text is refused",
        )

        [mail] = eventually(lambda: town.mails("城市燃气"), seconds=5, what="the mail instead")
        assert "账单" in mail["subject"]
        sent = eventually(
            lambda: (one := town.notices("bill.ready")["email"]).accepted_at and one,
            what="the mail is written down",
        )
        assert sent.accepted_at - failed.state_at < timedelta(seconds=5)
        town.company.refused.clear()


class TestNewWords:
    WORDS = "/console/wording/words/bill.ready/short/zh_CN/plain"

    def test_one_writes_and_another_approves(self, clerk, colleague, town):
        clerk.goto(f"{town.web}{self.WORDS}")
        clerk.click(f"form[action='{self.WORDS}'] button:has-text('写新的一版')")
        clerk.fill("#body", NEW_WORDS)
        clerk.fill("#why", "说得更清楚")
        clerk.click("button[value=propose]")
        clerk.wait_for_load_state()
        assert clerk.locator("form[action$='/approval']").count() == 0  # not by who wrote it

        colleague.goto(clerk.url)
        colleague.click("form[action$='/approval'] button")
        colleague.wait_for_load_state()

        assert "生效" in colleague.inner_text("main")

    def test_the_next_text_has_them_and_the_last_keeps_its_own(self, town, files):
        before = town.notices("bill.ready")["sms"]
        town.bill("telecom", files["telecom"][-1])

        eventually(lambda: town.company.to(RESIDENT)[1:], what="a text beside the code")

        assert re.search(r"城市电信.*账单到了：¥.*前缴清即可", town.company.to(RESIDENT)[-1])
        [kept] = town.rows("SELECT body FROM notice WHERE id = :id", id=before.id)
        assert kept.body == before.body
        assert "账单到了" not in kept.body


class TestAReceiptOfTheCompany:
    def test_it_says_delivered_and_the_mail_behind_is_dropped(self, clerk, town):
        sent = eventually(
            lambda: (one := town.notices("bill.ready")["sms"]).state == "accepted" and one,
            what="the text is taken",
        )
        headers, body = town.company.receipt(sent.carrier_ref, Fate.DELIVERED)
        where = f"{town.web}/api/v1/carriers/sms_http/receipts"
        assert httpx.post(where, content=body).status_code == httpx.codes.UNAUTHORIZED

        answer = httpx.post(where, content=body, headers=headers)

        assert (answer.status_code, answer.json()) == (httpx.codes.OK, {"code": 0})
        eventually(
            lambda: town.notices("bill.ready")["sms"].state == "delivered", what="it is delivered"
        )
        mail = town.notices("bill.ready")["email"]
        assert (mail.state, mail.reason) == ("dropped", "reached")
        assert not town.mails("城市电信")
        look_at(clerk, town, f"/console/notices/{sent.id}")
        steps = clerk.locator("section", has=clerk.locator(f"#step-{sent.id}"))
        assert "已送达" in steps.inner_text()
        behind = clerk.locator("section", has=clerk.locator(f"#step-{mail.id}"))
        assert "已通过其他渠道送达" in behind.inner_text()


def look_at(page: Page, town: Town, path: str) -> str:
    """Open a page about a resident, saying why if that is asked; returns what it says."""
    page.goto(f"{town.web}{path}")
    if page.locator("#words").count() and page.locator("input[name=reason]").count():
        page.check("input[name=reason][value=asked]")
        page.fill("#words", "来电 7 号")
        page.click("form[action$='/reason'] button")
        page.wait_for_load_state()
    return page.inner_text("main")


class TestPaying:
    def test_a_reminder_waits_for_the_morning(self, resident, town):
        choose_hours(resident, town, quiet=True, digest=False)
        town.rows(
            """
            INSERT INTO bill_news (account_id, bill_id, version, news, found_at)
            SELECT b.account_id, b.id, b.version, 'soon', now()
            FROM bill b JOIN utility_account a ON a.id = b.account_id
            JOIN household_account h ON h.account_id = a.id
            WHERE a.provider_code = 'telecom' AND b.paid_fen = 0
            """
        )
        town.job("bills.tell_news", "0")

        waits = eventually(
            lambda: town.notices("bill.due_soon").get("email"), what="a reminder is told"
        )

        assert (waits.state, waits.held) == ("created", "quiet")

    def test_who_pays_by_night_has_the_receipt_at_once(self, resident, town):
        resident.goto(town.web)
        resident.click(".pay-bar .button")
        resident.click("form.pay-form button.button >> nth=-1")
        resident.click("button[value=yes]")
        resident.wait_for_url(f"{town.web}/payments/*")

        [receipt] = eventually(lambda: town.mails("缴费回执"), what="the receipt")

        assert f"{town.web}/payments/" in receipt["text"]

    def test_what_the_companies_confirm_waits_for_the_morning(self, resident, town):
        waits = eventually(
            lambda: town.notices("write_off.accepted").get("email"), what="the companies answered"
        )
        assert (waits.state, waits.held) == ("created", "quiet")

        choose_hours(resident, town, quiet=False)

        eventually(lambda: town.mails(waits.title), seconds=10, what="that it is confirmed")

    def test_what_is_paid_is_reminded_of_no_more(self, town):
        dropped = eventually(
            lambda: (one := town.notices("bill.due_soon")["email"]).state == "dropped" and one,
            what="the reminder is dropped",
        )

        assert (dropped.reason, dropped.attempts) == ("paid", 1)
        assert not town.mails(dropped.title)


class TestStaffAndCarriers:
    def test_who_asks_for_a_test_waits_while_nobody_may_carry_it(self, clerk, resident, town):
        switch(clerk, town, "email", "stop", "邮件服务器维护")
        assert "已停用" in clerk.inner_text("main")
        self.ask(resident, town, "email")
        eventually(
            lambda: (one := town.notices("notice.tried").get("email")) and one.held == "again",
            what="the test is looked at, and waits",
        )
        assert not town.mails("测试")

        switch(clerk, town, "email", "resume", "维护好了")

        eventually(lambda: town.mails("测试"), seconds=15, what="the test by mail")

    def test_one_of_two_takes_over(self, clerk, resident, town):
        texts = len(town.company.taken)
        switch(clerk, town, "console", "resume", "短信公司有故障")
        switch(clerk, town, "sms_http", "stop", "短信公司有故障")
        town.rows("UPDATE notice SET created_at = created_at - interval '2 minutes'"
                  " WHERE event = 'notice.tried'")  # fmt: skip
        self.ask(resident, town, "sms")

        sent = eventually(
            lambda: (one := town.notices("notice.tried").get("sms")) and one.accepted_at and one,
            what="the test by text",
        )

        assert (sent.carrier, len(town.company.taken)) == ("console", texts)
        switch(clerk, town, "sms_http", "resume", "故障已修好")
        switch(clerk, town, "console", "stop", "只留短信公司")

    def ask(self, page: Page, town: Town, channel: str) -> None:
        page.goto(f"{town.web}/preferences")
        page.click(f"form[action='/preferences/test'] button[value={channel}]")
        page.wait_for_url("**/preferences?saved=tested")

    def test_a_notice_is_found_by_its_readers_number_and_sent_again(self, clerk, town):
        clerk.goto(f"{town.web}/console/notices")
        clerk.fill("#find-q", RESIDENT)
        clerk.click("form[action$='/search'] button")
        clerk.click("main a[href*='/notices/of/']")
        clerk.wait_for_load_state()
        receipt = town.notices("payment.receipt")["email"]
        clerk.click(f"a[href='/console/notices/{receipt.id}']")
        clerk.wait_for_load_state()
        assert all(
            words in clerk.inner_text("main") for words in ("已生成", "已接收", receipt.title)
        )

        clerk.click(f"form[action='/console/notices/{receipt.id}/again'] button")

        eventually(lambda: town.mails("缴费回执")[1:], seconds=10, what="the receipt once more")
        clerk.reload()
        assert "再次发送（1）" in clerk.inner_text("main")


class TestOffers:
    def test_nobody_is_told_without_having_agreed(self, town):
        assert self.offer(town, 1) == 0
        assert not town.notices("offer.made")

    def test_who_agreed_is_told_with_a_way_out(self, resident, town):
        resident.goto(f"{town.web}/preferences")
        resident.click("form[action='/preferences/offers'] button[value='1']")
        resident.wait_for_url("**/preferences?saved=offers*")

        assert self.offer(town, 2) == 1

        [mail] = eventually(lambda: town.mails("第 2 期"), seconds=10, what="the offer")
        raw = httpx.get(f"{town.far_side}/inbox/{mail['id']}/raw").text
        unfolded = re.sub(r"\r?\n[ \t]+", " ", raw)
        assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in unfolded
        [where] = re.findall(r"^List-Unsubscribe: <(\S+)>", unfolded, re.MULTILINE)
        assert httpx.get(where).status_code == httpx.codes.OK  # as guards of mailboxes do
        assert self.offer(town, 3) == 1

        answer = httpx.post(where, data={"List-Unsubscribe": "One-Click"})

        assert answer.status_code == httpx.codes.OK
        assert self.offer(town, 4) == 0
        resident.goto(f"{town.web}/preferences")
        assert "邮件" not in resident.locator("section[aria-labelledby=offers] .small").inner_text()

    def offer(self, town: TalkingTown, number: int) -> int:
        told = json.loads(town.run("tests.stories.newcomers", "offer", str(number)).stdout)
        return int(told)


# A bell for a job may have gone to the worker that is held up; it is rung again after 30 seconds.
RUNG_AGAIN = 75


class TestAWorkerDies:
    def test_everybody_is_texted_and_nobody_twice(self, clerk, operator, town):
        phones = json.loads(
            town.run("tests.stories.newcomers", "neighbours", str(NEIGHBOURS)).stdout
        )
        town.company.delay_ms = 500
        already = len(town.company.taken)
        with self.in_the_way(town), self.another(town) as doomed:
            self.announce(operator, town)
            eventually(
                lambda: len(town.company.taken) > already, seconds=RUNG_AGAIN,
                what="the first text is out",
            )  # fmt: skip
            doomed.kill()  # SIGKILL
        claimed = "state = 'created' AND attempts > 0 AND held IS NULL"
        assert town.rows(f"SELECT FROM notice WHERE {claimed}")

        town.rows(f"UPDATE notice SET due_at = now() WHERE {claimed}")  # its lease is over

        eventually(
            lambda: all(town.company.to(phone) for phone in phones), seconds=RUNG_AGAIN,
            what="everybody is texted",
        )  # fmt: skip
        eventually(
            lambda: not town.rows("SELECT FROM notice WHERE event = 'outage.announced'"
                                  " AND state = 'created' AND held IS DISTINCT FROM 'chain'"),
            what="all of it is written down",
        )  # fmt: skip
        assert [len(town.company.to(phone)) for phone in phones] == [1] * NEIGHBOURS

    @contextmanager
    def in_the_way(self, town: TalkingTown) -> Iterator[None]:
        """Hold up the town's own worker of bulk notices, so that another has them to itself."""
        children = Path(f"/proc/{town.process.pid}/task/{town.process.pid}/children").read_text()
        [own] = [
            int(pid)
            for pid in children.split()
            if b"bulk@%h" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(own, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(own, signal.SIGCONT)

    @contextmanager
    def another(self, town: TalkingTown) -> Iterator[subprocess.Popen[bytes]]:
        """Start one more worker beside it."""
        started = subprocess.Popen(
            [sys.executable, "-m", *worker("doomed", *BULK)],
            cwd=ROOT, env=town.environment | town.settings, stdout=town.log, stderr=town.log,
        )  # fmt: skip
        try:
            yield started
        finally:
            started.kill()
            started.wait()

    def announce(self, page: Page, town: Town) -> None:
        """Write to all customers of a company, look at it, and send it."""
        page.goto(f"{town.web}/company/messages/new")
        page.fill("#words_zh", "线路抢修，请关好家中电器。")
        page.fill("#words_en", "Lines are being repaired: please switch appliances off.")
        page.click("form[action='/company/messages'] button")
        page.click("form[action$='/sending'] button")
        page.wait_for_load_state()
