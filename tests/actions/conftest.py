"""Pictures of these tests have eight pixels a side: thumbnails alone decide, but where a test asks for verdicts."""

import pytest
from support.verdicts import let_most_go, let_thumbnails_decide


@pytest.fixture(autouse=True)
def _thumbnails_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    let_thumbnails_decide(monkeypatch)
    let_most_go(monkeypatch)
