"""What the documents name is there: pages, files, names, commands, targets, routes, settings."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import typer.main
from fastapi.routing import iter_route_contexts
from sqlmodel import SQLModel

from cli.main import app as command_line
from core.settings import Settings
from tests.test_house import ROOMS, ROOT, WITH_TESTS, modules, tree
from web.app import create_app
from workers.jobs import JOBS

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
FOLDERS = "|".join([*WITH_TESTS, "docs"])
FILE = re.compile(rf"(?<![\w./@-])(?:(?:{FOLDERS})/[\w./*-]*[\w*/]|[\w/]+\.py)(?!\w)")
DOTTED = re.compile(r"([a-z_]+)((?:\.[A-Za-z_]+)+)(?:\(\))?")
COMMAND = re.compile(
    r"(?:^ *|/|  )citybill((?: [a-z][a-z-]*(?!\S))+)((?:(?!  citybill)[^#\n])*)", re.MULTILINE
)
TARGET = re.compile(r"^ *make ([a-z]+)", re.MULTILINE)
ROUTE = re.compile(r"(?:(GET|POST|PUT|PATCH|DELETE) |http://127.0.0.1:8000)(/api/v1/[^\s?`\"]+)")
SETTING = re.compile(r"CITYBILL_[A-Z0-9_]*[A-Z0-9]")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def code_of(page: Path) -> tuple[str, ...]:
    """Return what stands in backticks on a page, its blocks of code, and its lines of it."""
    text = page.read_text(encoding="utf-8")
    spans = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    return *spans, *FENCE.findall(text), *re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)


def said() -> Iterator[tuple[str, str]]:
    """Yield (page, code on it)."""
    for page in PAGES:
        for code in code_of(page):
            yield name_of(page), code


class TestLinks:
    LINK = re.compile(r"\]\(([^)\s]+)\)")

    @staticmethod
    def anchors(page: Path) -> set[str]:
        """Return the anchors of a page's headings, made as GitHub makes them."""
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_every_link_leads_somewhere(self, page):
        dead = []
        for link in self.LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if "://" not in link and (
                not target.exists() or (anchor and anchor not in self.anchors(target))
            ):
                dead.append(link)

        assert dead == []

    def test_the_pages_that_code_sends_its_reader_to_are_there(self):
        named = re.compile(r"docs/[\w/.-]+\.md")

        dead = [
            f"{name}: {page}"
            for name, path in modules(*WITH_TESTS)
            for page in named.findall(path.read_text(encoding="utf-8"))
            if not (ROOT / page).exists()
        ]

        assert dead == []

    def test_every_page_of_docs_is_reached_from_another(self):
        linked = {
            (page.parent / link.partition("#")[0]).resolve()
            for page in PAGES
            for link in self.LINK.findall(page.read_text(encoding="utf-8"))
        }

        assert [name_of(page) for page in PAGES if page not in linked | {ROOT / "README.md"}] == []


class TestCode:
    """Files, modules and names that pages speak of."""

    FILES = frozenset(
        path.relative_to(ROOT).as_posix()
        for folder in [*WITH_TESTS, "docs"]
        for path in (ROOT / folder).rglob("*")
    )
    # Words of others (gateways, companies, standards), and of the past.
    THEIRS = ("docs/wire/", "docs/standards.md", "docs/adr/")

    @classmethod
    def is_there(cls, file: str) -> bool:
        if file.partition("/")[0] in [*WITH_TESTS, "docs"]:
            return any(ROOT.glob(file.replace("CODE", "*").rstrip("/")))
        return any(f"/{one}".endswith(f"/{file}") for one in cls.FILES)

    def test_every_file_is_there(self):
        gone = [
            f"{page}: {file}"
            for page, code in said()
            for file in FILE.findall(code)
            if not self.is_there(file)
        ]

        assert "\n".join(gone) == ""

    def test_every_process_is_there(self):
        gone = [
            f"{page}: python -m {module}"
            for page, code in said()
            for module in re.findall(r"python -m ([a-z_.]+)", code)
            if find_spec(module) is None
        ]

        assert "\n".join(gone) == ""

    @staticmethod
    @cache
    def names() -> frozenset[str]:
        """Return module.name of whatever has a name, table.column, the keys of terms, and text.

        Text is what is written out somewhere: jobs, events, codes of errors. That docs/terms.md
        names the keys there are, its own test says.
        """
        known = {*JOBS, *code_of(ROOT / "docs" / "terms.md")}
        for _, path in modules(*WITH_TESTS):
            stem = path.stem if path.stem != "__init__" else path.parent.name
            for node in ast.walk(tree(path)):
                match node:
                    case ast.FunctionDef(name=said) | ast.ClassDef(name=said) | ast.Name(id=said):
                        known.add(f"{stem}.{said}")
                    case ast.Constant(value=str(said)):
                        known.add(said)
        for table in SQLModel.metadata.tables.values():
            known |= {f"{table.name}.{column.name}" for column in table.columns}
        return frozenset(known)

    def test_every_name_with_a_room_resolves(self):
        gone = []
        for page, code in said():
            dotted = DOTTED.fullmatch(code)
            if dotted and dotted[1] in ROOMS and dotted[1] + dotted[2] not in JOBS:
                try:
                    resolve_name(dotted[1] + dotted[2])
                except (ImportError, AttributeError):
                    gone.append(f"{page}: {code}")

        assert "\n".join(gone) == ""

    def test_every_name_with_a_module_or_table_is_ours(self):
        known = self.names()
        firsts = {name.partition(".")[0] for name in known}

        gone = [
            f"{page}: {code}"
            for page, code in said()
            if (dotted := DOTTED.fullmatch(code))
            and not page.startswith(self.THEIRS)
            and dotted[1] in firsts - set(ROOMS)
            and not re.search(r"\.(py|txt|csv|chk|ack|part)$", code)
            and dotted[1] + dotted[2] not in known
        ]

        assert "\n".join(gone) == ""


