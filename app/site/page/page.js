// Loads the program, shows how far it is, and says in words what went wrong. The figure itself is drawn by the program.
// The state of the page stands in data-state of the root: loading, running or stopped; stopped shows the numbers as tables.

const root = document.documentElement;
const canvas = document.getElementById("view");
const progress = document.getElementById("progress");
const status = document.getElementById("status");
const query = new URLSearchParams(location.search);
const version = new URL(import.meta.url).search;

const noRenderer = {
  reason: "no-renderer",
  title: "The same study, as numbers",
  text: "The interactive view draws with WebGL or WebGPU, and this browser offers neither. Often hardware acceleration is switched off in its settings, or the graphics driver is missing.",
};

// The still picture is that of the page's beginning; an address that names something else gets that, and no other picture before it.
function showStill() {
  const beside = new Set(["renderer", "theme", "embed"]);
  if (!location.hash && [...query.keys()].every((key) => beside.has(key))) root.dataset.still = "1";
}

// A figure in another page leaves that page's focus and wheel alone until it is clicked, as embedded maps do.
function behaveEmbedded() {
  root.dataset.embed = "1";
  let engaged = false;
  const focus = HTMLElement.prototype.focus;
  HTMLElement.prototype.focus = function (...options) {
    if (engaged) focus.apply(this, options);
  };
  addEventListener("pointerdown", () => { engaged = true; }, { capture: true });
  addEventListener("keydown", () => { engaged = true; }, { capture: true });
  addEventListener("blur", () => { engaged = false; });
  addEventListener("wheel", (event) => {
    if (!engaged && !event.ctrlKey) event.stopImmediatePropagation();
  }, { capture: true, passive: true });
}

function offersWebGl() {
  const gl = document.createElement("canvas").getContext("webgl2");
  // Browsers count contexts, so the probe gives its own back.
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return Boolean(gl);
}

async function offersWebGpu() {
  try {
    return Boolean(await navigator.gpu?.requestAdapter());
  } catch {
    return false;
  }
}

// The renderer that is used, or undefined where there is none. The address may force one, which is then tried without asking.
async function chooseRenderer() {
  const wished = query.get("renderer");
  if (wished === "webgl") return offersWebGl() ? "webgl" : undefined;
  if (wished === "webgpu") return (await offersWebGpu()) ? "webgpu" : undefined;
  if (offersWebGl()) return "webgl";
  return (await offersWebGpu()) ? "webgpu" : undefined;
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}

// The program as a response whose bytes are counted on their way. Servers may compress, so the total stands in the page.
async function fetchProgram() {
  const address = new URL(`./cruxscope_web_bg.wasm${version}`, import.meta.url);
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address} answered ${response.status} ${response.statusText}`);
  let received = 0;
  const counted = response.body.pipeThrough(new TransformStream({
    transform(chunk, controller) {
      received += chunk.byteLength;
      progress.value = received;
      status.textContent = received < progress.max ? `${megabytes(received)} of ${megabytes(progress.max)} MB` : "Starting";
      controller.enqueue(chunk);
    },
  }));
  return new Response(counted, { headers: { "content-type": "application/wasm" } });
}

function withRenderer(name) {
  const wished = new URLSearchParams(location.search);
  wished.set("renderer", name);
  return `?${wished}${location.hash}`;
}

// Only the study that was asked for, where the page holds its numbers.
function narrowNumbers() {
  const sections = [...document.querySelectorAll("[data-study]")];
  const wished = query.get("study")?.replace(/\/(study\.json)?$/, "");
  if (sections.some((section) => section.dataset.study === wished)) {
    for (const section of sections) section.hidden = section.dataset.study !== wished;
  }
}

function stop({ reason, title, text, message }) {
  if (root.dataset.state === "stopped") return;
  root.dataset.reason = reason;
  document.getElementById("notice").hidden = false;
  if (title) document.getElementById("notice-title").textContent = title;
  document.getElementById("notice-text").textContent = text;
  document.getElementById("notice-details").hidden = !message;
  document.getElementById("notice-message").textContent = message ?? "";
  document.getElementById("try-webgl").href = withRenderer("webgl");
  document.getElementById("try-webgpu").href = withRenderer("webgpu");
  document.getElementById("try-again").href = location.href;
  narrowNumbers();
  root.dataset.state = "stopped";
  document.getElementById("notice-title").focus();
}

function watch(handle) {
  const timer = setInterval(() => {
    if (!handle.has_panicked()) return;
    clearInterval(timer);
    stop({
      reason: "panic",
      title: "The interactive view stopped",
      text: "The program met something that it was not written for. Loading again often helps; the numbers below come from the same study.",
      message: handle.panic_message(),
    });
  }, 500);
  canvas.addEventListener("webglcontextlost", () => {
    clearInterval(timer);
    stop({ reason: "context-lost", title: "The interactive view stopped", text: "The browser took the graphics device away. Loading again brings the view back." });
  });
}

async function start() {
  root.dataset.state = "loading";
  const theme = query.get("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  showStill();
  if (["", "1", "true", "yes"].includes(query.get("embed"))) behaveEmbedded();
  const renderer = await chooseRenderer();
  if (!renderer) return stop(noRenderer);
  canvas.dataset.renderer = renderer;
  root.dataset.renderer = renderer;
  const [program, glue] = await Promise.all([fetchProgram(), import(`./cruxscope_web.js${version}`)]);
  await glue.default({ module_or_path: program });
  const handle = new glue.WebHandle();
  watch(handle);
  await handle.start(canvas);
  addEventListener("hashchange", () => { handle.follow_address(); });
  root.dataset.state = "running";
}

start().catch((error) => {
  stop({
    reason: "error",
    text: "The program could not be loaded or did not get a graphics device. The numbers below come from the same study.",
    message: String(error?.message ?? error),
  });
});
