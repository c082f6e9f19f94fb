/* Small comforts. Every page does all it must without this file. */
(function () {
  "use strict";
  var root = document.documentElement;

  /* What needs scripts is shown by the style sheet from the first picture on: later, it would push the page down. */
  var speech = window.SpeechSynthesisUtterance && window.speechSynthesis;
  root.dataset.scripts = "";
  if (speech) { root.dataset.speech = ""; }

  /* Light or dark: remembered on this device only, set before the page is drawn. */
  function recall(key) { try { return localStorage.getItem(key); } catch (_refused) { return null; } }
  function remember(key, value) { try { localStorage.setItem(key, value); } catch (_refused) { /* a private window */ } }
  if (/^(light|dark)$/.test(recall("theme") || "")) { root.dataset.theme = recall("theme"); }
  /* The page that is kept for when there is no network was made for nobody: it learns the edition here. */
  if (/(^|; )citybill_edition=elder/.test(document.cookie)) { root.dataset.edition = "elder"; }

  function display() {
    var shade = document.querySelector("[data-shade]");
    if (shade) {
      shade.addEventListener("click", function () {
        var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
        root.dataset.theme = dark ? "light" : "dark";
        remember("theme", root.dataset.theme);
      });
    }
  }

  /* The page read aloud, piece by piece, the piece being read marked; what is folded away is left out. */
  function readAloud() {
    var button = document.querySelector("[data-read]");
    var main = document.getElementById("main");
    if (!button || !main || !speech) { return; }
    var label = button.querySelector("span"), start = label.textContent;
    function say(words) { label.textContent = words; button.setAttribute("aria-label", words); }
    function mark(piece, on) { if (piece) { piece.classList.toggle("is-read", on); } }
    function stop(piece) {
      mark(piece, false);
      button.setAttribute("aria-pressed", "false");
      say(start);
    }
    function pieces() {
      return Array.prototype.filter.call(main.querySelectorAll("h1, h2, h3, p, li, dt, dd, th, td, legend, label, .button"), function (one) {
        return one.getClientRects().length && one.innerText.trim() && !one.querySelector("h2, h3, p, li, dt, td, label");
      });
    }
    function read(left) {
      var piece = left.shift();
      if (!piece) { stop(null); return; }
      var words = new SpeechSynthesisUtterance(piece.innerText.trim());
      words.lang = (piece.closest("[lang]") || root).lang;
      words.rate = 0.9;
      words.onend = function () { mark(piece, false); if (button.getAttribute("aria-pressed") === "true") { read(left); } };
      words.onerror = function () { stop(piece); };
      mark(piece, true);
      piece.scrollIntoView({ block: "nearest" });
      speech.speak(words);
    }
    button.addEventListener("click", function () {
      var on = button.getAttribute("aria-pressed") !== "true";
      speech.cancel();
      if (!on) { stop(main.querySelector(".is-read")); return; }
      button.setAttribute("aria-pressed", "true");
      say(button.dataset.stop);
      read(pieces());
    });
    window.addEventListener("pagehide", function () { speech.cancel(); });
  }

  /* Money here is whole fen, as everywhere. */
  function yuan(fen) {
    var digits = String(fen).padStart(3, "0");
    return "¥" + digits.slice(0, -2).replace(/\B(?=(\d{3})+$)/g, ",") + "." + digits.slice(-2);
  }

  function runningTotal() {
    var form = document.querySelector("[data-due]");
    if (!form) { return; }
    var boxes = Array.prototype.slice.call(form.querySelectorAll("input[data-fen]"));
    var sum = form.querySelector("[data-sum] .amount");
    var count = form.querySelector("[data-count]");
    var pay = form.querySelector(".pay-bar .button");
    var all = form.querySelector("[data-all]");
    function add() {
      var ticked = boxes.filter(function (box) { return box.checked; });
      sum.textContent = yuan(ticked.reduce(function (total, box) { return total + parseInt(box.dataset.fen, 10); }, 0));
      count.textContent = ticked.length;
      pay.disabled = ticked.length === 0;
      all.textContent = ticked.length ? all.dataset.none : all.dataset.every;
    }
    all.hidden = boxes.length < 2;
    all.addEventListener("click", function () {
      var tick = !boxes.some(function (box) { return box.checked; });
      boxes.forEach(function (box) { box.checked = tick; });
      add();
    });
    form.addEventListener("change", add);
    window.addEventListener("pageshow", add); /* a browser may bring old ticks back */
    add();
  }

  /* What somebody has typed or ticked and not sent: it is not thrown away. */
  function typedIn(main) {
    return Array.prototype.some.call(main.querySelectorAll("input, textarea"), function (one) {
      return one.value !== one.defaultValue || one.checked !== one.defaultChecked;
    });
  }

  /* A payment under way: fetch the page again and put its <main> in place when it says something new. */
  function follow() {
    var main = document.querySelector("main[data-refresh-seconds]");
    if (!main || !window.fetch || !window.DOMParser) { return; }
    window.setTimeout(function () {
      if (document.hidden) { follow(); return; }
      fetch(location.href, { credentials: "same-origin", headers: { Accept: "text/html" } })
        .then(function (answer) { return answer.ok ? answer.text() : Promise.reject(answer.status); })
        .then(function (text) {
          var fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
          if (fresh && fresh.innerHTML !== main.innerHTML && !typedIn(main)) {
            var held = main.contains(document.activeElement);
            main.replaceWith(document.adoptNode(fresh));
            if (held) { fresh.focus({ preventScroll: true }); }
          }
        })
        .catch(function () { /* the next round tries again */ })
        .then(follow);
    }, 1000 * parseInt(main.dataset.refreshSeconds, 10));
  }

  /* "/" goes to the console's search, unless the page has its own use for that key. */
  function quick() {
    var box = document.querySelector("[data-quick]");
    if (!box || document.querySelector("[data-filter]")) { return; }
    document.addEventListener("keydown", function (event) {
      var typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); box.focus(); }
    });
  }

  /* A large file: show how far it is. The server's answer is shown as it would be without us. */
  function upload(form) {
    var box = form.querySelector("[data-progress]");
    if (!box || !window.FormData) { return; }
    var bar = box.querySelector("progress");
    var words = box.querySelector("[data-words]");
    form.addEventListener("submit", function (event) {
      event.preventDefault();
      var button = form.querySelector(".button");
      var request = new XMLHttpRequest();
      button.disabled = true;
      box.hidden = false;
      request.upload.addEventListener("progress", function (sent) {
        if (!sent.lengthComputable) { return; }
        bar.value = Math.floor(100 * sent.loaded / sent.total);
        words.textContent = words.dataset.words + " " + bar.value + "%";
      });
      request.upload.addEventListener("load", function () { words.textContent = words.dataset.after; });
      request.addEventListener("load", function () {
        var fresh = new DOMParser().parseFromString(request.responseText, "text/html").querySelector("main");
        if (!fresh) { broken(); return; }
        document.querySelector("main").replaceWith(document.adoptNode(fresh));
        if (request.responseURL) { history.pushState(null, "", request.responseURL); }
        forms(fresh);
        fresh.focus();
        follow(); /* the import, if the answer shows one */
      });
      function broken() { button.disabled = false; words.textContent = words.dataset.broken; }
      request.addEventListener("error", broken);
      request.open("POST", form.action);
      request.send(new FormData(form));
    });
  }

  /* A file dropped anywhere on the form is the chosen one. */
  function drop(form) {
    var zone = form.querySelector(".drop");
    var input = form.querySelector("input[type=file]");
    var words = form.querySelector("[data-drop-words]");
    if (!zone || !input || !window.DataTransfer) { return; }
    words.hidden = false;
    form.addEventListener("dragover", function (event) { event.preventDefault(); zone.classList.add("is-over"); });
    form.addEventListener("dragleave", function () { zone.classList.remove("is-over"); });
    form.addEventListener("drop", function (event) {
      event.preventDefault();
      zone.classList.remove("is-over");
      var count = event.dataTransfer.files.length;
      if (count < 1 || (count > 1 && !input.multiple)) { return; }
      input.files = event.dataTransfer.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
      input.focus();
    });
  }

  /* A gateway that wants a form posted: once by itself, so that coming back does not go away again. */
  function postNow() {
    var form = document.querySelector("form[data-post-now]");
    if (!form) { return; }
    var key = "posted-" + form.dataset.postNow;
    try {
      if (sessionStorage.getItem(key)) { return; }
      sessionStorage.setItem(key, "1");
    } catch (_refused) { return; }
    form.submit();
  }

  /* Inside a wallet's own browser: hand it what it asks for. Elsewhere the words beside it stay. */
  function wallet() {
    var box = document.querySelector("[data-wallet]");
    if (!box) { return; }
    var fields = JSON.parse(box.dataset.wallet);
    var button = box.querySelector("[data-wallet-open]");
    function open() {
      if (window.WeixinJSBridge) { window.WeixinJSBridge.invoke("getBrandWCPayRequest", fields, function () {}); }
      else if (window.AlipayJSBridge) { window.AlipayJSBridge.call("tradePay", fields, function () {}); }
    }
    function ready() {
      box.querySelector("[data-wallet-away]").hidden = true;
      button.hidden = false;
      button.addEventListener("click", open);
      open();
    }
    if (window.WeixinJSBridge || window.AlipayJSBridge) { ready(); return; }
    document.addEventListener("WeixinJSBridgeReady", ready);
    document.addEventListener("AlipayJSBridgeReady", ready);
  }

  function forms(part) {
    Array.prototype.forEach.call(part.querySelectorAll("[data-upload]"), upload);
    Array.prototype.forEach.call(part.querySelectorAll("[data-drop]"), drop);
  }

  /* Puts what a field shows where it can be pasted from; where that is refused, it is marked to be copied by hand. */
  function copy() {
    Array.prototype.forEach.call(document.querySelectorAll("[data-copy]"), function (button) {
      var field = document.getElementById(button.dataset.copy), label = button.querySelector("span");
      button.addEventListener("click", function () {
        field.select();
        if (navigator.clipboard) { navigator.clipboard.writeText(field.value).then(function () { label.textContent = button.dataset.copied; }, function (_refused) { /* it is marked */ }); }
      });
    });
  }

  /* Shows notices while the site is closed, and says so when there is no network: sw.js. */
  function work() {
    if ("serviceWorker" in navigator) { navigator.serviceWorker.register("/sw.js").catch(function (_refused) { /* a private window */ }); }
  }

  window.addEventListener("load", work);
  document.addEventListener("DOMContentLoaded", function () {
    display();
    readAloud();
    runningTotal();
    follow();
    postNow();
    quick();
    wallet();
    copy();
    forms(document);
  });
})();
