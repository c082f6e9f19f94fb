"""One month in the city: from four companies' files to a reconciled payment.

Told in order, in a running town: web, worker, scheduler, simulator, PostgreSQL and Redis are all
processes of their own, and the resident is a browser.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page

from core.clock import add_months, billing_date, utc_now
from core.money import parse_yuan
from tests.chromium import opened
from tests.stories.town import ROOT, Town, eventually, sign_in, without_night

COMPANIES = {"water": "城市自来水", "power": "城市电力", "gas": "城市燃气", "telecom": "城市电信"}
RESIDENT, NEIGHBOUR, STAFF = "19900000001", "19900000002", "staff@citybill.example"

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    running = Town()
    yield running
    assert running.stop() == 0
    shutil.rmtree(running.data_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The newest bill file of each company, as the companies write them."""
    folder = tmp_path_factory.mktemp("files")
    today = billing_date(utc_now())
    months = ",".join(f"{add_months(today, -back):%Y-%m}" for back in (2, 1))
    subprocess.run(
        [sys.executable, "-m", "simulator", "files", "--households", "50", "--months", months,
         "--out", folder, "--fresh-on", str(today)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return {code: sorted(folder.glob(f"{code}-*"))[-1] for code in COMPANIES}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as browser:
        yield browser


@pytest.fixture(scope="module")
def resident(browser: Browser, town: Town) -> Page:
    town.citybill("demo", "people")  # binds the accounts that are billed by now
    return without_night(sign_in(browser, town, RESIDENT), town)


@pytest.fixture(scope="module")
def neighbour(browser: Browser, town: Town) -> Page:
    return without_night(sign_in(browser, town, NEIGHBOUR), town)


@pytest.fixture
def day() -> date:
    return billing_date(utc_now())


def pay_everything(page: Page, town: Town, choice: str) -> int:
    """Tick what is due, confirm, and press one of the sandbox cashier's buttons."""
    page.goto(town.web)
    total_fen = parse_yuan(
        page.inner_text("[data-sum] .amount").strip().lstrip("¥").replace(",", "")
    )
    page.click(".pay-bar .button")
    page.click("form.pay-form button.button >> nth=-1")
    page.click(f"button[value={choice}]")
    page.wait_for_url(f"{town.web}/payments/*")
    return total_fen


def when_it_says(page: Page, words: str, *, times: int = 1, seconds: int = 30) -> str:
    """Reload the page until it says something, or says it so many times."""

    def said() -> str | None:
        page.reload()
        text = page.inner_text("main")
        return text if text.count(words) >= times else None

    return eventually(said, seconds=seconds, what=f"the page says {words}")


class TestFourCompaniesPushTheirFiles:
    def test_one_by_the_command_line(self, town, files):
        done = town.citybill("import", files["water"], "--provider", "water", "--json")

        told = json.loads(done.stdout)
        assert (told["rows"], told["created"], told["rejected"]) == (50, 50, 0)

    @pytest.mark.parametrize("code", ["power", "gas", "telecom"])
    def test_three_by_the_api(self, town, files, code):
        answer = town.push(code, files[code].read_bytes(), files[code].name)

        assert answer.status_code == httpx.codes.ACCEPTED
        done = town.imported(code, answer.json()["id"])
        assert (done["status"], done["created"], done["rejected"]) == ("imported", 50, 0)

    def test_the_same_bytes_again_change_nothing(self, town, files):
        again = json.loads(
            town.citybill("import", files["water"], "--provider", "water", "--json").stdout
        )
        pushed = town.push("water", files["water"].read_bytes(), "another-name.txt").json()

        assert pushed["id"] == again["bill_file_id"]
        assert (again["created"], again["unchanged"]) == (0, 50)

    def test_a_wrong_control_total_refuses_the_whole_file(self, town, files, tmp_path):
        lines = files["water"].read_bytes().split(b"\n")
        wrong = tmp_path / "wrong.txt"
        trailer = next(line for line in lines if line.startswith(b"T|"))
        wrong.write_bytes(b"\n".join(lines).replace(trailer, b"T|50|1.00"))

        done = town.citybill("import", wrong, "--provider", "water", "--json")

        assert (done.returncode, done.stdout) == (1, "")
        assert "1.00" in done.stderr
        assert "line 52" in done.stderr

    def test_a_bad_row_is_listed_with_its_place_and_the_others_land(self, town, files):
        text = files["power"].read_bytes().decode("utf-8-sig")
        head, first, second, *_rest = text.split("\n")
        spoilt = second.replace(second.split(",")[0], "31000 6812430")
        fresh = first.replace(",1,0,", ",2,0,")  # a new version, of a bill nobody has paid
        content = "\ufeff" + "\n".join([head, fresh, spoilt]) + "\n"

        sent = town.push("power", content.encode(), "two-rows.csv").json()

        done = town.imported("power", sent["id"])
        assert (done["rows"], done["superseded"], done["rejected"]) == (2, 1, 1)
        rejects = httpx.get(
            f"{town.web}/api/v1/bill-files/{sent['id']}/rejects.csv",
            headers={"Authorization": f"Bearer {town.keys['power']}"},
        ).text
        assert "3,户号" in rejects
        assert "31000 6812430" in rejects


class TestAResidentPays:
    def test_sees_the_bills_of_all_four_companies_on_one_page(self, resident, town):
        resident.goto(town.web)
        shown = resident.inner_text("main")
        assert all(name in shown for name in COMPANIES.values())
        assert resident.locator("input[name=bill]").count() == 4

    def test_opens_one_with_its_lines_and_its_pdf(self, resident, town):
        resident.goto(town.web)
        resident.locator("a.due__more").first.click()
        assert resident.locator("table").inner_text()

        pdf = resident.request.get(f"{resident.url}.pdf")
        assert pdf.headers["content-type"] == "application/pdf"
        assert pdf.body().startswith(b"%PDF-")

    def test_pays_four_companies_at_once_and_sees_each_confirmed(self, resident, town):
        pay_everything(resident, town, "yes")

        shown = when_it_says(resident, "已确认 4 笔")

        assert shown.count("公司回执号") == 4
        resident.goto(town.web)
        assert resident.locator("input[name=bill]").count() == 0

    def test_has_a_receipt_in_the_mail_and_in_the_inbox(self, resident, town):
        mail = eventually(
            lambda: next((m for m in town.messages() if "缴费回执" in (m["subject"] or "")), None),
            what="a receipt by e-mail",
        )
        assert mail["channel"] == "email"
        assert all(name in mail["text"] for name in COMPANIES.values())
        resident.goto(f"{town.web}/notices")
        assert "缴费回执" in resident.inner_text("main")


class TestWhenThingsGoWrong:
    def test_a_declined_payment_leaves_the_bills_due(self, neighbour, town):
        pay_everything(neighbour, town, "no")

        when_it_says(neighbour, "未成功")
        neighbour.goto(town.web)
        assert neighbour.locator("input[name=bill]").count() == 4

    def test_a_company_that_refuses_gets_nothing_and_the_payer_gets_it_back(self, neighbour, town):
        fault = {"fault": "refuse", "times": 1}
        httpx.post(f"{town.far_side}/utilities/gas/faults", json=fault).raise_for_status()

        pay_everything(neighbour, town, "nothing")  # paid, and only our own question finds out

        when_it_says(neighbour, "公司回执号", times=3, seconds=60)
        when_it_says(neighbour, "部分退款", seconds=60)
        neighbour.goto(town.web)
        assert neighbour.locator("input[name=bill]").count() == 1
        eventually(
            lambda: any("退回" in (m["subject"] or "") for m in town.messages()),
            what="a message that the money went back",
        )


class TestNextMorningStaffReconcile:
    def settlement(self, town: Town, day: date, folder: Path, fault: str = "") -> Path:
        path = folder / f"settlement-{fault or 'true'}.csv"
        url = f"{town.far_side}/sandbox/downloads/{day}.csv"
        path.write_bytes(httpx.get(url, params={"fault": fault} if fault else None).content)
        return path

    def test_a_row_the_gateway_left_out_is_a_break_on_the_console(
        self, town, browser, day, tmp_path
    ):
        path = self.settlement(town, day, tmp_path, "missing")

        done = town.citybill("reconcile", path, "--source", "sandbox", "--day", str(day), "--json")

        told = json.loads(done.stdout)
        left_out = told["missing_at_gateway"] + told["refund_unmatched"]
        assert (left_out, told["balanced"]) == (1, False), told
        page = sign_in(browser, town, STAFF)
        page.goto(f"{town.web}/console/reconciliations/sandbox/{day}")
        assert told["breaks"][0]["reference"] in page.inner_text("main")

    def test_the_true_file_leaves_nothing_unexplained(self, town, day, tmp_path):
        path = self.settlement(town, day, tmp_path)

        done = town.citybill("reconcile", path, "--source", "sandbox", "--day", str(day), "--json")

        told = json.loads(done.stdout)
        assert (told["balanced"], told["matched"], told["breaks"]) == (True, 3, [])
        assert told["our_total_fen"] == told["their_total_fen"] > 0

    def test_every_invariant_of_the_ledger_is_true(self, town):
        done = town.citybill("ledger", "verify", "--json")

        told = json.loads(done.stdout)
        assert (done.returncode, told["ok"]) == (0, True), told
        assert len(told["checks"]) >= 9
