"""Files that companies bring by SFTP: taken when complete, once, and answered."""

import asyncio
import json
import os
import time
from pathlib import Path

import asyncssh
import pytest

from billing.files.drop_folders import drop_folder
from core.clock import utc_now
from core.settings import settings
from providers.delivery import Delivery
from tests.web.conftest import app, far_side, with_key  # noqa: F401
from tests.workers import company_side as company
from tests.workers.company_side import a_file, get, on_a_server, put, until, work
from workers import acknowledgements
from workers.pickup import sweep

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture(autouse=True)
def _folder_of_the_jobs(tmp_path, monkeypatch):
    """The jobs of this test answer into this test's folder."""
    monkeypatch.setenv("CITYBILL_SFTP_DIR", str(tmp_path))
    settings.cache_clear()
    yield
    settings.cache_clear()


def imported():
    work()
    return all(one.status in ("imported", "refused") for one in company.files())


class TestTaking:
    def test_a_file_renamed_into_place_is_taken_at_once(self, tmp_path):
        async def story(sftp, _chosen):
            await put(sftp, "/in/bills.csv.part", a_file())
            await sftp.rename("/in/bills.csv.part", "/in/bills.csv")
            await until(company.files, "the file is taken")

        on_a_server(tmp_path, story, settle=3600)

        [file] = company.files()
        assert (file.file_name, file.received_via, file.provider_code) == (
            "bills.csv", "sftp", "power",
        )  # fmt: skip
        archive = drop_folder(tmp_path, "power").archive
        assert [one.read_bytes() for one in archive.iterdir()] == [a_file()]

    def test_a_file_that_was_closed_is_taken_when_it_stands_still(self, tmp_path):
        async def story(sftp, _chosen):
            await put(sftp, "/in/bills.csv", a_file())
            assert company.files() == []
            await until(company.files, "the file is taken")

        on_a_server(tmp_path, story)

        assert len(company.files()) == 1
        assert list((tmp_path / "companies" / "power" / "in").iterdir()) == []

    def test_a_slow_upload_in_pieces_is_not_taken_before_its_end(self, tmp_path):
        content = a_file("power", *(f"{yuan}.50" for yuan in range(1, 40)))

        async def story(sftp, _chosen):
            async with sftp.open("/in/bills.csv", "wb") as stream:
                for at in range(0, len(content), 1 + len(content) // 4):
                    await stream.write(content[at : at + 1 + len(content) // 4])
                    await asyncio.sleep(1.5)
                    assert company.files() == []
            await until(company.files, "the file is taken")

        on_a_server(tmp_path, story)

        assert company.files()[0].size_bytes == len(content)

    @pytest.mark.parametrize("name", [".bills.csv", "bills.csv.part", "bills.tmp", "b.FILEPART"])
    def test_a_name_that_says_unfinished_is_left_alone(self, tmp_path, name):
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        (folder.incoming / name).write_bytes(a_file())
        os.utime(folder.incoming / name, (0, 0))

        assert folder.complete(flag=None, settled_before=1 << 62) == []

    def test_an_upload_that_broke_off_is_never_taken_and_taken_once_it_is_finished(self, tmp_path):
        content = a_file()

        async def story(sftp, chosen):
            stream = await sftp.open("/in/bills.csv", "wb")
            await stream.write(content[:50])
            key, _ = company.a_key()
            async with (
                company.signed_in(chosen, client_keys=[key]) as other,
                other.start_sftp_client() as second,
            ):
                broken = await second.open("/in/other.csv", "wb")
                await broken.write(content[:60])
                other.abort()
            await asyncio.sleep(3)
            assert company.files() == []
            await stream.write(content[50:], 50)
            await stream.close()
            await until(company.files, "the finished one is taken")
            await asyncio.sleep(2.5)

        on_a_server(tmp_path, story)

        assert [one.file_name for one in company.files()] == ["bills.csv"]
        waiting = drop_folder(tmp_path, "power").waiting(flag=None)
        assert waiting == (0, 1)

    def test_files_are_taken_in_the_order_in_which_they_were_completed(self, tmp_path):
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        names = ["b.csv", "d.csv", "a.csv", "e.csv", "c.csv", "f.csv"]
        for name in names:
            (folder.incoming / f"{name}.part").write_bytes(a_file() + name.encode())
            (folder.incoming / f"{name}.part").rename(folder.incoming / name)
            time.sleep(0.02)  # clocks of file systems tick slowly

        sweep(folder, "power", flag=None, settle_seconds=0, now=utc_now())

        assert [one.file_name for one in company.files()] == names

    @pytest.mark.parametrize("name", ["电费.csv".encode("gb18030"), b"x" * 250])
    def test_a_name_that_was_copied_in_by_hand_holds_up_no_other(self, tmp_path, name):
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        Path(os.fsdecode(os.fsencode(folder.incoming) + b"/" + name)).write_bytes(b"by hand")
        (folder.incoming / "bills.csv").write_bytes(a_file())

        for _ in range(2):
            sweep(folder, "power", flag=None, settle_seconds=0, now=utc_now())

        assert "bills.csv" in [one.file_name for one in company.files()]
        assert list(folder.taken.iterdir()) == []

    def test_what_was_left_while_no_server_ran_is_found_at_the_start(self, tmp_path):
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        (folder.incoming / "bills.csv").write_bytes(a_file())

        async def story(_sftp, _chosen):
            await until(company.files, "the file is taken")

        on_a_server(tmp_path, story)

        assert len(company.files()) == 1

    def test_with_a_flag_file_the_data_waits_for_it_and_the_flag_is_no_file(self, tmp_path):
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        (folder.incoming / "bills.csv").write_bytes(a_file())

        def look() -> list[str]:
            sweep(folder, "power", flag=".CHK", settle_seconds=0, now=utc_now())
            return [one.file_name for one in company.files()]

        before = look()
        (folder.incoming / "other.chk").touch()
        still = look()
        (folder.incoming / "bills.chk").touch()

        assert (before, still, look()) == ([], [], ["bills.csv"])
        assert sorted(one.name for one in folder.files()) == ["other.chk"]

    def test_a_link_and_a_file_with_two_names_are_nobody_s_bills(self, tmp_path):
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        secret = tmp_path / "secret"
        secret.write_bytes(a_file())
        (folder.incoming / "soft.csv").symlink_to(secret)
        (folder.incoming / "hard.csv").hardlink_to(secret)

        sweep(folder, "power", flag=None, settle_seconds=0, now=utc_now())

        assert company.files() == []


class TestOnce:
    @pytest.mark.parametrize("moment", ["claimed", "received"])
    def test_killed_at_any_moment_nothing_is_lost_or_doubled(self, tmp_path, monkeypatch, moment):
        """The kill is an exception nobody catches; what is on disk and in the database stays."""
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        (folder.incoming / "bills.csv").write_bytes(a_file())

        class Killed(BaseException):
            pass

        def killed(*_args, **_named):
            raise Killed

        with monkeypatch.context() as at:
            if moment == "claimed":
                at.setattr("workers.pickup.take_in", killed)
            else:
                at.setattr("workers.pickup.Path.rename", _all_but_archiving(killed))
            with pytest.raises(Killed):
                sweep(folder, "power", flag=None, settle_seconds=0, now=utc_now())
        found = len(company.arrivals())
        sweep(folder, "power", flag=None, settle_seconds=0, now=utc_now())
        sweep(folder, "power", flag=None, settle_seconds=0, now=utc_now())
        work()

        assert found == (0 if moment == "claimed" else 1)
        assert (len(company.files()), len(company.arrivals()), company.bills()) == (1, 1, 1)
        assert len(list(folder.archive.iterdir())) == 1

    def test_two_servers_on_one_folder_take_every_file_once(self, tmp_path):
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        for at in range(30):
            (folder.incoming / f"bills-{at}.csv").write_bytes(a_file("power", f"{at + 1}.00"))
        one, two = company.settings_for(tmp_path), company.settings_for(tmp_path)

        async def both():
            async with company.serving(one), company.serving(two):
                await until(lambda: len(company.arrivals()) == 30, "all are taken")
                await asyncio.sleep(1)

        asyncio.run(both())

        assert len({row.bill_file_id for row in company.arrivals()}) == 30
        assert len(list(folder.archive.iterdir())) == 30


def _all_but_archiving(killed):
    real = Path.rename

    def rename(self, target):
        return killed() if target.parent.name == "archive" else real(self, target)

    return rename


class TestAnswers:
    def test_an_acknowledgement_says_what_the_api_says(self, tmp_path, app):  # noqa: F811
        content = a_file("power", "86.50", "12.345", "1.00")

        async def story(sftp, _chosen):
            await put(sftp, "/in/bills.csv.tmp", content)
            await sftp.rename("/in/bills.csv.tmp", "/in/bills.csv")
            await until(company.files, "the file is taken")
            await until(imported, "it is imported")
            await until(
                lambda: (drop_folder(tmp_path, "power").outgoing / "bills.csv.ack").exists(),
                "it is answered",
            )
            return (
                json.loads(await get(sftp, "/out/bills.csv.ack")),
                await get(sftp, "/out/bills.csv.rejects.csv"),
            )

        ack, rejects = on_a_server(tmp_path, story)
        client = with_key(app, "power")
        told = client.get(f"/api/v1/bill-files/{ack['id']}").json()

        assert (ack["rows"], ack["created"], ack["rejected"], ack["status"]) == (
            3,
            2,
            1,
            "imported",
        )
        assert {key: ack[key] for key in ack.keys() & told.keys()} == {
            key: told[key] for key in ack.keys() & told.keys()
        }
        assert rejects == client.get(f"/api/v1/bill-files/{ack['id']}/rejects.csv").content

    def test_a_refused_file_gets_its_complaint_and_an_empty_one_too(self, tmp_path):
        folder = drop_folder(tmp_path, "power")

        async def story(sftp, _chosen):
            for name, content in (("no.csv", b"what is this?\n1,2\n"), ("empty.csv", b"")):
                await put(sftp, f"/in/{name}.part", content)
                await sftp.rename(f"/in/{name}.part", f"/in/{name}")
            await until(lambda: len(company.arrivals()) == 2, "both are taken")
            await until(imported, "it is refused")
            await until(lambda: len(list(folder.outgoing.iterdir())) == 4, "both are answered")

        on_a_server(tmp_path, story)

        assert sorted(one.name for one in folder.outgoing.iterdir()) == [
            "empty.csv.ack", "empty.csv.refused.txt", "no.csv.ack", "no.csv.refused.txt",
        ]  # fmt: skip
        assert "the file is empty" in (folder.outgoing / "empty.csv.refused.txt").read_text()
        complaint = company.files()[0].complaint
        assert (folder.outgoing / "no.csv.refused.txt").read_text() == f"{complaint}\n"

    def test_a_corrected_file_of_the_same_name_clears_what_the_first_was_told(self, tmp_path):
        folder, told = drop_folder(tmp_path, "power"), []
        folder.prepare()
        rejected = a_file("power", "86.50", "86.555")
        for content in (b"what is this?\n", rejected, a_file()):
            (folder.incoming / "bills.csv").write_bytes(content)
            sweep(folder, "power", flag=None, settle_seconds=0, now=utc_now())
            work()
            told.append(sorted(one.name for one in folder.outgoing.iterdir()))

        assert told == [
            ["bills.csv.ack", "bills.csv.refused.txt"],
            ["bills.csv.ack", "bills.csv.rejects.csv"],
            ["bills.csv.ack"],
        ]

    def test_the_same_bytes_under_another_name_are_answered_under_it(self, tmp_path):
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        for name in ("one.csv", "two.csv"):
            (folder.incoming / name).write_bytes(a_file())
            sweep(folder, "power", flag=None, settle_seconds=0, now=utc_now())
            work()

        acks = [json.loads((folder.outgoing / f"{n}.csv.ack").read_text()) for n in ("one", "two")]

        assert acks[0] == acks[1]
        assert (len(company.files()), company.bills()) == (1, 1)

    def test_an_answer_is_written_once_and_again_if_its_writer_was_killed(
        self, tmp_path, monkeypatch
    ):
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        (folder.incoming / "bills.csv").write_bytes(a_file())
        sweep(folder, "power", flag=None, settle_seconds=0, now=utc_now())
        with monkeypatch.context() as at:
            at.setattr(acknowledgements, "_acknowledge", _killed)
            with pytest.raises(KeyboardInterrupt):
                work()
        assert list(folder.outgoing.iterdir()) == []

        answered = [acknowledgements.answer(folder, "power", None, now=utc_now()) for _ in range(2)]

        assert (answered, [one.name for one in folder.outgoing.iterdir()]) == (
            [1, 0], ["bills.csv.ack"],
        )  # fmt: skip

    def test_a_company_may_ask_for_plain_lines(self, tmp_path):
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        (folder.incoming / "bills.csv").write_bytes(b"nonsense\n")
        sweep(folder, "power", flag=None, settle_seconds=0, now=utc_now())
        drop_folder(tmp_path, "power").outgoing.rmdir()  # so that the job leaves it to us
        work()
        folder.prepare()

        acknowledgements.answer(folder, "power", Delivery(acknowledgement="lines"), now=utc_now())

        lines = (folder.outgoing / "bills.csv.ack").read_text().splitlines()
        told = dict(line.split("=", 1) for line in lines)
        assert (told["status"], told["rows"], told["sequence_no"]) == ("refused", "0", "")
        assert told["sha256"] == company.files()[0].sha256


def _killed(*_args):
    raise KeyboardInterrupt


class TestKeeping:
    def test_a_companys_files_are_its_own(self, tmp_path):
        secret = tmp_path / "companies" / "water" / "in" / "secret.txt"
        secret.parent.mkdir(parents=True)
        secret.write_text("water's")

        async def story(sftp, _chosen):
            found = {}
            for path in (
                "/../water/in/secret.txt", "../../water/in/secret.txt", "/in/../../water/in",
                str(secret), "/ssh_host_key.pem", "/.taken", "/in/../.open",
            ):  # fmt: skip
                try:
                    found[path] = await get(sftp, path)
                except asyncssh.SFTPError as refused:
                    found[path] = type(refused)
            return found, sorted(await sftp.listdir("/"))

        found, root = on_a_server(tmp_path, story)

        assert set(found.values()) <= {asyncssh.SFTPNoSuchFile, asyncssh.SFTPFailure}
        assert root == ["archive", "in", "out"]
