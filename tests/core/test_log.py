"""No line of the log holds a code, a token or an account number in full."""

import json

import psycopg
import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core import log
from core.db import driver, transaction

SECRETS = {
    "code": "482913",
    "token": "tok-en-value",
    "secret": "sec-ret-value",
    "password": "pass-word-value",
    "authorization": "Bearer auth-value",
    "cookie": "session=cookie-value",
    "signature": "signature-value",
}
PERSONAL = {
    "account_no": "3302000012345678",
    "holder_name": "王小明",
    "name": "欧阳小明",
    "contact": "19912345678",
    "phone": "+8619912345678",
    "email": "wang.xiaoming@example.com",
}


@pytest.fixture(params=[True, False], ids=["json", "console"])
def line(request, capsys):
    """Log something in either rendering; what reached standard output."""
    log.configure(as_json=request.param)

    def said(**facts: object) -> str:
        log.logger("test").info("something", **facts)
        return capsys.readouterr().out

    yield said
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize("key", SECRETS)
def test_a_secret_is_hidden_whole(line, key):
    assert SECRETS[key] not in line(**{key: SECRETS[key]})


@pytest.mark.parametrize("key", PERSONAL)
def test_personal_data_is_masked(line, key):
    assert PERSONAL[key] not in line(**{key: PERSONAL[key]})


def test_what_is_bound_to_the_request_is_masked_too(line):
    with structlog.contextvars.bound_contextvars(account_no="3302000012345678"):
        rendered = line()

    assert "3302000012345678" not in rendered
    assert "5678" in rendered


@pytest.mark.parametrize(
    "nested",
    [
        {"bill": PERSONAL | SECRETS},
        {"bills": [PERSONAL, SECRETS]},
        {"deep": {"deeper": ({"rows": [SECRETS | PERSONAL]},)}},
    ],
    ids=["a fact of a fact", "a list of facts", "far down"],
)
def test_what_is_nested_is_masked_too(line, nested):
    rendered = line(**nested)

    assert [value for value in (SECRETS | PERSONAL).values() if value in rendered] == []


def test_an_account_number_that_is_a_number_is_masked(line):
    assert "3302000012345678" not in line(account_no=3302000012345678)


def test_what_is_no_secret_stays_readable(line):
    rendered = line(task="payments.resolve", amount_fen=8_650)

    assert "payments.resolve" in rendered
    assert "8650" in rendered


def test_one_event_is_one_line_and_holds_the_request(capsys):
    log.configure(as_json=True)
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        log.logger("test").error("失败", reason="a\nb", exc_info=ValueError("x\ny"))
    structlog.reset_defaults()

    out = capsys.readouterr().out

    assert out.count("\n") == 1
    assert json.loads(out)["request_id"] == "r-1"
    assert "失败" in out


@pytest.mark.usefixtures("city")
def test_a_statement_that_failed_does_not_tell_its_values(line):
    with pytest.raises(DBAPIError) as failed, transaction() as session:
        session.execute(
            text("SELECT 1 / 0, CAST(:body AS text), CAST(:contact AS text)"),
            {"body": "验证码 482913", "contact": "19912345678"},
        )

    rendered = line(exc_info=failed.value)

    assert "division by zero" in rendered
    assert "482913" not in rendered
    assert "19912345678" not in rendered


@pytest.mark.usefixtures("city")
def test_what_the_database_refuses_is_not_told_with_its_values(line):
    """Its own words of a refusal hold the key, and of a copy the whole line."""
    enter = text("""
        INSERT INTO person (role, name, contact, locale, created_at)
        SELECT 'resident', '', :contact, 'en', now() FROM generate_series(1, 2)
    """)
    with pytest.raises(DBAPIError) as failed, transaction() as session:
        session.execute(enter, PERSONAL)
    with (
        pytest.raises(psycopg.Error) as copied,
        transaction() as session,
        driver(session).cursor().copy("COPY person (name, contact) FROM STDIN") as rows,
    ):
        rows.write_row((PERSONAL["name"], PERSONAL["contact"]))

    rendered = line(exc_info=failed.value) + line(exc_info=copied.value)

    assert "duplicate key value" in rendered
    assert "violates not-null constraint" in rendered
    assert PERSONAL["contact"] not in rendered
    assert PERSONAL["name"] not in rendered
