"""The house rules a machine can hold, each with its why. ``docs/ARCHITECTURE.md`` has the rest."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

import workers.tasks
from cli.serve import WORKERS
from payments.states import PaymentStatus
from web import look
from workers.app import Queue
from workers.jobs import JOBS
from workers.relay import FOLLOWS
from workers.scheduler import SCHEDULE

ROOT = Path(__file__).parents[1]
ROOMS = sorted({path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"})
WITH_TESTS = [*ROOMS, "bench", "migrations", "tests"]
GENERATED = "migrations/versions"  # written by Alembic, read by hand
REGISTERED = workers.tasks  # importing it registers every job


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def modules(*rooms: str) -> Iterator[tuple[str, Path]]:
    """Yield (path from the root, path) of every module of some rooms."""
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(GENERATED):
                yield name, path


def found(rooms: list[str], wrong: Callable[[ast.AST], bool]) -> dict[str, list[int]]:
    """Return the lines of every module that has something wrong."""
    lines = {
        name: sorted({node.lineno for node in ast.walk(tree(path)) if wrong(node)})  # type: ignore[attr-defined]
        for name, path in modules(*rooms)
    }
    return {name: at for name, at in lines.items() if at}


class TestMoney:
    """Why: a float cannot hold 0.10, and what is a fen off is off in somebody's account. Rule 1."""

    # Points on a page and seconds of patience are no money.
    NO_MONEY: ClassVar = {
        "billing/documents/barcodes.py", "billing/documents/charts.py",
        "billing/documents/fonts.py", "billing/documents/pdf.py",
        "billing/documents/typesetting.py", "providers/clients/http.py",
    }  # fmt: skip

    @staticmethod
    def is_inexact(node: ast.AST) -> bool:
        match node:
            case ast.Constant(value=float() | complex()):
                return True
            case ast.BinOp(op=ast.Div(), left=left, right=right):
                return not any(is_text(side) for side in (left, right))  # a path / "name"
            case ast.AugAssign(op=ast.Div()):
                return True
            case ast.Name(id="float" | "round"):
                return True
            case ast.Attribute(attr="truediv" | "fsum"):
                return True
        return False

    def test_no_float_no_true_division_no_round(self):
        rooms = ["core", "providers", "identity", "billing", "payments"]

        inexact = found(rooms, self.is_inexact)

        assert {name: at for name, at in inexact.items() if name not in self.NO_MONEY} == {}

    def test_no_column_of_the_database_is_inexact(self):
        def is_float_column(node: ast.AST) -> bool:
            return isinstance(node, ast.Name | ast.Attribute) and (
                getattr(node, "id", getattr(node, "attr", "")) in {"Float", "REAL", "Double"}
            )  # fmt: skip

        assert found(ROOMS, is_float_column) == {}

    def test_where_no_money_is_no_money_is_counted(self):
        """An exempt module holds no amount but to show it, through core.money."""

        def adds_up_fen(node: ast.AST) -> bool:
            return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Mult) and any(
                isinstance(side, ast.Name) and side.id.endswith("_fen")
                for side in (node.left, node.right)
            )  # fmt: skip

        lines = found(["billing", "providers"], adds_up_fen)

        assert {name: at for name, at in lines.items() if name in self.NO_MONEY} == {}


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


class TestSizes:
    """Why: what fits a screen is read whole, and what is read whole is understood."""

    def test_a_function_has_at_most_fifty_lines(self):
        long = [
            f"{name}:{node.lineno} {node.name}"
            for name, path in modules(*WITH_TESTS)
            for node in ast.walk(tree(path))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (node.end_lineno or 0) - node.lineno + 1 > 50
        ]

        assert long == []

    def test_a_module_has_at_most_four_hundred_lines_and_a_test_six_hundred(self):
        def limit(name: str) -> int:
            return 600 if name.startswith("tests/") else 400

        long = [
            name
            for name, path in modules(*WITH_TESTS)
            if len(path.read_text(encoding="utf-8").splitlines()) > limit(name)
        ]

        assert long == []


