"""The SFTP server's door: who comes in, what they may do there, and a server that is killed."""

import asyncio
import os
import resource
import signal
import socket
import threading
from contextlib import AsyncExitStack, ExitStack

import asyncssh
import pytest

from billing.files.drop_folders import drop_folder
from core.clock import utc_now
from core.db import transaction
from core.errors import Conflict, Invalid
from identity import company_logins
from identity.host_key import host_key
from tests.workers import company_side as company
from tests.workers.company_side import a_file, get, on_a_server, put, signed_in, until, work
from tests.workers.conftest import process
from workers import sftp_server

pytestmark = pytest.mark.usefixtures("city")


async def refused(chosen, code="power", **how):
    """Tell whether a sign-in is refused."""
    try:
        async with signed_in(chosen, code, **how):
            return False
    except (asyncssh.PermissionDenied, asyncssh.ConnectionLost, OSError):
        return True


def at_the_door(root, story, **changes):
    chosen = company.settings_for(root, **changes)

    async def told():
        async with company.serving(chosen):
            return await story(chosen)

    return asyncio.run(told())


class TestSigningIn:
    def test_a_key_or_a_password_of_the_company_opens_and_nothing_else(self, tmp_path):
        key, login_id = company.a_key("power")
        password, _ = company.a_password("power")
        stranger = asyncssh.generate_private_key("ssh-ed25519")

        async def story(chosen):
            return [
                await refused(chosen, client_keys=[key]),
                await refused(chosen, password=password),
                await refused(chosen, client_keys=[stranger]),
                await refused(chosen, "water", client_keys=[key]),
                await refused(chosen, "water", password=password),
                await refused(chosen, "nobody", password="x"),
                await refused(chosen, password=""),
            ]

        assert at_the_door(tmp_path, story) == [False, False, True, True, True, True, True]
        with transaction() as session:
            used = [one.used_at is not None for one in company_logins.list_logins(session)]
        assert used == [True, True]
        assert login_id > 0

    def test_a_revoked_key_is_refused_and_its_session_ends(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sftp_server, "SWEEP_SECONDS", 0.2)
        key, login_id = company.a_key()

        async def story(chosen):
            async with signed_in(chosen, client_keys=[key]) as connection:
                with transaction() as session:
                    company_logins.revoke(session, login_id, now=utc_now())
                await asyncio.wait_for(connection.wait_closed(), 10)
            return await refused(chosen, client_keys=[key])

        assert at_the_door(tmp_path, story) is True

    def test_who_fails_too_often_is_not_even_asked(self, tmp_path):
        key, _ = company.a_key()
        password, _ = company.a_password()

        async def story(chosen):
            for _ in range(12):
                await refused(chosen, password="wrong")
            return await refused(chosen, password=password), await refused(
                chosen, client_keys=[key]
            )

        assert at_the_door(tmp_path, story) == (True, True)

    def test_silent_strangers_of_one_address_leave_room_for_the_others(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sftp_server, "MOST_CONNECTIONS", 8)
        monkeypatch.setattr(sftp_server, "MOST_STRANGERS", 4)
        key, _ = company.a_key()

        async def story(chosen):
            with ExitStack() as strangers:
                for _ in range(12):
                    one = strangers.enter_context(socket.socket())
                    one.bind(("127.0.0.2", 0))
                    one.connect(("127.0.0.1", chosen.sftp_port))
                await asyncio.sleep(0.5)
                return await refused(chosen, client_keys=[key])

        assert at_the_door(tmp_path, story) is False

    def test_who_is_signed_in_is_no_stranger_any_more(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sftp_server, "MOST_STRANGERS", 1)
        key, _ = company.a_key()

        async def story(chosen):
            async with signed_in(chosen, client_keys=[key]), signed_in(chosen, client_keys=[key]):
                first = await refused(chosen, client_keys=[key])
            return first, await refused(chosen, client_keys=[key])

        assert at_the_door(tmp_path, story) == (False, False)

    def test_no_shell_no_command_no_copy_program_and_no_forwarding(self, tmp_path):
        key, _ = company.a_key()

        async def story(chosen):
            outcomes = []
            async with signed_in(chosen, client_keys=[key]) as connection:
                for ask in (
                    lambda: connection.run("id", check=True),
                    lambda: connection.run("scp -t /in", check=True),
                    lambda: connection.run(check=True),
                    lambda: connection.create_process(subsystem="other"),
                    lambda: connection.open_connection("127.0.0.1", chosen.sftp_port),
                    lambda: connection.start_server(lambda *_: None, "127.0.0.1", 0),
                ):
                    try:
                        await asyncio.wait_for(ask(), 10)
                        outcomes.append("allowed")
                    except (asyncssh.Error, asyncssh.ChannelListenError, OSError):
                        outcomes.append("refused")
            return outcomes

        assert at_the_door(tmp_path, story) == ["refused"] * 6

    def test_the_host_key_is_made_once_for_us_alone(self, tmp_path):
        first = host_key(tmp_path).get_fingerprint()

        assert host_key(tmp_path).get_fingerprint() == first
        [path] = tmp_path.iterdir()
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o640)
        with pytest.raises(Invalid, match="others may read"):
            host_key(tmp_path)


