// What is told without being looked at: to screen readers, in the tab's title, and by the bell.

const STATES = {
  live: "Live",
  connecting: "Connecting",
  reconnecting: "Reconnecting",
  polling: "Polling",
  idle: "Idle",
  offline: "Offline",
};

const region = document.getElementById("news");
const sign = document.getElementById("connection");
const bell = document.querySelector(".bell");
const name = document.title;

/** How news comes in. A socket may seem to live for a while without a network; the browser knows better. */
export function showConnection(client) {
  const show = () => {
    const state = navigator.onLine ? client.connection : "offline";
    sign.dataset.connection = state;
    sign.textContent = STATES[state];
  };
  client.addEventListener("connection", show);
  for (const type of ["online", "offline"]) window.addEventListener(type, show);
  show();
}

/** A job's news, said rarely: when its message changes, and at each quarter. */
export function announce({ prompt, update }, before) {
  const quarter = (progress) => Math.floor((progress ?? 0) / 25);
  if (update.message === before?.message && quarter(update.progress) === quarter(before?.progress)) return;
  const short = prompt.length > 60 ? `${prompt.slice(0, 59)}…` : prompt;
  const percent = update.status === "in_progress" ? `, ${update.progress} %` : "";
  region.textContent = `${short}: ${update.message}${percent}${update.error ? `. ${update.error.message}` : ""}`;
  if (update.status === "completed" && before?.status !== "completed") ring();
}

function ring() {
  bell.classList.remove("rings");
  // Reading the layout lets the same animation begin anew.
  bell.getBoundingClientRect();
  bell.classList.add("rings");
  if (document.hidden) document.title = `Ready · ${name}`;
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) document.title = name;
});
