import { createClient } from "../clipbell.js";
import { follow } from "./follow.js";
import { Jobs } from "./jobs.js";
import * as narrations from "./kept-narrations.js";
import { showList } from "./list.js";
import { announce, showConnection } from "./news.js";
import { edit, order, takeOrders } from "./order.js";
import { accessToken } from "./settings.js";

const jobs = new Jobs();
const client = createClient({ token: accessToken });

showConnection(client);

showList(jobs, {
  job: ({ id }) => client.job(id),

  async again(entry) {
    const { idempotencyKey, id, hasNarration } = entry;
    if (!id) {
      // It may have been taken, and only the answer lost: the same key asks for the same video.
      jobs.change(idempotencyKey, { problem: undefined });
      return;
    }
    const audio = hasNarration ? await narrations.get(idempotencyKey) : undefined;
    if (hasNarration && !audio) await edit(entry);
    // Another tab, or a second press, may have been quicker.
    else if (!jobs.get(idempotencyKey)?.again) jobs.change(idempotencyKey, { again: order(jobs, entry, audio) });
  },

  edit,

  async cancel({ idempotencyKey, id }) {
    jobs.change(idempotencyKey, { update: await client.job(id).cancel() });
  },

  lost({ idempotencyKey }, code) {
    jobs.change(idempotencyKey, code === "job_not_found" ? { gone: true } : { expired: true });
  },
});
takeOrders(jobs);
follow(client, jobs, announce);
