// One job, as one article that is made once and then kept in step.

import { isOver } from "./jobs.js";
import { player } from "./player.js";
import { ago, clock, span } from "./time.js";

const template = document.getElementById("card");
let cards = 0;

/** The page's word for where a job stands: the server's, or what it can't know. */
export function stateOf(entry) {
  if (entry.gone) return "gone";
  if (entry.expired) return "expired";
  if (entry.update) return entry.update.status;
  return entry.problem ? "unsent" : "sending";
}

function messageOf(entry, state) {
  switch (state) {
    case "gone":
      return "This video is no longer known here";
    case "expired":
      return "This video has expired";
    case "sending":
      return navigator.onLine ? "Sending" : "You are offline: it is sent when the network is back";
    case "unsent":
      return entry.problem.retryable ? "Not sent yet" : "This could not be ordered";
    default:
      return entry.update.message;
  }
}

function reasonOf(entry, state) {
  if (state === "gone") return "The server does not have it, or no longer: finished ones are forgotten after some time.";
  if (state === "expired") return "Finished videos are kept for a limited time, and this one's has passed.";
  return entry.problem?.message ?? entry.update?.error?.message ?? "";
}

function timeOf(entry, now) {
  const { update, createdAt } = entry;
  if (!isOver(entry) && !entry.problem) return `${clock(now - createdAt)} elapsed`;
  if (!update) return ago(now - createdAt);
  // Between two times of the server's, whatever this browser's clock says.
  const took = span(Date.parse(update.updatedAt) - Date.parse(update.createdAt));
  return `${update.status === "completed" ? "Made in" : "After"} ${took}, ${ago(now - Date.parse(update.updatedAt))}`;
}

/**
 * @param does What its buttons do: `again(entry)`, `edit(entry)`, `cancel(entry)` (may reject), `remove(entry)`.
 *   And `job(entry)` gives the client's job, `lost(entry, code)` hears that there is no video any more.
 */
export function card(does) {
  const element = template.content.firstElementChild.cloneNode(true);
  const find = (selector) => element.querySelector(selector);
  const article = find("article");
  const title = find("h3");
  const progress = find("progress");
  const buttons = { again: find(".again"), edit: find(".edit"), cancel: find(".cancel"), remove: find(".remove") };
  const link = find(".download");
  let entry;
  let canceling = false;
  /** What did not work in this tab just now. */
  let trouble = "";

  title.id = `job-${++cards}`;
  article.setAttribute("aria-labelledby", title.id);
  for (const control of [...Object.values(buttons), link, find(".play")]) control.setAttribute("aria-describedby", title.id);
  for (const name of ["again", "edit", "remove"]) buttons[name].addEventListener("click", () => does[name](entry));
  buttons.cancel.addEventListener("click", async () => {
    if (buttons.cancel.ariaDisabled === "true") return;
    trouble = "";
    canceling = true;
    show(entry);
    try {
      await does.cancel(entry);
    } catch ({ message }) {
      trouble = `This could not be canceled. ${message}`;
    }
    canceling = false;
    show(entry);
  });

  const stage = player(find(".stage"), () => does.job(entry), (code, message) => {
    if (code === "video_expired" || code === "job_not_found") does.lost(entry, code);
    else trouble = message;
    show(entry);
  });
  find(".play").addEventListener("click", () => {
    trouble = "";
    show(entry);
  });

  function show(next) {
    entry = next;
    const state = stateOf(entry);
    const { update } = entry;
    const running = state === "queued" || state === "in_progress";
    const focused = document.activeElement;

    article.dataset.status = state;
    if (entry.id) article.dataset.jobId = entry.id;
    title.textContent = shortened(entry.prompt);
    find(".whole").hidden = title.textContent === entry.prompt;
    find(".whole p").textContent = entry.prompt;
    find(".message").textContent = messageOf(entry, state);
    find(".percent").textContent = state === "in_progress" ? `${update.progress} %` : "";
    progress.hidden = !running && state !== "sending";
    progress.value = update?.progress ?? 0;
    progress.setAttribute("aria-label", `Progress of ${entry.prompt.slice(0, 80)}`);

    const reason = trouble || reasonOf(entry, state);
    find(".reason").textContent = reason;
    find(".reason").hidden = !reason;

    const { retryable, code } = update?.error ?? entry.problem ?? {};
    buttons.again.hidden = !retryable || Boolean(entry.again) || state === "gone";
    buttons.again.textContent = code === "submit_outcome_unknown" ? "Try again, though it may cost twice" : "Try again";
    const isPast = ["failed", "canceled", "expired", "gone"].includes(state);
    buttons.edit.hidden = !isPast && !(state === "unsent" && !retryable);
    buttons.cancel.hidden = !running;
    // Not `disabled`: that would take the focus away.
    buttons.cancel.ariaDisabled = String(canceling || update?.message === "Canceling");
    buttons.remove.hidden = !isOver(entry) && state !== "unsent";

    link.hidden = state !== "completed";
    if (state === "completed") {
      // A plain link, not a blob: the browser streams it to the disk, whatever its size. The file's name comes with the
      // file, from the server: video-<job id>.mp4.
      link.href = update.downloadUrl;
      link.download = `video-${entry.id}.mp4`;
      stage.show(update.downloadUrl);
    } else {
      stage.hide();
    }
    const [width, height] = entry.size.split("x").map(Number);
    find(".stage").classList.toggle("upright", height > width);
    find(".made-of").textContent = [
      `${entry.seconds} s`,
      entry.size.replace("x", " × "),
      ...(entry.hasNarration ? ["narrated"] : []),
      ...(entry.again ? ["tried again"] : []),
    ].join(" · ");
    tick();
    // Whoever stood on a button that went away stands on the job.
    if (element.contains(focused) && focused.closest("[hidden]")) title.focus();
  }

  /** What goes on with the clock alone. */
  function tick() {
    find(".time").textContent = timeOf(entry, Date.now());
  }

  return { element, title, show, tick, stop: stage.hide };
}

/** It names the job, to a screen reader as well. */
function shortened(prompt) {
  return prompt.length > 160 ? `${prompt.slice(0, 159).trimEnd()}…` : prompt;
}
