"use strict";

const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Everything is delegated from the document: pages are replaced under it without loading it anew.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.opens) find(`#${button.dataset.opens}`).showModal();
  if ("closes" in button.dataset) button.closest("dialog").close();
  if (button.dataset.toggles) toggle(button, find(`#${button.dataset.toggles}`));
  if ("themeToggle" in button.dataset) switchTheme();
  if (button.dataset.fills) fill(find(`#${button.dataset.fills}`), button.dataset.value);
});

function fill(input, value) {
  input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.focus();
}

// A row is as large as its link: a click anywhere leads there, unless it is for something else in the row.
document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-row]");
  if (!row || event.target.closest("a, button, input, select, label, summary") || String(getSelection())) return;
  const link = find("a[href]", row);
  if (!link) return;
  if (event.ctrlKey || event.metaKey) open(link.href);
  else link.click();
});

function toggle(button, panel) {
  const open = panel.classList.toggle("show");
  button.setAttribute("aria-expanded", String(open));
}

function switchTheme() {
  const root = document.documentElement;
  const theme = root.dataset.bsTheme === "dark" ? "light" : "dark";
  root.dataset.bsTheme = theme;
  localStorage.setItem("recoup-theme", theme);
  document.dispatchEvent(new CustomEvent("recoup:theme"));
}

// Keyboard: letters act unless somebody is typing or a dialog is open.
let leading = false;

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable], dialog[open]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (leading) {
    leading = false;
    const link = find(`[data-key="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  const act = { "/": focusSearch, j: () => move(1), k: () => move(-1), g: () => { leading = true; }, "?": () => find("#keys")?.showModal() }[event.key];
  if (act) { event.preventDefault(); act(); }
});

function focusSearch() {
  const search = find("[data-search]");
  search?.focus();
  search?.select();
}

function move(by) {
  const links = all("[data-row]").map((row) => find("a", row)).filter(Boolean);
  const at = links.indexOf(document.activeElement);
  const next = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

// A filter that was left empty asks for nothing: its name is not sent.
document.addEventListener("htmx:configRequest", (event) => {
  const { verb, formData } = event.detail;
  if (verb !== "get") return;
  for (const [name, value] of [...formData.entries()]) {
    if (!String(value).trim()) formData.delete(name);
  }
});

// A page that was led to begins, for the keyboard and for a screen reader, at its heading.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target === document.body) find("h1")?.focus({ preventScroll: true });
  enliven(event.detail.target);
});

// Charts are large: loaded with the first page that has one.
const own = document.currentScript.dataset;
let loaded = null;

function charts() {
  return loaded ??= load(own.echarts).then(() => load(own.charts));
}

function load(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    Object.assign(script, { src: address, onload: resolve, onerror: reject });
    document.head.append(script);
  });
}

// Live regions: each event of a stream is HTML that replaces what the element holds.
const streams = new Map();

function enliven(within) {
  for (const [element, source] of streams) {
    if (!document.contains(element)) { source.close(); streams.delete(element); }
  }
  // What can be scrolled with a pointer can be with the keyboard.
  for (const region of all(".table-responsive", within)) {
    if (region.scrollWidth > region.clientWidth) region.tabIndex = 0;
  }
  if (find("[data-chart]", within)) charts().then(() => drawCharts(within));
  for (const element of all("[data-stream]", within)) {
    if (!streams.has(element)) listen(element);
  }
}

function listen(element) {
  const source = new EventSource(element.dataset.stream);
  streams.set(element, source);
  const show = (event) => { connected(); replace(element, event.data); };
  source.addEventListener("progress", show);
  source.addEventListener("ended", (event) => {
    show(event);
    source.close();
    streams.delete(element);
  });
  source.addEventListener("open", connected);
  source.addEventListener("error", () => {
    // A stream that ended by itself or was refused is closed; one that broke off tries again.
    if (source.readyState === EventSource.CONNECTING) disconnected();
    else askWhy(element);
  });
}

// Who is logged out meanwhile must not take what stands still for how things are: the page leads to the login.
async function askWhy(element) {
  const stop = new AbortController();
  const given = { headers: { Accept: "text/event-stream" }, cache: "no-store", signal: stop.signal };
  const answer = await fetch(element.dataset.stream, given).catch(() => null);
  stop.abort();
  if (answer?.status === 401) location.reload();
}

// What has the keyboard's focus keeps it, by its id or where it leads.
function replace(element, html) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  element.innerHTML = html;
  htmx.process(element);
  if (!focused) return;
  const [id, href] = [focused.id, focused.getAttribute("href")];
  (id ? document.getElementById(id) : href && find(`[href="${CSS.escape(href)}"]`, element))?.focus({ preventScroll: true });
}

// What is answered where there is no page, such as an address that takes no forms, is no HTML.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (!xhr.getResponseHeader("Content-Type")?.startsWith("application/problem+json")) return;
  event.detail.shouldSwap = false;
  const alert = document.createElement("div");
  alert.className = "alert alert-danger";
  const { detail } = JSON.parse(xhr.responseText);
  alert.textContent = `${detail[0].toUpperCase()}${detail.slice(1)}.`;
  find("#problem").replaceChildren(alert);
  alert.scrollIntoView({ block: "nearest" });
});

// The server is away: say so, and look for it until it is back.
let waiting = null;

function disconnected() {
  const banner = find("#reconnecting");
  if (banner) banner.hidden = false;
  waiting ??= setInterval(async () => {
    const answer = await fetch("/health/live", { cache: "no-store" }).catch(() => null);
    if (answer?.ok) connected();
  }, 2000);
}

function connected() {
  clearInterval(waiting);
  waiting = null;
  const banner = find("#reconnecting");
  if (banner) banner.hidden = true;
}

document.addEventListener("htmx:sendError", disconnected);
document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.xhr?.status) connected(); });
document.addEventListener("DOMContentLoaded", () => enliven(document));