class TestNames:
    """Why: a feature is found by its noun; these names say nothing, so everything ends in them."""

    @pytest.mark.parametrize("word", ["service", "utils", "util", "helpers", "manager", "common"])
    def test_no_module_is_a_drawer_for_anything(self, word):
        parts = re.compile(rf"(^|[/_]){word}s?($|[/_.])")

        assert [name for name, _ in modules(*WITH_TESTS) if parts.search(name)] == []

    def test_every_module_says_what_it_is_for(self):
        """Why: the first line is the map. A package's empty ``__init__`` holds nothing to say."""
        silent = [
            name
            for name, path in modules(*ROOMS, "bench", "migrations")
            if tree(path).body and not ast.get_docstring(tree(path))
        ]

        assert silent == []


class TestErrors:
    """Why: an error caught too widely is a payment that went missing without a word."""

    EDGES: ClassVar = {"web/errors.py", "workers/jobs.py"}  # a failure ends in an answer or a row

    @staticmethod
    def catches_anything(node: ast.AST) -> bool:
        if not isinstance(node, ast.ExceptHandler):
            return False
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        return any(
            kind is None
            or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
            for kind in kinds
        )

    def test_nobody_but_the_edges_catches_everything(self):
        caught = found([*ROOMS, "bench", "migrations"], self.catches_anything)

        assert {name: at for name, at in caught.items() if name not in self.EDGES} == {}


class TestImports:
    """Why: the folders stand in the order the money moves, and each knows only those before it."""

    PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    LINTER = PYPROJECT["tool"]["importlinter"]

    def test_no_import_hides_inside_a_function(self):
        """Why: it hides who knows whom, from the reader and from the contracts."""
        hidden = [
            f"{name}:{inner.lineno}"
            for name, path in modules(*WITH_TESTS)
            for node in ast.walk(tree(path))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for inner in ast.walk(node)
            if isinstance(inner, ast.Import | ast.ImportFrom)
            or (isinstance(inner, ast.Call) and getattr(inner.func, "id", "") == "__import__")
        ]

        assert hidden == []

    def test_the_contracts_name_every_room(self):
        assert sorted(self.LINTER["root_packages"]) == sorted(set(ROOMS) - {"migrations"})

    def test_the_order_of_the_rooms_has_a_place_for_each(self):
        layers = next(one for one in self.LINTER["contracts"] if one["type"] == "layers")["layers"]
        placed = [room.strip() for layer in layers for room in layer.split("|")]

        assert sorted(placed) == sorted(set(ROOMS) - {"migrations"})

    def test_the_framework_free_rooms_are_all_but_the_edges(self):
        edges = {"web", "workers", "cli", "simulator", "migrations"}
        contract = next(
            one for one in self.LINTER["contracts"] if "fastapi" in one.get("forbidden_modules", [])
        )

        assert sorted(contract["source_modules"]) == sorted(set(ROOMS) - edges)

    def test_no_contract_has_an_exception(self):
        assert [one["name"] for one in self.LINTER["contracts"] if one.get("ignore_imports")] == []

    def test_types_are_checked_in_every_room(self):
        assert set(ROOMS) - {"migrations"} <= set(self.PYPROJECT["tool"]["mypy"]["packages"])

    def test_every_room_is_packed(self):
        packed = self.PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]

        assert [room for room in ROOMS if f"{room}*" not in packed] == []


class TestTransactions:
    """Why: who commits in the middle publishes half of a change, and its events with it."""

    MAY: ClassVar = {
        "core/db.py",
        "migrations/env.py",  # ends the transaction that sets the timeouts
    }

    @staticmethod
    def ends_a_transaction(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"commit", "begin"}
        )

    def test_nobody_but_core_db_commits(self):
        ended = found([*ROOMS, "migrations"], self.ends_a_transaction)

        assert {name: at for name, at in ended.items() if name not in self.MAY} == {}

    def test_only_those_who_ring_hand_a_task_to_celery(self):
        """Why: a task sent from inside a transaction runs before its commit, or without one."""

        def sends(node: ast.AST) -> bool:
            return isinstance(node, ast.Attribute) and node.attr in {
                "delay", "apply_async", "send_task",
            }  # fmt: skip

        assert set(found(ROOMS, sends)) <= {"workers/relay.py", "workers/lanes.py"}


