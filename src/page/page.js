"use strict";

// Limits: of what the page keeps, how often it asks, and how long things move.
const CHARTS_PAUSE_MS = 3000;
const DOTS_MAX = 100;
const DOT_MS = 800;
const DOT_SPREAD_MS = 500;
const DEPARTED_MAX = 128;
const OWNERS_MAX = 512;
const SLIDE_MS = 600;
const MARKS_SHOWN = 200;
const MARKS_PAUSE_MS = 1000;
const AT_PAUSE_MS = 80;
const SLOW_MS = 1000;
const PLAY_TICK_MS = 100;
const SMALL_STEP_US = 100e3;
const GONE_MS = 5000;
const REOPEN_MS = 3000;
const HANDOVER_US = 8e6;
const CARD_PAST_US = 30e6;
const DIAGRAM_THINGS = 5000;
const DIAGRAM_ROWS = 300;
const DIAGRAM_REACH = 10;

const KINDS = {
  trade: "M5 0A5 5 0 1 1-5 0A5 5 0 1 1 5 0z",
  settle: "M-4.5-4.5H4.5V4.5H-4.5z",
  replicate: "M0-6 6 0 0 6-6 0z",
  control: "M0-6 6 5H-6z",
  stock: "M0 6 6-5H-6z",
  watch: "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2z",
  link: "M3 0A3 3 0 1 1-3 0A3 3 0 1 1 3 0z",
};
const SIGNS = {
  dead: ["✕", "dead"],
  paused: ["‖", "paused"],
  silent: ["?", "silent"],
  left: ["←", "left"],
  fenced: ["⊘", "fenced: its office passed on"],
  syncing: ["↻", "syncing with the other trader"],
};
const FAULTS = new Set(["crashed", "fence", "fault"]);
const FIELD_NAMES = {
  addr: "address",
  log_seq: "log row",
  ledger_seq: "ledger row",
  queue_depth: "queued",
  cache_age_ms: "cache age, ms",
  cache_behind: "cache behind, rows",
  heartbeat_age_ms: "heartbeat age, ms",
  messages_sent: "messages sent",
  rss_bytes: "memory",
  disk_bytes: "disk",
  disk_free_bytes: "disk free",
};

const state = {
  token: "",
  live: null,
  shown: null,
  mode: "live",
  opened: 0,
  at: 0,
  problem: "",
  playing: false,
  selected: "",
  marks: [],
  putAway: "",
  told: null,
};

// ---- small helpers

const $ = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const isPast = () => state.mode === "past";

function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function draw(name, attributes = {}, ...children) {
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", name);
  set(drawn, attributes);
  drawn.append(...children);
  return drawn;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Children of `parent`, one for each item, made anew only for new keys. */
function keyed(parent, items, keyOf, create, update) {
  const keys = new Set(items.map((item) => String(keyOf(item))));
  const old = new Map();
  for (const child of [...parent.children]) {
    const { key } = child.dataset;
    if (keys.has(key) && !old.has(key)) old.set(key, child);
    else child.remove();
  }
  items.forEach((item, index) => {
    const key = String(keyOf(item));
    const child = old.get(key) || create(item);
    old.delete(key);
    child.dataset.key = key;
    update(child, item);
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] || null);
  });
}

/** Texts into the cells of a row; the first cell is the row's head. */
function fillRow(row, texts, numbersFrom = texts.length) {
  texts.forEach((text, index) => {
    let cell = row.cells[index];
    if (!cell) {
      cell = make(index ? "td" : "th", { className: index >= numbersFrom ? "n" : "" });
      if (!index) cell.scope = "row";
      row.append(cell);
    }
    say(cell, text);
  });
}

function clockTime(time, digits = 1) {
  const date = new Date(time / 1000);
  const two = (number) => String(number).padStart(2, "0");
  const fraction = String(date.getMilliseconds()).padStart(3, "0").slice(0, digits);
  const whole = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return digits ? `${whole}.${fraction}` : whole;
}

