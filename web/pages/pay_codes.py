"""What a payer scans or is sent to."""

from io import BytesIO
from urllib.parse import urlsplit

import segno
from markupsafe import Markup

from billing.documents.barcodes import code_128_svg
from payments.gateways.counter import is_order_code
from web.look import plain_svg


def pay_code_svg(code: str) -> Markup:
    """Draw a QR code that a wallet scans, or bars for a counter; dark on light on every ground."""
    digits = counter_digits(code)
    if digits is not None:
        return plain_svg(code_128_svg(code, label=digits))
    drawn = BytesIO()
    segno.make(code, error="m", micro=False).save(
        drawn, kind="svg", border=4, xmldecl=False, svgns=True, nl=False, svgclass="qr",
        lineclass=None, dark="#000", light="#fff", omitsize=True,
    )  # fmt: skip
    return Markup(drawn.getvalue().decode())  # noqa: S704  our own drawing


def counter_digits(code: str) -> str | None:
    """Return a code for counters in groups that an eye can hold; of another code None."""
    if not is_order_code(code):
        return None
    return " ".join(code[at : at + 3] for at in range(0, len(code), 3))


def pay_origin(url: str) -> str:
    """Return the origin of a gateway's page."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
