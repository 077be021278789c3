"""The page in `web/`: which of its files are public, and the headers that go with them.

The local gateway serves it and `make deploy` uploads it, both by what stands here.
"""

from __future__ import annotations

import re
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "web"
TEMPLATE = ROOT / "template.yaml"

KINDS = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    # Not application/javascript, which RFC 9239 retires.
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# Nothing with a second dot (types, settings of tools, tests), and no other folder.
PUBLIC = re.compile(rf"(page/)?[\w-]+\.({'|'.join(KINDS)})", re.ASCII)

# A browser asks each time whether its copy is still the newest: the files are small and have no version in their names.
CACHE_CONTROL = "no-cache"

# The bucket of videos as the template's Content-Security-Policy names it.
BUCKET = "https://${VideosBucket}.s3.${AWS::Region}.${AWS::URLSuffix}"


def is_public(path: str) -> bool:
    return PUBLIC.fullmatch(path) is not None


def files(folder: Path = FOLDER) -> list[str]:
    """The paths of all public files below the page's folder."""
    found = (path.relative_to(folder).as_posix() for pattern in ("*", "page/*") for path in folder.glob(pattern))
    return sorted(path for path in found if is_public(path) and (folder / path).is_file())


def content_type(path: str) -> str:
    return KINDS[path.rpartition(".")[2]]


def headers(bucket: str) -> dict[str, str]:
    """The template's headers, with the origin of this bucket. There is no HSTS: a local address has no TLS."""
    resource = yaml_parse(TEMPLATE.read_text())["Resources"]["PageHeaders"]
    config = resource["Properties"]["ResponseHeadersPolicyConfig"]
    security = config["SecurityHeadersConfig"]
    policy = security["ContentSecurityPolicy"]["ContentSecurityPolicy"]["Fn::Sub"].replace(BUCKET, bucket)
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": security["ReferrerPolicy"]["ReferrerPolicy"],
        **{item["Header"]: item["Value"] for item in config["CustomHeadersConfig"]["Items"]},
    }