function span(seconds) {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

const known = (value) => value !== null && value !== undefined;
const count = (number) => (known(number) ? number.toLocaleString("en") : "-");
const bytes = (number) => (known(number) ? `${(number / 1048576).toFixed(1)} MiB` : "-");
const millis = (number) =>
  known(number) ? `${number < 10 ? number.toFixed(1) : Math.round(number)} ms` : "-";
const peerName = (number) => (known(number) ? `peer-${number}` : "nobody");
const failoverKey = (failover) => `${failover.time} ${failover.from}`;

function trim(map, limit) {
  while (map.size > limit) map.delete(map.keys().next().value);
}

/** Nodes that held an office which passed on, and hold none now. */
function fencedNodes(snapshot) {
  const passed = snapshot.failovers.filter(({ time, to }) => known(to) && time <= snapshot.time);
  const names = new Set(passed.map(({ from }) => peerName(from)));
  for (const { node, office } of snapshot.nodes) if (office) names.delete(node);
  return names;
}

/** The trader in an office; while two claim it, the one of the later term. */
function traderIn(office, snapshot) {
  const claims = snapshot.nodes.filter((node) => node.office === office);
  return claims.sort((one, other) => (other.term || 0) - (one.term || 0))[0] || null;
}

// ---- ring

const ring = { names: "", places: new Map(), crowded: false };

function placeNodes(nodes) {
  const names = nodes.map(({ node }) => node).join(" ");
  if (names === ring.names) return;
  ring.names = names;
  ring.places = new Map();
  const peers = nodes.filter(({ role }) => role !== "warehouse");
  ring.crowded = peers.length > 12;
  // A crowded ring leaves room around it for the traders' names.
  const radius = ring.crowded ? 150 : 187;
  const size = Math.max(7, Math.min(30, (Math.PI * radius * 0.55) / Math.max(1, peers.length)));
  for (const { node, role } of nodes) {
    if (role === "warehouse") ring.places.set(node, { x: 280, y: 235, size: 34 });
  }
  peers.forEach(({ node }, index) => {
    const angle = (index / peers.length) * 2 * Math.PI - Math.PI / 2;
    ring.places.set(node, { x: 280 + radius * Math.cos(angle), y: 235 + radius * Math.sin(angle), size });
  });
}

/** Where a node's name stands: below it, or outside of a crowded ring. */
function namePlace({ x, y, size }, warehouse) {
  if (!ring.crowded || warehouse) return { y: size + 26 };
  const away = (size + 16) / Math.hypot(x - 280, y - 235);
  const side = Math.abs(x - 280) < 5 ? "" : x < 280 ? "end" : "start";
  return { x: (x - 280) * away, y: (y - 235) * away + 4, class: `line-1 ${side}` };
}

function newNode({ node, role }) {
  const { x, y, size } = ring.places.get(node);
  const warehouse = role === "warehouse";
  const box = (by) => ({
    x: -size - by,
    y: -size - by,
    width: 2 * (size + by),
    height: 2 * (size + by),
    rx: 8,
  });
  const shape = (name, by) =>
    warehouse ? draw("rect", { class: name, ...box(by) }) : draw("circle", { class: name, r: size + by });
  const cross = size * 0.6;
  const badge = (name, at) =>
    draw(
      "g",
      { class: `badge ${name}`, transform: `translate(${at} ${-size * 0.8})` },
      draw("circle", { r: ring.crowded ? 9 : 11 }),
      draw("text", { y: 5 }),
    );
  return draw(
    "g",
    { "data-node": node, role: "radio", transform: `translate(${x} ${y})` },
    shape("focus-ring", 11),
    shape("office-ring", 6),
    shape("body", 0),
    draw("path", {
      class: "cross",
      d: `M${-cross} ${-cross}L${cross} ${cross}M${cross} ${-cross}L${-cross} ${cross}`,
    }),
    warehouse
      ? draw("path", { class: "house", d: "M-19 15V-5L0-17 19-5V15zM-10 15V2H10V15M-10 8H10" })
      : draw("text", { class: "number", y: 7 }, node.replace("peer-", "")),
    badge("office", -size * 0.8),
    badge("sign", size * 0.8),
    draw("text", { class: "line-1", ...namePlace({ x, y, size }, warehouse) }),
    draw("text", { class: "line-2", y: size + 40 }),
  );
}

function signOf(node, fenced) {
  if (node.state !== "alive") return node.state;
  if (node.pairing === "syncing") return "syncing";
  return fenced.has(node.node) ? "fenced" : "";
}

function linesOf(node, fenced) {
  const first = node.office ? `${node.office} · term ${node.term}` : node.role;
  const second = [
    node.state === "alive" ? "" : node.state,
    fenced.has(node.node) ? "fenced" : "",
    node.pairing === "paired" || !node.pairing ? "" : node.pairing,
    node.queue_depth ? `${count(node.queue_depth)} queued` : "",
    node.health && node.health !== "ok" ? "! health" : "",
  ];
  return [first, second.filter(Boolean).join(", ")];
}

function updateNode(group, node, fenced) {
  const sign = signOf(node, fenced);
  const [first, second] = linesOf(node, fenced);
  const selected = node.node === state.selected;
  set(group, {
    class: `node ${ring.crowded && node.role !== "warehouse" ? "crowded" : ""}`,
    "data-state": node.state,
    "data-office": node.office || "",
    "data-sign": sign,
    "aria-label": [node.node, first, node.state, second].filter(Boolean).join(", "),
    "aria-checked": selected,
    tabindex: selected || (!state.selected && node.role === "warehouse") ? 0 : -1,
  });
  const [officeText, signText] = group.querySelectorAll(".badge text");
  say(officeText, { primary: "P", secondary: "S" }[node.office] || "");
  say(signText, sign ? (SIGNS[sign] || ["!"])[0] : "");
  say(group.querySelector(".line-1"), first);
  say(
    group.querySelector(".line-2"),
    node.role === "warehouse" ? second || `ledger ${count(node.ledger_seq)}` : second,
  );
}

function ringLines(snapshot) {
  const lines = snapshot.links.map(([from, to]) => ({ from, to, kind: "topology" }));
  const traders = ["primary", "secondary"].map((office) => traderIn(office, snapshot)).filter(Boolean);
  for (const { node, office } of traders)
    lines.push({ from: node, to: "warehouse", kind: `settles ${office}` });
  if (traders.length === 2) lines.push({ from: traders[0].node, to: traders[1].node, kind: "pair" });
  for (const [from, to] of snapshot.cuts) lines.push({ from, to, kind: "cut" });
  const last = snapshot.failovers.at(-1);
  if (last && known(last.to) && snapshot.time - last.time < HANDOVER_US) {
    lines.push({ from: peerName(last.from), to: peerName(last.to), kind: "handover" });
  }
  return lines.filter(({ from, to }) => ring.places.has(from) && ring.places.has(to));
}

function updateLine(line, { from, to, kind }) {
  const [a, b] = [ring.places.get(from), ring.places.get(to)];
  const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  const [dx, dy] = [(b.x - a.x) / length, (b.y - a.y) / length];
  // A handover goes from rim to rim, so that its head is seen.
  const gap = kind === "handover" ? 10 : 0;
  const attributes = {
    class: `line ${kind}`,
    x1: a.x + dx * (gap ? a.size + gap : 0),
    y1: a.y + dy * (gap ? a.size + gap : 0),
    x2: b.x - dx * (gap ? b.size + gap : 0),
    y2: b.y - dy * (gap ? b.size + gap : 0),
  };
  if (gap) attributes["marker-end"] = "url(#handover-head)";
  set(line, attributes);
}

function renderRing(snapshot) {
  const before = ring.names;
  placeNodes(snapshot.nodes);
  if (before !== ring.names) $("ring-nodes").replaceChildren();
  const fenced = fencedNodes(snapshot);
  const lineKey = ({ from, to, kind }) => `${kind} ${from} ${to}`;
  keyed($("ring-links"), ringLines(snapshot), lineKey, () => draw("line"), updateLine);
  keyed(
    $("ring-nodes"),
    snapshot.nodes,
    ({ node }) => node,
    newNode,
    (group, node) => updateNode(group, node, fenced),
  );
  const links = new Map(snapshot.nodes.map(({ node }) => [node, []]));
  const tell = (pairs, text) => {
    for (const [one, other] of pairs) {
      links.get(one)?.push(other + text);
      links.get(other)?.push(one + text);
    }
  };
  tell(snapshot.links, "");
  tell(snapshot.cuts, " (cut)");
  keyed(
    $("ring-rows"),
    snapshot.nodes,
    ({ node }) => node,
    () => make("tr"),
    (row, node) => {
      const office = [node.office && `${node.office}, term ${node.term}`, node.pairing]
        .filter(Boolean)
        .join(", ");
      const words = fenced.has(node.node) ? `${node.state}, fenced` : node.state;
      fillRow(row, [
        node.node,
        node.role,
        words,
        office,
        count(node.queue_depth),
        links.get(node.node).join(", "),
      ]);
    },
  );
}

function moveInRing(event) {
  const nodes = state.shown ? state.shown.nodes.map(({ node }) => node) : [];
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  const now = event.target.closest("[data-node]")?.dataset.node;
  if (!now || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" || event.key === " ") select(now);
  else if (event.key in steps) {
    const next = nodes[(nodes.indexOf(now) + steps[event.key] + nodes.length) % nodes.length];
    select(next);
    $("ring")
      .querySelector(`[data-node="${CSS.escape(next)}"]`)
      .focus();
  } else return;
  event.preventDefault();
}

function select(node) {
  state.selected = node;
  say($("act-result"), "");
  $("order-node").value = node;
  if (!state.shown) return;
  renderRing(state.shown);
  renderNode(state.shown);
}

// ---- message dots

const dots = { moving: [], frame: 0, counts: {} };

function addMessages(messages) {
  for (const { kind } of messages) dots.counts[kind] = (dots.counts[kind] || 0) + 1;
  if (calm.matches || isPast() || document.hidden) return;
  const first = Math.min(...messages.map(({ sent }) => sent));
  const now = performance.now();
  for (const { from, to, kind, sent } of messages) {
    const [a, b] = [ring.places.get(from), ring.places.get(to)];
    if (!a || !b || !(kind in KINDS) || dots.moving.length >= DOTS_MAX) continue;
    dots.moving.push({
      a,
      b,
      kind,
      start: now + Math.min((sent - first) / 1000, DOT_SPREAD_MS),
      element: null,
    });
  }
  if (dots.moving.length && !dots.frame) dots.frame = requestAnimationFrame(moveDots);
}

function moveDots(now) {
  dots.moving = dots.moving.filter((dot) => moveDot(dot, (now - dot.start) / DOT_MS));
  dots.frame = dots.moving.length ? requestAnimationFrame(moveDots) : 0;
}

/** Whether the dot is still under way. */
function moveDot(dot, way) {
  if (way < 0) return true;
  if (way >= 1) {
    dot.element?.remove();
    return false;
  }
  if (!dot.element) {
    dot.element = draw("path", { class: `dot ${dot.kind}`, d: KINDS[dot.kind] });
    $("ring-dots").append(dot.element);
  }
  const x = dot.a.x + (dot.b.x - dot.a.x) * way;
  const y = dot.a.y + (dot.b.y - dot.a.y) * way;
  dot.element.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
  return true;
}

function clearDots() {
  cancelAnimationFrame(dots.frame);
  dots.frame = 0;
  dots.moving = [];
  $("ring-dots").replaceChildren();
}

function legends() {
  for (const [kind, path] of Object.entries(KINDS)) {
    const sign = draw("svg", { viewBox: "-8 -8 16 16", "aria-hidden": "true" });
    sign.append(draw("path", { class: `dot ${kind}`, d: path }));
    $("legend-kinds").append(make("li", {}, sign, kind));
  }
  const signs = [
    ["P", "primary trader"],
    ["S", "secondary trader"],
    ...Object.values(SIGNS),
    ["┄", "a link that is cut"],
  ];
  for (const [sign, text] of signs) {
    $("legend-states").append(make("li", {}, make("span", { className: "sign", textContent: sign }), text));
  }
}

// ---- stock

function newStockRow() {
  const bar = make("span", { className: "bar" });
  bar.setAttribute("aria-hidden", "true");
  const row = make("tr");
  fillRow(row, ["", "", "", "", ""], 1);
  row.cells[2].append(make("span"), bar);
  return row;
}

function cacheCell(cell, trader, index, truth) {
  const cached = trader?.cache?.[index];
  const differs = known(cached) && cached !== truth;
  const by = cached - truth;
  const text = known(cached) ? count(cached) : "-";
  say(cell, differs ? `≠ ${text} (${by > 0 ? "+" : ""}${by})` : text);
  cell.className = differs ? "n differs" : "n";
}

function renderStock(snapshot) {
  const traders = ["primary", "secondary"].map((office) => traderIn(office, snapshot));
  traders.forEach((trader, index) => {
    const office = ["primary", "secondary"][index];
    say($(`stock-${office}`), trader ? `${office}\n${trader.node}` : office);
  });
  const most = Math.max(1, ...snapshot.stock.map(({ stock }) => stock));
  const items = snapshot.stock.map((product, index) => ({ ...product, index }));
  keyed(
    $("stock-rows"),
    items,
    ({ product }) => product,
    newStockRow,
    (row, item) => {
      say(row.cells[0], item.product);
      say(row.cells[1], known(item.unit_price) ? (item.unit_price / 100).toFixed(2) : "-");
      const [number, bar] = row.cells[2].children;
      say(number, count(item.stock));
      bar.style.width = `${(Math.max(0, item.stock) / most) * 100}%`;
      traders.forEach((trader, at) => cacheCell(row.cells[3 + at], trader, item.index, item.stock));
    },
  );
  const notes = traders
    .filter((trader) => known(trader?.cache_age_ms) && !snapshot.past)
    .map(
      (trader) =>
        `${trader.node}: ${count(trader.cache_age_ms)} ms old, ${count(trader.cache_behind)} rows behind`,
    );
  const told = traders.some((trader) => trader?.cache) || snapshot.past ? "" : " No trader tells of a cache.";
  const past = snapshot.past ? " What the caches held is not kept for the past." : "";
  say(
    $("stock-note"),
    `Market ${snapshot.consistency}. ${notes.join("; ")}${notes.length ? "." : ""}${told}${past}`,
  );
}

// ---- queues

// A trader keeps its side while its office changes, so that a dead trader's orders slide across to the heir.
const queues = { sides: [], owners: new Map(), departed: new Map() };

function prepareQueues() {
  for (const box of document.querySelectorAll(".queue")) {
    const [title, depth, list] = [
      box.querySelector("h3"),
      box.querySelector(".depth"),
      box.querySelector("ol"),
    ];
    queues.sides.push({ box, title, depth, list, trader: "" });
  }
}

/** Gives each trader a side; the lists' ids follow the offices. */
function assignSides(traders) {
  const names = Object.values(traders).map((trader) => trader?.node);
  for (const side of queues.sides) {
    if (!names.includes(side.trader)) side.trader = "";
  }
  for (const trader of Object.values(traders)) {
    if (!trader || queues.sides.some((side) => side.trader === trader.node)) continue;
    queues.sides.find((side) => !side.trader).trader = trader.node;
  }
  const [left, right] = queues.sides;
  const holds = (side, office) => side.trader !== "" && side.trader === traders[office]?.node;
  const turned = holds(right, "primary") || holds(left, "secondary");
  left.office = turned ? "secondary" : "primary";
  right.office = turned ? "primary" : "secondary";
  for (const side of queues.sides) side.list.id = `queue-${side.office}`;
}

function whereOrdersAre() {
  const places = new Map();
  for (const { list, trader } of queues.sides) {
    for (const item of list.children) {
      const { left, top } = item.getBoundingClientRect();
      places.set(item.dataset.order, { x: left + scrollX, y: top + scrollY, trader, item });
    }
  }
  return places;
}

function newOrder({ order }) {
  const parts = ["stamp", "id", "what", "came-from"].map((className) => make("span", { className }));
  const item = make("li", {}, ...parts);
  item.dataset.order = order;
  return item;
}

function updateOrder(item, entry, trader, offices) {
  const [stamp, id, what, cameFrom] = item.children;
  say(stamp, String(entry.stamp));
  say(id, entry.order);
  say(what, `${entry.kind} ${count(entry.quantity)} ${entry.product}`);
  const owner = queues.owners.get(entry.order);
  const moved = owner && owner !== trader && !offices.includes(owner);
  if (moved) item.dataset.from = owner;
  else if (!owner) delete item.dataset.from;
  say(cameFrom, item.dataset.from && item.dataset.from !== trader ? `of ${item.dataset.from}` : "");
  queues.owners.delete(entry.order);
  queues.owners.set(entry.order, trader);
  trim(queues.owners, OWNERS_MAX);
}

/** Lets go of what is no longer queued, but for a gone trader's orders: the heir may bring them back. */
function takeOutOrders(places, wanted, offices) {
  for (const [order, place] of places) {
    if (wanted.has(order)) continue;
    place.item.remove();
    if (offices.includes(place.trader)) continue;
    queues.departed.set(order, place);
  }
  trim(queues.departed, DEPARTED_MAX);
}

function slide(places) {
  const stacked = innerWidth < 520;
  for (const { list } of queues.sides) {
    for (const item of list.children) {
      const from = places.get(item.dataset.order) || queues.departed.get(item.dataset.order);
      queues.departed.delete(item.dataset.order);
      if (!from) continue;
      const { left, top } = item.getBoundingClientRect();
      const [dx, dy] = [from.x - left - scrollX, from.y - top - scrollY];
      if (Math.abs(dx) + Math.abs(dy) < 2) continue;
      if (dx || stacked) letOut(list);
      item.animate([{ transform: `translate(${dx}px, ${dy}px)` }, { transform: "none" }], {
        duration: SLIDE_MS,
        easing: "ease-in-out",
      });
    }
  }
}

// A list that scrolls would clip what slides in from the other one.
function letOut(list) {
  if (list.classList.contains("sliding")) return;
  const top = list.scrollTop;
  list.classList.add("sliding");
  setTimeout(() => {
    list.classList.remove("sliding");
    list.scrollTop = top;
  }, SLIDE_MS);
}

function renderQueues(snapshot) {
  const places = whereOrdersAre();
  const traders = { primary: traderIn("primary", snapshot), secondary: traderIn("secondary", snapshot) };
  const offices = Object.values(traders).map((trader) => trader?.node);
  assignSides(traders);
  const entries = (side) => traders[side.office]?.queue || [];
  const wanted = new Set(queues.sides.flatMap((side) => entries(side).map(({ order }) => order)));
  takeOutOrders(places, wanted, offices);
  const used = new Set();
  for (const side of queues.sides) {
    const items = entries(side).map((entry) => {
      const free = used.has(entry.order) ? null : places.get(entry.order)?.item;
      used.add(entry.order);
      const item = free || newOrder(entry);
      updateOrder(item, entry, side.trader, offices);
      return item;
    });
    putInOrder(side.list, items);
    queueTexts(side, traders[side.office]);
  }
  if (!calm.matches) slide(places);
  else queues.departed.clear();
}

function putInOrder(list, items) {
  const stay = new Set(items);
  for (const item of [...list.children]) if (!stay.has(item)) item.remove();
  items.forEach((item, index) => {
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] || null);
  });
}

