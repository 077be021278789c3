"""`python -m operations.publish_page [STACK]`; `make deploy` calls it at its end."""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound
from local import page
from local.processes import StackError

from .reconcile import Deployed

SAMCONFIG = page.ROOT / "samconfig.toml"
ADVICE = (
    "See whether the name is right, and for which account, region and rights you are logged in "
    "(AWS_PROFILE, AWS_DEFAULT_REGION)."
)


def saved_by_sam(samconfig: Path) -> dict[str, Any]:
    """What SAM's questions left for its next `deploy`: the stack's name and region among it."""
    if not samconfig.is_file():
        return {}
    default = tomllib.loads(samconfig.read_text()).get("default", {})
    return {
        key: value
        for command in ("global", "deploy")
        for key, value in default.get(command, {}).get("parameters", {}).items()
    }


def deployed(name: str | None) -> Deployed:
    """The stack that `sam deploy` has just deployed, where it did."""
    saved = saved_by_sam(SAMCONFIG)
    name = name or saved.get("stack_name")
    if not name:
        raise StackError("SAM has saved no stack's name in samconfig.toml: `make deploy STACK=name`.")
    session = boto3.Session(region_name=saved.get("region"), profile_name=saved.get("profile"))
    return Deployed(name, session.client, ADVICE)


def publish(stack: Deployed, folder: Path = page.FOLDER) -> None:
    outputs = stack.outputs()
    bucket = outputs.get("PageBucketName")
    if not bucket:
        print(f"The stack {stack.name} serves no page: its parameter Page is not true.")
        return
    s3 = stack.client("s3")
    files = page.files(folder)
    # HTML last: it never names what is not there yet.
    for path in sorted(files, key=lambda path: path.endswith(".html")):
        s3.put_object(
            Bucket=bucket,
            Key=path,
            Body=(folder / path).read_bytes(),
            ContentType=page.content_type(path),
            # With it CloudFront asks the bucket anew after a second, so nothing has to be invalidated.
            CacheControl=page.CACHE_CONTROL,
        )
    kept = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    for gone in sorted({file["Key"] for part in kept for file in part.get("Contents", [])} - set(files)):
        s3.delete_object(Bucket=bucket, Key=gone)
    print(f"The page, {len(files)} files: {outputs['PageUrl']}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m operations.publish_page", description=__doc__)
    parser.add_argument("stack", nargs="?", help="a stack on AWS; without it, the one of samconfig.toml")
    name = parser.parse_args().stack
    try:
        try:
            publish(deployed(name))
        except ProfileNotFound as error:
            raise StackError(f"{error}\n{ADVICE}") from error
        except (BotoCoreError, ClientError) as error:
            raise StackError(
                f"{error}\n{ADVICE} The stack is deployed; `make deploy` again uploads its page."
            ) from error
    except StackError as error:
        print(f"\n✗ {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
