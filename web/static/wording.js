/* Counts the messages a short form takes while it is written. The page says the same once it is saved. */
(function () {
  "use strict";
  var ALPHABET = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
  var ESCAPED = "\f^{}\\[~]|€";
  var area = document.querySelector("[data-counting]");
  var said = document.querySelector("[data-count]");
  if (!area || !said) { return; }
  var given = JSON.parse(area.getAttribute("data-counting"));
  var sentence = said.textContent;

  /* As notifications/segments.py: widths of the characters, then whole characters into parts. */
  function segments(text) {
    var widths = Array.from(text, function (char) { return ALPHABET.indexOf(char) >= 0 ? 1 : ESCAPED.indexOf(char) >= 0 ? 2 : 0; });
    var encoding = "GSM-7", alone = 160, several = 153;
    if (widths.indexOf(0) >= 0) {
      encoding = "UCS-2"; alone = 70; several = 67;
      widths = Array.from(text, function (char) { return char.length; });
    }
    var units = widths.reduce(function (sum, width) { return sum + width; }, 0);
    if (units <= alone) { return { encoding: encoding, units: units, parts: 1, left: alone - units }; }
    var parts = 1, filled = 0;
    widths.forEach(function (width) {
      if (filled + width > several) { parts += 1; filled = 0; }
      filled += width;
    });
    return { encoding: encoding, units: units, parts: parts, left: several - filled };
  }
  function count() {
    var body = area.value.trim().replace(/\{([a-z_]+)\}/g, function (whole, place) { return place in given.values ? given.values[place] : whole; });
    if (given.latin) { body = body.split(" · ").join(", "); }
    var text = given.signature + body, linked = segments(text + " " + given.link);
    var found = linked.parts <= 2 ? linked : segments(text);
    said.textContent = sentence.replace("#", found.parts).replace("%", found.units).replace("~", found.encoding).replace("^", found.left);
    said.hidden = false;
  }
  area.addEventListener("input", count);
  count();
}());
