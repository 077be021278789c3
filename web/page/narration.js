// The narration of the next video: a file, or recorded with the microphone.

import { clock } from "./time.js";

/** Bytes: the API's own limit. */
const LARGEST = 4_000_000;

const element = (id) => document.getElementById(id);
const file = element("narration");
const record = element("record");
const sources = element("narration-sources");
const preview = element("narration-preview");
const sound = preview.querySelector("audio");
const problem = element("narration-problem");
const help = element("narration-help");
const helpText = help.textContent;

let chosen;
let recorder;
/** The browser asks whether the page may listen: a second press must not ask again. */
let isAsking = false;

/** @returns {Blob | undefined} */
export const narration = () => chosen;

/** Whether a recording still runs: what it will be is not known yet. */
export const isRecording = () => recorder?.state === "recording";

export function choose(blob, name) {
  tell("");
  if (blob && blob.size > LARGEST) {
    tell(`This narration has ${megabytes(blob.size)} MB: at most 4 MB can go along. A shorter one, or an MP3, fits.`);
    blob = undefined;
  }
  if (blob && blob.size === 0) {
    tell("This narration is empty.");
    blob = undefined;
  }
  URL.revokeObjectURL(sound.src);
  chosen = blob;
  file.value = "";
  sources.hidden = Boolean(blob);
  preview.hidden = !blob;
  if (blob) {
    sound.src = URL.createObjectURL(blob);
    sound.setAttribute("aria-label", name);
  } else {
    sound.removeAttribute("src");
  }
}

async function begin() {
  if (isAsking) return;
  tell("");
  let microphone;
  try {
    isAsking = true;
    microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    tell(
      error.name === "NotAllowedError"
        ? "The browser does not let this page use the microphone. Allow it, or choose a file."
        : "There is no microphone to record with. Choose a file instead.",
    );
    return;
  } finally {
    isAsking = false;
  }
  const pieces = [];
  const begun = performance.now();
  const tick = () => {
    help.textContent = `Recording: ${clock(performance.now() - begun)}`;
  };
  const ticking = setInterval(tick, 250);
  recorder = new MediaRecorder(microphone, { audioBitsPerSecond: 64_000 });
  recorder.ondataavailable = ({ data }) => {
    pieces.push(data);
    // A recording that grows too long ends while it still fits.
    if (pieces.reduce((sum, { size }) => sum + size, 0) > LARGEST * 0.95 && isRecording()) recorder.stop();
  };
  recorder.onstop = () => {
    for (const track of microphone.getTracks()) track.stop();
    clearInterval(ticking);
    help.textContent = helpText;
    record.textContent = "Record";
    record.classList.remove("on");
    file.hidden = false;
    choose(new Blob(pieces, { type: recorder.mimeType }), "Recorded narration");
    element("remove-narration").focus();
  };
  recorder.start(1000);
  tick();
  record.textContent = "Stop recording";
  record.classList.add("on");
  file.hidden = true;
}

function tell(message) {
  problem.textContent = message;
  problem.hidden = !message;
}

const megabytes = (bytes) => (Math.ceil(bytes / 100_000) / 10).toFixed(1);

record.hidden = !("MediaRecorder" in window && navigator.mediaDevices);
record.addEventListener("click", () => (isRecording() ? recorder.stop() : begin()));
file.addEventListener("change", () => {
  if (file.files[0]) choose(file.files[0], "Chosen narration");
});
element("remove-narration").addEventListener("click", () => {
  choose(undefined);
  file.focus();
});
