/* The bank's pages: running sums of what is ticked, and a CSV's layout only for a CSV. */
(function () {
  "use strict";

  /* Money here is whole fen, as everywhere. */
  function yuan(fen) {
    var digits = String(Math.abs(fen)).padStart(3, "0");
    return (fen < 0 ? "-" : "") + "¥" + digits.slice(0, -2).replace(/\B(?=(\d{3})+$)/g, ",") + "." + digits.slice(-2);
  }

  function sums() {
    var form = document.querySelector("form[data-sum]");
    if (!form) { return; }
    var boxes = Array.prototype.slice.call(form.querySelectorAll("input[data-fen]"));
    var beside = Array.prototype.slice.call(form.querySelectorAll("input[data-also]")); /* entries that came with it */
    var shown = form.querySelector("[data-sums]");
    var button = form.querySelector(".button");
    function add() {
      var ticked = boxes.filter(function (box) { return box.checked; });
      var sum = ticked.reduce(function (total, box) { return total + parseInt(box.dataset.fen, 10); }, 0);
      var entry = beside.reduce(function (total, box) { return total + (box.checked ? parseInt(box.dataset.also, 10) : 0); }, parseInt(form.dataset.sum, 10));
      shown.querySelector("[data-came]").textContent = yuan(entry);
      shown.querySelector("[data-ticked]").textContent = yuan(sum);
      shown.querySelector("[data-left]").textContent = yuan(entry - sum);
      button.disabled = !ticked.length || sum !== entry;
    }
    shown.hidden = false;
    form.addEventListener("change", add);
    window.addEventListener("pageshow", add); /* a browser may bring old ticks back */
    Array.prototype.forEach.call(document.querySelectorAll("[data-choose]"), function (link) {
      link.addEventListener("click", function (event) {
        event.preventDefault();
        var wanted = link.dataset.choose.split(",");
        var others = link.dataset.with.split(",");
        boxes.forEach(function (box) { box.checked = wanted.indexOf(box.value) >= 0; });
        beside.forEach(function (box) { box.checked = others.indexOf(box.value) >= 0; });
        var more = form.querySelector("details.more");
        if (more) { more.open = more.open || !!link.dataset.with; }
        add();
        form.querySelector("[data-reason]").focus();
      });
    });
    add();
  }

  /* Looked for each time: after an upload the form is another one. */
  function layout() {
    var files = document.querySelector("input[type=file][multiple]");
    var field = document.querySelector("[data-csv-only]");
    if (!files || !field) { return; }
    field.hidden = !Array.prototype.some.call(files.files, function (one) { return /\.(csv|txt|tsv)$/i.test(one.name); });
    if (field.hidden) { field.querySelector("select").value = ""; }
  }

  sums();
  layout();
  document.addEventListener("change", function (event) { if (event.target.type === "file") { layout(); } });
  document.addEventListener("focusin", function (event) { if (event.target.tagName === "MAIN") { layout(); } });
})();
