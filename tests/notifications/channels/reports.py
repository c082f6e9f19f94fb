"""Delivery status notifications as a mail server writes them, from RFC 3464 and 6522 alone.

Our Message-ID is marked as docs/notices.md says: the first sixteen hexadecimal digits of an
HMAC-SHA256 of the notice's id under the shared token.
"""

import hashlib
import hmac

TOKEN = "a token of our own mail server"
_REPORT = """\
Return-Path: <>\r
From: MAILER-DAEMON@mx.citybill.example (Mail Delivery System)\r
To: no-reply@citybill.example\r
Subject: Undelivered Mail Returned to Sender\r
Auto-Submitted: auto-replied\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status;\r
\tboundary="9B095B5ADSN=_01DC5B"\r
\r
This is a MIME-encapsulated message.\r
\r
--9B095B5ADSN=_01DC5B\r
Content-Description: Notification\r
Content-Type: text/plain; charset=us-ascii\r
\r
<wang@example.com>: host mx.example.com said: 550 5.1.1 unknown\r
\r
--9B095B5ADSN=_01DC5B\r
Content-Description: Delivery report\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; mx.citybill.example\r
Arrival-Date: Sat, 21 Nov 2026 09:00:00 +0800\r
\r
{recipients}--9B095B5ADSN=_01DC5B\r
Content-Type: {returned}\r
\r
Received: from worker by mx.citybill.example\r
From: no-reply@citybill.example\r
To: wang@example.com\r
Message-ID: {message_id}\r
Subject: a notice\r
\r
--9B095B5ADSN=_01DC5B--\r
"""
_RECIPIENT = """\
Final-Recipient: rfc822; wang@example.com\r
Original-Recipient: rfc822;wang@example.com\r
Action: {action}\r
Status: {status}\r
Remote-MTA: dns; mx.example.com\r
Diagnostic-Code: smtp; 550 5.1.1 <wang@example.com> unknown\r
Last-Attempt-Date: {at}\r
\r
"""


def marked_id(ref: str, token: str = TOKEN) -> str:
    tag = hmac.new(token.encode(), ref.encode(), hashlib.sha256).hexdigest()[:16]
    return f"<{ref}.{tag}@citybill.example>"


def a_report(
    ref: str = "notice-7",
    *,
    action: str = "failed",
    status: str = "5.1.1",
    at: str = "Sat, 21 Nov 2026 09:00:05 +0800",
    returned: str = "text/rfc822-headers",
    message_id: str = "",
) -> bytes:
    """Return a report about one recipient, or one for each word of ``action``."""
    recipients = "".join(
        _RECIPIENT.format(action=each, status=status, at=at) for each in action.split()
    )
    return _REPORT.format(
        recipients=recipients, returned=returned, message_id=message_id or marked_id(ref)
    ).encode()
