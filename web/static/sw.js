/* The service worker: shows notices while the site is closed, and says so when there is no network.
   It keeps the look of the site and one page, never a page with anybody's bills.
   SHELL (version, offline, files) stands before it: web/pages/installed.py. */
"use strict";

const KEPT = "shell-" + SHELL.version;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(KEPT)
      .then((cache) => cache.addAll([SHELL.offline, ...SHELL.files]))
      .then(() => self.skipWaiting())
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((name) => name !== KEPT).map((name) => caches.delete(name))))
      .then(() => self.clients.claim())
  );
});

self.addEventListener("fetch", (event) => {
  const asked = event.request, url = new URL(asked.url);
  if (asked.method !== "GET" || url.origin !== self.location.origin) { return; }
  if (asked.mode === "navigate") {
    event.respondWith(fetch(asked).catch(() => caches.match(SHELL.offline)));
  } else if (SHELL.files.includes(url.pathname + url.search)) {
    event.respondWith(caches.match(asked.url).then((kept) => kept || fetch(asked)));
  }
});

self.addEventListener("push", (event) => {
  let news = {};
  try { news = event.data.json(); } catch (_unreadable) { /* something has to be shown all the same */ }
  event.waitUntil(self.registration.showNotification(news.title || SHELL.name, {
    body: news.body || "",
    tag: news.tag || "",
    icon: SHELL.icon,
    badge: SHELL.badge,
    data: { link: news.link || "" },
  }));
});

/* A link leads to a page of this site, or to the inbox. */
function ours(link) {
  try {
    const url = new URL(link, self.location.origin);
    if (link && url.origin === self.location.origin) { return url.href; }
  } catch (_broken) { /* as if there were none */ }
  return new URL("/notices", self.location.origin).href;
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const href = ours(event.notification.data.link);
  event.waitUntil(
    self.clients.matchAll({ type: "window" }).then((open) => {
      const there = open.find((one) => one.url === href);
      return there ? there.focus() : self.clients.openWindow(href);
    })
  );
});
