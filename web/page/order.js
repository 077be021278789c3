// The form for a new video.

import * as narrations from "./kept-narrations.js";
import { choose, isRecording, narration } from "./narration.js";

/** A second press that comes this soon, and finds nothing written, belongs to the first. Milliseconds. */
const DOUBLE_CLICK = 1000;

const element = (id) => document.getElementById(id);
const form = element("order");
const prompt = element("prompt");

/**
 * Adds a job to the list; whoever follows the list sends it. It is written down, with its key, before anything is sent.
 *
 * @param {import("./jobs.js").Jobs} jobs
 * @param {{prompt: string, seconds: string, size: string}} wish
 * @param {Blob} [audio]
 */
export function order(jobs, wish, audio) {
  const { prompt, seconds, size } = wish;
  const idempotencyKey = randomKey();
  if (audio) void narrations.keep(idempotencyKey, audio);
  jobs.add({ idempotencyKey, prompt, seconds, size, createdAt: Date.now(), hasNarration: Boolean(audio) });
  return idempotencyKey;
}

/** Not `crypto.randomUUID`: a page that comes over plain HTTP does not have it. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Puts a job's wish back into the form, for another try. */
export async function edit(entry) {
  prompt.value = entry.prompt;
  element("seconds").value = entry.seconds;
  element("size").value = entry.size;
  tell("");
  grow();
  prompt.focus();
  prompt.scrollIntoView({ block: "center" });
  if (!entry.hasNarration) return;
  const audio = await narrations.get(entry.idempotencyKey);
  if (audio) choose(audio, "Chosen narration");
  else tell("The narration is no longer in this browser: add it again.");
}

export function takeOrders(jobs) {
  let ordered = { at: -Infinity };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (isRecording()) {
      tell("The recording still runs: stop it first.");
      return;
    }
    const text = prompt.value.trim();
    if (!text && performance.now() - ordered.at < DOUBLE_CLICK) return;
    if (!text) {
      tell("Say what the video should show.");
      prompt.setAttribute("aria-invalid", "true");
      prompt.focus();
      return;
    }
    const wish = { prompt: text, seconds: element("seconds").value, size: element("size").value };
    const audio = narration();
    // Emptied at once: what was asked for is in the list, and pressing again asks for nothing.
    prompt.value = "";
    choose(undefined);
    tell("");
    grow();
    ordered = { at: performance.now(), key: order(jobs, wish, audio) };
  });

  // What is refused at once goes back to where it can be mended.
  jobs.addEventListener("change", ({ detail }) => {
    const entry = jobs.get(detail);
    if (detail !== ordered.key || !entry?.problem || entry.problem.retryable || entry.id || prompt.value) return;
    ordered = { at: -Infinity };
    void edit(entry).then(() => {
      jobs.forget(detail);
      tell(entry.problem.message);
      if (entry.problem.code === "unauthorized") element("settings").showPopover();
    });
  });

  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  prompt.addEventListener("input", () => {
    tell("");
    grow();
  });
  for (const button of document.querySelectorAll(".example")) {
    button.addEventListener("click", () => {
      prompt.value = button.textContent;
      grow();
      prompt.focus();
    });
  }
}

function tell(message) {
  const problem = element("order-problem");
  problem.textContent = message;
  problem.hidden = !message;
  prompt.removeAttribute("aria-invalid");
}

/** The box is as high as its text, up to what CSS allows. */
function grow() {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight + 2}px`;
}
