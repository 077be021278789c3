// The jobs of this browser. Each is an item of its own in localStorage, under its idempotency key: two tabs that write
// at the same moment never undo each other's jobs, as they would with one common list.

const PREFIX = "clipbell.job.";
const FINAL = new Set(["completed", "failed", "canceled"]);

/** How many are kept. The oldest that are over make room; a job that still runs is never forgotten. */
export const MOST = 50;

/**
 * @typedef {object} Entry What is kept of a job.
 * @property {string} idempotencyKey
 * @property {string} [id] The job's id, once the server has taken it.
 * @property {string} prompt
 * @property {string} seconds
 * @property {string} size
 * @property {number} createdAt By this browser's clock, in milliseconds.
 * @property {boolean} hasNarration
 * @property {import("../clipbell.js").JobUpdate} [update] The newest state.
 * @property {{code: string, message: string, retryable: boolean}} [problem] Why it could not be sent.
 * @property {boolean} [expired] The video is no longer kept.
 * @property {boolean} [gone] The server does not know the job, or no longer.
 * @property {string} [again] The key of the job that tries it again.
 */

/** Nothing more will come of it. */
export const isOver = (entry) =>
  Boolean(entry.gone || FINAL.has(entry.update?.status) || (!entry.id && entry.problem && !entry.problem.retryable));

/** Tells by `change` events (`detail` is the key) what changed here or in another tab. */
export class Jobs extends EventTarget {
  #entries = new Map();
  /** Those that only this tab knows, because the browser's storage is full, or closed to us. */
  #unkept = new Set();

  constructor() {
    super();
    this.#readAll();
    window.addEventListener("storage", ({ storageArea, key }) => {
      if (storageArea !== null && !isOurs(storageArea)) return;
      if (key === null) this.#readAll();
      else if (key.startsWith(PREFIX)) this.#read(key.slice(PREFIX.length));
    });
  }

  /** All, newest first. */
  all() {
    return [...this.#entries.values()].sort((one, other) => other.createdAt - one.createdAt);
  }

  get(key) {
    return this.#entries.get(key);
  }

  /** Whether everything outlives this tab. */
  get kept() {
    return this.#unkept.size === 0;
  }

  add(entry) {
    const over = this.all().filter(isOver);
    for (let count = this.#entries.size; count >= MOST && over.length; count--) this.forget(over.pop().idempotencyKey);
    this.#write(entry);
  }

  /** Changes some fields; `undefined` takes one away. */
  change(key, fields) {
    // Another tab may have been quicker: its news of this job counts, and so does that it forgot it.
    if (!this.#unkept.has(key)) this.#read(key);
    const entry = this.#entries.get(key);
    if (!entry || fields.update?.version <= entry.update?.version) return;
    this.#write({ ...entry, ...fields });
  }

  forget(key) {
    this.#entries.delete(key);
    this.#unkept.delete(key);
    attempt(() => localStorage.removeItem(PREFIX + key));
    this.#tell(key);
  }

  #write(entry) {
    const key = entry.idempotencyKey;
    this.#entries.set(key, entry);
    if (attempt(() => (localStorage.setItem(PREFIX + key, JSON.stringify(entry)), true))) this.#unkept.delete(key);
    else this.#unkept.add(key);
    this.#tell(key);
  }

  #read(key) {
    const text = attempt(() => localStorage.getItem(PREFIX + key));
    const entry = text && attempt(() => JSON.parse(text));
    if (entry?.idempotencyKey === key && isEntry(entry)) {
      // The other tab may lag behind: what we know already is not taken back.
      const ours = this.#entries.get(key)?.update;
      this.#entries.set(key, ours?.version > entry.update?.version ? { ...entry, update: ours } : entry);
    } else {
      this.#entries.delete(key);
    }
    this.#tell(key);
  }

  #readAll() {
    const stored = attempt(() => Object.keys(localStorage)) ?? [];
    const keys = stored.filter((name) => name.startsWith(PREFIX)).map((name) => name.slice(PREFIX.length));
    const known = [...this.#entries.keys()].filter((key) => !this.#unkept.has(key));
    for (const key of new Set([...known, ...keys])) this.#read(key);
  }

  #tell(key) {
    this.dispatchEvent(new CustomEvent("change", { detail: key }));
  }
}

/** Whatever lies in the storage: an older page may have written it, or somebody by hand. */
function isEntry({ prompt, seconds, size, createdAt, update }) {
  const areTexts = [prompt, seconds, size].every((value) => typeof value === "string");
  const isUpdate = ({ status, message, version, createdAt, updatedAt }) =>
    [status, message].every((value) => typeof value === "string") &&
    Number.isFinite(version) &&
    [createdAt, updatedAt].every((value) => Number.isFinite(Date.parse(value)));
  return areTexts && Number.isFinite(createdAt) && (update === undefined || (update !== null && isUpdate(update)));
}

const isOurs = (area) => attempt(() => area === localStorage);

/** localStorage throws where it is full, and where the browser keeps it shut. */
function attempt(action) {
  try {
    return action();
  } catch {
    return undefined;
  }
}
