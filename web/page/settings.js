// The access token, where this Clipbell asks for one. It stays in this browser.

const KEY = "clipbell.token";
const field = document.getElementById("token");
const settings = document.getElementById("settings");

let token = stored() ?? "";

export const accessToken = () => token || undefined;

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return undefined;
  }
}

settings.addEventListener("toggle", ({ newState }) => {
  if (newState !== "open") return;
  token = stored() ?? token;
  field.value = token;
  field.focus();
});

document.getElementById("settings-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = field.value.trim();
  try {
    if (token) localStorage.setItem(KEY, token);
    else localStorage.removeItem(KEY);
  } catch {
    // Where nothing is kept, it is good for this tab.
  }
  settings.hidePopover();
});
