// "Your videos": a card for each job of this browser, newest first.

import { card } from "./card.js";
import { isOver } from "./jobs.js";

const list = document.getElementById("list");
const heading = document.getElementById("videos-title");

/** @param does As for a card. */
export function showList(jobs, does) {
  const cards = new Map();

  const buttons = {
    ...does,
    remove(entry) {
      const place = cards.get(entry.idempotencyKey).element;
      const next = place.nextElementSibling ?? place.previousElementSibling;
      jobs.forget(entry.idempotencyKey);
      (next?.querySelector("h3") ?? heading).focus();
    },
  };

  function show(key) {
    const entry = jobs.get(key);
    if (!entry) {
      cards.get(key)?.stop();
      cards.get(key)?.element.remove();
      cards.delete(key);
    } else {
      if (!cards.has(key)) cards.set(key, card(buttons));
      cards.get(key).show(entry);
      place(key);
    }
    document.getElementById("empty").hidden = cards.size > 0;
    document.getElementById("not-kept").hidden = jobs.kept;
  }

  /** A card in its place is not touched: moving it would end a video that plays. */
  function place(key) {
    const keys = jobs.all().map(({ idempotencyKey }) => idempotencyKey);
    const { element } = cards.get(key);
    const next = keys.slice(keys.indexOf(key) + 1).find((other) => cards.has(other));
    const before = next ? cards.get(next).element : null;
    if (element.parentNode !== list || element.nextElementSibling !== before) list.insertBefore(element, before);
  }

  jobs.addEventListener("change", ({ detail }) => show(detail));
  for (const { idempotencyKey } of jobs.all()) show(idempotencyKey);
  document.getElementById("empty").hidden = cards.size > 0;

  setInterval(() => {
    if (document.hidden) return;
    for (const { tick } of cards.values()) tick();
  }, 1000);
  const refresh = () => {
    for (const entry of jobs.all()) if (!isOver(entry)) show(entry.idempotencyKey);
  };
  for (const type of ["online", "offline"]) window.addEventListener(type, refresh);
}
