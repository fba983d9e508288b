// The exported networks in onnxruntime-web: downloaded once with progress, kept for offline, run by WebGPU or WebAssembly.

const BACKENDS = {
  webgpu: { script: "ort.webgpu.min.mjs", binary: "ort-wasm-simd-threaded.asyncify" },
  wasm: { script: "ort.wasm.min.mjs", binary: "ort-wasm-simd-threaded" },
};
const MOST_THREADS = 4;

/** Where the dream can run, the fastest first. `wanted`: a backend's name, or null. */
export async function backendsHere(available, wanted) {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const here = [...(adapter ? ["webgpu"] : []), "wasm"].filter((name) => available.includes(name));
  return wanted && available.includes(wanted) ? [wanted] : here;
}

/** How many threads WebAssembly may use: one where the page is not isolated from others. */
export function threadsHere() {
  return globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
}

/** The bytes of a file of the site, from the cache of an earlier visit or the network; `onBytes(count)` as they come. */
export async function fetched(path, version, onBytes = () => {}) {
  const cache = await globalThis.caches?.open(version).catch(() => null);
  const kept = await cache?.match(path);
  const response = kept ?? await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${response.statusText}`);
  const chunks = [];
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    onBytes(value.length);
  }
  const bytes = await new Blob(chunks).arrayBuffer();
  if (cache && !kept) await cache.put(path, new Response(bytes.slice(0))).catch(() => {}); // a full disk is no reason to stop
  return bytes;
}

/** The bytes of a gzipped file. */
export async function unzipped(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Loads all networks of a world on one backend: `{name: async (inputs) => outputs}`, arrays by name. */
export async function loadNetworks(world, backend, onBytes = () => {}) {
  const { script, binary } = BACKENDS[backend];
  const at = (name) => new URL(`runtime/${name}`, import.meta.url).href;
  const ort = await import(at(script));
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threadsHere();
  ort.env.wasm.wasmPaths = { mjs: at(`${binary}.mjs`) };
  ort.env.wasm.wasmBinary = await fetched(`runtime/${binary}.wasm`, world.version, onBytes);
  const networks = {};
  for (const [name, model] of Object.entries(world.networks)) {
    const bytes = await fetched(model.path, world.version, onBytes);
    networks[name] = await loaded(ort, model, bytes, name === "judge" || name === "agent" ? "wasm" : backend);
  }
  return networks;
}

async function loaded(ort, { inputs }, bytes, backend) {
  const session = await ort.InferenceSession.create(new Uint8Array(bytes), { executionProviders: [backend] });
  return async (values) => {
    const feeds = Object.fromEntries(
      Object.entries(inputs).map(([name, shape]) => [name, new ort.Tensor("float32", Float32Array.from(values[name]), shape)]),
    );
    const results = await session.run(feeds);
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name.replace(/^new_/, ""), tensor.data]));
  };
}

/** How many bytes `loadNetworks` will read. */
export function bytesToLoad(world, backend) {
  const binary = world.runtime[`${BACKENDS[backend].binary}.wasm`];
  return binary + Object.values(world.networks).reduce((sum, { bytes }) => sum + bytes, 0);
}