function queueTexts({ box, title, depth, office }, trader) {
  const name = office[0].toUpperCase() + office.slice(1);
  const dead = trader && trader.state !== "alive" ? `, ${trader.state}` : "";
  say(title, trader ? `${name}: ${trader.node}${dead}` : `${name}: nobody`);
  const shown = trader?.queue.length || 0;
  const all = trader?.queue_depth || 0;
  const more = all > shown ? `, the first ${shown} shown` : "";
  say(depth, trader ? `term ${trader.term}, ${count(all)} queued${more}` : "no trader in this office");
  box.dataset.office = office;
}

function forgetQueues() {
  queues.owners.clear();
  queues.departed.clear();
  for (const { list } of queues.sides) list.replaceChildren();
}

// ---- failovers

function failoverTitle({ from, to }) {
  const heir = known(to) ? `${peerName(to)} took over` : "nobody took over yet";
  return `${peerName(from)} lost its office, ${heir}`;
}

function failoverFigures(failover) {
  return [
    ["at", clockTime(failover.time)],
    ["detected in", millis(failover.detected_ms)],
    ["took over in", millis(failover.took_over_ms)],
    ["orders replayed", count(failover.replayed)],
    ["duplicates suppressed", count(failover.duplicates)],
  ];
}

function cardFailover(snapshot) {
  const last = snapshot.failovers.at(-1);
  if (!last || failoverKey(last) === state.putAway) return null;
  const recent = snapshot.past ? snapshot.time - last.time < CARD_PAST_US : last.time > state.opened;
  return recent ? last : null;
}

