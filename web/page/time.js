const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A running clock: `0:07`, `12:40`, `1:02:09`. */
export function clock(ms) {
  const seconds = Math.max(0, Math.floor(ms / SECOND));
  const two = (number) => String(number).padStart(2, "0");
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** How long something took: `48 s`, `3 min 5 s`, `2 h 10 min`. */
export function span(ms) {
  const seconds = Math.max(1, Math.round(ms / SECOND));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return seconds < 3600 ? pair(seconds, "min", "s") : pair(minutes, "h", "min");
}

function pair(amount, large, small) {
  const rest = amount % 60;
  return `${Math.floor(amount / 60)} ${large}` + (rest ? ` ${rest} ${small}` : "");
}

/** How long ago something was. A clock that runs ahead of ours makes nothing lie in the future. */
export function ago(ms) {
  if (ms < 5 * SECOND) return "just now";
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s ago`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min ago`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} h ago`;
  const days = Math.floor(ms / DAY);
  return days === 1 ? "yesterday" : `${days} days ago`;
}
