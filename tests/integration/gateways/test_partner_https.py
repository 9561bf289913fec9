"""Deliveries to a partner's endpoint: taken, refused, slow, endless, cut off, and not there at all."""

import time
from collections.abc import AsyncIterator

import pytest

from domain.errors import DomainError
from gateways.partner_https import PartnerHttps, PartnerRefused, PartnerUnavailable
from tests.integration.partners.endpoint import SECRET, Endpoint

BODY = '[{"account_ref":"Ä-1"}]'.encode()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    await made.start()
    yield made
    await made.stop()


async def send(endpoint: Endpoint, *, timeout_s: float = 60, secret: str = SECRET) -> str:
    gateway = PartnerHttps(timeout_s=timeout_s, connect_timeout_s=30)
    return await gateway.send(
        endpoint.url, secret=secret, key="sync-1", body=BODY, media_type="application/json"
    )


async def test_a_delivery_is_signed_and_its_bytes_are_fixed(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    before = int(time.time())
    assert await send(endpoint) == "200: said 200"
    [delivery] = endpoint.deliveries
    assert (delivery.body, delivery.key, delivery.headers["webhook-id"]) == (BODY, "sync-1", "sync-1")
    assert before <= int(delivery.headers["webhook-timestamp"]) <= time.time()
    assert delivery.headers["webhook-signature"].startswith("v1,")


async def test_another_secret_s_signature_is_not_believed(endpoint: Endpoint) -> None:
    with pytest.raises(PartnerUnavailable):
        await send(endpoint, secret="whsec_" + "QUJD" * 8)
    assert endpoint.deliveries == []


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ("201", None, "201: said 201"),
        ("204", None, "204"),
        ("500", PartnerUnavailable, "127.0.0.1: answered 500"),
        ("503", PartnerUnavailable, "127.0.0.1: answered 503"),
        ("408", PartnerUnavailable, "127.0.0.1: answered 408"),
        ("429", PartnerUnavailable, "127.0.0.1: answered 429"),
        ("400", PartnerRefused, "127.0.0.1: answered 400"),
        ("404", PartnerRefused, "127.0.0.1: answered 404"),
        (
            "307",
            PartnerRefused,
            "127.0.0.1: answered 307, a redirect; set the delivery_url to where it leads",
        ),
        ("304", PartnerRefused, "127.0.0.1: answered 304"),
        ("cut", PartnerUnavailable, "127.0.0.1: not reached (RemoteProtocolError)"),
        ("silent", PartnerUnavailable, "127.0.0.1: no answer"),
        ("drip", PartnerUnavailable, "127.0.0.1: no answer"),
    ],
)
async def test_what_an_answer_means(
    endpoint: Endpoint, answer: str, error: type[DomainError] | None, said: str
) -> None:
    endpoint.answers = [answer]
    if error is None:
        assert (await send(endpoint)).startswith(said)
        return
    began = time.monotonic()
    with pytest.raises(error) as failure:
        await send(endpoint, timeout_s=1 if answer in {"silent", "drip"} else 60)
    assert failure.value.message.startswith(said)
    assert "said" not in failure.value.message, "whose words they are nobody knows"
    assert time.monotonic() - began < 30
    assert SECRET not in repr(failure.value)
    assert len(endpoint.deliveries) == 1


async def test_of_an_answer_without_end_only_the_beginning_is_read(endpoint: Endpoint) -> None:
    endpoint.answers = ["flood"]
    answer = await send(endpoint)
    assert answer == "200: " + "x" * 200


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("429 120", 120), ("503 99999999", 3600), ("429 soon", None), ("429 -5", None), ("500 ²", None)],
)
async def test_when_to_come_back_is_read_within_reason(
    endpoint: Endpoint, header: str, seconds: int | None
) -> None:
    endpoint.answers = [header]
    with pytest.raises(PartnerUnavailable) as failure:
        await send(endpoint)
    assert failure.value.details.get("retry_after_s") == seconds


async def test_an_endpoint_that_is_down_is_unavailable(endpoint: Endpoint) -> None:
    await endpoint.stop()
    with pytest.raises(PartnerUnavailable, match="not reached"):
        await send(endpoint)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0", "[::ffff:127.0.0.1]", "2851995648"])
async def test_a_name_that_leads_to_this_machine_is_not_asked(endpoint: Endpoint, host: str) -> None:
    url = endpoint.url.replace("127.0.0.1", host)
    with pytest.raises(PartnerRefused, match="no address of a partner"):
        await PartnerHttps(timeout_s=60).send(
            url, secret=SECRET, key="sync-1", body=BODY, media_type="application/json"
        )
    assert endpoint.deliveries == []
