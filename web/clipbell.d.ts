/** What the outside is told of a job's state. The last three are final. */
export type JobStatus = "queued" | "in_progress" | "completed" | "failed" | "canceled";

/** Why a job failed. `code` is stable over all providers. */
export interface JobFailure {
  readonly code: string;
  /** One sentence for a person. */
  readonly message: string;
  /** Whether asking for the same video again can help. */
  readonly retryable: boolean;
}

/** A job's state at one version. */
export interface JobUpdate {
  readonly jobId: string;
  readonly status: JobStatus;
  /** 0 to 100; 100 only with `completed`. Never goes back. */
  readonly progress: number;
  /** One sentence for a person. */
  readonly message: string;
  /** Grows with every change. */
  readonly version: number;
  /** RFC 3339. */
  readonly createdAt: string;
  /** RFC 3339. */
  readonly updatedAt: string;
  /** Why it failed. */
  readonly error?: JobFailure;
  /** Where the video is, relative to the API; there when it is completed. */
  readonly downloadUrl?: string;
}

/** What to make a video of. */
export interface GenerateRequest {
  /** 1 to 32,000 characters. */
  scriptOrQuestion: string;
  /** Narration, at most 4 MB decoded. A string is base64 or a `data:` URL. */
  audioBuffer?: ArrayBuffer | ArrayBufferView | Blob | string | null;
  model?: string;
  /** Length in seconds. */
  seconds?: string | number;
  /** `1280x720`. */
  size?: string;
}

export interface GenerateOptions {
  /** Ends the request, and later the watching of the job that it gave. It does not cancel the job. */
  signal?: AbortSignal;
  /** 1 to 255 visible ASCII characters. With the same key, asking twice is the same as once. One is made when none is given. */
  idempotencyKey?: string;
}

export interface ClientOptions {
  /** The API's address, with `/api` below it. Default: the page's own origin. */
  baseUrl?: string | URL;
  /** The WebSocket's address. Default: `/ws` of `baseUrl`. */
  webSocketUrl?: string | URL;
  /** The access token, or a function that gets one, asked before every request and each of its tries. It never goes into a URL. */
  token?: string | (() => string | undefined | Promise<string | undefined>);
}

/** How news comes in: `idle` while no job is watched, `live` over the WebSocket, `polling` where it can't be had. */
export type ConnectionState = "idle" | "connecting" | "live" | "reconnecting" | "polling";

/** All but the code and the message. */
export interface ClipbellErrorDetails {
  status?: number;
  requestId?: string;
  retryable?: boolean;
  retryAfter?: number;
  update?: JobUpdate;
  cause?: unknown;
}

/** The API said no, or could not be reached. */
export class ClipbellError extends Error {
  constructor(code: string, message: string, details?: ClipbellErrorDetails);
  /**
   * Stable: the API's `code` (`job_not_found`, `invalid_body` …), the failed job's own code, or one that the client says
   * as well: `network` (not reached), `bad_response` (something else answered), `invalid_audio`, `audio_too_large`, `invalid_token`,
   * `invalid_idempotency_key`, `job_canceled`, `closed` (the client was).
   */
  readonly code: string;
  /** The HTTP status; none where nothing answered, or where the job itself failed. */
  readonly status?: number;
  /** The API's id of a request that failed on its side. */
  readonly requestId?: string;
  /** Whether the same call can succeed later. */
  readonly retryable: boolean;
  /** Seconds, where the API said when to try again. */
  readonly retryAfter?: number;
  /** The job's last state, where the job itself failed. */
  readonly update?: JobUpdate;
}

/**
 * A listener hears what comes after it was added; and, right after it was added, the newest state, if none has heard of that
 * before. The present state is in `current`.
 */
export interface JobEventMap {
  /** Every version, at most once, in growing order; the final one always. */
  update: CustomEvent<JobUpdate>;
  /** The same while it is not final. */
  progress: CustomEvent<JobUpdate>;
  completed: CustomEvent<JobUpdate>;
  failed: CustomEvent<JobUpdate>;
  canceled: CustomEvent<JobUpdate>;
  /** It can't be followed: there is no such job, or no longer. */
  error: CustomEvent<ClipbellError>;
}

/**
 * One job. It is watched from when somebody listens, iterates, or asks for `done`, until its end, or until nobody does so any more.
 *
 * An iteration begins with the present state, where it is known, and ends after the final one, however the job ended. It
 * throws where the job can't be followed.
 */
export interface Job extends EventTarget, AsyncIterable<JobUpdate> {
  readonly id: string;
  /** The newest state that is known. */
  readonly current: JobUpdate | undefined;
  /**
   * Its last state, when it is completed.
   *
   * Rejects with a {@link ClipbellError} of the job's own `code` when it failed, of `job_canceled` when it was canceled,
   * of `job_not_found` when there is none, and with the signal's reason when it is aborted.
   */
  readonly done: Promise<JobUpdate>;
  /** Asks for its end. It ends as `canceled`, or as `completed` where the provider was first. */
  cancel(options?: { signal?: AbortSignal }): Promise<JobUpdate>;
  /** The file itself. */
  download(options?: { as?: "blob"; variant?: "video" | "thumbnail"; signal?: AbortSignal }): Promise<Blob>;
  /** An address that works for a quarter of an hour, and without any token. */
  download(options: { as: "url"; variant?: "video" | "thumbnail"; signal?: AbortSignal }): Promise<string>;
  /** Iterates with a signal: it ends by throwing the signal's reason. */
  updates(options?: { signal?: AbortSignal }): AsyncIterableIterator<JobUpdate>;
  addEventListener<K extends keyof JobEventMap>(
    type: K,
    listener: (this: Job, event: JobEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof JobEventMap>(
    type: K,
    listener: (this: Job, event: JobEventMap[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

export interface ClientEventMap {
  connection: CustomEvent<ConnectionState>;
}

/** All jobs of a page share its one connection. */
export interface Client extends EventTarget {
  /** How news comes in; a `connection` event tells of each change. */
  readonly connection: ConnectionState;
  /** Asks for a video. Tries again by itself, under one idempotency key, where that can help. */
  generate(request: GenerateRequest, options?: GenerateOptions): Promise<Job>;
  /**
   * A job by its id: after a reload, say. The same id gives the same object, until it can't be followed any more.
   *
   * With a signal it gives an object of its own, whose watching ends when the signal is aborted: `done` rejects and
   * iterations throw with the signal's reason, and listeners hear no more.
   */
  job(id: string, options?: { signal?: AbortSignal }): Job;
  /** Ends the connection, and with it the watching of all jobs and every call, with the code `closed`; for good. */
  close(): void;
  addEventListener<K extends keyof ClientEventMap>(
    type: K,
    listener: (this: Client, event: ClientEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof ClientEventMap>(
    type: K,
    listener: (this: Client, event: ClientEventMap[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

export function createClient(options?: ClientOptions): Client;