class TestGlossary:
    PAGE = ROOT / "docs" / "glossary.md"

    def test_every_class_is_ours_and_has_what_is_named_of_it(self):
        ours = set()
        for _, path in modules(*ROOMS):
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.ClassDef):
                    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
                    ours |= {node.name, *(f"{node.name}.{name}" for name in names)}
                elif isinstance(node, ast.Assign):  # the name of a type
                    ours |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        named = re.compile(r"(?:[A-Z][a-z]+)+(\.\w+)?")

        gone = [one for one in code_of(self.PAGE) if named.fullmatch(one) and one not in ours]

        assert gone == []

    def test_its_words_stand_in_order_and_once(self):
        rows = re.findall(r"^\| ([^|]+) \|", self.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        words = [row.strip("*").lower() for row in rows[1:]]  # below the heading

        assert words == sorted(set(words))


class TestCommands:
    """What pages tell their reader to type, ask and set."""

    SEALED = "citybill ledger day 1"  # no command: how the text begins that a seal is of

    @staticmethod
    def missing(words: list[str], options: list[str]) -> str | None:
        """Return the first word or option that the command line does not know."""
        command: Any = typer.main.get_command(command_line)
        while words and hasattr(command, "get_command"):
            inner = command.get_command(None, words[0])
            if inner is None:
                return words[0]
            command, words = inner, words[1:]
        known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
        return next((one for one in options if one.partition("=")[0] not in known), None)

    def test_every_command_is_there(self):
        gone = [
            f"{page}: {words.strip()}: {missing}"
            for page, code in said()
            for words, rest in COMMAND.findall(code.replace("\\\n", "").replace(self.SEALED, ""))
            if (
                missing := self.missing(
                    words.split(), [one for one in rest.split() if one.startswith("--")]
                )
            )
        ]

        assert "\n".join(gone) == ""

    def test_every_target_is_there(self):
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

        gone = [
            f"{page}: make {target}"
            for page, code in said()
            for target in TARGET.findall(code)
            if target not in targets
        ]

        assert "\n".join(gone) == ""

    def test_every_route_is_there(self):
        known = [
            (method, re.sub(r"\{[^}]+\}", "[^/]+", route.path) + "/?")
            for route in iter_route_contexts(create_app().routes)
            for method in getattr(route, "methods", None) or ()
        ]

        gone = [
            f"{page}: {method} {path}"
            for page, code in said()
            for method, path in ROUTE.findall(code)
            if not any(method in ("", verb) and re.fullmatch(ours, path) for verb, ours in known)
        ]

        assert "\n".join(gone) == ""

    def test_every_setting_is_there(self):
        known = {f"CITYBILL_{field.upper()}" for field in Settings.model_fields}
        known |= {"CITYBILL_REQUIRE_ALL"}  # of the tests

        gone = [
            f"{page}: {setting}"
            for page, code in said()
            for setting in SETTING.findall(code)
            if setting.partition("__")[0] not in known
        ]

        assert "\n".join(gone) == ""