function renderFailovers(snapshot) {
  const card = cardFailover(snapshot);
  const shown = $("failover-card");
  shown.hidden = !card;
  if (card) {
    if (shown.dataset.key !== failoverKey(card)) shown.animate?.([{ opacity: 0.2 }, { opacity: 1 }], 300);
    shown.dataset.key = failoverKey(card);
    say($("failover-what"), failoverTitle(card));
    fillList($("failover-fields"), failoverFigures(card));
  }
  const earlier = snapshot.failovers.filter((failover) => failover !== card).reverse();
  $("failovers-none").hidden = snapshot.failovers.length > 0;
  keyed(
    $("failovers"),
    earlier,
    failoverKey,
    () => make("li"),
    (item, failover) => {
      const { time, from, to, took_over_ms: took, replayed, duplicates } = failover;
      const counts = `${count(replayed)} replayed, ${count(duplicates)} duplicates`;
      say(item, `${clockTime(time)} ${peerName(from)} → ${peerName(to)}, ${millis(took)}, ${counts}`);
    },
  );
}

function fillList(list, pairs) {
  keyed(
    list,
    pairs,
    ([name]) => name,
    ([name]) => make("div", {}, make("dt", { textContent: name }), make("dd")),
    (item, [, text]) => say(item.lastChild, text),
  );
}

/** A new failover, and who took over once that is known, are told to screen readers. */
function announceFailovers(snapshot) {
  const told = new Set(snapshot.failovers.map((failover) => `${failoverKey(failover)} ${failover.to}`));
  const last = snapshot.failovers.at(-1);
  if (state.told && last && !state.told.has(`${failoverKey(last)} ${last.to}`)) {
    say($("announce"), `Failover: ${failoverTitle(last)}, ${count(last.replayed)} orders replayed.`);
  }
  state.told = told;
}

// ---- invariants

function lightOf({ result, checked, failed }) {
  if (failed > 0 || result === "failed")
    return ["failed", "✕", `failed, ${count(failed)} of ${count(checked)}`];
  if (result === "ok") return ["ok", "✓", `ok, ${count(checked)} checked`];
  return ["open", "…", result || "not yet looked"];
}

function newLight({ check }) {
  const item = make(
    "li",
    {},
    ...["sign", "check", "name", "counts"].map((className) => make("span", { className })),
  );
  item.dataset.check = check;
  return item;
}

function verdictText({ ok, checks, why }) {
  const failed = (checks || []).some((check) => check.failed > 0);
  let text = failed ? "Broken" : "The checks did not come to an end";
  if (ok) text = "All that was checked holds";
  return why ? `${text}: ${why}` : text;
}

