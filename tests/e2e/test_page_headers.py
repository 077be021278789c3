"""The page as the gateway serves it: its public files and no other, under a strict Content-Security-Policy."""

import os
import shutil

import pytest
from client import PATIENT, Api
from local import page
from local.stack import Stack
from playwright.async_api import async_playwright

pytestmark = pytest.mark.asyncio(loop_scope="session")

# In the browser: what became of one attempt after the other. A blocked one says which directive forbade it.
TRY = """async ([own, bucket, elsewhere]) => {
  const within = (promise) => Promise.race([promise, new Promise((told) => setTimeout(told, 10000, 'nothing'))]);
  const blocked = (act) => within(new Promise((told) => {
    document.addEventListener('securitypolicyviolation', (event) => told(event.effectiveDirective), { once: true });
    act();
  }));
  const socket = (host) => within(new Promise((told) => {
    const opened = new WebSocket(`ws://${host}/ws`);
    opened.onopen = () => { opened.close(); told('open'); };
    opened.onerror = () => told('failed');
  }));
  const add = (name, set) => document.body.append(Object.assign(document.createElement(name), set));
  return {
    socket: await socket(own),
    bucket: await within(fetch(bucket, { mode: 'no-cors' }).then(() => 'answered', String)),
    elsewhere: await blocked(() => fetch(elsewhere).catch(() => {})),
    elsewhereSocket: await blocked(() => { try { new WebSocket(elsewhere.replace('http', 'ws')); } catch {} }),
    inlineScript: await blocked(() => add('script', { textContent: 'document.title = "taken over"' })),
    inlineStyle: await blocked(() => add('style', { textContent: 'body { color: red }' })),
    handler: await blocked(() => {
      document.body.setAttribute('onclick', 'document.title = "taken over"');
      document.body.click();
    }),
    script: await blocked(() => add('script', { src: `${bucket}/evil.js` })),
    frame: await blocked(() => add('iframe', { src: elsewhere })),
    title: document.title,
  };
}"""


def policy(stack: Stack) -> str:
    bucket = stack.aws.endpoint
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        f"img-src 'self' blob: {bucket}; media-src 'self' blob: {bucket}; connect-src 'self' {bucket}; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


async def test_every_public_file_comes_with_the_page_s_headers(stack: Stack, api: Api) -> None:
    kinds = {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
    files = page.files()
    assert {"index.html", "clipbell.js", "style.css", "icon.svg"} <= set(files)
    for path in ["", *files]:
        answer = await api.request("GET", f"/{path}")
        assert answer.status == 200, path
        told = answer.headers
        assert told["Content-Security-Policy"] == policy(stack)
        assert told["X-Content-Type-Options"] == "nosniff"
        assert told["Referrer-Policy"] == "no-referrer"
        assert "microphone=(self)" in told["Permissions-Policy"]
        assert told["Cache-Control"] == "no-cache"
        assert told["Content-Type"] == kinds[os.path.splitext(path or "index.html")[1]], path
        # There is no TLS here, and a browser would remember it for every port of 127.0.0.1.
        assert "Strict-Transport-Security" not in told


async def test_a_browser_that_has_the_newest_file_is_told_so(api: Api) -> None:
    first = await api.request("GET", "/clipbell.js")
    again = await api.request("GET", "/clipbell.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.headers["Cache-Control"]) == (304, "no-cache")


async def test_what_is_no_part_of_the_page_gets_none_of_its_headers(api: Api) -> None:
    for path in ("/api/status?jobId=none&renderVersion=v3", "/api/nothing", "/ws"):
        answer = await api.request("GET", path)
        assert answer.status >= 400
        assert not {"Content-Security-Policy", "Permissions-Policy"} & set(answer.headers), path


@pytest.mark.parametrize(
    "path",
    [
        # It is there.
        "clipbell.d.ts",
        *("package.json", ".gitignore", "node_modules/typescript/lib/tsc.js", "page/", "page"),
        *(
            "../template.yaml",
            "%2e%2e/template.yaml",
            "page/..%2findex.html",
            "%2fetc/passwd",
            "index.html%00",
            "none.html",
        ),
    ],
)
async def test_nothing_else_is_served(stack: Stack, api: Api, path: str) -> None:
    answer = await api.request("GET", f"/{path}")
    assert answer.status == 404
    assert answer.headers["Content-Security-Policy"] == policy(stack)


@pytest.mark.parametrize(
    ("path", "public"),
    [
        *(
            (path, True)
            for path in ("index.html", "clipbell.js", "page/card.js", "page/kept-narrations.js", "icon.svg")
        ),
        *((path, False) for path in ("clipbell.d.ts", "package.json", "tsconfig.json", "README.md", ".hidden.html")),
        *((path, False) for path in ("eslint.config.js", "page/card.test.js", "tests/card.js", "page/tests/card.js")),
        *((path, False) for path in ("node_modules/a.js", "page/../a.js", "/a.js", "a.js\n", "a.js/", "")),
    ],
)
async def test_what_is_public(path: str, public: bool) -> None:
    assert page.is_public(path) is public


@pytest.mark.skipif(os.environ.get("BROWSER") == "none", reason="BROWSER=none")
async def test_a_browser_heeds_the_policy_and_the_page_can_live_with_it(stack: Stack) -> None:
    name = os.environ.get("BROWSER", "chromium")
    path = shutil.which(name)
    assert path, f"There is no {name}: install it, or give BROWSER=path. `make test BROWSER=none` goes without."
    own = stack.base_url.removeprefix("http://")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path)
        try:
            tab = await browser.new_page()
            tab.set_default_timeout(PATIENT * 1000)
            await tab.goto(stack.base_url)
            title = await tab.title()
            seen = await tab.evaluate(TRY, [own, stack.aws.endpoint, stack.simulator_url])
        finally:
            await browser.close()
    assert seen == {
        # 'self' means the WebSocket at the page's own address too.
        "socket": "open",
        "bucket": "answered",
        "elsewhere": "connect-src",
        "elsewhereSocket": "connect-src",
        "inlineScript": "script-src-elem",
        "inlineStyle": "style-src-elem",
        "handler": "script-src-attr",
        "script": "script-src-elem",
        "frame": "frame-src",
        "title": title,
    }
