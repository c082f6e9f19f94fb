"""The jobs about files: from a company's site into the ledger, and answers to those that came."""

from dataclasses import replace
from datetime import timedelta

import pytest

from billing.files.drop_folders import drop_folder
from core.clock import utc_now
from core.settings import settings
from providers.delivery import Delivery
from providers.profiles import Profile
from providers.registry import PROVIDERS
from tests.billing.files.test_deliveries import site  # noqa: F401
from tests.workers import company_side as company
from tests.workers.company_side import a_file, work
from workers.pickup import forget_old, sweep
from workers.scheduler import schedule
from workers.tasks import deliveries

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.setenv("CITYBILL_SFTP_DIR", str(tmp_path / "sftp"))
    monkeypatch.setenv("CITYBILL_FETCH_DIR", str(tmp_path / "fetch"))
    monkeypatch.setenv("CITYBILL_DELIVERIES", '{"power": {"bearer": "t0ken"}}')
    settings.cache_clear()
    yield
    settings.cache_clear()


def delivers(monkeypatch, delivery):
    """Have the power company's profile say how its files come."""
    profile = PROVIDERS["power"].profile
    assert isinstance(profile, Profile)
    power = replace(PROVIDERS["power"], profile=profile.model_copy(update={"delivery": delivery}))
    monkeypatch.setattr(deliveries, "PROVIDERS", {"power": power})
    monkeypatch.setattr(deliveries, "get_provider", lambda _code: power)


def test_a_file_at_a_company_s_site_is_in_the_ledger_by_the_clock_alone(
    site,  # noqa: F811
    monkeypatch,
):
    delivery = Delivery(
        kind="http", address=f"{site['url']}/bills/", index="json", files="*.csv", flag=".ok"
    )
    delivers(monkeypatch, delivery)
    site["token"] = "t0ken"
    site["files"] |= {
        "/bills/": b'["nov.csv", "nov.csv.ok", "dec.csv"]', "/bills/nov.csv": a_file(),
        "/bills/nov.csv.ok": b"", "/bills/dec.csv": a_file("power", "9.00"),
    }  # fmt: skip

    schedule(now=utc_now())
    work()

    [file] = company.files()
    assert (file.file_name, file.received_via, file.status) == ("nov.csv", "fetched", "imported")
    assert company.bills() == 1


def test_a_company_that_brings_its_files_is_not_visited(monkeypatch):
    delivers(monkeypatch, Delivery(flag=".ok"))

    deliveries.fetch_files("power")
    schedule(now=utc_now())
    work()

    assert company.files() == []


def test_a_worker_without_the_folder_leaves_the_answer_to_the_server(tmp_path):
    elsewhere = drop_folder(tmp_path / "elsewhere", "power")
    elsewhere.prepare()
    (elsewhere.incoming / "bills.csv").write_bytes(a_file())
    sweep(elsewhere, "power", flag=None, settle_seconds=0, now=utc_now())

    work()

    assert company.files()[0].status == "imported"
    assert company.arrivals()[0].answered_at is None


def test_what_is_old_is_forgotten_and_what_waits_is_not(tmp_path):
    folder = drop_folder(tmp_path, "power")
    folder.prepare()
    for place in (folder.archive, folder.outgoing, folder.incoming):
        (place / "bills.csv").write_text("x")
    (folder.incoming / "half.csv").write_text("x")
    (folder.open_marks / "half.csv").touch()
    (folder.open_marks / "gone.csv").touch()

    soon = forget_old(folder, keep=timedelta(days=1), now=utc_now())
    removed = forget_old(folder, keep=timedelta(days=1), now=utc_now() + timedelta(days=2))

    assert (soon, removed) == (0, 3)
    assert [one.name for one in folder.files()] == ["bills.csv"]
    assert list(folder.open_marks.iterdir()) == []
