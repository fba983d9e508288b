// A service worker: keeps the small files of the site and serves them if there is no network. (The large
// ones networks.mjs keeps by itself, under the same version.)
// It also isolates the page from others, where the server does not: only then may WebAssembly use threads.
const version = new URL(location).searchParams.get("version");
const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

addEventListener("install", (event) => event.waitUntil(keep()));
addEventListener("activate", (event) => event.waitUntil(forgetOthers()));
addEventListener("fetch", (event) => {
  if (new URL(event.request.url).origin === location.origin) event.respondWith(answer(event.request));
});

async function keep() {
  const { files } = await (await fetch("world.json")).json();
  await (await caches.open(version)).addAll(files);
}

async function forgetOthers() {
  for (const name of await caches.keys()) if (name !== version) await caches.delete(name);
  await clients.claim();
}

async function answer(request) {
  const response = await fetch(request).catch(() => caches.match(request, { ignoreSearch: true }));
  if (!response) return Response.error();
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
