"""The page on AWS, as far as MiniStack's CloudFront goes: the bucket's files, over the distribution and its headers.

It does not forward to the two APIs (it calls no address of AWS's) and keeps no cache: tests/template looks at those settings.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from local import page
from local.processes import StackError
from local.stack import Stack
from operations.publish_page import deployed, publish, saved_by_sam
from operations.reconcile import Deployed
from samtranslator.yaml_helper import yaml_parse

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "clipbell-page"


def of_the_page(parts: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if part.get("Condition") == "WithPage"}


@pytest.fixture(scope="module")
def with_page(stack: Stack) -> Iterator[dict[str, str]]:
    """The template's page and what it refers to, beside the stack of the other tests. Gives the outputs."""
    whole = yaml_parse(page.TEMPLATE.read_text())
    needed = {name: whole["Resources"][name] for name in ("VideosBucket", "HttpApi", "WebSocketApi")}
    template = {
        "Parameters": whole["Parameters"],
        "Conditions": whole["Conditions"],
        "Resources": needed | of_the_page(whole["Resources"]),
        "Outputs": of_the_page(whole["Outputs"])
        | {name: {"Value": {"Ref": name}} for name in ("VideosBucket", "PageHeaders")},
    }
    parameters = {"Page": "true", "LocalEndpoint": stack.aws.endpoint, "OperatorToken": "x" * 16}
    formation = stack.client("cloudformation")
    formation.create_stack(
        StackName=NAME,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    formation.get_waiter("stack_create_complete").wait(StackName=NAME, WaiterConfig={"Delay": 1})
    yield Deployed(NAME, stack.client, "").outputs()
    formation.delete_stack(StackName=NAME)


async def get(stack: Stack, outputs: dict[str, str], path: str, method: str = "GET") -> tuple[int, bytes, Any]:
    """As a viewer of the distribution's, over TLS: MiniStack tells both from these headers."""
    headers = {"Host": outputs["PageUrl"].removeprefix("https://"), "X-Forwarded-Proto": "https"}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, stack.aws.endpoint + path, headers=headers) as answer,
    ):
        return answer.status, await answer.read(), answer.headers


async def publish_page(stack: Stack, *arguments: str) -> tuple[int, str, str]:
    """The end of `make deploy`, with MiniStack's address instead of AWS's."""
    aws = stack.aws
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "operations.publish_page", *arguments),
        env={
            **{"PATH": os.environ["PATH"], "PYTHONPATH": str(page.ROOT / "infra"), "NO_PROXY": "127.0.0.1"},
            **{"AWS_ENDPOINT_URL": aws.endpoint, "AWS_DEFAULT_REGION": aws.region},
            **{"AWS_ACCESS_KEY_ID": aws.access_key, "AWS_SECRET_ACCESS_KEY": aws.secret_key},
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


async def test_the_page_is_served_over_the_distribution(stack: Stack, with_page: dict[str, str]) -> None:
    files = page.files()
    status, said, complained = await publish_page(stack, NAME)
    assert (status, complained) == (0, "")
    assert said == f"The page, {len(files)} files: {with_page['PageUrl']}\n"

    for path in ["", *files]:
        status, body, told = await get(stack, with_page, f"/{path}")
        file = path or "index.html"
        assert (status, body) == (200, (page.FOLDER / file).read_bytes()), path
        assert (told["Content-Type"], told["Cache-Control"]) == (page.content_type(file), "no-cache")


async def test_the_headers_are_the_gateway_s_with_the_bucket_on_aws(stack: Stack, with_page: dict[str, str]) -> None:
    await publish_page(stack, NAME)
    _, _, told = await get(stack, with_page, "/")
    bucket = f"https://{with_page['VideosBucket']}.s3.{stack.aws.region}.amazonaws.com"
    expected = page.headers(bucket)
    assert expected["Content-Security-Policy"].count(bucket) == 3
    assert {name: told.get(name) for name in expected} == expected
    assert told["Strict-Transport-Security"] == "max-age=31536000"


async def test_the_files_are_reached_over_the_distribution_alone(stack: Stack, with_page: dict[str, str]) -> None:
    await publish_page(stack, NAME)
    direct = f"{stack.aws.endpoint}/{with_page['PageBucketName']}/index.html"
    async with aiohttp.ClientSession() as http, http.get(direct) as answer:
        assert answer.status == 403
    status, _, _ = await get(stack, with_page, "/index.html", method="PUT")
    assert status == 403


async def test_a_new_version_replaces_the_old_one_and_what_is_gone(
    stack: Stack, with_page: dict[str, str], tmp_path: Path
) -> None:
    there = Deployed(NAME, stack.client, "")
    (tmp_path / "page").mkdir()
    for path in ("index.html", "page/old.js", "page/kept.js", "clipbell.d.ts", "package.json"):
        (tmp_path / path).write_text("1")
    publish(there, tmp_path)
    (tmp_path / "page/old.js").unlink()
    (tmp_path / "index.html").write_text("2")
    publish(there, tmp_path)

    listed = stack.client("s3").list_objects_v2(Bucket=with_page["PageBucketName"])["Contents"]
    assert [file["Key"] for file in listed] == ["index.html", "page/kept.js"]
    assert (await get(stack, with_page, "/"))[1] == b"2"


async def test_a_stack_without_a_page_has_nothing_of_it(stack: Stack) -> None:
    assert not {"PageUrl", "PageBucketName", "DistributionId"} & set(stack.outputs)
    status, said, complained = await publish_page(stack, stack.name)
    assert (status, complained) == (0, "")
    assert "serves no page" in said


async def test_it_says_what_to_do_when_there_is_no_such_stack(stack: Stack) -> None:
    status, said, complained = await publish_page(stack, "no-such-stack")
    assert (status, said) == (1, "")
    assert "There is no stack no-such-stack" in complained and "AWS_PROFILE" in complained
    assert "Traceback" not in complained


async def test_name_and_region_are_what_sam_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samconfig = tmp_path / "samconfig.toml"
    monkeypatch.setattr("operations.publish_page.SAMCONFIG", samconfig)
    with pytest.raises(StackError, match="make deploy STACK=name"):
        deployed(None)

    # As `sam deploy --guided` writes it.
    samconfig.write_text(
        'version = 0.1\n[default.global.parameters]\nregion = "eu-west-1"\n'
        '[default.deploy.parameters]\nstack_name = "bells"\nparameter_overrides = "Page=\\"true\\""\n'
    )
    assert deployed(None).name == "bells"
    assert deployed("other").name == "other"
    assert deployed(None).client("s3").meta.region_name == "eu-west-1"
    assert saved_by_sam(tmp_path / "none.toml") == {}