class TestLogins:
    @pytest.mark.parametrize("content", ["", "hello", "ssh-ed25519 AAAA", "ssh-rsa"])
    def test_what_is_no_public_key_is_refused(self, content):
        with pytest.raises(Invalid, match="not a public key"), transaction() as session:
            company_logins.add_key(session, "power", content, label="", now=utc_now())

    def test_a_private_key_and_a_weak_one_are_refused(self):
        private = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
        weak = asyncssh.generate_private_key("ssh-rsa", key_size=1024).export_public_key().decode()
        for content, why in ((private, "private key"), (weak, "not safe any more")):
            with pytest.raises(Invalid, match=why), transaction() as session:
                company_logins.add_key(session, "power", content, label="", now=utc_now())

    def test_a_key_is_added_once_and_again_after_it_was_revoked(self):
        key, login_id = company.a_key()
        public = key.export_public_key().decode()
        with pytest.raises(Conflict), transaction() as session:
            company_logins.add_key(session, "power", public, label="", now=utc_now())

        with transaction() as session:
            company_logins.revoke(session, login_id, now=utc_now())
            again = company_logins.add_key(session, "power", public, label="", now=utc_now())

        assert again.id != login_id

    def test_no_password_is_stored(self):
        password, _ = company.a_password()

        with transaction() as session:
            [login] = company_logins.list_logins(session)

        assert login.password_hash.startswith("$argon2id$")
        assert password not in login.model_dump_json()


