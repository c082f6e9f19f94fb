"""What the payer holds, told from what their browser says of itself."""

import re

from payments.gateways.base import Scene

_WECHAT = re.compile(r"MicroMessenger", re.IGNORECASE)
_SCREEN = re.compile(r"SmartTV|SMART-TV|Android TV|GoogleTV|HbbTV|Tizen.+TV|Web0S", re.IGNORECASE)
_PHONE = re.compile(r"Mobi|Android|iPhone|iPod|HarmonyOS|AlipayClient", re.IGNORECASE)


def scene_of(user_agent: str) -> Scene:
    """Guess the scene; what is not known is a desk, which takes the least for granted.

    It is never IN_APP: for that the wallet must tell who pays, which only an app inside it can.
    Inside WeChat a page may not lead to its own cashier, so there a code is shown, as at a desk.
    """
    if _WECHAT.search(user_agent):
        return Scene.DESKTOP
    if _SCREEN.search(user_agent):
        return Scene.SCREEN
    return Scene.PHONE if _PHONE.search(user_agent) else Scene.DESKTOP