function renderLights(snapshot) {
  const { verdict } = snapshot;
  const names = state.live?.verdict?.checks || [];
  const checks = verdict
    ? verdict.checks || []
    : names.map(({ check, name }) => ({ check, name, result: snapshot.past ? "not told" : "" }));
  keyed(
    $("lights"),
    checks,
    ({ check }) => check,
    newLight,
    (item, check) => {
      const [light, sign, counts] = lightOf(check);
      item.dataset.light = light;
      [sign, check.check, check.name, counts].forEach((text, index) => say(item.children[index], text));
    },
  );
  let note = "Nothing was looked at yet.";
  if (snapshot.past) note = "The checks are of the market now, not of the past.";
  else if (verdict) note = `${verdictText(verdict)}, at ${clockTime(verdict.time, 0)}.`;
  say($("lights-note"), note);
  $("lights-note").classList.toggle("bad", verdict ? !verdict.ok : false);
}

// ---- rates, memory and disk

function renderRates({ rates }) {
  const figure = (key, digits, unit) => (known(rates?.[key]) ? `${rates[key].toFixed(digits)}${unit}` : "-");
  fillList($("rates"), [
    ["orders/s", figure("orders_per_s", 0, "")],
    ["p50", figure("p50_ms", 2, " ms")],
    ["p99", figure("p99_ms", 2, " ms")],
  ]);
}

function renderResources(snapshot) {
  keyed(
    $("resource-rows"),
    snapshot.nodes,
    ({ node }) => node,
    () => make("tr"),
    (row, { node, rss_bytes: memory, disk_bytes: disk }) =>
      fillRow(row, [node, bytes(memory), bytes(disk)], 1),
  );
}

// Who serves the page keeps the record of the run and draws it.
const charts = { under: false, at: -Infinity, last: "" };

async function readCharts() {
  if (charts.under || performance.now() < charts.at + CHARTS_PAUSE_MS) return;
  [charts.under, charts.at] = [true, performance.now()];
  const { text, error } = await fetchText(isPast() ? `/charts?time=${Math.round(state.at)}` : "/charts");
  charts.under = false;
  if (error || text === charts.last) return;
  charts.last = text;
  renderCharts(JSON.parse(text));
}

function renderCharts({ kinds, load, nodes, rows }) {
  keyed($("charts-load"), load, ({ title }) => title, newChart, updateChart);
  keyed($("charts-nodes"), nodes.slice(0, 2), ({ title }) => title, newChart, updateChart);
  const more = $("more").open ? nodes.slice(2) : [];
  keyed($("charts-more"), more, ({ title }) => title, newChart, updateChart);
  for (const list of document.querySelectorAll(".bands")) chips(list, kinds);
  keyed(
    $("rate-rows"),
    rows,
    ({ time }) => time,
    () => make("tr"),
    (row, { time, orders_per_s: orders, p50_ms: p50, p99_ms: p99 }) =>
      fillRow(row, [clockTime(time, 0), orders.toFixed(0), p50.toFixed(2), p99.toFixed(2)], 1),
  );
}

function newChart() {
  const caption = make("figcaption", {}, make("span"), make("ul", { className: "chips" }));
  return make("figure", { className: "chart" }, caption);
}

function updateChart(figure, { title, unit, lines, svg }) {
  const [text, list] = figure.firstChild.children;
  say(text, `${title}, ${unit}`);
  chips(list, lines);
  const drawn = cleanDiagram(svg);
  if (!drawn) return;
  drawn.setAttribute("viewBox", `0 0 ${drawn.getAttribute("width")} ${drawn.getAttribute("height")}`);
  set(drawn, { role: "img", "aria-label": `${title} since the run began` });
  figure.replaceChildren(figure.firstChild, drawn);
}

/** Names with their colours. */
function chips(list, names) {
  keyed(
    list,
    names,
    ({ name }) => name,
    () => make("li", {}, make("span", { className: "chip" }), make("span")),
    (item, { colour, name }) => {
      item.firstChild.style.background = colour;
      say(item.lastChild, name);
    },
  );
}

// ---- the selected node

function fieldText(name, value) {
  if (!known(value)) return "-";
  if (name.endsWith("_bytes")) return bytes(value);
  if (value.order) return value.order;
  if (Array.isArray(value)) return value.map((item) => item?.order ?? item).join(", ") || "none";
  return typeof value === "number" && name !== "pid" && name !== "term" ? count(value) : String(value);
}

function renderNode(snapshot) {
  const node = snapshot.nodes.find((one) => one.node === state.selected);
  say($("node-title"), node ? node.node : "Node");
  $("node-none").hidden = Boolean(node);
  const names = node ? Object.keys(node).filter((name) => name !== "node") : [];
  const pairs = names.map((name) => [FIELD_NAMES[name] || name, fieldText(name, node[name])]);
  fillList($("node-fields"), pairs);
  renderActs(snapshot, node);
}

/** Why an act makes no sense for a node; empty if it does. */
function against(act, node) {
  const gone = node.state === "dead" || node.state === "left";
  if (act === "cut" || act === "heal") {
    const other = $("act-other").value;
    const cut = state.live.cuts.some((pair) => pair.includes(node.node) && pair.includes(other));
    if (cut === (act === "cut"))
      return `The link of ${node.node} and ${other} ${cut ? "is cut" : "carries"}.`;
    return "";
  }
  if (act === "restart") return gone ? "" : `${node.node} runs.`;
  if (gone) return `${node.node} is ${node.state}.`;
  if (act === "resume" && node.state === "alive") return `${node.node} is not paused.`;
  if (act === "pause" && node.state === "paused") return `${node.node} is paused already.`;
  if (act === "resign" && !node.office) return `${node.node} holds no office.`;
  return "";
}

function renderActs(snapshot, node) {
  const acts = state.token && !isPast() ? snapshot.acts : [];
  $("acts").hidden = !node || !acts.length;
  const others = snapshot.nodes.map((one) => one.node).filter((name) => name !== node?.node);
  keyed($("act-other"), others, String, () => make("option"), say);
  $("no-cuts").hidden = !node || !acts.length || acts.includes("cut");
  $("act-other").parentElement.hidden = !acts.includes("cut");
  for (const button of $("acts").querySelectorAll("button")) {
    button.hidden = !acts.includes(button.dataset.act);
    if (node) set(button, { "aria-disabled": against(button.dataset.act, node) !== "" });
  }
  $("order-form").hidden = !acts.includes("order");
  $("only-looking").hidden = acts.length > 0;
  let why = "This page only looks: ";
  if (isPast()) why += "it shows the past. Return to live to act.";
  else if (!snapshot.acts.length) why += "what is done to this market is done elsewhere.";
  else if (!state.token) why += "its address has no token. Open the address that bazaar up printed to act.";
  say($("only-looking"), why);
  if (acts.includes("order")) renderOrderForm(snapshot);
}

