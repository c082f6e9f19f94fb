"""``citybill serve``: ports, and one town a checkout."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import serve
from cli.servers import ServerError, default_data_dir
from tests.stories.town import free_ports
from tests.workers.conftest import environment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as taken:
        # The ports below are free: any that the system hands out may have a stranger for neighbour.
        taken.bind(("127.0.0.1", free_ports() + serve.PORTS - 1))
        taken.listen()
        yield taken.getsockname()[1]


class TestPorts:
    @pytest.mark.parametrize("offset", range(serve.PORTS))
    def test_a_port_that_was_asked_for_and_is_in_use_is_one_clear_line(self, busy_port, offset):
        with pytest.raises(ServerError, match=f"port {busy_port} is in use.*another --port"):
            serve._choose_port(busy_port - offset)

    def test_a_default_port_in_use_makes_way(self, busy_port, monkeypatch, capsys):
        monkeypatch.setattr(serve, "DEFAULT_PORT", busy_port)

        chosen = serve._choose_port(None)

        assert chosen > busy_port
        assert f"port {busy_port} is in use" in capsys.readouterr().err

    def test_the_command_says_it_without_a_trace_and_starts_nothing(self, busy_port):
        folder = default_data_dir(ROOT)
        folder = folder.with_name(f"{folder.name}-serve-{os.getpid()}")

        done = subprocess.run(
            [sys.executable, "-m", "cli", "serve", "--demo", "--port", str(busy_port)],
            cwd=ROOT, env=environment(CITYBILL_DATA_DIR=str(folder)),
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines() == [
            f"refused port {busy_port} is in use: stop what uses it, or choose another --port"
        ]
        assert not (folder / "postgres").exists()
        shutil.rmtree(folder)


def test_a_second_town_in_one_folder_is_refused(tmp_path):
    lock = tmp_path / "serve.lock"
    with (
        serve._only_one(lock),
        pytest.raises(ServerError, match="running from this checkout already"),
        serve._only_one(lock),
    ):
        pass  # the second never gets here