class TestInside:
    @pytest.mark.parametrize(
        "name", ["x" * 151, "a:b", "a\\b", "new\nline", " x", "\u202ex", b"\xff\xfe"]
    )
    def test_a_name_that_others_read_otherwise_is_refused(self, tmp_path, name):
        async def story(sftp, _chosen):
            place = b"/in/" + (name if isinstance(name, bytes) else name.encode())
            with pytest.raises(asyncssh.SFTPFailure, match="a file name has"):
                await put(sftp, place, b"x")

        on_a_server(tmp_path, story)

    def test_what_would_leave_the_folders_or_change_them_is_refused(self, tmp_path):
        async def story(sftp, _chosen):
            await put(sftp, "/in/a.part", b"x")
            answers = []
            for ask in (
                lambda: sftp.symlink("/etc/passwd", "/in/link"),
                lambda: sftp.link("/in/a.part", "/in/b.csv"),
                lambda: sftp.mkdir("/in/folder"),
                lambda: sftp.rmdir("/out"),
                lambda: sftp.rename("/in/a.part", "/out/a.csv"),
                lambda: sftp.rename("/in/a.part", "/a.csv"),
                lambda: put(sftp, "/out/x.ack", b"x"),
                lambda: put(sftp, "/archive/x", b"x"),
                lambda: put(sftp, "/x", b"x"),
                lambda: sftp.remove("/archive/x"),
                lambda: sftp.readlink("/in/a.part"),
                lambda: sftp.statvfs("/"),
            ):
                try:
                    await ask()
                    answers.append("allowed")
                except asyncssh.SFTPError:
                    answers.append("refused")
            await sftp.chmod("/in/a.part", 0o777)
            return answers, sorted(await sftp.listdir("/in"))

        answers, listed = on_a_server(tmp_path, story)

        assert answers == ["refused"] * 12
        assert listed == ["a.part"]
        mode = (tmp_path / "companies" / "power" / "in" / "a.part").stat().st_mode
        assert mode & 0o777 == 0o600

    def test_a_link_laid_on_the_disk_is_not_followed(self, tmp_path):
        secret = tmp_path / "secret"
        secret.write_text("secret")
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        (folder.incoming / "link").symlink_to(secret)

        async def story(sftp, _chosen):
            for mode in ("rb", "wb", "ab"):
                with pytest.raises(asyncssh.SFTPNoSuchFile):
                    await sftp.open("/in/link", mode)
            return await sftp.listdir("/in")

        assert "link" not in on_a_server(tmp_path, story)
        assert secret.read_text() == "secret"

    def test_more_than_was_agreed_does_not_go_in(self, tmp_path):
        async def story(sftp, _chosen):
            await put(sftp, "/in/one.part", bytes(60_000))
            with pytest.raises(asyncssh.SFTPFailure, match="no room"):
                await put(sftp, "/in/two.part", bytes(60_000))
            async with sftp.open("/in/far.part", "wb") as stream:
                with pytest.raises(asyncssh.SFTPFailure, match="no room"):
                    await stream.write(b"x", 90_000)
                with pytest.raises(asyncssh.SFTPFailure, match="4 GiB"):
                    await stream.write(b"x", 5 << 30)

        on_a_server(tmp_path, story, sftp_quota_bytes=100_000)

    def test_what_is_claimed_and_not_received_has_its_room_still(self, tmp_path):
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        (folder.incoming / "one.csv").write_bytes(bytes(10))
        (folder.taken / "0123456789abcdef.two.csv").write_bytes(bytes(20))

        assert folder.used_bytes() == 30

    def test_a_disk_that_fills_up_is_told_with_the_piece_that_did_not_fit(self, tmp_path):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)

        async def story(sftp, _chosen):
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
            try:
                with pytest.raises(asyncssh.SFTPFailure):
                    await put(sftp, "/in/bills.csv.part", bytes(105_000))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)

        on_a_server(tmp_path, story)

    def test_files_that_go_while_they_are_counted_are_no_fault(self, tmp_path):
        folder, over = drop_folder(tmp_path, "power"), threading.Event()
        folder.prepare()
        names = [f"{at}.csv" for at in range(200)]
        for name in names:
            (folder.incoming / name).write_bytes(b"x")

        def take_and_bring_back():
            while not over.is_set():
                for name in names:
                    (folder.incoming / name).rename(folder.taken / name)
                    (folder.taken / name).rename(folder.incoming / name)

        other = threading.Thread(target=take_and_bring_back)
        other.start()
        try:
            for _ in range(50):
                folder.used_bytes()
                folder.complete(flag=None, settled_before=1 << 62)
        finally:
            over.set()
            other.join()

    def test_answers_are_read_and_removed_by_the_company(self, tmp_path):
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        (folder.outgoing / "bills.csv.ack").write_text("{}")

        async def story(sftp, _chosen):
            content = await get(sftp, "/out/bills.csv.ack")
            await sftp.remove("/out/bills.csv.ack")
            return content

        assert on_a_server(tmp_path, story) == b"{}"
        assert list(folder.outgoing.iterdir()) == []