function renderOrderForm(snapshot) {
  const option = () => make("option");
  const peers = snapshot.nodes.filter(({ role }) => role !== "warehouse").map(({ node }) => node);
  keyed($("order-node"), peers, String, option, say);
  keyed(
    $("order-product"),
    snapshot.stock.map(({ product }) => product),
    String,
    option,
    say,
  );
}

async function act(body) {
  const result = $("act-result");
  result.classList.remove("bad");
  say(result, `${body.act} ${body.node} ...`);
  try {
    const answer = await fetch("/act", {
      method: "POST",
      headers: { "content-type": "application/json", "x-bazaar-token": state.token },
      body: JSON.stringify(body),
    });
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(errorText(told.error) || `the market answered ${answer.status}`);
    say(result, told.did || "done");
  } catch (error) {
    result.classList.add("bad");
    say(result, `Not done: ${error.message}`);
  }
}

function errorText(error) {
  if (!error) return "";
  const { what, why, hint } = error;
  return [what, why].filter(Boolean).join(": ") + (hint ? `; ${hint}` : "");
}

function actOnNode(event) {
  const button = event.target.closest("[data-act]");
  const node = state.live?.nodes.find((one) => one.node === state.selected);
  if (!button || !node) return;
  const why = against(button.dataset.act, node);
  if (why) say($("act-result"), why);
  else act({ act: button.dataset.act, node: node.node, other: $("act-other").value });
}

function placeOrder(event) {
  event.preventDefault();
  const quantity = Number($("order-quantity").value);
  const [node, kind, product] = ["node", "kind", "product"].map((name) => $(`order-${name}`).value);
  act({ act: "order", node, kind, product, quantity });
}

// ---- what is shown

function render(snapshot) {
  state.shown = snapshot;
  renderRing(snapshot);
  renderStock(snapshot);
  renderQueues(snapshot);
  renderFailovers(snapshot);
  renderLights(snapshot);
  renderRates(snapshot);
  renderResources(snapshot);
  renderNode(snapshot);
  const alive = snapshot.nodes.filter((node) => node.state === "alive").length;
  const facts = [
    `market ${snapshot.cluster}`,
    snapshot.consistency,
    `${alive} of ${snapshot.nodes.length} nodes alive`,
    `ledger row ${count(snapshot.ledger_seq)}`,
  ];
  say($("facts"), facts.join(" · "));
  document.body.dataset.seen = snapshot.ledger_seq;
}

function takeLive(snapshot) {
  if (state.live && state.live.cluster !== snapshot.cluster) forgetMarket();
  if (!state.opened) state.opened = snapshot.time;
  if (facesOf(state.live) !== facesOf(snapshot)) readMarks();
  state.live = snapshot;
  announceFailovers(snapshot);
  readCharts();
  if (!isPast()) render(snapshot);
  renderTime();
  const counts = Object.entries(dots.counts).map(([kind, number]) => `${kind} ${count(number)}`);
  say($("message-counts"), `Messages in the samples: ${counts.join(", ") || "none"}.`);
}

/** What marks are made of: they are read anew when this changes. */
function facesOf(snapshot) {
  if (!snapshot) return "";
  const nodes = snapshot.nodes.map(
    ({ node, state: now, office, term }) => `${node} ${now} ${office} ${term}`,
  );
  return [...nodes, snapshot.failovers.length].join();
}

function forgetMarket() {
  forgetQueues();
  dots.counts = {};
  Object.assign(state, { opened: 0, marks: [], told: null, selected: "" });
  goLive();
}

// ---- the time line

const past = { wanted: null, busy: false, asked: 0, visit: 0, timer: 0, ticked: 0, dragging: false };

function goLive() {
  stopPlaying();
  past.visit += 1;
  past.wanted = null;
  state.problem = "";
  if (isPast()) {
    forgetQueues();
    say($("announce"), "Live again.");
  }
  setMode("live");
  if (state.live) render(state.live);
  renderTime();
}

function setMode(mode) {
  state.mode = mode;
  document.body.dataset.mode = mode;
  if (mode === "past") clearDots();
}

function goPast(time) {
  if (!state.live) return;
  if (!isPast()) {
    forgetQueues();
    setMode("past");
    say($("announce"), `This is the past, ${clockTime(time)}.`);
    say($("act-result"), "");
    renderActs(
      state.shown,
      state.shown.nodes.find((one) => one.node === state.selected),
    );
  }
  state.at = Math.round(Math.max(state.live.began, Math.min(time, state.live.time)));
  past.wanted = state.at;
  renderTime();
  if (!past.busy) askPast();
}

// One request is under way at most, and the last wanted time wins.
async function askPast() {
  past.busy = true;
  while (past.wanted !== null) {
    const { wanted, visit } = past;
    past.wanted = null;
    past.asked = performance.now();
    const answer = await fetchText(`/at?time=${wanted}`);
    past.asked = 0;
    if (visit === past.visit) showPast(answer);
    await new Promise((done) => setTimeout(done, AT_PAUSE_MS));
  }
  past.busy = false;
}

function showPast({ text, error }) {
  state.problem = error;
  if (!error) {
    try {
      render(JSON.parse(text));
    } catch (problem) {
      state.problem = `the answer cannot be shown: ${problem.message}`;
    }
  }
  renderTime();
}

async function fetchText(address) {
  try {
    const answer = await fetch(address);
    const text = await answer.text();
    return answer.ok
      ? { text, error: "" }
      : { text: "", error: text.trim() || `the market answered ${answer.status}` };
  } catch {
    return { text: "", error: "the market does not answer" };
  }
}

function renderTime() {
  const { live } = state;
  if (!live) return;
  const slider = $("timeline");
  const end = Math.max(1, Math.round((live.time - live.began) / 1000));
  // The thumb stays where it is held.
  if (!past.dragging) slider.max = end;
  const time = isPast() ? state.at : live.time;
  if (!past.dragging) slider.value = Math.round((time - live.began) / 1000);
  const ago = isPast() ? `${span((live.time - time) / 1e6)} ago` : "now";
  set(slider, { "aria-valuetext": `${clockTime(time)}, ${ago}` });
  set($("ticks"), { viewBox: `0 0 ${end} 10` });
  say($("clock"), clockTime(time, isPast() ? 3 : 0));
  say($("play"), isPast() && !state.playing ? "Play" : "Pause");
  set($("live"), { "aria-pressed": !isPast() });
  $("past-banner").hidden = !isPast();
  if (isPast()) renderPastBanner(live, time, ago);
}

function renderPastBanner(live, time, ago) {
  const slow = past.asked && performance.now() - past.asked > SLOW_MS;
  const late = slow || !state.shown.past ? " Reading the stores ..." : "";
  const problem = state.problem ? ` That time cannot be shown: ${state.problem}.` : late;
  const now = `The market goes on: now ${clockTime(live.time, 0)}, ledger row ${count(live.ledger_seq)}.`;
  say($("past-text"), `This is the past: ${clockTime(time, 3)}, ${ago}.${problem} ${now}`);
  $("past-banner").classList.toggle("bad", state.problem !== "");
}

