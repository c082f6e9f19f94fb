import mailbox
import smtplib
from email.message import EmailMessage

import pytest

from tests.simulator.conftest import Simulator


def a_mail(subject: str, text: str = "您好") -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "CityBill <no-reply@citybill.example>"
    mail["To"] = "王小明 <wang@example.com>"
    mail["Subject"] = subject
    mail.set_content(text)
    return mail


def send(simulator: Simulator, mail: EmailMessage | bytes) -> None:
    with smtplib.SMTP("127.0.0.1", simulator.smtp_port) as smtp:
        if isinstance(mail, bytes):
            smtp.sendmail("a@example.com", ["b@example.com"], mail)
        else:
            smtp.send_message(mail)


def write_sms(simulator: Simulator, text: str) -> str:
    """Leave an SMS the way the other process does."""
    sms = EmailMessage()
    sms["To"] = "+86 199 0000 1234"
    sms["X-Channel"] = "sms"
    sms.set_content(text)
    return mailbox.Maildir(str(simulator.data_dir / "inbox")).add(sms)


def key_of(simulator: Simulator, subject: str) -> str:
    messages = simulator.client.get("/inbox.json").json()["messages"]
    return next(str(one["id"]) for one in messages if one["subject"] == subject)


def test_mail_in_page_out(simulator):
    send(simulator, a_mail("您的账单已出", "见 https://citybill.example/bills"))

    listed = simulator.client.get("/inbox").text
    shown = simulator.client.get(f"/inbox/{key_of(simulator, '您的账单已出')}").text

    assert "您的账单已出" in listed
    assert "王小明 &lt;wang@example.com&gt;" in listed
    assert 'href="https://citybill.example/bills"' in shown


def test_the_list_fetches_itself_until_paused(simulator):
    assert 'http-equiv="refresh" content="5"' in simulator.client.get("/inbox").text
    assert "http-equiv" not in simulator.client.get("/inbox?pause=1").text


def test_an_sms_shows_its_code_in_the_list(simulator):
    write_sms(simulator, "您的验证码是 482913")

    listed = simulator.client.get("/inbox").text

    assert "短信 SMS" in listed
    assert "您的验证码是 482913" in listed
    assert simulator.client.get("/inbox.json").json()["messages"][0]["channel"] == "sms"


def test_everything_is_escaped(simulator):
    send(simulator, a_mail("<script>a()</script>", "<img src=x onerror=b()>"))
    write_sms(simulator, "<script>c()</script>")

    listed = simulator.client.get("/inbox").text
    shown = simulator.client.get(f"/inbox/{key_of(simulator, '<script>a()</script>')}").text

    assert "<script>" not in listed + shown
    assert "<img" not in shown


def test_html_stays_in_a_frame_that_runs_nothing(simulator):
    mail = a_mail("网页")
    mail.add_alternative('<p>好</p><script>a()</script>"', subtype="html")
    send(simulator, mail)

    answer = simulator.client.get(f"/inbox/{key_of(simulator, '网页')}")

    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in answer.text
    assert "&lt;script&gt;a()&lt;/script&gt;&#34;" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_attachments_and_the_source_can_be_had(simulator):
    mail = a_mail("收据")
    mail.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="收据.pdf")
    send(simulator, mail)
    path = f"/inbox/{key_of(simulator, '收据')}"

    attachment = simulator.client.get(f"{path}/attachments/0")
    raw = simulator.client.get(f"{path}/raw")

    assert "收据.pdf" in simulator.client.get(path).text
    assert attachment.content == b"%PDF-1.7"
    assert attachment.headers["content-disposition"] == "attachment"
    assert raw.headers["content-type"] == "text/plain; charset=utf-8"
    assert b"X-RcptTo: wang@example.com" in raw.content
    assert simulator.client.get(f"{path}/attachments/1").status_code == 404


@pytest.mark.parametrize(
    "mail",
    [
        b"",
        b"no headers at all",
        b"Subject: =?no-such-charset?B?5L2g?=\r\n\r\nx",
        b"Subject: =?utf-8?B?!!!?=\r\n\r\nx",
        "Subject: 生的八位\r\n\r\n正文".encode(),
        b"Content-Type: text/plain; charset=nonsense\r\n\r\n\xff\xfe",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
        b'Content-Disposition: attachment; filename="../../x"\r\n\r\nx',
    ],
)
def test_a_clumsy_message_is_shown_all_the_same(simulator, mail):
    send(simulator, mail)

    key = simulator.client.get("/inbox.json").json()["messages"][0]["id"]

    assert simulator.client.get("/inbox").status_code == 200
    assert simulator.client.get(f"/inbox/{key}").status_code == 200


@pytest.mark.parametrize("key", ["nope", "..%2F..%2Fsandbox.jsonl", "*", ".", "%00", "1[0-9]*"])
def test_nothing_but_a_message_can_be_asked_for(simulator, key):
    assert simulator.client.get(f"/inbox/{key}/raw").status_code in (404, 405)


def test_only_the_newest_hundred_are_listed(simulator):
    for number in range(105):
        write_sms(simulator, f"短信第{number}条")

    listed = simulator.client.get("/inbox?pause=1").text

    assert listed.count("<li>") == 100
    assert "短信第104条" in listed
    assert "短信第4条" not in listed


def test_the_index_links_the_parts(simulator):
    index = simulator.client.get("/").text

    for path in ("/inbox", "/sandbox", "/utilities"):
        assert f'href="{path}"' in index
        assert simulator.client.get(path).status_code == 200
    assert simulator.client.get("/healthz").json() == {"status": "ok"}
