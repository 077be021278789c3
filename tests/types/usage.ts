// How a program in TypeScript uses the client. It is only compiled, by `make lint`.

import {
  ClipbellError,
  createClient,
  type Client,
  type ConnectionState,
  type Job,
  type JobFailure,
  type JobStatus,
  type JobUpdate,
} from "../../web/clipbell.js";

createClient();
createClient({ baseUrl: new URL("https://api.test"), webSocketUrl: "wss://socket.test", token: "s3cret" });
createClient({ token: () => undefined });
const clips: Client = createClient({ baseUrl: "https://api.test", token: async () => "s3cret" });

const { signal } = new AbortController();

export async function order(file: File): Promise<Blob> {
  await clips.generate({ scriptOrQuestion: "A bell", audioBuffer: new ArrayBuffer(1), seconds: 8 });
  await clips.generate({ scriptOrQuestion: "A bell", audioBuffer: new Float32Array(1), seconds: "8" });
  await clips.generate({ scriptOrQuestion: "A bell", audioBuffer: "data:audio/wav;base64,AAAA", model: "m", size: "1x1" });
  await clips.generate({ scriptOrQuestion: "A bell", audioBuffer: null });
  const job: Job = await clips.generate({ scriptOrQuestion: "A bell", audioBuffer: file }, { signal, idempotencyKey: "k" });

  for await (const update of job) {
    const status: JobStatus = update.status;
    const failure: JobFailure | undefined = update.error;
    console.log(update.version + update.progress, update.message.length, status, failure?.retryable, update.downloadUrl?.length);
  }
  for await (const { jobId } of job.updates({ signal })) console.log(jobId);

  const end: JobUpdate = await job.done;
  console.log(end.createdAt, end.updatedAt, job.current?.version, job.id);
  const url: string = await job.download({ as: "url", variant: "thumbnail", signal });
  console.log(url, (await job.cancel({ signal })).status);
  return job.download({ variant: "video" });
}

export function listen(id: string): void {
  const job = clips.job(id, { signal });
  const heard = (event: CustomEvent<JobUpdate>) => console.log(event.detail.progress);
  job.addEventListener("progress", heard, { once: true });
  job.removeEventListener("progress", heard);
  job.addEventListener("error", ({ detail }) => {
    const error: ClipbellError = detail;
    console.log(error.code, error.status, error.requestId, error.retryable, error.retryAfter, error.update?.status);
  });
  clips.addEventListener("connection", ({ detail }) => {
    const state: ConnectionState = detail;
    console.log(state === clips.connection);
  });
  clips.close();
}

export function explain(error: unknown): string {
  return error instanceof ClipbellError ? error.code : String(error);
}

export function mistakes(job: Job, update: JobUpdate): void {
  // @ts-expect-error There is no order without words.
  void clips.generate({});
  // @ts-expect-error Numbers are no audio.
  void clips.generate({ scriptOrQuestion: "A bell", audioBuffer: 7 });
  // @ts-expect-error A state is the server's to change.
  update.progress = 100;
  // @ts-expect-error This is no status.
  console.log(update.status === "done");
  // @ts-expect-error An address is no Blob.
  void job.download({ as: "url" }).then((url: Blob) => url.size);
  // @ts-expect-error What can't be followed has no progress.
  job.addEventListener("error", ({ detail }) => detail.progress);
}