function slideTime() {
  const slider = $("timeline");
  // The slider stops at whole steps, of which the last may lie before its end.
  if (Number(slider.value) + Number(slider.step) > Number(slider.max)) goLive();
  else {
    stopPlaying();
    goPast(state.live.began + Number(slider.value) * 1000);
  }
}

function timeShown() {
  return isPast() ? state.at : state.live?.time || 0;
}

function smallStep(direction) {
  if (!state.live) return;
  stopPlaying();
  const time = timeShown() + direction * SMALL_STEP_US;
  if (time >= state.live.time) goLive();
  else goPast(time);
}

async function toMark(direction, wanted) {
  stopPlaying();
  await readMarks();
  const now = timeShown();
  const marks = state.marks.filter(wanted);
  const mark =
    direction > 0 ? marks.find(({ time }) => time > now) : marks.findLast(({ time }) => time < now);
  if (mark) goPast(mark.time);
  else if (direction > 0) goLive();
  else if (state.live) goPast(state.live.began);
  say(
    $("announce"),
    mark ? `${mark.node} ${mark.kind}: ${mark.text}` : "No such mark; the end of the time line.",
  );
}

const step = (direction) => toMark(direction, () => true);
const toFault = (direction) => toMark(direction, ({ kind }) => FAULTS.has(kind));

function togglePlay() {
  if (!isPast()) goPast(timeShown());
  else if (state.playing) stopPlaying();
  else startPlaying();
  renderTime();
}

function startPlaying() {
  state.playing = true;
  past.ticked = performance.now();
  past.timer = setInterval(playOn, PLAY_TICK_MS);
}

function stopPlaying() {
  clearInterval(past.timer);
  state.playing = false;
}

function playOn() {
  const now = performance.now();
  const time = state.at + (now - past.ticked) * 1000 * Number($("speed").value);
  past.ticked = now;
  if (time >= state.live.time) goLive();
  else goPast(time);
}

const marksRead = { at: -Infinity, under: null, later: 0 };

/** Reads the marks, at most once a second. */
function readMarks() {
  const wait = marksRead.at + MARKS_PAUSE_MS - performance.now();
  if (marksRead.under) return marksRead.under;
  if (wait > 0) {
    clearTimeout(marksRead.later);
    marksRead.later = setTimeout(readMarks, wait);
    return Promise.resolve();
  }
  marksRead.at = performance.now();
  marksRead.under = fetchText("/marks").then(({ text, error }) => {
    marksRead.under = null;
    if (!error) takeMarks(text);
  });
  return marksRead.under;
}

function takeMarks(text) {
  try {
    state.marks = JSON.parse(text);
  } catch {
    return;
  }
  renderMarks();
}

function renderMarks() {
  const began = state.live?.began || 0;
  const last = state.marks.slice(-MARKS_SHOWN);
  const key = ({ time, kind, node }) => `${time} ${kind} ${node}`;
  keyed(
    $("ticks"),
    last,
    key,
    () => draw("line"),
    (line, { time, kind }) => {
      const x = (time - began) / 1000;
      set(line, { class: `tick ${kind}`, x1: x, x2: x, y1: FAULTS.has(kind) ? 0 : 5, y2: 10 });
    },
  );
  keyed($("mark-rows"), last.slice().reverse(), key, newMarkRow, (row, { time, kind, node, text }) => {
    say(row.querySelector("button"), clockTime(time, 3));
    say(row.cells[1], node);
    say(row.cells[2], text ? `${kind}: ${text}` : kind);
  });
}

function newMarkRow({ time }) {
  const button = make("button", { type: "button" });
  button.dataset.time = time;
  const row = make("tr");
  fillRow(row, ["", "", ""]);
  row.cells[0].append(button);
  return row;
}

function markChosen(event) {
  const button = event.target.closest("[data-time]");
  if (!button) return;
  stopPlaying();
  goPast(Number(button.dataset.time));
}

// ---- space-time diagram

const diagram = { things: [], current: -1, picture: null, wanted: 0 };
const DIAGRAM_ELEMENTS = "svg title desc defs marker path line polyline circle rect g text tspan".split(" ");

async function drawDiagram(query) {
  const turn = (diagram.wanted += 1);
  say($("diagram-record"), "Drawing ...");
  const { text, error } = await fetchText(`/diagram.svg?${query}`);
  if (turn !== diagram.wanted) return;
  const drawn = error ? null : cleanDiagram(text);
  if (drawn) showDiagram(drawn);
  else say($("diagram-record"), `Not drawn: ${error || "the answer is no picture"}`);
}

function drawLast() {
  if (!state.live) return;
  const to = timeShown();
  drawDiagram(`from=${to - Number($("diagram-seconds").value) * 1e6}&to=${to}`);
}

/** The picture, without anything that could act or that the page's policy forbids. */
function cleanDiagram(text) {
  const plain = text.replace(/<style[\s\S]*?<\/style>/g, "");
  const root = new DOMParser().parseFromString(plain, "image/svg+xml").documentElement;
  if (root.localName !== "svg") return null;
  for (const element of [root, ...root.querySelectorAll("*")]) {
    if (!DIAGRAM_ELEMENTS.includes(element.localName)) element.remove();
    for (const { name } of [...element.attributes]) {
      if (/^on|^style$|href$/i.test(name)) element.removeAttribute(name);
    }
  }
  return document.adoptNode(root);
}

function showDiagram(root) {
  const title = root.querySelector(":scope > title")?.textContent || "Space-time diagram";
  root.querySelector(":scope > title")?.remove();
  set(root, { tabindex: 0, role: "img", "aria-label": `${title}; arrow keys go from record to record` });
  diagram.things = [...root.querySelectorAll("line, circle, polyline, path")]
    .filter((element) => element.querySelector("title"))
    .slice(0, DIAGRAM_THINGS)
    .map(thingOf);
  diagram.current = -1;
  diagram.picture = root;
  $("diagram").replaceChildren(root);
  $("diagram").scrollLeft = $("diagram").scrollWidth;
  $("diagram-details").hidden = false;
  say(
    $("diagram-record"),
    `${count(diagram.things.length)} records. Point at one, or use the arrow keys in the picture.`,
  );
  renderDiagramRows();
}

// The browser's own tooltip would cover the picture, so the record moves out of <title>.
function thingOf(element) {
  const title = element.querySelector("title");
  const text = title.textContent;
  title.remove();
  const read = (name, other) => Number(element.getAttribute(name) ?? element.getAttribute(other)) || 0;
  const [x1, y1, x2, y2] = [read("x1", "cx"), read("y1", "cy"), read("x2", "cx"), read("y2", "cy")];
  return { element, text, x1, y1, x2, y2 };
}

