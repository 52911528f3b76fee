"""Buckets of an S3 server."""

from pathlib import Path
from typing import Any


class Bucket:
    """A bucket of an S3 server on loopback.

    Attributes
    ----------
    url
        "s3://..."
    objects
        boto3's client, which shares nothing with what is tested.
    """

    def __init__(self, objects: Any, name: str) -> None:
        self.objects, self.name, self.url = objects, name, f"s3://{name}"
        objects.create_bucket(Bucket=name)

    def put(self, key: str, content: bytes, **options: Any) -> None:
        self.objects.put_object(Bucket=self.name, Key=key, Body=content, **options)

    def get(self, key: str) -> bytes:
        return bytes(self.objects.get_object(Bucket=self.name, Key=key)["Body"].read())

    def delete(self, key: str) -> None:
        self.objects.delete_object(Bucket=self.name, Key=key)

    def upload(self, folder: Path, prefix: str) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.objects.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]
