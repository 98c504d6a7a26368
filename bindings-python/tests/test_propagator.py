"""The propagator against the rows of the standards that the API's own ones break."""

import pytest
import wirespan
from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.util._importlib_metadata import entry_points

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PROPAGATOR = wirespan.Propagator()


def extract(**headers: object) -> trace.SpanContext:
    return trace.get_current_span(PROPAGATOR.extract(headers, Context())).get_span_context()


def again(**headers: object) -> dict[str, str]:
    carrier: dict[str, str] = {}
    PROPAGATOR.inject(carrier, PROPAGATOR.extract(headers, Context()))
    return carrier


@pytest.mark.parametrize(
    "value",
    [
        GOOD.upper(),
        GOOD[:-1],
        GOOD + "0",
        GOOD + "-",
        GOOD + "\n",
        "\u00a0" + GOOD,
        "ff" + GOOD[2:],
        "+0" + GOOD[2:],
        GOOD.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        GOOD.replace("b7ad6b7169203331", "0" * 16),
        "01" + GOOD[2:] + "x",
        "",
        "\ud800",
    ],
)
def test_an_invalid_traceparent_is_absent_and_takes_tracestate_along(value: str) -> None:
    assert not extract(traceparent=value, tracestate="a=1").is_valid
    assert again(traceparent=value, tracestate="a=1") == {}


def test_it_never_replaces_a_context_by_an_invalid_one() -> None:
    context = PROPAGATOR.extract({"traceparent": GOOD}, Context())
    kept = PROPAGATOR.extract({"traceparent": "x"}, context)
    assert trace.get_current_span(kept) is trace.get_current_span(context)


@pytest.mark.parametrize(
    ("value", "out"),
    [
        (GOOD, GOOD),
        (f" \t{GOOD} ", GOOD),
        ("cc" + GOOD[2:] + "-what", GOOD),
        (GOOD[:-2] + "ff", GOOD[:-2] + "03"),
        (GOOD[:-2] + "02", GOOD[:-2] + "02"),
    ],
)
def test_a_valid_traceparent_is_sent_on(value: str, out: str) -> None:
    assert again(traceparent=value) == {"traceparent": out}
    assert extract(traceparent=value).is_remote


def test_a_repeated_traceparent_is_invalid() -> None:
    assert not extract(traceparent=[GOOD, GOOD]).is_valid


@pytest.mark.parametrize(
    ("value", "out"),
    [
        ("1a=1,foo@=2,a@b@c=3", "1a=1,foo@=2,a@b@c=3"),
        ("a=1,b=2,a=3", "a=1,b=2"),
        ("a=1 , ,b=2,", "a=1,b=2"),
        (["a=1", "b=2"], "a=1,b=2"),
        (",".join(f"k{n}=v" for n in range(32)), ",".join(f"k{n}=v" for n in range(32))),
        (",".join(f"k{n}=v" for n in range(33)), None),
        ("a=1,B=2", None),
        ("a=1,b", None),
        ("", None),
    ],
)
def test_tracestate_follows_level_2(value: object, out: str | None) -> None:
    assert again(traceparent=GOOD, tracestate=value).get("tracestate") == out


@pytest.mark.parametrize(
    ("header", "name", "value"),
    [
        ("k=a=b", "k", "a=b"),
        ("k=", "k", ""),
        ("k=a+b", "k", "a+b"),
        ("k=%25%5C%20", "k", "%\\ "),
        ("k=%C3%28", "k", "\ufffd("),
        ("k=1,k=2", "k", "2"),
        ("__proto__=x", "__proto__", "x"),
    ],
)
def test_baggage_values_are_read_and_written_exactly(header: str, name: str, value: str) -> None:
    context = PROPAGATOR.extract({"baggage": header}, Context())
    assert dict(baggage.get_all(context)) == {name: value}
    carrier: dict[str, str] = {}
    PROPAGATOR.inject(carrier, context)
    assert dict(baggage.get_all(PROPAGATOR.extract(carrier, Context()))) == {name: value}


def test_properties_of_baggage_are_kept() -> None:
    assert again(baggage="k=v;a=1;b")["baggage"] == "k=v;a=1;b"


def test_baggage_over_the_limit_drops_whole_members() -> None:
    kept = again(baggage=",".join(f"k{n}=v" for n in range(65)))
    assert len(kept.get("baggage", "").split(",")) <= 64


def test_it_is_an_entry_point_that_the_api_finds() -> None:
    (found,) = entry_points(group="opentelemetry_propagator", name="wirespan")
    assert found.load() is wirespan.Propagator
    before = propagate.get_global_textmap()
    try:
        propagate.set_global_textmap(found.load()())
        assert trace.get_current_span(propagate.extract({"traceparent": GOOD}, Context())).get_span_context().is_valid
    finally:
        propagate.set_global_textmap(before)