function renderDiagramRows() {
  if (!$("diagram-details").open) return;
  const rows = diagram.things.slice().sort((one, other) => one.x1 - other.x1);
  $("diagram-rows").replaceChildren(
    ...rows
      .slice(0, DIAGRAM_ROWS)
      .map(({ text, element }) =>
        make("li", { textContent: `${element.getAttribute("class") || ""}: ${text}` }),
      ),
  );
  say(
    $("diagram-cut"),
    rows.length > DIAGRAM_ROWS ? `The first ${DIAGRAM_ROWS} of ${count(rows.length)}.` : "",
  );
}

function showThing(index) {
  if (index === diagram.current) return;
  diagram.things[diagram.current]?.element.classList.remove("current");
  diagram.current = index;
  const thing = diagram.things[index];
  if (!thing) return;
  thing.element.classList.add("current");
  say($("diagram-record"), thing.text);
}

function distance({ x1, y1, x2, y2 }, x, y) {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const along = Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1)));
  // Circles lie on lines: they win where both are near.
  const head = dx || dy ? 3 : 0;
  return Math.hypot(x - x1 - along * dx, y - y1 - along * dy) + head;
}

function pointInDiagram(event) {
  if (!diagram.picture) return;
  const matrix = diagram.picture.getScreenCTM();
  if (!matrix) return;
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
  let [nearest, least] = [-1, DIAGRAM_REACH];
  diagram.things.forEach((thing, index) => {
    const far = distance(thing, x, y);
    if (far < least) [nearest, least] = [index, far];
  });
  if (nearest >= 0) showThing(nearest);
}

function walkDiagram(event) {
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
  if (!(event.key in steps) || !diagram.things.length || event.ctrlKey || event.altKey || event.metaKey)
    return;
  event.preventDefault();
  const last = diagram.things.length - 1;
  const next = Math.max(0, Math.min(last, diagram.current + steps[event.key]));
  showThing(next);
  const { x1, x2 } = diagram.things[next];
  const box = $("diagram");
  if (Math.min(x1, x2) < box.scrollLeft || Math.max(x1, x2) > box.scrollLeft + box.clientWidth) {
    box.scrollLeft = x1 - box.clientWidth / 2;
  }
}

// ---- the event stream

const stream = { source: null, heard: 0, reopen: 0, watch: 0 };

function openStream() {
  clearTimeout(stream.reopen);
  stream.source?.close();
  stream.source = new EventSource("/events");
  stream.source.addEventListener("market", ({ data }) => {
    stream.heard = performance.now();
    $("stream-banner").hidden = true;
    takeLive(JSON.parse(data));
  });
  stream.source.addEventListener("messages", ({ data }) => addMessages(JSON.parse(data)));
  stream.source.addEventListener("error", streamBroke);
}

// EventSource connects again by itself, but not after an answer that is no stream.
function streamBroke() {
  watchStream(true);
  if (stream.source.readyState !== EventSource.CLOSED) return;
  clearTimeout(stream.reopen);
  stream.reopen = setTimeout(openStream, REOPEN_MS);
}

function watchStream(broke = false) {
  if (document.hidden) return;
  const silent = performance.now() - stream.heard > GONE_MS;
  if (!silent && !broke) return;
  $("stream-banner").hidden = false;
  const last = state.live ? ` The page shows what it last heard, of ${clockTime(state.live.time, 0)}.` : "";
  const text = silent
    ? `Nobody serves this page any more, or it does not answer.${last} It is tried again by itself.`
    : "The stream of events broke; connecting again ...";
  say($("stream-banner"), text);
}

function closeStream() {
  stream.source?.close();
  clearTimeout(stream.reopen);
  clearInterval(stream.watch);
  clearDots();
}

function startStream() {
  stream.heard = performance.now();
  openStream();
  clearInterval(stream.watch);
  stream.watch = setInterval(watchStream, 1000);
}

function visibilityChanged() {
  if (document.hidden) {
    stopPlaying();
    closeStream();
  } else startStream();
}

// ---- keys and start

function keyTaken(event) {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || $("help").open) return true;
  const target = event.target.closest?.(
    "input, select, textarea, button, a, summary, [role=radio], svg, .scroll, ol",
  );
  if (!target) return false;
  if (target.matches("input, select, textarea")) return true;
  if (event.key === " ") return true;
  return event.key.startsWith("Arrow") && !target.matches("button, a, summary");
}

function keyPressed(event) {
  if (keyTaken(event) || !$("keys-on").checked) return;
  const keys = {
    " ": togglePlay,
    ArrowLeft: () => (event.shiftKey ? smallStep(-1) : step(-1)),
    ArrowRight: () => (event.shiftKey ? smallStep(1) : step(1)),
    n: () => toFault(1),
    p: () => toFault(-1),
    l: goLive,
    "?": () => $("help").showModal(),
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
}

function readToken() {
  const token = location.hash.slice(1);
  if (token) state.token = token;
  if (state.shown) renderNode(state.shown);
}

function on(id, event, listener) {
  $(id).addEventListener(event, listener);
}

function listen() {
  // The address's fragment is the token, so that the link must not change it.
  on("skip", "click", (event) => {
    event.preventDefault();
    $("main").focus();
  });
  on("ring", "keydown", moveInRing);
  on("ring", "click", (event) => {
    const node = event.target.closest("[data-node]");
    if (node) select(node.dataset.node);
  });
  on("acts", "click", actOnNode);
  on("order-form", "submit", placeOrder);
  on("failover-away", "click", () => {
    state.putAway = $("failover-card").dataset.key;
    renderFailovers(state.shown);
    $("main").focus({ preventScroll: true });
  });
  on("timeline", "input", slideTime);
  on("timeline", "pointerdown", () => (past.dragging = true));
  for (const name of ["pointerup", "pointercancel"]) on("timeline", name, () => (past.dragging = false));
  on("step-back", "click", () => step(-1));
  on("step-forward", "click", () => step(1));
  on("small-back", "click", () => smallStep(-1));
  on("small-forward", "click", () => smallStep(1));
  on("previous-fault", "click", () => toFault(-1));
  on("next-fault", "click", () => toFault(1));
  on("play", "click", togglePlay);
  on("live", "click", goLive);
  on("past-live", "click", () => {
    goLive();
    $("live").focus();
  });
  on("mark-rows", "click", markChosen);
  on("diagram-draw", "click", drawLast);
  on("diagram-form", "submit", (event) => {
    event.preventDefault();
    drawDiagram(`order=${encodeURIComponent($("diagram-order").value)}`);
  });
  on("diagram", "pointermove", pointInDiagram);
  on("diagram", "keydown", walkDiagram);
  on("diagram-details", "toggle", renderDiagramRows);
  on("more", "toggle", () => {
    [charts.at, charts.last] = [-Infinity, ""];
    readCharts();
  });
  on("help-open", "click", () => $("help").showModal());
  on("help-close", "click", () => $("help").close());
  document.addEventListener("keydown", keyPressed);
  document.addEventListener("visibilitychange", visibilityChanged);
  addEventListener("hashchange", readToken);
  calm.addEventListener("change", clearDots);
}

function start() {
  legends();
  prepareQueues();
  readToken();
  listen();
  if (!document.hidden) startStream();
}

start();
