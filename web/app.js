const FINAL = new Set(["completed", "failed", "canceled"]);
const RECONNECT_MS = 1000;

const element = (id) => document.getElementById(id);

element("order").addEventListener("submit", async (event) => {
  event.preventDefault();
  show({ progress: 0, message: "Asking for the video…" });
  try {
    watch(await order(element("prompt").value, element("token").value));
  } catch (error) {
    show({ progress: 0, message: error.message });
  }
});

/** Orders a video; gives the job. */
async function order(scriptOrQuestion, token) {
  const answer = await fetch("/api/generate?renderVersion=v3", {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      // The same order sent twice, by an impatient network, is one video.
      "Idempotency-Key": crypto.randomUUID(),
      ...(token && { Authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ scriptOrQuestion }),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error ?? `The order was not taken (${answer.status}).`);
  return body;
}

let watched;

/** Shows a job until it is finished. A connection that breaks is made anew: the answer to `subscribe` says what was missed. */
function watch(job) {
  watched = job.jobId;
  let newest = -1;
  const connect = () => {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    let finished = false;
    socket.onopen = () => socket.send(JSON.stringify({ action: "subscribe", jobId: job.jobId }));
    socket.onmessage = ({ data }) => {
      const news = JSON.parse(data);
      // Messages may come twice or out of order.
      if (watched !== job.jobId || !(news.version > newest)) return;
      newest = news.version;
      show(news);
      finished = FINAL.has(news.status);
      if (finished) socket.close();
    };
    socket.onclose = () => {
      if (!finished && watched === job.jobId) setTimeout(connect, RECONNECT_MS);
    };
  };
  show(job);
  connect();
}

function show({ status, progress, message, error, downloadUrl }) {
  element("job").hidden = false;
  element("progress").value = progress;
  element("message").textContent = error ? `${message}: ${error.message}` : status ? `${message} (${status})` : message;
  const [video, link] = [element("video"), element("download")];
  video.hidden = link.hidden = !downloadUrl;
  if (downloadUrl) {
    video.src = downloadUrl;
    link.href = downloadUrl;
  } else {
    video.removeAttribute("src");
    video.load();
  }
}