class TestKilled:
    """The real process, killed with -9."""

    @staticmethod
    def environment(chosen, database_url):
        return {
            "CITYBILL_DATABASE_URL": database_url,
            "CITYBILL_SFTP_DIR": str(chosen.sftp_dir),
            "CITYBILL_SFTP_PORT": str(chosen.sftp_port),
            "CITYBILL_SFTP_SETTLE_SECONDS": "1",
        }

    def test_in_the_middle_of_an_upload_nothing_half_is_taken(self, tmp_path, city):
        key, _ = company.a_key()
        chosen = company.settings_for(tmp_path)
        content = a_file("power", *(f"{yuan}.00" for yuan in range(1, 30)))
        values = self.environment(chosen, city)

        async def half():
            await until(lambda: company.is_open(chosen.sftp_port), "it listens", 40)
            connection = await asyncssh.connect(
                "127.0.0.1", chosen.sftp_port, username="power", client_keys=[key],
                known_hosts=([host_key(tmp_path).convert_to_public()], [], []), config=None,
            )  # fmt: skip
            sftp = await connection.start_sftp_client()
            stream = await sftp.open("/in/bills.csv", "wb")
            await stream.write(content[: len(content) >> 1])
            os.killpg(server.pid, signal.SIGKILL)
            await connection.wait_closed()

        async def rest():
            await until(lambda: company.is_open(chosen.sftp_port), "it listens again", 40)
            await asyncio.sleep(4)
            assert company.files() == []
            async with (
                signed_in(chosen, client_keys=[key]) as connection,
                connection.start_sftp_client() as sftp,
            ):
                async with sftp.open("/in/bills.csv", "ab") as stream:
                    await stream.write(content[len(content) >> 1 :])
                await until(company.files, "it is taken when it is whole")

        with process("workers.sftp_server", **values) as server:
            asyncio.run(half())
        with process("workers.sftp_server", **values):
            asyncio.run(rest())
        work()

        assert company.files()[0].size_bytes == len(content)
        assert company.bills() == 29

    def test_the_open_files_of_one_company_leave_room_for_the_others(self, tmp_path, city):
        greedy, _ = company.a_key("power")
        other, _ = company.a_key("water")
        chosen, before = company.settings_for(tmp_path), resource.getrlimit(resource.RLIMIT_NOFILE)

        async def story():
            await until(lambda: company.is_open(chosen.sftp_port), "it listens", 40)
            async with AsyncExitStack() as stack:
                for at in range(6):
                    connection = await stack.enter_async_context(
                        signed_in(chosen, client_keys=[greedy])
                    )
                    sftp = await stack.enter_async_context(connection.start_sftp_client())
                    for one in range(60):
                        await sftp.open(f"/in/{at}-{one}.part", "wb")
                return await refused(chosen, "water", client_keys=[other])

        resource.setrlimit(resource.RLIMIT_NOFILE, (300, before[1]))
        try:
            starting = process("workers.sftp_server", **self.environment(chosen, city))
            with starting:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
                assert asyncio.run(story()) is False
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)

    def test_at_any_moment_of_taking_every_file_lands_once(self, tmp_path, city):
        chosen = company.settings_for(tmp_path)
        folder = drop_folder(tmp_path, "power")
        folder.prepare()
        for at in range(150):
            (folder.incoming / f"bills-{at}.csv").write_bytes(a_file("power", f"{at + 1}.00"))
        values = self.environment(chosen, city)

        for enough in (1, 40, 90):
            with process("workers.sftp_server", **values) as server:
                asyncio.run(
                    until(lambda n=enough: len(company.arrivals()) >= n, "it takes files", 60)
                )
                os.killpg(server.pid, signal.SIGKILL)
        with process("workers.sftp_server", **values):
            asyncio.run(
                until(lambda: len(list(folder.archive.iterdir())) == 150, "all are archived", 60)
            )

        assert len(company.arrivals()) == len(company.files()) == 150
        assert [*folder.incoming.iterdir(), *folder.taken.iterdir()] == []
