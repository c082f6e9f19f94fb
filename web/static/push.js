/* Notices on this device: asks only when tapped, and sends the form a browser without this never sees. */
(function () {
  "use strict";
  var form = document.querySelector("[data-push]");
  if (!form) { return; }
  var button = form.querySelector("button");
  var able = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window && window.isSecureContext;

  function tell(what) {
    Array.prototype.forEach.call(form.querySelectorAll("[data-say]"), function (one) {
      one.hidden = one.dataset.say !== what;
    });
  }

  function bytes(text) {
    var raw = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(raw, function (one) { return one.charCodeAt(0); });
  }

  function same(buffer, key) {
    var theirs = new Uint8Array(buffer || 0);
    return theirs.length === key.length && key.every(function (one, at) { return one === theirs[at]; });
  }

  /* As subscription_address() writes it: what it is known by here is its SHA-256. */
  function address(told) {
    return JSON.stringify({ endpoint: told.endpoint, keys: { auth: told.keys.auth, p256dh: told.keys.p256dh } });
  }

  function hash(text) {
    return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)).then(function (sum) {
      return Array.from(new Uint8Array(sum), function (one) { return one.toString(16).padStart(2, "0"); }).join("");
    });
  }

  /* Who subscribed with a key of ours that no longer holds has to subscribe anew. */
  function subscribe(pushes) {
    var key = bytes(form.dataset.push);
    return pushes.getSubscription().then(function (had) {
      if (had && !same(had.options.applicationServerKey, key)) { return had.unsubscribe(); }
    }).then(function () {
      return pushes.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    });
  }

  function send(subscription) {
    var told = subscription.toJSON();
    form.elements.endpoint.value = told.endpoint;
    form.elements.p256dh.value = told.keys.p256dh;
    form.elements.auth.value = told.keys.auth;
    form.submit();
  }

  function ask() {
    button.disabled = true;
    Notification.requestPermission().then(function (answer) {
      if (answer !== "granted") { return "refused"; }
      return navigator.serviceWorker.ready.then(function (worker) {
        return subscribe(worker.pushManager);
      }).then(send, function () { return "away"; });
    }).then(function (problem) {
      if (problem) { tell(problem); button.disabled = false; }
    });
  }

  form.hidden = false;
  if (!able) {
    button.hidden = true;
    tell(/iPhone|iPad/.test(navigator.userAgent) ? "install" : "unable");
    return;
  }
  button.addEventListener("click", function (event) { event.preventDefault(); ask(); });
  navigator.serviceWorker.ready.then(function (worker) {
    return worker.pushManager.getSubscription();
  }).then(function (had) {
    return had && hash(address(had.toJSON()));
  }).then(function (known) {
    if (known && form.dataset.held.split(" ").indexOf(known) >= 0) { button.hidden = true; tell("here"); }
  });
})();
