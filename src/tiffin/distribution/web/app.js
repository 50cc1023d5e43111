"use strict";
// Everything that comes from the registry becomes text: no markup is ever made of it.

const main = document.getElementById("main");
const search = document.getElementById("search");
let turn = 0; // counts what was asked for, so that a late answer does not replace a newer one

function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (value !== false && value !== undefined) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

async function api(path, parameters = {}) {
  const response = await fetch(`/ui/api/${path}?${new URLSearchParams(parameters)}`, { headers: { Accept: "application/json" } });
  const body = await response.json();
  if (!response.ok) throw new Error(body.errors?.[0]?.message ?? `status ${response.status}`);
  return body;
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes, unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

function ago(text) {
  const then = Date.parse(text);
  if (!then || then < 86400000) return ""; // builds that can be repeated say 1970
  const seconds = (Date.now() - then) / 1000;
  for (const [unit, length] of [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (seconds >= length) return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-Math.floor(seconds / length), unit);
  }
  return "just now";
}

const short = (digest) => { const [algorithm, hex] = digest.split(":"); return `${algorithm}:${hex.slice(0, 12)}`; };
const plural = (count, word, words = `${word}s`) => `${count} ${count === 1 ? word : words}`;
const link = (name, reference = "") => `#/${name}${reference && (reference.includes(":") ? `@${reference}` : `:${reference}`)}`;
const chips = (texts) => texts.map((text) => el("span", { class: "chip" }, text));
const digest = (text) => el("span", { class: "digest", title: text }, short(text));

function show(title, ...nodes) {
  document.title = title ? `${title} · Registry` : "Registry";
  main.replaceChildren(...nodes);
}

function pullLine(name, reference) {
  const command = `docker pull ${location.host}/${name}${reference.includes(":") ? "@" : ":"}${reference}`;
  const button = el("button", { type: "button", on: { click: async () => {
    try { await navigator.clipboard.writeText(command); button.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(code); button.textContent = "Selected"; }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  } } }, "Copy");
  const code = el("code", {}, command);
  return el("div", { class: "card pull" }, code, button);
}

function crumbs(name) {
  return el("div", { class: "crumbs" }, el("a", { href: "#/" }, "Repositories"), " / ", el("a", { href: link(name) }, name));
}

function repositoryRow(entry) {
  const cut = entry.name.lastIndexOf("/") + 1;
  return el("a", { class: "row", href: link(entry.name) },
    el("span", { class: "name" }, el("span", { class: "space" }, entry.name.slice(0, cut)), entry.name.slice(cut)),
    el("span", { class: "soft number" }, plural(entry.tags, "tag")), el("span", { class: "number size" }, size(entry.size)));
}

async function showRepositories(words, mine) {
  const found = await api("repositories", { q: words });
  if (mine !== turn) return;
  document.getElementById("about").textContent = found.about;
  document.getElementById("login").hidden = !found.canLogIn;
  const user = document.getElementById("user");
  user.hidden = !found.user;
  user.textContent = found.user;
  const head = el("div", { class: "head" }, el("h1", {}, "Repositories"),
    el("span", { class: "soft" }, words ? `${found.total} found` : `${found.total}`));
  if (!found.total) return show("", head, words ? nothingFound(words) : nothingYet());
  const list = el("div", { class: "card", id: "repositories" }, found.repositories.map(repositoryRow));
  show("", head, list);
  if (found.more) main.append(moreButton(words, list, found.repositories.at(-1).name));
}

function moreButton(words, list, last) {
  const button = el("button", { type: "button", class: "more", on: { click: async () => {
    const found = await api("repositories", { q: words, last });
    list.append(...found.repositories.map(repositoryRow));
    if (found.more) last = found.repositories.at(-1).name; else button.remove();
  } } }, "Show more");
  return button;
}

function nothingFound(words) {
  return el("div", { class: "card empty" }, el("strong", {}, "Nothing found"), `No repository has “${words}” in its name.`);
}

function nothingYet() {
  return el("div", { class: "card empty" }, el("strong", {}, "There is nothing here yet"), "Push the first image:",
    el("br"), el("pre", {}, `docker tag alpine ${location.host}/alpine\ndocker push ${location.host}/alpine`));
}

async function showRepository(name, mine) {
  const found = await api("tags", { name });
  if (mine !== turn) return;
  const head = [crumbs(name), el("div", { class: "head" }, el("h1", {}, name), el("span", { class: "soft" }, plural(found.tags.length, "tag")))];
  if (!found.tags.length) return show(name, ...head, el("div", { class: "card empty" }, el("strong", {}, "No tags"), "What is here has digests only."));
  const latest = found.tags.find((entry) => entry.tag === "latest") ?? found.tags.at(-1);
  const rows = found.tags.map((entry) => el("tr", { class: "link", on: { click: () => { location.hash = link(name, entry.tag); } } },
    el("td", { class: "tag" }, el("a", { href: link(name, entry.tag) }, entry.tag)),
    el("td", {}, entry.kind === "artifact" ? chips(["artifact"]) : chips(entry.platforms)),
    el("td", { class: "wide" }, digest(entry.digest)),
    el("td", { class: "wide soft" }, ago(entry.created)),
    el("td", { class: "number" }, size(entry.size))));
  show(name, ...head, pullLine(name, latest.tag),
    el("div", { class: "card" }, el("table", { id: "tags" },
      el("thead", {}, el("tr", {}, el("th", {}, "Tag"), el("th", {}, "Platforms"), el("th", { class: "wide" }, "Digest"),
        el("th", { class: "wide" }, "Created"), el("th", { class: "number" }, "Size"))),
      el("tbody", {}, rows))));
}

function facts(entries) {
  const shown = entries.filter(([, value]) => value && value.length !== 0);
  return el("dl", { class: "facts" }, shown.flatMap(([name, value]) =>
    [el("dt", {}, name), el("dd", {}, Array.isArray(value) ? value.map((item) => el("div", {}, item)) : value)]));
}

const pairs = (object) => Object.entries(object ?? {}).map(([key, value]) => el("span", {}, el("code", {}, `${key} = ${value}`)));
const words = (value) => (Array.isArray(value) ? el("code", {}, value.join(" ")) : value && el("code", {}, String(value)));

function layerCard(layers) {
  const largest = Math.max(1, ...layers.map((layer) => layer.size));
  return el("div", { class: "card", id: "layers" }, layers.map((layer) => el("div", { class: "layer" },
    el("div", { class: "top" }, el("span", { class: "what", title: layer.mediaType }, layer.command || layer.mediaType),
      el("span", { class: "wide" }, digest(layer.digest)), el("span", { class: "number" }, size(layer.size))),
    el("meter", { min: 0, max: largest, value: layer.size, "aria-label": "share of the largest layer" }))));
}

async function showImage(name, reference, mine) {
  const image = await api("image", { name, reference });
  if (mine !== turn) return;
  const config = image.config ?? {};
  const nodes = [crumbs(name),
    el("div", { class: "head" }, el("h1", {}, reference.includes(":") ? short(reference) : `${name.split("/").at(-1)}:${reference}`),
      el("span", { class: "soft" }, size(image.size)), el("span", {}, chips(image.platforms))),
    pullLine(name, reference),
    el("div", { class: "card" }, facts([
      ["Digest", el("code", {}, image.digest)],
      ["Media type", el("code", {}, image.mediaType)],
      ["Created", ago(image.created) && el("span", { title: image.created }, ago(image.created))],
      ["Entrypoint", words(config.Entrypoint)], ["Command", words(config.Cmd)], ["User", words(config.User)],
      ["Directory", words(config.WorkingDir)],
      ["Ports", config.ExposedPorts && words(Object.keys(config.ExposedPorts))],
      ["Environment", (config.Env ?? []).map((line) => el("code", {}, line))],
      ["Labels", pairs(config.Labels)], ["Annotations", pairs(image.annotations)],
    ]))];
  if (image.manifests) nodes.push(el("h2", {}, plural(image.manifests.length, "manifest")),
    el("div", { class: "card", id: "manifests" }, image.manifests.map((child) => el(child.here ? "a" : "div",
      { class: "row", href: child.here ? link(name, child.digest) : false },
      el("span", { class: "name" }, child.platform || child.artifactType || child.mediaType),
      el("span", { class: "wide" }, digest(child.digest)),
      el("span", { class: "number soft" }, child.here ? size(child.size) : "not here")))));
  if (image.layers?.length) nodes.push(el("h2", {}, plural(image.layers.length, "layer")), layerCard(image.layers));
  if (image.referrers.length) nodes.push(el("h2", {}, "Refers to this"),
    el("div", { class: "card", id: "referrers" }, image.referrers.map((entry) => el("a", { class: "row", href: link(name, entry.digest) },
      el("span", { class: "name" }, entry.artifactType || "manifest"), digest(entry.digest)))));
  show(`${name}${reference.includes(":") ? "@" : ":"}${reference}`, ...nodes);
}

async function route() {
  const mine = ++turn;
  const path = decodeURIComponent(location.hash.replace(/^#\/?/, ""));
  const match = /^([^:@]+)(?:@(.+)|:(.+))?$/.exec(path);
  try {
    if (!match) await showRepositories(search.value.trim(), mine);
    else if (match[2] || match[3]) await showImage(match[1], match[2] || match[3], mine);
    else await showRepository(match[1], mine);
  } catch (error) {
    if (mine === turn) show("", el("div", { class: "card empty", role: "alert" }, el("strong", {}, "That did not work"), String(error.message)));
  }
  if (mine === turn) main.dataset.ready = location.hash || "#/";
}

let typing;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => { if (location.hash && location.hash !== "#/") location.hash = "#/"; else route(); }, 120);
});
addEventListener("hashchange", () => { scrollTo(0, 0); route(); });
addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); search.select(); }
  if (event.key === "Escape" && document.activeElement === search) { search.value = ""; search.blur(); route(); }
});
route();
