"""An S3 server on loopback, moto's, with one bucket; it and its clients see made-up credentials alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import boto3

if TYPE_CHECKING:
    from botocore.client import BaseClient

HOST = "127.0.0.1"
STARTED = re.compile(rf"Running on (http://{re.escape(HOST)}:\d+)\s")
START_SECONDS, STOP_SECONDS = 120.0, 10.0
NO_FILE = f"{os.devnull}/none"
MADE_UP = {
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "made-up",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": NO_FILE,
    "AWS_SHARED_CREDENTIALS_FILE": NO_FILE,
    "NO_PROXY": HOST,
    "no_proxy": HOST,
}


@dataclass(frozen=True)
class Bucket:
    """A bucket on the server at ``endpoint``."""

    endpoint: str
    name: str

    @cached_property
    def client(self) -> BaseClient:
        """A client of the server, made where the environment is ``environment``'s."""
        return boto3.client("s3", endpoint_url=self.endpoint)

    def listed(self, prefix: str) -> dict[str, object]:
        """Return when each object under ``prefix`` was written, by its key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return {found["Key"]: found["LastModified"] for page in pages for found in page.get("Contents", ())}

    def put(self, key: str, body: bytes) -> None:
        """Write an object, or over one."""
        self.client.put_object(Bucket=self.name, Key=key, Body=body)


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with made-up credentials in place of any that ``base`` holds."""
    return {name: value for name, value in base.items() if not name.startswith("AWS_")} | MADE_UP


@contextmanager
def s3_server(folder: Path, bucket: str = "runs") -> Iterator[Bucket]:
    """Run a server on a free port, its log in ``folder``, and yield a new bucket on it."""
    log = folder / "s3_server.log"
    with mock.patch.dict(os.environ, environment(os.environ), clear=True), log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-u", "-m", "moto.server", "-H", HOST, "-p", "0"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            made = Bucket(_wait_for_address(server, log), bucket)
            made.client.create_bucket(Bucket=bucket)
            yield made
        finally:
            _stop(server)


def _wait_for_address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address that the server prints once it listens; the system chose the port."""
    deadline = time.monotonic() + START_SECONDS
    while not (started := STARTED.search(log.read_text())):
        assert server.poll() is None, f"moto_server exited with {server.returncode}:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"moto_server does not listen:\n{log.read_text()}"
        time.sleep(0.05)
    return started[1]


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
