/* What the keys of remote controls send (event.keyCode), by box; all are listened to at once.
   Colours only repeat what a button on the page does, so no page depends on them. */
var CITYBILL_KEYS = {
  "Shanghai SMG IPTV": { up: [38], down: [40], left: [37], right: [39], ok: [13], back: [8, 24], pageUp: [33], pageDown: [34], red: [275], green: [276], yellow: [277], blue: [278] },
  "iPanel": { up: [1], down: [2], left: [3], right: [4], ok: [13], back: [340, 339], pageUp: [372], pageDown: [373] },
  "Enrich": { up: [87], down: [83], left: [65], right: [68], ok: [13], back: [8, 27], pageUp: [306], pageDown: [307], red: [320], green: [321], yellow: [322], blue: [323] },
  "DVN, Coship": { up: [38], down: [40], left: [37], right: [39], ok: [13], back: [640], pageUp: [120], pageDown: [121] },
  "Inspur": { up: [38], down: [40], left: [37], right: [39], ok: [13], back: [8, 27], pageUp: [33], pageDown: [34] },
  "DTH": { up: [38], down: [40], left: [37], right: [39], ok: [13], back: [27, 197], pageUp: [4174], pageDown: [4173] },
  "HbbTV": { up: [38], down: [40], left: [37], right: [39], ok: [13], back: [461], red: [403], green: [404], yellow: [405], blue: [406] },
  "webOS": { up: [38], down: [40], left: [37], right: [39], ok: [13], back: [461], pageUp: [33], pageDown: [34], red: [403], green: [404], yellow: [405], blue: [406] },
  "Tizen": { up: [38], down: [40], left: [37], right: [39], ok: [13], back: [10009], pageUp: [427], pageDown: [428], red: [403], green: [404], yellow: [405], blue: [406] }
};
