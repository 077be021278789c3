// What is not sent is sent, and what is not over is watched, whichever tab asked for it.

import { isOver } from "./jobs.js";
import * as narrations from "./kept-narrations.js";

const NARRATION_LOST = {
  code: "narration_lost",
  message: "The page was closed while this was being sent, and its narration could not be kept. It may have been taken.",
  retryable: false,
};

/** How often what could not be sent, or not be followed, is tried again while the page is looked at. */
const AGAIN_EVERY = 30_000;

/** Sent again later than this, an order would surprise: it waits for a press of the button. */
const SENT_BY_ITSELF_FOR = 24 * 60 * 60 * 1000;

/** Calls `onNews(entry, before)` when the server says something new, with the update before it. */
export function follow(client, jobs, onNews) {
  const sending = new Set();
  const watched = new Map();

  async function send(key) {
    if (sending.has(key)) return;
    sending.add(key);
    try {
      // One tab sends and the others wait. When it is closed in the middle, the next one sends again: under the same
      // key, so it is still one video.
      const action = () => sendAlone(key);
      // A page that comes over plain HTTP has no locks; there the key alone has to do.
      await (navigator.locks ? navigator.locks.request(`clipbell ${key}`, action) : action());
    } finally {
      sending.delete(key);
    }
  }

  async function sendAlone(key) {
    const { id, problem, hasNarration, prompt, seconds, size } = jobs.get(key) ?? { id: "forgotten" };
    if (id || problem) return;
    const audioBuffer = hasNarration ? await narrations.get(key) : undefined;
    if (hasNarration && !audioBuffer) {
      jobs.change(key, { problem: NARRATION_LOST });
      return;
    }
    let job;
    try {
      job = await client.generate(
        { scriptOrQuestion: prompt, seconds, size, audioBuffer },
        { idempotencyKey: key },
      );
    } catch ({ code, message, retryable }) {
      jobs.change(key, { problem: { code, message, retryable: Boolean(retryable) } });
      return;
    }
    jobs.change(key, { id: job.id, update: job.current, problem: undefined });
    if (jobs.get(key)) onNews(jobs.get(key));
  }

  function watch(key, id) {
    if (watched.has(key)) return;
    const ending = new AbortController();
    watched.set(key, ending);
    const job = client.job(id);
    const heard = (update) => {
      const before = jobs.get(key)?.update;
      jobs.change(key, { update, problem: undefined });
      const entry = jobs.get(key);
      if (entry) onNews(entry, before);
    };
    job.addEventListener("update", ({ detail }) => heard(detail), { signal: ending.signal });
    job.addEventListener(
      "error",
      ({ detail }) => {
        if (detail.code === "job_not_found") jobs.change(key, { gone: true });
        // Something between us and the server says no: the job goes on, and is looked for again.
        else watched.delete(key);
      },
      { signal: ending.signal },
    );
  }

  function attend(key) {
    const entry = jobs.get(key);
    if (entry && !isOver(entry)) {
      if (entry.id) watch(key, entry.id);
      else if (!entry.problem) void send(key);
      return;
    }
    watched.get(key)?.abort();
    watched.delete(key);
    // Of a failed job it is kept: trying again needs it.
    if (!entry || (entry.hasNarration && entry.update?.status === "completed")) void narrations.drop(key);
  }

  /** Sends again, under the same key, what did not get through, and takes up what is not watched. */
  function tryAgain() {
    if (document.hidden) return;
    for (const { idempotencyKey, id, problem, createdAt } of jobs.all()) {
      const isYoung = Date.now() - createdAt < SENT_BY_ITSELF_FOR;
      if (!id && problem?.retryable && isYoung) jobs.change(idempotencyKey, { problem: undefined });
      else attend(idempotencyKey);
    }
  }

  jobs.addEventListener("change", ({ detail }) => attend(detail));
  for (const type of ["online", "pageshow"]) window.addEventListener(type, tryAgain);
  document.addEventListener("visibilitychange", tryAgain);
  setInterval(tryAgain, AGAIN_EVERY);
  tryAgain();
  for (const { idempotencyKey } of jobs.all()) attend(idempotencyKey);
}
