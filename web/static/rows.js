/* Keys for lists of rows: the next, the previous, open, tick, filter, back. Pages do all they must without this file. */
(function () {
  "use strict";
  var rows = Array.prototype.slice.call(document.querySelectorAll("[data-row]"));
  var keys = document.querySelector("[data-keys]");
  var reason = document.querySelector("[data-reason]");

  var sums = document.querySelector("[data-sum]"); /* rows are ticked there to make up a sum */

  function link(row) { return sums && box(row) ? box(row) : row.querySelector("a"); }
  function box(row) { return row && row.querySelector("input[type=checkbox]"); }
  function current() { return rows.filter(function (row) { return row.contains(document.activeElement); })[0]; }

  /* Whoever adds up what is ticked hears of it. */
  function tick(one, on) { one.checked = on; count(); one.dispatchEvent(new Event("change", { bubbles: true })); }

  function step(by) {
    var row = rows[rows.indexOf(current()) + by] || (current() ? null : rows[by > 0 ? 0 : rows.length - 1]);
    if (row) { link(row).focus(); row.scrollIntoView({ block: "nearest" }); }
  }
  function accept() {
    var yes = current() && current().querySelector("[data-approve]");
    if (yes) { yes.focus(); return; }
    var ticked = box(current());
    var choice = document.querySelector("[data-accept]");
    if (ticked && !(sums && sums.querySelector("input:checked"))) { tick(ticked, true); }
    if (choice) { choice.checked = true; }
    if (reason && (choice || ticked || rows.some(function (row) { return box(row) && box(row).checked; }))) { reason.focus(); }
  }
  function give() {
    var ticked = box(current());
    var owner = document.querySelector("[data-owner]");
    if (ticked && owner) { tick(ticked, true); }
    if (owner) { owner.focus(); }
  }
  function back() {
    var home = document.querySelector("[data-back]");
    if (home) { home.click(); }
  }
  var acts = {
    j: function () { step(1); },
    k: function () { step(-1); },
    x: function () { var one = box(current()); if (one) { tick(one, !one.checked); } },
    a: accept,
    e: give,
    u: back,
    "/": function () { var first = document.querySelector("[data-filter]"); if (first) { first.focus(); } },
    "?": function () { if (keys) { keys.open = !keys.open; keys.querySelector("summary").focus(); } }
  };

  /* Enter opens by itself: the link is focused. */
  document.addEventListener("keydown", function (event) {
    var typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox" && event.target.type !== "radio";
    if (event.key === "Escape" && typing) { event.target.blur(); if (rows.length) { step(1); } return; }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !acts[event.key]) { return; }
    event.preventDefault();
    acts[event.key]();
  });

  var all = document.querySelector("[data-all]");
  var boxes = rows.map(box).filter(Boolean);
  function count() { if (all) { all.hidden = boxes.length < 2 || boxes.every(function (one) { return one.checked; }); } }
  if (all) {
    all.addEventListener("click", function () { boxes.forEach(function (one) { one.checked = true; }); count(); if (reason) { reason.focus(); } });
    document.addEventListener("change", count);
    count();
  }
})();
