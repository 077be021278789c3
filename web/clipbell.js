// @ts-check
// The client of a Clipbell API. What it does, and how it is used: clipbell.d.ts, README.md.
//
//   Client ──── one Connection ──── a Topic for each watched job id ──── the Jobs that watch it
//                 │                   └─ a Poll, while no socket tells of it
//                 └─ a Line (one WebSocket); two of them while it renews itself

/** @import * as api from "./clipbell.d.ts" */

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** Bytes, decoded: the API's own limit. */
const LARGEST_AUDIO = 4_000_000;

/** How long a call is tried again, and the longest pause in between. */
const TRY_FOR = 60 * SECOND;
const LONGEST_PAUSE = 10 * SECOND;
/** Seconds. */
const LONGEST_RETRY_AFTER = 3600;
/** A request without an answer, by then, has failed. An upload of 4 MB over a slow line takes its time. */
const ANSWER_WITHIN = 20 * SECOND;
const UPLOAD_WITHIN = 2 * MINUTE;

const OPEN_WITHIN = 10 * SECOND;
const SUBSCRIBED_WITHIN = 5 * SECOND;
const PONG_WITHIN = 10 * SECOND;
/** After waking up a dead socket is likely, and somebody is looking. */
const PONG_AFTER_WAKING_WITHIN = 4 * SECOND;
/** API Gateway closes after 10 minutes of silence. Asked this often, a dead socket is noticed too. */
const PING_AFTER = MINUTE;
/** A push can get lost without a trace: this often, the present state is asked for over the socket. */
const REFRESH_EVERY = 5 * MINUTE;
/** API Gateway closes after 2 hours. Somewhere in here the next socket takes over; not all browsers do so at once. */
const RENEW_AFTER = 100 * MINUTE;
const RENEW_SPREAD = 10 * MINUTE;
/** A socket that lived for less has not shown that connecting is of use: the pauses go on growing. */
const USEFUL_AFTER = 30 * SECOND;
const LONGEST_RECONNECT_PAUSE = 30 * SECOND;
/** A short cut is mended by then, and nobody needs to poll. */
const POLL_AFTER = 3 * SECOND;
const POLL_EVERY = 2 * SECOND;
const POLL_AT_LEAST_EVERY = 10 * SECOND;

/** A socket may have died meanwhile, or can be had again. */
const WAKE_UPS = ["online", "pageshow", "visibilitychange"];

const FINAL = new Set(["completed", "failed", "canceled"]);
/** The call can succeed later: too early, too many, or the API's own trouble. */
const RETRYABLE = new Set([429, 500, 502, 503, 504]);

/** @implements {api.ClipbellError} */
export class ClipbellError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {api.ClipbellErrorDetails} [details]
   */
  constructor(code, message, { status, requestId, retryable = false, retryAfter, update, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "ClipbellError";
    this.code = code;
    this.status = status;
    this.requestId = requestId;
    this.retryable = retryable;
    this.retryAfter = retryAfter;
    this.update = update;
  }
}

/** @type {typeof api.createClient} */
export const createClient = (options) => new Client(options);

class Client extends EventTarget {
  #http;
  #connection;
  /** @type {Map<string, Job>} */
  #jobs = new Map();
  #closed = new AbortController();

  /** @param {api.ClientOptions} [options] */
  constructor({ baseUrl = globalThis.location?.origin, webSocketUrl, token } = {}) {
    super();
    const { origin, pathname } = new URL(baseUrl, globalThis.location?.href);
    const base = origin + pathname.replace(/\/+$/, "");
    const socketUrl = new URL(webSocketUrl ?? `${base}/ws`, globalThis.location?.href);
    this.#http = new Http(base, token, this.#closed.signal);
    this.#connection = new Connection(
      socketUrl.href.replace(/^http/, "ws"),
      (id, etag, signal) => this.#http.status(id, etag, signal),
      (state) => this.dispatchEvent(new CustomEvent("connection", { detail: state })),
    );
  }

  get connection() {
    return this.#connection.state;
  }

  /**
   * @param {api.GenerateRequest} request
   * @param {api.GenerateOptions} [options]
   */
  async generate(request, { signal, idempotencyKey = randomKey() } = {}) {
    if (!/^[\x21-\x7e]{1,255}$/.test(idempotencyKey)) {
      throw new ClipbellError("invalid_idempotency_key", "An idempotency key is 1 to 255 visible ASCII characters.");
    }
    const audioBuffer = await abortable(encoded(request.audioBuffer), signal);
    const update = await this.#http.update("POST", "/api/generate?renderVersion=v3", {
      signal,
      headers: { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey },
      body: JSON.stringify({ ...request, audioBuffer }),
      within: UPLOAD_WITHIN,
    });
    const job = this.#job(update.jobId, signal);
    job.take(update);
    return job;
  }

  /**
   * @param {string} id
   * @param {{signal?: AbortSignal}} [options]
   */
  job(id, { signal } = {}) {
    return this.#job(id, signal);
  }

  /**
   * @param {string} id
   * @param {AbortSignal} [signal]
   */
  #job(id, signal) {
    // An abort must not reach others: who brings a signal has an object of their own.
    if (signal) return new Job(id, this.#http, this.#connection, signal);
    let job = this.#jobs.get(id);
    if (!job || job.isLost) {
      job = new Job(id, this.#http, this.#connection);
      this.#jobs.set(id, job);
    }
    return job;
  }

  close() {
    const reason = new ClipbellError("closed", "The client was closed.");
    this.#closed.abort(reason);
    this.#connection.close(reason);
  }
}

