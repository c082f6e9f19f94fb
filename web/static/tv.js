/* The remote control, for boxes of any age: ES5, nothing borrowed. Without it every page still works by links. */
(function () {
  "use strict";
  var DIM_MS = 60000, actions = {}, box, name, codes, i, dimmed = null;

  for (box in CITYBILL_KEYS) {
    for (name in CITYBILL_KEYS[box]) {
      codes = CITYBILL_KEYS[box][name];
      for (i = 0; i < codes.length; i += 1) { actions[codes[i]] = name; }
    }
  }

  function all() {
    return document.querySelectorAll("a[href], button");
  }

  function middle(one) {
    var box = one.getBoundingClientRect();
    return { x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2, box: box };
  }

  /* How far something lies in a direction: straight on first, what is off the line later; null if it is not there. */
  function distance(from, to, direction) {
    var along, across;
    if (direction === "up" || direction === "down") {
      along = direction === "down" ? to.box.top - from.box.bottom : from.box.top - to.box.bottom;
      across = Math.max(0, Math.max(from.box.left, to.box.left) - Math.min(from.box.right, to.box.right));
    } else {
      along = direction === "right" ? to.box.left - from.box.right : from.box.left - to.box.right;
      across = Math.max(0, Math.max(from.box.top, to.box.top) - Math.min(from.box.bottom, to.box.bottom));
    }
    return along < -1 ? null : along + across * 3 + (Math.abs(from.x - to.x) + Math.abs(from.y - to.y)) / 1000;
  }

  function move(direction) {
    var here = document.activeElement, found = all(), best = null, least = null, from, far, at;
    if (!here || here === document.body) { first(); return; }
    from = middle(here);
    for (at = 0; at < found.length; at += 1) {
      if (found[at] !== here) {
        far = distance(from, middle(found[at]), direction);
        if (far !== null && (least === null || far < least)) { least = far; best = found[at]; }
      }
    }
    if (best) { best.focus(); }
  }

  /* Where the focus begins: where it was when this page was left, else on what the page says. */
  function first() {
    var found = all(), kept = null, at;
    try { kept = window.sessionStorage.getItem("tv " + location.pathname + location.search); } catch (_refused) { kept = null; }
    for (at = 0; at < found.length; at += 1) {
      if (kept !== null && String(at) === kept) { found[at].focus(); return; }
    }
    (document.querySelector("[data-first]") || found[0] || document.body).focus();
  }

  function remember() {
    var found = all(), at;
    for (at = 0; at < found.length; at += 1) {
      if (found[at] === document.activeElement) {
        try { window.sessionStorage.setItem("tv " + location.pathname + location.search, String(at)); } catch (_refused) { /* it begins anew */ }
      }
    }
  }

  function turn(way) {
    var found = document.querySelector("[data-turn=" + way + "]");
    if (found) { found.click(); }
  }

  function wake() {
    document.body.className = document.body.className.replace(" is-dim", "");
    window.clearTimeout(dimmed);
    dimmed = window.setTimeout(function () { document.body.className += " is-dim"; }, DIM_MS);
  }

  function act(code) {
    var what = actions[code];
    wake();
    if (!what) { return false; }
    if (what === "ok") {
      remember();
      if (document.activeElement && document.activeElement !== document.body) { document.activeElement.click(); }
    } else if (what === "back") {
      location.href = document.body.getAttribute("data-back");
    } else if (what === "pageUp" || what === "pageDown") {
      turn(what === "pageUp" ? "before" : "after");
    } else if (what === "red" || what === "green" || what === "yellow" || what === "blue") {
      return false;
    } else {
      move(what);
    }
    return true;
  }

  /* Some boxes tell of a key only when it is pressed down, some only when it has been typed. */
  var told = 0;
  document.onkeydown = function (event) {
    var key = event || window.event, done = act(key.keyCode || key.which);
    if (done) { told = key.keyCode || key.which; }
    return !done;
  };
  document.onkeypress = function (event) {
    var key = event || window.event, code = key.keyCode || key.which;
    if (code === 768) { return true; } /* the box talks of itself */
    if (told) { told = 0; return false; }
    return !act(code);
  };
  document.onkeyup = function () { told = 0; };

  window.onload = function () { first(); wake(); };
})();