class TestTime:
    """Why: a day is the city's, and who reads the clock cannot be asked about yesterday."""

    def test_nobody_makes_a_day_but_the_clock(self):
        def makes_a_day(node: ast.AST) -> bool:
            return (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"date", "today"}
                and not node.args
            )

        rooms = [
            "core",
            "identity",
            "billing",
            "payments",
            "notifications",
            "support",
            "workers",
            "web",
        ]
        made = found(rooms, makes_a_day)

        assert {name: at for name, at in made.items() if name != "core/clock.py"} == {}

    def test_the_money_rooms_take_now_and_never_read_it(self):
        def reads_the_clock(node: ast.AST) -> bool:
            return (isinstance(node, ast.Name) and node.id == "utc_now") or (
                isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow"}
                and isinstance(node.value, ast.Name) and node.value.id == "datetime"
            )  # fmt: skip

        read = found(["core", "providers", "identity", "billing"], reads_the_clock)

        assert {name: at for name, at in read.items() if name != "core/clock.py"} == {}


class TestNews:
    """Why: an event nobody lists stops the relay, and a job nobody registered dies on its row."""

    # What a topic made of pieces can become.
    MADE: ClassVar = {"payment.{payment.status}": (PaymentStatus.REFUSED, PaymentStatus.EXPIRED)}

    @classmethod
    def topics(cls) -> set[str]:
        said: set[str] = set()
        for _, path in modules(*ROOMS):
            for node in ast.walk(tree(path)):
                if not isinstance(node, ast.Call):
                    continue
                if ast.unparse(node.func) in {"outbox.emit", "emit"}:
                    said |= cls.spoken(node)
                if ast.unparse(node.func) == "outbox.Event":
                    assert isinstance(node.args[0], ast.Constant), node.lineno
                    said.add(str(node.args[0].value))
        return said

    @classmethod
    def spoken(cls, call: ast.Call) -> set[str]:
        named = [keyword.value for keyword in call.keywords if keyword.arg == "topic"]
        topic = named[0] if named else call.args[1]
        if isinstance(topic, ast.Constant):
            return {str(topic.value)}
        pattern = ast.unparse(topic).removeprefix("f").strip("'\"")
        assert pattern in cls.MADE, f"line {call.lineno}: say in MADE what {pattern} can become"
        return {re.sub(r"\{.*?\}", str(piece), pattern) for piece in cls.MADE[pattern]}

    def test_what_is_announced_is_what_the_relay_follows(self):
        assert self.topics() == set(FOLLOWS)

    def test_a_topic_is_a_noun_and_a_past_participle(self):
        assert [one for one in FOLLOWS if not re.fullmatch(r"[a-z_]+\.[a-z_]+", one)] == []

    def test_every_follower_is_a_job_and_every_job_is_asked_for(self):
        followers = {task for tasks in FOLLOWS.values() for task in tasks}

        assert followers | set(SCHEDULE) == set(JOBS)

    def test_every_job_has_a_queue(self):
        assert {name.partition(".")[0] for name in JOBS} <= set(Queue)

    def test_serve_listens_to_every_queue(self):
        heard = [one for _, queues, _ in WORKERS for one in queues.split(",")]

        assert sorted(heard) == sorted(Queue)

    def test_docker_compose_listens_to_every_queue(self):
        composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
        heard: set[str] = set()
        for service in composed["services"].values():
            command = service.get("command") or ""
            line = command if isinstance(command, str) else " ".join(map(str, command))
            if "celery" in line:
                heard |= set(
                    re.findall(r"[a-z_]+", re.search(r"(?:--queues|-Q)[ =](\S+)", line)[1])
                )

        assert heard == set(Queue)


def test_every_sentence_is_spoken_in_chinese():
    """Why: half a page in another language looks like a fraud to the resident who sees it."""
    assert look.missing_translations("zh_CN") == []


class TestRules:
    """Why: what a naive system gets wrong is numbered; a number without a test is a hope."""

    BILLS_AND_MONEY: ClassVar = {*range(1, 25), 36, 38, 39, 40}

    @staticmethod
    def named() -> set[int]:
        """Return the numbers tests name: "rule 8", "Rules 12 and 13", "rules 14, 29"."""
        numbers = re.compile(r"rules? (\d+(?:(?:, | and |, and )\d+)*)", re.IGNORECASE)
        return {
            int(number)
            for _, path in modules("tests")
            for listed in numbers.findall(path.read_text(encoding="utf-8"))
            for number in re.findall(r"\d+", listed)
        }

    def test_every_rule_of_bills_and_money_is_held_by_a_test_that_names_it(self):
        assert self.BILLS_AND_MONEY - self.named() == set()
