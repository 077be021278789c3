// Narrations of jobs that may still have to be sent, once more or again: in IndexedDB, which holds megabytes.

const STORE = "narrations";
/** This tab's own: where IndexedDB is not to be had, a reload loses them, and the job says so. */
const here = new Map();

let opening;

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("clipbell", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opening;
}

async function ask(mode, action) {
  try {
    const store = (await open()).transaction(STORE, mode).objectStore(STORE);
    const request = action(store);
    return await new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } catch {
    return undefined;
  }
}

/** Keeps it under its job's idempotency key. It can be had at once, and after a reload soon after. */
export function keep(key, blob) {
  here.set(key, blob);
  return ask("readwrite", (store) => store.put(blob, key));
}

/** @returns {Promise<Blob | undefined>} */
export async function get(key) {
  return here.get(key) ?? (await ask("readonly", (store) => store.get(key)));
}

export function drop(key) {
  here.delete(key);
  return ask("readwrite", (store) => store.delete(key));
}