/** @implements {AsyncIterable<api.JobUpdate>} */
class Job extends EventTarget {
  #http;
  #connection;
  #signal;
  /** @type {api.JobUpdate | undefined} */
  #current;
  /** Why it can't be followed. @type {{reason: unknown} | undefined} */
  #lost;
  /** The last version that listeners heard of. */
  #told = -Infinity;
  /** @type {Listener[]} */
  #listeners = [];
  /** @type {Set<Updates>} */
  #iterators = new Set();
  /** @type {Promise<api.JobUpdate> | undefined} */
  #done;
  /** @type {{resolve(update: api.JobUpdate): void, reject(reason: unknown): void} | undefined} */
  #awaited;
  /** @type {(() => void) | undefined} */
  #unwatch;

  /**
   * @param {string} id
   * @param {Http} http
   * @param {Connection} connection
   * @param {AbortSignal} [signal]
   */
  constructor(id, http, connection, signal) {
    super();
    this.id = id;
    this.#http = http;
    this.#connection = connection;
    this.#signal = signal;
  }

  get current() {
    return this.#current;
  }

  get isLost() {
    return this.#lost !== undefined;
  }

  get done() {
    this.#done ??= new Promise((resolve, reject) => {
      this.#awaited = { resolve, reject };
      this.#settle();
      this.#watchIfWanted();
    });
    return this.#done;
  }

  /** @param {{signal?: AbortSignal}} [options] */
  async cancel({ signal } = {}) {
    const path = `/api/cancel?jobId=${encodeURIComponent(this.id)}&renderVersion=v3`;
    const update = await this.#http.update("POST", path, { signal });
    this.#connection.hear(update);
    this.take(update);
    return update;
  }

  /**
   * @overload
   * @param {{as?: "blob", variant?: "video" | "thumbnail", signal?: AbortSignal}} [options]
   * @returns {Promise<Blob>}
   */
  /**
   * @overload
   * @param {{as: "url", variant?: "video" | "thumbnail", signal?: AbortSignal}} options
   * @returns {Promise<string>}
   */
  /**
   * @param {{as?: "blob" | "url", variant?: "video" | "thumbnail", signal?: AbortSignal}} [options]
   * @returns {Promise<Blob | string>}
   */
  async download({ as = "blob", variant = "video", signal } = {}) {
    const link = () => this.#http.link(this.id, variant, signal);
    return as === "url" ? link() : this.#http.file(link, signal);
  }

  /** @param {{signal?: AbortSignal}} [options] */
  updates({ signal } = {}) {
    const updates = new Updates(signal, (iterator, begins) => {
      if (begins) {
        this.#iterators.add(iterator);
        if (this.#current) iterator.push(this.#current, this.#isOver);
        else if (this.#lost) iterator.fail(this.#lost.reason);
      } else {
        this.#iterators.delete(iterator);
      }
      this.#watchIfWanted();
    });
    return updates;
  }

  [Symbol.asyncIterator]() {
    return this.updates();
  }

  /**
   * @param {string} type
   * @param {EventListenerOrEventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   */
  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
    const { capture, once, signal } = listenerOptions(options);
    if (!listener || signal?.aborted || this.#listeners.some(is(type, listener, capture))) return;
    const leave = () => this.#forget(is(type, listener, capture));
    signal?.addEventListener("abort", leave);
    this.#listeners.push({ type, listener, capture, once, leave: () => signal?.removeEventListener("abort", leave) });
    this.#watchIfWanted();
    // By then, all those are there that are added in one go.
    queueMicrotask(() => this.#tell());
  }

  /**
   * @param {string} type
   * @param {EventListenerOrEventListenerObject | null} listener
   * @param {boolean | EventListenerOptions} [options]
   */
  removeEventListener(type, listener, options) {
    super.removeEventListener(type, listener, options);
    this.#forget(is(type, listener, listenerOptions(options).capture));
  }

  /**
   * A state, from wherever: only a newer one is news.
   * @param {api.JobUpdate} update
   */
  take(update) {
    if (this.#isOver || this.#lost || update.version <= (this.#current?.version ?? -Infinity)) return;
    this.#current = update;
    for (const iterator of this.#iterators) iterator.push(update, this.#isOver);
    this.#settle();
    this.#watchIfWanted();
    this.#tell();
  }

  /**
   * It can't be followed any more.
   * @param {unknown} reason
   */
  lose(reason) {
    if (this.#isOver || this.#lost) return;
    this.#lost = { reason };
    for (const iterator of this.#iterators) iterator.fail(reason);
    this.#settle();
    this.#watchIfWanted();
    if (reason instanceof ClipbellError && reason.code !== "closed") this.#dispatch("error", reason);
  }

  get #isOver() {
    return this.#current !== undefined && FINAL.has(this.#current.status);
  }

  #watchIfWanted() {
    const isWanted = this.#awaited !== undefined || this.#iterators.size > 0 || this.#listeners.length > 0;
    if (isWanted && !this.#isOver && !this.#lost) {
      if (this.#unwatch) return;
      const abort = () => this.lose(this.#signal?.reason);
      if (this.#signal?.aborted) return queueMicrotask(abort);
      this.#signal?.addEventListener("abort", abort);
      const unwatch = this.#connection.watch(this);
      this.#unwatch = () => {
        this.#signal?.removeEventListener("abort", abort);
        unwatch();
      };
    } else if (this.#unwatch) {
      const unwatch = this.#unwatch;
      this.#unwatch = undefined;
      unwatch();
    }
  }

  #settle() {
    if (!this.#awaited || !(this.#isOver || this.#lost)) return;
    const { resolve, reject } = this.#awaited;
    this.#awaited = undefined;
    if (this.#lost) reject(this.#lost.reason);
    else if (this.#current?.status === "completed") resolve(this.#current);
    else reject(ending(/** @type {api.JobUpdate} */ (this.#current)));
  }

  /** Tells the listeners of the present state, unless they have heard of it. */
  #tell() {
    const update = this.#current;
    if (!update || update.version <= this.#told || this.#listeners.length === 0) return;
    this.#told = update.version;
    this.#dispatch("update", update);
    this.#dispatch(this.#isOver ? update.status : "progress", update);
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #dispatch(type, detail) {
    const once = this.#listeners.filter((listener) => listener.type === type && listener.once);
    this.dispatchEvent(new CustomEvent(type, { detail }));
    for (const listener of once) this.#forget((other) => other === listener);
  }

  /** @param {(listener: Listener) => boolean} isMeant */
  #forget(isMeant) {
    for (const listener of this.#listeners.filter(isMeant)) listener.leave();
    this.#listeners = this.#listeners.filter((listener) => !isMeant(listener));
    this.#watchIfWanted();
  }
}

/**
 * @typedef {object} Listener
 * @property {string} type
 * @property {EventListenerOrEventListenerObject} listener
 * @property {boolean} capture
 * @property {boolean} once
 * @property {() => void} leave
 */

/** @param {boolean | AddEventListenerOptions | undefined} options */
function listenerOptions(options) {
  const { capture = false, once = false, signal } = typeof options === "object" ? options : { capture: options };
  return { capture, once, signal };
}

/**
 * @param {string} type
 * @param {EventListenerOrEventListenerObject | null} listener
 * @param {boolean} capture
 * @returns {(other: Listener) => boolean}
 */
function is(type, listener, capture) {
  return (other) => other.type === type && other.listener === listener && other.capture === capture;
}

/**
 * One iteration over a job. Not a generator: its `return()` would wait for news.
 * @implements {AsyncIterableIterator<api.JobUpdate>}
 */
class Updates {
  #signal;
  #watch;
  #state = /** @type {"new" | "open" | "ended"} */ ("new");
  /** @type {api.JobUpdate[]} */
  #queue = [];
  /** @type {{reason: unknown} | undefined} */
  #failure;
  /** @type {Waiting[]} */
  #waiting = [];
  #abort = () => this.fail(this.#signal?.reason);

  /**
   * @param {AbortSignal | undefined} signal
   * @param {(iterator: Updates, begins: boolean) => void} watch
   */
  constructor(signal, watch) {
    this.#signal = signal;
    this.#watch = watch;
  }

  /** @returns {Promise<IteratorResult<api.JobUpdate, undefined>>} */
  next() {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (this.#state === "new") {
        this.#state = "open";
        this.#signal?.addEventListener("abort", this.#abort);
        if (this.#signal?.aborted) this.#abort();
        else this.#watch(this, true);
      }
      this.#serve();
    });
  }

  /** @returns {Promise<IteratorResult<api.JobUpdate, undefined>>} */
  async return() {
    this.#queue = [];
    this.#failure = undefined;
    this.#end();
    this.#serve();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /**
   * @param {api.JobUpdate} update
   * @param {boolean} isLast
   */
  push(update, isLast) {
    this.#queue.push(update);
    if (isLast) this.#end();
    this.#serve();
  }

  /** @param {unknown} reason */
  fail(reason) {
    this.#failure = { reason };
    this.#end();
    this.#serve();
  }

  #end() {
    const wasOpen = this.#state === "open";
    this.#state = "ended";
    this.#signal?.removeEventListener("abort", this.#abort);
    if (wasOpen) this.#watch(this, false);
  }

  #serve() {
    while (this.#waiting.length > 0) {
      const update = this.#queue.shift();
      if (!update && this.#state !== "ended") return;
      const { resolve, reject } = /** @type {Waiting} */ (this.#waiting.shift());
      if (update) {
        resolve({ done: false, value: update });
      } else if (this.#failure) {
        reject(this.#failure.reason);
        this.#failure = undefined;
      } else {
        resolve({ done: true, value: undefined });
      }
    }
  }
}

/** @typedef {{resolve(result: IteratorResult<api.JobUpdate, undefined>): void, reject(reason: unknown): void}} Waiting */

/** How news of all watched jobs comes in. */
class Connection {
  #url;
  #status;
  #report;
  /** @type {Map<string, Topic>} */
  #topics = new Map();
  /** @type {Line | undefined} */
  #line;
  /** Takes over from `#line` before its time is up. @type {Line | undefined} */
  #next;
  /** Lines in a row that were of no use. */
  #failures = 0;
  #wasLive = false;
  /** @type {Timer} */
  #reconnecting;
  /** @type {Timer} */
  #renewing;
  /** @type {unknown} */
  #closed;
  /** @type {api.ConnectionState} */
  state = "idle";

  /**
   * @param {string} url
   * @param {AskStatus} status
   * @param {(state: api.ConnectionState) => void} report
   */
  constructor(url, status, report) {
    this.#url = url;
    this.#status = status;
    this.#report = report;
  }

  /**
   * Watches a job until the function is called that this gives.
   * @param {Job} job
   */
  watch(job) {
    if (this.#closed) {
      queueMicrotask(() => job.lose(this.#closed));
      return () => {};
    }
    const { jobs } = this.#topics.get(job.id) ?? this.#begin(job.id);
    const known = [...jobs][0]?.current;
    if (known) queueMicrotask(() => job.take(known));
    jobs.add(job);
    return () => {
      jobs.delete(job);
      if (jobs.size === 0 && this.#topics.get(job.id)?.jobs === jobs) this.#end(job.id);
    };
  }

  /**
   * News of a job, from wherever.
   * @param {api.JobUpdate} update
   */
  hear(update) {
    Object.freeze(update);
    for (const job of this.#topics.get(update.jobId)?.jobs ?? []) job.take(update);
  }

  /** @param {unknown} reason */
  close(reason) {
    this.#closed ??= reason;
    for (const id of this.#topics.keys()) this.lose(id, reason);
  }

  /** @param {string} id */
  #begin(id) {
    const poll = new Poll(id, this.#status, {
      begun: () => this.#update(),
      heard: (update) => this.hear(update),
      failed: (error) => this.lose(id, error),
    });
    /** @type {Topic} */
    const topic = { jobs: new Set(), poll };
    this.#topics.set(id, topic);
    if (this.#topics.size === 1) {
      for (const type of WAKE_UPS) globalThis.addEventListener?.(type, this.#wake);
      this.#connect();
    } else {
      this.#line?.subscribe(id);
      this.#next?.subscribe(id);
    }
    if (!this.#line?.isOpen) poll.begin(this.#reconnecting === undefined ? POLL_AFTER : 0);
    return topic;
  }

  /** @param {string} id */
  #end(id) {
    const topic = this.#topics.get(id);
    if (!topic) return;
    this.#topics.delete(id);
    topic.poll.end();
    if (this.#topics.size > 0) {
      this.#line?.unsubscribe(id);
      this.#next?.unsubscribe(id);
      this.#takeOver();
    } else {
      for (const type of WAKE_UPS) globalThis.removeEventListener?.(type, this.#wake);
      clearTimeout(this.#reconnecting);
      clearTimeout(this.#renewing);
      this.#line?.end();
      this.#next?.end();
      this.#line = this.#next = this.#reconnecting = undefined;
      this.#wasLive = false;
    }
    this.#update();
  }

  /**
   * A job can't be followed any more.
   * @param {string} id
   * @param {unknown} reason
   */
  lose(id, reason) {
    const jobs = [...(this.#topics.get(id)?.jobs ?? [])];
    this.#end(id);
    for (const job of jobs) job.lose(reason);
  }

  #connect() {
    clearTimeout(this.#reconnecting);
    this.#reconnecting = undefined;
    this.#line = new Line(this.#url, this);
    this.#update();
  }

  /** Its time is nearly up: the next one is open and subscribed before it goes. */
  #renew() {
    this.#next ??= new Line(this.#url, this);
  }

  #wake = () => {
    if (globalThis.document?.visibilityState === "hidden") return;
    if (this.#reconnecting !== undefined) this.#connect();
    else if (this.#line?.isOpen) this.#line.ping(PONG_AFTER_WAKING_WITHIN);
    if (this.#line && this.#line.age > RENEW_AFTER + RENEW_SPREAD) this.#renew();
    for (const { poll } of this.#topics.values()) poll.hurry();
  };

  /** @param {Line} line */
  opened(line) {
    for (const id of this.#topics.keys()) line.subscribe(id);
    if (line === this.#line) this.#planRenewal(line);
  }

  /** @param {Line} line */
  #planRenewal(line) {
    clearTimeout(this.#renewing);
    this.#renewing = setTimeout(() => this.#renew(), RENEW_AFTER + Math.random() * RENEW_SPREAD - line.age);
  }

  /**
   * The job's present state has come over this line, and what follows will.
   * @param {Line} line
   * @param {string} id
   */
  subscribed(line, id) {
    if (line === this.#line) {
      this.#wasLive = true;
      this.#topics.get(id)?.poll.end();
    } else {
      this.#takeOver();
    }
    this.#update();
  }

  /** The next line is the present one from when it tells of every job. */
  #takeOver() {
    const next = this.#next;
    if (!next || ![...this.#topics.keys()].every((id) => next.has(id))) return;
    this.#line?.end();
    this.#line = next;
    this.#next = undefined;
    for (const { poll } of this.#topics.values()) poll.end();
    this.#planRenewal(next);
  }

  /**
   * The line says nothing of this job: perhaps it can't, or its answer was lost. It is asked again.
   * @param {Line} line
   * @param {string} id
   */
  unanswered(line, id) {
    if (line === this.#line) this.#topics.get(id)?.poll.begin(0);
  }

  /** @param {Line} line */
  died(line) {
    if (line === this.#next) {
      // The present one goes on, and is replaced later, or is lost itself.
      this.#next = undefined;
      this.#renewing = setTimeout(() => this.#renew(), MINUTE);
      return;
    }
    clearTimeout(this.#renewing);
    this.#failures = line.wasUseful ? 0 : this.#failures + 1;
    const isCut = line.wasSubscribed;
    this.#line = this.#next;
    this.#next = undefined;
    if (this.#line) {
      if (this.#line.isOpen) this.#planRenewal(this.#line);
    } else {
      this.#reconnecting = setTimeout(() => this.#connect(), pause(this.#failures, LONGEST_RECONNECT_PAUSE));
    }
    for (const [id, { poll }] of this.#topics) if (!this.#line?.has(id)) poll.begin(isCut ? POLL_AFTER : 0);
    this.#update();
  }

  #update() {
    const state = this.#present();
    if (state === this.state) return;
    this.state = state;
    this.#report(state);
  }

  /** @returns {api.ConnectionState} */
  #present() {
    const topics = [...this.#topics.values()];
    if (topics.length === 0) return "idle";
    if (topics.some(({ poll }) => poll.isAsking)) return "polling";
    if (this.#line?.wasSubscribed) return "live";
    return this.#wasLive ? "reconnecting" : "connecting";
  }
}

/**
 * Who watches one job id.
 * @typedef {object} Topic
 * @property {Set<Job>} jobs
 * @property {Poll} poll
 */

/** One WebSocket. It tells its owner what comes of it, until one of them ends it. */
class Line {
  #owner;
  /** @type {WebSocket | undefined} */
  #socket;
  #begun = Date.now();
  /** What was asked for, and when it is asked for again. @type {Map<string, Timer>} */
  #asked = new Map();
  /** @type {Set<string>} */
  #subscribed = new Set();
  /** Left, and the server has not said so yet. @type {Set<string>} */
  #leaving = new Set();
  /** Not open by then, or no pong: it is dead. @type {Timer} */
  #deadline;
  /** @type {Timer} */
  #silence;
  /** @type {Timer} */
  #refreshing;
  wasSubscribed = false;

  /**
   * @param {string} url
   * @param {Connection} owner
   */
  constructor(url, owner) {
    this.#owner = owner;
    try {
      const socket = new WebSocket(url);
      socket.onopen = () => {
        clearTimeout(this.#deadline);
        this.#deadline = undefined;
        this.#heard();
        this.#refreshing = setInterval(() => this.#refresh(), REFRESH_EVERY);
        owner.opened(this);
      };
      socket.onmessage = ({ data }) => {
        this.#heard();
        this.#follow(parsed(data));
      };
      socket.onclose = () => this.#die();
      this.#socket = socket;
      this.#deadline = setTimeout(() => this.#die(), OPEN_WITHIN);
    } catch {
      // There are no WebSockets here, or none may be had from this page.
      this.#deadline = setTimeout(() => this.#die(), 0);
    }
  }

  get isOpen() {
    return this.#socket?.readyState === 1;
  }

  get age() {
    return Date.now() - this.#begun;
  }

  get wasUseful() {
    return this.wasSubscribed && this.age > USEFUL_AFTER;
  }

  /** @param {string} id */
  has(id) {
    return this.#subscribed.has(id);
  }

  /** @param {string} id */
  subscribe(id, tries = 0) {
    if (!this.isOpen) return;
    // Lambda answers side by side: said at once, the two could be followed in the wrong order.
    if (!this.#leaving.has(id)) this.#send({ action: "subscribe", jobId: id });
    this.#askAgain(id, tries, SUBSCRIBED_WITHIN * 2 ** tries);
  }

  /** @param {string} id */
  unsubscribe(id) {
    this.#forget(id);
    if (!this.isOpen) return;
    this.#leaving.add(id);
    this.#send({ action: "unsubscribe", jobId: id });
  }

  /** Asks whether it lives. @param {number} within */
  ping(within) {
    this.#send({ action: "ping" });
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#die(), within);
  }

  end() {
    clearTimeout(this.#deadline);
    clearTimeout(this.#silence);
    clearInterval(this.#refreshing);
    for (const id of [...this.#asked.keys()]) this.#forget(id);
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.onopen = () => socket.close();
    // Closed while it is still opening, it would be an error in the console.
    if (socket.readyState === 1) socket.close();
  }

  #die() {
    const socket = this.#socket;
    this.end();
    // Browsers open one socket to a host at a time: one that hangs would hold up the next.
    socket?.close();
    this.#owner.died(this);
  }

  /** @param {object} message */
  #send(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  /** Subscribing again changes nothing, and its answer holds the present state. */
  #refresh() {
    for (const id of this.#subscribed) this.#send({ action: "subscribe", jobId: id });
  }

  #heard() {
    clearTimeout(this.#silence);
    clearTimeout(this.#deadline);
    this.#silence = setTimeout(() => this.ping(PONG_WITHIN), PING_AFTER);
  }

  /** @param {any} message */
  #follow(message) {
    switch (message?.type) {
      case "subscribed":
      case "progress": {
        const { type, timestamp, ...update } = message;
        if (!isUpdate(update)) return;
        if (type === "subscribed" && this.#asked.has(update.jobId)) {
          this.#forget(update.jobId);
          this.#subscribed.add(update.jobId);
          this.wasSubscribed = true;
          this.#owner.subscribed(this, update.jobId);
        }
        return this.#owner.hear(update);
      }
      case "error":
        if (message.code === "job_not_found" && message.jobId) {
          const { code, error } = message;
          return this.#owner.lose(message.jobId, new ClipbellError(code, String(error), { status: 404 }));
        }
        return this.#refused();
      case "unsubscribed":
        this.#leaving.delete(message.jobId);
        if (this.#asked.has(message.jobId)) this.subscribe(message.jobId);
        return;
      case "pong":
        return;
      default:
        // API Gateway's own words, which don't say what they answer: {"message": "Internal server error", …}.
        if (message) this.#refused();
    }
  }

  #refused() {
    for (const id of this.#asked.keys()) this.#owner.unanswered(this, id);
  }

  /**
   * @param {string} id
   * @param {number} tries
   * @param {number} after
   */
  #askAgain(id, tries, after) {
    clearTimeout(this.#asked.get(id));
    const timer = setTimeout(() => {
      this.#leaving.delete(id);
      this.#owner.unanswered(this, id);
      if (this.#asked.has(id)) this.subscribe(id, Math.min(tries + 1, 4));
    }, after);
    this.#asked.set(id, timer);
  }

  /** @param {string} id */
  #forget(id) {
    clearTimeout(this.#asked.get(id));
    this.#asked.delete(id);
    this.#subscribed.delete(id);
  }
}

/** Asks for one job's state, again and again, from `begin` to `end`. */
class Poll {
  #id;
  #status;
  #owner;
  /** @type {Timer} */
  #timer;
  /** @type {AbortController | undefined} */
  #asking;
  /** @type {string | undefined} */
  #etag;
  #interval = POLL_EVERY;
  #notBefore = 0;
  isAsking = false;

  /**
   * @param {string} id
   * @param {AskStatus} status
   * @param {{begun(): void, heard(update: api.JobUpdate): void, failed(error: unknown): void}} owner
   */
  constructor(id, status, owner) {
    this.#id = id;
    this.#status = status;
    this.#owner = owner;
  }

  /** @param {number} after */
  begin(after) {
    if (this.isAsking || (this.#timer !== undefined && after > 0)) return;
    this.#askIn(after);
  }

  hurry() {
    if (this.#timer !== undefined) this.#askIn(Math.max(0, this.#notBefore - performance.now()));
  }

  end() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#timer = this.#asking = undefined;
    this.#interval = POLL_EVERY;
    this.isAsking = false;
  }

  /** @param {number} after */
  #askIn(after) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), after);
  }

  async #ask() {
    const { signal } = (this.#asking = new AbortController());
    this.#timer = undefined;
    this.isAsking = true;
    this.#owner.begun();
    try {
      const { update, etag } = await this.#status(this.#id, this.#etag, signal);
      if (signal.aborted) return;
      this.#etag = etag;
      this.#interval = update ? POLL_EVERY : Math.min(this.#interval * 1.5, POLL_AT_LEAST_EVERY);
      if (update) this.#owner.heard(update);
    } catch (error) {
      if (signal.aborted) return;
      if (isFinal(error)) return this.#owner.failed(error);
      this.#interval = Math.min(this.#interval * 2, POLL_AT_LEAST_EVERY);
      if (error instanceof ClipbellError) this.#notBefore = performance.now() + (error.retryAfter ?? 0) * SECOND;
    }
    if (signal.aborted) return;
    this.#askIn(Math.max(this.#notBefore - performance.now(), this.#interval * (0.8 + 0.4 * Math.random())));
  }
}

/** The HTTP API. */
class Http {
  #base;
  #token;
  #closed;

  /**
   * @param {string} base
   * @param {api.ClientOptions["token"]} token
   * @param {AbortSignal} closed
   */
  constructor(base, token, closed) {
    this.#base = base;
    this.#token = token;
    this.#closed = closed;
  }

  /**
   * A call that is answered with a job's state. It is tried again where that can help: each is the same twice as once.
   * @param {string} method
   * @param {string} path
   * @param {Call} call
   */
  async update(method, path, call) {
    const { body } = await this.#patiently(call.signal, () => this.#ask(method, path, call));
    if (!isUpdate(body)) throw badResponse();
    return Object.freeze(body);
  }

  /** @type {AskStatus} */
  async status(id, etag, signal) {
    const path = `/api/status?jobId=${encodeURIComponent(id)}&renderVersion=v3`;
    const { body, answer } = await this.#ask("GET", path, { signal, headers: etag ? { "If-None-Match": etag } : {} });
    if (answer.status === 304) return { etag };
    if (!isUpdate(body)) throw badResponse(answer.status);
    return { update: body, etag: answer.headers.get("ETag") ?? undefined };
  }

  /**
   * Where a file is. As JSON: following a redirect, some browsers would take the token along to the bucket.
   * @param {string} id
   * @param {string} variant
   * @param {AbortSignal} [signal]
   * @returns {Promise<string>}
   */
  async link(id, variant, signal) {
    const query = new URLSearchParams({ jobId: id, renderVersion: "v3", variant });
    const call = { signal, headers: { Accept: "application/json" } };
    const { body } = await this.#patiently(signal, () => this.#ask("GET", `/api/download?${query}`, call));
    if (typeof body?.url !== "string") throw badResponse();
    return body.url;
  }

  /**
   * The file. Once more under a new address, where the first has run out or broken off.
   * @param {() => Promise<string>} link
   * @param {AbortSignal} [signal]
   * @returns {Promise<Blob>}
   */
  async file(link, signal, isRetry = false) {
    const url = await link();
    try {
      const answer = await fetch(url, {
        credentials: "omit",
        referrerPolicy: "no-referrer",
        signal: anyOf(signal, this.#closed),
      });
      if (answer.ok) return await answer.blob();
      if (isRetry) throw badResponse(answer.status);
    } catch (cause) {
      throwIfAborted(signal, this.#closed);
      if (isRetry) throw cause instanceof ClipbellError ? cause : unreachable("The video could not be fetched.", cause);
    }
    return this.file(link, signal, true);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {Call} call
   * @returns {Promise<{answer: Response, body: any}>}
   */
  async #ask(method, path, { signal, headers, body, within = ANSWER_WITHIN }) {
    throwIfAborted(signal, this.#closed);
    const sent = new Headers(headers);
    const timeout = AbortSignal.timeout(within);
    const got = typeof this.#token === "function" ? this.#token() : this.#token;
    const token = await abortable(got, signal, this.#closed, timeout).catch((cause) => {
      throw cause === timeout.reason ? unreachable("The access token did not come.", cause) : cause;
    });
    if (token) sent.set("Authorization", bearer(token));
    let answer, text;
    try {
      answer = await fetch(this.#base + path, {
        method,
        headers: sent,
        body,
        cache: "no-store",
        // The API sends nobody elsewhere: whoever does must not get the token.
        redirect: "error",
        signal: anyOf(signal, this.#closed, timeout),
      });
      text = await answer.text();
    } catch (cause) {
      throwIfAborted(signal, this.#closed);
      throw unreachable("The API could not be reached.", cause);
    }
    const json = parsed(text);
    if (!answer.ok && answer.status !== 304) throw refusal(answer, json);
    return { answer, body: json };
  }

  /**
   * @template Answer
   * @param {AbortSignal | undefined} signal
   * @param {() => Promise<Answer>} ask
   */
  async #patiently(signal, ask) {
    const begun = performance.now();
    for (let failures = 1; ; failures++) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof ClipbellError)) throw error;
        if (error.code !== "network" && !RETRYABLE.has(error.status ?? 0)) throw error;
        const wait = Math.max((error.retryAfter ?? 0) * SECOND, pause(failures, LONGEST_PAUSE));
        if (performance.now() - begun + wait > TRY_FOR) throw error;
        await sleep(wait, signal, this.#closed);
      }
    }
  }
}

/**
 * @typedef {object} Call
 * @property {AbortSignal} [signal]
 * @property {Record<string, string>} [headers]
 * @property {string} [body]
 * @property {number} [within]
 */

/**
 * Asks for a job's state; without an update when it is still that of `etag`.
 * @callback AskStatus
 * @param {string} id
 * @param {string | undefined} etag
 * @param {AbortSignal} signal
 * @returns {Promise<{update?: api.JobUpdate, etag?: string}>}
 */

/** @typedef {ReturnType<typeof setTimeout> | undefined} Timer */

/**
 * @param {Response} answer
 * @param {any} body
 */
function refusal(answer, body) {
  const { status } = answer;
  const isOurs = typeof body?.code === "string" && typeof body.error === "string";
  const message = isOurs ? body.error : `The API answered with ${status}.`;
  return new ClipbellError(isOurs ? body.code : "bad_response", message, {
    status,
    requestId: body?.requestId,
    retryable: RETRYABLE.has(status) || body?.code === "not_ready",
    retryAfter: retryAfter(answer.headers.get("Retry-After")),
  });
}

/**
 * Seconds. It may also be a date.
 * @param {string | null} header
 */
function retryAfter(header) {
  if (header === null) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / SECOND;
  // Longer than a timer can be set, it would be no wait at all.
  return seconds >= 0 ? Math.min(seconds, LONGEST_RETRY_AFTER) : undefined;
}

/** @param {string} token */
function bearer(token) {
  if (/^[\x21-\x7e]+$/.test(token)) return `Bearer ${token}`;
  throw new ClipbellError("invalid_token", "The access token holds characters that no token has.");
}

/** @param {number} [status] */
function badResponse(status) {
  return new ClipbellError("bad_response", "What answered is not a Clipbell API.", { status });
}

/**
 * @param {string} message
 * @param {unknown} cause
 */
function unreachable(message, cause) {
  return new ClipbellError("network", message, { retryable: true, cause });
}

/** Whether asking for a job's state again is of no use: the API itself says no. @param {unknown} error */
function isFinal(error) {
  if (!(error instanceof ClipbellError) || error.code === "bad_response" || error.code === "network") return false;
  return error.status !== undefined && error.status < 500 && !RETRYABLE.has(error.status);
}

/** What `done` rejects with. @param {api.JobUpdate} update */
function ending(update) {
  const { status, error, message } = update;
  if (status === "canceled") return new ClipbellError("job_canceled", message, { update });
  const details = { retryable: error?.retryable, update };
  return new ClipbellError(error?.code ?? "job_failed", error?.message ?? message, details);
}

/** @param {any} value @returns {value is api.JobUpdate} */
function isUpdate(value) {
  return typeof value?.jobId === "string" && typeof value.status === "string" && Number.isFinite(value.version);
}

/** @param {unknown} text @returns {any} */
function parsed(text) {
  try {
    return JSON.parse(String(text));
  } catch {
    return undefined;
  }
}

/**
 * Milliseconds to wait after so many failures: about 1 s, 2 s, 4 s …, each browser at its own time.
 * @param {number} failures
 * @param {number} longest
 */
function pause(failures, longest) {
  return Math.min(longest, SECOND * 2 ** Math.max(failures - 1, 0)) * (0.5 + Math.random() / 2);
}

/** Not `crypto.randomUUID`: it is missing where a page comes over plain HTTP. */
function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Audio as text, for JSON.
 * @param {unknown} audio
 * @returns {Promise<string | undefined>}
 */
async function encoded(audio) {
  if (audio === undefined || audio === null) return undefined;
  if (typeof audio === "string") {
    const digits = audio.slice(audio.indexOf(",") + 1).replace(/[\s=]+/g, "");
    return sized(audio, Math.floor((digits.length * 3) / 4));
  }
  // By name: what comes from another frame is of another class.
  const name = Object.prototype.toString.call(audio);
  if (name === "[object Blob]" || name === "[object File]") {
    const blob = /** @type {Blob} */ (audio);
    sized(blob, blob.size);
    const base64 = toBase64(new Uint8Array(await blob.arrayBuffer()));
    return blob.type ? `data:${blob.type};base64,${base64}` : base64;
  }
  if (ArrayBuffer.isView(audio)) {
    const { buffer, byteOffset, byteLength } = audio;
    return toBase64(sized(new Uint8Array(buffer, byteOffset, byteLength), byteLength));
  }
  if (name === "[object ArrayBuffer]" || name === "[object SharedArrayBuffer]") {
    const bytes = new Uint8Array(/** @type {ArrayBuffer} */ (audio));
    return toBase64(sized(bytes, bytes.length));
  }
  throw new ClipbellError("invalid_audio", "audioBuffer is an ArrayBuffer, a typed array, a Blob, a File, or base64.");
}

/**
 * @template Audio
 * @param {Audio} audio
 * @param {number} bytes
 */
function sized(audio, bytes) {
  if (bytes > LARGEST_AUDIO) throw new ClipbellError("audio_too_large", "The audio is over 4 MB.");
  if (bytes === 0) throw new ClipbellError("invalid_audio", "The audio is empty.");
  return audio;
}

/** @param {Uint8Array} bytes */
function toBase64(bytes) {
  // A function takes only so many arguments. A multiple of three, so that no piece but the last is padded.
  const step = 3 * 8192;
  let text = "";
  for (let at = 0; at < bytes.length; at += step) {
    text += btoa(String.fromCharCode(...bytes.subarray(at, at + step)));
  }
  return text;
}

/** @param {(AbortSignal | undefined)[]} signals */
function anyOf(...signals) {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined));
}

/** @param {(AbortSignal | undefined)[]} signals */
function throwIfAborted(...signals) {
  for (const signal of signals) signal?.throwIfAborted();
}

/**
 * @template Value
 * @param {Value | Promise<Value>} promise
 * @param {(AbortSignal | undefined)[]} signals
 * @returns {Promise<Value>}
 */
async function abortable(promise, ...signals) {
  const signal = anyOf(...signals);
  let abort = () => {};
  try {
    return await new Promise((resolve, reject) => {
      abort = () => reject(signal.reason);
      signal.addEventListener("abort", abort);
      if (signal.aborted) abort();
      Promise.resolve(promise).then(resolve, reject);
    });
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/**
 * @param {number} milliseconds
 * @param {(AbortSignal | undefined)[]} signals
 */
async function sleep(milliseconds, ...signals) {
  /** @type {Timer} */
  let timer;
  try {
    await abortable(new Promise((resolve) => (timer = setTimeout(resolve, milliseconds))), ...signals);
  } finally {
    clearTimeout(timer);
  }
}
