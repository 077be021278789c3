// A finished video: its picture, playing in place, and what there is to say when it can't be had any more.

/**
 * @param {HTMLElement} stage Holds the <video> and the button that begins it.
 * @param {() => import("../clipbell.js").Job} job
 * @param {(code: string, message: string) => void} onProblem
 */
export function player(stage, job, onProblem) {
  const video = stage.querySelector("video");
  const play = stage.querySelector(".play");
  let address;
  let renewed = false;

  play.addEventListener("click", () => {
    renewed = false;
    // After an error, playing again would only repeat it.
    if (video.error) {
      video.src = address;
      video.load();
    }
    void start();
    video.focus();
  });

  video.addEventListener("play", () => {
    play.hidden = true;
    for (const other of document.querySelectorAll("article video")) if (other !== video) other.pause();
    stage.closest("article").classList.add("playing");
  });

  video.addEventListener("playing", () => {
    renewed = false;
  });

  // The address behind the video works for a quarter of an hour. Later, a seek fails: a fresh one, and on from there.
  video.addEventListener("error", async () => {
    if (!video.hasAttribute("src")) return;
    const { currentTime, paused } = video;
    if (renewed) {
      stop("unplayable", "This video can't be played here. Downloading it may still work.");
      return;
    }
    renewed = true;
    try {
      video.src = await job().download({ as: "url" });
      video.currentTime = currentTime;
      if (!paused) await start();
    } catch ({ code, message }) {
      stop(code, message);
    }
  });

  async function start() {
    try {
      await video.play();
    } catch {
      // Why it does not play is told by the event `error`.
    }
  }

  function stop(code, message) {
    play.hidden = false;
    stage.closest("article").classList.remove("playing");
    onProblem(code, message);
  }

  async function showPicture() {
    try {
      video.poster = await job().download({ as: "url", variant: "thumbnail" });
    } catch ({ code, message }) {
      // Without a picture, the stage shows the bell.
      if (code === "video_expired" || code === "job_not_found") onProblem(code, message);
    }
  }

  // Fifty finished videos are not asked for at once, but as they come into view.
  const view = new IntersectionObserver(
    (entries) => {
      if (!entries.at(-1).isIntersecting) return;
      view.disconnect();
      void showPicture();
    },
    { rootMargin: "200px" },
  );

  return {
    show(downloadUrl) {
      if (!video.hidden) return;
      address = downloadUrl;
      // With preload="none" nothing is fetched before somebody wants to see it, and the redirect is fresh then.
      video.src = address;
      video.hidden = play.hidden = false;
      view.observe(stage);
    },
    hide() {
      view.disconnect();
      if (video.hidden) return;
      video.hidden = play.hidden = true;
      video.removeAttribute("src");
      video.load();
      stage.closest("article").classList.remove("playing");
    },
  };
}
