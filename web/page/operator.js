// The last webhook deliveries, for operators. It asks again and again while somebody looks.

import { ago } from "./time.js";

const EVERY = 3000;
const ANSWER_WITHIN = 15_000;
const KEY = "clipbell.operatorToken";

const OUTCOMES = {
  received: "Received",
  ignored: "Ignored",
  applied: "Applied",
  no_change: "No change",
  unmatched: "Unmatched",
};

const element = (id) => document.getElementById(id);
const [door, state, problem, table] = ["door", "state", "problem", "deliveries"].map(element);
const body = table.tBodies[0];
const rows = new Map();

let token = "";
let timer;
let asking;

async function ask() {
  clearTimeout(timer);
  if (!token || asking || document.hidden) return;
  asking = new AbortController();
  const { signal } = asking;
  try {
    const answer = await fetch("/api/webhook/events?limit=100", {
      headers: { Authorization: `Bearer ${token}` },
      cache: "no-store",
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WITHIN)]),
    });
    if (answer.status === 401 || answer.status === 403) {
      leave();
      tell("That token is not right.");
      return;
    }
    if (!answer.ok) throw new Error(`answered with ${answer.status}`);
    const { events } = await answer.json();
    show(events);
  } catch {
    if (signal.aborted) return;
    // What was there stays: it was true when it came.
    sign("reconnecting", "Not reached, trying again");
  } finally {
    if (asking?.signal === signal) {
      asking = undefined;
      if (token) timer = setTimeout(ask, EVERY);
    }
  }
}

function show(events) {
  const present = new Set(events.map(({ webhookId }) => webhookId));
  for (const [id, row] of rows) {
    if (present.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
  const isFirst = body.rows.length === 0;
  events.forEach((event, index) => {
    let row = rows.get(event.webhookId);
    if (!row) {
      row = element("delivery").content.firstElementChild.cloneNode(true);
      row.classList.toggle("fresh", !isFirst);
      rows.set(event.webhookId, row);
    }
    fill(row, event);
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
  });
  table.hidden = events.length === 0;
  element("empty").hidden = events.length > 0;
  sign("live", "Following");
  tick();
}

function fill(row, event) {
  const time = row.querySelector("time");
  time.dateTime = event.receivedAt;
  time.title = new Date(event.receivedAt).toLocaleString();
  set(row.querySelector(".type"), event.type);
  set(row.querySelector(".job"), event.jobId ?? "–");
  const outcome = row.querySelector(".outcome span");
  outcome.dataset.outcome = event.outcome;
  set(outcome, OUTCOMES[event.outcome] ?? event.outcome);
  set(row.querySelector(".count"), String(event.deliveries));
}

/** Text that is the same is left alone: a selection in it stays. */
function set(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

function tick() {
  if (document.hidden) return;
  const now = Date.now();
  for (const time of body.querySelectorAll("time")) set(time, ago(now - Date.parse(time.dateTime)));
}

function sign(connection, text) {
  state.dataset.connection = connection;
  set(state, text);
}

function tell(message) {
  problem.textContent = message;
  problem.hidden = !message;
}

function enter(given) {
  token = given;
  tell("");
  door.hidden = true;
  element("following").hidden = false;
  sign("connecting", "Asking");
  void ask();
}

function leave() {
  token = "";
  remember("");
  asking?.abort();
  asking = undefined;
  clearTimeout(timer);
  rows.clear();
  body.replaceChildren();
  table.hidden = element("empty").hidden = element("following").hidden = true;
  door.hidden = false;
  element("token").focus();
}

function remember(value) {
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Where nothing is kept, it is asked for again.
  }
}

function remembered() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

door.addEventListener("submit", (event) => {
  event.preventDefault();
  const field = element("token");
  const given = field.value.trim();
  if (!given) return;
  field.value = "";
  remember(given);
  enter(given);
  element("title").focus();
});
element("leave").addEventListener("click", leave);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  tick();
  void ask();
});
window.addEventListener("online", () => void ask());
setInterval(tick, 1000);

if (remembered()) enter(remembered());
